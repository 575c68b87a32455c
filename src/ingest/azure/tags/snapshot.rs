//! The compact form of a tag file that is built into the program; `data/README.md` describes it, and
//! `tools/service-tags/pack.py` writes it.
//!
//! It turns the table around: every block is there once, in order, with the number of the combination of tags that
//! hold it. So each tag's prefixes come out in order, and what was 4 MB of JSON takes 150 KB.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::LIMIT_BYTES;
use crate::ingest::error::IngestError;
use crate::model::prefix::Prefix;
use crate::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};

/// What an unpacked snapshot begins with: a word and the number of its format.
pub const MAGIC: &[u8] = b"nsgtags\x01";

/// Reads a snapshot as it lies in a file, compressed with zstd.
///
/// # Errors
///
/// Fails on bytes that zstd does not unpack, and where [`read`] fails.
pub fn unpack(name: &str, bytes: &[u8]) -> Result<TagCatalog, IngestError> {
    use std::io::Read as _;

    let mut unpacked = Vec::new();
    let error = |error| IngestError::io(name, error);
    zstd::Decoder::with_buffer(bytes)
        .map_err(error)?
        .take(LIMIT_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(error)?;
    if unpacked.len() as u64 > LIMIT_BYTES {
        return Err(IngestError::TooLarge { path: name.to_owned(), limit_bytes: LIMIT_BYTES });
    }
    read(name, &unpacked)
}

/// Reads an unpacked snapshot; `name` is what messages call it.
///
/// # Errors
///
/// Fails on bytes that are no snapshot of this format, or whose parts contradict each other.
pub fn read(name: &str, bytes: &[u8]) -> Result<TagCatalog, IngestError> {
    let mut reader = Reader { name, bytes, at: 0 };
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(IngestError::content(name, "is no snapshot of service tags in format 1"));
    }
    let source = TagSource {
        cloud: Some(reader.text()?).filter(|cloud| !cloud.is_empty()).map(str::to_owned),
        date: Some(reader.text()?).filter(|date| !date.is_empty()).map(str::to_owned),
        // Zero stands for no number.
        change_number: reader.number()?.checked_sub(1),
    };

    let mut tags = reader.tags()?;
    let combinations = reader.combinations(tags.len())?;
    reader.blocks(32, &combinations, &mut tags, |address, length| {
        let address = Ipv4Addr::from_bits(u32::try_from(address).ok()?);
        Ipv4Net::new(address, length).ok().map(Prefix::V4)
    })?;
    reader.blocks(128, &combinations, &mut tags, |address, length| {
        Ipv6Net::new(Ipv6Addr::from_bits(address), length).ok().map(Prefix::V6)
    })?;
    if reader.at != bytes.len() {
        return Err(reader.error("goes on after its end"));
    }

    let mut catalog = TagCatalog::new(source);
    for tag in tags {
        let (tag_name, computed) = (tag.name.clone(), tag.name.is_computed());
        if catalog.insert(tag).is_some() || computed {
            return Err(IngestError::content(
                name,
                format!("the tag `{tag_name}` is there twice or is a computed one"),
            ));
        }
    }
    Ok(catalog)
}

