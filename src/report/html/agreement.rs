//! How what was recorded agrees with what is simulated, on the page.

use super::marks::{Count, Mark, share};
use crate::report::agreement::{AgreementReport, Kind};
use crate::report::names;
use crate::report::time::counted;

/// The section, where something was recorded.
pub(super) struct Agreement {
    /// How many agree.
    pub(super) lead: String,
    pub(super) kinds: Vec<Row>,
    /// Kinds that are not shown.
    pub(super) left_out: Option<String>,
}

/// Flows that one recorded rule and one rule here disagree about.
pub(super) struct Row {
    pub(super) recorded: Mark,
    pub(super) rule: String,
    pub(super) here: Mark,
    pub(super) decided_by: String,
    pub(super) flows: Count,
    /// Arguments for `explain`, and where the flow stands.
    pub(super) example: Option<(String, String)>,
}

/// How many kinds of disagreement are shown.
const SHOWN: usize = 200;

impl Agreement {
    pub(super) fn new(report: &AgreementReport<'_>) -> Self {
        let summary = report.summary();
        let agree = summary.agree_allow + summary.agree_deny;
        let mut lead = format!(
            "{} of {} ({}) have the verdict that was recorded",
            Count(agree),
            counted(summary.flows, "flow"),
            share(agree, summary.flows)
        );
        if summary.rules.compared > 0 {
            lead += &format!(
                "; of those whose record names a rule, {} of {} by the same one",
                Count(summary.rules.same),
                Count(summary.rules.compared)
            );
        }
        if summary.open > 0 {
            lead += &format!("; of {} the verdict is open here", counted(summary.open, "flow"));
        }
        let kinds = report.kinds();
        let left_out = kinds.len().saturating_sub(SHOWN) as u64;
        Self {
            lead,
            kinds: kinds.into_iter().take(SHOWN).map(row).collect(),
            left_out: (left_out > 0).then(|| counted(left_out, "more kind")),
        }
    }
}

fn row(kind: Kind<'_>) -> Row {
    let rule = kind.rule.as_ref();
    Row {
        recorded: Mark::of_access(kind.pair.access),
        rule: rule
            .map(|rule| format!("{}{}", rule.name, names::rule_kind_words(rule.kind)))
            .unwrap_or_default(),
        here: Mark::of(kind.pair.kind),
        decided_by: kind.decided_by,
        flows: Count(kind.flows),
        example: kind.example,
    }
}
