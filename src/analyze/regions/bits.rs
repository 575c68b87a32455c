//! Sets of small numbers, as words of bits.

/// A set of numbers below a bound that the sets of one purpose share.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::analyze) struct Bits(Box<[u64]>);

impl Bits {
    /// None of the numbers below `bound`.
    pub(in crate::analyze) fn none(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)].into())
    }

    /// These numbers, all below `bound`.
    pub(in crate::analyze) fn of(bound: usize, numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut bits = Self::none(bound);
        numbers.into_iter().for_each(|number| bits.insert(number));
        bits
    }

    pub(in crate::analyze) fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Adds a number that is not there, or takes it away.
    pub(in crate::analyze) fn toggle(&mut self, number: usize) {
        self.0[number / 64] ^= 1 << (number % 64);
    }

    pub(in crate::analyze) fn contains(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    pub(in crate::analyze) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether both have a number in common with the third.
    pub(in crate::analyze) fn meet(&self, other: &Self, third: &Self) -> bool {
        let mut words = self.0.iter().zip(&other.0).zip(&third.0);
        words.any(|((one, other), third)| one & other & third != 0)
    }

    /// Whether the other holds all of these.
    pub(in crate::analyze) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, other)| one & !other == 0)
    }

    pub(in crate::analyze) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    /// Adds the numbers of another set.
    pub(in crate::analyze) fn add(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    /// Takes the numbers of another set away.
    pub(in crate::analyze) fn remove(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    /// The numbers, ascending.
    pub(in crate::analyze) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let number = (left != 0).then(|| place * 64 + left.trailing_zeros() as usize);
                left &= left.wrapping_sub(1);
                number
            })
        })
    }
}
