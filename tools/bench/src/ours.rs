//! nsgsim's classifier, from raw headers to the index of a rule.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use get_size2::GetSize;
use ipnet::Ipv4Net;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::cells::Cells;
use nsgsim::compile::classifier::{Classifier, Entry, Key, Pools};
use nsgsim::compile::ports::{PortSet, ProtocolSet};
use nsgsim::model::prefix::Prefix;
use nsgsim::model::rule::Protocol;

use crate::headers::Header;
use crate::rules::{NONE, Rule};

/// Rules compiled by nsgsim.
#[derive(Debug)]
pub(crate) struct Ours {
    cells: Cells,
    classifier: Classifier,
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
        Self { cells, classifier, build: begin.elapsed() }
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
        for (header, found) in headers.iter().zip(found) {
            let key = Key {
                source: self.cells.find(Ipv4Addr::from(header.source).into()),
                destination: self.cells.find(Ipv4Addr::from(header.destination).into()),
                protocol: Protocol(header.protocol),
                source_port: Some(header.source_port),
                destination_port: Some(header.destination_port),
            };
            *found = self.classifier.first_match(&key).unwrap_or(NONE);
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
