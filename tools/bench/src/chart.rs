//! Charts in SVG: lines over logarithmic axes, legible on light and dark pages.

use std::fmt::Write;

/// A line, by points of amount and figure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
/// Room around the axes: left for figures and the name of the axis, right for the names of lines.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 112.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 46.0;
/// Names of lines keep this far from each other.
const APART: f64 = 13.0;

/// Colours that differ in lightness too, for a light and for a dark page; dashes tell lines apart without colour.
const STYLE: &str = "
text { font: 11px system-ui, sans-serif; fill: #24292f }
.title { font-size: 13px; font-weight: 600 }
.grid { stroke: #8c959f; stroke-opacity: .3 }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #0550ae; stroke-width: 2.5 } .f0 { fill: #0550ae }
.c1 { stroke: #bc4c00; stroke-dasharray: 7 3 } .f1 { fill: #bc4c00 }
.c2 { stroke: #6639ba; stroke-dasharray: 3 3 } .f2 { fill: #6639ba }
.c3 { stroke: #116329; stroke-dasharray: 9 3 2 3 } .f3 { fill: #116329 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.c0 { stroke: #79c0ff } .f0 { fill: #79c0ff }
.c1 { stroke: #ffa657 } .f1 { fill: #ffa657 }
.c2 { stroke: #d2a8ff } .f2 { fill: #d2a8ff }
.c3 { stroke: #7ee787 } .f3 { fill: #7ee787 }
}
";

/// The panels in two columns.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let (width, height) = (2.0 * WIDTH, HEIGHT * rows as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let (column, row) = (number % 2, number / 2);
        let _ =
            writeln!(text, "<g transform=\"translate({},{})\">", WIDTH * column as f64, HEIGHT * row as f64);
        draw(&mut text, panel);
        text += "</g>\n";
    }
    text + "</svg>\n"
}

/// A logarithmic axis, from one power of ten to another.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Just so long that it holds the amounts, drawn between two places.
    fn over(amounts: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = amounts
            .map(f64::log10)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), power| (low.min(power), high.max(power)));
        if low < high { Self { low, high, from, to } } else { Self { low: 0.0, high: 1.0, from, to } }
    }

    /// From a whole power to a whole power around the figures, drawn between two places.
    fn around(figures: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let exact = Self::over(figures, from, to);
        // A hair's breadth: 10^5 read back is not always 5.
        Self { low: (exact.low + 1e-9).floor(), high: (exact.high - 1e-9).ceil(), ..exact }
    }

    fn place(&self, figure: f64) -> f64 {
        self.from + (figure.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The powers of ten on the axis, with their places.
    fn ticks(&self) -> impl Iterator<Item = (i32, f64)> {
        let powers = (self.low - 1e-9).ceil() as i32..=(self.high + 1e-9).floor() as i32;
        powers.map(|power| (power, self.place(10_f64.powi(power))))
    }
}

fn draw(text: &mut String, panel: &Panel) {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let across = Axis::over(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let up = Axis::around(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let title = escaped(&panel.title);
    let _ = writeln!(text, "<text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>");
    for (power, x) in across.ticks() {
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            up.from,
            up.from + 15.0,
            figure(power)
        );
    }
    for (power, y) in up.ticks() {
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            across.to,
            LEFT - 6.0,
            y + 4.0,
            figure(power)
        );
    }
    let middle = f64::midpoint(across.from, across.to);
    let _ = writeln!(
        text,
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 12.0,
        escaped(panel.across)
    );
    let middle = f64::midpoint(up.from, up.to);
    let _ = writeln!(
        text,
        "<text transform=\"translate(14,{middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escaped(panel.up)
    );
    // The names stand at the ends of their lines, from the top down, none over another.
    let mut names = Vec::new();
    for (number, line) in panel.lines.iter().enumerate() {
        let places: Vec<(f64, f64)> =
            line.points.iter().map(|&(amount, figure)| (across.place(amount), up.place(figure))).collect();
        let corners: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(text, "<polyline class=\"line c{number}\" points=\"{}\"/>", corners.join(" "));
        for (x, y) in &places {
            let _ = writeln!(text, "<circle class=\"f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
        }
        names.extend(places.last().map(|&(x, y)| (y, x, number, escaped(&line.name))));
    }
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = TOP;
    for (y, x, number, name) in names {
        let y = y.max(free);
        free = y + APART;
        let _ = writeln!(
            text,
            "<text class=\"f{number}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            x + 7.0,
            y + 4.0
        );
    }
}

/// A power of ten as people write it.
fn figure(power: i32) -> String {
    match power {
        ..-3 | 7.. => format!("1e{power}"),
        -3..0 => format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power)),
        0..3 => format!("{:.0}", 10_f64.powi(power)),
        3..6 => format!("{:.0}k", 10_f64.powi(power - 3)),
        6 => "1M".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{Axis, figure};

    #[test]
    fn an_axis_spans_whole_powers_of_ten() {
        let axis = Axis::around([20.0, 3_000.0].into_iter(), 0.0, 300.0);
        assert!((axis.place(10.0)).abs() < 1e-9 && (axis.place(100.0) - 100.0).abs() < 1e-9);
        let powers = |axis: &Axis| axis.ticks().map(|(power, _)| power).collect::<Vec<_>>();
        assert_eq!(powers(&axis), [1, 2, 3, 4]);
        assert_eq!(powers(&Axis::around([10.0, 100_000.0].into_iter(), 0.0, 1.0)), [1, 2, 3, 4, 5]);
        assert_eq!(powers(&Axis::over([100.0, 110_000.0].into_iter(), 0.0, 1.0)), [2, 3, 4, 5]);
    }

    #[test]
    fn powers_are_written_as_people_do() {
        let powers: Vec<String> = [-2, -1, 0, 2, 3, 5, 6].map(figure).into();
        assert_eq!(powers, ["0.01", "0.1", "1", "100", "1k", "100k", "1M"]);
    }
}
