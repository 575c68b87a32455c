//! Rates, taken side by side: round after round each has its turn, so that what slows the machine slows all.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many turns each has, after one that does not count.
    pub(crate) rounds: usize,
    /// The least that a turn takes.
    pub(crate) turn: Duration,
}

/// A figure that was taken several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one figure.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let (middle, last) = (figures.len() / 2, figures.len() - 1);
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Self { median, least: figures[0], most: figures[last] }
    }

    /// Of figures in another unit.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, least: self.least * factor, most: self.most * factor }
    }
}

/// Work to measure: does it once, and tells how many operations that was.
pub(crate) type Work<'a> = &'a mut dyn FnMut() -> usize;

/// Operations a second of each, in their order.
pub(crate) fn side_by_side(effort: Effort, works: &mut [Work<'_>]) -> Vec<Spread> {
    let mut figures = vec![Vec::new(); works.len()];
    // Caches are filled, and branches learnt.
    for work in works.iter_mut() {
        work();
    }
    for _ in 0..effort.rounds {
        for (work, figures) in works.iter_mut().zip(&mut figures) {
            figures.push(rate(effort.turn, work));
        }
    }
    figures.into_iter().map(Spread::of).collect()
}

fn rate(turn: Duration, work: &mut dyn FnMut() -> usize) -> f64 {
    let begin = Instant::now();
    let mut operations = 0;
    loop {
        operations += work();
        let elapsed = begin.elapsed();
        if elapsed >= turn {
            return operations as f64 / elapsed.as_secs_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Effort, Spread, side_by_side};

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(spread(&[5.0]).median, 5.0);
    }

    #[test]
    fn each_has_as_many_turns() {
        let (mut one, mut other) = (0, 0);
        let effort = Effort { rounds: 3, turn: Duration::ZERO };
        let rates = side_by_side(
            effort,
            &mut [
                &mut || {
                    one += 1;
                    1
                },
                &mut || {
                    other += 1;
                    1
                },
            ],
        );
        assert_eq!((rates.len(), one, other), (2, 4, 4));
    }
}
