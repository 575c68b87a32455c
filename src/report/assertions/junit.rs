//! Assertions as JUnit XML, which CI systems show.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::regions::sets::SetNames;
use super::super::style::Style;
use super::{AssertionsReport, Tried};
use crate::analyze::assertions::Holds;

impl AssertionsReport<'_> {
    /// The report as JUnit XML: a suite with a case for each assertion. What fails is a failure, what is undetermined an
    /// error, and what only some need and does not hold is skipped.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that XML cannot.
    #[must_use]
    pub fn junit(&self) -> String {
        let names = SetNames::of(&[self.compiled]);
        let mut suite = TestSuite::new("nsgsim test");
        for one in self.tried {
            let mut case = TestCase::new(one.name.clone(), self.status(one, &names));
            case.set_classname(one.place.clone());
            suite.add_test_case(case);
        }
        let mut report = Report::new("nsgsim");
        report.add_test_suite(suite);
        report.to_string().expect("the shape holds nothing that XML cannot")
    }

    fn status(&self, one: &Tried, names: &SetNames) -> TestCaseStatus {
        let mut text = self.reasons(one, names);
        let message = text.first().cloned().unwrap_or_default();
        if let Some(shown) = &one.counterexample {
            text.push(self.explanation(shown).table(Style::default(), false));
        }
        let mut status = match (one.holds, one.counts()) {
            (Holds::Yes, _) => return TestCaseStatus::success(),
            (_, false) => {
                let mut status = TestCaseStatus::skipped();
                let when = one.needed_when.as_deref().unwrap_or_default();
                status.set_message(format!("{message}; needed when: {when}"));
                return status;
            }
            (Holds::No, true) => TestCaseStatus::non_success(NonSuccessKind::Failure),
            (Holds::Open | Holds::OfNothing, true) => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        status.set_type(super::word(one.holds));
        status.set_message(message);
        status.set_description(text.join("\n"));
        status
    }
}
