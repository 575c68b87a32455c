//! Timers of what translates flows, and the gaps between packets that straddle them (STATE-15).

use nsgsim::model::network::Network;

use super::tape::Tape;

/// Seconds since the packet before, on both sides of the timers of networks and of what translates: 4, 5, 6, 10 and 30
/// minutes.
pub(super) const GAPS_S: [u64; 13] = [0, 1, 100, 240, 241, 600, 300, 301, 360, 361, 601, 1800, 1801];

/// Timers of everything that has one.
pub(super) fn timers(tape: &mut Tape, network: &mut Network) {
    for public_ip in &mut network.public_ips {
        public_ip.idle_timeout_min = minutes(tape);
    }
    for gateway in &mut network.nat_gateways {
        gateway.idle_timeout_min = minutes(tape);
    }
    for balancer in &mut network.load_balancers {
        for rule in &mut balancer.rules {
            rule.idle_timeout_min = minutes(tape);
        }
        for rule in &mut balancer.nat_rules {
            rule.idle_timeout_min = minutes(tape);
        }
        for rule in &mut balancer.outbound_rules {
            rule.idle_timeout_min = minutes(tape);
        }
    }
}

fn minutes(tape: &mut Tape) -> Option<u32> {
    tape.one_of(&[None, Some(6), Some(10), Some(4), Some(30)])
}
