//! Verdicts and amounts as the page shows them: a word and a sign each, so that no colour carries a meaning alone.

use std::fmt;

use super::svg::Svg;
use crate::model::rule::Access;
use crate::model::verdict::VerdictKind;
use crate::replay::digest::ByVerdict;
use crate::report::time::{counted, grouped};

/// The verdicts in the order in which the page names and stacks them.
pub(super) const ALL: [VerdictKind; 4] =
    [VerdictKind::Allow, VerdictKind::Mixed, VerdictKind::Undetermined, VerdictKind::Deny];

/// A verdict with its sign.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// Its word, which is also its class in the style.
    pub(super) word: &'static str,
    /// Its sign.
    pub(super) sign: &'static str,
}

impl Mark {
    pub(super) fn of(kind: VerdictKind) -> Self {
        let sign = match kind {
            VerdictKind::Allow => "✓",
            VerdictKind::Deny => "✕",
            VerdictKind::Mixed => "±",
            VerdictKind::Undetermined => "?",
        };
        Self { word: kind.word(), sign }
    }

    pub(super) fn of_access(access: Access) -> Self {
        Self::of(match access {
            Access::Allow => VerdictKind::Allow,
            Access::Deny => VerdictKind::Deny,
        })
    }
}

/// A number with thousands separated.
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&grouped(self.0))
    }
}

/// A part of a whole in per cent: `12.5%`. What is there is never shown as nothing, nor all but all as all.
pub(super) fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".to_owned();
    }
    if part == whole {
        return "100%".to_owned();
    }
    let per_mille = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    match per_mille {
        0 => "under 0.1%".to_owned(),
        1000.. => "over 99.9%".to_owned(),
        _ => format!("{}.{}%", per_mille / 10, per_mille % 10),
    }
}

/// How flows fared, in words: `12 flows: 9 allow, 3 deny`.
pub(super) fn fared(volumes: &ByVerdict) -> String {
    let parts: Vec<String> = ALL
        .into_iter()
        .filter(|kind| volumes.of(*kind).flows > 0)
        .map(|kind| format!("{} {kind}", grouped(volumes.of(kind).flows)))
        .collect();
    format!("{}: {}", counted(volumes.all().flows, "flow"), parts.join(", "))
}

/// A bar that shows how flows fared, for the eye alone: the numbers stand beside it.
pub(super) fn bar(volumes: &ByVerdict) -> String {
    const WIDTH: f64 = 72.0;
    const HEIGHT: f64 = 8.0;
    let mut svg = Svg::hidden("bar", (WIDTH, HEIGHT));
    let all = volumes.all().flows.max(1) as f64;
    let mut left = 0.0;
    for kind in ALL {
        let width = WIDTH * volumes.of(kind).flows as f64 / all;
        if width > 0.0 {
            svg.rect(&format!("fill-{kind}"), (left, 0.0), (width, HEIGHT));
            left += width;
        }
    }
    svg.finish()
}

/// A bar for the eye alone that shows a part of a whole.
pub(super) fn gauge(class: &str, part: u64, whole: u64) -> String {
    const WIDTH: f64 = 96.0;
    const HEIGHT: f64 = 8.0;
    let mut svg = Svg::hidden("bar", (WIDTH, HEIGHT));
    svg.rect("track", (0.0, 0.0), (WIDTH, HEIGHT));
    svg.rect(class, (0.0, 0.0), ((WIDTH * part as f64 / whole.max(1) as f64).max(1.0), HEIGHT));
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_rounded_but_never_to_nothing_or_all() {
        assert_eq!(share(0, 7), "0%");
        assert_eq!(share(7, 7), "100%");
        assert_eq!(share(1, 8), "12.5%");
        assert_eq!(share(1, 1_000_000), "under 0.1%");
        assert_eq!(share(999_999, 1_000_000), "over 99.9%");
    }
}
