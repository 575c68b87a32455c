//! Flows by when they began, in stretches of time that widen as the flows lie further apart.

use std::collections::BTreeMap;

use super::{ByVerdict, Volume};
use crate::model::verdict::VerdictKind;

/// How many stretches there are at most from the first flow to the last.
pub const MOST_STRETCHES: u64 = 120;

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;

/// How wide a stretch may be, in nanoseconds.
///
/// INVARIANT: each is a multiple of the one before, so that narrow stretches make up wide ones whatever came first; the
/// widest spans all times in [`MOST_STRETCHES`].
const WIDTHS_NS: [u64; 23] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    SECOND_NS,
    5 * SECOND_NS,
    10 * SECOND_NS,
    30 * SECOND_NS,
    60 * SECOND_NS,
    300 * SECOND_NS,
    600 * SECOND_NS,
    1_800 * SECOND_NS,
    3_600 * SECOND_NS,
    3 * 3_600 * SECOND_NS,
    6 * 3_600 * SECOND_NS,
    12 * 3_600 * SECOND_NS,
    DAY_NS,
    7 * DAY_NS,
    28 * DAY_NS,
    364 * DAY_NS,
    3_640 * DAY_NS,
];

/// Flows by when they began.
///
/// The width of its stretches hangs on the first and the last flow alone: the narrowest that needs no more than
/// [`MOST_STRETCHES`]. So the order of flows does not show.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Timeline {
    /// Position in [`WIDTHS_NS`].
    width: usize,
    /// By their numbers: the time of their beginnings in units of the width.
    stretches: BTreeMap<u64, ByVerdict>,
    /// Flows of which no time is known.
    pub untimed: ByVerdict,
}

impl Timeline {
    /// Takes a flow that began at a time in nanoseconds since 1970-01-01; 0 stands for a time that nobody knows.
    pub(super) fn add(&mut self, first_ns: u64, kind: VerdictKind, volume: &Volume) {
        if first_ns == 0 {
            self.untimed.add(kind, volume);
            return;
        }
        self.stretches.entry(first_ns / self.width_ns()).or_default().add(kind, volume);
        self.widen();
    }

    /// Adds another timeline to this one.
    pub(super) fn merge(&mut self, other: &Self) {
        self.untimed.merge(&other.untimed);
        while self.width < other.width {
            self.next_width();
        }
        let times = WIDTHS_NS[self.width] / WIDTHS_NS[other.width];
        for (number, volumes) in &other.stretches {
            self.stretches.entry(number / times).or_default().merge(volumes);
        }
        self.widen();
    }

    /// How wide a stretch is, in nanoseconds.
    #[must_use]
    pub fn width_ns(&self) -> u64 {
        WIDTHS_NS[self.width]
    }

    /// Stretches with flows, by the times of their beginnings in nanoseconds since 1970-01-01, in order.
    pub fn stretches(&self) -> impl DoubleEndedIterator<Item = (u64, &ByVerdict)> {
        let width_ns = self.width_ns();
        self.stretches.iter().map(move |(number, volumes)| (number * width_ns, volumes))
    }

    fn widen(&mut self) {
        let count = |stretches: &BTreeMap<u64, ByVerdict>| {
            let (first, last) = (stretches.first_key_value(), stretches.last_key_value());
            first.zip(last).map_or(0, |((first, _), (last, _))| last - first + 1)
        };
        while count(&self.stretches) > MOST_STRETCHES {
            self.next_width();
        }
    }

    fn next_width(&mut self) {
        let times = WIDTHS_NS[self.width + 1] / WIDTHS_NS[self.width];
        self.width += 1;
        let mut wide: BTreeMap<u64, ByVerdict> = BTreeMap::new();
        for (number, volumes) in &self.stretches {
            wide.entry(number / times).or_default().merge(volumes);
        }
        self.stretches = wide;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Volume;
    use super::{MOST_STRETCHES, Timeline, WIDTHS_NS};
    use crate::model::verdict::VerdictKind;

    fn timeline(times_ns: &[u64]) -> Timeline {
        let mut timeline = Timeline::default();
        for time_ns in times_ns {
            timeline.add(*time_ns, VerdictKind::Allow, &Volume { flows: 1, packets: 2, bytes: 3 });
        }
        timeline
    }

    #[test]
    fn each_width_is_a_multiple_of_the_one_before_and_the_widest_spans_all_times() {
        assert!(WIDTHS_NS.windows(2).all(|pair| pair[1] > pair[0] && pair[1] % pair[0] == 0));
        assert!(u64::MAX / WIDTHS_NS[WIDTHS_NS.len() - 1] < MOST_STRETCHES);
    }

    #[test]
    fn two_flows_a_minute_apart_are_told_apart_by_the_second() {
        let timeline = timeline(&[1_000_000_000, 61_000_000_000]);
        assert_eq!(timeline.width_ns(), 1_000_000_000);
        let begins: Vec<u64> = timeline.stretches().map(|(begin_ns, _)| begin_ns).collect();
        assert_eq!(begins, [1_000_000_000, 61_000_000_000]);
    }

    #[test]
    fn a_flow_without_a_time_does_not_stretch_the_rest() {
        let timeline = timeline(&[0, 1_700_000_000_000_000_000, 1_700_000_000_000_002_000]);
        assert_eq!((timeline.width_ns(), timeline.untimed.all().flows), (1_000, 1));
    }

    proptest! {
        #[test]
        fn the_order_and_grouping_of_flows_do_not_show(
            times in prop::collection::vec(prop_oneof![0..2_000_000_u64, 0..u64::MAX, 17_u64..18], 0..60),
            cut in 0..60_usize,
        ) {
            let whole = timeline(&times);
            let (one, other) = times.split_at(cut.min(times.len()));
            let mut merged = timeline(other);
            merged.merge(&timeline(one));
            prop_assert_eq!(&merged, &whole);
            let span: Vec<u64> = whole.stretches().map(|(begin_ns, _)| begin_ns / whole.width_ns()).collect();
            prop_assert!(span.last().zip(span.first()).is_none_or(|(last, first)| last - first < MOST_STRETCHES));
            let flows: u64 = whole.stretches().map(|(_, volumes)| volumes.all().flows).sum();
            prop_assert_eq!(flows + whole.untimed.all().flows, times.len() as u64);
        }
    }
}
