//! The bytes of captures, put together by hand.
#![allow(dead_code, reason = "each test target uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

/// How numbers are written in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Big,
    Little,
}

impl Order {
    pub(crate) const BOTH: [Self; 2] = [Self::Big, Self::Little];

    pub(crate) fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    pub(crate) fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    pub(crate) fn words(self, numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| self.u32(*number)).collect()
    }
}

pub(crate) const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(crate) const NANOSECONDS: u32 = 0xa1b2_3c4d;

pub(crate) fn pcap_header(order: Order, magic: u32, snap_len: u32, link_type: u32) -> Vec<u8> {
    [&order.u32(magic)[..], &order.u16(2), &order.u16(4), &order.words(&[0, 0, snap_len, link_type])].concat()
}

pub(crate) fn pcap_record(
    order: Order,
    seconds: u32,
    fraction: u32,
    captured: &[u8],
    original_len: u32,
) -> Vec<u8> {
    let header = [seconds, fraction, u32::try_from(captured.len()).unwrap(), original_len];
    [&order.words(&header), captured].concat()
}

pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = order.u32(u32::try_from(12 + body.len() + padding.len()).unwrap());
    [&order.u32(kind)[..], &length, body, &padding, &length].concat()
}

pub(crate) fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

/// Codes and values.
pub(crate) type Options<'a> = &'a [(u16, &'a [u8])];

pub(crate) fn interface(order: Order, link_type: u16, snap_len: u32, options: Options<'_>) -> Vec<u8> {
    let mut body = [&order.u16(link_type)[..], &[0, 0], &order.u32(snap_len)].concat();
    for (code, value) in options {
        body.extend(order.u16(*code));
        body.extend(order.u16(u16::try_from(value.len()).unwrap()));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(order, 1, &body)
}

/// The resolution of an interface's times: a power of ten, or of two with the highest bit set.
pub(crate) const IF_TSRESOL: u16 = 9;
/// Seconds that are added to an interface's times.
pub(crate) const IF_TSOFFSET: u16 = 14;

pub(crate) fn enhanced_packet(
    order: Order,
    interface: u32,
    time: u64,
    captured: &[u8],
    original_len: u32,
) -> Vec<u8> {
    let (high, low) = ((time >> 32) as u32, time as u32);
    let captured_len = u32::try_from(captured.len()).unwrap();
    block(order, 6, &[&order.words(&[interface, high, low, captured_len, original_len]), captured].concat())
}

/// A packet block that says neither time nor interface.
pub(crate) fn simple_packet(order: Order, captured: &[u8], original_len: u32) -> Vec<u8> {
    block(order, 3, &[&order.u32(original_len)[..], captured].concat())
}
