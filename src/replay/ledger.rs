//! What became of every record that was read: nothing is dropped silently.

use std::collections::BTreeMap;

use crate::model::reason_code::ReasonCode;
use crate::model::record::Location;
use crate::model::verdict::VerdictKind;

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
    fn add(&mut self, reason: ReasonCode, location: Location, count: u64) {
        let entry = self.by_reason.entry(reason).or_insert(Occurrences { count: 0, first: location });
        entry.count += count;
        entry.first = entry.first.min(location);
    }

    fn merge(&mut self, other: &Self) {
        for (reason, Occurrences { count, first }) in &other.by_reason {
            self.add(*reason, *first, *count);
        }
    }

    /// How many records it holds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.values().map(|occurrences| occurrences.count).sum()
    }
}

/// Records with a verdict, by what it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Evaluated {
    /// Allowed.
    pub allow: u64,
    /// Denied.
    pub deny: u64,
    /// Allowed by some backends of a load balancer and denied by others.
    pub mixed: u64,
}

impl Evaluated {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.allow + self.deny + self.mixed
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
    pub evaluated: Evaluated,
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
    ///
    /// # Panics
    ///
    /// If the verdict is open: such a record goes to [`Ledger::undetermined`].
    #[inline]
    pub fn evaluated(&mut self, kind: VerdictKind) {
        self.read += 1;
        match kind {
            VerdictKind::Allow => self.evaluated.allow += 1,
            VerdictKind::Deny => self.evaluated.deny += 1,
            VerdictKind::Mixed => self.evaluated.mixed += 1,
            VerdictKind::Undetermined => unreachable!("an open verdict has a reason"),
        }
    }

    /// A record that is not this network's.
    pub fn out_of_scope(&mut self, reason: ReasonCode, location: Location) {
        self.read += 1;
        self.out_of_scope.add(reason, location, 1);
    }

    /// A record whose verdict is open.
    pub fn undetermined(&mut self, reason: ReasonCode, location: Location) {
        self.read += 1;
        self.undetermined.add(reason, location, 1);
    }

    /// A record that could not be understood.
    pub fn skipped(&mut self, reason: ReasonCode, location: Location) {
        self.skipped_together(reason, location, 1);
    }

    /// Several records that could not be understood, the first of which stands here.
    pub fn skipped_together(&mut self, reason: ReasonCode, location: Location, count: u64) {
        self.read += count;
        self.skipped.add(reason, location, count);
    }

    /// Adds another ledger to this one.
    pub fn merge(&mut self, other: &Self) {
        self.read += other.read;
        self.evaluated.allow += other.evaluated.allow;
        self.evaluated.deny += other.evaluated.deny;
        self.evaluated.mixed += other.evaluated.mixed;
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
        let accounted = self.evaluated.total()
            + self.out_of_scope.total()
            + self.undetermined.total()
            + self.skipped.total();
        assert_eq!(self.read, handed_in, "every record that was handed in is read");
        assert_eq!(self.read, accounted, "every record that was read is in one bucket");
    }
}
