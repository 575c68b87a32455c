//! What the NSGs of special subnets must let through: Bastion's (BAS-2) and Application Gateway's (AGW-1).
//!
//! A row asks for packets, not for a literal rule. It is fulfilled if all of its packets pass: from or to every address
//! of its tag, at every address of the subnet, for each of its ports. Decisions where the clauses are silent, each
//! confidence `L`:
//!
//! - `in-1` takes "chosen addresses": one public client that comes in is enough. The addresses of `GatewayManager` are
//!   no clients, their row is `in-2`.
//! - Rows for protocol `*` are asked with TCP, which is all that these services send there; `agw-out-internet` with UDP
//!   too, as it is about the internet as such.
//! - `out-1` asks for both 22 and 3389: which custom ports a Bastion uses no export tells.
//! - The rows are about IPv4, which every such subnet has. The platform's own address counts in `in-4` and
//!   `agw-in-probes` alone.
//! - Where it hangs on something unknown whether a row is fulfilled, such as a tag that no file has, that is
//!   [`FindingCode::UndecidedRequiredRule`]: said, but no reason to refuse the input.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cover::{self, Fate, Question, Region};
use crate::compile::address_set::AddressSet;
use crate::compile::field::{AddressDoubt, AddressField, Doubt};
use crate::compile::resolve::{ResolvedRule, Resolver, fixed_tag};
use crate::compile::surroundings::{self, Surroundings, internet_list};
use crate::model::assumptions::Assumptions;
use crate::model::finding::{Finding, FindingCode};
use crate::model::id::ResourceId;
use crate::model::index::{NsgIndex, Reference, SubnetIndex};
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::rule::{Direction, Protocol};
use crate::model::services::GatewayGeneration;
use crate::model::tag::{TagCatalog, TagName};

/// The subnet of Azure Bastion, recognised by its name (TOP-10).
const BASTION_SUBNET: &str = "AzureBastionSubnet";
/// The addresses from which Azure manages gateways.
const GATEWAY_MANAGER: &str = "GatewayManager";
/// Public addresses of Azure's datacenters (TAG-12).
const AZURE_CLOUD: &str = "AzureCloud";

/// A row of BAS-2 or AGW-1.
struct Row {
    /// Its name: of the clause, or for AGW-1, which has none, our own.
    name: &'static str,
    direction: Direction,
    remote: Remote,
    ports: &'static [(u16, u16)],
    protocols: &'static [Protocol],
}

/// Whom the subnet must talk to.
#[derive(Clone, Copy)]
enum Remote {
    /// Any public client will do.
    Clients,
    /// Everybody in the tag.
    All(&'static str),
}

const fn row(name: &'static str, direction: Direction, remote: Remote, ports: &'static [(u16, u16)]) -> Row {
    Row { name, direction, remote, ports, protocols: &[Protocol::TCP] }
}

const HTTPS: &[(u16, u16)] = &[(443, 443)];
const DATA_PLANE: &[(u16, u16)] = &[(8080, 8080), (5701, 5701)];

const BASTION: [Row; 8] = {
    use Direction::{Inbound, Outbound};
    use Remote::{All, Clients};
    [
        row("in-1", Inbound, Clients, HTTPS),
        row("in-2", Inbound, All(GATEWAY_MANAGER), HTTPS),
        row("in-3", Inbound, All(TagName::VIRTUAL_NETWORK), DATA_PLANE),
        row("in-4", Inbound, All(TagName::AZURE_LOAD_BALANCER), HTTPS),
        row("out-1", Outbound, All(TagName::VIRTUAL_NETWORK), &[(22, 22), (3389, 3389)]),
        row("out-2", Outbound, All(TagName::VIRTUAL_NETWORK), DATA_PLANE),
        row("out-3", Outbound, All(AZURE_CLOUD), HTTPS),
        row("out-4", Outbound, All(TagName::INTERNET), &[(80, 80)]),
    ]
};

/// The ports that Azure manages a gateway of version 1 through, the narrower range.
const MANAGED_V1: Row =
    row("agw-in-ports", Direction::Inbound, Remote::All(GATEWAY_MANAGER), &[(65503, 65534)]);
/// The ports of version 2, which hold those of version 1.
const MANAGED_V2: Row =
    row("agw-in-ports", Direction::Inbound, Remote::All(GATEWAY_MANAGER), &[(65200, 65535)]);
const PROBED: Row =
    row("agw-in-probes", Direction::Inbound, Remote::All(TagName::AZURE_LOAD_BALANCER), &[(0, u16::MAX)]);
const REACHES_OUT: Row = Row {
    protocols: &[Protocol::TCP, Protocol::UDP],
    ..row("agw-out-internet", Direction::Outbound, Remote::All(TagName::INTERNET), &[(0, u16::MAX)])
};

/// Whether a row is fulfilled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It is.
    Yes,
    /// Why not.
    No(String),
    /// What it hangs on.
    Open(String),
}

