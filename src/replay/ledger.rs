//! What became of every record that was read: nothing is dropped silently.

use std::collections::BTreeMap;

use crate::model::reason_code::ReasonCode;
use crate::model::record::Location;

/// Records without a verdict of their own, by the reason for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bucket {
    /// How many for each reason, and where the first stands.
    pub by_reason: BTreeMap<ReasonCode, Occurrences>,
}

/// How often something happened, and where first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Occurrences {
    /// How often.
    pub count: u64,
    /// Where first.
    pub first: Location,
}

impl Bucket {
    fn add(&mut self, reason: ReasonCode, location: Location) {
        let entry = self.by_reason.entry(reason).or_insert(Occurrences { count: 0, first: location });
        entry.count += 1;
        entry.first = entry.first.min(location);
    }

    fn merge(&mut self, other: &Self) {
        for (reason, occurrences) in &other.by_reason {
            let entry =
                self.by_reason.entry(*reason).or_insert(Occurrences { count: 0, first: occurrences.first });
            entry.count += occurrences.count;
            entry.first = entry.first.min(occurrences.first);
        }
    }

    /// How many records it holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.values().map(|occurrences| occurrences.count).sum()
    }
}

/// Where every record went: `read = evaluated + out_of_scope + undetermined + skipped`.
///
/// Ledgers add up in any order and grouping.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Records read.
    pub read: u64,
    /// Records with a verdict.
    pub evaluated: u64,
    /// Records that are not this network's, or that Azure does not filter.
    pub out_of_scope: Bucket,
    /// Records whose verdict hangs on something that the inputs do not hold.
    pub undetermined: Bucket,
    /// Records that could not be understood.
    pub skipped: Bucket,
    /// Flow records that left a full table while they were alive: their later packets were judged as new flows.
    pub evicted_flows: u64,
}

impl Ledger {
    /// A record with a verdict.
    pub fn evaluated(&mut self) {
        self.read += 1;
        self.evaluated += 1;
    }

    /// A record that is not this network's.
    pub fn out_of_scope(&mut self, reason: ReasonCode, location: Location) {
        self.read += 1;
        self.out_of_scope.add(reason, location);
    }

    /// A record whose verdict is open.
    pub fn undetermined(&mut self, reason: ReasonCode, location: Location) {
        self.read += 1;
        self.undetermined.add(reason, location);
    }

    /// A record that could not be understood.
    pub fn skipped(&mut self, reason: ReasonCode, location: Location) {
        self.read += 1;
        self.skipped.add(reason, location);
    }

    /// Adds another ledger to this one.
    pub fn merge(&mut self, other: &Self) {
        self.read += other.read;
        self.evaluated += other.evaluated;
        self.out_of_scope.merge(&other.out_of_scope);
        self.undetermined.merge(&other.undetermined);
        self.skipped.merge(&other.skipped);
        self.evicted_flows += other.evicted_flows;
    }

    /// Checks that the ledger adds up to the records that were handed in.
    ///
    /// # Panics
    ///
    /// Panics if it does not: a record was lost, which must never go unnoticed.
    pub fn assert_adds_up(&self, handed_in: u64) {
        let accounted =
            self.evaluated + self.out_of_scope.total() + self.undetermined.total() + self.skipped.total();
        assert_eq!(self.read, handed_in, "every record that was handed in is read");
        assert_eq!(self.read, accounted, "every record that was read is in one bucket");
    }
}
