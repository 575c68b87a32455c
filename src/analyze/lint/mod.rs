//! What is odd about the NSGs of one network: rules that decide about nothing, rules that are not needed, rules that let in
//! more than is meant.
//!
//! In: a compiled network. Out: what was [found], each with the NSG and rule concerned, who is to blame, and a packet that
//! shows it where there is one. Exact: nothing is sampled, and service tags count as the addresses that they stand for.
//!
//! A rule is looked at in every list that its NSG has: `VirtualNetwork` and `Internet` differ from subnet to subnet. What is
//! said holds in all of them, and whatever the answers to open questions are; of an NSG that stands nowhere, nothing is
//! known of these two tags. A packet is one of two different addresses of one family, with a protocol, and ports where that
//! has any. Packets that rules never meet (PLAT-1 to PLAT-5) are none; to the platform's services, rules with a tag of the
//! platform are the whole list (PLAT-2). What networks do not carry at all (PLAT-9) counts as a packet. The default rules (DEF-1) count, and are never told themselves.
//!
//! - *Shadowed*: no packet reaches the rule; rules ahead of it match all that it does. If one of them says of some packet
//!   what the rule does not, it is shadowed *with the opposite access*: somebody may believe that it acts. What covers it
//!   is told as a set from which none can be left out, and which is one rule where one suffices.
//! - *Redundant*: packets reach it, but without it each of them gets the same access from the rules behind. Each rule is
//!   looked at by itself: of two that stand in for each other only one can go.
//! - *Matches nothing*: no packet has all that it asks for.
//! - *Exempt*: its packets are all such as rules never meet.
//! - *Unreachable*: an allowing rule that packets reach, but the other NSG (of the subnet, of the interface) denies them
//!   all at every interface where the rule stands (EVAL-2, EVAL-3).
//! - *Overlapping*: two rules of opposite access share packets and neither covers the other.

mod classes;
mod covers;
mod cut;
mod internet;
pub mod judged;
mod layers;
mod lists;
mod names;
mod overlaps;
mod standing;
mod tag_directions;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rayon::prelude::*;

use self::covers::{Takers, cover, heirs};
use self::cut::Cut;
use self::lists::{Holders, OfNsg};
use self::names::Names;
use self::standing::{Standing, standing};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::FiveTuple;
use crate::model::index::{AsgIndex, NsgIndex, PublicIpIndex};
use crate::model::lint::Check;
use crate::model::rule::{Access, Direction};
use crate::model::tag::TagName;

/// One thing that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// What it is.
    pub check: Check,
    /// The NSG.
    pub nsg: NsgIndex,
    /// The rule, by its position in [`Nsg::rules`](crate::model::nsg::Nsg::rules), where it is about one.
    pub rule: Option<u32>,
    /// What more there is to say.
    pub detail: Detail,
}

/// What more there is to say about something that was found. Rules are positions in the same NSG unless one is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Detail {
    /// Nothing.
    None,
    /// It is shadowed.
    Covered {
        /// By these rules together, ascending.
        by: Vec<u32>,
        /// And by the platform, which exempts some of its packets.
        by_platform: bool,
        /// A packet that it matches, and who decides about it: nothing for the platform.
        witness: Option<(FiveTuple, Option<u32>)>,
    },
    /// It is redundant.
    TakenOver {
        /// These rules would decide about its packets, ascending.
        by: Vec<u32>,
        /// And the platform, which exempts what no rule with a tag of the platform denies.
        by_platform: bool,
    },
    /// The other NSG denies its packets.
    DeniedBy {
        /// By these rules, by NSG and position.
        by: Vec<(NsgIndex, u32)>,
        /// A packet that it allows, and who denies it.
        witness: (FiveTuple, NsgIndex, u32),
    },
    /// It shares packets with a rule behind.
    Shares {
        /// The rule.
        with: u32,
        /// A packet that both match.
        witness: FiveTuple,
    },
    /// A tag that it names.
    Tag(TagName),
    /// A public address that it names.
    PublicAddress {
        /// The address.
        address: IpAddr,
        /// The resource.
        public_ip: PublicIpIndex,
    },
    /// A group that it names.
    Asg(AsgIndex),
    /// It lets in the internet.
    LetsIn {
        /// To these ports; to all where there are none.
        ports: Vec<u16>,
        /// A packet.
        witness: FiveTuple,
    },
}

/// What is odd about the NSGs of a network, of what is asked for; by NSG and rule.
#[must_use]
pub fn found(compiled: &CompiledNetwork, is_asked: impl Fn(Check) -> bool + Sync) -> Vec<Found> {
    let holders = Holders::of(compiled);
    let lists = lists::all(compiled, &holders);
    let by_list = lists.par_iter().map(|of_nsg| of_list(compiled, &holders, of_nsg, &is_asked));
    let nsgs = (0..compiled.network.nsgs.len()).into_par_iter();
    let names = Names::of(compiled, &holders);
    let by_name = nsgs.map(|nsg| names::check(&names, NsgIndex::new(nsg)));
    let mut found: Vec<Found> = by_list.collect::<Vec<_>>().into_iter().flatten().collect();
    found.extend(by_name.collect::<Vec<_>>().into_iter().flatten());
    found.retain(|found| is_asked(found.check));
    found.sort_by_key(|found| (found.nsg, found.rule, found.check));
    found
}

