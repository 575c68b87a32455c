//! Rule sets as NSGs hold them, from a seed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ipnet::Ipv4Net;
use nsgsim::ingest::azure::tags;
use nsgsim::model::prefix::{PortRange, Prefix};
use nsgsim::model::tag::{ServiceTag, TagCatalog};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::rules::{Rule, RuleSet};

/// The tag file of the shared data that is taken: the newest of the public cloud in Microsoft's own form.
const TAG_FILE: &str = "service-tags/public-cn376-2025-11-10.json.gz";

/// A rule, and how an export writes its addresses.
#[derive(Clone, Debug)]
pub(crate) struct NsgRule {
    pub(crate) rule: Rule,
    /// The tag that stands as source.
    pub(crate) source_tag: Option<String>,
    /// The tag that stands as destination.
    pub(crate) destination_tag: Option<String>,
}

/// A tag and its IPv4 prefixes, as few as say the same.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    name: String,
    nets: Vec<Ipv4Net>,
}

/// The IPv4 prefixes of a tag file.
#[derive(Clone, Debug)]
pub(crate) struct Tags {
    pub(crate) catalog: Arc<TagCatalog>,
    /// Every tag that has any.
    tags: Vec<Tag>,
}

/// A tag counts as large from this many prefixes on; nine in ten have fewer.
const LARGE: usize = 30;
/// No rule takes a tag of more: the few that there are hold whole regions and clouds.
const MOST: usize = 400;

impl Tags {
    /// Reads the tag file of the shared data.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read.
    pub(crate) fn read(data: &Path) -> Result<Self> {
        let (catalog, _) = tags::load(&data.join(TAG_FILE)).context("the tag file of the shared data")?;
        let tag = |tag: &Arc<ServiceTag>| {
            let nets = Ipv4Net::aggregate(&ipv4(&tag.prefixes));
            (!nets.is_empty()).then(|| Tag { name: tag.name.as_str().to_owned(), nets })
        };
        let tags = catalog.iter().filter_map(tag).collect();
        Ok(Self { catalog: Arc::new(catalog), tags })
    }

    /// Every IPv4 prefix of the file, each once.
    pub(crate) fn nets(&self) -> Vec<Ipv4Net> {
        let mut nets: Vec<Ipv4Net> = self.catalog.iter().flat_map(|tag| ipv4(&tag.prefixes)).collect();
        nets.sort_unstable();
        nets.dedup();
        nets
    }

    /// A tag; one in five is large, for rules like to name the services of a whole region.
    fn draw(&self, rng: &mut ChaCha8Rng) -> &Tag {
        let least = if rng.random_range(0..5) == 0 { LARGE } else { 1 };
        loop {
            let tag = &self.tags[rng.random_range(0..self.tags.len())];
            if (least..=MOST).contains(&tag.nets.len()) {
                return tag;
            }
        }
    }
}

fn ipv4(prefixes: &[Prefix]) -> Vec<Ipv4Net> {
    let net = |prefix: &Prefix| match prefix {
        Prefix::V4(net) => Some(*net),
        Prefix::V6(_) => None,
    };
    prefixes.iter().filter_map(net).collect()
}

/// Which way the rules of a set look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Facing {
    /// The network is the destination.
    Inbound,
    /// Now the one, now the other.
    Either,
}

/// Rules of an NSG whose network is 10.0.0.0/8; three in ten name a tag if there are any.
pub(crate) fn rules(seed: u64, count: usize, facing: Facing, tags: Option<&Tags>) -> Vec<NsgRule> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rule(&mut rng, facing, tags)).collect()
}

/// The rules alone, by a name.
pub(crate) fn rule_set(name: &str, rules: &[NsgRule]) -> RuleSet {
    RuleSet { name: name.to_owned(), rules: rules.iter().map(|rule| rule.rule.clone()).collect() }
}

/// The same rules, each block of the network narrowed to one host in it.
pub(crate) fn at_hosts(rng: &mut ChaCha8Rng, rules: &[NsgRule]) -> Vec<Rule> {
    let mut narrowed = |nets: &[Ipv4Net]| -> Vec<Ipv4Net> {
        let host = |net: &Ipv4Net| {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            if is_local(net) { self::net(rng.random_range(first..=last), 32) } else { *net }
        };
        nets.iter().map(host).collect()
    };
    let rule = |rule: &NsgRule| {
        let Rule { sources, destinations, .. } = &rule.rule;
        Rule { sources: narrowed(sources), destinations: narrowed(destinations), ..rule.rule.clone() }
    };
    rules.iter().map(rule).collect()
}

/// The hosts of the network that narrowed rules name.
pub(crate) fn hosts(narrowed: &[Rule]) -> BTreeSet<Ipv4Addr> {
    let nets = narrowed.iter().flat_map(|rule| rule.sources.iter().chain(&rule.destinations));
    nets.filter(|net| is_local(net)).map(Ipv4Net::network).collect()
}

/// Whether the block lies in the network of all generated rules.
fn is_local(net: &Ipv4Net) -> bool {
    net.prefix_len() >= 8 && net.network().octets()[0] == 10
}

