//! Headers to classify: of a trace, and drawn from the rules.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use ipnet::Ipv4Net;
use nsgsim::model::prefix::PortRange;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::native::Wire;
use crate::rules::{NONE, Rule, lines};

/// What engines look at in a packet, in the machine's byte order.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Header {
    pub(crate) source: u32,
    pub(crate) destination: u32,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
}

impl Header {
    /// The same as a packet carries it.
    pub(crate) fn wire(&self) -> Wire {
        Wire {
            source: self.source.to_be_bytes(),
            destination: self.destination.to_be_bytes(),
            source_port: self.source_port.to_be_bytes(),
            destination_port: self.destination_port.to_be_bytes(),
            protocol: self.protocol,
            unused: [0; 3],
        }
    }
}

/// Reads `NAME.trace.gz`: headers, each with the index of its first rule.
///
/// # Errors
///
/// Fails if the file cannot be read, and on a line that is no header, with its number.
pub(crate) fn read_trace(folder: &Path, name: &str) -> Result<(Vec<Header>, Vec<u32>)> {
    let read = lines(&folder.join(format!("{name}.trace.gz")), traced)?;
    Ok(read.into_iter().unzip())
}

fn traced(line: &str) -> Result<(Header, u32)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[source, destination, source_port, destination_port, protocol, expected] = &fields[..] else {
        bail!("`{line}`: expected six numbers with tabs between them");
    };
    let bad = |_| anyhow!("`{line}`: expected six numbers in their ranges");
    let header = Header {
        source: source.parse().map_err(bad)?,
        destination: destination.parse().map_err(bad)?,
        source_port: source_port.parse().map_err(bad)?,
        destination_port: destination_port.parse().map_err(bad)?,
        protocol: protocol.parse().map_err(bad)?,
    };
    let expected = if expected == "-1" { NONE } else { expected.parse().map_err(bad)? };
    Ok((header, expected))
}

/// Headers that some rule is meant for; whether an earlier one holds them is left to chance.
pub(crate) fn random(rng: &mut ChaCha8Rng, rules: &[Rule], count: usize) -> Vec<Header> {
    let one = |_| {
        let rule = rng.random_range(0..rules.len());
        meant_for(rng, &rules[rule])
    };
    (0..count).map(one).collect()
}

fn meant_for(rng: &mut ChaCha8Rng, rule: &Rule) -> Header {
    Header {
        source: address(rng, &rule.sources),
        destination: address(rng, &rule.destinations),
        source_port: port(rng, &rule.source_ports),
        destination_port: port(rng, &rule.destination_ports),
        // Where any will do, those that networks carry.
        protocol: rule.protocol.unwrap_or_else(|| if rng.random_bool(0.7) { 6 } else { 17 }),
    }
}

fn address(rng: &mut ChaCha8Rng, nets: &[Ipv4Net]) -> u32 {
    let net = nets[rng.random_range(0..nets.len())];
    rng.random_range(u32::from(net.network())..=u32::from(net.broadcast()))
}

fn port(rng: &mut ChaCha8Rng, ranges: &[PortRange]) -> u16 {
    let range = ranges[rng.random_range(0..ranges.len())];
    rng.random_range(range.first()..=range.last())
}

/// Draws positions in a list by Zipf's law with exponent 1: the position after next is met half as often.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// By position: the weight of all positions up to it.
    up_to: Vec<f64>,
}

impl Zipf {
    /// For a list that is so long.
    pub(crate) fn new(length: usize) -> Self {
        let mut total = 0.0;
        let weights = (1..=length).map(|rank| {
            total += 1.0 / rank as f64;
            total
        });
        Self { up_to: weights.collect() }
    }

    /// A position.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.up_to.last().copied().expect("a list to draw from is not empty");
        let drawn = rng.random_range(0.0..total);
        self.up_to.partition_point(|&weight| weight <= drawn)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::{Header, Zipf, traced};
    use crate::rules::NONE;

    #[test]
    fn a_line_is_a_header_and_its_rule() {
        let header = Header {
            source: 0x0a00_0001,
            destination: u32::MAX,
            source_port: 1,
            destination_port: 65535,
            protocol: 6,
        };
        assert_eq!(traced("167772161\t4294967295\t1\t65535\t6\t12").unwrap(), (header, 12));
        assert_eq!(traced("167772161\t4294967295\t1\t65535\t6\t-1").unwrap(), (header, NONE));
        assert!(traced("1\t2\t3\t4\t5").is_err() && traced("1\t2\t3\t4\t256\t6").is_err());
    }

    #[test]
    fn the_second_is_drawn_half_as_often_as_the_first() {
        let (zipf, mut rng) = (Zipf::new(100), ChaCha8Rng::seed_from_u64(1));
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut rng)] += 1;
        }
        let ratio = f64::from(counts[1]) / f64::from(counts[0]);
        assert!((0.45..0.55).contains(&ratio) && counts[99] > 0, "{ratio}");
    }
}
