//! Flows as interfaces log them: one interface's filters in one direction, and what the platform exempts there (LOG-10).
//!
//! A log says who began a flow, so rules alone decide, and no record of an open flow is asked. Routes and translation do
//! not come into it: a log shows the addresses that the interface saw.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ends::{OutOfScope, inside};
use super::express::{LaneFilter, is_never_carried, is_ordinary, is_whole_and_plain};
use super::journey::{Journey, Stage};
use super::plan::is_platform;
use super::simulator::{Passed, Simulator};
use crate::compile::network::CompiledNetwork;
use crate::compile::policy::{Classified, Engine};
use crate::compile::topology::TopologyClass;
use crate::model::flow::{Origin, Packet};
use crate::model::index::{NicIndex, VnetIndex};
use crate::model::reason_code::ReasonCode;
use crate::model::recorded::SeenAt;
use crate::model::rule::{Access, Direction};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Answer, Interface, Layer, Reason, RuleHit, Verdict};

/// Which interface has which MAC address.
#[derive(Debug, Default)]
pub struct MacAddresses {
    known: HashMap<[u8; 6], Vec<NicIndex>, FixedState>,
    /// Some interface forwards of which the export does not tell the MAC address.
    untold_forwards: bool,
}

/// Why it is not known which interface saw a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unplaced {
    /// It is none of this network's.
    OutOfScope(OutOfScope),
    /// Several may have.
    Open(Unknown),
}

/// What the packets of an interface in one direction meet there, to destinations of one topology class.
pub(super) struct LoggedWay {
    journey: Journey,
    /// Where nothing but rules of NSGs can decide about plain packets: their lists, and which layer each is.
    policies: Option<Box<[(u32, Layer)]>>,
}

/// The ways that were laid so far, by interface, direction and the class of the destination, where that makes a
/// difference.
#[derive(Default)]
pub(super) struct LoggedWays {
    laid: HashMap<WayKey, Arc<LoggedWay>, FixedState>,
    /// The one that was taken last: tuples of one interface follow each other.
    last: Option<(WayKey, Arc<LoggedWay>)>,
}

type WayKey = (Interface, Direction, Option<TopologyClass>);

impl LoggedWays {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// With more ways than this all are laid anew.
const MOST_WAYS: usize = 1 << 16;

impl MacAddresses {
    /// Those of a network.
    #[must_use]
    pub fn of(compiled: &CompiledNetwork) -> Self {
        let mut known: HashMap<[u8; 6], Vec<NicIndex>, FixedState> = HashMap::default();
        for (position, nic) in compiled.network.nics.iter().enumerate() {
            if let Some(mac) = nic.mac {
                known.entry(mac).or_default().push(NicIndex::new(position));
            }
        }
        let untold_forwards = compiled.network.nics.iter().any(|nic| nic.ip_forwarding && nic.mac.is_none());
        Self { known, untold_forwards }
    }

    /// The interface that saw a flow: the one with the MAC address. Where none has it, one of which the export does not
    /// tell the MAC address, or an unlisted one, found by the address at its end of the flow, in this network where one is
    /// given.
    ///
    /// # Errors
    ///
    /// Fails where the network has no such interface, or several that cannot be told apart.
    pub fn interface(
        &self,
        compiled: &CompiledNetwork,
        seen_at: SeenAt,
        packet: &Packet,
        only: Option<VnetIndex>,
    ) -> Result<Interface, Unplaced> {
        let address = match seen_at.direction {
            Direction::Inbound => packet.five_tuple.destination,
            Direction::Outbound => packet.five_tuple.source,
        };
        let nics = &compiled.network.nics;
        if let Some(known) = self.known.get(&seen_at.mac) {
            let has = |nic: &&NicIndex| nics[nic.get()].has(address);
            return match &known[..] {
                [one] => Ok(Interface::Nic(*one)),
                several => match (several.iter().find(has), several.iter().filter(has).count()) {
                    (Some(one), 1) => Ok(Interface::Nic(*one)),
                    _ => Err(Unplaced::Open(Unknown::AmbiguousPlace { address })),
                },
            };
        }
        let may_have_logged = |origin: Origin| match origin {
            Origin::Nic(nic) => nics[nic.get()].mac.is_none().then_some(Interface::Nic(nic)),
            Origin::Unlisted(subnet) => Some(Interface::Unlisted(subnet)),
            Origin::Internet | Origin::OnPremises(_) | Origin::Platform => None,
        };
        // What forwards logs flows of other machines' addresses: then the address does not tell.
        if self.untold_forwards {
            return Err(Unplaced::Open(Unknown::AmbiguousPlace { address }));
        }
        let mut found = inside(compiled, address, only).into_iter().filter_map(may_have_logged);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(Unplaced::Open(Unknown::AmbiguousPlace { address })),
            (None, _) => Err(Unplaced::OutOfScope(OutOfScope(ReasonCode::NicNotInNetwork))),
        }
    }
}

