//! JSON objects: one a line, one after the other, or in a list.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cells::Cells;
use super::columns::{Columns, Field};
use super::lines::{Line, Lines};
use super::recognise::JsonForm;
use super::{LONGEST, Lost, Next, Rows};
use crate::ingest::capture::shorten;
use crate::ingest::error::IngestError;

pub(super) struct JsonRows {
    texts: Texts,
    names: Names,
    /// Whether the object that was looked at when the table was opened is still to be taken.
    ahead: Option<Text>,
    rows: u64,
}

impl JsonRows {
    pub(super) fn open(
        name: &str,
        stream: Box<dyn Read + Send>,
        form: JsonForm,
        columns: &Columns,
    ) -> Result<Self, IngestError> {
        let texts = match form {
            JsonForm::Lines => Texts::Lines(Lines::new(stream)),
            JsonForm::Stream => Texts::Stream(Stream::new(stream, false)),
            JsonForm::List => Texts::Stream(Stream::new(stream, true)),
        };
        let names = Names { columns: columns.clone(), seen: HashMap::new() };
        let mut rows = Self { texts, names, ahead: None, rows: 0 };
        let first = rows.texts.advance();
        if let Text::Broken(error) = first {
            return Err(IngestError::io(name, error));
        }
        // What is not taken apart into lines and does not begin with a row is no table.
        if let (Text::Bad(message), JsonForm::Stream | JsonForm::List) = (&first, form) {
            return Err(IngestError::content(name, format!("{message}: expected a row of a flow table")));
        }
        // The first object shows what the table has. If it cannot be read it is a row that is skipped.
        if matches!(first, Text::Whole)
            && let Ok(Members(members)) = serde_json::from_str(rows.texts.text())
        {
            let found = |field| {
                members.iter().any(|name| columns.field_of(name).iter().any(|(other, _)| *other == field))
            };
            columns.check_needed(found, &members).map_err(|message| IngestError::content(name, message))?;
        }
        rows.ahead = Some(first);
        Ok(rows)
    }
}

impl Rows for JsonRows {
    fn next(&mut self, cells: &mut Cells) -> Next {
        let text = match self.ahead.take() {
            Some(text) => text,
            None => self.texts.advance(),
        };
        match text {
            Text::Whole => {}
            Text::End => return Next::End,
            Text::Bad(message) => {
                self.rows += 1;
                return Next::Bad(message);
            }
            Text::Broken(error) => {
                return Next::Lost(Lost::unreadable(self.texts.taken(), self.rows, &error));
            }
            Text::Lost { offset, message } => {
                let message = format!("after row {}: {message}", self.rows);
                let unread_bytes = self.texts.drain().map(|()| self.texts.taken() - offset);
                return Next::Lost(Lost { offset, unread_bytes, message });
            }
        }
        self.rows += 1;
        match take(self.texts.text(), &mut self.names, cells) {
            Ok(()) => Next::Row,
            Err(message) => Next::Bad(message),
        }
    }

    fn taken(&self) -> u64 {
        self.texts.taken()
    }
}

/// Puts an object's members into the cells; fails with what is wrong.
fn take(text: &str, names: &mut Names, cells: &mut Cells) -> Result<(), String> {
    let mut wrong = None;
    let mut ranks = [usize::MAX; Field::ALL.len()];
    let mut json = serde_json::Deserializer::from_str(text);
    let each = |name: &str, raw: &str, field: Field, rank: usize| {
        let value: Cow<'_, str> = match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Borrowed<'_>>(raw) {
                Ok(Borrowed(value)) => value,
                Err(_) => Cow::Borrowed(raw),
            },
            Some(b'{' | b'[') => {
                let (name, raw) = (shorten(name), shorten(raw));
                wrong.get_or_insert_with(|| format!("column `{name}`: `{raw}`: expected a text or a number"));
                return;
            }
            _ => Cow::Borrowed(raw),
        };
        let ranked = &mut ranks[field as usize];
        // Of two members that say the same the one that has a value counts, and of these the better name.
        if rank < *ranked && raw != "null" {
            *ranked = rank;
            cells.name(field, name);
            cells.set(field, &value);
        }
    };
    let walked = json.deserialize_map(Row { names, each }).and_then(|()| json.end());
    if let Err(error) = walked {
        let message = error.to_string();
        // Line and column are those inside the row.
        let message = message.split(" at line ").next().unwrap_or(&message);
        return Err(format!("`{}`: expected a JSON object: {message}", shorten(text)));
    }
    wrong.map_or(Ok(()), Err)
}

/// What members say, by their names as they were seen.
struct Names {
    columns: Columns,
    seen: HashMap<String, Vec<(Field, usize)>>,
}

impl Names {
    /// A table has as many names as columns, but a file may be anything: no more of them are kept than this.
    const MOST: usize = 4096;

    fn fields(&mut self, name: &str) -> Cow<'_, [(Field, usize)]> {
        if !self.seen.contains_key(name) {
            let fields = self.columns.field_of(name);
            if self.seen.len() >= Self::MOST {
                return Cow::Owned(fields);
            }
            self.seen.insert(name.to_owned(), fields);
        }
        Cow::Borrowed(&self.seen[name])
    }
}

