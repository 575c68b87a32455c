//! Which instructions the batches of look-ups are compiled to: those of every processor, or those of newer ones.
//!
//! The only module with `unsafe` code. What runs is one and the same source, compiled once for each path; how eight
//! numbers are compared at once is all that is written for one of them.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "vector loads and calls by processor features")
)]

use std::sync::OnceLock;

/// How many numbers are compared at once.
pub(super) const LANES: usize = 8;

/// How eight numbers are compared.
pub(super) trait Lanes: Copy {
    /// How many of the numbers, which ascend, are no higher than `limit`.
    fn count_up_to(self, numbers: &[u16; LANES], limit: u16) -> usize;
}

/// One by one.
#[derive(Clone, Copy)]
pub(super) struct OneByOne;

impl Lanes for OneByOne {
    #[inline(always)]
    fn count_up_to(self, numbers: &[u16; LANES], limit: u16) -> usize {
        numbers.iter().map(|&number| usize::from(number <= limit)).sum()
    }
}

/// In one vector of 128 bits. SSE2 is part of every x86-64 processor.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Vector128;

#[cfg(target_arch = "x86_64")]
impl Lanes for Vector128 {
    #[inline(always)]
    fn count_up_to(self, numbers: &[u16; LANES], limit: u16) -> usize {
        use std::arch::x86_64::{
            _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi16, _mm_setzero_si128,
            _mm_subs_epu16,
        };
        // SAFETY: the array is 16 bytes, all of them initialised, and the load asks for no alignment.
        let numbers = unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) };
        // SAFETY: SSE2 is part of every x86-64 processor.
        let mask = unsafe {
            let above = _mm_subs_epu16(numbers, _mm_set1_epi16(limit.cast_signed()));
            _mm_movemask_epi8(_mm_cmpeq_epi16(above, _mm_setzero_si128()))
        };
        // Two bits for each number, the first one's lowest.
        (mask.cast_unsigned().trailing_ones() / 2) as usize
    }
}

/// For single look-ups, which are not worth a choice.
#[cfg(target_arch = "x86_64")]
pub(super) const SINGLE: Vector128 = Vector128;
/// For single look-ups, which are not worth a choice.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const SINGLE: OneByOne = OneByOne;

/// The instructions that batches use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instructions {
    /// No vectors that are written as such.
    Portable,
    /// Vectors of 128 bits: every x86-64 processor.
    Sse2,
    /// The same source with everything that came with AVX2, shifts and counts of bits among them.
    Avx2,
}

/// The environment variable that chooses: `portable`, `sse2` or `avx2`.
pub const INSTRUCTIONS_VARIABLE: &str = "NSGSIM_INSTRUCTIONS";

impl Instructions {
    /// What this processor has, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                available.push(Self::Avx2);
            }
            available.push(Self::Sse2);
        }
        available.push(Self::Portable);
        available
    }

    /// What batches use in this process: what [`INSTRUCTIONS_VARIABLE`] names, otherwise the best that there is.
    ///
    /// # Panics
    ///
    /// If the variable names what this processor does not have, or nothing known: a measurement or a test that asked for
    /// certain instructions must not run with others.
    #[must_use]
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<Instructions> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::asked_for().unwrap_or_else(|message| panic!("{message}")))
    }

    /// What [`INSTRUCTIONS_VARIABLE`] names, otherwise the best that there is.
    ///
    /// # Errors
    ///
    /// Fails if the variable names what this processor does not have, or nothing known; says what it has.
    pub fn asked_for() -> Result<Self, String> {
        let available = Self::available();
        let Some(name) = std::env::var_os(INSTRUCTIONS_VARIABLE) else { return Ok(available[0]) };
        available.iter().copied().find(|known| name == known.name()).ok_or_else(|| {
            let names: Vec<&str> = available.iter().map(|known| known.name()).collect();
            let (name, names) = (name.display(), names.join(", "));
            format!("{INSTRUCTIONS_VARIABLE}: `{name}`: expected one of those of this processor: {names}")
        })
    }

    /// As [`INSTRUCTIONS_VARIABLE`] names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Sse2 => "sse2",
            Self::Avx2 => "avx2",
        }
    }
}

/// Has the cache line at which a value begins brought into the caches, and does not wait for it.
#[inline(always)]
pub(crate) fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of every x86-64 processor, and a prefetch has no effect but on speed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// What is done for a whole batch, with one kind of vectors.
pub(super) trait Batch {
    fn run(self, lanes: impl Lanes);
}

/// Runs a batch with the instructions that were chosen.
pub(super) fn dispatch(batch: impl Batch) {
    match Instructions::chosen() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => {
            // SAFETY: `chosen` names nothing that the processor does not have.
            unsafe { run_with_avx2(batch) }
        }
        #[cfg(target_arch = "x86_64")]
        Instructions::Sse2 => batch.run(Vector128),
        _ => batch.run(OneByOne),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_with_avx2(batch: impl Batch) {
    batch.run(Vector128);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Lanes, OneByOne, SINGLE};

    proptest! {
        #[test]
        fn a_vector_counts_as_one_by_one_does(mut numbers: [u16; 8], limit: u16, place in 0_usize..8) {
            numbers.sort_unstable();
            for limit in [limit, numbers[place], numbers[place].wrapping_add(1), numbers[place].wrapping_sub(1)] {
                prop_assert_eq!(SINGLE.count_up_to(&numbers, limit), OneByOne.count_up_to(&numbers, limit));
            }
        }
    }
}
