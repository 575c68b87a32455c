//! What the flow logs of Azure would say of a flow: at each interface that it passes, which rule let it in or not.

use std::sync::Arc;

use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Packet};
use crate::model::flow_log::{FlowState, LoggedFlow, RuleKind, Volume};
use crate::model::index::{NicIndex, NsgIndex};
use crate::model::network::Network;
use crate::model::record::Location;
use crate::model::recorded::RecordedRule;
use crate::model::rule::{Access, Direction};
use crate::model::verdict::{Answer, Step, StepAnswer};
use crate::replay::conversations::Conversation;
use crate::replay::digest::{again, first_packet};
use crate::simulate::ends::inside;
use crate::simulate::{Simulator, SimulatorOptions};

/// What one interface would log of a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// The interface.
    pub nic: NicIndex,
    /// Its MAC address: the export's, or one made up from the interface's position where it has none.
    pub mac: [u8; 6],
    /// Which way the flow began there.
    pub direction: Direction,
    /// The addresses and ports that it saw.
    pub tuple: FiveTuple,
    /// What was decided.
    pub access: Access,
    /// By which rule, as VNet logs name it: `acl` is the GUID of its NSG, or else the ID of whose it is (LOG-6).
    pub rule: RecordedRule,
    /// The NSG that the rule is of, where it is of one.
    pub nsg: Option<NsgIndex>,
}

/// How long a flow lasted and how much went each way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Course {
    /// Time of its first packet, in milliseconds since 1970-01-01.
    pub first_ms: u64,
    /// Time of its last packet.
    pub last_ms: u64,
    /// From source to destination.
    pub sent: Volume,
    /// Back.
    pub returned: Volume,
}

impl Sighting {
    /// The tuples that the interface logs: the flow's beginning and its end, or that it was denied; of the list of rules
    /// that `acl` names.
    #[must_use]
    pub fn tuples(&self, acl: Arc<str>, access: Access, course: &Course) -> Vec<LoggedFlow> {
        let tuple = &self.tuple;
        let begin = LoggedFlow {
            location: Location { file: 0, number: 0 },
            tuple: 0,
            time_ms: course.first_ms,
            mac: self.mac,
            acl,
            rule: Arc::clone(&self.rule.name),
            rule_kind: self.rule.kind,
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            source_port: tuple.source_port.number().unwrap_or_default(),
            destination_port: tuple.destination_port.number().unwrap_or_default(),
            direction: self.direction,
            decision: access,
            state: Some(FlowState::Begin),
            encryption: None,
            sent: Volume::default(),
            returned: Volume::default(),
        };
        if access == Access::Deny {
            return vec![begin];
        }
        let (sent, returned) = (course.sent, course.returned);
        let end = LoggedFlow {
            time_ms: course.last_ms,
            state: Some(FlowState::End),
            sent,
            returned,
            ..begin.clone()
        };
        vec![begin, end]
    }
}

/// Judges flows as logs would tell of them.
pub struct Logging {
    simulator: Simulator,
}

impl Logging {
    /// Of flows in this network, each by itself.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, options: SimulatorOptions) -> Self {
        Self { simulator: Simulator::new(compiled, again(options)) }
    }

    /// What is logged of a flow of a replay, at one interface where it was judged there, else in the order of its way. As
    /// [`Logging::sightings`]; nothing either of a flow that earlier packets had settled, as rules tell of it otherwise.
    #[must_use]
    pub fn sightings_of(&mut self, flow: &Conversation, at: Option<NicIndex>) -> Vec<Sighting> {
        let packet = first_packet(flow);
        let answer = match (flow.at, at) {
            (Some((interface, direction)), _) => {
                Some(self.simulator.logged_answer(interface, direction, &packet))
            }
            (None, Some(nic)) => {
                self.simulator.at(nic, &packet, flow.first_ns).ok().map(|judged| judged.answer)
            }
            (None, None) => self.simulator.judge(&packet, flow.first_ns).ok().map(|judged| judged.answer),
        };
        let answer = answer.filter(|answer| answer.verdict.kind() == flow.verdict.kind());
        answer.map_or_else(Vec::new, |answer| self.seen(&answer, &packet))
    }

    /// What is logged of the flow that a packet begins, in the order of its way.
    ///
    /// Nothing is logged where no rule is asked, at private endpoints (LOG-9), at interfaces that the inventory does not
    /// list, of a flow that no place of the network has or of which the verdict is open, and behind the internet where Azure
    /// picks the address that a flow comes from.
    #[must_use]
    pub fn sightings(&mut self, first: &Packet, time_ns: u64) -> Vec<Sighting> {
        let judged = self.simulator.judge(first, time_ns);
        judged.map_or_else(|_| Vec::new(), |judged| self.seen(&judged.answer, first))
    }

    fn seen(&self, answer: &Answer, first: &Packet) -> Vec<Sighting> {
        if answer.verdict.reason().is_none() {
            return Vec::new();
        }
        let compiled = self.simulator.compiled();
        let network = &compiled.network;
        // A packet from inside to a public address of the network comes back under a source that Azure picks, which
        // nobody knows: the steps behind that show the one before it.
        let source = first.five_tuple.source;
        let is_public = compiled.places.public(first.five_tuple.destination).is_some();
        let is_picked = is_public && !inside(compiled, source, None).is_empty();
        let at_one_place =
            |one: &Step, other: &Step| (one.interface, one.direction) == (other.interface, other.direction);
        // The last rule that was asked at a place is the one that denies, or the last that allows (LOG-5).
        let last = answer.steps.chunk_by(at_one_place).filter_map(<[Step]>::last);
        last.filter(|step| !is_picked || step.direction == Direction::Outbound || step.seen.source != source)
            .filter_map(|step| sighting(network, step))
            .collect()
    }
}

fn sighting(network: &Network, step: &Step) -> Option<Sighting> {
    let nic = step.interface.nic()?;
    let (rule, nsg) = match &step.answer {
        StepAnswer::Rule(hit) => {
            let nsg = &network.nsgs[hit.nsg.get()];
            let rule = &nsg.rules[hit.rule as usize];
            let acl = nsg.resource_guid.as_deref().unwrap_or(nsg.id.as_str());
            let kind = if rule.is_default { RuleKind::Default } else { RuleKind::User };
            let rule = RecordedRule { acl: Some(acl.into()), name: rule.name.to_string().into(), kind };
            (rule, Some(hit.nsg))
        }
        StepAnswer::AdminRule(hit, _) => {
            let name = network.admin_rule(hit.rule).name.to_string().into();
            let acl = Some(network.manager_name(hit.rule).into());
            (RecordedRule { acl, name, kind: RuleKind::Admin }, None)
        }
        StepAnswer::PlatformRule(_) => {
            let acl = Some("00000000-0000-0000-0000-000000000000".into());
            (RecordedRule { acl, name: "PlatformRule".into(), kind: RuleKind::Platform }, None)
        }
        StepAnswer::ServiceFirewall(_) | StepAnswer::FlowTable | StepAnswer::PublicIpGate(_) => return None,
    };
    let mac = network.nics[nic.get()].mac.unwrap_or_else(|| made_up(nic));
    let (direction, tuple, access) = (step.direction, step.seen, step.access);
    Some(Sighting { nic, mac, direction, tuple, access, rule, nsg })
}

/// A locally administered address.
fn made_up(nic: NicIndex) -> [u8; 6] {
    let [.., a, b, c, d] = (nic.get() as u64).to_be_bytes();
    [2, 0, a, b, c, d]
}
