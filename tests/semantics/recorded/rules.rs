//! Effective rules (NW-6) and security group views (NW-7): the rules themselves, and what names stand for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork, PolicyReference};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::{NicIndex, Reference};
use nsgsim::model::network::Network;
use nsgsim::model::nsg::{Nsg, default_rules};
use nsgsim::model::prefix::{PortRange, Prefix};
use nsgsim::model::rule::{AddressTerm, Direction, PortTerm, Protocol, ProtocolMatch, Rule};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::Interface;
use serde_json::Value;

use super::{bare, judge_all, spelt};
use crate::engine::{ENGINES, Judging};

/// What is compared of a rule: direction, priority, name, access, protocol; source and destination; their ports.
type Told = (String, u64, String, String, String, [BTreeSet<String>; 2], [BTreeSet<PortRange>; 2]);

#[test]
fn effective_rules_are_those_that_the_service_listed() {
    judge_all("effectiveNetworkSecurityGroups", |_, network, query| {
        let mut agreed = Vec::new();
        for entry in query["answer"]["value"].as_array().ok_or("no list")? {
            let id = entry["networkSecurityGroup"]["id"].as_str().unwrap_or_default();
            let nsg = network.find_nsg(id).first().copied().ok_or("no NSG")?;
            let rules = entry["effectiveSecurityRules"].as_array().ok_or("no rules")?;
            let own = &network.nsgs[nsg.get()];
            same(listed(&own.rules), read(rules), id)?;
            let nic = entry["association"]["networkInterface"]["id"].as_str().ok_or("no interface")?;
            let nic = network.find_nic(nic).first().copied().ok_or("no interface")?;
            if !matches!(network.nics[nic.get()].nsg, Some(Reference::Here(held)) if held == nsg) {
                return Err(format!("the interface does not hold {id}"));
            }
            let expansions = expansions(network, nic, rules)?;
            agreed.push(format!("{} rules of {}, {expansions} expansions", own.rules.len(), own.id.name()));
        }
        if agreed.is_empty() { Err("no NSG".to_owned()) } else { Ok(agreed.join("; ")) }
    });
}

#[test]
fn security_group_views_are_those_that_the_service_gave() {
    judge_all("securityGroupView", |_, network, query| {
        let mut agreed = Vec::new();
        for entry in query["answer"]["networkInterfaces"].as_array().ok_or("no interfaces")? {
            let id = entry["id"].as_str().ok_or("no ID")?;
            let nic = network.find_nic(id).first().copied().ok_or("no interface")?;
            let parts = &entry["securityRuleAssociations"];
            let rules = |part: &Value| part.as_array().map_or(&[][..], Vec::as_slice).to_vec();

            // Each NSG's own rules, and which of the two places has one.
            let subnet = network.subnet_of(nic).ok_or("no subnet")?;
            let of_subnet = &network.subnets[subnet.get()].nsg;
            let places = [
                ("networkInterfaceAssociation", &network.nics[nic.get()].nsg),
                ("subnetAssociation", of_subnet),
            ];
            let mut all = Vec::new();
            for (part, held) in places {
                let own = match held {
                    Some(Reference::Here(nsg)) => &network.nsgs[nsg.get()],
                    Some(Reference::Missing(nsg)) => return Err(format!("no NSG {nsg}")),
                    None if parts[part].is_null() => continue,
                    None => return Err(format!("{part}: no NSG is held there")),
                };
                let custom: Vec<Rule> = own.rules.iter().filter(|rule| !rule.is_default).cloned().collect();
                same(listed(&custom), read(&rules(&parts[part]["securityRules"])), part)?;
                all.extend_from_slice(&own.rules);
            }
            same(listed(&default_rules()), read(&rules(&parts["defaultSecurityRules"])), "default rules")?;
            let effective = rules(&parts["effectiveSecurityRules"]);
            same(listed(&all), read(&effective), "effective rules")?;
            let expansions = expansions(network, nic, &effective)?;
            agreed.push(format!("{} rules, {expansions} expansions", all.len()));
        }
        if agreed.is_empty() { Err("no interface".to_owned()) } else { Ok(agreed.join("; ")) }
    });
}

fn same(mut own: Vec<Told>, mut theirs: Vec<Told>, what: &str) -> Result<(), String> {
    own.sort();
    theirs.sort();
    if own == theirs { Ok(()) } else { Err(format!("{what}: {own:?} here, {theirs:?} there")) }
}

