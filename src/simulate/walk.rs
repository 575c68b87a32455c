//! A packet takes its journey, stage by stage, in one world or in all that are possible.

use std::net::{IpAddr, Ipv4Addr};

use super::journey::{
    DefaultRoute, End, Exit, Filter, Gate, Journey, SeenSource, ServiceCheck, Stage, Start, Way,
};
use super::state::{FlowKey, FlowRecord, FlowTable};
use crate::compile::admin::{self, ManagerLists};
use crate::compile::cells::Cell;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::policy::{Engine, Picked};
use crate::compile::resolve::{LICENSING, METADATA};
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::compile::world::{Open, World};
use crate::model::flow::{FiveTuple, Fragment, Icmp, Packet, TcpFlags};
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::services::{AdminAction, AdminRulePosition, ServiceAccount, ServiceKind};
use crate::model::verdict::{
    AdminHit, Answer, Feature, FirewallRule, Interface, Note, PlatformService, Reason, RuleHit, RulePlace,
    Snat, Step, StepAnswer, Unknown, Verdict,
};

/// How many worlds are tried for one packet.
const MOST_WORLDS: usize = 64;

/// A packet on its way.
pub(super) struct Walk<'a> {
    pub(super) compiled: &'a CompiledNetwork,
    pub(super) engine: Engine,
    /// Open flows; nothing: every packet stands alone.
    pub(super) flows: Option<&'a FlowTable>,
    pub(super) packet: &'a Packet,
    pub(super) time_ns: u64,
}

/// How a packet fared in one world.
struct Leaf {
    end: LeafEnd,
    passed: Vec<Passed>,
    steps: Vec<Step>,
    exit: Option<(Snat, Option<IpAddr>)>,
    /// Flows that a SYN starts anew.
    restarted: Vec<FlowKey>,
    /// How many stages were passed.
    stages: usize,
}

/// How a packet ended in one world.
enum LeafEnd {
    Arrived(Reason),
    Denied(Reason),
    /// The answer to a question itself ended it.
    Refused,
}

/// A filter that the packet passed.
#[derive(Clone)]
struct Passed {
    key: FlowKey,
    direction: Direction,
    by_record: bool,
}

/// What a packet leaves behind in the flow table.
pub(super) enum Trace {
    /// It passed by a record.
    Continued(FlowKey, Direction),
    /// It opened a flow.
    Opened(FlowKey, FlowRecord),
    /// It started a flow anew and was denied: the old record is gone (STATE-7).
    Ended(FlowKey),
}

/// What became of a packet, and what it leaves behind.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) traces: Vec<Trace>,
    /// No rule was asked: every filter on the way passed it by a record.
    pub(super) continued: bool,
}

