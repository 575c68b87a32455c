//! Whole captures: bytes of a file to counts by rule.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use nsgsim::compile::network::CompiledNetwork;
use pcap_file::pcap::PcapReader;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use crate::dpdk::{BATCH, Peer};
use crate::headers::{self, Header, Zipf};
use crate::linear;
use crate::measure::{Effort, Spread, side_by_side};
use crate::native::{self, Dpdk, PcapCounts, Wire};
use crate::nsg::{self, Facing, Layout, Tags};
use crate::replay;
use crate::rules::{NONE, Rule};
use crate::table::{self, Table};

/// What to generate, and how long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// The folder with the shared data.
    pub(crate) data: &'a Path,
    pub(crate) packets: usize,
    /// Different headers among them.
    pub(crate) headers: usize,
    pub(crate) rules: usize,
    pub(crate) effort: Effort,
    pub(crate) seed: u64,
}

/// What all readers came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    packets: usize,
    file_bytes: usize,
    rules: usize,
    readers: Vec<Reader>,
}

/// How one reader did.
#[derive(Clone, Debug, Serialize)]
struct Reader {
    name: String,
    /// What it does with a packet.
    work: &'static str,
    cores: usize,
    /// Packets a second.
    per_s: Spread,
}

/// The most bytes that are kept of a packet.
const SNAP_BYTES: usize = 96;
const FILE_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
const ETHERNET_BYTES: usize = 14;
/// All packets fit it: what it costs is wanted, not what it finds.
const FILTER: &str = "ip and (tcp or udp) and dst net 10.0.0.0/8";

/// UDP from these ports is cut by the platform or may be, whatever the rules: the host's own, and DHCP.
const NOT_CARRIED: [u16; 3] = [65330, 67, 68];

