//! ICMP errors about earlier packets (STATE-10).

use nsgsim::model::flow::{FiveTuple, Fragment, Icmp, Origin, Packet, Port};
use nsgsim::model::network::Network;
use nsgsim::model::rule::Protocol;

use super::packets::reply;
use super::tape::Tape;
use crate::build::ip;

/// An error that the receiver of a packet sends back, or seldom a router outside: it quotes the packet as it came,
/// if it quotes one.
pub(crate) fn error(tape: &mut Tape, network: &Network, origin: Origin, packet: &Packet) -> (Origin, Packet) {
    let (from, back) = reply(network, origin, packet);
    let mut quoted = back.five_tuple.reversed();
    if let Some(Icmp::Echo { identifier, .. }) = packet.icmp {
        let identifier = Port::Number(identifier);
        (quoted.source_port, quoted.destination_port) = (identifier, identifier);
    }
    let protocol = if quoted.source.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
    let mut five_tuple =
        FiveTuple { protocol, source_port: Port::None, destination_port: Port::None, ..back.five_tuple };
    if from == Origin::Internet && five_tuple.source.is_ipv4() && tape.seldom(4) {
        five_tuple.source = ip("8.8.8.8");
    }
    let quoted = (!tape.seldom(8)).then_some(quoted);
    let icmp = Some(Icmp::Error { quoted });
    (from, Packet { five_tuple, icmp, tcp: None, fragment: Fragment::Whole })
}