impl Walk<'_> {
    /// Takes the journey in all worlds that are possible.
    pub(super) fn take(&self, journey: &Journey) -> Outcome {
        let mut leaves = Vec::new();
        // Most packets meet no question, and need no list of worlds.
        let mut next = Some(World::default());
        let mut waiting = Vec::new();
        let mut first_question = None;
        while let Some(world) = next.take().or_else(|| waiting.pop()) {
            match self.in_world(journey, &world) {
                Ok(leaf) => leaves.push((world, leaf)),
                Err(open) => {
                    let Open(question) = *open;
                    first_question.get_or_insert_with(|| question.clone());
                    if leaves.len() + waiting.len() + 2 > MOST_WORLDS {
                        return self.too_many(journey);
                    }
                    // The world in which the answer is no is looked at first.
                    waiting.push(world.with(question.clone(), true));
                    waiting.push(world.with(question, false));
                }
            }
        }
        self.summarise(journey, leaves, first_question)
    }

    fn too_many(&self, journey: &Journey) -> Outcome {
        let answer = Answer {
            verdict: Verdict::Undetermined(Unknown::TooManyUnknowns),
            steps: Vec::new(),
            routes: journey.routes.clone(),
            translation: journey.translation(None, None),
            notes: journey.notes.clone(),
            backends: Vec::new(),
        };
        Outcome { answer, traces: Vec::new(), continued: false }
    }

    /// A verdict stands if all worlds agree on it; its reason is that of the first world that has one.
    fn summarise(
        &self,
        journey: &Journey,
        leaves: Vec<(World, Leaf)>,
        first_question: Option<Unknown>,
    ) -> Outcome {
        let traces = self.traces(&leaves, first_question.as_ref());
        let arrived = leaves.iter().filter(|(_, leaf)| matches!(leaf.end, LeafEnd::Arrived(_))).count();
        let agreed = arrived == 0 || arrived == leaves.len();
        let chosen = leaves.iter().position(|(_, leaf)| !matches!(leaf.end, LeafEnd::Refused)).unwrap_or(0);
        let asked = leaves[chosen].1.steps.iter().any(|step| step.answer != StepAnswer::FlowTable);
        let mut notes = journey.notes.clone();
        let (steps, stages);
        if agreed {
            steps = usize::MAX;
            stages = leaves[chosen].1.stages;
            for question in leaves.iter().flat_map(|(world, _)| world.questions()) {
                let note = Note::DidNotMatter(question.clone());
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        } else {
            // An open answer shows what all worlds share.
            steps = leaves.iter().map(|(_, leaf)| shared(&leaves[0].1.steps, &leaf.steps)).min().unwrap_or(0);
            stages = leaves.iter().map(|(_, leaf)| leaf.stages).min().unwrap_or(0);
        }
        if stages < journey.stages.len() {
            // It did not come as far as the end of the journey.
            notes.retain(|note| !matches!(note, Note::NoEndpoint { .. }));
        }
        let (_, mut leaf) = leaves.into_iter().nth(chosen).expect("a walk ends in at least one world");
        leaf.steps.truncate(steps);
        let reason = match leaf.end {
            LeafEnd::Arrived(reason) => Some(Verdict::Allow(reason)),
            LeafEnd::Denied(reason) => Some(Verdict::Deny(reason)),
            LeafEnd::Refused => None,
        };
        let verdict = reason.filter(|_| agreed).unwrap_or_else(|| {
            Verdict::Undetermined(first_question.expect("worlds differ only by the answers to questions"))
        });
        let port = self.packet.five_tuple.destination_port.number();
        let continued = !asked && leaf.passed.iter().any(|passed| passed.by_record);
        let answer = Answer {
            verdict,
            steps: leaf.steps,
            routes: if stages >= journey.before_routing { journey.routes.clone() } else { Vec::new() },
            translation: journey.translation(port, leaf.exit),
            notes,
            backends: Vec::new(),
        };
        Outcome { answer, traces, continued }
    }

    /// A filter that was passed in every world has a certain record, one passed in some a doubtful one.
    fn traces(&self, leaves: &[(World, Leaf)], first_question: Option<&Unknown>) -> Vec<Trace> {
        if let [(_, leaf)] = leaves {
            let passed = leaf.passed.iter().map(|passed| self.trace(passed, passed.by_record, None));
            let denied =
                leaf.restarted.iter().filter(|key| !leaf.passed.iter().any(|passed| passed.key == **key));
            return passed.chain(denied.copied().map(Trace::Ended)).collect();
        }
        let mut stages: Vec<&Passed> = Vec::new();
        for passed in leaves.iter().flat_map(|(_, leaf)| &leaf.passed) {
            if !stages.iter().any(|known| known.key == passed.key) {
                stages.push(passed);
            }
        }
        let denied: Vec<FlowKey> = leaves
            .iter()
            .flat_map(|(_, leaf)| &leaf.restarted)
            .filter(|key| !stages.iter().any(|stage| stage.key == **key))
            .copied()
            .collect();
        stages
            .into_iter()
            .map(|stage| {
                // One record in each world that has one, wherever on the way the packet left it.
                let passes = || {
                    leaves
                        .iter()
                        .filter_map(|(_, leaf)| leaf.passed.iter().find(|passed| passed.key == stage.key))
                };
                let times = passes().count();
                let recorded = passes().filter(|passed| passed.by_record).count();
                // Where the rules let a packet through that a record might have, there is a record either way.
                let by_record = recorded > 0 && (recorded == times || times < leaves.len());
                let doubt = if times < leaves.len() { first_question.cloned() } else { None };
                self.trace(stage, by_record, doubt)
            })
            .chain(denied.into_iter().map(Trace::Ended))
            .collect()
    }

    fn trace(&self, passed: &Passed, by_record: bool, doubt: Option<Unknown>) -> Trace {
        if by_record {
            return Trace::Continued(passed.key, passed.direction);
        }
        Trace::Opened(passed.key, FlowRecord::new(passed.direction, self.time_ns, doubt))
    }

    fn in_world(&self, journey: &Journey, world: &World) -> Result<Leaf, Box<Open>> {
        let mut leaf = Leaf {
            end: LeafEnd::Arrived(Reason::NoSecurityGroup),
            passed: Vec::new(),
            steps: Vec::new(),
            exit: None,
            restarted: Vec::new(),
            stages: 0,
        };
        let mut last = Reason::NoSecurityGroup;
        let mut opened_inbound = false;
        let mut left_as = None;
        for (number, stage) in journey.stages.iter().enumerate() {
            leaf.stages = number;
            let refused = match stage {
                Stage::Mapped => {
                    if is_mapped(self.packet.five_tuple.protocol) || world.ask(|| UNSUPPORTED)? {
                        continue;
                    }
                    Some(LeafEnd::Refused)
                }
                Stage::OnlyIf(question) => {
                    if world.ask(|| question.clone())? {
                        continue;
                    }
                    Some(LeafEnd::Refused)
                }
                Stage::DeliveredIf(question) => {
                    if world.ask(|| question.clone())? {
                        leaf.end = LeafEnd::Arrived(last);
                        return Ok(leaf);
                    }
                    None
                }
                Stage::ElsewhereIf(diverts, arrives) => {
                    if world.ask(|| diverts.clone())? {
                        if world.ask(|| arrives.clone())? {
                            leaf.end = LeafEnd::Arrived(last);
                        } else {
                            leaf.end = LeafEnd::Refused;
                        }
                        return Ok(leaf);
                    }
                    None
                }
                Stage::Start(start) => self.start(start, world, &mut leaf)?,
                Stage::Service(check) => self.service(check, world, &mut leaf, &mut last)?,
                Stage::Filter(filter) => {
                    // A reply is seen under the address that the request came in by, whatever others leave by.
                    let source = match filter.source {
                        SeenSource::Own => SeenSource::Own,
                        other => left_as.unwrap_or(other),
                    };
                    let passed = self.filter(filter, source, world, &mut leaf, &mut last)?;
                    opened_inbound = passed.1;
                    passed.0
                }
                Stage::Exit(exit) => {
                    if opened_inbound {
                        left_as = Some(exit.own_public.map_or(SeenSource::Picked, SeenSource::Translated));
                    }
                    self.leave(exit, opened_inbound, world, &mut leaf)?
                }
            };
            if let Some(end) = refused {
                leaf.end = end;
                return Ok(leaf);
            }
        }
        leaf.stages = journey.stages.len();
        leaf.end = match journey.end {
            End::Arrives => LeafEnd::Arrived(last),
            End::Lost(reason) => LeafEnd::Denied(reason),
        };
        Ok(leaf)
    }

    /// Asks the filters of one interface. Says how the packet ended there, if it did, and whether it passed by the
    /// record of a flow that was opened from outside.
    fn filter(
        &self,
        filter: &Filter,
        source: SeenSource,
        world: &World,
        leaf: &mut Leaf,
        last: &mut Reason,
    ) -> Result<(Option<LeafEnd>, bool), Box<Open>> {
        let Filter { interface, direction, .. } = *filter;
        let seen = FiveTuple {
            source: match source {
                SeenSource::Translated(source) => source,
                SeenSource::Own | SeenSource::Picked => self.packet.five_tuple.source,
            },
            destination: filter.destination.unwrap_or(self.packet.five_tuple.destination),
            ..self.packet.five_tuple
        };
        let step = |answer, access| Step { interface, direction, answer, access, seen };
        let key = FlowKey::new(interface, direction, &seen, self.packet.icmp);
        let picked = source == SeenSource::Picked;

        if self.packet.tcp.is_some_and(TcpFlags::opens) {
            leaf.restarted.push(key);
        }
        // A flow whose remote end nobody knows cannot be found again.
        let found = if picked { None } else { self.record(key, &seen, direction) };
        if let Some((key, record)) = found {
            if let Some(reason) = record.revoked {
                if let Reason::SecurityRule(hit) = reason {
                    leaf.steps.push(step(StepAnswer::Rule(hit), Access::Deny));
                }
                // Its packets keep it from idling out.
                leaf.passed.push(Passed { key, direction, by_record: true });
                return Ok((Some(LeafEnd::Denied(reason)), false));
            }
            let open = match &record.doubt {
                None => true,
                Some(doubt) => world.ask(|| Unknown::FlowIsOpen { because: doubt.clone() })?,
            };
            if open {
                leaf.steps.push(step(StepAnswer::FlowTable, Access::Allow));
                leaf.passed.push(Passed { key, direction, by_record: true });
                *last = Reason::FlowState { interface, direction };
                return Ok((None, record.opened == Direction::Inbound));
            }
        }

        let cells = (self.compiled.cell(seen.source), self.compiled.cell(seen.destination));
        // Admin rules come first (ADM-2), before the gate too (EVAL-11).
        let managers = self.compiled.admin(interface, direction);
        if !managers.is_empty() {
            match self.admin(managers, &seen, cells, picked, world)? {
                None => {}
                // The rule may be one that passes the NSGs over.
                Some(AdminSaid::Assumed(Access::Allow)) => return Ok((None, false)),
                Some(AdminSaid::Assumed(Access::Deny)) => return Ok((Some(LeafEnd::Refused), false)),
                Some(AdminSaid::Rule(rule)) => {
                    let hit = AdminHit { interface, direction, rule };
                    let action = self.compiled.network.admin_rule(rule).action;
                    leaf.steps.push(step(StepAnswer::AdminRule(hit, action), action.access()));
                    let reason = Reason::AdminRule(hit);
                    match action {
                        AdminAction::Deny => return Ok((Some(LeafEnd::Denied(reason)), false)),
                        AdminAction::Allow => *last = reason,
                        AdminAction::AlwaysAllow => {
                            *last = reason;
                            if !picked {
                                leaf.passed.push(Passed { key, direction, by_record: false });
                            }
                            return Ok((None, false));
                        }
                    }
                }
            }
        }

        let layers = self.compiled.layers(interface, direction);
        if layers.is_empty() {
            match &filter.gate {
                Gate::Open => {}
                Gate::Closed(public_ip) => {
                    leaf.steps.push(step(StepAnswer::PublicIpGate(*public_ip), Access::Deny));
                    let nic = interface.nic().expect("public addresses stand before listed interfaces");
                    let reason = Reason::PublicIpGate { public_ip: *public_ip, nic };
                    return Ok((Some(LeafEnd::Denied(reason)), false));
                }
                Gate::Unknown(question) => {
                    if !world.ask(|| question.clone())? {
                        return Ok((Some(LeafEnd::Refused), false));
                    }
                }
            }
        }
        for layer in layers {
            let question = match &layer.policy {
                PolicyReference::Compiled(position) => {
                    let policy = &self.compiled.policies[*position];
                    let decision = if picked {
                        // What the rules say may hang on the source that Azure picks.
                        match policy.decide_for_picked(&seen, world)?.expect(DECIDES) {
                            Picked::Decided(decision) => decision,
                            Picked::Assumed(Access::Allow) => continue,
                            Picked::Assumed(Access::Deny) => return Ok((Some(LeafEnd::Refused), false)),
                        }
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
                    leaf.steps.push(step(StepAnswer::Rule(hit), decision.access));
                    match decision.access {
                        Access::Allow => *last = Reason::SecurityRule(hit),
                        Access::Deny => {
                            return Ok((Some(LeafEnd::Denied(Reason::SecurityRule(hit))), false));
                        }
                    }
                    continue;
                }
                other => open_layer(other, direction, &seen),
            };
            if !world.ask(|| question)? {
                return Ok((Some(LeafEnd::Refused), false));
            }
        }
        if !picked {
            leaf.passed.push(Passed { key, direction, by_record: false });
        }
        Ok((None, false))
    }

    /// What the platform exempts (PLAT-1 to PLAT-5), and what networks do not carry (PLAT-9).
    fn start(&self, start: &Start, world: &World, leaf: &mut Leaf) -> Result<Option<LeafEnd>, Box<Open>> {
        let Start { interface, direction, .. } = *start;
        let tuple = self.packet.five_tuple;
        let service = if start.platform { exempt(&tuple, direction) } else { None };
        if let Some(service) = service
            && !self.is_ordinary(service, start, world)?
        {
            if !matches!(service, PlatformService::WireServer | PlatformService::Dhcp)
                && let Some(end) = self.platform_rules(interface, world, leaf)?
            {
                return Ok(Some(end));
            }
            let answer = StepAnswer::PlatformRule(service);
            leaf.steps.push(Step { interface, direction, answer, access: Access::Allow, seen: tuple });
            // It is allowed at the interface, so that its answer passes too (STATE-1, STATE-3).
            if direction == Direction::Outbound {
                let key = FlowKey::new(interface, direction, &tuple, None);
                leaf.passed.push(Passed { key, direction, by_record: false });
            }
            return Ok(Some(LeafEnd::Arrived(Reason::PlatformRule { service, interface, direction })));
        }
        if let Some(nic) = start.spoofed_by {
            return Ok(Some(LeafEnd::Denied(Reason::IpForwarding { nic, direction })));
        }
        if is_unsupported(&tuple) {
            return Ok(Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction })));
        }
        Ok(None)
    }

    /// The licensing servers alone are ordinary destinations under a user-defined default route (PLAT-4).
    fn is_ordinary(&self, service: PlatformService, start: &Start, world: &World) -> Result<bool, Box<Open>> {
        match &start.default_route {
            DefaultRoute::Unknown(question) if service == PlatformService::Lkm => {
                world.ask(|| question.clone())
            }
            DefaultRoute::Present => Ok(service == PlatformService::Lkm),
            DefaultRoute::Absent | DefaultRoute::Unknown(_) => Ok(false),
        }
    }

    /// The rules with a platform tag, the only ones that an exempt packet meets (PLAT-2).
    fn platform_rules(
        &self,
        interface: Interface,
        world: &World,
        leaf: &mut Leaf,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let (direction, seen) = (Direction::Outbound, self.packet.five_tuple);
        for layer in self.compiled.layers(interface, direction) {
            let question = match &layer.policy {
                PolicyReference::Compiled(position) => {
                    let policy = &self.compiled.policies[*position];
                    let Some(decision) = policy.decide_for_platform(&seen, world)? else { continue };
                    let (nsg, layer, rule) = (policy.nsg(), layer.layer, decision.rule);
                    let hit = RuleHit { interface, direction, layer, nsg, rule };
                    let (answer, access) = (StepAnswer::Rule(hit), decision.access);
                    leaf.steps.push(Step { interface, direction, answer, access, seen });
                    if access == Access::Deny {
                        return Ok(Some(LeafEnd::Denied(Reason::SecurityRule(hit))));
                    }
                    continue;
                }
                other => open_layer(other, direction, &seen),
            };
            if !world.ask(|| question)? {
                return Ok(Some(LeafEnd::Refused));
            }
        }
        Ok(None)
    }

    /// What the managers' rules say (ADM-3, ADM-4): the first match of the manager that goes first.
    fn admin(
        &self,
        managers: &[ManagerLists],
        seen: &FiveTuple,
        cells: (Cell, Cell),
        picked: bool,
        world: &World,
    ) -> Result<Option<AdminSaid>, Box<Open>> {
        let action = |said: &AdminSaid| match said {
            AdminSaid::Rule(rule) => Some(self.compiled.network.admin_rule(*rule).action),
            AdminSaid::Assumed(_) => None,
        };
        for (place, manager) in managers.iter().enumerate() {
            let Some(said) = self.manager(manager, seen, cells, picked, world)? else { continue };
            if let (Some(question), Some(next)) = (&manager.before_next, managers.get(place + 1))
                && let Some(other) = self.manager(next, seen, cells, picked, world)?
                && action(&other) != action(&said)
                && !world.ask(|| question.clone())?
            {
                return Ok(Some(other));
            }
            return Ok(Some(said));
        }
        Ok(None)
    }

    /// The first match over the lists of one manager that are in force.
    fn manager(
        &self,
        manager: &ManagerLists,
        seen: &FiveTuple,
        cells: (Cell, Cell),
        picked: bool,
        world: &World,
    ) -> Result<Option<AdminSaid>, Box<Open>> {
        let network = &self.compiled.network;
        let mut first: Option<AdminRulePosition> = None;
        for list in &manager.lists {
            let policy = &self.compiled.admin_policies[list.policy];
            let decided = if picked {
                match policy.decide_for_picked(seen, world)? {
                    Some(Picked::Assumed(access)) => return Ok(Some(AdminSaid::Assumed(access))),
                    Some(Picked::Decided(decision)) => Some(decision),
                    None => None,
                }
            } else {
                policy.decide(self.engine, seen, cells, world)?
            };
            let Some(decision) = decided else { continue };
            if let Some(question) = &list.in_force
                && !world.ask(|| question.clone())?
            {
                continue;
            }
            let RulePlace::Admin(rule) = policy.owner.place(decision.rule) else {
                unreachable!("the lists of managers hold admin rules")
            };
            if first.is_none_or(|first| admin::order(network, rule, first).is_lt()) {
                first = Some(rule);
            }
        }
        Ok(first.map(AdminSaid::Rule))
    }

    /// The firewall of a service (SVC-2 to SVC-5): its rules only ever allow.
    fn service(
        &self,
        check: &ServiceCheck,
        world: &World,
        leaf: &mut Leaf,
        last: &mut Reason,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let own = self.packet.five_tuple;
        // Through a service endpoint the service sees the private address (SE-3).
        let source = match (check.identity, check.from_azure) {
            (Some(_), _) | (None, false) => Some(own.source),
            (None, true) => leaf.exit.and_then(|(_, source)| source),
        };
        let (rule, access) = self.firewall(check, source, world)?;
        let (account, answer) = (check.account, StepAnswer::ServiceFirewall(rule));
        let seen = FiveTuple { source: source.unwrap_or(own.source), ..own };
        let interface = Interface::Service(account);
        leaf.steps.push(Step { interface, direction: Direction::Inbound, answer, access, seen });
        let reason = Reason::ServiceFirewall { account, rule };
        if access == Access::Deny {
            return Ok(Some(LeafEnd::Denied(reason)));
        }
        *last = reason;
        Ok(None)
    }

    fn firewall(
        &self,
        check: &ServiceCheck,
        source: Option<IpAddr>,
        world: &World,
    ) -> Result<(FirewallRule, Access), Box<Open>> {
        let network = &self.compiled.network;
        let account = &network.service_accounts[check.account.get()];
        if !account.public_network_access {
            return Ok((FirewallRule::PublicNetworkAccess, Access::Deny));
        }
        // Without rules of its own a storage account and a vault are open, a SQL server is closed (SVC-2, SVC-4, SVC-5).
        if account.default_allow.unwrap_or(account.kind != ServiceKind::Sql) {
            return Ok((FirewallRule::DefaultAction, Access::Allow));
        }
        if let Some(subnet) = check.identity
            && account.subnets.contains(&network.subnets[subnet.get()].id)
        {
            return Ok((FirewallRule::VirtualNetworkRule, Access::Allow));
        }
        if check.identity.is_none() && self.by_address(check, account, source, world)? {
            return Ok((FirewallRule::IpRule, Access::Allow));
        }
        Ok((FirewallRule::DefaultAction, Access::Deny))
    }

    /// Whether an IP rule admits the client (SVC-2 to SVC-5).
    fn by_address(
        &self,
        check: &ServiceCheck,
        account: &ServiceAccount,
        source: Option<IpAddr>,
        world: &World,
    ) -> Result<bool, Box<Open>> {
        if account.ip_rules.is_empty() {
            return Ok(false);
        }
        let zero = IpAddr::from([0; 4]);
        // The rule 0.0.0.0 admits whatever starts in Azure (SVC-5).
        if account.kind == ServiceKind::Sql && check.from_azure && account.ip_rules.contains(&(zero, zero)) {
            return Ok(true);
        }
        let holds = match source {
            Some(source) => account.ip_rules.iter().any(|(first, last)| (*first..=*last).contains(&source)),
            None => world.ask(|| Unknown::TranslatedSource { address: self.packet.five_tuple.source })?,
        };
        // IP rules of storage are void for clients in the account's own region (SVC-3).
        if !holds || account.kind != ServiceKind::Storage {
            return Ok(holds);
        }
        match &check.same_region {
            Ok(same) => Ok(!same),
            Err(question) => Ok(!world.ask(|| question.clone())?),
        }
    }

    /// The live record that a packet passes by: its own flow's, or that of the packet which an ICMP error quotes
    /// (STATE-10).
    fn record(&self, key: FlowKey, seen: &FiveTuple, direction: Direction) -> Option<(FlowKey, &FlowRecord)> {
        let flows = self.flows?;
        let timeout_ns = self.compiled.idle_timeout_ns(key.interface());
        if let Some(record) = flows.live(&key, self.packet, self.time_ns, timeout_ns) {
            return Some((key, record));
        }
        let Some(Icmp::Error { quoted: Some(quoted) }) = self.packet.icmp else { return None };
        // The error goes against the packet that it quotes. The quoted addresses are rewritten like the error's own:
        // the end that is the interface's is seen under the address that the interface has.
        let mut quoted = quoted;
        match direction {
            Direction::Inbound => quoted.source = seen.destination,
            Direction::Outbound => quoted.destination = seen.source,
        }
        let against = match direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        let key = FlowKey::new(key.interface(), against, &quoted, None);
        flows.alive(&key, self.time_ns, timeout_ns).map(|record| (key, record))
    }

    /// Out to the internet: which packets the way out carries (OUT-1 to OUT-3, STATE-11).
    fn leave(
        &self,
        exit: &Exit,
        opened_inbound: bool,
        world: &World,
        leaf: &mut Leaf,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        // A reply leaves by the address that the request came in by (OUT-5).
        if opened_inbound {
            leaf.exit = exit.own_public.map(|public| (Snat::InstancePublicIp, Some(public)));
            return Ok(None);
        }
        let protocol = self.packet.five_tuple.protocol;
        let interface = exit.interface;
        let no_way = Some(LeafEnd::Denied(Reason::OutboundConnectivity { interface }));
        let (by, question) = match &exit.by {
            Way::None => return Ok(no_way),
            Way::Through(by) => (Some(*by), None),
            Way::ThroughIf(by, question) => (Some(*by), Some(question)),
            Way::Somehow => (None, None),
            Way::SomehowIf(question) => (None, Some(question)),
        };
        if let Some(question) = question
            && !world.ask(|| question.clone())?
        {
            return Ok(Some(LeafEnd::Refused));
        }
        let Some(by) = by else { return Ok(None) };
        match by {
            Snat::NatGateway if !protocol.has_ports() => return Ok(no_way),
            Snat::DefaultOutboundAccess => {
                match self.packet.icmp {
                    Some(Icmp::Echo { .. }) => return Ok(no_way),
                    // It may be an echo.
                    None if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
                        && !world.ask(|| UNSUPPORTED)? =>
                    {
                        return Ok(Some(LeafEnd::Refused));
                    }
                    _ => {}
                }
                if self.packet.fragment != Fragment::Whole {
                    let direction = Direction::Outbound;
                    return Ok(Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction })));
                }
            }
            Snat::InstancePublicIp if !is_mapped(protocol) && !world.ask(|| UNSUPPORTED)? => {
                return Ok(Some(LeafEnd::Refused));
            }
            Snat::NatGateway
            | Snat::InstancePublicIp
            | Snat::LoadBalancerOutboundRule
            | Snat::LoadBalancerRule => {}
        }
        leaf.exit = Some((by, exit.source));
        Ok(None)
    }
}

