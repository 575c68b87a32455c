//! Verdicts over time: a stacked bar for each stretch, and the same as a table.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::marks::{ALL, Count, Mark, fared};
use super::svg::{Anchor, Svg};
use crate::replay::digest::ByVerdict;
use crate::replay::digest::timeline::Timeline;
use crate::report::time::{counted, grouped};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 46.0;
/// How wide a bar is at most.
const MOST_WIDE: f64 = 48.0;
/// How far apart the times below the bars are at least.
const LEAST_APART: f64 = 96.0;
/// How high the smallest part of a bar is: what is there can be seen.
const LEAST_HIGH: f64 = 2.0;

/// The chart and its table.
pub(super) struct OverTime {
    /// The chart; nothing where no flow has a time.
    pub(super) chart: Option<String>,
    /// How wide a bar's stretch of time is, in words.
    pub(super) width: String,
    /// Stretches with flows.
    pub(super) rows: Vec<Row>,
    /// Flows whose time nobody knows.
    pub(super) untimed: Option<String>,
}

/// One stretch with flows.
pub(super) struct Row {
    pub(super) begin: String,
    /// Flows by verdict, in the order of [`ALL`].
    pub(super) flows: [Count; 4],
    pub(super) all: Count,
}

impl OverTime {
    pub(super) fn new(timeline: &Timeline) -> Self {
        let width_ns = timeline.width_ns();
        let row = |(begin_ns, volumes): (u64, &ByVerdict)| Row {
            begin: date_and_time(begin_ns, width_ns),
            flows: ALL.map(|kind| Count(volumes.of(kind).flows)),
            all: Count(volumes.all().flows),
        };
        let untimed = timeline.untimed.all().flows;
        Self {
            chart: chart(timeline),
            width: width_words(width_ns),
            rows: timeline.stretches().map(row).collect(),
            untimed: (untimed > 0).then(|| counted(untimed, "flow")),
        }
    }
}

fn chart(timeline: &Timeline) -> Option<String> {
    let width_ns = timeline.width_ns();
    let mut stretches = timeline.stretches();
    let (first_ns, _) = stretches.next()?;
    let last_ns = stretches.next_back().map_or(first_ns, |(begin_ns, _)| begin_ns);
    let count = (last_ns - first_ns) / width_ns + 1;
    let highest = timeline.stretches().map(|(_, volumes)| volumes.all().flows).max()?;
    let mut all = ByVerdict::default();
    timeline.stretches().for_each(|(_, volumes)| all.merge(volumes));

    let shows = format!(
        "{} from {} to {}, a bar for each {} in which flows began. The table below it holds the numbers.",
        fared(&all),
        date_and_time(first_ns, width_ns),
        date_and_time(last_ns, width_ns),
        width_words(width_ns)
    );
    let mut svg = Svg::described("over-time", (WIDTH, HEIGHT), "Flows over time by verdict", &shows);
    let (floor, ceiling) = (HEIGHT - BOTTOM, TOP);
    let step = tick_step(highest);
    let top = highest.div_ceil(step) * step;
    let y = |flows: u64| floor - (floor - ceiling) * flows as f64 / top as f64;
    for tick in (0..=top / step).map(|number| number * step) {
        svg.line(if tick == 0 { "axis" } else { "grid" }, (LEFT, y(tick)), (WIDTH - RIGHT, y(tick)));
        svg.text("tick", (LEFT - 8.0, y(tick) + 4.0), Anchor::End, &grouped(tick));
    }
    svg.text("label", (LEFT, HEIGHT - 6.0), Anchor::Start, "time of the first packet, UTC");
    svg.text("label", (LEFT - 8.0, TOP - 8.0), Anchor::End, "flows");

    let slot = ((WIDTH - RIGHT - LEFT) / count as f64).min(MOST_WIDE);
    let x = |number: u64| LEFT + slot * number as f64;
    let pixels_per_ns = slot / width_ns as f64;
    let every_ns = tick_interval_ns(width_ns.max((LEAST_APART / pixels_per_ns) as u64));
    let end_ns = last_ns.saturating_add(width_ns);
    for tick_ns in (0..)
        .map(|number| (first_ns.div_ceil(every_ns) + number) * every_ns)
        .take_while(|tick| *tick <= end_ns)
    {
        let place = LEFT + (tick_ns - first_ns) as f64 * pixels_per_ns;
        svg.line("axis", (place, floor), (place, floor + 4.0));
        svg.text("tick", (place, floor + 18.0), Anchor::Middle, &time(tick_ns, every_ns));
    }
    for (begin_ns, volumes) in timeline.stretches() {
        let left = x((begin_ns - first_ns) / width_ns);
        let gap = if slot > 4.0 { 1.0 } else { 0.0 };
        let title = format!(
            "{} for {}\n{}",
            date_and_time(begin_ns, width_ns),
            width_words(width_ns),
            fared(volumes)
        );
        svg.open("stretch", &title);
        // Under the pointer wherever it stands above the bar.
        svg.rect("hit", (left, ceiling), (slot, floor - ceiling));
        let mut low = floor;
        for kind in ALL {
            let flows = volumes.of(kind).flows;
            if flows > 0 {
                let high = (floor - y(flows)).max(LEAST_HIGH);
                low -= high;
                svg.rect(
                    &format!("fill-{}", Mark::of(kind).word),
                    (left + gap / 2.0, low),
                    (slot - gap, high),
                );
            }
        }
        svg.close();
    }
    Some(svg.finish())
}

