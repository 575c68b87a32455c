//! A seeded estate as its owner would export it: answers of `az network ... list`, one resource a line.
//!
//! What no reader of rules and addresses looks at (entity tags, GUIDs, DNS settings) is left out.

use std::io::{self, Write};
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::estate::{Estate, ROLES};
use super::rules;
use crate::model::index::Reference;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, ProtocolMatch, Rule};

/// Rules that one file holds at most: files of up to 512 MiB are read back, and a rule takes some 700 bytes.
const RULES_PER_FILE: usize = 500_000;

/// A part of an estate that is a file of its own in a folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// `az network vnet list`.
    Vnets,
    /// `az network asg list`.
    Asgs,
    /// `az network nic list`.
    Nics,
    /// `az network nsg list`, of the NSGs at these positions.
    Nsgs(Range<usize>),
}

impl Estate {
    /// The parts with the names of their files, in order. NSGs of many rules are spread over several.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, Part)> {
        let named = |name: &str, part| (format!("{name}.json"), part);
        let mut parts = vec![named("vnet", Part::Vnets), named("asg", Part::Asgs), named("nic", Part::Nics)];
        let (count, each) = (self.nsgs.len(), RULES_PER_FILE / self.options.rules.max(1));
        for (number, first) in (1..).zip((0..count).step_by(each)) {
            let name = if number == 1 { "nsg".to_owned() } else { format!("nsg-{number}") };
            parts.push(named(&name, Part::Nsgs(first..count.min(first + each))));
        }
        parts
    }

    /// Whether all of it fits into one file that can be read back.
    #[must_use]
    pub fn fits_one_file(&self) -> bool {
        self.nsgs.len() * self.options.rules <= RULES_PER_FILE
    }

    /// Writes parts as one list.
    ///
    /// # Errors
    ///
    /// Fails if `out` does.
    pub fn write(&self, parts: &[Part], out: impl Write) -> io::Result<()> {
        let mut list = List { out, is_empty: true };
        for part in parts {
            match part {
                Part::Vnets => (0..self.vnets.len()).try_for_each(|vnet| list.put(&self.vnet(vnet)))?,
                Part::Asgs => {
                    for (vnet, known) in self.vnets.iter().enumerate() {
                        (0..known.asgs).try_for_each(|role| list.put(&self.asg(vnet, role)))?;
                    }
                }
                Part::Nics => (0..self.nics.len()).try_for_each(|nic| list.put(&self.nic(nic)))?,
                Part::Nsgs(range) => range.clone().try_for_each(|nsg| list.put(&self.nsg(nsg)))?,
            }
        }
        list.finish()
    }

    fn vnet(&self, vnet: usize) -> Value {
        let name = Name::vnet(vnet);
        let subnets = self.vnets[vnet].subnets.clone().map(|subnet| self.subnet(subnet));
        // A hub knows every spoke, a spoke the hub alone.
        let remotes = if vnet == 0 { 1..self.vnets.len() } else { 0..1 };
        let peerings = remotes.map(|remote| self.peering(vnet, remote));
        self.resource(
            &name,
            [
                ("addressSpace", json!({ "addressPrefixes": [self.vnets[vnet].space.to_string()] })),
                ("subnets", subnets.collect()),
                ("virtualNetworkPeerings", peerings.collect()),
            ],
        )
    }

    fn subnet(&self, subnet: usize) -> Value {
        let known = &self.subnets[subnet];
        let mut value = json!({
            "addressPrefix": known.prefix.to_string(),
            "delegations": [],
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        });
        if let Some(nsg) = known.nsg {
            value["networkSecurityGroup"] = self.nsg_name(nsg).reference();
        }
        self.subnet_name(subnet).identify(value)
    }

    fn peering(&self, vnet: usize, remote: usize) -> Value {
        let space = json!({ "addressPrefixes": [self.vnets[remote].space.to_string()] });
        let name = format!("{}-to-{}", place(vnet), place(remote));
        Name::vnet(vnet).child("virtualNetworkPeerings", name).identify(json!({
            "allowForwardedTraffic": true,
            "allowGatewayTransit": false,
            "allowVirtualNetworkAccess": true,
            "peeringState": "Connected",
            "peeringSyncLevel": "FullyInSync",
            "remoteAddressSpace": space,
            "remoteVirtualNetwork": Name::vnet(remote).reference(),
            "useRemoteGateways": false,
        }))
    }

    fn asg(&self, vnet: usize, role: usize) -> Value {
        self.resource(&Name::asg(vnet, role), [])
    }

    fn nic(&self, nic: usize) -> Value {
        let known = &self.nics[nic];
        let vnet = self.subnets[known.subnet].vnet;
        let name = self.nic_name(nic);
        let mut configuration = json!({
            "primary": true,
            "privateIPAddress": known.address.to_string(),
            "privateIPAddressVersion": "IPv4",
            "privateIPAllocationMethod": "Dynamic",
            "subnet": self.subnet_name(known.subnet).reference(),
        });
        if let Some(role) = known.role {
            configuration["applicationSecurityGroups"] = json!([Name::asg(vnet, role).reference()]);
        }
        let configuration = name.child("ipConfigurations", "ipconfig1".to_owned()).identify(configuration);
        let machine = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachines/vm-{}",
            name.group,
            nic + 1
        );
        let [.., a, b, c] = (nic as u64 + 1).to_be_bytes();
        let mut value = self.resource(
            &name,
            [
                ("enableIPForwarding", json!(false)),
                ("ipConfigurations", json!([configuration])),
                ("macAddress", json!(format!("00-0D-3A-{a:02X}-{b:02X}-{c:02X}"))),
                ("virtualMachine", json!({ "id": machine, "resourceGroup": name.group })),
            ],
        );
        if let Some(nsg) = known.nsg {
            value["networkSecurityGroup"] = self.nsg_name(nsg).reference();
        }
        value
    }

    fn nsg(&self, nsg: usize) -> Value {
        let name = self.nsg_name(nsg);
        let vnet = self.home_of(nsg);
        let rules = rules::draw(self, nsg);
        let known = &self.nsgs[nsg];
        let nics = known.nics.iter().map(|nic| self.nic_name(*nic).reference());
        let subnets = known.subnets.iter().map(|subnet| self.subnet_name(*subnet).reference());
        self.resource(
            &name,
            [
                ("networkInterfaces", nics.collect()),
                ("securityRules", rules.iter().map(|rule| written(rule, &name, vnet)).collect()),
                ("subnets", subnets.collect()),
            ],
        )
    }

    /// A resource with these members, in the estate's region.
    fn resource<const N: usize>(&self, name: &Name, members: [(&str, Value); N]) -> Value {
        let mut value = json!({ "location": self.location });
        for (member, content) in members {
            value[member] = content;
        }
        name.identify(value)
    }

    fn subnet_name(&self, subnet: usize) -> Name {
        let vnet = self.subnets[subnet].vnet;
        let number = subnet - self.vnets[vnet].subnets.start + 1;
        Name::vnet(vnet).child("subnets", format!("snet-{}-{number}", place(vnet)))
    }

    fn nic_name(&self, nic: usize) -> Name {
        let vnet = self.subnets[self.nics[nic].subnet].vnet;
        Name::of(vnet, "networkInterfaces", format!("nic-{}", nic + 1))
    }

    fn nsg_name(&self, nsg: usize) -> Name {
        Name::of(self.home_of(nsg), "networkSecurityGroups", format!("nsg-{}", nsg + 1))
    }
}

