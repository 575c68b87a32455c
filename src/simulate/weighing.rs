//! Which of this project's decisions a verdict hangs on (SIM-5).
//!
//! A packet whose start is stated is judged as decided, and once more under every other choice of each clause, one clause
//! at a time. Where the verdict differs, the answer says so in a note.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

use super::ends::{Ends, OutOfScope};
use super::matters;
use super::simulator::{Judged, Simulator, SimulatorOptions};
use crate::compile::network::{CompileOptions, CompiledNetwork};
use crate::model::assumptions::Choice;
use crate::model::flow::Packet;
use crate::model::index::NicIndex;
use crate::model::rule::Direction;
use crate::model::unknown::Unknown;
use crate::model::verdict::{Answer, Interface, Note, RouteStep, VerdictKind};

/// A simulator that also says which decisions its verdicts hang on.
///
/// An alternative is compiled when the first packet comes to which it can matter, and takes over the flows that are open
/// then: up to that packet they are the same under every choice. From then on it gets every packet, and keeps its own
/// flows.
pub struct Weighing {
    decided: Simulator,
    alternatives: Vec<Alternative>,
    options: SimulatorOptions,
}

/// What would be under another choice.
struct Alternative {
    choice: Choice,
    compiled: OnceCell<Arc<CompiledNetwork>>,
    /// Nothing as long as no packet came to which the choice can matter.
    simulator: Option<Simulator>,
}

impl Weighing {
    /// A simulator without open flows.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, options: SimulatorOptions) -> Self {
        let alternative = |choice| Alternative { choice, compiled: OnceCell::new(), simulator: None };
        let alternatives = compiled.assumptions.alternatives().map(alternative).collect();
        Self { decided: Simulator::new(compiled, options), alternatives, options }
    }

    /// The network that it judges by.
    #[must_use]
    pub fn compiled(&self) -> &Arc<CompiledNetwork> {
        self.decided.compiled()
    }

    /// As [`Simulator::path`].
    pub fn path(&mut self, ends: Ends, packet: &Packet, time_ns: u64) -> Answer {
        self.wake_for(packet);
        let mut answer = self.decided.path(ends, packet, time_ns);
        let others = self.awake(|simulator| simulator.path(ends, packet, time_ns).verdict.kind());
        note(&mut answer, others);
        answer
    }

    /// As [`Simulator::judge`].
    ///
    /// # Errors
    ///
    /// Fails where neither end is in the network.
    pub fn judge(&mut self, packet: &Packet, time_ns: u64) -> Result<Judged, OutOfScope> {
        self.wake_for(packet);
        let mut judged = self.decided.judge(packet, time_ns)?;
        let others = self.awake(|simulator| {
            let other = simulator.judge(packet, time_ns);
            other
                .expect("no clause that leaves a choice says where a packet's ends are")
                .answer
                .verdict
                .kind()
        });
        note(&mut judged.answer, others);
        Ok(judged)
    }

    /// As [`Simulator::ip_flow`].
    #[must_use]
    pub fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        let mut answer = self.decided.ip_flow(nic, direction, packet);
        let mut others = Vec::new();
        for alternative in self.alternatives.iter().filter(|one| self.matters(one.choice, packet)) {
            let simulator = self.decided.fork(alternative.compiled(self.compiled()));
            others.push((alternative.choice, simulator.ip_flow(nic, direction, packet).verdict.kind()));
        }
        note(&mut answer, others);
        answer
    }

    /// As [`Simulator::logged_answer`].
    pub fn logged(&mut self, interface: Interface, direction: Direction, packet: &Packet) -> Answer {
        let mut answer = self.decided.logged_answer(interface, direction, packet);
        let mut others = Vec::new();
        for alternative in self.alternatives.iter().filter(|one| self.matters(one.choice, packet)) {
            let mut simulator = self.decided.fork(alternative.compiled(self.compiled()));
            let verdict = simulator.logged_answer(interface, direction, packet).verdict;
            others.push((alternative.choice, verdict.kind()));
        }
        note(&mut answer, others);
        answer
    }

    /// As [`Simulator::next_hop`], which is no verdict.
    ///
    /// # Errors
    ///
    /// Fails with what the inputs do not hold, where the route hangs on it.
    pub fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown> {
        self.decided.next_hop(nic, destination)
    }

    /// As [`Simulator::change`].
    pub fn change(&mut self, compiled: Arc<CompiledNetwork>) {
        // A change may take flows back under one choice and not under another: whatever can matter before it or after it
        // goes its own way from here.
        let stateful = self.options.stateful;
        let before = Arc::clone(self.compiled());
        for alternative in &mut self.alternatives {
            let clause = alternative.choice.clause();
            if stateful && [&before, &compiled].iter().any(|one| matters::to_network(clause, one, stateful)) {
                alternative.wake(&self.decided);
            }
            alternative.compiled = OnceCell::new();
            if let Some(mut simulator) = alternative.simulator.take() {
                simulator.change(alternative.compiled(&compiled));
                alternative.simulator = Some(simulator);
            }
        }
        self.decided.change(compiled);
    }

    fn matters(&self, choice: Choice, packet: &Packet) -> bool {
        let (clause, compiled) = (choice.clause(), self.compiled());
        matters::to_network(clause, compiled, self.options.stateful)
            && matters::to_packet(clause, compiled, packet)
    }

    fn wake_for(&mut self, packet: &Packet) {
        let matter: Vec<bool> =
            self.alternatives.iter().map(|one| self.matters(one.choice, packet)).collect();
        for (alternative, matters) in self.alternatives.iter_mut().zip(matter) {
            if matters {
                alternative.wake(&self.decided);
            }
        }
    }

    /// What those that are awake say.
    fn awake(&mut self, judge: impl Fn(&mut Simulator) -> VerdictKind) -> Vec<(Choice, VerdictKind)> {
        let awake =
            self.alternatives.iter_mut().filter_map(|one| Some((one.choice, one.simulator.as_mut()?)));
        awake.map(|(choice, simulator)| (choice, judge(simulator))).collect()
    }
}