/// The network that an export describes. Every host is an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layout {
    /// One VNet, 10.0.0.0/8, with one subnet; its NSG has the rules as inbound list.
    OneNetwork,
    /// A hub, 10.0.0.0/9, and a spoke, 10.128.0.0/9, peered. Both subnets have an NSG, and so have the interfaces of each;
    /// all four have the rules both as inbound and as outbound list.
    HubAndSpoke,
}

/// One of the VNets.
struct Net {
    name: &'static str,
    prefix: &'static str,
    peered_with: Option<(&'static str, &'static str)>,
}

impl Layout {
    fn nets(self) -> Vec<Net> {
        let (hub, spoke) = (("hub", "10.0.0.0/9"), ("spoke", "10.128.0.0/9"));
        match self {
            Self::OneNetwork => vec![Net { name: "peers", prefix: "10.0.0.0/8", peered_with: None }],
            Self::HubAndSpoke => vec![
                Net { name: hub.0, prefix: hub.1, peered_with: Some(spoke) },
                Net { name: spoke.0, prefix: spoke.1, peered_with: Some(hub) },
            ],
        }
    }

    fn directions(self) -> &'static [&'static str] {
        match self {
            Self::OneNetwork => &["Inbound"],
            Self::HubAndSpoke => &["Inbound", "Outbound"],
        }
    }
}

/// The priority of the first rule of each list; the others follow.
pub(crate) const FIRST_PRIORITY: usize = 100;

fn id(kind: &str, name: &str) -> String {
    const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-peers";
    format!("{GROUP}/providers/Microsoft.Network/{kind}/{name}")
}