/// A list that is written as it comes.
struct List<W> {
    out: W,
    is_empty: bool,
}

impl<W: Write> List<W> {
    fn put(&mut self, value: &Value) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        self.is_empty = false;
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// What a network and its resource group are called after.
fn place(vnet: usize) -> String {
    if vnet == 0 { "hub".to_owned() } else { format!("spoke-{vnet}") }
}

/// What a resource is called, and where it belongs.
struct Name {
    group: String,
    id: String,
    kind: String,
    name: String,
}

impl Name {
    fn of(vnet: usize, kind: &str, name: String) -> Self {
        let group = format!("rg-{}", place(vnet));
        let id = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{kind}/{name}"
        );
        Self { group, id, kind: format!("Microsoft.Network/{kind}"), name }
    }

    fn vnet(vnet: usize) -> Self {
        Self::of(vnet, "virtualNetworks", format!("vnet-{}", place(vnet)))
    }

    fn asg(vnet: usize, role: usize) -> Self {
        Self::of(vnet, "applicationSecurityGroups", format!("asg-{}-{}", ROLES[role], place(vnet)))
    }

    fn child(&self, kind: &str, name: String) -> Self {
        Self {
            group: self.group.clone(),
            id: format!("{}/{kind}/{name}", self.id),
            kind: format!("{}/{kind}", self.kind),
            name,
        }
    }

