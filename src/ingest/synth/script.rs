//! The packets of one flow, from its first to its last.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::SynthPacket;
use super::ends::Conversation;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use crate::model::rule::Protocol;

/// The most that fits behind the headers of a frame of 1,514 bytes.
const LARGEST_PAYLOAD: u16 = 1400;

const NONE: TcpFlags = TcpFlags { syn: false, ack: false, fin: false, rst: false };
const SYN: TcpFlags = TcpFlags { syn: true, ..NONE };
const ACK: TcpFlags = TcpFlags { ack: true, ..NONE };

/// Appends the packets of a flow that begins at `start_ns`, in time order.
pub(super) fn write(
    conversation: &Conversation,
    start_ns: u64,
    random: &mut ChaCha8Rng,
    into: &mut Vec<SynthPacket>,
) {
    let has_ports = conversation.protocol.has_ports();
    let port = |number| if has_ports { Port::Number(number) } else { Port::None };
    // An ephemeral port, as most systems pick them, unless a rule looks at source ports.
    let source_port = conversation.client_port.unwrap_or_else(|| random.random_range(49152..=u16::MAX));
    let there = FiveTuple {
        source: conversation.client,
        destination: conversation.server,
        protocol: conversation.protocol,
        source_port: port(source_port),
        destination_port: port(conversation.server_port),
    };
    let mut script = Script { there, time_ns: start_ns, random, into };
    match conversation.protocol {
        Protocol::TCP => script.tcp(),
        Protocol::UDP => script.udp(),
        Protocol::ICMP | Protocol::ICMPV6 => script.echo(),
        _ => script.other(),
    }
}

/// Who sends a packet.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Sender {
    Client,
    Server,
}

struct Script<'a> {
    there: FiveTuple,
    time_ns: u64,
    random: &'a mut ChaCha8Rng,
    into: &'a mut Vec<SynthPacket>,
}

impl Script<'_> {
    fn send(&mut self, sender: Sender, payload_bytes: u16, finish: impl FnOnce(&mut Packet)) {
        let mut packet = Packet::new(match sender {
            Sender::Client => self.there,
            Sender::Server => self.there.reversed(),
        });
        finish(&mut packet);
        self.into.push(SynthPacket { time_ns: self.time_ns, packet, payload_bytes });
        // 20 microseconds to 40 milliseconds to the next packet: from the same rack to another continent.
        self.time_ns = self.time_ns.saturating_add(self.random.random_range(20_000..40_000_000));
    }

    fn segment(&mut self, sender: Sender, flags: TcpFlags, payload_bytes: u16) {
        self.send(sender, payload_bytes, |packet| packet.tcp = Some(flags));
    }

    fn payload(&mut self) -> u16 {
        self.random.random_range(1..=LARGEST_PAYLOAD)
    }

    /// One in five is a lone SYN, one in twenty is refused; the others open, exchange data both ways and close.
    fn tcp(&mut self) {
        use Sender::{Client, Server};
        self.segment(Client, SYN, 0);
        match self.random.random_range(0..20) {
            0..4 => {}
            4 => self.segment(Server, TcpFlags { rst: true, ..ACK }, 0),
            _ => {
                self.segment(Server, TcpFlags { ack: true, ..SYN }, 0);
                self.segment(Client, ACK, 0);
                for _ in 0..self.random.random_range(1..=3) {
                    let (request, reply) = (self.payload(), self.payload());
                    self.segment(Client, ACK, request);
                    self.segment(Server, ACK, reply);
                }
                self.segment(Client, TcpFlags { fin: true, ..ACK }, 0);
                self.segment(Server, TcpFlags { fin: true, ..ACK }, 0);
                self.segment(Client, ACK, 0);
            }
        }
    }

    /// One request in eight stays without a reply.
    fn udp(&mut self) {
        for _ in 0..self.random.random_range(1..=3) {
            let payload = self.payload();
            self.send(Sender::Client, payload, |_| {});
            if !self.random.random_ratio(1, 8) {
                let payload = self.payload();
                self.send(Sender::Server, payload, |_| {});
            }
        }
    }

    fn echo(&mut self) {
        let identifier = self.random.random();
        for _ in 0..self.random.random_range(1..=4) {
            let echo =
                |request| move |packet: &mut Packet| packet.icmp = Some(Icmp::Echo { identifier, request });
            self.send(Sender::Client, 56, echo(true));
            if !self.random.random_ratio(1, 8) {
                self.send(Sender::Server, 56, echo(false));
            }
        }
    }

    fn other(&mut self) {
        for _ in 0..self.random.random_range(1..=3) {
            for sender in [Sender::Client, Sender::Server] {
                // Enough for the headers of AH (24 bytes) and ESP.
                let payload = self.payload().max(24);
                self.send(sender, payload, |_| {});
            }
        }
    }
}
