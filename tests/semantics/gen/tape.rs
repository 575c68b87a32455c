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

    /// One of these.
    pub(super) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// True for one number in `of`, and never once the tape is used up.
    pub(super) fn seldom(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }
}