    fn reference(&self) -> Value {
        json!({ "id": self.id, "resourceGroup": self.group })
    }

    /// Puts the name behind an object's members.
    fn identify(&self, mut value: Value) -> Value {
        value["id"] = json!(self.id);
        value["name"] = json!(self.name);
        value["provisioningState"] = json!("Succeeded");
        value["resourceGroup"] = json!(self.group);
        value["type"] = json!(self.kind);
        value
    }
}

/// A rule as it stands in an export. Its groups are those of the network `vnet`.
fn written(rule: &Rule, nsg: &Name, vnet: usize) -> Value {
    let mut members = Map::new();
    let access = match rule.access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    };
    let direction = match rule.direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    };
    let protocol = match &rule.protocol {
        ProtocolMatch::Is(protocol) => {
            let name = protocol.name().unwrap_or_default();
            name[..1].to_uppercase() + &name[1..]
        }
        ProtocolMatch::Any => "*".to_owned(),
        ProtocolMatch::Invalid(text) => text.clone(),
    };
    members.insert("access".to_owned(), json!(access));
    addresses(&mut members, "destination", &rule.destination, vnet);
    ports(&mut members, "destination", &rule.destination_ports);
    members.insert("direction".to_owned(), json!(direction));
    members.insert("priority".to_owned(), json!(rule.priority.0));
    members.insert("protocol".to_owned(), json!(protocol));
    addresses(&mut members, "source", &rule.source, vnet);
    ports(&mut members, "source", &rule.source_ports);
    nsg.child("securityRules", rule.name.clone()).identify(Value::Object(members))
}

fn addresses(members: &mut Map<String, Value>, side: &str, terms: &[AddressTerm], vnet: usize) {
    let mut texts = Vec::new();
    let mut groups = Vec::new();
    for term in terms {
        match term {
            AddressTerm::Any => texts.push("*".to_owned()),
            AddressTerm::Prefix(prefix) => texts.push(prefix.to_string()),
            AddressTerm::Tag(tag) => texts.push(tag.to_string()),
            AddressTerm::Asg(Reference::Here(role)) => groups.push(Name::asg(vnet, role.get()).reference()),
            AddressTerm::Asg(Reference::Missing(id)) => groups.push(json!({ "id": id.as_str() })),
            AddressTerm::Invalid(text) => texts.push(text.clone()),
        }
    }
    if !groups.is_empty() {
        members.insert(format!("{side}ApplicationSecurityGroups"), Value::Array(groups));
    }
    one_or_more(members, &format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes"), texts);
}

fn ports(members: &mut Map<String, Value>, side: &str, terms: &[PortTerm]) {
    let text = |term: &PortTerm| match term {
        PortTerm::Range(range) => range.to_string(),
        PortTerm::Invalid(text) => text.clone(),
    };
    let texts = terms.iter().map(text).collect();
    one_or_more(members, &format!("{side}PortRange"), &format!("{side}PortRanges"), texts);
}

/// One value stands in the singular member, beside an empty list; several in the list alone (NSG-9).
fn one_or_more(members: &mut Map<String, Value>, singular: &str, plural: &str, mut texts: Vec<String>) {
    if texts.len() == 1 {
        members.insert(singular.to_owned(), json!(texts.remove(0)));
    }
    members.insert(plural.to_owned(), json!(texts));
}
