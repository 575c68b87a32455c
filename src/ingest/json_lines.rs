//! On which lines of a JSON text values stand.

use std::collections::BTreeMap;
use std::path::Path;

use super::source;
use crate::model::lint::TextLine;

/// The most that is read of one export, unpacked.
const LIMIT_BYTES: u64 = 512 << 20;

/// The lines of places, each told as a file and a JSON pointer in it: `nsg.json#/securityRules/3`. The files are read once
/// more; of what cannot be read again, such as standard input, no line is told.
#[must_use]
pub fn of_places<'p>(places: impl IntoIterator<Item = &'p str>) -> BTreeMap<&'p str, TextLine> {
    let mut by_file: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for place in places {
        if let Some((file, pointer)) = place.rsplit_once('#') {
            by_file.entry(file).or_default().insert(pointer, place);
        }
    }
    let mut found = BTreeMap::new();
    for (file, places) in by_file {
        let path = Path::new(file);
        if !path.is_file() {
            continue;
        }
        let Ok(text) = source::read(path, LIMIT_BYTES) else { continue };
        let lines = lines(&text, places.keys().copied());
        found.extend(lines.into_iter().map(|(pointer, line)| (places[pointer], line)));
    }
    found
}

/// The line of each of these JSON pointers that the text has; of a member, that of its name.
///
/// The text is one that could be read before: of one that is not JSON, fewer lines are told, never wrong ones. Where an
/// object names a member twice, the last one counts, as it does for readers.
#[must_use]
pub fn lines<'p>(text: &[u8], pointers: impl IntoIterator<Item = &'p str>) -> BTreeMap<&'p str, TextLine> {
    // As readers take it: without the mark at its start.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let wanted: BTreeMap<&str, &str> = pointers.into_iter().map(|pointer| (pointer, pointer)).collect();
    let first = Start { number: 1, at: 0 };
    let mut scan = Scan { text, at: 0, line: first, pointer: String::new(), wanted, found: BTreeMap::new() };
    scan.note(first);
    let _whole = scan.value();
    scan.found
}

/// Where a line begins.
#[derive(Clone, Copy)]
struct Start {
    number: u64,
    at: usize,
}

struct Scan<'t, 'p> {
    text: &'t [u8],
    at: usize,
    line: Start,
    /// Of the value that is read.
    pointer: String,
    wanted: BTreeMap<&'p str, &'p str>,
    found: BTreeMap<&'p str, TextLine>,
}

impl Scan<'_, '_> {
    fn note(&mut self, line: Start) {
        if let Some(wanted) = self.wanted.get(self.pointer.as_str()) {
            let ends = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
            let letters = self.text[line.at..].iter().take_while(|byte| !ends(byte));
            // Bytes that go on with a letter of UTF-8 are none of their own.
            let letters = letters.filter(|byte| **byte & 0xc0 != 0x80).count() as u64;
            self.found.insert(wanted, TextLine { number: line.number, end_column: letters + 1 });
        }
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            match byte {
                b'\n' => self.line = Start { number: self.line.number + 1, at: self.at + 1 },
                b' ' | b'\t' | b'\r' => {}
                _ => return Some(byte),
            }
            self.at += 1;
        }
    }

    /// Goes past a value; nothing where the text is not what JSON is.
    fn value(&mut self) -> Option<()> {
        match self.next()? {
            b'{' => self.items(b'}', |scan, _| {
                let line = scan.line;
                let name = scan.string()?;
                (scan.next()? == b':').then(|| scan.at += 1)?;
                scan.child(&name.replace('~', "~0").replace('/', "~1"), line)
            }),
            b'[' => self.items(b']', |scan, position| {
                let line = scan.line;
                scan.child(&position.to_string(), line)
            }),
            b'"' => self.string().map(|_| ()),
            _ => {
                let rest = &self.text[self.at..];
                let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
                self.at += rest.iter().position(is_end).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    /// Goes past what stands between brackets, item by item.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        for position in 0.. {
            if self.next()? == end {
                break;
            }
            item(self, position)?;
            match self.next()? {
                b',' => self.at += 1,
                byte if byte == end => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    fn child(&mut self, key: &str, line: Start) -> Option<()> {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(key);
        self.note(line);
        self.value()?;
        self.pointer.truncate(length);
        Some(())
    }

    /// The text of a string.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        if self.next()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_slice(self.text.get(start..self.at)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::model::lint::TextLine;

    fn lines<'p>(text: &[u8], asked: impl IntoIterator<Item = &'p str>) -> BTreeMap<&'p str, u64> {
        super::lines(text, asked).into_iter().map(|(pointer, line)| (pointer, line.number)).collect()
    }

    #[test]
    fn a_line_ends_behind_its_last_letter() {
        let found = super::lines("{\r\n \"é\": 1 \r\n}".as_bytes(), ["/é"]);
        assert_eq!(found["/é"], TextLine { number: 2, end_column: 9 });
    }

    #[test]
    fn values_are_found_on_the_lines_of_their_names() {
        let text = "{\n  \"a/b\": [\n    1, {\"c~\": \"\\\"]\\n\"},\n    {\n\"d\":\n\n[]}\n  ],\n\"e\\u0041\": null}";
        let asked = ["", "/a~1b", "/a~1b/0", "/a~1b/1/c~0", "/a~1b/2", "/a~1b/2/d", "/eA", "/nothing"];
        let found: Vec<(&str, u64)> = lines(text.as_bytes(), asked).into_iter().collect();
        assert_eq!(
            found,
            [
                ("", 1),
                ("/a~1b", 2),
                ("/a~1b/0", 3),
                ("/a~1b/1/c~0", 3),
                ("/a~1b/2", 4),
                ("/a~1b/2/d", 5),
                ("/eA", 9)
            ]
        );
    }

    #[test]
    fn of_a_broken_text_only_what_was_read_is_told() {
        let found: Vec<(&str, u64)> =
            lines(b"[\n1,\n{\"a\" 2}, 3]", ["/0", "/1", "/1/a", "/2"]).into_iter().collect();
        assert_eq!(found, [("/0", 2), ("/1", 3)]);
        assert!(lines(b"[\"\\", ["/1"]).is_empty());
    }

    #[test]
    fn of_a_member_that_stands_twice_the_last_counts() {
        let found: Vec<u64> = lines(b"{\"a\": 1,\n\"a\": 2}", ["/a"]).into_values().collect();
        assert_eq!(found, [2]);
    }
}
