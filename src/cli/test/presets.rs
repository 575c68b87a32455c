//! Ready assertions: what services of Azure need, and what nobody wants.

use std::sync::Arc;

use clap::ValueEnum;

use super::{CliError, Question, Untried};
use crate::analyze::assertions::{Holds, Proposition};
use crate::analyze::end_set::EndSet;
use crate::analyze::reach::ServiceSet;
use crate::analyze::required::{Answer, requirements};
use crate::cli::ends;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::compile::resolve::fixed_tag;
use crate::ingest::checklist::{ChecklistRow, Enough, RowDirection, RowEnd, azure_ml};
use crate::model::index::{NicIndex, PrivateEndpointIndex, SubnetIndex};
use crate::model::tag::TagName;

/// Ready assertions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Preset {
    /// What the compute of an Azure Machine Learning workspace needs (AML-1 to AML-20), for each --subnet
    AzureMl,
    /// What the subnets of Azure Bastion need (BAS-2)
    Bastion,
    /// What the subnets of Application Gateways need (AGW-1)
    AppGateway,
    /// That no machine's management, file or database ports are open to the internet
    InternetExposure,
}

/// The assertions of a preset.
pub(super) fn assertions(
    compiled: &Arc<CompiledNetwork>,
    preset: Preset,
    subnets: &[String],
) -> Result<Vec<Untried>, CliError> {
    match preset {
        Preset::AzureMl if subnets.is_empty() => Err(CliError::usage(
            "--preset azure-ml: no export says where compute is: expected --subnet with its subnet",
        )),
        Preset::AzureMl => {
            let of_subnet = subnets.iter().map(|text| of_compute(compiled, text));
            Ok(of_subnet.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        Preset::Bastion => Ok(required(compiled, "BAS-2", "bastion")),
        Preset::AppGateway => Ok(required(compiled, "AGW-1", "app-gateway")),
        Preset::InternetExposure => exposure(compiled),
    }
}

/// What special subnets need.
fn required(compiled: &CompiledNetwork, clause: &str, preset: &str) -> Vec<Untried> {
    let all = requirements(&compiled.network, &compiled.tags, compiled.assumptions);
    let of_clause = all.into_iter().filter(|requirement| requirement.clause == clause);
    let mut untried: Vec<Untried> = of_clause
        .map(|requirement| {
            let nsg = compiled.network.nsg_name(requirement.nsg);
            let (holds, words) = match requirement.answer {
                Answer::Yes => (Holds::Yes, String::new()),
                Answer::No(why) => (Holds::No, why),
                Answer::Open(what) => (Holds::Open, format!("it hangs on {what}, which is not known")),
            };
            Untried {
                name: format!("{}: {} of {nsg}", requirement.row, requirement.needed),
                place: format!("preset {preset}"),
                needed_when: None,
                question: Question::Known(holds, words),
            }
        })
        .collect();
    if untried.is_empty() {
        untried.push(Untried {
            name: format!("{clause}: special subnets let through what they need"),
            place: format!("preset {preset}"),
            needed_when: Some("there is such a subnet with an NSG".to_owned()),
            question: Question::Known(Holds::OfNothing, "the network has none".to_owned()),
        });
    }
    untried
}

/// Ports that nobody wants open to the internet.
const EXPOSED: [(&str, &str); 3] = [
    ("management (SSH, RDP, WinRM)", "tcp/22,3389,5985,5986"),
    ("file shares (NetBIOS, SMB, NFS)", "tcp/111,135,137-139,445,2049"),
    ("databases", "tcp/1433,1521,3306,5432,5984,6379,9042,9200,9300,11211,27017"),
];

fn exposure(compiled: &Arc<CompiledNetwork>) -> Result<Vec<Untried>, CliError> {
    let internet = EndSet::of_internet(compiled);
    let nics: Vec<NicIndex> = (0..compiled.network.nics.len()).map(NicIndex::new).collect();
    let machines = EndSet::of_nics(compiled, &nics);
    let one = |(what, ports): (&str, &str)| {
        let proposition = Proposition::Deny(internet.clone(), machines.clone(), vec![ends::services(ports)?]);
        Ok(Untried {
            name: format!("the internet reaches no machine's {what}: {ports}"),
            place: "preset internet-exposure".to_owned(),
            needed_when: None,
            question: Question::of(proposition),
        })
    };
    EXPOSED.into_iter().map(one).collect()
}

/// What compute in a subnet needs, row by row of the checklist.
fn of_compute(compiled: &Arc<CompiledNetwork>, text: &str) -> Result<Vec<Untried>, CliError> {
    let network = &compiled.network;
    let subnet = match ends::subnets(network, text).as_slice() {
        [subnet] => *subnet,
        [] => return Err(CliError::usage(format!("--subnet: `{text}`: no subnet of this name or ID"))),
        _ => {
            let message =
                format!("--subnet: `{text}`: several subnets are called so: give VNET/SUBNET or the ID");
            return Err(CliError::usage(message));
        }
    };
    let site = Site { compiled, subnet };
    azure_ml().iter().map(|row| site.row(row)).collect()
}

/// A subnet with compute.
struct Site<'c> {
    compiled: &'c Arc<CompiledNetwork>,
    subnet: SubnetIndex,
}

/// What an end of a row comes to here.
enum Found {
    Ends(EndSet),
    /// Nothing that could be asked about, and why.
    Not(String),
    /// It hangs on this.
    Open(String),
}

impl Site<'_> {
    fn row(&self, row: &ChecklistRow) -> Result<Untried, CliError> {
        let mut propositions = Vec::new();
        let (mut not_asked, mut open) = (Vec::new(), Vec::new());
        for remote in &row.remote {
            let ports = if remote.ports.is_empty() { &row.ports } else { &remote.ports };
            let services = self.services(&row.protocol, ports)?;
            match self.remote(remote) {
                Found::Ends(remote) => propositions.push(match row.direction {
                    RowDirection::Outbound => Proposition::Allow(self.compute(), remote, services),
                    RowDirection::Inbound => Proposition::Allow(remote, self.compute(), services),
                }),
                Found::Not(why) => not_asked.push(why),
                Found::Open(what) => open.push(what),
            }
        }
        let any = row.enough == Some(Enough::One);
        let question = match (propositions.is_empty(), open.first()) {
            (true, None) => Question::Known(Holds::OfNothing, not_asked.join("; ")),
            // Where all are needed and one is open, whatever holds of the others is not enough.
            (_, Some(what)) if !any || propositions.is_empty() => Question::Known(Holds::Open, what.clone()),
            _ if any => Question::of(Proposition::Any(propositions)),
            _ => Question::of(Proposition::All(propositions)),
        };
        let is_always = row.needed_when.starts_with("always");
        // What is not there is needed only by those who want it.
        let lacking = if any || not_asked.is_empty() || matches!(question, Question::Known(..)) {
            String::new()
        } else {
            format!("; {}", not_asked.join("; "))
        };
        Ok(Untried {
            name: format!(
                "{} at {}: {}{lacking}",
                row.id,
                self.compiled.network.subnet_name(self.subnet),
                self.said(row)
            ),
            place: "preset azure-ml".to_owned(),
            needed_when: (!is_always).then(|| row.needed_when.clone()),
            question,
        })
    }

    fn said(&self, row: &ChecklistRow) -> String {
        let (direction, word) = match row.direction {
            RowDirection::Inbound => ("inbound", "from"),
            RowDirection::Outbound => ("outbound", "to"),
        };
        let remote = |end: &RowEnd| match end {
            RowEnd { tag: Some(tag), .. } => self.regional(tag),
            RowEnd { private_endpoint: Some(of), .. } => format!("private endpoint of {of}"),
            RowEnd { network: Some(who), .. } => who.clone(),
            RowEnd { hosts: Some(hosts), .. } => hosts.clone(),
            RowEnd { .. } => String::new(),
        };
        let remotes: Vec<String> = row.remote.iter().map(remote).collect();
        let joint = if row.enough.is_some() { " or " } else { ", " };
        let ports = if row.ports.is_empty() { String::new() } else { format!("/{}", row.ports.join(",")) };
        format!("{direction} {}{ports} {word} {} ({})", row.protocol, remotes.join(joint), row.purpose)
    }

    /// The machines of the subnet; where the export has none of them, all of its addresses.
    fn compute(&self) -> EndSet {
        let ends = EndSet::of_subnet(self.compiled, self.subnet);
        if !ends.own.is_empty() {
            return EndSet { receiving: AddressSet::empty(), ..ends };
        }
        let prefixes = &self.compiled.network.subnets[self.subnet.get()].prefixes;
        EndSet::of_addresses(AddressSet::from_prefixes(prefixes.iter().copied()))
    }

    fn services(&self, protocol: &str, ports: &[String]) -> Result<Vec<ServiceSet>, CliError> {
        let with_ports = |protocol: &str| ends::services(&format!("{protocol}/{}", ports.join(",")));
        match protocol {
            // Ports are of TCP and UDP alone (NSG-10).
            "any" => Ok(vec![with_ports("tcp")?, with_ports("udp")?]),
            protocol => Ok(vec![with_ports(protocol)?]),
        }
    }

    /// A tag's name for the region of the subnet's network.
    fn regional(&self, tag: &str) -> String {
        let vnet = self.compiled.network.subnets[self.subnet.get()].vnet;
        match &self.compiled.network.vnets[vnet.get()].location {
            Some(region) => tag.replace("{region}", region),
            None => tag.to_owned(),
        }
    }

    fn remote(&self, end: &RowEnd) -> Found {
        let network = &self.compiled.network;
        match end {
            RowEnd { tag: Some(tag), .. } => {
                let name = TagName::new(&self.regional(tag));
                if name.as_str().contains('{') {
                    return Found::Open(format!("the export does not tell the region for `{name}`"));
                }
                if name.is(TagName::VIRTUAL_NETWORK) {
                    let vnet = network.subnets[self.subnet.get()].vnet;
                    return Found::Ends(EndSet::of_vnet(self.compiled, vnet));
                }
                let known = self.compiled.tags.get(&name).map(|tag| tag.prefixes.clone());
                match fixed_tag(&name).or(known) {
                    Some(prefixes) => Found::Ends(EndSet::of_addresses(AddressSet::from_prefixes(prefixes))),
                    None => Found::Open(format!("no file has the tag `{name}`")),
                }
            }
            RowEnd { private_endpoint: Some(of), .. } => {
                let group = match of.as_str() {
                    "workspace" => "amlworkspace",
                    "key-vault" => "vault",
                    of => of.strip_prefix("storage-").unwrap_or(of),
                };
                let leads_there = |place: &usize| {
                    let connections = &network.private_endpoints[*place].connections;
                    let mut groups = connections.iter().flat_map(|connection| &connection.group_ids);
                    groups.any(|known| known.eq_ignore_ascii_case(group))
                };
                let endpoints = (0..network.private_endpoints.len()).filter(leads_there);
                let ends = endpoints
                    .map(|place| EndSet::of_private_endpoint(self.compiled, PrivateEndpointIndex::new(place)))
                    .fold(EndSet::default(), |all, one| all.and(&one));
                match ends.receiving.is_empty() {
                    true => Found::Not(format!("the network has no private endpoint of {of}")),
                    false => Found::Ends(ends),
                }
            }
            RowEnd { network: Some(_), .. } => Found::Not("where the clients are is not known".to_owned()),
            RowEnd { .. } => Found::Not("rules of an NSG cannot name hosts".to_owned()),
        }
    }
}
