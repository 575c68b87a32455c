//! Timers of what translates: with them its flows end (STATE-15).

use nsgsim::model::index::PublicIpIndex;
use nsgsim::model::network::PublicIp;
use nsgsim::model::routing::NatGateway;
use nsgsim::model::rule::Protocol;

use super::journey::Walk;

/// What a timer is where nobody set it, and where nobody can, in minutes.
pub(crate) const DEFAULT_MIN: u32 = 4;

/// What a Private Link service waits, in minutes.
pub(crate) const PRIVATE_LINK_MIN: u32 = 5;

impl Walk<'_> {
    /// Something translates the packet and forgets the flow after so many idle minutes: the records that the packet
    /// leaves, before and after, live no longer.
    pub(crate) fn translated(&mut self, timer_min: u32) {
        let shortest = self.forgotten_after_min.map_or(timer_min, |min| min.min(timer_min));
        self.forgotten_after_min = Some(shortest);
        for slot in &self.own_records {
            if let Some(record) = self.records.get_mut(slot) {
                record.forgotten_after_min = Some(shortest);
            }
        }
    }

    /// A flow comes in by an address of the interface's own. Its timers, either way, are those of TCP connections.
    pub(crate) fn translated_inwards(&mut self, public_ip: PublicIpIndex, protocol: Protocol) {
        if protocol == Protocol::TCP {
            self.translated(inbound_min(&self.view.network.public_ips[public_ip.get()]));
        }
    }

    /// A flow goes out by one.
    pub(crate) fn translated_outwards(&mut self, protocol: Protocol) {
        if protocol == Protocol::TCP {
            self.translated(DEFAULT_MIN);
        }
    }

    /// By a rule of a load balancer: TCP alone has a timer there.
    pub(crate) fn translated_by_rule(&mut self, set_min: Option<u32>, protocol: Protocol) {
        if protocol == Protocol::TCP {
            self.translated(set_min.unwrap_or(DEFAULT_MIN));
        }
    }
}

/// Of flows from outside; IPv6 has one timer only.
fn inbound_min(public_ip: &PublicIp) -> u32 {
    let set =
        public_ip.idle_timeout_min.filter(|_| public_ip.address.is_none_or(|address| address.is_ipv4()));
    set.unwrap_or(DEFAULT_MIN)
}

/// TCP has a timer that can be set, all else one that cannot.
pub(crate) fn nat_gateway_min(gateway: Option<&NatGateway>, protocol: Protocol) -> u32 {
    let set = gateway.and_then(|gateway| gateway.idle_timeout_min).filter(|_| protocol == Protocol::TCP);
    set.unwrap_or(DEFAULT_MIN)
}
