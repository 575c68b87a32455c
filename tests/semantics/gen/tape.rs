//! The numbers that a case is made of.

use proptest::prelude::*;

/// Numbers that decide everything.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    numbers: Vec<u8>,
    at: usize,
}

/// A tape of up to some hundred numbers more than a case reads.
pub(crate) fn tape() -> impl Strategy<Value = Tape> {
    proptest::collection::vec(any::<u8>(), 0..2500).prop_map(|numbers| Tape { numbers, at: 0 })
}

impl Tape {
    /// A number below `choices`.
    pub(crate) fn below(&mut self, choices: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % choices
    }

    /// A tape of as many numbers as are wanted, which hang on the next ones of this.
    pub(crate) fn longer(&mut self, count: usize) -> Self {
        let mut state = (0..8).fold(0_u64, |seed, _| seed << 8 | self.below(256) as u64);
        // SplitMix64, of Steele, Lea and Flood.
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_le_bytes()[0]
        };
        Self { numbers: (0..count).map(|_| next()).collect(), at: 0 }
    }

    /// One of these.
    pub(super) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// True for one number in `of`, and never once the tape is used up.
    pub(crate) fn seldom(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }
}
