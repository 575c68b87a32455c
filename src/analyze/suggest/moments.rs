//! When flows began, kept short: enough to part them by time.

use std::collections::BTreeMap;

/// How many moments are told apart; beyond them two become one.
const MOST_MOMENTS: usize = 1 << 16;

/// How many flows began when.
#[derive(Clone, Debug)]
pub struct Moments {
    /// By their times in units of the width.
    flows: BTreeMap<u64, u64>,
    width_ns: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { flows: BTreeMap::new(), width_ns: 1 }
    }
}

impl Moments {
    /// Takes a flow that began at a time in nanoseconds since 1970-01-01; 0 stands for a time that nobody knows.
    pub fn add(&mut self, first_ns: u64) {
        *self.flows.entry(first_ns / self.width_ns).or_default() += 1;
        while self.flows.len() > MOST_MOMENTS {
            self.width_ns *= 2;
            let mut wide = BTreeMap::new();
            for (moment, flows) in &self.flows {
                *wide.entry(moment / 2).or_default() += flows;
            }
            self.flows = wide;
        }
    }

    /// The time before which a share of the flows began, as nearly as their times can be told apart: no fewer than this
    /// share, and all but some. Nothing where they cannot be parted.
    #[must_use]
    pub fn parting_ns(&self, share: f64) -> Option<u64> {
        let all: u64 = self.flows.values().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut before = 0;
        for (place, (moment, flows)) in self.flows.iter().enumerate() {
            let is_last = place + 1 == self.flows.len();
            if before > 0 && (before >= wanted || is_last) {
                return Some(moment * self.width_ns);
            }
            before += flows;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_MOMENTS, Moments};

    fn of(times: impl IntoIterator<Item = u64>) -> Moments {
        let mut moments = Moments::default();
        times.into_iter().for_each(|time| moments.add(time));
        moments
    }

    #[test]
    fn the_first_share_of_the_flows_lies_before_the_time() {
        assert_eq!(of(1..=10).parting_ns(0.8), Some(9));
        assert_eq!(of([5, 5, 5, 5, 9]).parting_ns(0.8), Some(9));
        // What began together stays together, and something is left for the rest.
        assert_eq!(of([5, 9, 9, 9, 9]).parting_ns(0.8), Some(9));
        assert_eq!(of([7, 7, 7]).parting_ns(0.8), None);
        assert_eq!(of([]).parting_ns(0.8), None);
    }

    #[test]
    fn many_moments_are_told_apart_less_finely_in_any_order() {
        let most = MOST_MOMENTS as u64;
        let (forward, back) = (of(0..most * 3), of((0..most * 3).rev()));
        assert!(forward.flows.len() <= MOST_MOMENTS);
        assert_eq!(forward.parting_ns(0.5), back.parting_ns(0.5));
        let parting = forward.parting_ns(0.5).unwrap_or_default();
        assert!((most * 3 / 2..most * 3 / 2 + 8).contains(&parting), "{parting}");
    }
}
