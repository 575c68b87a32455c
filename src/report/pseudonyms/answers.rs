//! What is said of a network and its traffic, under pseudonyms.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Mask, Pseudonyms, mask_members};
use crate::analyze::usage::{Block, RuleUse, Seen, SideUse, Usage};
use crate::analyze::whatif::{Comparison, Counts, Flip};
use crate::model::assumptions::Clause;
use crate::model::flow::FiveTuple;
use crate::model::flow_log::{LoggedFlow, RuleKind};
use crate::model::recorded::{RecordedRule, RecordedVerdict};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Answer, BackendAnswer, Note, RouteStep, Step, Translation, Verdict};
use crate::replay::conversations::Conversation;
use crate::replay::run::Totals;
use crate::replay::tally::{DeniedGroup, Hits, Tally};
use crate::report::inputs::{Inputs, InternetSource};
use crate::report::ledger::{DamageJson, Provenance, UnreadJson};

mask_members! {
    FiveTuple { source, destination } keeps { protocol, source_port, destination_port }
    Answer { verdict, steps, routes, translation, notes, backends } keeps { asymmetric }
    BackendAnswer { address, verdict } keeps { balancer, nic }
    Step { seen } keeps { interface, direction, answer, access }
    RouteStep { prefix, next_hop_address, name } keeps { interface, source, next_hop }
    Conversation { tuple, verdict, recorded } keeps { location, first_ns, last_ns, packets, bytes, returned, at }
    DeniedGroup { source, destination } keeps { protocol, destination_port, decider }
    Flip { example } keeps { hits, sources, destinations, at, location }
    Comparison { base, candidate, counts } keeps {}
}

impl Mask for Usage {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { rules, asked: _, flows: _, open_flows: _ } = self;
        for rule in rules.values_mut() {
            let RuleUse { hits: _, open_flows: _, protocols: _, source, destination } = rule;
            source.mask(by);
            destination.mask(by);
        }
    }
}

impl Mask for SideUse {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self {
            terms: _,
            port_terms: _,
            addresses,
            blocks,
            tags,
            addresses_unknown: _,
            ports: _,
            portless: _,
        } = self;
        seen_masked(addresses, by);
        seen_masked(blocks, by);
        *tags = tags.iter().map(|(tag, flows)| (by.masked(tag), *flows)).collect();
    }
}

fn seen_masked<T: Mask + Clone + Ord>(seen: &mut Seen<T>, by: &Pseudonyms) {
    seen.flows = seen.flows.iter().map(|(value, flows)| (by.masked(value), *flows)).collect();
}

impl Mask for Block {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { prefix, subnet: _ } = self;
        prefix.mask(by);
    }
}

impl Mask for Verdict {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Undetermined(unknown) => unknown.mask(by),
            // By positions in the network.
            Self::Allow(_) | Self::Deny(_) | Self::Mixed(_) => {}
        }
    }
}

impl Mask for Unknown {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::TagHolds { tag, address } => {
                tag.mask(by);
                address.mask(by);
            }
            Self::ConnectedSpaceHolds { subnet, missing, address } => {
                subnet.mask(by);
                missing.mask(by);
                address.mask(by);
            }
            Self::AsgHolds { asg: resource, address }
            | Self::PolicyNamesAccountAt { subnet: resource, address }
            | Self::TranslatedSourceIs { service: resource, address } => {
                resource.mask(by);
                address.mask(by);
            }
            Self::FieldMatches { rule: _, text } => text.mask(by),
            Self::AdminConfigurationIsDeployed { configuration } => configuration.mask(by),
            Self::ManagerGoesFirst { first, second } => {
                first.mask(by);
                second.mask(by);
            }
            Self::NsgAllows { nsg: resource, direction: _ }
            | Self::SameRegion { account: resource }
            | Self::ResourceAllows { resource }
            | Self::ForeignSourceLeaves { nic: resource } => resource.mask(by),
            Self::FeatureAllows { feature: _, resource } => resource.mask(by),
            Self::UnlistedNicAllows { address }
            | Self::OwnerAllows { address }
            | Self::TranslatedSource { address }
            | Self::AmbiguousPlace { address } => address.mask(by),
            Self::FlowIsOpen { because } => because.mask(by),
            Self::PortMatches { .. } | Self::TooManyUnknowns | Self::TooManyWays => {}
        }
    }
}

