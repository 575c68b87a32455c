//! What shows from the names in rules and where NSGs stand: tags and public addresses on the side of the interface, empty
//! groups, NSGs that nothing asks.

use std::net::IpAddr;

use super::lists::Holders;
use super::tag_directions::recommended;
use super::{Detail, Found};
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::index::{AsgIndex, NsgIndex, PublicIpIndex, Reference};
use crate::model::lint::Check;
use crate::model::prefix::Prefix;
use crate::model::rule::{AddressTerm, Direction, Rule};
use crate::model::tag::TagName;
use crate::model::verdict::Interface;

/// What the rules of all NSGs are held against.
pub(super) struct Names<'c> {
    compiled: &'c CompiledNetwork,
    holders: &'c Holders,
    /// The public addresses of interfaces, sorted.
    public_addresses: Vec<(IpAddr, PublicIpIndex)>,
    /// By group, whether it has a member.
    has_member: Vec<bool>,
}

impl<'c> Names<'c> {
    pub(super) fn of(compiled: &'c CompiledNetwork, holders: &'c Holders) -> Self {
        let network = &*compiled.network;
        let configurations = || network.nics.iter().flat_map(|nic| &nic.ip_configurations);
        let public_ips =
            configurations().filter_map(|configuration| configuration.public_ip.as_ref()?.here());
        let mut public_addresses: Vec<_> = public_ips
            .filter_map(|public_ip| Some((network.public_ips[public_ip.get()].address?, public_ip)))
            .collect();
        public_addresses.sort_unstable();
        public_addresses.dedup();
        let mut has_member = vec![false; network.asgs.len()];
        let named = configurations().flat_map(|configuration| &configuration.asgs);
        named.for_each(|asg| has_member[asg.get()] = true);
        for (asg, has_member) in network.asgs.iter().zip(&mut has_member) {
            *has_member |= network.private_endpoints.iter().any(|endpoint| endpoint.asgs.contains(&asg.id));
        }
        Self { compiled, holders, public_addresses, has_member }
    }
}

/// What is odd about the names in an NSG's rules, and about where it stands.
pub(super) fn check(names: &Names<'_>, nsg: NsgIndex) -> Vec<Found> {
    let compiled = names.compiled;
    let network = &*compiled.network;
    let mut found = Vec::new();
    let stands = Stands::of(names, nsg);
    if stands == Stands::Nowhere {
        found.push(Found { check: Check::UnattachedNsg, nsg, rule: None, detail: Detail::None });
    }
    let rules = (0..).zip(&network.nsgs[nsg.get()].rules).filter(|(_, rule)| !rule.is_default);
    for (position, rule) in rules {
        let mut report = |check, detail| found.push(Found { check, nsg, rule: Some(position), detail });
        for tag in tags(rule) {
            if recommended(tag).is_some_and(|direction| direction != rule.direction) {
                report(Check::TagDirection, Detail::Tag(tag.clone()));
            }
        }
        if let Some(tag) = tag_without_effect(compiled, rule, &stands) {
            report(Check::TagWithoutEffect, Detail::Tag(tag.clone()));
        }
        for (address, public_ip) in public_addresses(names, rule, &stands) {
            report(Check::PublicAddress, Detail::PublicAddress { address, public_ip });
        }
        if !compiled.partial_inventory {
            for asg in empty_groups(names, rule) {
                report(Check::EmptyAsg, Detail::Asg(asg));
            }
        }
    }
    found
}

/// Where an NSG stands, as far as addresses are concerned.
#[derive(Eq, PartialEq)]
enum Stands {
    /// Nothing in the inventory holds it.
    Nowhere,
    /// Packets of any address may come by, or its subnet is not known.
    Anywhere,
    /// At these addresses: those of its subnets and interfaces.
    At(AddressSet),
}

