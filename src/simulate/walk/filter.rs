//! The filters of one interface: the record of an open flow, admin rules, NSGs (EVAL-1 to EVAL-5, ADM-2, STATE).

use super::admin::AfterAdmin;
use super::traces::{How, Touch};
use super::{Course, LeafEnd, Walk};
use crate::compile::network::PolicyReference;
use crate::compile::world::{Open, World};
use crate::model::assumptions::RevokedReplies;
use crate::model::flow::{FiveTuple, Fragment, TcpFlags};
use crate::model::rule::{Access, Direction};
use crate::model::services::AdminAction;
use crate::model::unknown::Unknown;
use crate::model::verdict::{BalancerFault, Reason, RuleHit, Snat, Step, StepAnswer};
use crate::simulate::journey::{Filter, Gate};
use crate::simulate::state::{Entrance, FlowKey, FlowRecord};

impl Walk<'_> {
    /// Asks the filters of one interface. Says how the packet ended there, if it did.
    pub(super) fn filter(
        &self,
        filter: &Filter,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let Filter { interface, direction, .. } = *filter;
        // A later fragment whose first was seen does not come here (STATE-11).
        if self.follows_fragments && matches!(self.packet.fragment, Fragment::Later { .. }) {
            return Ok(Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction })));
        }
        let seen = course.seen;
        let step = |answer, access| Step { interface, direction, answer, access, seen };
        let key = FlowKey::new(interface, direction, &seen, self.packet.icmp);
        course.answers = None;
        if self.packet.tcp.is_some_and(TcpFlags::opens) {
            course.met.touches.push(Touch { key, how: How::Misses });
        }
        // A flow whose remote end nobody knows cannot be found again.
        let picked = course.picked;
        for (key, record) in self.records(key, course.quoted, direction).filter(|_| !picked) {
            let open = match record.doubt() {
                None => true,
                Some(doubt) => world.ask(|| Unknown::FlowIsOpen { because: Box::new(doubt.clone()) })?,
            };
            if open {
                course.met.touches.push(Touch { key, how: How::Continues(direction) });
                let passes = self.compiled.assumptions.state_5 == RevokedReplies::Allowed
                    && direction != record.opened;
                if let Some(reason) = record.revoked().filter(|_| !passes) {
                    let by = match reason {
                        Reason::SecurityRule(hit) => Some((StepAnswer::Rule(hit), hit.direction)),
                        Reason::AdminRule(hit) => {
                            Some((StepAnswer::AdminRule(hit, AdminAction::Deny), hit.direction))
                        }
                        _ => None,
                    };
                    if let Some((answer, direction)) = by {
                        course.met.steps.push(Step { direction, ..step(answer, Access::Deny) });
                    }
                    return Ok(Some(LeafEnd::Denied(reason)));
                }
                // One entry an interface and direction, however often the packet comes by (SIM-9).
                let passing = step(StepAnswer::FlowTable, Access::Allow);
                let listed = |known: &Step| {
                    (known.interface, known.direction, known.answer)
                        == (passing.interface, passing.direction, passing.answer)
                };
                if !course.met.steps.iter().any(listed) {
                    course.met.steps.push(passing);
                    course.last = Reason::FlowState { interface, direction };
                }
                if direction == Direction::Outbound {
                    answer(course, record);
                }
                return Ok(None);
            }
            course.met.touches.push(Touch { key, how: How::Misses });
        }
        let ended = self.rules(filter, course, world)?;
        if ended.is_none() && !course.picked {
            let entered = course.entered.filter(|_| direction == Direction::Inbound);
            let how = How::Opens { direction, entered, translated_min: None };
            course.met.touches.push(Touch { key, how });
        }
        Ok(ended)
    }

    /// Asks the rules of one interface, whatever flows are open.
    pub(super) fn rules(
        &self,
        filter: &Filter,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let Filter { interface, direction, .. } = *filter;
        let (seen, picked) = (course.seen, course.picked);
        let step = |answer, access| Step { interface, direction, answer, access, seen };
        let cells = (self.compiled.cell(seen.source), self.compiled.cell(seen.destination));
        // Admin rules come first (ADM-2), before the gate too (EVAL-11).
        match self.admin(interface, direction, course, world)? {
            AfterAdmin::SecurityGroups => {}
            AfterAdmin::Delivery => return Ok(None),
            AfterAdmin::End(end) => return Ok(Some(end)),
        }
        let layers = self.compiled.layers(interface, direction);
        if layers.is_empty() {
            match &filter.gate {
                Gate::Open => {}
                Gate::Closed(public_ip) => {
                    course.met.steps.push(step(StepAnswer::PublicIpGate(*public_ip), Access::Deny));
                    let nic = interface.nic().expect("public addresses stand before listed interfaces");
                    let reason = Reason::PublicIpGate { public_ip: *public_ip, nic };
                    return Ok(Some(LeafEnd::Denied(reason)));
                }
                Gate::ClosedInside(balancer) => {
                    let (balancer, fault) = (*balancer, BalancerFault::NoSecurityGroup);
                    return Ok(Some(LeafEnd::Denied(Reason::LoadBalancer { balancer, fault })));
                }
                Gate::Unknown(question) => {
                    if !world.ask(|| question.clone())? {
                        return Ok(Some(LeafEnd::Refused(question.clone())));
                    }
                }
            }
        }
        for layer in layers {
            let question = match &layer.policy {
                PolicyReference::Compiled(position) => {
                    let policy = &self.compiled.policies[*position];
                    let decision = if picked {
                        let candidate = policy.candidates_for_picked(&seen, world).next().expect(DECIDES)?;
                        // What the rules say may hang on the source that Azure picks.
                        if !candidate.certain {
                            if world.ask(|| source_decides(&seen))? {
                                continue;
                            }
                            return Ok(Some(LeafEnd::Refused(source_decides(&seen))));
                        }
                        candidate.decision
                    } else {
                        policy.decide(self.engine, &seen, cells, world)?.expect(DECIDES)
                    };
                    let hit = RuleHit {
                        interface,
                        direction,
                        layer: layer.layer,
                        nsg: policy.nsg(),
                        rule: decision.rule,
                    };
                    course.met.steps.push(step(StepAnswer::Rule(hit), decision.access));
                    match decision.access {
                        Access::Allow => course.last = Reason::SecurityRule(hit),
                        Access::Deny => return Ok(Some(LeafEnd::Denied(Reason::SecurityRule(hit)))),
                    }
                    continue;
                }
                other => open_layer(other, direction, &seen),
            };
            if !world.ask(|| question.clone())? {
                return Ok(Some(LeafEnd::Refused(question)));
            }
        }
        Ok(None)
    }

    /// The live records that a packet may pass by: that of the flow whose packet it quotes (STATE-10), then its own flow's.
    pub(super) fn records(
        &self,
        key: FlowKey,
        quoted: Option<FiveTuple>,
        direction: Direction,
    ) -> impl Iterator<Item = (FlowKey, &FlowRecord)> {
        let timeout_ns = self.compiled.idle_timeout_ns(key.interface());
        let about = quoted.map(|quoted| {
            // The error goes against the packet that it quotes.
            let against = match direction {
                Direction::Inbound => Direction::Outbound,
                Direction::Outbound => Direction::Inbound,
            };
            FlowKey::new(key.interface(), against, &quoted, None)
        });
        let live = move |key| {
            let record = self.flows?.live(&key, self.packet, self.time_ns, timeout_ns)?;
            Some((key, record))
        };
        about.into_iter().chain([key]).filter_map(live)
    }
}