/// Generates a capture and a network, and reads the one in every way.
///
/// # Errors
///
/// Fails on files that cannot be written or read, and if two ways count differently.
pub(crate) fn run(dpdk: Dpdk, plan: Plan<'_>, cores: &[usize]) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let tags = Tags::read(plan.data)?;
    let rules = nsg::rules(plan.seed, plan.rules, Facing::Inbound, Some(&tags));
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let narrowed = nsg::at_hosts(&mut rng, &rules);
    let hosts = nsg::hosts(&narrowed);
    let compiled = |layout: Layout| {
        let network = tempfile::tempdir_in(folder.path())?;
        nsg::export(&rules, &hosts, layout, network.path())?;
        replay::network(network.path(), Arc::clone(&tags.catalog))
    };
    let (one_network, hub_and_spoke) = (compiled(Layout::OneNetwork)?, compiled(Layout::HubAndSpoke)?);
    let set = nsg::rule_set("nsg", &rules);

    let flows = flows(&mut rng, &narrowed, &hosts, plan.headers);
    let capture = folder.path().join("capture.pcap");
    let times_met = write(&mut rng, &flows, plan.packets, &capture)?;
    let map = native::map(&capture)?;

    let wires: Vec<Cell<Wire>> = flows.iter().map(|header| Cell::new(header.wire())).collect();
    let peer = Peer::build(dpdk, &set.expanded(), &wires.iter().collect::<Vec<_>>())?;
    let [one, all] = pools(cores)?;

    let expected = expected(&set.rules, &flows, &times_met);
    let counted = parse(&map, &peer, set.rules.len());
    ensure!(counted == expected, "the parser with DPDK counts other packets by rule than the linear scan");
    // In the hub and the spoke all lists are the same: the first that denies has the rule that the one list has.
    let runs = [
        (&one_network, &one, false),
        (&one_network, &one, true),
        (&hub_and_spoke, &one, false),
        (&one_network, &all, false),
        (&one_network, &all, true),
    ];
    for (network, pool, stateful) in runs {
        let replayed = replay::replay(network, &capture, pool, stateful, set.rules.len())?;
        ensure!(replayed.records == plan.packets, "nsgsim reads {} packets", replayed.records);
        for (rule, (ours, expected)) in replayed.by_rule.iter().zip(&expected[1..]).enumerate() {
            ensure!(
                ours == expected,
                "rule {rule}: nsgsim counts {ours} packets, the linear scan {expected}"
            );
        }
    }
    ensure!(hop(&map).0 == plan.packets, "hopping over records finds another number");
    let PcapCounts { records, fitting, .. } = native::pcap_read(&capture, FILTER)?;
    ensure!(
        (records, fitting) == (plan.packets as u64, plan.packets as u64),
        "libpcap reads {records} packets, of which {fitting} fit"
    );
    ensure!(raw_packets(&capture)? == plan.packets, "pcap-file finds another number");

    let run = |(network, pool, stateful): (&Arc<CompiledNetwork>, &ThreadPool, bool)| {
        let replayed = replay::replay(network, &capture, pool, stateful, set.rules.len());
        black_box(replayed.expect("it was read before")).records
    };
    let rates = side_by_side(
        plan.effort,
        &mut [
            &mut || hop(black_box(&map)).0,
            &mut || {
                black_box(parse(black_box(&map), &peer, set.rules.len()));
                plan.packets
            },
            &mut || {
                let counts = native::pcap_read(&capture, FILTER).expect("it was read before");
                usize::try_from(counts.records).expect("packets are counted in memory")
            },
            &mut || raw_packets(&capture).expect("it was read before"),
            &mut || run(runs[0]),
            &mut || run(runs[1]),
            &mut || run(runs[2]),
            &mut || run(runs[3]),
            &mut || run(runs[4]),
        ],
    );
    let dpdk_name = format!("own parser + DPDK ACL ({})", peer.method);
    let names = [
        ("hop", "record headers only", 1),
        (&dpdk_name, "first matching rule, counted", 1),
        ("libpcap", "records, one compiled filter", 1),
        ("pcap-file", "records", 1),
        ("nsgsim replay", "verdicts of packets by themselves, counted", 1),
        ("nsgsim replay", "verdicts with state, counted", 1),
        ("nsgsim replay", "the same through hub and spoke, by themselves", 1),
        ("nsgsim replay", "verdicts of packets by themselves, counted", cores.len()),
        ("nsgsim replay", "verdicts with state, counted", cores.len()),
    ];
    let readers = names.into_iter().zip(rates).map(|((name, work, cores), per_s)| Reader {
        name: name.to_owned(),
        work,
        cores,
        per_s,
    });
    Ok(Outcome {
        packets: plan.packets,
        file_bytes: map.len(),
        rules: set.rules.len(),
        readers: readers.collect(),
    })
}

/// A pool of one thread, and one that has all cores.
pub(crate) fn pools(cores: &[usize]) -> Result<[ThreadPool; 2]> {
    let all_cores = cores_of(cores)?;
    let all = ThreadPoolBuilder::new().num_threads(cores.len()).start_handler(move |_| {
        // Threads stay where the one that starts them was told to; a refusal costs speed alone.
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &all_cores);
    });
    Ok([ThreadPoolBuilder::new().num_threads(1).build()?, all.build()?])
}

fn cores_of(cores: &[usize]) -> Result<nix::sched::CpuSet> {
    let mut set = nix::sched::CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(set)
}

/// Different headers of TCP and UDP towards the hosts, each meant for a rule, from other hosts and the internet.
fn flows(rng: &mut ChaCha8Rng, narrowed: &[Rule], hosts: &BTreeSet<Ipv4Addr>, count: usize) -> Vec<Header> {
    // The internet lies between what is set aside; taken by first octets, for a little less does as well.
    let is_public =
        |octet| matches!(octet, 11..=99 | 101..=126 | 128..=167 | 173..=191 | 193..=197 | 204..=223);
    let is_fit = |header: &Header| {
        let (source, destination) = (Ipv4Addr::from(header.source), Ipv4Addr::from(header.destination));
        matches!(header.protocol, 6 | 17)
            && source != destination
            && !(header.protocol == 17 && NOT_CARRIED.contains(&header.source_port))
            && (is_public(source.octets()[0]) || hosts.contains(&source))
            && hosts.contains(&destination)
    };
    let (mut flows, mut seen) = (Vec::with_capacity(count), HashSet::new());
    while flows.len() < count {
        for header in headers::random(rng, narrowed, count) {
            if is_fit(&header) && flows.len() < count && seen.insert(header) {
                flows.push(header);
            }
        }
    }
    flows
}