/// Rules as they are told here. The `*` of addresses is what the service lists as `0.0.0.0/0`.
fn listed(rules: &[Rule]) -> Vec<Told> {
    let addresses = |terms: &[AddressTerm]| {
        let word = |term: &AddressTerm| match term {
            AddressTerm::Any => "*".to_owned(),
            AddressTerm::Prefix(prefix) => prefix.to_string(),
            AddressTerm::Tag(tag) => tag.folded().to_owned(),
            AddressTerm::Asg(_) | AddressTerm::Invalid(_) => panic!("{term:?} is in no recording"),
        };
        terms.iter().map(word).collect()
    };
    let ports = |terms: &[PortTerm]| {
        let range = |term: &PortTerm| match term {
            PortTerm::Range(range) => *range,
            PortTerm::Invalid(text) => panic!("{text} is in no recording"),
        };
        terms.iter().map(range).collect()
    };
    let told = |rule: &Rule| {
        let protocol = match &rule.protocol {
            ProtocolMatch::Any => "all".to_owned(),
            ProtocolMatch::Is(protocol) => protocol.to_string(),
            ProtocolMatch::Invalid(text) => text.clone(),
        };
        (
            rule.direction.to_string(),
            u64::from(rule.priority.0),
            rule.name.to_ascii_lowercase(),
            rule.access.to_string(),
            protocol,
            [addresses(&rule.source), addresses(&rule.destination)],
            [ports(&rule.source_ports), ports(&rule.destination_ports)],
        )
    };
    rules.iter().map(told).collect()
}

