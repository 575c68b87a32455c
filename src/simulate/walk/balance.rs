//! A load balancer picks one member of a pool: all that it may pick are tried (LB-1 to LB-9, LB-12).

use std::net::IpAddr;

use super::{Course, Kind, Leaf, LeafEnd, MOST_WAYS, Met, UNSUPPORTED, Walk};
use crate::compile::balancers::{Member, Probe, ServedRule, Takes};
use crate::compile::resolve::IPV6_PROBES;
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::compile::world::{Open, World};
use crate::model::assumptions::FloatingDestination;
use crate::model::flow::{FiveTuple, Port};
use crate::model::index::{LoadBalancerIndex, NicIndex};
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{BackendAnswer, BalancerFault, Interface, Reason};
use crate::simulate::journey::{Balance, BalanceAt, Filter, Gate, MemberWay};
use crate::simulate::state::{Entrance, FlowKey};

/// What a member may get.
struct Candidate<'a> {
    member: &'a Member,
    way: &'a MemberWay,
    balancer: LoadBalancerIndex,
    course: Course,
}

impl Walk<'_> {
    /// Tries every member that the load balancer may pick.
    pub(super) fn balance(
        &self,
        balance: &Balance,
        course: Course,
        world: &World,
    ) -> Result<Leaf, Box<Open>> {
        let mut candidates = Vec::new();
        let mut fault = None;
        for at in &balance.frontends {
            match self.candidates(balance, at, &course, world)? {
                Ok(found) => candidates.extend(found),
                Err(end) => {
                    fault.get_or_insert(end);
                }
            }
        }
        if candidates.is_empty() {
            let end = fault.expect("a load balancer without candidates says why");
            return Ok(Leaf::new(course, end));
        }
        // One way becomes as many as there are candidates.
        let ways = self.ways.get() + candidates.len() - 1;
        self.ways.set(ways);
        if ways > MOST_WAYS {
            return Err(Box::new(Open(Unknown::TooManyWays)));
        }
        let mut leaves = Vec::with_capacity(candidates.len());
        for Candidate { member, way, balancer, course } in candidates {
            let hairpin = way
                .hairpin_at
                .is_some_and(|nic| self.compiled.network.nics[nic.get()].has(course.seen.source));
            let leaf = if hairpin {
                let fault = BalancerFault::Hairpin;
                Leaf::new(course, LeafEnd::Denied(Reason::LoadBalancer { balancer, fault }))
            } else {
                self.follow(&way.onward, course, world)?
            };
            let nic = match member {
                Member::Nic(nic, ..) => Some(*nic),
                Member::Missing(..) => None,
            };
            let (address, verdict) = (member.address(), leaf.end.verdict());
            leaves.push((BackendAnswer { balancer, nic, address, verdict }, leaf));
        }
        Ok(merge(course, leaves))
    }

    /// The members that get the packet at one frontend, each with the packet as it gets it; otherwise why none does.
    fn candidates<'b>(
        &self,
        balance: &'b Balance,
        at: &'b BalanceAt,
        course: &Course,
        world: &World,
    ) -> Result<Result<Vec<Candidate<'b>>, LeafEnd>, Box<Open>>
    where
        Self: 'b,
    {
        let balancer = at.place.balancer;
        let lost = |fault| LeafEnd::Denied(Reason::LoadBalancer { balancer, fault });
        let rules = self.compiled.balancers.rules(at.place);
        let (protocol, port) = (course.seen.protocol, course.seen.destination_port);
        let takes = |rule: &ServedRule| rule.takes(protocol, port);
        let Some(number) = rules.iter().position(|rule| takes(rule) != Takes::No) else {
            return Ok(Err(lost(BalancerFault::NoRule)));
        };
        let rule = &rules[number];
        if takes(rule) == Takes::Unsaid && !world.ask(|| UNSUPPORTED)? {
            return Ok(Err(LeafEnd::Refused(UNSUPPORTED)));
        }
        let mut found = Vec::new();
        for (member, way) in rule.members.iter().zip(&at.ways[number]) {
            let mut course = course.clone();
            if !balance.as_next_hop {
                let keeps =
                    rule.floating_ip && self.compiled.assumptions.lb_5 == FloatingDestination::Frontend;
                rewrite(&mut course, (balance, at), rule, member, keeps);
            }
            if self.gets_flows(balancer, rule, member, &course, world)? {
                found.push(Candidate { member, way, balancer, course });
            }
        }
        Ok(if found.is_empty() { Err(lost(BalancerFault::NoHealthyBackend)) } else { Ok(found) })
    }

    /// Whether a member is up, or has the flow from a time when it was (LB-7).
    fn gets_flows(
        &self,
        balancer: LoadBalancerIndex,
        rule: &ServedRule,
        member: &Member,
        course: &Course,
        world: &World,
    ) -> Result<bool, Box<Open>> {
        let Member::Nic(nic, _, address) = *member else { return Ok(true) };
        let up = match &rule.probe {
            Probe::None => true,
            Probe::Port(port) => self.answers_probe(nic, address, *port, world)?,
            Probe::Missing(probe) => world.ask(|| Unknown::ResourceAllows { resource: probe.clone() })?,
        };
        if up || !self.compiled.network.load_balancers[balancer.get()].standard {
            return Ok(up);
        }
        let (interface, direction) = (Interface::Nic(nic), Direction::Inbound);
        let key = FlowKey::new(interface, direction, &course.seen, self.packet.icmp);
        for (_, record) in self.records(key, course.quoted, direction) {
            let open = match record.doubt() {
                None => true,
                Some(doubt) => world.ask(|| Unknown::FlowIsOpen { because: Box::new(doubt.clone()) })?,
            };
            if open {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the rules at a member let its probe in: TCP from the platform.
    fn answers_probe(
        &self,
        nic: NicIndex,
        address: IpAddr,
        port: u16,
        world: &World,
    ) -> Result<bool, Box<Open>> {
        let source = if address.is_ipv4() { PLATFORM } else { IPV6_PROBES };
        let seen = FiveTuple {
            source: fixed(source).addr(),
            destination: address,
            protocol: Protocol::TCP,
            source_port: Port::NotGiven,
            destination_port: Port::Number(port),
        };
        let filter =
            Filter { interface: Interface::Nic(nic), direction: Direction::Inbound, gate: Gate::Open };
        let mut course = Course {
            seen,
            quoted: None,
            picked: false,
            entered: None,
            answers: None,
            to_consumer: false,
            last: Reason::NoSecurityGroup,
            met: Met::default(),
        };
        Ok(self.rules(&filter, &mut course, world)?.is_none())
    }
}

/// What a member's rules see: its own address, or under floating IP the frontend's, which the packet keeps (LB-2, LB-5).
fn rewrite(
    course: &mut Course,
    (balance, at): (&Balance, &BalanceAt),
    rule: &ServedRule,
    member: &Member,
    keeps: bool,
) {
    // What starts at an address of a Private Link service is answered through it.
    if course.entered != Some(Entrance::PrivateLink) {
        course.entered = balance.entrance.map(|entrance| match entrance {
            Entrance::Frontend { address, public, .. } => {
                Entrance::Frontend { address, port: course.seen.destination_port, public }
            }
            other => other,
        });
    }
    match member {
        _ if keeps => course.sent_to(at.address.unwrap_or(course.seen.destination)),
        Member::Nic(.., address) => course.sent_to(*address),
        Member::Missing(..) => {}
    }
    if let (Some(port), Port::Number(_)) = (rule.member_port, course.seen.destination_port) {
        course.seen.destination_port = Port::Number(port);
    }
    // What a member rewrites that the inventory lacks, nobody knows.
    if let Member::Nic(..) = member {
        course.met.translation.destination = Some(course.rewritten());
    }
    if course.seen.protocol == Protocol::TCP {
        course.remembered_for(rule.idle_timeout_min);
    }
}

/// Members that agree have one verdict, and the first shows how; otherwise it hangs on which is picked (LB-6).
fn merge(course: Course, mut leaves: Vec<(BackendAnswer, Leaf)>) -> Leaf {
    if leaves.len() == 1 {
        return leaves.remove(0).1;
    }
    let kind = leaves[0].1.end.kind();
    let agree = kind != Kind::Mixed && leaves.iter().all(|(_, leaf)| leaf.end.kind() == kind);
    let balancer = leaves[0].0.balancer;
    let mut touches = Vec::new();
    let (mut backends, mut first) = (Vec::with_capacity(leaves.len()), None);
    for (backend, leaf) in leaves {
        backends.push(backend);
        // Each member that lets the packet in knows the flow: which it is a reply shows.
        touches.extend(&leaf.met.touches);
        first.get_or_insert(leaf);
    }
    let first = first.expect("a load balancer that picks has members");
    let (end, met) = if agree { (first.end, first.met) } else { (LeafEnd::Mixed(balancer), course.met) };
    Leaf { end, met: Met { touches, backends, ..met } }
}