/// What a special subnet needs, and whether its NSG lets it through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    /// The NSG.
    pub nsg: NsgIndex,
    /// The clause that asks for it.
    pub clause: &'static str,
    /// The row's name.
    pub row: &'static str,
    /// What must pass, in words.
    pub needed: String,
    /// Whether it does; if not, or if nobody knows, why.
    pub answer: Answer,
}

/// What the special subnets of a network need (BAS-2, AGW-1).
#[must_use]
pub fn requirements(network: &Network, tags: &TagCatalog, assumptions: Assumptions) -> Vec<Requirement> {
    let resolver = Resolver::new(network, tags, assumptions);
    let internet = internet_list(network, assumptions);
    let mut checker = Checker { network, resolver, tags, assumptions, internet };
    let mut requirements = Vec::new();
    for site in sites(network) {
        let around = checker.around(&site);
        for (row, answer) in checker.answers(&site, &around) {
            let subnet = site.here.map_or(site.subnet.as_str(), |subnet| network.subnet_name(subnet));
            let needed = needed(row, subnet, site.needs);
            let clause = site.needs.clause();
            requirements.push(Requirement { nsg: site.nsg, clause, row: row.name, needed, answer });
        }
    }
    requirements
}

/// Checks the NSGs of special subnets. `places` tells where each NSG stands in the input, in the order of
/// [`Network::nsgs`].
#[must_use]
pub fn check(
    network: &Network,
    tags: &TagCatalog,
    places: &[String],
    assumptions: Assumptions,
) -> Vec<Finding> {
    let finding = |requirement: Requirement| {
        let Requirement { nsg, row, needed, answer, .. } = requirement;
        let (code, message) = match answer {
            Answer::Yes => return None,
            Answer::No(why) => (FindingCode::MissingRequiredRule, format!("{needed} must pass: {why}")),
            Answer::Open(what) => {
                let message = format!("whether {needed} passes hangs on {what}, which is not known");
                (FindingCode::UndecidedRequiredRule, message)
            }
        };
        Some(Finding {
            place: places[nsg.get()].clone(),
            code,
            nsg: Some(network.nsg_name(nsg).to_owned()),
            rule: Some(row.to_owned()),
            message,
        })
    };
    requirements(network, tags, assumptions).into_iter().filter_map(finding).collect()
}

fn needed(row: &Row, subnet: &str, needs: Needs) -> String {
    let ports: Vec<String> = row
        .ports
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    let (word, remote) = match (row.direction, row.remote) {
        (Direction::Inbound, Remote::Clients) => ("from", "some public client"),
        (Direction::Inbound, Remote::All(tag)) => ("from", tag),
        (Direction::Outbound, Remote::All(tag)) => ("to", tag),
        (Direction::Outbound, Remote::Clients) => ("to", "some public server"),
    };
    let protocols: Vec<String> = row.protocols.iter().map(ToString::to_string).collect();
    format!(
        "{} {} {} {word} {remote} at subnet `{subnet}` ({})",
        row.direction,
        protocols.join("/"),
        ports.join(", "),
        needs.clause()
    )
}

/// A special subnet with an NSG of the inventory.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Site {
    nsg: NsgIndex,
    subnet: ResourceId,
    /// Where the inventory holds the subnet.
    here: Option<SubnetIndex>,
    needs: Needs,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Needs {
    Bastion,
    ApplicationGateway { v1: bool, v2: bool },
}

impl Needs {
    fn clause(self) -> &'static str {
        match self {
            Self::Bastion => "BAS-2",
            Self::ApplicationGateway { .. } => "AGW-1",
        }
    }
}

/// The special subnets that hold an NSG by their own account; those that the inventory lacks by the NSG's (JSON-3).
fn sites(network: &Network) -> BTreeSet<Site> {
    let mut sites = BTreeSet::new();
    let mut add = |subnet: &ResourceId, here, nsg| {
        if subnet.name().eq_ignore_ascii_case(BASTION_SUBNET) {
            sites.insert(Site { nsg, subnet: subnet.clone(), here, needs: Needs::Bastion });
        }
        if let Some(needs) = of_gateways(network, subnet, here) {
            sites.insert(Site { nsg, subnet: subnet.clone(), here, needs });
        }
    };
    for (position, subnet) in network.subnets.iter().enumerate() {
        if let Some(nsg) = subnet.nsg.as_ref().and_then(Reference::here) {
            add(&subnet.id, Some(SubnetIndex::new(position)), nsg);
        }
    }
    let known: BTreeSet<&ResourceId> = network.subnets.iter().map(|subnet| &subnet.id).collect();
    for (position, nsg) in network.nsgs.iter().enumerate() {
        for subnet in nsg.attached_subnets.iter().filter(|subnet| !known.contains(subnet)) {
            add(subnet, None, NsgIndex::new(position));
        }
    }
    sites
}

