//! What a packet asks for besides addresses: its ports and protocol, as one class.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

use super::classifier::{BATCH, Key};
use super::paged::Run;
use super::ports::{NO_PORT, PLACES, PortSet, PortTable, PortView, ProtocolSet};
use super::sweep::{Interner, Vectors, sweep};
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;

/// What an entry says of ports and protocol.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Service {
    pub(super) source_ports: PortSet,
    pub(super) destination_ports: PortSet,
    pub(super) protocols: ProtocolSet,
}

/// Tables of ports that classifiers share while they are built, by their runs and the factor of their numbers.
pub(super) type PortTables = HashMap<(Box<[Run]>, u32), Arc<PortTable>, FixedState>;

/// From ports and protocol to a class, and for each class the services of which it is a part.
///
/// Services are numbered from 1: number 0 holds no packet.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Services {
    fields: ServiceFields,
    /// By protocol class, then by destination port class, then by source port class.
    classes: Box<[u16]>,
    /// By class: a bit for each service.
    held: Vectors,
}

/// The numbers of each field's classes: multiplied so that the sum of all three is that of a combination, where one is
/// asked for.
#[derive(Clone, Debug, GetSize)]
pub(super) struct ServiceFields {
    source_port: Arc<PortTable>,
    destination_port: Arc<PortTable>,
    protocol: Box<[u32; 256]>,
}

/// How many combinations of classes are laid out: beyond it, they take more than AND-ing words does.
const MOST_COMBINATIONS: usize = 1 << 18;

/// The classes into which services cut each field.
pub(super) struct ServiceClasses {
    source_port_runs: Box<[Run]>,
    destination_port_runs: Box<[Run]>,
    protocol_runs: Vec<Run>,
    pub(super) source_ports: Vectors,
    pub(super) destination_ports: Vectors,
    pub(super) protocols: Vectors,
}

impl ServiceClasses {
    pub(super) fn new(services: &[&Service]) -> Self {
        let (source_port_runs, source_ports) = ports(services, |service| &service.source_ports);
        let (destination_port_runs, destination_ports) =
            ports(services, |service| &service.destination_ports);
        let (protocol_runs, protocols) = protocols(services);
        Self {
            source_port_runs,
            destination_port_runs,
            protocol_runs,
            source_ports,
            destination_ports,
            protocols,
        }
    }

    /// Tables of the classes, each class's number times a factor.
    pub(super) fn fields(&self, tables: &mut PortTables, factors: [u32; 3]) -> ServiceFields {
        let [source_port, destination_port, protocol] = factors;
        let mut numbers = Box::new([0; 256]);
        for run in &self.protocol_runs {
            numbers[run.first as usize..].fill(run.id * protocol);
        }
        let mut table = |runs: &[Run], factor: u32| {
            let build = || Arc::new(PortTable::build(runs, factor));
            Arc::clone(tables.entry((runs.into(), factor)).or_insert_with(build))
        };
        ServiceFields {
            source_port: table(&self.source_port_runs, source_port),
            destination_port: table(&self.destination_port_runs, destination_port),
            protocol: numbers,
        }
    }
}

impl ServiceFields {
    /// Where the tables lie, for a loop to keep at hand.
    #[inline(always)]
    pub(super) fn view(&self) -> FieldsView<'_> {
        FieldsView {
            source_port: self.source_port.view(),
            destination_port: self.destination_port.view(),
            protocol: &self.protocol,
        }
    }
}

/// Where the tables of all three fields lie.
#[derive(Clone, Copy)]
pub(super) struct FieldsView<'t> {
    source_port: PortView<'t>,
    destination_port: PortView<'t>,
    protocol: &'t [u32; 256],
}

impl FieldsView<'_> {
    /// The numbers of source port, destination port and protocol.
    #[inline(always)]
    pub(super) fn numbers(self, key: &Key) -> [u32; 3] {
        [
            self.source_port.number(key.source_port),
            self.destination_port.number(key.destination_port),
            self.protocol[usize::from(key.protocol.0)],
        ]
    }
}