/// Writes a classic pcap of packets whose headers are drawn by Zipf's law. Returns how often each was met.
fn write(rng: &mut ChaCha8Rng, flows: &[Header], packets: usize, path: &Path) -> Result<Vec<u64>> {
    let zipf = Zipf::new(flows.len());
    let mut times_met = vec![0; flows.len()];
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    // Microseconds, version 2.4, Ethernet.
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAP_BYTES as u32, 1_u32] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut frame = Vec::with_capacity(SNAP_BYTES);
    for number in 0..packets {
        let flow = zipf.draw(rng);
        let length = rng.random_range(64..=1514_usize);
        write_frame(&flows[flow], times_met[flow] == 0, length, &mut frame);
        times_met[flow] += 1;
        // A packet each microsecond, so that no flow is silent for long.
        let second = 1_700_000_000 + u32::try_from(number / 1_000_000)?;
        let microsecond = u32::try_from(number % 1_000_000)?;
        for word in [second, microsecond, u32::try_from(frame.len())?, u32::try_from(length)?] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()?;
    Ok(times_met)
}

/// The first bytes of a packet that is `length` long on the wire.
fn write_frame(header: &Header, opens: bool, length: usize, frame: &mut Vec<u8>) {
    let wire = header.wire();
    frame.clear();
    // Locally administered addresses.
    frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    let total = u16::try_from(length - ETHERNET_BYTES).expect("a frame is shorter than a packet may be");
    frame.extend([0x45, 0]);
    frame.extend(total.to_be_bytes());
    // Don't fragment; 64 hops.
    frame.extend([0, 0, 0x40, 0, 64, header.protocol, 0, 0]);
    frame.extend(wire.source);
    frame.extend(wire.destination);
    let sum = checksum(&frame[ETHERNET_BYTES..]);
    frame[ETHERNET_BYTES + 10..ETHERNET_BYTES + 12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(wire.source_port);
    frame.extend(wire.destination_port);
    if header.protocol == 6 {
        let flags = if opens { 0x02 } else { 0x10 };
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        frame.extend((total - 20).to_be_bytes());
        frame.extend([0, 0]);
    }
    frame.resize(length.min(SNAP_BYTES), 0);
}

/// The checksum of an IPv4 header whose own field is 0.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("twice folded, ten words fit")
}

/// Packets that fit no rule, and of each rule.
fn expected(rules: &[Rule], flows: &[Header], times_met: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; rules.len() + 1];
    for (header, times) in flows.iter().zip(times_met) {
        let rule = linear::first_match(rules, header);
        counts[if rule == NONE { 0 } else { rule as usize + 1 }] += times;
    }
    counts
}

/// The records of a little-endian pcap: what was captured, and the length on the wire.
#[inline]
fn records(capture: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    let mut rest = capture.get(FILE_HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (header, behind) = rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (captured, behind) = behind.split_at_checked(word(8) as usize)?;
        rest = behind;
        Some((captured, word(12)))
    })
}

/// Touches no more than it must to find the next record: no reader of the map can be faster. Returns how many there
/// are, and their bytes on the wire.
fn hop(capture: &[u8]) -> (usize, u64) {
    records(capture).fold((0, 0), |(count, bytes), (_, length)| (count + 1, bytes + u64::from(length)))
}