/// What the Application Gateways in a subnet need; nothing where there is none. One whose SKU the export does not tell
/// may be of either generation.
fn of_gateways(network: &Network, subnet: &ResourceId, here: Option<SubnetIndex>) -> Option<Needs> {
    let is_it = |reference: &Reference<SubnetIndex>| match reference {
        Reference::Here(index) => Some(*index) == here,
        Reference::Missing(id) => id == subnet,
    };
    let gateways = network.application_gateways.iter().filter(|gateway| gateway.subnets.iter().any(is_it));
    let generations: Vec<_> = gateways.map(|gateway| gateway.generation).collect();
    let holds = |generation| generations.contains(&Some(generation));
    (!generations.is_empty()).then(|| Needs::ApplicationGateway {
        v1: holds(GatewayGeneration::V1),
        v2: holds(GatewayGeneration::V2),
    })
}

struct Checker<'n> {
    network: &'n Network,
    resolver: Resolver<'n>,
    tags: &'n TagCatalog,
    assumptions: Assumptions,
    internet: AddressSet,
}

impl Checker<'_> {
    fn around(&self, site: &Site) -> Surroundings {
        match site.here {
            Some(subnet) => {
                surroundings::of_subnet(self.network, self.tags, self.assumptions, &self.internet, subnet)
            }
            None => surroundings::of_missing_subnet(&self.internet, &site.subnet),
        }
    }

    fn answers(&mut self, site: &Site, around: &Surroundings) -> Vec<(&'static Row, Answer)> {
        let rows: Vec<&'static Row> = match site.needs {
            Needs::Bastion => BASTION.iter().collect(),
            Needs::ApplicationGateway { .. } => vec![&PROBED, &REACHES_OUT],
        };
        let mut answers: Vec<_> = rows.into_iter().map(|row| (row, self.answer(row, site, around))).collect();
        if let Needs::ApplicationGateway { v1, v2 } = site.needs {
            answers.push(self.managed(v1, v2, site, around));
        }
        answers
    }

    /// Whether Azure can manage the gateways: through the ports of the generations that are there.
    fn managed(&mut self, v1: bool, v2: bool, site: &Site, around: &Surroundings) -> (&'static Row, Answer) {
        if v2 {
            // The wider range holds the other.
            return (&MANAGED_V2, self.answer(&MANAGED_V2, site, around));
        }
        let narrow = self.answer(&MANAGED_V1, site, around);
        if v1 || !matches!(narrow, Answer::Yes) {
            return (&MANAGED_V1, narrow);
        }
        match self.answer(&MANAGED_V2, site, around) {
            Answer::Yes => (&MANAGED_V2, Answer::Yes),
            Answer::No(_) => {
                (&MANAGED_V2, Answer::Open("the Application Gateway's SKU, v1 or v2".to_owned()))
            }
            open @ Answer::Open(_) => (&MANAGED_V2, open),
        }
    }

    fn answer(&mut self, row: &Row, site: &Site, around: &Surroundings) -> Answer {
        let rules = self.resolver.rules(site.nsg, row.direction, around);
        let locals = cover::cells(&rules, row.direction, &self.local(site, around));
        let remotes = self.remote(row.remote, around);
        let (mut denied, mut open) = (None, None);
        for (first, last) in row.ports {
            for port in cover::ports(&rules, (*first, *last)) {
                for (local, remote, protocol) in packets(&locals, &remotes, row.protocols) {
                    let question = Question { direction: row.direction, protocol, port, local, remote };
                    for (region, fate) in cover::fates(&rules, &question) {
                        match fate {
                            Fate::Allowed if matches!(row.remote, Remote::Clients) => return Answer::Yes,
                            Fate::Allowed => {}
                            Fate::Denied(rule) => {
                                denied.get_or_insert_with(|| {
                                    self.witness(site, &rules, &question, &region, rule)
                                });
                            }
                            Fate::Open(what) => {
                                open.get_or_insert(what);
                            }
                        }
                    }
                }
            }
        }
        match (row.remote, denied, open) {
            // Where one client is enough, a denied one proves nothing while another may come in.
            (Remote::Clients, _, Some(what)) => Answer::Open(what),
            (_, Some(why), _) => Answer::No(why),
            (Remote::All(_), None, Some(what)) => Answer::Open(what),
            (Remote::Clients, None, None) => Answer::No("there is no public address".to_owned()),
            (Remote::All(_), None, None) => Answer::Yes,
        }
    }

    /// One of the packets that do not pass, and the rule that stops it.
    fn witness(
        &self,
        site: &Site,
        rules: &[ResolvedRule],
        question: &Question<'_>,
        remote: &Region,
        rule: u32,
    ) -> String {
        debug_assert!(rules.iter().any(|resolved| resolved.position == rule));
        let shown = |region: &Region, else_: &str| {
            region.example().map_or_else(|| else_.to_owned(), |address| address.to_string())
        };
        let (local, remote) = (shown(question.local, "the subnet"), shown(remote, "an address of the tag"));
        let (from, to) = match question.direction {
            Direction::Inbound => (remote, local),
            Direction::Outbound => (local, remote),
        };
        let name = &self.network.nsgs[site.nsg.get()].rules[rule as usize].name;
        format!("{} from {from} to {to}, port {}, is denied by `{name}`", question.protocol, question.port)
    }

    /// The addresses of the subnet, from which and to which its NSG sees packets.
    fn local(&self, site: &Site, around: &Surroundings) -> Region {
        let own = site.here.map(|subnet| &self.network.subnets[subnet.get()]);
        let prefixes = own.map(|subnet| ipv4(&AddressSet::from_prefixes(subnet.prefixes.iter().copied())));
        match (prefixes, own) {
            (Some(prefixes), _) if !prefixes.is_empty() => Region::known(prefixes),
            (_, Some(subnet)) => {
                let space = &self.network.vnets[subnet.vnet.get()].address_space;
                let space = ipv4(&AddressSet::from_prefixes(space.iter().copied()));
                Region { unknown: Some(Vec::new()), ..Region::known(space) }
            }
            // Wherever the subnet is, it is a part of its own network.
            (_, None) => {
                let unknown = Some(around.virtual_network.doubts.clone());
                Region { unknown, ..Region::known(ipv4(&AddressSet::all())) }
            }
        }
    }

    fn remote(&mut self, remote: Remote, around: &Surroundings) -> Vec<Region> {
        match remote {
            Remote::All(TagName::VIRTUAL_NETWORK) => without_platform(&around.virtual_network),
            Remote::All(TagName::INTERNET) => without_platform(&around.internet),
            Remote::All(TagName::AZURE_LOAD_BALANCER) => {
                let probes = fixed_tag(&TagName::new(TagName::AZURE_LOAD_BALANCER));
                vec![Region::known(ipv4(&AddressSet::from_prefixes(probes.into_iter().flatten())))]
            }
            Remote::All(tag) => vec![self.tag(tag, around)],
            Remote::Clients => {
                let manager = self.tag(GATEWAY_MANAGER, around);
                let clients =
                    without_platform(&around.internet).into_iter().map(|region| match manager.unknown {
                        None => {
                            Region { addresses: region.addresses.difference(&manager.addresses), ..region }
                        }
                        Some(_) => Region { apart: Some(TagName::new(GATEWAY_MANAGER)), ..region },
                    });
                clients.collect()
            }
        }
    }

    /// The addresses of a tag that a file defines. Where none does they are some of `Internet`, which holds Azure's own
    /// public ranges (TAG-10).
    fn tag(&mut self, name: &str, around: &Surroundings) -> Region {
        let tag = TagName::new(name);
        if let Some(set) = self.resolver.tag_set(&tag) {
            return Region::known(ipv4(&set));
        }
        let scope = Arc::new(AddressSet::all());
        let mut unknown = vec![AddressDoubt { scope, about: Doubt::Tag(tag), negated: false }];
        unknown.extend(around.internet.doubts.iter().cloned());
        Region { unknown: Some(unknown), ..Region::known(ipv4(&around.outside)) }
    }
}

/// The regions of a field: what it holds, and for each doubt what it may hold.
fn without_platform(field: &AddressField) -> Vec<Region> {
    let platform = AddressSet::from_prefixes([platform()]);
    let cut = |set: &AddressSet| ipv4(&set.difference(&platform));
    let mut regions = vec![Region::known(cut(&field.known))];
    regions.extend(
        field
            .doubts
            .iter()
            .map(|doubt| Region { unknown: Some(vec![doubt.clone()]), ..Region::known(cut(&doubt.scope)) }),
    );
    regions.retain(|region| !region.addresses.is_empty());
    regions
}

fn packets<'r>(
    locals: &'r [Region],
    remotes: &'r [Region],
    protocols: &'r [Protocol],
) -> impl Iterator<Item = (&'r Region, &'r Region, Protocol)> {
    locals.iter().flat_map(move |local| {
        remotes
            .iter()
            .flat_map(move |remote| protocols.iter().map(move |protocol| (local, remote, *protocol)))
    })
}

fn ipv4(set: &AddressSet) -> AddressSet {
    set.intersection(&AddressSet::from_prefixes([surroundings::fixed("0.0.0.0/0")]))
}

fn platform() -> Prefix {
    surroundings::fixed(surroundings::PLATFORM)
}
