//! Next hops, and what the machines behind them do with a packet that is not for them (ROUTE-12 to ROUTE-15, ROUTE-19,
//! LB-12).

use std::net::IpAddr;

use nsgsim::model::flow::Packet;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, Reference, VnetIndex};
use nsgsim::model::rule::Direction;
use nsgsim::model::services::ApplianceMode;
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{Interface, Note, Reason, RouteEnd, UserRoute};

use super::balancer::{FrontendAt, Side};
use super::filter::Door;
use super::journey::{End, Stop, Walk, deny};
use super::platform::is_unsupported;
use super::rules::Seen;
use super::space::{View, holds};

/// How many interfaces may forward one packet (ROUTE-19).
const MOST_FORWARDERS: usize = 6;

/// A user-defined route to an appliance, and who takes it.
pub(crate) struct Via {
    /// The sending interface; nothing at a gateway.
    pub(crate) interface: Option<Interface>,
    /// The network that the next hop is looked up from.
    pub(crate) vnet: VnetIndex,
    pub(crate) user_route: Option<UserRoute>,
}

/// Who has the address of a next hop.
enum NextHop {
    Nic(NicIndex),
    /// With its network.
    Frontend(FrontendAt, VnetIndex),
}

impl Walk<'_> {
    /// ROUTE-12: to the next hop of a user-defined route.
    pub(crate) fn send_to_next_hop(
        &mut self,
        via: &Via,
        address: Option<IpAddr>,
        packet: &Packet,
    ) -> Result<End, Stop> {
        let Some(address) = address else {
            let table = via.user_route.map(|place| &self.view.network.route_tables[place.table.get()].id);
            self.must_let_through(Feature::UnknownRoute, table)?;
            return Ok(self.allowed());
        };
        if let Some(at) = self.view.network_of_next_hop(via.vnet, address).filter(|at| *at != via.vnet) {
            self.over_peering(via.interface, via.vnet, &Reference::Here(at), packet)?;
        }
        match self.view.next_hop_near(via.vnet, address) {
            Some(NextHop::Nic(nic)) => self.at_next_hop(nic, via, packet),
            Some(NextHop::Frontend(frontend, vnet)) => {
                // PEER-8.
                let peer = Some(via.vnet).filter(|own| *own != vnet);
                self.cross_region(peer, vnet, frontend)?;
                if address == packet.five_tuple.destination {
                    // LB-8: it is not on its way through, but there.
                    return self.at_frontend(frontend, Side::Internal, packet, &Seen::of(packet));
                }
                self.at_next_hop_frontend(frontend, via, packet)
            }
            None => self.no_next_hop(via, address),
        }
    }

    /// Nobody is known to have the next hop's address: what could hide who has it is asked first (SIM-4).
    fn no_next_hop(&mut self, via: &Via, address: IpAddr) -> Result<End, Stop> {
        if let Some(missing) = self.view.missing_peer_with(via.vnet, address) {
            self.missing_must_allow(missing)?;
            return Ok(self.allowed());
        }
        if let Some(end) = self.at_unplaced(via.vnet, address)? {
            return Ok(end);
        }
        if self.partial_inventory {
            self.must_hold(Unknown::OwnerAllows { address })?;
            return Ok(self.allowed());
        }
        deny(Reason::Route(RouteEnd::None { interface: via.interface, user_route: via.user_route }))
    }

    /// A packet at the interface that a route, or a load balancer behind it, sends it to. One that is not for that
    /// interface is forwarded.
    pub(crate) fn at_next_hop(&mut self, nic: NicIndex, via: &Via, packet: &Packet) -> Result<End, Stop> {
        let network = self.view.network;
        let seen = Seen::of(packet);
        let (interface, direction) = (Interface::Nic(nic), Direction::Inbound);
        if network.nics[nic.get()].has(packet.five_tuple.destination) {
            return self.arrive(nic, packet, &seen, &Door::inside());
        }
        if self.forwarders == MOST_FORWARDERS {
            return deny(Reason::Route(RouteEnd::Loop { interface: via.interface }));
        }
        self.forwarders += 1;
        // ROUTE-13.
        if !network.nics[nic.get()].ip_forwarding {
            return deny(Reason::IpForwarding { nic, direction });
        }
        // PLAT-9: what starts at an interface has been stopped there.
        if is_unsupported(&packet.five_tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        self.pass(interface);
        // ROUTE-14: with the addresses as they are.
        self.at_interface(interface, direction, packet, &seen, &Door::inside())?;
        self.forward(nic, packet)
    }

    /// ROUTE-15: what the machine behind the interface does, and how the packet leaves it.
    fn forward(&mut self, nic: NicIndex, packet: &Packet) -> Result<End, Stop> {
        let network = self.view.network;
        let stated = network.appliances.iter().find(|appliance| appliance.nic.here() == Some(nic));
        if stated.is_none() {
            self.note(Note::TakenToForward { nic });
        }
        let mode = stated.map_or(ApplianceMode::Forward, |appliance| appliance.mode);
        if mode == ApplianceMode::Drop {
            return deny(Reason::Appliance(nic));
        }
        let egress = match stated.and_then(|appliance| appliance.egress.as_ref()) {
            None => nic,
            Some(Reference::Here(egress)) => *egress,
            Some(Reference::Missing(id)) => {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        };
        let mut packet = *packet;
        if mode == ApplianceMode::Snat {
            let at = &network.nics[egress.get()];
            // TOP-9: no translation between families.
            let ipv4 = packet.five_tuple.source.is_ipv4();
            let mut addresses = at.ip_configurations.iter().filter_map(|own| own.address);
            let Some(address) = addresses.find(|address| address.is_ipv4() == ipv4) else {
                self.missing_must_allow(&at.id)?;
                return Ok(self.allowed());
            };
            self.leg_ends_at(Interface::Nic(nic), &Seen::of(&packet));
            packet.five_tuple.source = address;
            self.begin_leg(Some((address, packet.five_tuple.source_port)));
            self.answers_private_link = false;
        }
        // ROUTE-13.
        if !self.may_send_from(egress, packet.five_tuple.source) {
            return deny(Reason::IpForwarding { nic: egress, direction: Direction::Outbound });
        }
        // EVAL-9: it does not leave the guest.
        if network.nics[egress.get()].has(packet.five_tuple.destination) {
            self.leg_ends_at(Interface::Nic(nic), &Seen::of(&packet));
            return Ok(self.allowed());
        }
        self.send_from_nic(egress, &packet)
    }
}

impl<'a> View<'a> {
    /// ROUTE-12: who has this address in the network itself, or in one that is directly peered with it.
    fn next_hop_near(&self, own: VnetIndex, address: IpAddr) -> Option<NextHop> {
        self.network_of_next_hop(own, address).and_then(|vnet| self.next_hop_in(vnet, address))
    }

    /// The first of these networks in which somebody has the address.
    fn network_of_next_hop(&self, own: VnetIndex, address: IpAddr) -> Option<VnetIndex> {
        let peerings = self.network.vnets[own.get()].peerings.iter();
        let peers =
            peerings.filter(|peering| self.is_up(own, peering)).filter_map(|peering| peering.remote.here());
        std::iter::once(own).chain(peers).find(|vnet| self.next_hop_in(*vnet, address).is_some())
    }

    fn next_hop_in(&self, vnet: VnetIndex, address: IpAddr) -> Option<NextHop> {
        let has = |nic: &NicIndex| {
            let here = self.network.subnet_of(*nic).is_some_and(|subnet| self.vnet_of(subnet) == vnet);
            here && self.network.nics[nic.get()].has(address)
        };
        let nic = (0..self.network.nics.len()).map(NicIndex::new).find(has).map(NextHop::Nic);
        nic.or_else(|| self.frontend_in(vnet, address).map(|frontend| NextHop::Frontend(frontend, vnet)))
    }

    /// A peered network that the inventory lacks and whose ranges may hold the address.
    fn missing_peer_with(&self, own: VnetIndex, address: IpAddr) -> Option<&'a ResourceId> {
        let vnet = &self.network.vnets[own.get()];
        vnet.peerings.iter().filter(|peering| self.is_up(own, peering)).find_map(|peering| {
            let Reference::Missing(id) = &peering.remote else { return None };
            let may_hold = match self.remote_ranges(peering) {
                Some(ranges) => holds(ranges, address),
                // PEER-6: it cannot have what the network has.
                None => !holds(&vnet.address_space, address),
            };
            may_hold.then_some(id)
        })
    }
}
