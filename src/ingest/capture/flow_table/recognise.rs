//! What sort of table a stream is, by its first bytes.

use super::aws;

/// How many of a stream's first bytes it takes to recognise a table for certain. With fewer a stream may still be
/// recognised.
pub const FIRST_BYTES: usize = 1 << 16;

/// What a Parquet file begins with.
pub(super) const PARQUET: &[u8] = b"PAR1";

/// The sorts of tables.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// CSV with a header line, parted by commas, tabs or semicolons.
    Csv,
    /// JSON objects, one after the other or in a list; the `conn.log` of Zeek may be such, too.
    Json,
    /// Parquet.
    Parquet,
    /// A log of Zeek in its own form.
    Zeek,
    /// Flow logs of AWS in their text form.
    Aws,
}

impl Kind {
    /// What it is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Parquet => "Parquet",
            Self::Zeek => "Zeek",
            Self::Aws => "AWS VPC flow log",
        }
    }
}

/// What sort of table begins with these bytes: up to [`FIRST_BYTES`] of them, unpacked. `None` if it is none, such as a
/// flow log of Azure, which is one JSON object with the list `records`.
///
/// JSON and CSV are taken for tables whatever their columns are called: whether there are flows in it is found out by
/// opening it.
#[must_use]
pub fn recognise(first_bytes: &[u8]) -> Option<Kind> {
    let bytes = unmarked(first_bytes);
    if bytes.starts_with(PARQUET) {
        return Some(Kind::Parquet);
    }
    let json = bytes.trim_ascii_start();
    if json.starts_with(b"{") {
        return (!Walk::of(json).is_flow_log).then_some(Kind::Json);
    }
    if let Some(list) = json.strip_prefix(b"[") {
        let element = list.trim_ascii_start().first();
        return element.is_none_or(|byte| matches!(byte, b'{' | b']')).then_some(Kind::Json);
    }
    if bytes.starts_with(b"#separator ") || bytes.starts_with(b"#fields") {
        return Some(Kind::Zeek);
    }
    let line = first_line(bytes)?;
    if aws::is_header(line) || aws::is_default_record(line) {
        return Some(Kind::Aws);
    }
    let delimiter = char::from(delimiter(bytes));
    let names: Vec<&str> = line.split(delimiter).map(|name| name.trim().trim_matches('"')).collect();
    // Source, destination and protocol are the least of a flow. A line of values is no header.
    let is_value = |name: &&str| name.parse::<std::net::IpAddr>().is_ok() || name.parse::<f64>().is_ok();
    (names.len() >= 3 && !names.iter().any(is_value)).then_some(Kind::Csv)
}

/// The bytes without a byte order mark.
pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The first line, if it is text.
fn first_line(bytes: &[u8]) -> Option<&str> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        // The first bytes may end inside a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&line[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.strip_suffix('\r').unwrap_or(text);
    let is_plain = text.chars().all(|letter| letter == '\t' || !letter.is_control());
    (is_plain && !text.is_empty()).then_some(text)
}

/// What parts the columns of a header line: what it has most of, a comma if it has none.
pub(super) fn delimiter(bytes: &[u8]) -> u8 {
    let line = first_line(bytes).unwrap_or_default();
    let mut counts = [(0, b','), (0, b'\t'), (0, b';')];
    let mut quoted = false;
    for byte in line.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        }
        for (count, delimiter) in &mut counts {
            *count += u32::from(byte == *delimiter && !quoted);
        }
    }
    // Of equal counts the first one wins.
    let [first, rest @ ..] = counts;
    rest.into_iter().fold(first, |best, next| if next.0 > best.0 { next } else { best }).1
}

/// How JSON objects follow each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JsonForm {
    /// One a line: a line that is damaged leaves the others whole.
    Lines,
    /// One after the other, over several lines each.
    Stream,
    /// In a list.
    List,
}

/// How the objects of a JSON table follow each other, by its first bytes.
pub(super) fn json_form(bytes: &[u8]) -> JsonForm {
    let json = bytes.trim_ascii_start();
    if json.starts_with(b"[") {
        return JsonForm::List;
    }
    let mut lines = json.split(|byte| *byte == b'\n');
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return JsonForm::Lines };
    if Walk::of(first).is_whole || second.starts_with(b"{") { JsonForm::Lines } else { JsonForm::Stream }
}

/// What the beginning of a JSON object shows.
struct Walk {
    /// It has the member `records`, a list.
    is_flow_log: bool,
    /// It ends within the bytes.
    is_whole: bool,
}

impl Walk {
    fn of(json: &[u8]) -> Self {
        let mut depth = 0_usize;
        let mut at = 0;
        // The last text at the depth of the object's members, and whether a colon follows it.
        let (mut text, mut is_name): (&[u8], bool) = (b"", false);
        while let Some(byte) = json.get(at) {
            match byte {
                b'"' => {
                    let end = string_end(json, at);
                    if depth == 1 {
                        (text, is_name) = (&json[at..end], false);
                    }
                    at = end;
                    continue;
                }
                b':' => is_name = depth == 1,
                b'[' if depth == 1 && is_name && text == b"\"records\"" => {
                    return Self { is_flow_log: true, is_whole: false };
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Self { is_flow_log: false, is_whole: true };
                    }
                }
                b',' => is_name = false,
                _ => {}
            }
            at += 1;
        }
        Self { is_flow_log: false, is_whole: false }
    }
}

/// Where the text ends that begins at this quotation mark.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

/// What to say of a stream that is no table.
pub(super) fn foreign(first: &[u8]) -> String {
    const EXPECTED: &str = "expected a flow table (CSV with a header line, JSON objects, Parquet, a `conn.log` of Zeek, \
                            or flow logs of AWS)";
    if first.is_empty() {
        return format!("the file is empty: {EXPECTED}");
    }
    let shown = &first[..first.len().min(24)];
    format!("begins with `{}`: {EXPECTED}", shown.escape_ascii())
}
