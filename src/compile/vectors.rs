//! Entries as bits: a look-up AND-s the words of five classes, until one is left.

use std::sync::Arc;

use get_size2::GetSize;

use super::classifier::Key;
use super::paged::PagedMap;
use super::services::{PortTables, ServiceClasses, ServiceFields};
use super::sweep::Vectors;

/// How many entries one chunk holds: its vectors grow with the square of that.
pub(super) const CHUNK: usize = 2_048;

/// Entries that follow each other, as bits of words.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Chunk {
    source: Arc<PagedMap>,
    destination: Arc<PagedMap>,
    fields: ServiceFields,
    sources: Vectors,
    destinations: Vectors,
    source_ports: Vectors,
    destination_ports: Vectors,
    protocols: Vectors,
}

impl Chunk {
    pub(super) fn new(
        (source, sources): (Arc<PagedMap>, Vectors),
        (destination, destinations): (Arc<PagedMap>, Vectors),
        services: ServiceClasses,
        tables: &mut PortTables,
    ) -> Self {
        let fields = services.fields(tables, [1; 3]);
        let ServiceClasses { source_ports, destination_ports, protocols, .. } = services;
        Self {
            source,
            destination,
            fields,
            sources,
            destinations,
            source_ports,
            destination_ports,
            protocols,
        }
    }

    /// The place within the chunk of the first entry that the packet fits.
    #[inline]
    pub(super) fn first_match(&self, key: &Key) -> Option<u32> {
        let [source_port, destination_port, protocol] = self.fields.view().numbers(key);
        let sources = self.sources.of(self.source.get(key.source.0));
        let destinations = self.destinations.of(self.destination.get(key.destination.0));
        let source_ports = self.source_ports.of(source_port);
        let destination_ports = self.destination_ports.of(destination_port);
        let protocols = self.protocols.of(protocol);
        for (index, word) in (0..).zip(0..sources.len()) {
            let fits = sources[word]
                & destinations[word]
                & source_ports[word]
                & destination_ports[word]
                & protocols[word];
            if fits != 0 {
                return Some(index * 64 + fits.trailing_zeros());
            }
        }
        None
    }
}
