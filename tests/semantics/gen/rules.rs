//! Rules of NSGs and of managers.

use nsgsim::model::index::{AsgIndex, Reference};
use nsgsim::model::prefix::PortRange;
use nsgsim::model::rule::{
    Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule,
};
use nsgsim::model::services::{AdminAction, AdminAddress, AdminRule};
use nsgsim::model::tag::TagName;

use super::pool::{PORT_RANGES, PREFIXES, TAGS};
use super::tape::Tape;

/// A rule; equal priorities are wanted now and then.
pub(crate) fn rule(tape: &mut Tape, position: usize) -> Rule {
    let direction = tape.one_of(&[Direction::Inbound, Direction::Outbound]);
    let access = tape.one_of(&[Access::Allow, Access::Deny]);
    let protocol = tape.one_of(&[
        ProtocolMatch::Any,
        ProtocolMatch::Is(Protocol::TCP),
        ProtocolMatch::Is(Protocol::UDP),
        ProtocolMatch::Is(Protocol::ICMP),
    ]);
    Rule {
        name: format!("rule-{position}"),
        priority: Priority(100 + u32::try_from(tape.below(20)).expect("below 20")),
        direction,
        access,
        protocol,
        source: terms(tape),
        source_ports: ports(tape),
        destination: terms(tape),
        destination_ports: ports(tape),
        is_default: false,
    }
}

fn terms(tape: &mut Tape) -> Vec<AddressTerm> {
    match tape.below(8) {
        0..=2 => vec![AddressTerm::Any],
        3 | 4 => (0..=tape.below(2))
            .map(|_| AddressTerm::Prefix(tape.one_of(&PREFIXES).parse().expect("a range")))
            .collect(),
        5 | 6 => vec![AddressTerm::Tag(TagName::new(tape.one_of(&TAGS)))],
        _ => vec![AddressTerm::Asg(Reference::Here(AsgIndex::new(tape.below(2))))],
    }
}

fn ports(tape: &mut Tape) -> Vec<PortTerm> {
    if tape.below(3) < 2 {
        return vec![PortTerm::Range(PortRange::ALL)];
    }
    let range = |(first, last)| PortRange::new(first, last).expect("in order");
    (0..=tape.below(2)).map(|_| PortTerm::Range(range(tape.one_of(&PORT_RANGES)))).collect()
}

pub(super) fn admin_rule(tape: &mut Tape, position: usize) -> AdminRule {
    let address = |tape: &mut Tape| match tape.below(4) {
        0 => Vec::new(),
        1 => vec![AdminAddress::Any],
        2 => vec![AdminAddress::Prefix(tape.one_of(&PREFIXES).parse().expect("a range"))],
        _ => vec![AdminAddress::Tag(TagName::new(tape.one_of(&TAGS[..6])))],
    };
    let actions = [AdminAction::Allow, AdminAction::AlwaysAllow, AdminAction::Deny];
    let (sources, destinations) = (address(tape), address(tape));
    let ports = |tape: &mut Tape| {
        if tape.below(3) < 2 {
            return Vec::new();
        }
        let (first, last) = tape.one_of(&PORT_RANGES);
        vec![PortRange::new(first, last).expect("in order")]
    };
    AdminRule {
        name: format!("admin-{position}"),
        priority: u32::try_from(1 + tape.below(3)).expect("at most 3"),
        direction: tape.one_of(&[Direction::Inbound, Direction::Outbound]),
        action: tape.one_of(&actions),
        protocol: tape.one_of(&[None, Some(Protocol::TCP), Some(Protocol::ICMP)]),
        sources,
        destinations,
        source_ports: ports(tape),
        destination_ports: ports(tape),
    }
}
