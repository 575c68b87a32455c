//! Rule after rule: slow, and right at a glance. What the engines say is held against it.

use crate::headers::Header;
use crate::rules::{NONE, Rule};

/// The index of the first rule that each header fits.
pub(crate) fn first_matches(rules: &[Rule], headers: &[Header]) -> Vec<u32> {
    headers.iter().map(|header| first_match(rules, header)).collect()
}

/// The index of the first rule that the header fits.
pub(crate) fn first_match(rules: &[Rule], header: &Header) -> u32 {
    (0..).zip(rules).find(|(_, rule)| rule.fits(header)).map_or(NONE, |(index, _)| index)
}