/// Parses every packet and has DPDK find its rule, a batch at a time. Returns packets that fit no rule, and of each.
fn parse(capture: &[u8], peer: &Peer, rules: usize) -> Vec<u64> {
    let batch: [Cell<Wire>; BATCH] = std::array::from_fn(|_| Cell::default());
    let places = batch.each_ref();
    let mut marks = [0; BATCH];
    let mut counts = vec![0; rules + 1];
    let mut filled = 0;
    let mut classify = |filled: usize| {
        peer.classify(&places[..filled], &mut marks);
        for &mark in &marks[..filled] {
            counts[mark as usize] += 1;
        }
    };
    for (captured, _) in records(capture) {
        let Some(wire) = wire(captured) else { continue };
        batch[filled].set(wire);
        filled += 1;
        if filled == BATCH {
            classify(filled);
            filled = 0;
        }
    }
    classify(filled);
    counts
}

/// The header of a TCP or UDP packet over IPv4 over Ethernet; nothing for any other, and for later fragments.
#[inline]
fn wire(captured: &[u8]) -> Option<Wire> {
    let (ethernet, ip) = captured.split_first_chunk::<ETHERNET_BYTES>()?;
    let (fixed, _) = ip.split_first_chunk::<20>()?;
    let later_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0;
    let protocol = fixed[9];
    if ethernet[12..] != [0x08, 0x00] || fixed[0] >> 4 != 4 || later_fragment || !matches!(protocol, 6 | 17) {
        return None;
    }
    let ports = ip.get(usize::from(fixed[0] & 0xf) * 4..)?.first_chunk::<4>()?;
    Some(Wire {
        source: [fixed[12], fixed[13], fixed[14], fixed[15]],
        destination: [fixed[16], fixed[17], fixed[18], fixed[19]],
        source_port: [ports[0], ports[1]],
        destination_port: [ports[2], ports[3]],
        protocol,
        unused: [0; 3],
    })
}

/// The number of records by the crate `pcap-file`.
fn raw_packets(path: &Path) -> Result<usize> {
    let mut reader = PcapReader::new(File::open(path)?)?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.map_err(|error| anyhow!("pcap-file: {error}"))?;
        count += 1;
        bytes += u64::from(packet.orig_len);
    }
    black_box(bytes);
    Ok(count)
}

impl Outcome {
    /// The outcome as a table; the last column holds each against the parser with DPDK.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["reader", "does", "cores", "M packets/s", "GB/s", "of parser + DPDK"]);
        let peer = self.readers[1].per_s.median;
        let bytes_each = self.file_bytes as f64 / self.packets as f64;
        for reader in &self.readers {
            table.push(vec![
                reader.name.clone(),
                reader.work.to_owned(),
                reader.cores.to_string(),
                table::millions(reader.per_s),
                format!("{:.2}", reader.per_s.median * bytes_each / 1e9),
                table::times(reader.per_s.median / peer),
            ]);
        }
        table
    }

    /// What the file holds.
    pub(crate) fn caption(&self) -> String {
        format!("{} packets, {}, {} rules", self.packets, table::bytes(self.file_bytes), self.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::{checksum, hop, records, wire, write_frame};
    use crate::headers::Header;

    #[test]
    fn what_is_written_is_parsed() {
        for protocol in [6, 17] {
            let header = Header {
                source: 0x0a00_0001,
                destination: 0x0a00_0002,
                source_port: 1,
                destination_port: 2,
                protocol,
            };
            let mut frame = Vec::new();
            write_frame(&header, true, 1514, &mut frame);
            assert_eq!(frame.len(), 96);
            let parsed = wire(&frame).unwrap();
            assert_eq!(
                (parsed.source, parsed.destination_port, parsed.protocol),
                ([10, 0, 0, 1], [0, 2], protocol)
            );
            // A header with its checksum in place sums to nothing.
            assert_eq!(checksum(&frame[14..34]), 0);
        }
    }

    #[test]
    fn a_record_that_is_cut_ends_the_file() {
        let mut file = vec![0; 24];
        let record = [[0; 4], [0; 4], 3_u32.to_le_bytes(), 60_u32.to_le_bytes()].concat();
        file.extend(&record);
        file.extend([1, 2, 3]);
        file.extend(&record);
        file.extend([1, 2]);
        assert_eq!(hop(&file), (1, 60));
        assert_eq!(records(&file).next().unwrap().0, [1, 2, 3]);
    }
}
