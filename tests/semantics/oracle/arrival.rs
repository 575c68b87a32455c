//! Where a packet arrives: who has its destination, and that interface's filters (EVAL-12, step 5).

use std::net::IpAddr;

use nsgsim::model::flow::Packet;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::rule::Direction;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Interface, Note, Reason, RouteEnd};

use super::balancer::{FrontendAt, Side};
use super::filter::{Door, Gate};
use super::journey::{End, Stop, Walk, deny};
use super::platform::is_unsupported;
use super::rules::Seen;
use super::state::Entrance;

impl Walk<'_> {
    /// Inside a virtual network: an address is resolved there and nowhere else (TOP-5). `peer` is the network that the
    /// packet comes from by a peering.
    pub(crate) fn deliver(
        &mut self,
        vnet: VnetIndex,
        peer: Option<VnetIndex>,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        let network = self.view.network;
        let to = seen.tuple.destination;
        let here =
            |subnet: Option<SubnetIndex>| subnet.is_some_and(|subnet| self.view.vnet_of(subnet) == vnet);
        let all = (0..network.nics.len()).map(NicIndex::new);
        let holders: Vec<NicIndex> = all.filter(|nic| network.nics[nic.get()].has(to)).collect();
        if let Some(nic) = holders.iter().find(|nic| here(network.subnet_of(**nic))) {
            return self.arrive(*nic, packet, seen, &self.door_inside());
        }
        if let Some(frontend) = self.view.frontend_in(vnet, to) {
            self.cross_region(peer, vnet, frontend)?;
            return self.at_frontend(frontend, Side::Internal, packet, seen);
        }
        if let Some(endpoint) = self.view.endpoint_at(to, here) {
            return self.arrive_at_endpoint(endpoint, packet, seen);
        }
        if self.view.nat_address_in(vnet, to) {
            return self.at_nat_address();
        }
        if let Some(end) = self.at_unlisted_sender(vnet, to) {
            return Ok(end);
        }
        if let Some(end) = self.at_unplaced(vnet, to)? {
            return Ok(end);
        }
        self.nobody(to)
    }

    /// What has the address and stands in a subnet that the inventory lacks may be in this network.
    pub(crate) fn at_unplaced(&mut self, vnet: VnetIndex, address: IpAddr) -> Result<Option<End>, Stop> {
        let network = self.view.network;
        // The name of a missing subnet says whose it is.
        let own = &network.vnets[vnet.get()].id;
        let may_be_here = |missing: &&ResourceId| {
            missing.segment("subnets").is_none() || missing.parent(1).as_ref() == Some(own)
        };
        let all = (0..network.nics.len()).map(NicIndex::new);
        let stray = all
            .filter(|nic| network.nics[nic.get()].has(address))
            .filter_map(|nic| self.place_of(nic).err())
            .find(may_be_here)
            .or_else(|| self.view.unplaced_frontend(address))
            .or_else(|| self.view.unplaced_endpoint(address, may_be_here));
        let Some(missing) = stray else { return Ok(None) };
        self.missing_must_allow(missing)?;
        Ok(Some(self.allowed()))
    }

    /// SIM-7, TOP-3.
    pub(crate) fn nobody(&mut self, address: IpAddr) -> Result<End, Stop> {
        if self.partial_inventory {
            self.must_hold(Unknown::OwnerAllows { address })?;
            return Ok(self.allowed());
        }
        self.note(Note::NoEndpoint { address });
        deny(Reason::Route(RouteEnd::NoEndpoint))
    }

    /// The destination's own filters.
    pub(crate) fn arrive(
        &mut self,
        nic: NicIndex,
        packet: &Packet,
        seen: &Seen,
        door: &Door,
    ) -> Result<End, Stop> {
        let (interface, direction) = (Interface::Nic(nic), Direction::Inbound);
        // PLAT-9: what starts at an interface has been stopped there.
        if is_unsupported(&seen.tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        self.pass(interface);
        self.leg_ends_at(interface, seen);
        self.at_interface(interface, direction, packet, seen, door)?;
        Ok(self.allowed())
    }

    /// How the packet comes to an interface by no public address and no frontend.
    pub(crate) fn door_inside(&self) -> Door {
        let entrance = if self.through_private_link { Entrance::PrivateLink } else { Entrance::Nothing };
        Door { entrance, gate: Gate::Open }
    }

    /// PEER-8: a frontend of a Basic load balancer is not reached from a peered network in another region.
    pub(crate) fn cross_region(
        &mut self,
        peer: Option<VnetIndex>,
        vnet: VnetIndex,
        frontend: FrontendAt,
    ) -> Result<(), Stop> {
        let balancer = &self.view.network.load_balancers[frontend.balancer.get()];
        let Some(peer) = peer.filter(|_| !balancer.standard) else { return Ok(()) };
        let region = |vnet: VnetIndex| {
            let location = self.view.network.vnets[vnet.get()].location.as_ref()?;
            Some(location.replace(' ', "").to_ascii_lowercase())
        };
        let same = match (region(peer), region(vnet)) {
            (Some(one), Some(other)) => one == other,
            _ => self.view.world.ask(Unknown::SameRegion { account: balancer.id.clone() })?,
        };
        if same { Ok(()) } else { deny(Reason::Route(RouteEnd::NoEndpoint)) }
    }
}

/// The subnet that a reference leads to, where the inventory has it.
pub(crate) fn placed(subnet: Option<&Reference<SubnetIndex>>) -> Option<SubnetIndex> {
    subnet.and_then(Reference::here)
}