/// Rules of an answer, with or without `properties`. Those that only show that nothing is left (DEF-4) are no rules of
/// an NSG.
fn read(rules: &[Value]) -> Vec<Told> {
    let told = |rule: &Value| {
        let rule = if rule["properties"].is_object() {
            let mut flat = rule["properties"].clone();
            flat["name"] = rule["name"].clone();
            flat
        } else {
            rule.clone()
        };
        let text = |member: &str| rule[member].as_str().unwrap_or_default().to_ascii_lowercase();
        let name = bare(rule["name"].as_str().expect("a name")).to_ascii_lowercase();
        if ["defaultinbounddenyall", "defaultoutbounddenyall"].contains(&name.as_str()) {
            return None;
        }
        // A field stands in the singular, in the plural, or in both.
        let both = |singular: &str, plural: &str| -> Vec<String> {
            let many = rule[plural].as_array().into_iter().flatten();
            let words = std::iter::once(&rule[singular]).chain(many);
            words.filter_map(|word| word.as_str().map(str::to_ascii_lowercase)).collect()
        };
        let addresses = |side: &str| {
            let words = both(&format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes"));
            let word = |word: String| if word == "0.0.0.0/0" { "*".to_owned() } else { word };
            words.into_iter().map(word).collect()
        };
        let ports = |side: &str| {
            let words = both(&format!("{side}PortRange"), &format!("{side}PortRanges"));
            words.iter().map(|word| word.parse().expect("a port range")).collect()
        };
        Some((
            text("direction"),
            rule["priority"].as_u64().expect("a priority"),
            name,
            text("access"),
            text("protocol").replace('*', "all"),
            [addresses("source"), addresses("destination")],
            [ports("source"), ports("destination")],
        ))
    };
    rules.iter().filter_map(told).collect()
}

/// How many expansions of names agree: as sets, as far as the family is listed, and by what the engines decide at their
/// borders.
fn expansions(network: &Network, nic: NicIndex, rules: &[Value]) -> Result<usize, String> {
    let tags = TagCatalog::default();
    let compiled = CompiledNetwork::new(Arc::new(network.clone()), Arc::new(tags), CompileOptions::default());
    let mut compared = 0;
    let mut differences = BTreeSet::new();
    for rule in rules {
        for (side, is_source) in [("Source", true), ("Destination", false)] {
            let Some(prefixes) = rule[format!("expanded{side}AddressPrefix")].as_array() else { continue };
            let prefix = |prefix: &Value| prefix.as_str().expect("a text").parse().expect("a range");
            let prefixes: Vec<Prefix> = prefixes.iter().map(prefix).collect();
            let name = rule[format!("{}AddressPrefix", side.to_lowercase())].as_str().expect("a name");
            let direction = match rule["direction"].as_str() {
                Some("Inbound") => Direction::Inbound,
                _ => Direction::Outbound,
            };
            let own = known(&compiled, nic, direction, rule["name"].as_str().expect("a name"), is_source)
                .ok_or_else(|| format!("{name}: not certain"))?;
            let theirs = AddressSet::from_prefixes(prefixes.iter().copied());
            let family = |prefix: Prefix| AddressSet::from_prefixes([prefix]);
            let v4 = family("0.0.0.0/0".parse().expect("a prefix"));
            let (own_v4, theirs_v4) = (own.intersection(&v4), theirs.intersection(&v4));
            let size = |set: &AddressSet| -> u64 {
                set.ranges_v4().iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum()
            };
            let (more, fewer) = (theirs_v4.difference(&own_v4), own_v4.difference(&theirs_v4));
            if !more.is_empty() || !fewer.is_empty() {
                differences.insert(format!("{name}: {} addresses more, {} fewer", size(&more), size(&fewer)));
                continue;
            }
            if !theirs.ranges_v6().is_empty() && theirs.ranges_v6() != own.ranges_v6() {
                differences.insert(format!("{name}: other IPv6 addresses"));
                continue;
            }
            borders_decide_alike(network, nic, name, is_source, &theirs)?;
            compared += 1;
        }
    }
    if differences.is_empty() {
        Ok(compared)
    } else {
        Err(differences.into_iter().collect::<Vec<_>>().join("; "))
    }
}

/// What a rule's source or destination certainly holds at an interface; nothing where something about it is open.
fn known(
    compiled: &CompiledNetwork,
    nic: NicIndex,
    direction: Direction,
    name: &str,
    source: bool,
) -> Option<AddressSet> {
    compiled.layers(Interface::Nic(nic), direction).iter().find_map(|layer| {
        let PolicyReference::Compiled(position) = &layer.policy else { return None };
        let policy = &compiled.policies[*position];
        let written = &compiled.network.nsgs[policy.nsg().get()].rules;
        let rule = policy.rules.iter().find(|rule| {
            let own = &written[rule.position as usize];
            own.name.eq_ignore_ascii_case(bare(name))
        })?;
        let [clause] = &rule.clauses[..] else { return None };
        let field = if source { &clause.source } else { &clause.destination };
        field.doubts.is_empty().then(|| AddressSet::clone(&field.known))
    })
}

/// With the default rules alone, which one decides tells whether a name holds an address: all engines must say what the
/// service's list says, at its borders and next to them.
fn borders_decide_alike(
    network: &Network,
    nic: NicIndex,
    name: &str,
    source: bool,
    theirs: &AddressSet,
) -> Result<(), String> {
    let (direction, decider) = match (name, source) {
        ("VirtualNetwork", true) => (Direction::Inbound, "AllowVnetInBound"),
        ("VirtualNetwork", false) => (Direction::Outbound, "AllowVnetOutBound"),
        // In `VirtualNetwork`, whose rule goes first, or, of IPv6, in this alone.
        ("AzureLoadBalancer", true) => return Ok(()),
        ("Internet", false) => (Direction::Outbound, "AllowInternetOutBound"),
        ("Internet", true) => return Ok(()),
        other => return Err(format!("{other:?}: no default rule tells")),
    };
    let mut bare_network = network.clone();
    for nsg in &mut bare_network.nsgs {
        *nsg = Nsg::new(nsg.id.clone(), Vec::new());
    }
    let own = network.nics[nic.get()].ip_configurations.iter().find_map(|own| own.address);
    let own = own.ok_or("no address")?;
    let mut probes = BTreeSet::new();
    for (first, last) in theirs.ranges_v4() {
        probes.extend([first.saturating_sub(1), first, last, last.saturating_add(1)]);
    }
    let tags = TagCatalog::default();
    for (engine, make) in ENGINES {
        let engine_made = make(bare_network.clone(), &tags, Judging::default());
        for probe in &probes {
            let far = IpAddr::from(std::net::Ipv4Addr::from(*probe));
            let (from, to) = if direction == Direction::Inbound { (far, own) } else { (own, far) };
            let tuple = FiveTuple {
                source: from,
                destination: to,
                protocol: Protocol::TCP,
                source_port: Port::Number(1000),
                destination_port: Port::Number(80),
            };
            let answer = engine_made.ip_flow(nic, direction, &Packet::new(tuple));
            let decided = spelt(&bare_network, &answer).1;
            // The rule for `VirtualNetwork` goes first where both hold the address.
            let earlier = decider == "AllowInternetOutBound" && decided == "AllowVnetOutBound";
            if !earlier && (decided == decider) != theirs.contains(far) {
                return Err(format!("{name}: {engine}: {far} decided by {decided}"));
            }
        }
    }
    Ok(())
}