impl Services {
    /// Lays out the combinations of all classes; nothing where they are too many.
    pub(super) fn build(tables: &mut PortTables, services: &[&Service]) -> Option<Self> {
        let nothing = Service {
            source_ports: PortSet::default(),
            destination_ports: PortSet::default(),
            protocols: ProtocolSet::default(),
        };
        let numbered: Vec<&Service> = std::iter::once(&nothing).chain(services.iter().copied()).collect();
        if u16::try_from(numbered.len()).is_err() {
            return None;
        }
        let classes_of = ServiceClasses::new(&numbered);
        let ServiceClasses { source_ports, destination_ports, protocols, .. } = &classes_of;
        let ports = source_ports.count().checked_mul(destination_ports.count())?;
        let combinations = ports.checked_mul(protocols.count())?;
        let words = protocols.words_each();
        if combinations.checked_mul(words)? > MOST_COMBINATIONS * 4 {
            return None;
        }
        let mut held = Interner::new(words);
        let mut classes = Vec::with_capacity(combinations);
        for protocol in protocols.each() {
            for destination_port in destination_ports.each() {
                let both: Vec<u64> = protocol.iter().zip(destination_port).map(|(a, b)| a & b).collect();
                for source_port in source_ports.each() {
                    let all: Vec<u64> = both.iter().zip(source_port).map(|(a, b)| a & b).collect();
                    classes.push(u16::try_from(held.id(&all)).ok()?);
                }
            }
        }
        let factor = |count: usize| u32::try_from(count).expect("no more than the combinations");
        let fields = classes_of.fields(tables, [1, factor(source_ports.count()), factor(ports)]);
        Some(Self { fields, classes: classes.into(), held: held.vectors() })
    }

    /// The class of a packet's ports and protocol.
    #[inline]
    pub(super) fn class(&self, key: &Key) -> u32 {
        self.classes[combination(self.fields.view(), key)].into()
    }

    /// The class of each packet.
    #[inline(always)]
    pub(super) fn classes(&self, keys: &[Key], classes: &mut [u32; BATCH]) {
        let (fields, all) = (self.fields.view(), &*self.classes);
        for (class, key) in classes.iter_mut().zip(keys) {
            *class = all[combination(fields, key)].into();
        }
    }

    /// The services of which each class is a part.
    pub(super) fn held(&self) -> &Vectors {
        &self.held
    }
}

#[inline(always)]
fn combination(fields: FieldsView<'_>, key: &Key) -> usize {
    let [source_port, destination_port, protocol] = fields.numbers(key);
    (source_port + destination_port + protocol) as usize
}

fn ports(services: &[&Service], field: impl Fn(&Service) -> &PortSet) -> (Box<[Run]>, Vectors) {
    let places = |service: &&Service| -> Vec<Range<u32>> {
        let set = field(service);
        let range = |range: &PortRange| u32::from(range.first())..u32::from(range.last()) + 1;
        let mut places: Vec<Range<u32>> = set.ranges().iter().map(range).collect();
        // The place of a packet without ports lies behind the last port (NSG-10).
        if set.contains(None) {
            match places.last_mut() {
                Some(last) if last.end == NO_PORT => last.end = PLACES,
                _ => places.push(NO_PORT..PLACES),
            }
        }
        places
    };
    let ranges: Vec<Vec<Range<u32>>> = services.iter().map(places).collect();
    let (runs, vectors) = sweep(PLACES, ranges.iter().map(Vec::as_slice));
    (runs.into(), vectors)
}

fn protocols(services: &[&Service]) -> (Vec<Run>, Vectors) {
    let numbers = |service: &&Service| -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for number in (0..=u8::MAX).filter(|&number| service.protocols.contains(Protocol(number))) {
            let number = u32::from(number);
            match ranges.last_mut() {
                Some(open) if open.end == number => open.end += 1,
                _ => ranges.push(number..number + 1),
            }
        }
        ranges
    };
    let ranges: Vec<Vec<Range<u32>>> = services.iter().map(numbers).collect();
    sweep(256, ranges.iter().map(Vec::as_slice))
}