/// A packet goes out by the record of a flow that came in: it leaves by what that came in by (OUT-5). An internal
/// frontend takes its place at once, a public one where the packet leaves to the internet.
fn answer(course: &mut Course, record: &FlowRecord) {
    if record.opened != Direction::Inbound {
        return;
    }
    course.answers = record.entered;
    course.to_consumer |= record.entered == Some(Entrance::PrivateLink);
    if let Some(Entrance::Frontend { address, port, public: false }) = record.entered {
        course.sent_from(address, port);
        course.met.translation.snat = Some(Snat::LoadBalancerRule);
        course.met.translation.source = address;
    }
}

/// The question whether rules let in the source that Azure picks.
pub(super) fn source_decides(seen: &FiveTuple) -> Unknown {
    Unknown::TranslatedSource { address: seen.source }
}

/// Why a list of an NSG's rules always decides.
const DECIDES: &str = "the last default rule of each direction matches every packet (DEF-1)";

/// The question that a layer without rules in the inventory asks.
pub(super) fn open_layer(policy: &PolicyReference, direction: Direction, seen: &FiveTuple) -> Unknown {
    match policy {
        PolicyReference::Missing(nsg) | PolicyReference::MissingSubnet(nsg) => {
            Unknown::NsgAllows { nsg: nsg.clone(), direction }
        }
        PolicyReference::Unlisted => {
            let address = match direction {
                Direction::Inbound => seen.destination,
                Direction::Outbound => seen.source,
            };
            Unknown::UnlistedNicAllows { address }
        }
        PolicyReference::Compiled(_) => unreachable!("rules of the inventory are asked themselves"),
    }
}