impl LoggedWay {
    fn lay(
        compiled: &CompiledNetwork,
        engine: Engine,
        (interface, direction): (Interface, Direction),
        destination: IpAddr,
    ) -> Self {
        let journey = Journey::logged_at(compiled, interface, direction, destination);
        // These are never carried, whatever rules say (PLAT-9).
        let is_carried = !is_never_carried(destination);
        let policies = match &journey.stages[..] {
            [Stage::Start(start), Stage::Filter(filter)]
                if is_carried
                    && is_ordinary(start)
                    && engine == Engine::Compiled
                    && !compiled.linear_only =>
            {
                LaneFilter::of(compiled, filter, None).map(|filter| filter.policies)
            }
            _ => None,
        };
        Self { journey, policies }
    }

    /// What rules of NSGs say of a packet, if nothing else can decide about it.
    fn by_rules(
        &self,
        compiled: &CompiledNetwork,
        (interface, direction): (Interface, Direction),
        packet: &Packet,
    ) -> Option<Passed> {
        let policies = self.policies.as_ref().filter(|_| is_whole_and_plain(packet))?;
        let key = compiled.key(&packet.five_tuple);
        let (mut last, mut decided) = (Reason::NoSecurityGroup, None);
        for &(position, layer) in policies {
            let policy = &compiled.policies[position as usize];
            let Classified { place, access } = policy.classify_key(&key)?;
            let rule = policy.rules[place as usize].position;
            last = Reason::SecurityRule(RuleHit { interface, direction, layer, nsg: policy.nsg(), rule });
            decided = Some((position, place));
            if access == Access::Deny {
                return Some(Passed { verdict: Verdict::Deny(last), rule: decided, continued: false });
            }
        }
        Some(Passed { verdict: Verdict::Allow(last), rule: decided, continued: false })
    }
}

impl Simulator {
    /// What becomes of a flow's first packet at the interface that logged it.
    pub fn logged(&mut self, interface: Interface, direction: Direction, packet: &Packet) -> Passed {
        let way = self.logged_way((interface, direction), packet.five_tuple.destination);
        let by_rules = way.by_rules(self.compiled(), (interface, direction), packet);
        by_rules.unwrap_or_else(|| {
            let verdict = self.walk(packet, 0, false).take(&way.journey).answer.verdict;
            Passed { verdict, rule: None, continued: false }
        })
    }

    /// As [`Simulator::logged`], with every step.
    pub fn logged_answer(&mut self, interface: Interface, direction: Direction, packet: &Packet) -> Answer {
        let way = self.logged_way((interface, direction), packet.five_tuple.destination);
        self.walk(packet, 0, false).take(&way.journey).answer
    }

    fn logged_way(&mut self, at: (Interface, Direction), destination: IpAddr) -> Arc<LoggedWay> {
        // PERF: a way for each class of destinations took more memory than the whole network.
        let class = is_special(destination).then(|| self.compiled().class(destination));
        let key = (at.0, at.1, class);
        if let Some((last, way)) = &self.logged_ways.last
            && *last == key
        {
            return Arc::clone(way);
        }
        if let Some(way) = self.logged_ways.laid.get(&key) {
            let way = Arc::clone(way);
            self.logged_ways.last = Some((key, Arc::clone(&way)));
            return way;
        }
        let way = Arc::new(LoggedWay::lay(self.compiled(), self.engine(), at, destination));
        // A way that names an address is not another packet's of the same class; without tables there is but one class.
        if !way.journey.names_an_address() && !self.compiled().linear_only {
            if self.logged_ways.laid.len() >= MOST_WAYS {
                self.logged_ways.clear();
            }
            self.logged_ways.laid.insert(key, Arc::clone(&way));
        }
        way
    }
}

/// Whether something else than rules may decide about packets to an address: the platform's own are exempt from them, and
/// some are never carried (PLAT-1 to PLAT-4, PLAT-9).
fn is_special(destination: IpAddr) -> bool {
    is_never_carried(destination) || is_platform(destination)
}
