//! When a comparison ends with exit status 1.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::Status;
use crate::analyze::whatif::Change;
use crate::model::verdict::VerdictKind;

/// What ends with exit status 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum FailOn {
    /// Any flow with another verdict
    Any,
    /// A flow that the candidate denies and the base does not
    NewlyDenied,
    /// A flow that the candidate allows and the base does not
    NewlyAllowed,
    /// Nothing
    None,
}

impl FailOn {
    /// The status of a comparison that came to these changes.
    pub(super) fn status<T>(self, changes: &BTreeMap<Change, T>) -> Status {
        let kind = match self {
            Self::None => return Status::Clean,
            Self::Any if changes.is_empty() => return Status::Clean,
            Self::Any => return Status::Findings,
            Self::NewlyDenied => VerdictKind::Deny,
            Self::NewlyAllowed => VerdictKind::Allow,
        };
        let any = |holds: &dyn Fn(&Change) -> bool| changes.keys().any(holds);
        // A flow that had another verdict, and of which the candidate leaves open whether it now has this one.
        let could_be =
            any(&|change| change.candidate.kind == VerdictKind::Undetermined && change.base.kind != kind);
        // Where only some backends get the flow, it is newly denied if all did before, and newly allowed if none did.
        let opposite = if kind == VerdictKind::Deny { VerdictKind::Allow } else { VerdictKind::Deny };
        let partly =
            any(&|change| change.candidate.kind == VerdictKind::Mixed && change.base.kind == opposite);
        // A denied flow of a log has no packets.
        let newly = any(&|change| change.candidate.kind == kind);
        if partly || newly {
            Status::Findings
        } else if could_be {
            Status::Incomplete
        } else {
            Status::Clean
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FailOn, Status};
    use crate::analyze::whatif::{Change, Side};
    use crate::model::verdict::VerdictKind::{Allow, Deny, Undetermined};
    use crate::replay::tally::Decider;

    #[test]
    fn a_flow_that_could_be_newly_denied_is_no_clean_answer() {
        for (base, candidate, fail_on, expected) in [
            (Allow, Deny, FailOn::NewlyDenied, Status::Findings),
            (Undetermined, Deny, FailOn::NewlyDenied, Status::Findings),
            (Allow, Undetermined, FailOn::NewlyDenied, Status::Incomplete),
            (Deny, Undetermined, FailOn::NewlyDenied, Status::Clean),
            (Deny, Allow, FailOn::NewlyDenied, Status::Clean),
            (Deny, Allow, FailOn::NewlyAllowed, Status::Findings),
            (Deny, Undetermined, FailOn::NewlyAllowed, Status::Incomplete),
            (Allow, Undetermined, FailOn::NewlyAllowed, Status::Clean),
            (Allow, Undetermined, FailOn::Any, Status::Findings),
            (Allow, Deny, FailOn::None, Status::Clean),
        ] {
            let side = |kind| Side { decider: Decider::NoSecurityGroup, kind };
            let change = Change { base: side(base), candidate: side(candidate) };
            assert_eq!(
                fail_on.status(&BTreeMap::from([(change, ())])),
                expected,
                "{base} to {candidate}, {fail_on:?}"
            );
        }
        assert_eq!(FailOn::Any.status::<()>(&BTreeMap::new()), Status::Clean);
    }
}