/// A place in the bytes.
struct Reader<'a> {
    name: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, message: &str) -> IngestError {
        IngestError::content(format!("{}: byte {}", self.name, self.at), format!("the snapshot {message}"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], IngestError> {
        let piece = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let piece = piece.ok_or_else(|| self.error("is cut short"))?;
        self.at += length;
        Ok(piece)
    }

    /// Seven bits a byte, the lowest first, the top bit set on all but the last.
    fn wide(&mut self) -> Result<u128, IngestError> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.error("holds a number of more than 128 bits"))
    }

    fn number(&mut self) -> Result<u64, IngestError> {
        let number = self.wide()?;
        u64::try_from(number).map_err(|_| self.error("holds a number that is out of range"))
    }

    /// How many things follow. Each takes a byte at least, so damage cannot ask for more memory than the file's size.
    fn count(&mut self) -> Result<usize, IngestError> {
        let number = self.number()?;
        usize::try_from(number)
            .ok()
            .filter(|&count| count <= self.bytes.len() - self.at)
            .ok_or_else(|| self.error("promises more than it holds"))
    }

    fn text(&mut self) -> Result<&'a str, IngestError> {
        let length = self.count()?;
        let piece = self.take(length)?;
        std::str::from_utf8(piece).map_err(|_| self.error("holds a text that is not UTF-8"))
    }

    /// The tags, without their prefixes: a column of names, one of regions, one of services.
    fn tags(&mut self) -> Result<Vec<ServiceTag>, IngestError> {
        let count = self.count()?;
        let mut column = |_| (0..count).map(|_| self.text()).collect::<Result<Vec<_>, _>>();
        let (names, regions, services) = (column("name")?, column("region")?, column("service")?);
        Ok(names
            .into_iter()
            .zip(regions)
            .zip(services)
            .map(|((name, region), service)| ServiceTag {
                name: TagName::new(name),
                region: region.to_owned(),
                system_service: service.to_owned(),
                prefixes: Vec::new(),
            })
            .collect())
    }

    /// The combinations of tags that hold a block in common: positions of tags, each as the step from the one before.
    fn combinations(&mut self, tags: usize) -> Result<Vec<Vec<usize>>, IngestError> {
        let mut combinations = Vec::new();
        for _ in 0..self.count()? {
            let mut combination = Vec::new();
            let mut position = 0_u64;
            for index in 0..self.count()? {
                let step = self.number()?;
                if index > 0 && step == 0 {
                    return Err(self.error("names a tag twice in a combination"));
                }
                position = position.saturating_add(step);
                let tag = usize::try_from(position).ok().filter(|&position| position < tags);
                combination.push(tag.ok_or_else(|| self.error("names a tag that it does not hold"))?);
            }
            combinations.push(combination);
        }
        Ok(combinations)
    }

    /// The blocks of one family: a column of lengths, one of addresses (in units of the block's own size, as the
    /// step from the one before), one of combinations.
    fn blocks(
        &mut self,
        bits: u8,
        combinations: &[Vec<usize>],
        tags: &mut [ServiceTag],
        prefix: impl Fn(u128, u8) -> Option<Prefix>,
    ) -> Result<(), IngestError> {
        let count = self.count()?;
        let lengths = self.take(count)?;
        let mut blocks: Vec<Prefix> = Vec::with_capacity(count);
        let mut previous = 0_u128;
        for &length in lengths {
            let step = self.wide()?;
            let block = bits.checked_sub(length).and_then(|host| {
                // A block of the whole family has one address, zero; shifting by all bits would overflow.
                let shifted = |address: u128| address.checked_shr(host.into()).unwrap_or(0);
                let number = shifted(previous).checked_add(step)?;
                previous = number.checked_shl(host.into()).unwrap_or(0);
                if shifted(previous) != number { None } else { prefix(previous, length) }
            });
            let block = block.ok_or_else(|| self.error("holds a block that is none"))?;
            if blocks.last().is_some_and(|last| *last >= block) {
                return Err(self.error("holds blocks out of order"));
            }
            blocks.push(block);
        }
        for block in blocks {
            let number = self.number()?;
            let combination = usize::try_from(number).ok().and_then(|number| combinations.get(number));
            for &tag in combination.ok_or_else(|| self.error("names a combination that it does not hold"))? {
                tags[tag].prefixes.push(block);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BUNDLED, bundled, parse};
    use super::{MAGIC, read, unpack};
    use crate::model::tag::{TagName, TagSource};

    /// Two tags, `A` and `B.X`, written by hand from the description in `data/README.md`.
    fn small() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(b"\x06Public\x0a2026-01-02\x2b"); // cloud, day, 42 + 1
        bytes.extend(b"\x02\x01A\x03B.X\x00\x01x\x00\x03svc"); // names, regions, services
        bytes.extend([2, 1, 1, 2, 0, 1]); // combinations: {B.X}, {A, B.X}
        bytes.extend([2, 24, 32]); // two IPv4 blocks
        bytes.extend([0x80, 0x82, 0x28]); // 10.1.0.0/24 is number 0x0a0100 of its size
        bytes.extend([7, 1, 0]); // 10.1.0.7/32 is 7 steps on; {A, B.X}, {B.X}
        bytes.extend([1, 3, 1, 0]); // 2000::/3, {B.X}
        bytes
    }

    fn prefixes(catalog: &crate::model::tag::TagCatalog, tag: &str) -> Vec<String> {
        catalog.get(&TagName::new(tag)).unwrap().prefixes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_described_form_is_read() {
        let (catalog, findings) = parse("small", &small()).unwrap();
        assert_eq!(findings, []);
        assert_eq!(
            catalog.source,
            Some(TagSource {
                change_number: Some(42),
                cloud: Some("Public".to_owned()),
                date: Some("2026-01-02".to_owned())
            })
        );
        assert_eq!(prefixes(&catalog, "a"), ["10.1.0.0/24"]);
        assert_eq!(prefixes(&catalog, "b.x"), ["10.1.0.0/24", "10.1.0.7/32", "2000::/3"]);
        let tag = catalog.get(&TagName::new("B.X")).unwrap();
        assert_eq!((tag.region.as_str(), tag.system_service.as_str()), ("x", "svc"));
    }

    #[test]
    fn the_built_in_snapshot_is_read() {
        let catalog = bundled();
        assert_eq!(
            catalog.source,
            Some(TagSource {
                change_number: None,
                cloud: Some("Public".to_owned()),
                date: Some("2026-10-26".to_owned())
            })
        );
        // As `data/README.md` counts them.
        assert_eq!(catalog.len(), 3321);
        assert_eq!(catalog.iter().map(|tag| tag.prefixes.len()).sum::<usize>(), 110_437);
        for tag in catalog.iter() {
            assert!(tag.prefixes.is_sorted_by(|a, b| a < b), "{}", tag.name);
        }
        // TAG-4, TAG-5, TAG-13: published spellings.
        for name in
            ["Storage.WestEurope", "AzureCloud.westeurope", "AzureCloud.norwaye", "AzureFrontDoor.FirstParty"]
        {
            assert_eq!(catalog.get(&TagName::new(&name.to_uppercase())).unwrap().name.as_str(), name);
        }
    }

    #[test]
    fn a_mangled_snapshot_is_an_error() {
        // zstd's checksum notices any damage of the file.
        for at in (0..BUNDLED.len()).step_by(4099).chain(BUNDLED.len() - 4..BUNDLED.len()) {
            let mut mangled = BUNDLED.to_vec();
            mangled[at] ^= 0x10;
            let error = unpack("tags.zst", &mangled).unwrap_err().to_string();
            assert!(error.starts_with("tags.zst: "), "byte {at}: {error}");
        }
        for end in [0, 3, 100, BUNDLED.len() - 1] {
            assert!(unpack("tags.zst", &BUNDLED[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_cut_or_lengthened_snapshot_is_an_error() {
        let whole = small();
        for end in 0..whole.len() {
            let error = read("small", &whole[..end]).unwrap_err().to_string();
            assert!(error.contains("the snapshot"), "{end}: {error}");
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(
            read("small", &longer).unwrap_err().to_string(),
            "small: byte 61: the snapshot goes on after its end"
        );
    }

    #[test]
    fn parts_that_contradict_each_other_are_an_error() {
        let whole = small();
        let position = |needle: &[u8]| {
            whole.windows(needle.len()).position(|window| window == needle).expect("the needle is there")
        };
        for (at, value, expected) in [
            (0, b'x', "is no snapshot of service tags in format 1"),
            (7, 2, "is no snapshot of service tags in format 1"),
            (8, 0x7f, "promises more than it holds"),
            (position(b"A"), 0xff, "holds a text that is not UTF-8"),
            (position(&[2, 0, 1, 2]), 1, "names a tag"),
            (position(&[2, 0, 1, 2]) + 2, 0, "names a tag twice in a combination"),
            (position(&[2, 0, 1, 2]) + 2, 2, "names a tag that it does not hold"),
            (position(&[24, 32]), 33, "holds a block that is none"),
            (position(&[24, 32]), 8, "holds a block that is none"),
            (position(&[7, 1, 0]) + 1, 2, "names a combination that it does not hold"),
        ] {
            let mut mangled = whole.clone();
            mangled[at] = value;
            let result = read("small", &mangled);
            // Some damage is only noticed further on; that it is noticed is what counts.
            let error = result.expect_err(expected).to_string();
            assert!(error.starts_with("small"), "{error}");
            if value != 1 && at != 8 {
                assert!(error.contains(expected), "byte {at}: {error}");
            }
        }
        // The same block twice.
        let mut twice = whole.clone();
        twice[position(&[24, 32]) + 1] = 24;
        twice[position(&[7, 1, 0])] = 0;
        assert!(read("small", &twice).unwrap_err().to_string().ends_with("holds blocks out of order"));
        // Two tags of one name.
        let mut twins = whole.clone();
        twins.splice(position(b"\x01A")..position(b"\x01A") + 2, *b"\x03b.x");
        assert!(read("small", &twins).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn no_byte_makes_the_reader_panic() {
        let whole = small();
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut mangled = whole.clone();
                mangled[at] = value;
                // Some changes give another sound snapshot: what is asked is that none of them panics.
                if let Ok(catalog) = read("small", &mangled) {
                    assert!(catalog.len() <= 2);
                }
            }
        }
    }
}
