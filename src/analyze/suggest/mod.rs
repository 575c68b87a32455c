//! Tighter rules from what traffic needed: rules that allow, and that a user wrote, are narrowed to what was seen.
//!
//! What is suggested allows nothing that was not allowed before: each term that takes another's place lies within it.
//! What was not seen often enough to be told one by one stays as it is.

mod moments;
mod narrow;

pub use self::moments::Moments;
use self::narrow::{Field, Side, ports};
pub use self::narrow::{MOST_PREFIXES, MOST_RANGES};
use super::usage::{RuleKey, RuleUse, Usage};
use crate::compile::network::CompiledNetwork;
use crate::compile::resolve::fixed_tag;
use crate::model::network::Network;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, Protocol, ProtocolMatch, Rule};
use crate::model::tag::TagName;

/// How tight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Addresses become single hosts, not subnets, tags or blocks.
    pub hosts: bool,
    /// Rules that nobody needed go.
    pub remove_unused: bool,
    /// Only this rule.
    pub only: Option<RuleKey>,
}

/// A field of a rule.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum FieldName {
    /// The rule as a whole.
    Whole,
    /// Source addresses.
    Source,
    /// Destination addresses.
    Destination,
    /// Destination ports.
    DestinationPorts,
}

/// Why a field stayed wider than what was seen of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// More was seen than is listed.
    TooMany,
    /// Of some flow it is not known what the rule saw.
    Unknown,
    /// Flows may need the rule of which the verdict, or the way to it, is open.
    Undetermined,
    /// Flows without ports came through as well.
    Portless,
    /// What was seen would be IPv4 and IPv6 in one rule (NSG-13).
    BothFamilies,
    /// The blocks around what was seen hold more than the rule does.
    Straddles,
}

/// A rule that can be tighter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tighter {
    /// Which rule.
    pub key: RuleKey,
    /// What it says instead; nothing where it stays as it is.
    pub protocol: Option<Protocol>,
    /// See `protocol`.
    pub source: Option<Vec<AddressTerm>>,
    /// See `protocol`.
    pub source_ports: Option<Vec<PortTerm>>,
    /// See `protocol`.
    pub destination: Option<Vec<AddressTerm>>,
    /// See `protocol`.
    pub destination_ports: Option<Vec<PortTerm>>,
}

/// What is suggested.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Suggestions {
    /// Rules that change.
    pub changed: Vec<Tighter>,
    /// Rules that nobody needed, of NSGs that some interface asks.
    pub unused: Vec<RuleKey>,
    /// Whether those go.
    pub remove_unused: bool,
    /// What stayed wider than what was seen.
    pub kept: Vec<(RuleKey, FieldName, Why)>,
    /// Rules that share their name with another of their NSG, which an edit cannot name.
    pub unnamed: Vec<RuleKey>,
}

/// Suggests tighter rules.
#[must_use]
pub fn suggest(compiled: &CompiledNetwork, usage: &Usage, options: Options) -> Suggestions {
    let mut suggestions = Suggestions { remove_unused: options.remove_unused, ..Suggestions::default() };
    for (key, of) in &usage.rules {
        let rules = &compiled.network.nsgs[key.0.get()].rules;
        let rule = &rules[key.1 as usize];
        let is_wanted = options.only.is_none_or(|only| only == *key) && usage.asked.contains(&key.0);
        if !is_wanted || rule.is_default || rule.access != Access::Allow {
            continue;
        }
        // Default rules may share a custom one's name: edits never name them.
        let same_name = |other: &&Rule| !other.is_default && other.name.eq_ignore_ascii_case(&rule.name);
        if rules.iter().filter(same_name).count() > 1 {
            suggestions.unnamed.push(*key);
        } else if of.open_flows > 0 {
            // Nobody knows what these flows need of it.
            suggestions.kept.push((*key, FieldName::Whole, Why::Undetermined));
        } else if of.hits.flows == 0 {
            suggestions.unused.push(*key);
        } else {
            let (tighter, kept) = tighter(compiled, *key, (rule, of), options);
            suggestions.kept.extend(kept.into_iter().map(|(field, why)| (*key, field, why)));
            suggestions.changed.extend(tighter);
        }
    }
    suggestions
}