/// Writes an export of a network with these rules. Two rules in three allow.
///
/// # Errors
///
/// Fails if a file cannot be written.
pub(crate) fn export(
    rules: &[NsgRule],
    hosts: &BTreeSet<Ipv4Addr>,
    layout: Layout,
    folder: &Path,
) -> Result<()> {
    let lists = layout.directions().iter().flat_map(|direction| list(rules, direction));
    let security_rules: Vec<Value> = lists.collect();
    let with_rules = |name: String| json!({ "id": id("networkSecurityGroups", &name), "name": name, "securityRules": security_rules });
    let (mut nics, mut nsgs, mut vnets) = (Vec::new(), Vec::new(), Vec::new());
    for Net { name, prefix, peered_with } in layout.nets() {
        let vnet = id("virtualNetworks", &format!("vnet-{name}"));
        let subnet = format!("{vnet}/subnets/snet");
        let nsg_of = |what: &str| id("networkSecurityGroups", &format!("nsg-{name}-{what}"));
        nsgs.push(with_rules(format!("nsg-{name}-subnet")));
        let nic_nsg = (layout == Layout::HubAndSpoke).then(|| nsg_of("nics"));
        nsgs.extend(nic_nsg.is_some().then(|| with_rules(format!("nsg-{name}-nics"))));
        let space: Ipv4Net = prefix.parse()?;
        nics.extend(
            hosts.iter().filter(|host| space.contains(*host)).map(|host| nic(*host, &subnet, &nic_nsg)),
        );
        let peerings: Vec<Value> =
            peered_with.map(|(other, space)| peering(&vnet, other, space)).into_iter().collect();
        vnets.push(json!({
            "id": vnet,
            "name": format!("vnet-{name}"),
            "addressSpace": { "addressPrefixes": [prefix] },
            "subnets": [{
                "id": subnet,
                "name": "snet",
                "addressPrefix": prefix,
                "networkSecurityGroup": { "id": nsg_of("subnet") },
            }],
            "virtualNetworkPeerings": peerings,
        }));
    }
    for (name, documents) in [("nic.json", nics), ("nsg.json", nsgs), ("vnet.json", vnets)] {
        let path = folder.join(name);
        std::fs::write(&path, json!(documents).to_string()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The rules as a list of one direction.
fn list(rules: &[NsgRule], direction: &str) -> Vec<Value> {
    let addresses = |nets: &[Ipv4Net], tag: &Option<String>| match tag {
        Some(tag) => vec![tag.clone()],
        // Beside others Azure takes no prefix of everything, and alone it is written so.
        None if nets == [Ipv4Net::default()] => vec!["*".to_owned()],
        None => nets.iter().map(Ipv4Net::to_string).collect(),
    };
    let ports = |ranges: &[PortRange]| ranges.iter().map(PortRange::to_string).collect();
    let rule = |(index, rule): (usize, &NsgRule)| {
        let mut written = json!({
            "name": format!("{}-{index}", direction.to_lowercase()),
            "priority": FIRST_PRIORITY + index,
            "direction": direction,
            "access": if index % 3 == 2 { "Deny" } else { "Allow" },
            "protocol": match rule.rule.protocol { Some(6) => "Tcp", Some(_) => "Udp", None => "*" },
        });
        put(&mut written, "sourceAddressPrefix", "es", addresses(&rule.rule.sources, &rule.source_tag));
        let destinations = addresses(&rule.rule.destinations, &rule.destination_tag);
        put(&mut written, "destinationAddressPrefix", "es", destinations);
        put(&mut written, "sourcePortRange", "s", ports(&rule.rule.source_ports));
        put(&mut written, "destinationPortRange", "s", ports(&rule.rule.destination_ports));
        written
    };
    rules.iter().enumerate().map(rule).collect()
}

fn nic(host: Ipv4Addr, subnet: &str, nsg: &Option<String>) -> Value {
    let name = format!("nic-{host}");
    let nic = id("networkInterfaces", &name);
    let mut written = json!({
        "id": nic,
        "name": name,
        "ipConfigurations": [{
            "id": format!("{nic}/ipConfigurations/ipconfig"),
            "name": "ipconfig",
            "primary": true,
            "privateIPAddress": host,
            "subnet": { "id": subnet },
        }],
    });
    if let Some(nsg) = nsg {
        written["networkSecurityGroup"] = json!({ "id": nsg });
    }
    written
}

fn peering(vnet: &str, other: &str, space: &str) -> Value {
    json!({
        "id": format!("{vnet}/virtualNetworkPeerings/to-{other}"),
        "name": format!("to-{other}"),
        "remoteVirtualNetwork": { "id": id("virtualNetworks", &format!("vnet-{other}")) },
        "remoteAddressSpace": { "addressPrefixes": [space] },
        "allowVirtualNetworkAccess": true,
        "allowForwardedTraffic": false,
        "allowGatewayTransit": false,
        "useRemoteGateways": false,
        "peeringState": "Connected",
        "peeringSyncLevel": "FullyInSync",
    })
}

/// Azure writes one value under the singular name and several under the plural one.
fn put(rule: &mut Value, singular: &str, ending: &str, mut values: Vec<String>) {
    let plural = format!("{singular}{ending}");
    if values.len() == 1 {
        rule[singular] = values.remove(0).into();
    } else {
        rule[plural] = values.into();
    }
}

fn rule(rng: &mut ChaCha8Rng, facing: Facing, tags: Option<&Tags>) -> NsgRule {
    let tag = tags.filter(|_| rng.random_bool(0.3)).map(|tags| tags.draw(rng));
    let far = match tag {
        Some(tag) => tag.nets.clone(),
        None => match rng.random_range(0..7) {
            0 => vec![Ipv4Net::default()],
            1..4 => several(rng, local),
            _ => several(rng, public),
        },
    };
    let near = several(rng, local);
    let inbound = facing == Facing::Inbound || rng.random_bool(0.5);
    let (sources, destinations) = if inbound { (far, near) } else { (near, far) };
    let tag = tag.map(|tag| tag.name.clone());
    let (source_tag, destination_tag) = if inbound { (tag, None) } else { (None, tag) };
    let rule = Rule {
        sources,
        destinations,
        source_ports: vec![PortRange::ALL],
        destination_ports: ports(rng),
        protocol: match rng.random_range(0..5) {
            0..3 => Some(6),
            3 => Some(17),
            _ => None,
        },
    };
    NsgRule { rule, source_tag, destination_tag }
}

/// One prefix mostly, now and then up to three.
fn several(rng: &mut ChaCha8Rng, one: impl Fn(&mut ChaCha8Rng) -> Ipv4Net) -> Vec<Ipv4Net> {
    let count = [1, 1, 1, 1, 2, 3][rng.random_range(0..6)];
    let nets: Vec<Ipv4Net> = (0..count).map(|_| one(rng)).collect();
    Ipv4Net::aggregate(&nets)
}

/// A host, a subnet or a VNet of 10.0.0.0/8.
fn local(rng: &mut ChaCha8Rng) -> Ipv4Net {
    let length = match rng.random_range(0..10) {
        0..5 => 32,
        5..9 => rng.random_range(24..=28),
        _ => rng.random_range(16..=23),
    };
    net((10 << 24) | rng.random_range(0..1 << 24), length)
}

/// A host or a block of somebody on the internet, in the half of the address space that tags hardly touch.
fn public(rng: &mut ChaCha8Rng) -> Ipv4Net {
    let length = if rng.random_bool(0.5) { 32 } else { rng.random_range(20..=29) };
    net(rng.random_range(0xc100_0000..0xdf00_0000), length)
}

fn net(address: u32, length: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), length).expect("at most 32").trunc()
}

fn ports(rng: &mut ChaCha8Rng) -> Vec<PortRange> {
    /// What most rules are about.
    const COMMON: [u16; 12] = [22, 53, 80, 123, 443, 445, 1433, 3306, 3389, 5432, 8080, 8443];
    let one = |rng: &mut ChaCha8Rng| {
        let port = COMMON.choose(rng).copied().expect("there are some");
        let port = if rng.random_bool(0.5) { port } else { rng.random_range(1024..20_000) };
        PortRange::new(port, port).expect("in order")
    };
    match rng.random_range(0..20) {
        0 => vec![PortRange::ALL],
        1..3 => {
            let first = rng.random_range(1024..50_000);
            vec![PortRange::new(first, first + rng.random_range(1..1_000)).expect("in order")]
        }
        3..8 => {
            let (first, second) = (one(rng), one(rng));
            if first == second { vec![first] } else { vec![first, second] }
        }
        _ => vec![one(rng)],
    }
}
