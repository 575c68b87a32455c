//! Behind load balancers (LB-1 to LB-9, LB-12, PEER-8).

use std::sync::Arc;

use super::{Builder, same_region};
use crate::compile::balancers::{Member, frontend_address};
use crate::compile::places::FrontendPlace;
use crate::model::assumptions::InternalBalancer;
use crate::model::flow::Port;
use crate::model::index::{NicIndex, VnetIndex};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Reason, RouteEnd};
use crate::simulate::journey::{Balance, BalanceAt, Gate, Journey, MemberWay, Stage};
use crate::simulate::state::Entrance;

/// How packets come to a load balancer.
#[derive(Clone, Debug)]
enum Entry {
    /// At an internal frontend, as their destination.
    Internal,
    /// At a public frontend, behind this gate.
    Public(Gate),
    /// Through a Private Link service.
    PrivateLink,
    /// As their next hop, from this sender.
    NextHop(Option<Interface>),
}

impl Builder<'_> {
    /// At an internal frontend (LB-8).
    pub(super) fn enter_internal_frontend(&mut self, place: FrontendPlace) {
        self.balance(&[place], &Entry::Internal);
    }

    /// At a public frontend.
    pub(super) fn enter_public_frontend(&mut self, place: FrontendPlace) {
        let public_ip = place.of(&self.compiled.network).public_ip.as_ref();
        let gate = public_ip.map_or(Gate::Open, |public_ip| self.gate_of(public_ip));
        self.balance(&[place], &Entry::Public(gate));
    }

    /// At the frontends behind a Private Link service (PLS-1).
    pub(super) fn enter_frontends_privately(&mut self, places: &[FrontendPlace]) {
        self.balance(places, &Entry::PrivateLink);
    }

    /// At an internal frontend that is the next hop (LB-12).
    pub(super) fn enter_frontend_as_hop(&mut self, from: Option<Interface>, place: FrontendPlace) {
        self.balance(&[place], &Entry::NextHop(from));
    }

    /// Whether a frontend can be reached from a network: those of Basic load balancers not from another region (PEER-8).
    pub(super) fn reaches_frontend(&mut self, from: VnetIndex, at: VnetIndex, place: FrontendPlace) -> bool {
        let network = &self.compiled.network;
        let balancer = &network.load_balancers[place.balancer.get()];
        if from == at || balancer.standard {
            return true;
        }
        let no_way = Reason::Route(RouteEnd::NoEndpoint);
        let region = |vnet: VnetIndex| network.vnets[vnet.get()].location.as_ref();
        match same_region(region(from), region(at)) {
            Some(true) => true,
            Some(false) => {
                self.lost(no_way);
                false
            }
            None => {
                let question = Unknown::SameRegion { account: balancer.id.clone() };
                self.journey.stages.push(Stage::OnlyIf(question, Some(no_way)));
                true
            }
        }
    }

    fn balance(&mut self, places: &[FrontendPlace], entry: &Entry) {
        let network = &self.compiled.network;
        let frontends: Vec<BalanceAt> = places
            .iter()
            .map(|place| {
                let gate = self.gate_before(*place, entry);
                let rules = self.compiled.balancers.rules(*place);
                let ways = rules.iter().map(|rule| {
                    let ways = rule.members.iter().map(|member| self.member_way(member, entry, &gate));
                    ways.collect::<Vec<_>>()
                });
                BalanceAt {
                    place: *place,
                    address: frontend_address(network, place.of(network)),
                    ways: ways.collect(),
                }
            })
            .collect();
        let at = |public| match frontends.as_slice() {
            // The port is the packet's own: the walk fills it in.
            [only] => Some(Entrance::Frontend { address: only.address, port: Port::NotGiven, public }),
            _ => None,
        };
        let entrance = match entry {
            Entry::Internal => at(false),
            Entry::Public(_) => at(true),
            Entry::PrivateLink => Some(Entrance::PrivateLink),
            Entry::NextHop(_) => None,
        };
        let as_next_hop = matches!(entry, Entry::NextHop(_));
        self.journey.stages.push(Stage::Balance(Balance { frontends, as_next_hop, entrance }));
    }

    /// What stands before a member without an NSG (EVAL-11).
    fn gate_before(&self, place: FrontendPlace, entry: &Entry) -> Gate {
        let standard = self.compiled.network.load_balancers[place.balancer.get()].standard;
        let closed = self.compiled.assumptions.eval_11 == InternalBalancer::Closed && standard;
        match entry {
            Entry::Public(gate) => gate.clone(),
            Entry::Internal | Entry::PrivateLink if closed => Gate::ClosedInside(place.balancer),
            // A next hop is not where the packet goes.
            Entry::Internal | Entry::PrivateLink | Entry::NextHop(_) => Gate::Open,
        }
    }

    fn member_way(&self, member: &Member, entry: &Entry, gate: &Gate) -> MemberWay {
        let mut branch = self.branch();
        let nic = match member {
            Member::Missing(id, _) => {
                branch.missing(id.clone());
                return MemberWay { hairpin_at: None, onward: Arc::new(branch.finish()) };
            }
            Member::Nic(nic, ..) => *nic,
        };
        if let Entry::NextHop(from) = entry {
            return self.hop_way(*from, nic);
        }
        branch.enter_interface(nic).gate = gate.clone();
        let hairpin_at = matches!(entry, Entry::Internal).then_some(nic);
        MemberWay { hairpin_at, onward: Arc::new(branch.finish()) }
    }

    fn hop_way(&self, from: Option<Interface>, nic: NicIndex) -> MemberWay {
        let onward: Arc<Journey> = self.onward_by_appliance(from, nic);
        MemberWay { hairpin_at: None, onward }
    }
}
