//! Zipf's law: how unevenly things are asked for.

use thiserror::Error;

/// Ranks of which the first is asked for most: the share of the `n`th is as 1 to `n` to the power of the exponent.
#[derive(Clone, Debug, PartialEq)]
pub struct Zipf {
    exponent: f64,
    /// The share that a rank and those before it have, times an arbitrary constant. INVARIANT: never empty.
    sums: Vec<f64>,
}

/// An exponent that spreads nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("skew `{0}`: expected a number from 0 to 10")]
pub struct ZipfError(pub f64);

impl Zipf {
    /// The law over this many ranks; one, where none is asked for.
    ///
    /// # Errors
    ///
    /// Fails on an exponent outside 0 (all ranks alike) to 10 (hardly anything but the first).
    pub fn new(exponent: f64, ranks: usize) -> Result<Self, ZipfError> {
        if !(0.0..=10.0).contains(&exponent) {
            return Err(ZipfError(exponent));
        }
        let mut sum = 0.0;
        let sums = (1..=ranks.max(1)).map(|rank| {
            // LIMIT: the last bit of `powf` may differ between platforms, and with it, once in 2^50 draws, a rank.
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Ok(Self { exponent, sums: sums.collect() })
    }

    /// The exponent.
    #[must_use]
    pub fn exponent(&self) -> f64 {
        self.exponent
    }

    /// How many ranks there are.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.sums.len()
    }

    /// The rank, from 0, that a point between 0 and 1 falls on: points that lie evenly give ranks by their shares.
    #[must_use]
    pub fn rank(&self, point: f64) -> usize {
        let last = self.sums.len() - 1;
        let point = point * self.sums[last];
        self.sums.partition_point(|sum| *sum <= point).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::{Zipf, ZipfError};

    #[test]
    fn shares_fall_as_the_law_says() {
        // 1 + 1/2 + 1/3 + 1/4 = 25/12: the ranks have 0.48, 0.24, 0.16 and 0.12 of all.
        let zipf = Zipf::new(1.0, 4).unwrap();
        let ranks = [0.0, 0.47, 0.49, 0.71, 0.73, 0.87, 0.89, 1.0].map(|point| zipf.rank(point));
        assert_eq!(ranks, [0, 0, 1, 1, 2, 2, 3, 3]);
        // Without a slope all are alike.
        let even = Zipf::new(0.0, 4).unwrap();
        assert_eq!([0.2, 0.3, 0.6, 0.9].map(|point| even.rank(point)), [0, 1, 2, 3]);
    }

    #[test]
    fn exponents_end_at_ten_and_ranks_begin_at_one() {
        assert_eq!(Zipf::new(10.5, 4), Err(ZipfError(10.5)));
        assert_eq!(Zipf::new(-0.1, 4), Err(ZipfError(-0.1)));
        assert!(Zipf::new(f64::NAN, 4).is_err());
        assert_eq!(Zipf::new(10.0, 0).map(|zipf| zipf.ranks()), Ok(1));
    }
}
