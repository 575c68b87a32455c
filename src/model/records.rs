//! Many records in order, laid out so that most take 32 bytes.

use std::net::{IpAddr, Ipv4Addr};

use super::flow::{FiveTuple, Fragment, Packet, Port, TcpFlags};
use super::record::{Content, Location, Record};
use super::rule::Protocol;

/// A whole TCP or UDP packet over IPv4 whose time is known, as most records of most captures are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plain {
    /// When it was, in nanoseconds since 1970-01-01.
    pub time_ns: u64,
    /// Sender.
    pub source: Ipv4Addr,
    /// Receiver.
    pub destination: Ipv4Addr,
    /// Length on the wire in bytes.
    pub wire_bytes: u32,
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// What carries it.
    pub transport: Transport,
    /// TCP flags, where they are known.
    pub tcp: Flags,
}

/// The protocols of plain packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// The protocol, if it is one of them.
    #[inline]
    #[must_use]
    pub fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::TCP => Some(Self::Tcp),
            Protocol::UDP => Some(Self::Udp),
            _ => None,
        }
    }
}

impl From<Transport> for Protocol {
    #[inline]
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::TCP,
            Transport::Udp => Self::UDP,
        }
    }
}

/// TCP flags in a byte, or that none are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flags(u8);

impl Flags {
    /// None are known.
    pub const UNKNOWN: Self = Self(0x80);

    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// The byte of a TCP header that holds them.
    #[must_use]
    pub fn of_header(byte: u8) -> Self {
        Self(byte & (Self::FIN | Self::SYN | Self::RST | Self::ACK))
    }

    /// The flags, where they are known.
    #[must_use]
    pub fn known(self) -> Option<TcpFlags> {
        let is_set = |bit: u8| self.0 & bit != 0;
        (self != Self::UNKNOWN).then(|| TcpFlags {
            syn: is_set(Self::SYN),
            ack: is_set(Self::ACK),
            fin: is_set(Self::FIN),
            rst: is_set(Self::RST),
        })
    }
}

impl From<Option<TcpFlags>> for Flags {
    fn from(flags: Option<TcpFlags>) -> Self {
        let Some(TcpFlags { syn, ack, fin, rst }) = flags else { return Self::UNKNOWN };
        let bits = [(syn, Self::SYN), (ack, Self::ACK), (fin, Self::FIN), (rst, Self::RST)];
        Self(bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum())
    }
}

impl Plain {
    /// A record in this shape, if it has it.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let Content::Packet(Packet { five_tuple, tcp, icmp: None, fragment: Fragment::Whole }) =
            record.content
        else {
            return None;
        };
        match five_tuple {
            FiveTuple {
                source: IpAddr::V4(source),
                destination: IpAddr::V4(destination),
                protocol,
                source_port: Port::Number(source_port),
                destination_port: Port::Number(destination_port),
            } => Some(Self {
                time_ns: record.time_ns?,
                source,
                destination,
                wire_bytes: record.wire_bytes,
                source_port,
                destination_port,
                transport: Transport::of(protocol)?,
                tcp: tcp.into(),
            }),
            _ => None,
        }
    }

    /// What rules look at.
    #[must_use]
    pub fn five_tuple(&self) -> FiveTuple {
        FiveTuple {
            source: self.source.into(),
            destination: self.destination.into(),
            protocol: self.transport.into(),
            source_port: Port::Number(self.source_port),
            destination_port: Port::Number(self.destination_port),
        }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> Packet {
        Packet { tcp: self.tcp.known(), ..Packet::new(self.five_tuple()) }
    }
}

/// A record as [`Records`] keep it.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    /// A plain one.
    Plain(Plain),
    /// Any other, by its place among those.
    Other(u32),
}

/// Records in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Records {
    slots: Vec<Slot>,
    others: Vec<Record>,
    /// From which position on records stand one behind the other in one file, and where the first of them stands.
    runs: Vec<(usize, Location)>,
}

