//! Drawings as text, in which every word is escaped.

use std::fmt::Write as _;

const WRITE: &str = "writing to a string works";

/// A drawing under way. Colours come from the page's style, by class.
pub(super) struct Svg(String);

/// Where a text begins.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// At its place.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

impl Svg {
    /// A drawing of this size in pixels, with its name and what it shows for those who do not see it. `id` tells it from
    /// others on the page.
    pub(super) fn described(id: &str, (width, height): (f64, f64), name: &str, shows: &str) -> Self {
        let mut svg = Self(String::new());
        write!(
            svg.0,
            r#"<svg id="{id}" class="drawing" role="img" aria-labelledby="{id}-name {id}-shows" viewBox="0 0 {} {}" width="{}" height="{}">"#,
            Pixels(width), Pixels(height), Pixels(width), Pixels(height)
        )
        .expect(WRITE);
        write!(svg.0, r#"<title id="{id}-name">{}</title>"#, Escaped(name)).expect(WRITE);
        write!(svg.0, r#"<desc id="{id}-shows">{}</desc>"#, Escaped(shows)).expect(WRITE);
        svg
    }

    /// A drawing for the eye alone.
    pub(super) fn hidden(class: &str, (width, height): (f64, f64)) -> Self {
        let mut svg = Self(String::new());
        let (width, height) = (Pixels(width), Pixels(height));
        write!(
            svg.0,
            r#"<svg class="{class}" aria-hidden="true" viewBox="0 0 {width} {height}" width="{width}" height="{height}">"#
        )
        .expect(WRITE);
        svg
    }

    /// Begins a group; what it is shows under the pointer.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        write!(self.0, r#"<g class="{class}"><title>{}</title>"#, Escaped(title)).expect(WRITE);
    }

    /// Ends a group.
    pub(super) fn close(&mut self) {
        self.0.push_str("</g>");
    }

    /// A box by its upper left corner and its size.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let (x, y, width, height) = (Pixels(x), Pixels(y), Pixels(width), Pixels(height));
        write!(self.0, r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"/>"#)
            .expect(WRITE);
    }

    /// A box with rounded corners.
    pub(super) fn round(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        radius: f64,
    ) {
        let (x, y, width, height, radius) =
            (Pixels(x), Pixels(y), Pixels(width), Pixels(height), Pixels(radius));
        write!(
            self.0,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"/>"#
        )
        .expect(WRITE);
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x1, y1, x2, y2) = (Pixels(x1), Pixels(y1), Pixels(x2), Pixels(y2));
        write!(self.0, r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#).expect(WRITE);
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", Pixels(*x), Pixels(*y))).collect();
        write!(self.0, r#"<polyline class="{class}" points="{}"/>"#, points.join(" ")).expect(WRITE);
    }

    /// A dot.
    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let (x, y, radius) = (Pixels(x), Pixels(y), Pixels(radius));
        write!(self.0, r#"<circle class="{class}" cx="{x}" cy="{y}" r="{radius}"/>"#).expect(WRITE);
    }

    /// A text on one line.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, words) = (Pixels(x), Pixels(y), Escaped(words));
        write!(self.0, r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>"#)
            .expect(WRITE);
    }

    /// The drawing as it stands in a page.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A text cut to what fits in `width` pixels of letters that are about `letter` wide.
pub(super) fn fitted(text: &str, width: f64, letter: f64) -> String {
    let most = (width / letter).max(1.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// A length to the tenth, without idle digits.
struct Pixels(f64);

impl std::fmt::Display for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", (self.0 * 10.0).round() / 10.0)
    }
}

/// A text that stands for itself whatever letters it holds.
struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Anchor, Svg, fitted};

    #[test]
    fn words_stand_for_themselves() {
        let mut svg = Svg::hidden("bar", (10.0, 2.25));
        svg.text("name", (0.0, 1.0), Anchor::Start, "<b>&\"'");
        assert_eq!(
            svg.finish(),
            r#"<svg class="bar" aria-hidden="true" viewBox="0 0 10 2.3" width="10" height="2.3"><text class="name" x="0" y="1" text-anchor="start">&lt;b&gt;&amp;&quot;&#39;</text></svg>"#
        );
    }

    #[test]
    fn a_text_that_does_not_fit_is_cut_between_letters() {
        assert_eq!(fitted("überlang", 50.0, 10.0), "über…");
        assert_eq!(fitted("über", 50.0, 10.0), "über");
    }
}