fn tighter(
    compiled: &CompiledNetwork,
    key: RuleKey,
    (rule, of): (&Rule, &RuleUse),
    options: Options,
) -> (Option<Tighter>, Vec<(FieldName, Why)>) {
    // Rules with a platform tag have one shape alone (NSG-15).
    let is_platform = |term: &AddressTerm| matches!(term, AddressTerm::Tag(tag) if fixed_tag(tag).is_some() && !tag.is(TagName::AZURE_LOAD_BALANCER));
    if rule.source.iter().chain(&rule.destination).any(is_platform) {
        return (None, Vec::new());
    }
    let field = |terms, seen, side, direction| Field {
        compiled,
        key,
        terms,
        seen,
        side,
        is_near: rule.direction == direction,
    };
    let source = field(&rule.source, &of.source, (|clause| &clause.source) as Side, Direction::Outbound);
    let destination =
        field(&rule.destination, &of.destination, |clause| &clause.destination, Direction::Inbound);
    let (mut from, mut to) = (source.narrowed(options), destination.narrowed(options));
    if has_both_families(&from.terms, &to.terms) && !has_both_families(&rule.source, &rule.destination) {
        (from.terms, from.kept) = (source.dropped(), Some(Why::BothFamilies));
        (to.terms, to.kept) = (destination.dropped(), Some(Why::BothFamilies));
    }
    let source_ports = ports(&rule.source_ports, &of.source, false);
    let destination_ports = ports(&rule.destination_ports, &of.destination, true);
    let tighter = Tighter {
        key,
        protocol: protocol(rule, of),
        source: from.changed(&rule.source),
        source_ports: source_ports.changed(&rule.source_ports),
        destination: to.changed(&rule.destination),
        destination_ports: destination_ports.changed(&rule.destination_ports),
    };
    let kept = [
        (FieldName::Source, from.kept),
        (FieldName::Destination, to.kept),
        (FieldName::DestinationPorts, destination_ports.kept),
    ];
    let kept = kept.into_iter().filter_map(|(field, why)| Some((field, why?))).collect();
    (Some(tighter).filter(Tighter::says_something), kept)
}

/// The one protocol that was seen of a rule for all of them, where rules can name it (NSG-5).
fn protocol(rule: &Rule, of: &RuleUse) -> Option<Protocol> {
    let nameable = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol::AH];
    let mut seen = of.protocols.keys();
    match (&rule.protocol, seen.next(), seen.next()) {
        (ProtocolMatch::Any, Some(only), None) if nameable.contains(only) => Some(*only),
        _ => None,
    }
}

fn has_both_families(source: &[AddressTerm], destination: &[AddressTerm]) -> bool {
    let prefixes = source.iter().chain(destination).filter_map(|term| match term {
        AddressTerm::Prefix(prefix) => Some(prefix.addr().is_ipv4()),
        _ => None,
    });
    let (v4, v6): (Vec<bool>, Vec<bool>) = prefixes.partition(|is_v4| *is_v4);
    !v4.is_empty() && !v6.is_empty()
}

impl Tighter {
    fn says_something(&self) -> bool {
        let Self { key: _, protocol, source, source_ports, destination, destination_ports } = self;
        protocol.is_some()
            || source.is_some()
            || source_ports.is_some()
            || destination.is_some()
            || destination_ports.is_some()
    }

    fn apply(&self, rule: &mut Rule) {
        if let Some(protocol) = self.protocol {
            rule.protocol = ProtocolMatch::Is(protocol);
        }
        let addresses = [(&self.source, &mut rule.source), (&self.destination, &mut rule.destination)];
        for (new, own) in addresses {
            if let Some(new) = new {
                own.clone_from(new);
            }
        }
        let ports = [
            (&self.source_ports, &mut rule.source_ports),
            (&self.destination_ports, &mut rule.destination_ports),
        ];
        for (new, own) in ports {
            if let Some(new) = new {
                own.clone_from(new);
            }
        }
    }
}

impl Suggestions {
    /// How many edits they are.
    #[must_use]
    pub fn edits(&self) -> usize {
        self.changed.len() + if self.remove_unused { self.unused.len() } else { 0 }
    }

    /// A network with what is suggested.
    #[must_use]
    pub fn applied(&self, network: &Network) -> Network {
        let mut network = network.clone();
        for tighter in &self.changed {
            let (nsg, position) = tighter.key;
            tighter.apply(&mut network.nsgs[nsg.get()].rules[position as usize]);
        }
        if self.remove_unused {
            // From behind, so that positions stay those that they were.
            for (nsg, position) in self.unused.iter().rev() {
                network.nsgs[nsg.get()].rules.remove(*position as usize);
            }
        }
        network
    }
}
