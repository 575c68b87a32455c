//! How much what was found weighs, and what of it is put up with.

use jiff::civil::Date;

use super::Found;
use crate::model::finding::Finding;
use crate::model::lint::{Check, LintConfig, Severity, Waiver};
use crate::model::network::Network;

/// Something that was found, with its weight.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// What.
    pub what: What,
    /// How much it weighs.
    pub severity: Severity,
    /// The waiver that puts up with it, by its position in [`LintConfig::waivers`].
    pub waived_by: Option<usize>,
}

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// In the rules.
    Found(Found),
    /// In the input.
    Finding(Finding),
    /// A waiver that is [expired](Check::ExpiredWaiver) or [unused](Check::UnusedWaiver), by its position.
    Waiver(Check, usize),
}

impl What {
    /// Which check found it.
    #[must_use]
    pub fn check(&self) -> Check {
        match self {
            Self::Found(found) => found.check,
            Self::Finding(finding) => Check::Validation(finding.code),
            Self::Waiver(check, _) => *check,
        }
    }
}

/// What is looked for, and how much each of it weighs.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these, where there are any.
    pub only: Vec<Check>,
    /// These too.
    pub enabled: Vec<Check>,
    /// Not these.
    pub disabled: Vec<Check>,
    /// What the configuration says.
    pub config: LintConfig,
}

impl Selection {
    /// How much a check weighs; nothing where it is not looked for. What is asked for by name goes ahead of the
    /// configuration.
    #[must_use]
    pub fn severity(&self, check: Check) -> Option<Severity> {
        let configured = self.config.severities.get(&check).copied();
        let is_named = self.only.contains(&check) || self.enabled.contains(&check);
        let is_left_out = self.disabled.contains(&check) || (!self.only.is_empty() && !is_named);
        match configured {
            _ if is_left_out => None,
            Some(Some(severity)) => Some(severity),
            Some(None) if !is_named => None,
            None if !is_named && !check.is_usual() => None,
            Some(None) | None => Some(check.usual_severity()),
        }
    }
}

/// Everything that was found and is looked for, with its weight: what shows in the input, what shows in the rules, and what
/// is odd about waivers. `today` is the day by which waivers expire.
#[must_use]
pub fn judge(
    network: &Network,
    findings: Vec<Finding>,
    found: Vec<Found>,
    selection: &Selection,
    today: Date,
) -> Vec<Judged> {
    let waivers = &selection.config.waivers;
    let is_expired = |waiver: &Waiver| today > waiver.expires;
    let mut is_used = vec![false; waivers.len()];
    let mut judged = Vec::new();
    let all = found.into_iter().map(What::Found).chain(findings.into_iter().map(What::Finding));
    for what in all {
        let Some(severity) = selection.severity(what.check()) else { continue };
        let answers = |waiver: &Waiver| waiver.check == what.check() && is_about(network, waiver, &what);
        let mut waived_by = None;
        for (position, waiver) in waivers.iter().enumerate().filter(|(_, waiver)| answers(waiver)) {
            is_used[position] = true;
            if waived_by.is_none() && !is_expired(waiver) {
                waived_by = Some(position);
            }
        }
        judged.push(Judged { what, severity, waived_by });
    }
    for (position, waiver) in waivers.iter().enumerate() {
        let check = match is_expired(waiver) {
            true => Check::ExpiredWaiver,
            false if is_used[position] => continue,
            // Nobody looked.
            false if selection.severity(waiver.check).is_none() => continue,
            false => Check::UnusedWaiver,
        };
        if let Some(severity) = selection.severity(check) {
            judged.push(Judged { what: What::Waiver(check, position), severity, waived_by: None });
        }
    }
    judged
}

