//! Packets of a capture, counted without the reader that is under test.

/// How many packets of a classic little-endian capture are whole within its first `end` bytes.
pub(crate) fn whole_within(capture: &[u8], end: usize) -> u64 {
    let (mut at, mut count) = (24, 0);
    loop {
        let Some(length) = capture.get(at + 8..at + 12) else { return count };
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        at += 16 + length as usize;
        if at > end {
            return count;
        }
        count += 1;
    }
}