/// What admin rules said.
enum AdminSaid {
    /// A rule matched.
    Rule(AdminRulePosition),
    /// It hangs on the source that Azure picks whether one does: what the world takes them to say.
    Assumed(Access),
}

/// Why a list of an NSG's rules always decides.
const DECIDES: &str = "the last default rule of each direction matches every packet (DEF-1)";

/// The question that a layer without rules in the inventory asks.
fn open_layer(policy: &PolicyReference, direction: Direction, seen: &FiveTuple) -> Unknown {
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

/// The platform's service that a packet is of, where rules do not touch it (PLAT-1 to PLAT-5).
fn exempt(tuple: &FiveTuple, direction: Direction) -> Option<PlatformService> {
    let is = |address: IpAddr, service: &str| fixed(service).contains(&address);
    let to_platform = || is(tuple.destination, PLATFORM);
    let broadcast = || tuple.destination == IpAddr::from(Ipv4Addr::BROADCAST);
    let (from, to) = (tuple.source_port.number()?, tuple.destination_port.number()?);
    // PERF: few packets have such ports, so that the addresses of most are not looked at.
    let (holds, service) = match (direction, tuple.protocol, from, to) {
        (Direction::Inbound, Protocol::UDP, 67, 68) => (is(tuple.source, PLATFORM), PlatformService::Dhcp),
        (Direction::Outbound, Protocol::UDP, 68, 67) => (to_platform() || broadcast(), PlatformService::Dhcp),
        (Direction::Outbound, Protocol::TCP | Protocol::UDP, _, 53) => (to_platform(), PlatformService::Dns),
        (Direction::Outbound, Protocol::TCP, _, 80) if is(tuple.destination, METADATA) => {
            (true, PlatformService::Imds)
        }
        (Direction::Outbound, Protocol::TCP, _, 80 | 32526) => (to_platform(), PlatformService::WireServer),
        (Direction::Outbound, Protocol::TCP, _, 1688) => {
            (LICENSING.iter().any(|server| is(tuple.destination, server)), PlatformService::Lkm)
        }
        _ => return None,
    };
    holds.then_some(service)
}

/// What virtual networks do not carry, whatever the rules (PLAT-9).
fn is_unsupported(tuple: &FiveTuple) -> bool {
    const TUNNELS: [Protocol; 3] = [Protocol(4), Protocol(41), Protocol::GRE];
    const HOST_PORT: u16 = 65330;
    let ports = (tuple.source_port.number(), tuple.destination_port.number());
    TUNNELS.contains(&tuple.protocol)
        || tuple.destination.is_multicast()
        || tuple.destination == IpAddr::from(Ipv4Addr::BROADCAST)
        || (tuple.protocol == Protocol::UDP && (ports.0 == Some(HOST_PORT) || ports == (Some(68), Some(67))))
}

/// Whether a public address carries other traffic than its clause names.
const UNSUPPORTED: Unknown = Unknown::FeatureAllows { feature: Feature::UnmappedProtocol, resource: None };

/// The protocols that a public address is said to map (PIP-1); no clause says what becomes of others.
fn is_mapped(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 | Protocol::ESP)
}

/// How many steps two worlds share from the start.
fn shared(one: &[Step], other: &[Step]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