/// Whether a waiver is about the NSG and rule of something that was found.
fn is_about(network: &Network, waiver: &Waiver, what: &What) -> bool {
    let same = |pattern: &str, name: Option<&str>| {
        pattern == "*" || name.is_some_and(|name| name.eq_ignore_ascii_case(pattern))
    };
    match what {
        What::Found(found) => {
            let nsg = &network.nsgs[found.nsg.get()];
            let rule = found.rule.map(|rule| nsg.rules[rule as usize].name.as_str());
            (same(&waiver.nsg, Some(nsg.id.name())) || same(&waiver.nsg, Some(nsg.id.as_str())))
                && same(&waiver.rule, rule)
        }
        // Its NSG is named by ID where others share its name (SIM-8).
        What::Finding(finding) => {
            same(&waiver.nsg, finding.nsg.as_deref()) && same(&waiver.rule, finding.rule.as_deref())
        }
        What::Waiver(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Selection, judge};
    use crate::analyze::lint::judged::What;
    use crate::model::finding::{Finding, FindingCode};
    use crate::model::lint::{Check, LintConfig, Severity, Waiver};
    use crate::model::network::Network;

    fn finding(nsg: Option<&str>) -> Finding {
        Finding {
            place: "nsg.json#".to_owned(),
            code: FindingCode::InvalidPortRange,
            nsg: nsg.map(str::to_owned),
            rule: nsg.map(|_| "web".to_owned()),
            message: String::new(),
        }
    }

    fn waiver(nsg: &str, rule: &str, expires: &str) -> Waiver {
        Waiver {
            place: "lint.yaml:1:1".to_owned(),
            check: Check::Validation(FindingCode::InvalidPortRange),
            nsg: nsg.to_owned(),
            rule: rule.to_owned(),
            reason: "known".to_owned(),
            expires: expires.parse().unwrap(),
        }
    }

    fn of(waivers: Vec<Waiver>, finding: Finding) -> Vec<(&'static str, Severity, Option<usize>)> {
        let config = LintConfig { waivers, ..LintConfig::default() };
        let selection = Selection { config, ..Selection::default() };
        let today = "2026-12-31".parse().unwrap();
        let judged = judge(&Network::default(), vec![finding], Vec::new(), &selection, today);
        let each = judged.into_iter().map(|one| {
            if let What::Waiver(check, position) = one.what {
                return (check.id(), one.severity, Some(position));
            }
            (one.what.check().id(), one.severity, one.waived_by)
        });
        each.collect()
    }

    #[test]
    fn a_waiver_counts_on_its_last_day_and_not_on_the_next() {
        let code = "InvalidPortRange";
        assert_eq!(
            of(vec![waiver("A", "web", "2026-12-31")], finding(Some("a"))),
            [(code, Severity::Error, Some(0))]
        );
        assert_eq!(
            of(vec![waiver("A", "web", "2026-12-30")], finding(Some("a"))),
            [(code, Severity::Error, None), ("expired-waiver", Severity::Warning, Some(0))]
        );
    }

    #[test]
    fn a_waiver_that_nothing_answers_to_is_told_and_a_star_stands_for_all() {
        let code = "InvalidPortRange";
        assert_eq!(
            of(vec![waiver("b", "*", "2027-01-01")], finding(Some("a"))),
            [(code, Severity::Error, None), ("unused-waiver", Severity::Note, Some(0))]
        );
        assert_eq!(
            of(vec![waiver("*", "*", "2027-01-01")], finding(None)),
            [(code, Severity::Error, Some(0))]
        );
        assert_eq!(
            of(vec![waiver("*", "web", "2027-01-01")], finding(None)),
            [(code, Severity::Error, None), ("unused-waiver", Severity::Note, Some(0))]
        );
    }

    #[test]
    fn what_is_named_goes_ahead_of_the_configuration() {
        let mut selection = Selection::default();
        assert_eq!(selection.severity(Check::Overlapping), None);
        assert_eq!(selection.severity(Check::Shadowed), Some(Severity::Warning));
        selection.config.severities.insert(Check::Overlapping, Some(Severity::Error));
        selection.config.severities.insert(Check::Shadowed, None);
        assert_eq!(selection.severity(Check::Overlapping), Some(Severity::Error));
        assert_eq!(selection.severity(Check::Shadowed), None);
        selection.enabled = vec![Check::Shadowed];
        assert_eq!(selection.severity(Check::Shadowed), Some(Severity::Warning));
        selection.disabled = vec![Check::Shadowed];
        assert_eq!(selection.severity(Check::Shadowed), None);
        selection.only = vec![Check::Overlapping];
        assert_eq!(selection.severity(Check::Redundant), None);
    }
}