/// What is odd about the rules of one direction of an NSG.
fn of_list(
    compiled: &CompiledNetwork,
    holders: &Holders,
    of_nsg: &OfNsg<'_>,
    is_asked: &(impl Fn(Check) -> bool + Sync),
) -> Vec<Found> {
    let nsg = &compiled.network.nsgs[of_nsg.nsg.get()];
    let about = |check, rule, detail| Found { check, nsg: of_nsg.nsg, rule: Some(rule), detail };
    let custom: Vec<u32> = (0..)
        .zip(&nsg.rules)
        .filter(|(_, rule)| !rule.is_default && rule.direction == of_nsg.direction)
        .map(|(position, _)| position)
        .collect();
    if custom.is_empty() {
        return Vec::new();
    }
    let asks = |checks: &[Check]| checks.iter().any(|check| is_asked(*check));
    let mut found = Vec::new();

    let wide = if of_nsg.direction == Direction::Inbound
        && asks(&[Check::InternetToManagement, Check::InternetToAllPorts])
    {
        internet::wide_rules(compiled, nsg)
    } else {
        Vec::new()
    };
    let (wide_rules, marked): (Vec<u32>, Vec<_>) = wide.into_iter().unzip();
    let mut cuts: Vec<Cut> = Vec::new();
    for list in 0..of_nsg.lists.len() {
        let ports = if marked.is_empty() { Vec::new() } else { internet::told_apart() };
        cuts.push(of_nsg.cut(list, marked.clone(), ports));
    }
    let mut told: BTreeSet<(Check, u32)> = BTreeSet::new();
    for cut in cuts.iter().filter(|_| !wide_rules.is_empty()) {
        for (rule, lets_in) in internet::lets_in(cut, nsg, &wide_rules) {
            if let Some((ports, witness)) = lets_in.management
                && told.insert((Check::InternetToManagement, rule))
            {
                let detail = Detail::LetsIn { ports: ports.into_iter().collect(), witness };
                found.push(about(Check::InternetToManagement, rule, detail));
            }
            if let Some(witness) = lets_in.all_ports
                && told.insert((Check::InternetToAllPorts, rule))
            {
                let detail = Detail::LetsIn { ports: Vec::new(), witness };
                found.push(about(Check::InternetToAllPorts, rule, detail));
            }
        }
    }
    if is_asked(Check::Overlapping) {
        let mut pairs = BTreeSet::new();
        let is_custom = |rule: u32| custom.binary_search(&rule).is_ok();
        for (ahead, behind, witness) in cuts.iter().flat_map(|cut| overlaps::overlaps(cut, is_custom)) {
            if pairs.insert((ahead, behind)) {
                found.push(about(Check::Overlapping, ahead, Detail::Shares { with: behind, witness }));
            }
        }
    }
    if is_asked(Check::Unreachable)
        && custom.iter().any(|rule| nsg.rules[*rule as usize].access == Access::Allow)
    {
        for (rule, beyond) in layers::unreachable(compiled, of_nsg, &holders.interfaces[of_nsg.nsg.get()]) {
            let by = beyond.denied_by.into_iter().collect();
            let witness = beyond.witness.expect("only what is denied is told");
            found.push(about(Check::Unreachable, rule, Detail::DeniedBy { by, witness }));
        }
    }
    let of_lists =
        [Check::Shadowed, Check::ShadowedOpposite, Check::Redundant, Check::MatchesNothing, Check::Exempt];
    if asks(&of_lists) {
        found.extend(
            decided(of_nsg, cuts, nsg.rules.len(), &custom)
                .into_iter()
                .map(|(rule, check, detail)| about(check, rule, detail)),
        );
    }
    found
}

/// Which custom rules decide about no packet, or about none that others would not decide alike.
fn decided(of_nsg: &OfNsg<'_>, cuts: Vec<Cut>, rules: usize, custom: &[u32]) -> Vec<(u32, Check, Detail)> {
    let mut known = Standing::of(rules);
    for cut in &cuts {
        // A list of an NSG always decides (DEF-1).
        known = known.or(&standing(cut, rules, Access::Deny));
    }
    let mut all = cuts;
    for cut in of_nsg.platform_cuts() {
        known = known.or(&standing(&cut, rules, Access::Allow));
        all.push(cut);
    }
    let told: Vec<u32> = custom.iter().copied().filter(|rule| !known.is_needed[*rule as usize]).collect();
    let tell = |rule: &u32| {
        let rule = *rule;
        if known.is_reached[rule as usize] {
            let Takers { rules, platform } = heirs(&all, rule);
            let by = rules.into_iter().collect();
            return (rule, Check::Redundant, Detail::TakenOver { by, by_platform: platform });
        }
        let cover = cover(&all, rule);
        let check = match (cover.by.rules.is_empty(), cover.by.platform, cover.is_opposite) {
            (true, false, _) => return (rule, Check::MatchesNothing, Detail::None),
            (true, true, _) => Check::Exempt,
            (false, _, true) => Check::ShadowedOpposite,
            (false, _, false) => Check::Shadowed,
        };
        let by = cover.by.rules.into_iter().collect();
        (rule, check, Detail::Covered { by, by_platform: cover.by.platform, witness: cover.witness })
    };
    told.par_iter().map(tell).collect()
}