impl Records {
    /// No records, with room for so many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { slots: Vec::with_capacity(count), ..Self::default() }
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.others.clear();
        self.runs.clear();
    }

    /// Puts a record behind the others.
    pub fn push(&mut self, record: Record) {
        match Plain::of(&record) {
            Some(plain) => self.push_plain(record.location, plain),
            None => {
                self.locate(record.location);
                let place = u32::try_from(self.others.len()).expect("fewer records than 2^32 at a time");
                self.slots.push(Slot::Other(place));
                self.others.push(record);
            }
        }
    }

    /// Puts a plain record behind the others.
    #[inline]
    pub fn push_plain(&mut self, location: Location, plain: Plain) {
        self.locate(location);
        self.slots.push(Slot::Plain(plain));
    }

    #[inline]
    fn locate(&mut self, location: Location) {
        let position = self.slots.len();
        let follows = self.runs.last().is_some_and(|&(first, from)| {
            location.file == from.file && location.number == from.number + (position - first) as u64
        });
        if !follows {
            self.runs.push((position, location));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// As they are kept.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// One of those that are not plain, by its place among them.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[must_use]
    pub fn other(&self, place: u32) -> &Record {
        &self.others[place as usize]
    }

    /// Where the record at a position stands.
    ///
    /// # Panics
    ///
    /// If there are not as many records.
    #[must_use]
    pub fn location(&self, position: usize) -> Location {
        let run = self.runs.partition_point(|&(first, _)| first <= position) - 1;
        let (first, from) = self.runs[run];
        Location { file: from.file, number: from.number + (position - first) as u64 }
    }

    /// The record at a position.
    ///
    /// # Panics
    ///
    /// If there are not as many records.
    #[must_use]
    pub fn get(&self, position: usize) -> Record {
        match &self.slots[position] {
            Slot::Plain(plain) => Record {
                location: self.location(position),
                time_ns: Some(plain.time_ns),
                wire_bytes: plain.wire_bytes,
                content: Content::Packet(plain.packet()),
            },
            Slot::Other(place) => *self.other(*place),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Record> {
        (0..self.len()).map(|position| self.get(position))
    }
}

impl FromIterator<Record> for Records {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut all = Self::default();
        records.into_iter().for_each(|record| all.push(record));
        all
    }
}

impl From<&[Record]> for Records {
    fn from(records: &[Record]) -> Self {
        records.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Plain, Records, Slot};
    use crate::model::flow::{FiveTuple, Fragment, Icmp, Packet, Port, TcpFlags};
    use crate::model::reason_code::ReasonCode;
    use crate::model::record::{Content, Location, Record};
    use crate::model::rule::Protocol;

    fn record(file: u32, number: u64, packet: Packet) -> Record {
        let content = Content::Packet(packet);
        Record { location: Location { file, number }, time_ns: Some(7), wire_bytes: 60, content }
    }

    fn tcp() -> Packet {
        let five_tuple = FiveTuple {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            protocol: Protocol::TCP,
            source_port: Port::Number(1),
            destination_port: Port::Number(65_535),
        };
        Packet::new(five_tuple)
    }

    #[test]
    fn a_plain_record_takes_32_bytes() {
        assert_eq!(size_of::<Slot>(), 32);
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let flags = |bits: u8| TcpFlags {
            syn: bits & 1 != 0,
            ack: bits & 2 != 0,
            fin: bits & 4 != 0,
            rst: bits & 8 != 0,
        };
        let mut packets: Vec<Packet> =
            (0..16).map(|bits| Packet { tcp: Some(flags(bits)), ..tcp() }).collect();
        packets.push(tcp());
        let plain = packets.len();
        let tuple = tcp().five_tuple;
        packets.push(Packet { fragment: Fragment::First { identification: 3 }, ..tcp() });
        packets.push(Packet { icmp: Some(Icmp::Other), ..tcp() });
        packets.push(Packet::new(FiveTuple { source_port: Port::NotGiven, ..tuple }));
        packets.push(Packet::new(FiveTuple { protocol: Protocol(47), ..tuple }));
        packets.push(Packet::new(FiveTuple { source: [0; 16].into(), ..tuple }));
        // Two files, and a gap in the second.
        let mut records: Vec<Record> = (0..)
            .zip(&packets)
            .map(|(number, packet)| record(number / 10, u64::from(number) % 10 + 1, *packet))
            .collect();
        records.push(Record { time_ns: None, location: Location { file: 2, number: 9 }, ..records[0] });
        records.push(Record {
            content: Content::Skipped(ReasonCode::CutShort),
            location: Location { file: 2, number: 10 },
            ..records[0]
        });
        let kept: Records = records.iter().copied().collect();
        assert_eq!(format!("{:?}", kept.iter().collect::<Vec<_>>()), format!("{records:?}"));
        let is_plain = |slot: &&Slot| matches!(slot, Slot::Plain(_));
        assert_eq!(kept.slots().iter().filter(is_plain).count(), plain);
        assert!(records.iter().skip(plain).all(|record| Plain::of(record).is_none()));
    }
}
