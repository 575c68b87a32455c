//! nsgsim's classifier, from raw headers to the index of a rule.

use std::sync::Arc;
use std::time::{Duration, Instant};

use get_size2::GetSize;
use ipnet::Ipv4Net;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::cells::{Cell, Cells};
use nsgsim::compile::classifier::{Classifier, Entry, Key, NO_ENTRY, Pools};
use nsgsim::compile::ports::{PortSet, ProtocolSet};
use nsgsim::model::prefix::Prefix;
use nsgsim::model::rule::Protocol;

use crate::headers::Header;
use crate::rules::{NONE, Rule};

// What says that no rule fits is the same on both sides.
const _: () = assert!(NONE == NO_ENTRY);

/// How many headers go through each step together.
const TOGETHER: usize = 64;

/// Rules compiled by nsgsim.
#[derive(Debug)]
pub(crate) struct Ours {
    cells: Cells,
    classifier: Classifier,
    /// What stands in a batch before it is filled.
    no_key: Key,
    /// How long compiling took, of addresses and rules together.
    pub(crate) build: Duration,
}

impl Ours {
    /// Compiles the rules.
    pub(crate) fn build(rules: &[Rule]) -> Self {
        let entries: Vec<Entry> = rules.iter().map(entry).collect();
        let begin = Instant::now();
        let cells = Cells::build(entries.iter().flat_map(|entry| [&*entry.source, &*entry.destination]));
        let classifier = Classifier::build(&cells, &mut Pools::for_classifiers(1), &entries);
        let build = begin.elapsed();
        let (cell, port) = (Cell(0), 0.into());
        let no_key = Key {
            source: cell,
            destination: cell,
            source_port: port,
            destination_port: port,
            protocol: Protocol(0),
        };
        Self { cells, classifier, no_key, build }
    }

    /// What the tables take.
    pub(crate) fn bytes(&self) -> usize {
        self.cells.get_size() + self.classifier.get_size()
    }

    /// How the classifier keeps its rules.
    pub(crate) fn form(&self) -> String {
        format!("{:?}", self.classifier.form()).to_lowercase()
    }

    /// The index of each header's first rule; the addresses' cells are found on the way.
    #[inline]
    pub(crate) fn classify(&self, headers: &[Header], found: &mut [u32]) {
        for (headers, found) in headers.chunks(TOGETHER).zip(found.chunks_mut(TOGETHER)) {
            let (mut sources, mut destinations) = ([0; TOGETHER], [0; TOGETHER]);
            for ((source, destination), header) in sources.iter_mut().zip(&mut destinations).zip(headers) {
                (*source, *destination) = (header.source, header.destination);
            }
            let count = headers.len();
            let (mut source_cells, mut destination_cells) = ([Cell(0); TOGETHER], [Cell(0); TOGETHER]);
            self.cells.find_each_v4(&sources[..count], &mut source_cells[..count]);
            self.cells.find_each_v4(&destinations[..count], &mut destination_cells[..count]);
            let mut keys = [self.no_key; TOGETHER];
            for (place, header) in headers.iter().enumerate() {
                keys[place] = Key {
                    source: source_cells[place],
                    destination: destination_cells[place],
                    source_port: header.source_port.into(),
                    destination_port: header.destination_port.into(),
                    protocol: Protocol(header.protocol),
                };
            }
            self.classifier.first_matches(&keys[..count], &mut found[..count]);
        }
    }

    /// The index of each header's first rule.
    pub(crate) fn first_matches(&self, headers: &[Header]) -> Vec<u32> {
        let mut found = vec![NONE; headers.len()];
        self.classify(headers, &mut found);
        found
    }
}

fn entry(rule: &Rule) -> Entry {
    let set = |nets: &[Ipv4Net]| Arc::new(AddressSet::from_prefixes(nets.iter().copied().map(Prefix::V4)));
    Entry {
        source: set(&rule.sources),
        source_ports: PortSet::from_ranges(rule.source_ports.iter().copied()),
        destination: set(&rule.destinations),
        destination_ports: PortSet::from_ranges(rule.destination_ports.iter().copied()),
        protocols: rule
            .protocol
            .map_or_else(ProtocolSet::all, |protocol| ProtocolSet::one(Protocol(protocol))),
    }
}