impl Mask for Note {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::NoEndpoint { address } => address.mask(by),
            Self::DidNotMatter(unknown) => unknown.mask(by),
            Self::Decision { .. } | Self::NoPublicAddress { .. } | Self::TakenToForward { .. } => {}
        }
    }
}

impl Mask for Translation {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { destination, snat: _, source } = self;
        if let Some((address, _)) = destination {
            address.mask(by);
        }
        source.mask(by);
    }
}

impl Mask for RecordedVerdict {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { access: _, rule } = self;
        *rule = rule.as_deref().map(|rule| by.masked(rule).into());
    }
}

impl Mask for RecordedRule {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { acl, name, kind } = self;
        *acl = acl.as_deref().map(|acl| by.id("nsg", acl).into());
        // The platform's rules are Azure's own.
        if !matches!(kind, RuleKind::Platform | RuleKind::Unspecified) {
            *name = by.rule(name).into();
        }
    }
}

impl Mask for LoggedFlow {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { mac, acl, rule, rule_kind, source, destination, .. } = self;
        *mac = by.mac(*mac);
        let mut named = RecordedRule { acl: Some(Arc::clone(acl)), name: Arc::clone(rule), kind: *rule_kind };
        named.mask(by);
        if let RecordedRule { acl: Some(masked), name, .. } = named {
            (*acl, *rule) = (masked, name);
        }
        source.mask(by);
        destination.mask(by);
    }
}

impl Mask for Totals {
    fn mask(&mut self, by: &Pseudonyms) {
        // Whether rules agree is told by their true names: of them only what is shown is masked.
        let Self { ledger: _, tally, agreement: _ } = self;
        let Tally { verdicts: _, deciders: _, denied, denied_beyond: _, span: _ } = tally;
        *denied = keys_masked(denied, by);
    }
}

fn keys_masked(groups: &BTreeMap<DeniedGroup, Hits>, by: &Pseudonyms) -> BTreeMap<DeniedGroup, Hits> {
    groups.iter().map(|(group, hits)| (by.masked(group), *hits)).collect()
}

impl Mask for Counts {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { flips, both: _, base_only: _, candidate_only: _ } = self;
        flips.values_mut().for_each(|flip| flip.mask(by));
    }
}

/// What is said in place of a text that quotes the input.
const NOT_SHOWN: &str = "not shown under pseudonyms";

impl Mask for Provenance {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { files, damage, unread, unread_beyond: _, ignored, timing: _, inputs, pseudonyms } = self;
        let known = files.clone();
        for (number, file) in (1..).zip(files.iter_mut()) {
            *file = format!("input-{number}");
        }
        for DamageJson { file, message, .. } in damage {
            if let Some(position) = known.iter().position(|known| known == file) {
                file.clone_from(&files[position]);
            } else {
                file.mask(by);
            }
            NOT_SHOWN.clone_into(message);
        }
        for UnreadJson { place, message, .. } in unread {
            NOT_SHOWN.clone_into(place);
            NOT_SHOWN.clone_into(message);
        }
        ignored.iter_mut().for_each(|file| *file = by.name("file", file));
        let Inputs {
            network,
            candidate,
            facts,
            edit,
            tags: _,
            candidate_tags: _,
            internet,
            candidate_internet,
            assumptions: _,
            version: _,
        } = inputs;
        // Whoever has the exports can make their hashes.
        for hash in [network, candidate, facts, edit].into_iter().flatten() {
            *hash = by.name("input", hash);
        }
        for InternetSource { source, date: _ } in [internet, candidate_internet].into_iter().flatten() {
            if *source != Clause::Tag20.number() {
                *source = by.name("export", source);
            }
        }
        *pseudonyms = true;
    }
}