impl Alternative {
    /// The network under the choice, compiled once. A few packets need no tables.
    fn compiled(&self, decided: &CompiledNetwork) -> Arc<CompiledNetwork> {
        let compiled = self.compiled.get_or_init(|| {
            let options = CompileOptions {
                partial_inventory: decided.partial_inventory,
                assumptions: decided.assumptions.with(self.choice),
                linear_only: true,
            };
            let (network, tags) = (Arc::clone(&decided.network), Arc::clone(&decided.tags));
            Arc::new(CompiledNetwork::new(network, tags, options))
        });
        Arc::clone(compiled)
    }

    fn wake(&mut self, decided: &Simulator) {
        if self.simulator.is_none() {
            self.simulator = Some(decided.fork(self.compiled(decided.compiled())));
        }
    }
}

/// Notes the choices under which the verdict is another.
fn note(answer: &mut Answer, others: Vec<(Choice, VerdictKind)>) {
    let decided = answer.verdict.kind();
    let differ = others.into_iter().filter(|(_, verdict)| *verdict != decided);
    answer.notes.extend(differ.map(|(choice, verdict)| Note::Decision { choice, verdict }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Weighing;
    use crate::compile::network::{CompileOptions, CompiledNetwork};
    use crate::model::assumptions::Clause;
    use crate::model::flow::{FiveTuple, Origin, Packet, Port};
    use crate::model::rule::Protocol;
    use crate::simulate::SimulatorOptions;

    /// A network in which nothing but the lists of `Internet` is open (TAG-20).
    fn weighing(stateful: bool) -> Weighing {
        let compiled = CompiledNetwork::new(Arc::default(), Arc::default(), CompileOptions::default());
        Weighing::new(Arc::new(compiled), SimulatorOptions { stateful, ..SimulatorOptions::default() })
    }

    fn take(weighing: &mut Weighing, source: &str) {
        let packet = Packet::new(FiveTuple {
            source: source.parse().unwrap(),
            destination: "198.51.100.9".parse().unwrap(),
            protocol: Protocol::TCP,
            source_port: Port::Number(1000),
            destination_port: Port::Number(443),
        });
        weighing.path(Origin::Internet.into(), &packet, 0);
    }

    /// The clauses of the choices that are judged by, each once for each.
    fn awake(weighing: &Weighing) -> Vec<Clause> {
        let awake = weighing.alternatives.iter().filter(|alternative| alternative.simulator.is_some());
        awake.map(|alternative| alternative.choice.clause()).collect()
    }

    #[test]
    fn a_choice_wakes_with_the_first_packet_that_it_can_matter_to() {
        let mut weighing = weighing(true);
        take(&mut weighing, "203.0.113.9");
        assert_eq!(awake(&weighing), []);
        // In one of the lists and not in another.
        take(&mut weighing, "25.25.0.1");
        assert_eq!(awake(&weighing), [Clause::Tag20; 2]);
    }

    #[test]
    fn before_a_change_those_wake_that_may_take_flows_back() {
        for (stateful, expected) in [(true, &[Clause::Tag20; 2][..]), (false, &[])] {
            let mut weighing = weighing(stateful);
            let compiled = Arc::clone(weighing.compiled());
            weighing.change(compiled);
            assert_eq!(awake(&weighing), expected);
        }
    }
}
