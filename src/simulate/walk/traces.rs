//! What a packet leaves in the flow table: for certain where it fared alike in all worlds, else with a doubt (STATE).

use super::{Leaf, Walk};
use crate::model::rule::Direction;
use crate::model::unknown::Unknown;
use crate::simulate::state::{Entrance, FlowKey, FlowRecord};

/// What a packet does to one record on its way.
#[derive(Clone, Copy)]
pub(super) struct Touch {
    pub(super) key: FlowKey,
    pub(super) how: How,
}

/// How it touches it.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// It goes on by it, this way.
    Continues(Direction),
    /// Rules let it in: it opens a flow.
    Opens {
        /// Which way.
        direction: Direction,
        /// By what it came in.
        entered: Option<Entrance>,
        /// How long what translates the flow on the whole way remembers it (STATE-15).
        translated_min: Option<u32>,
    },
    /// No record counts for it: it starts anew (STATE-7), or there is none in this world.
    Misses,
}

/// What becomes of a record.
pub(in crate::simulate) enum Trace {
    /// The packet went on by it.
    Continued(FlowKey, Direction),
    /// This is the record now.
    Kept(FlowKey, FlowRecord),
    /// There is none any more.
    Ended(FlowKey),
}

/// A record after a packet in one world.
struct After {
    record: Option<FlowRecord>,
    /// The packet opened it.
    is_new: bool,
}

impl Walk<'_> {
    /// What a packet leaves that fares in one way only.
    pub(super) fn certain_traces(&self, leaf: &Leaf) -> Vec<Trace> {
        let touches = &leaf.met.touches;
        let trace = |(position, touch): (usize, &Touch)| match touch.how {
            How::Continues(direction) => Some(Trace::Continued(touch.key, direction)),
            How::Opens { .. } => Some(
                self.opened(touch)
                    .map_or_else(|| Trace::Ended(touch.key), |record| Trace::Kept(touch.key, record)),
            ),
            // The record that takes its place comes later.
            How::Misses => {
                let replaced = touches[position..].iter().any(|later| later.opens(touch.key));
                (!replaced).then_some(Trace::Ended(touch.key))
            }
        };
        touches.iter().enumerate().filter_map(trace).collect()
    }

    /// What a packet leaves that fares in several ways: a record that the worlds do not agree on hangs on `because`. In
    /// a world that was not tried nothing has changed.
    pub(super) fn doubtful_traces(&self, leaves: &[&Leaf], tried_all: bool, because: &Unknown) -> Vec<Trace> {
        if self.flows.is_none() {
            return Vec::new();
        }
        let touches = || leaves.iter().flat_map(|leaf| &leaf.met.touches);
        let mut keys: Vec<FlowKey> = Vec::new();
        for touch in touches() {
            if !keys.contains(&touch.key) {
                keys.push(touch.key);
            }
        }
        let trace = |key: FlowKey| {
            let mut worlds: Vec<After> =
                leaves.iter().map(|leaf| self.after(key, &leaf.met.touches)).collect();
            if !tried_all {
                worlds.push(After { record: self.alive(key).cloned(), is_new: false });
            }
            match agreed(worlds, because) {
                None => Trace::Ended(key),
                Some(record) => Trace::Kept(key, record),
            }
        };
        keys.into_iter().map(trace).collect()
    }

    /// One record after all that a packet did to it in one world. Of several members of a load balancer each leaves
    /// what it would leave alone (LB-6).
    fn after(&self, key: FlowKey, touches: &[Touch]) -> After {
        let before = self.alive(key);
        let mut after = After { record: before.cloned(), is_new: false };
        for touch in touches.iter().filter(|touch| touch.key == key) {
            match touch.how {
                How::Continues(direction) => {
                    if let Some(record) = &mut after.record {
                        record.set_doubt(None);
                        if record.pass(direction, self.time_ns, self.packet.tcp) {
                            after.record = None;
                        }
                    }
                }
                How::Opens { .. } => after = After { record: self.opened(touch), is_new: true },
                How::Misses if before.is_some() => after.record = None,
                How::Misses => {}
            }
        }
        after
    }

    /// The record as the packet finds it.
    fn alive(&self, key: FlowKey) -> Option<&FlowRecord> {
        self.flows?.alive(&key, self.time_ns, self.compiled.idle_timeout_ns(key.interface()))
    }

    /// The record that the packet opens; nothing if the flow ends with it: a reset or a FIN that the rules let through
    /// in mid-stream (STATE-8) leaves its mark like any other.
    fn opened(&self, touch: &Touch) -> Option<FlowRecord> {
        let How::Opens { direction, entered, translated_min } = touch.how else { return None };
        let mut record = FlowRecord::new(direction, entered, translated_min, self.time_ns);
        (!record.pass(direction, self.time_ns, self.packet.tcp)).then_some(record)
    }
}

impl Touch {
    fn opens(&self, key: FlowKey) -> bool {
        self.key == key && matches!(self.how, How::Opens { .. })
    }
}

/// One record from those of all worlds: of several the latest, and among those one whose replies are translated.
fn agreed(worlds: Vec<After>, because: &Unknown) -> Option<FlowRecord> {
    let everywhere = worlds.iter().all(|world| world.record.is_some());
    let mut found: Vec<(FlowRecord, bool)> =
        worlds.into_iter().filter_map(|world| Some((world.record?, world.is_new))).collect();
    let ((first, first_is_new), others) = found.split_first()?;
    // A flow that began anew in one world was over in another that did not see the packet.
    let same = |(other, is_new): &(FlowRecord, bool)| {
        let age = is_new == first_is_new || other.last_ns == first.last_ns;
        age && other.doubt() == first.doubt() && other.entered == first.entered
    };
    let alike = others.iter().all(same);
    let doubt = || found.iter().find_map(|(record, _)| record.doubt().cloned());
    let doubt = if everywhere && alike {
        first.doubt().cloned()
    } else {
        Some(doubt().unwrap_or_else(|| because.root().clone()))
    };
    let rank = |position: &usize| {
        let record = &found[*position].0;
        (record.entered.is_some(), record.last_ns)
    };
    let latest = (0..found.len()).rev().max_by_key(rank)?;
    let (mut record, _) = found.swap_remove(latest);
    record.set_doubt(doubt.map(Box::new));
    Some(record)
}