/// An object whose members are handed on by what they say: name, value as it stands there, field, rank of the name.
struct Row<'n, F> {
    names: &'n mut Names,
    each: F,
}

impl<'de, F: FnMut(&str, &str, Field, usize)> Visitor<'de> for Row<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Borrowed(name)) = map.next_key()? {
            let fields = self.names.fields(&name);
            if fields.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw: &RawValue = map.next_value()?;
            for (field, rank) in fields.iter() {
                (self.each)(&name, raw.get(), *field, *rank);
            }
        }
        Ok(())
    }
}

/// A text, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// The names of an object's members.
struct Members(Vec<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Members(names))
            }
        }
        json.deserialize_map(Collect)
    }
}

/// The texts of the objects.
enum Texts {
    Lines(Lines),
    Stream(Stream),
}

/// What comes next among them.
enum Text {
    /// An object, or what stands in its place, in [`Texts::text`].
    Whole,
    /// Something that was passed over.
    Bad(String),
    End,
    /// The stream cannot be read on.
    Broken(io::Error),
    /// It is not known where the next object begins.
    Lost {
        offset: u64,
        message: String,
    },
}

impl Texts {
    fn advance(&mut self) -> Text {
        match self {
            Self::Lines(lines) => loop {
                match lines.advance() {
                    Line::Whole if lines.text().trim().is_empty() => {}
                    Line::Whole => return Text::Whole,
                    Line::Bad(message) => return Text::Bad(message),
                    Line::End => return Text::End,
                    Line::Broken(error) => return Text::Broken(error),
                }
            },
            Self::Stream(stream) => match stream.advance() {
                Ok(text) => text,
                Err(error) => Text::Broken(error),
            },
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Lines(lines) => lines.text(),
            Self::Stream(stream) => std::str::from_utf8(&stream.text).expect("a whole text is UTF-8"),
        }
    }

    fn taken(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.taken(),
            Self::Stream(stream) => stream.taken,
        }
    }

    /// Reads to the end; `None` if it cannot be read.
    fn drain(&mut self) -> Option<()> {
        match self {
            Self::Lines(lines) => lines.drain().map(|_| ()),
            Self::Stream(stream) => {
                stream.taken += io::copy(&mut stream.bytes, &mut io::sink()).ok()?;
                Some(())
            }
        }
    }
}

/// Values one after the other, or in a list, told apart by their brackets alone.
struct Stream {
    bytes: BufReader<Box<dyn Read + Send>>,
    text: Vec<u8>,
    taken: u64,
    list: bool,
    place: Place,
}

/// Where in the list the reader is. What is no list is always at its beginning.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Before,
    First,
    Between,
    Behind,
}

impl Stream {
    fn new(stream: Box<dyn Read + Send>, list: bool) -> Self {
        let bytes = BufReader::with_capacity(1 << 16, stream);
        Self { bytes, text: Vec::new(), taken: 0, list, place: Place::Before }
    }

    fn advance(&mut self) -> io::Result<Text> {
        loop {
            let Some(byte) = self.peek()? else {
                let whole = !self.list || self.place == Place::Behind;
                let message = "the file ends before the end of its list".to_owned();
                return Ok(if whole { Text::End } else { Text::Lost { offset: self.taken, message } });
            };
            match (byte, self.place) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => self.consume(),
                (b'[', Place::Before) if self.list => {
                    self.consume();
                    self.place = Place::First;
                }
                (b']', Place::First | Place::Between) => {
                    self.consume();
                    self.place = Place::Behind;
                }
                (b',', Place::Between) => {
                    self.consume();
                    // A list may end behind a comma, which JSON does not allow and nobody is hurt by.
                    self.place = Place::First;
                }
                (b'{', Place::Before) if !self.list => return self.value(),
                (_, Place::First) => {
                    self.place = Place::Between;
                    return self.value();
                }
                _ => {
                    let expected = match self.place {
                        Place::Before => "an object",
                        Place::First | Place::Between => "`,` or the end of the list",
                        Place::Behind => "the end of the file",
                    };
                    let message = format!("`{}`: expected {expected}", byte.escape_ascii());
                    return Ok(Text::Lost { offset: self.taken, message });
                }
            }
        }
    }

    /// Takes one value.
    fn value(&mut self) -> io::Result<Text> {
        self.text.clear();
        let offset = self.taken;
        let (mut depth, mut quoted, mut escaped, mut too_long) = (0_usize, false, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                let message = "the file ends inside the next row".to_owned();
                return Ok(Text::Lost { offset, message });
            };
            if depth == 0 && !quoted && matches!(byte, b',' | b']') {
                break;
            }
            self.consume();
            if self.text.len() < LONGEST {
                self.text.push(byte);
            } else {
                too_long = true;
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        Ok(if too_long {
            Text::Bad(format!("more than {LONGEST} bytes, the most that is read of a row"))
        } else if std::str::from_utf8(&self.text).is_err() {
            Text::Bad(format!("`{}`: expected UTF-8", shorten(&String::from_utf8_lossy(&self.text))))
        } else {
            Text::Whole
        })
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.bytes.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self) {
        self.bytes.consume(1);
        self.taken += 1;
    }
}