impl Stands {
    fn of(names: &Names<'_>, nsg: NsgIndex) -> Self {
        let network = &*names.compiled.network;
        let subnets = &names.holders.subnets[nsg.get()];
        let interfaces = &names.holders.interfaces[nsg.get()];
        let holds = |reference: &Option<Reference<NsgIndex>>| *reference == Some(Reference::Here(nsg));
        let mut own_nics = network.nics.iter().filter(|nic| holds(&nic.nsg));
        if subnets.is_empty() && interfaces.is_empty() {
            let is_held = own_nics.next().is_some() || !network.nsgs[nsg.get()].attached_subnets.is_empty();
            return if is_held { Self::Anywhere } else { Self::Nowhere };
        }
        let balancers = &network.load_balancers;
        // A frontend's address comes in as it is (LB-5).
        let floats = balancers.iter().any(|balancer| {
            balancer.rules.iter().any(|rule| rule.floating_ip)
                || balancer.nat_rules.iter().any(|rule| rule.floating_ip)
        });
        let forwards = interfaces.iter().any(|interface| match interface {
            Interface::Nic(nic) => {
                let nic = &network.nics[nic.get()];
                nic.ip_forwarding || nic.subnet.as_ref().and_then(Reference::here).is_none()
            }
            _ => false,
        });
        if floats || forwards {
            return Self::Anywhere;
        }
        let prefixes = subnets.iter().flat_map(|subnet| network.subnets[subnet.get()].prefixes.clone());
        Self::At(AddressSet::from_prefixes(prefixes))
    }
}

fn tags(rule: &Rule) -> impl Iterator<Item = &TagName> {
    rule.source.iter().chain(&rule.destination).filter_map(|term| match term {
        AddressTerm::Tag(tag) => Some(tag),
        _ => None,
    })
}

/// The field on the side of the interface, whose addresses are its own, private ones (NSG-18).
fn own_side(rule: &Rule) -> &[AddressTerm] {
    match rule.direction {
        Direction::Inbound => &rule.destination,
        Direction::Outbound => &rule.source,
    }
}

/// A tag on the side of the interface none of whose addresses is one where the rule stands. Of a rule that stands nowhere
/// only tags of the file are told: those of services hold public addresses.
fn tag_without_effect<'r>(
    compiled: &CompiledNetwork,
    rule: &'r Rule,
    stands: &Stands,
) -> Option<&'r TagName> {
    own_side(rule).iter().find_map(|term| {
        let AddressTerm::Tag(tag) = term else { return None };
        // These have a shape of their own (NSG-15).
        if tag.is(TagName::VIRTUAL_NETWORK)
            || [TagName::AZURE_PLATFORM_DNS, TagName::AZURE_PLATFORM_IMDS, TagName::AZURE_PLATFORM_LKM]
                .iter()
                .any(|platform| tag.is(platform))
        {
            return None;
        }
        let of_file = || Some(AddressSet::from_prefixes(compiled.tags.get(tag)?.prefixes.iter().copied()));
        match stands {
            Stands::Anywhere => None,
            Stands::Nowhere => compiled.tags.get(tag).map(|_| tag),
            // No subnet holds the platform's address.
            Stands::At(_) if tag.is(TagName::AZURE_LOAD_BALANCER) => Some(tag),
            Stands::At(addresses) => {
                let held =
                    if tag.is(TagName::INTERNET) { Some(compiled.internet.clone()) } else { of_file() };
                held.filter(|held| held.intersection(addresses).is_empty()).map(|_| tag)
            }
        }
    })
}

/// Public addresses of interfaces that a rule names where only private ones are seen (NSG-18): each prefix on the side of
/// the interface that holds such an address and none where the rule stands.
fn public_addresses(names: &Names<'_>, rule: &Rule, stands: &Stands) -> Vec<(IpAddr, PublicIpIndex)> {
    let holds_own = |prefix: Prefix| match stands {
        Stands::Anywhere => true,
        Stands::Nowhere => false,
        Stands::At(addresses) => !AddressSet::from_prefixes([prefix]).intersection(addresses).is_empty(),
    };
    let is_whole_family = |prefix: &Prefix| prefix.prefix_len() == 0;
    let prefixes = own_side(rule).iter().filter_map(|term| match term {
        AddressTerm::Prefix(prefix) => Some(*prefix),
        _ => None,
    });
    let mut found = Vec::new();
    for prefix in prefixes.filter(|prefix| !is_whole_family(prefix) && !holds_own(*prefix)) {
        found.extend(names.public_addresses.iter().filter(|(address, _)| prefix.contains(address)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The groups that a rule names and that have no member (ASG-2).
fn empty_groups(names: &Names<'_>, rule: &Rule) -> Vec<AsgIndex> {
    let named = rule.source.iter().chain(&rule.destination).filter_map(|term| match term {
        AddressTerm::Asg(Reference::Here(asg)) => Some(*asg),
        _ => None,
    });
    let mut empty: Vec<AsgIndex> = named.filter(|asg| !names.has_member[asg.get()]).collect();
    empty.sort_unstable();
    empty.dedup();
    empty
}
