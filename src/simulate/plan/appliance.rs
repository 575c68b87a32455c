//! Through machines that forward (ROUTE-12 to ROUTE-15, ROUTE-19).

use std::net::IpAddr;
use std::sync::Arc;

use super::Builder;
use crate::compile::peerings;
use crate::compile::places::{Owner, within};
use crate::compile::surroundings::may_be_in_a_network;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, Reference, VnetIndex};
use crate::model::rule::Direction;
use crate::model::services::ApplianceMode;
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Note, Reason, RouteEnd, UserRoute};
use crate::simulate::journey::{Journey, Stage};

/// How many machines may forward one packet: one more is taken for a loop (ROUTE-19).
const MOST_HOPS: u32 = 6;

impl Builder<'_> {
    /// To the next hop that a user-defined route names: an interface, or an internal frontend, in the same or in a
    /// directly peered network (ROUTE-12). `from` is the sender, nothing for a gateway.
    pub(super) fn enter_next_hop(
        &mut self,
        from: Option<Interface>,
        vnet: VnetIndex,
        address: IpAddr,
        user_route: Option<UserRoute>,
    ) {
        let (compiled, network) = (self.compiled, &self.compiled.network);
        let near: Vec<VnetIndex> = std::iter::once(vnet)
            .chain(peerings::connected(network, vnet).filter_map(|peering| peering.remote))
            .collect();
        let owner = near.iter().find_map(|near| match compiled.places.owner(*near, address) {
            Some(owner @ (Owner::Nic(..) | Owner::LoadBalancer(_))) => Some((*near, owner)),
            _ => None,
        });
        match owner {
            Some((at, _)) if at != vnet && !self.crosses(from, vnet, &Reference::Here(at)) => {}
            Some((_, Owner::Nic(nic, _))) => self.enter_appliance(from, nic),
            Some((at, Owner::LoadBalancer(place))) => {
                if !self.reaches_frontend(vnet, at, place) {
                    return;
                }
                // It is not on its way through, but there.
                if address == self.destination {
                    self.enter_internal_frontend(place);
                } else {
                    self.enter_frontend_as_hop(from, place);
                }
            }
            _ => match self.hidden_next_hop(vnet, &near, address) {
                Some(missing) => self.missing(missing),
                None if self.compiled.partial_inventory => self.unknown(Unknown::OwnerAllows { address }),
                None => self.lost(Reason::Route(RouteEnd::None { interface: from, user_route })),
            },
        }
    }

    /// What the inventory lacks so that nobody can tell whether some interface is the next hop.
    fn hidden_next_hop(&self, vnet: VnetIndex, near: &[VnetIndex], address: IpAddr) -> Option<ResourceId> {
        let network = &self.compiled.network;
        near.iter().find_map(|near| self.missing_subnet_of(*near, address)).or_else(|| {
            peerings::connected(network, vnet).find_map(|peering| {
                let Reference::Missing(remote) = &peering.side.remote else { return None };
                let may_hold = peering
                    .prefixes(network)
                    .map_or_else(|_| may_be_in_a_network(address), |space| within(space, address));
                may_hold.then(|| remote.clone())
            })
        })
    }

    /// At an interface that is the next hop: the destination itself, or one that forwards.
    pub(super) fn enter_appliance(&mut self, from: Option<Interface>, nic: NicIndex) {
        let (direction, resource) = (Direction::Inbound, &self.compiled.network.nics[nic.get()]);
        if resource.has(self.destination) {
            self.enter_interface(nic);
            return;
        }
        if self.hops == MOST_HOPS {
            self.lost(Reason::Route(RouteEnd::Loop { interface: from }));
            return;
        }
        self.hops += 1;
        // Before the rules (ROUTE-13).
        if !resource.ip_forwarding {
            self.lost(Reason::IpForwarding { nic, direction });
            return;
        }
        self.enter_interface(nic);
        self.forward(nic);
    }

    /// What the machine does with the packet (ROUTE-15), and its leg from there on (ROUTE-14).
    fn forward(&mut self, nic: NicIndex) {
        let network = &self.compiled.network;
        let stated = network.appliances.iter().find(|appliance| appliance.nic == Reference::Here(nic));
        let (mode, egress) = match stated {
            None => {
                self.journey.stages.push(Stage::Note(Note::TakenToForward { nic }));
                (ApplianceMode::Forward, nic)
            }
            Some(appliance) => match &appliance.egress {
                None => (appliance.mode, nic),
                Some(Reference::Here(egress)) => (appliance.mode, *egress),
                Some(Reference::Missing(_)) if appliance.mode == ApplianceMode::Drop => (appliance.mode, nic),
                Some(Reference::Missing(egress)) => return self.missing(egress.clone()),
            },
        };
        let leaves = &network.nics[egress.get()];
        match mode {
            ApplianceMode::Drop => return self.lost(Reason::Appliance(nic)),
            ApplianceMode::Forward => {}
            ApplianceMode::Snat => {
                // The families of addresses never meet (TOP-9).
                let own = leaves
                    .ip_configurations
                    .iter()
                    .filter_map(|configuration| configuration.address)
                    .find(|address| address.is_ipv4() == self.destination.is_ipv4());
                let Some(own) = own else { return self.missing(leaves.id.clone()) };
                self.source = own;
                self.journey.stages.push(Stage::SentFrom(own));
            }
        }
        let own = leaves.has(self.source) || self.compiled.balancers.floats(egress, self.source);
        if !leaves.ip_forwarding && !own {
            self.lost(Reason::IpForwarding { nic: egress, direction: Direction::Outbound });
            return;
        }
        // A packet to itself does not leave the machine (EVAL-9).
        if leaves.has(self.destination) {
            return;
        }
        self.journey.filter(Interface::Nic(egress), Direction::Outbound);
        self.route_at(egress);
    }

    /// The way from an interface that is one of several next hops, laid once however many lead there.
    pub(super) fn onward_by_appliance(&self, from: Option<Interface>, nic: NicIndex) -> Arc<Journey> {
        // Where it would be one hop too many, the sender is named.
        if self.hops == MOST_HOPS {
            let mut branch = self.branch();
            branch.enter_appliance(from, nic);
            return Arc::new(branch.finish());
        }
        let key = (nic, self.source, self.hops, self.started);
        if let Some(known) = self.known.borrow().get(&key) {
            return Arc::clone(known);
        }
        let mut branch = self.branch();
        branch.enter_appliance(from, nic);
        let journey = Arc::new(branch.finish());
        self.known.borrow_mut().insert(key, Arc::clone(&journey));
        journey
    }
}