/// A round number of flows, of which at most five make up the highest bar.
fn tick_step(highest: u64) -> u64 {
    let mut unit = 1;
    loop {
        for step in [unit, 2 * unit, 5 * unit] {
            if highest <= 5 * step {
                return step;
            }
        }
        unit *= 10;
    }
}

/// The shortest round interval of time that is no shorter than this one.
fn tick_interval_ns(least_ns: u64) -> u64 {
    const SECONDS: [u64; 17] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];
    let below = (3..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let days = (0..18).map(|power| DAY_NS << power);
    let mut intervals = below.chain(SECONDS.map(|seconds| seconds * SECOND_NS)).chain(days);
    // The longest is over three centuries.
    intervals.find(|interval| *interval >= least_ns).unwrap_or(DAY_NS << 17)
}

/// The parts of a second, a minute and a day that a width is made of.
const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;
const DAY_NS: u64 = 86_400 * SECOND_NS;

/// A stretch's width in words: `5 minutes`.
fn width_words(width_ns: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (DAY_NS, "day"),
        (60 * MINUTE_NS, "hour"),
        (MINUTE_NS, "minute"),
        (SECOND_NS, "second"),
        (1_000_000, "millisecond"),
        (1_000, "microsecond"),
    ];
    let (unit_ns, unit) = UNITS.into_iter().find(|(unit_ns, _)| width_ns >= *unit_ns).unwrap_or(UNITS[5]);
    counted(width_ns / unit_ns, unit)
}

/// When a stretch begins, as exactly as its width asks for.
fn date_and_time(begin_ns: u64, width_ns: u64) -> String {
    if width_ns >= DAY_NS {
        formatted(begin_ns, "%Y-%m-%d")
    } else {
        formatted(begin_ns, "%Y-%m-%d ") + &time(begin_ns, width_ns)
    }
}

/// The same below a bar: without the day, where stretches are parts of days.
fn time(begin_ns: u64, width_ns: u64) -> String {
    let format = match width_ns {
        DAY_NS.. => "%Y-%m-%d",
        width if width >= 60 * MINUTE_NS => "%m-%d %H:%M",
        width if width >= MINUTE_NS => "%H:%M",
        width if width >= SECOND_NS => "%H:%M:%S",
        width if width >= 1_000_000 => "%H:%M:%S%.3f",
        _ => "%H:%M:%S%.6f",
    };
    formatted(begin_ns, format)
}

fn formatted(time_ns: u64, format: &str) -> String {
    let Ok(time) = Timestamp::from_nanosecond(i128::from(time_ns)) else { return time_ns.to_string() };
    time.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::{DAY_NS, MINUTE_NS, SECOND_NS, date_and_time, tick_interval_ns, tick_step, width_words};

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!([1, 5, 6, 11, 26, 1234].map(tick_step), [1, 1, 2, 5, 10, 500]);
    }

    #[test]
    fn times_below_the_bars_are_round() {
        assert_eq!(tick_interval_ns(1_000), 1_000);
        assert_eq!(tick_interval_ns(37 * SECOND_NS), MINUTE_NS);
        assert_eq!(tick_interval_ns(13 * 60 * MINUTE_NS), DAY_NS);
        assert_eq!(tick_interval_ns(u64::MAX), DAY_NS << 17);
    }

    #[test]
    fn widths_and_times_are_as_exact_as_they_need_to_be() {
        assert_eq!(
            [1_000, 100_000_000, 5 * MINUTE_NS, 28 * DAY_NS].map(width_words),
            ["1 microsecond", "100 milliseconds", "5 minutes", "28 days"]
        );
        let time_ns = 1_793_610_061_500_000_000;
        assert_eq!(date_and_time(time_ns, 100_000_000), "2026-11-02 09:01:01.500");
        assert_eq!(date_and_time(time_ns, MINUTE_NS), "2026-11-02 09:01");
        assert_eq!(date_and_time(time_ns, DAY_NS), "2026-11-02");
    }
}
