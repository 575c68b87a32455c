//! A JSON document, parsed into a tree whose values know their parents.
//!
//! Members keep their order; of two with one name the last counts and is noted. What is no JSON is refused with its
//! line and column.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::ingest::error::IngestError;

/// Values in one document, beyond which it is refused: the tree takes about 64 bytes for each.
const MOST_VALUES: usize = 1 << 24;

/// A parsed document.
pub(super) struct Tree {
    /// The document's name in messages.
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    /// Members whose object names them once more, earlier; they replaced the earlier one.
    pub(super) repeated: Vec<u32>,
    /// What the tree was made from, where that was another document.
    pub(super) made_of: Option<MadeOf>,
    /// Where values that were made from others stand in the document that those are in, by position. A value without a
    /// place of its own stands below what it hangs on.
    places: HashMap<u32, Rc<str>>,
}

/// Documents that become resources in ARM's shape before they are read.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum MadeOf {
    /// A template (JSON-8).
    Template,
    /// Terraform's state or plan (JSON-9).
    Terraform,
}

/// One value, and where it hangs.
pub(super) struct Entry {
    /// Position of the list or object that holds it; the root holds itself.
    pub(super) parent: u32,
    pub(super) key: Key,
    pub(super) value: Value,
}

/// What leads to a value from its parent.
pub(super) enum Key {
    Root,
    Member(Box<str>),
    Item(usize),
}

/// A value; parts are positions in [`Tree::entries`].
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    List(Vec<u32>),
    Object(Vec<u32>),
    /// An expression of a template whose value is not known (JSON-8).
    Unresolved(Box<Unresolved>),
}

/// An expression without a value.
pub(super) struct Unresolved {
    /// As the template spells it.
    pub(super) expression: String,
    /// Why it has none.
    pub(super) reason: String,
}

impl Tree {
    /// Parses a document: UTF-8, with or without a byte order mark.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, IngestError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if is_utf16(bytes) {
            return Err(IngestError::content(name, "the text is UTF-16: expected JSON in UTF-8"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(IngestError::content(name, "the file is empty: expected a JSON export"));
        }
        let mut builder = Builder { entries: Vec::new(), repeated: Vec::new() };
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        Seed { builder: &mut builder, parent: 0, key: Key::Root }
            .deserialize(&mut deserializer)
            .and_then(|_| deserializer.end())
            .map_err(|error| syntax(name, &error))?;
        Ok(Self {
            name: name.to_owned(),
            entries: builder.entries,
            repeated: builder.repeated,
            made_of: None,
            places: HashMap::new(),
        })
    }

    /// A tree without values yet, for what is made from the document of this name.
    pub(super) fn made(name: &str, of: MadeOf) -> Self {
        Self::empty(name, Some(of))
    }

    /// A tree without values yet.
    pub(super) fn empty(name: &str, made_of: Option<MadeOf>) -> Self {
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
            repeated: Vec::new(),
            made_of,
            places: HashMap::new(),
        }
    }

    /// Adds a value that hangs on `parent`, and returns its position; it is no part of its parent's value yet. With a
    /// place of its own it and what hangs on it are told of as standing there.
    ///
    /// # Panics
    ///
    /// Panics beyond 4,294,967,295 values. INVARIANT: what makes trees stops far below.
    pub(super) fn put(&mut self, parent: u32, key: Key, value: Value, place: Option<Rc<str>>) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("a tree holds fewer than 2^32 values");
        self.entries.push(Entry { parent, key, value });
        if let Some(place) = place {
            self.places.insert(index, place);
        }
        index
    }

    /// File and JSON pointer of the value at a position.
    pub(super) fn place(&self, mut index: u32) -> String {
        let mut keys = Vec::new();
        let mut place = loop {
            if let Some(place) = self.places.get(&index) {
                break place.to_string();
            }
            let entry = &self.entries[index as usize];
            match &entry.key {
                Key::Root => break format!("{}#", self.name),
                Key::Member(name) => keys.push(name.replace('~', "~0").replace('/', "~1")),
                Key::Item(position) => keys.push(position.to_string()),
            }
            index = entry.parent;
        };
        for key in keys.iter().rev() {
            place.push('/');
            place.push_str(key);
        }
        place
    }
}

/// Whether the bytes look like UTF-16: a byte order mark, or every other byte of the first character zero.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..])
}

fn syntax(name: &str, error: &serde_json::Error) -> IngestError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let message = if reason.starts_with("recursion limit") {
        "the JSON is nested more than 127 levels deep, which no export is".to_owned()
    } else if error.is_eof() {
        format!("the JSON ends in the middle: {reason}")
    } else if reason.starts_with("trailing characters") {
        "more follows after the end of the JSON: expected one JSON value in the file".to_owned()
    } else {
        format!("not JSON: {reason}")
    };
    IngestError::content(format!("{name}:{line}:{column}"), message)
}

struct Builder {
    entries: Vec<Entry>,
    repeated: Vec<u32>,
}

struct Seed<'b> {
    builder: &'b mut Builder,
    parent: u32,
    key: Key,
}

impl Seed<'_> {
    fn put<E: serde::de::Error>(self, value: Value) -> Result<(u32, Self), E> {
        let position = self.builder.entries.len();
        if position >= MOST_VALUES {
            return Err(E::custom(format!(
                "more than {MOST_VALUES} values, the most that is read of one file"
            )));
        }
        let index = u32::try_from(position).map_err(E::custom)?;
        let Self { builder, parent, key } = self;
        builder.entries.push(Entry { parent, key, value });
        Ok((index, Self { builder, parent, key: Key::Root }))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = u32;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<u32, E> {
        Ok(self.put(Value::Null)?.0)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<u32, E> {
        Ok(self.put(Value::Bool(value))?.0)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u32, E> {
        Ok(self.put(Value::Number(value.into()))?.0)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u32, E> {
        Ok(self.put(Value::Number(value.into()))?.0)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<u32, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number out of range"))?;
        Ok(self.put(Value::Number(number))?.0)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u32, E> {
        Ok(self.put(Value::Text(value.into()))?.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u32, A::Error> {
        let (index, this) = self.put::<A::Error>(Value::Null)?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Seed {
            builder: &mut *this.builder,
            parent: index,
            key: Key::Item(items.len()),
        })? {
            items.push(item);
        }
        this.builder.entries[index as usize].value = Value::List(items);
        Ok(index)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<u32, A::Error> {
        let (index, this) = self.put::<A::Error>(Value::Null)?;
        let mut members = Vec::new();
        // Where each name stands, by its spelling without case; an object as small as Azure's is searched instead.
        let mut names: HashMap<String, usize> = HashMap::new();
        while let Some(name) = object.next_key::<String>()? {
            let earlier = if members.len() < 32 {
                let is_named = |member: &u32| match &this.builder.entries[*member as usize].key {
                    Key::Member(other) => other.eq_ignore_ascii_case(&name),
                    Key::Root | Key::Item(_) => false,
                };
                members.iter().position(is_named)
            } else {
                if names.is_empty() {
                    for (position, &member) in members.iter().enumerate() {
                        if let Key::Member(name) = &this.builder.entries[member as usize].key {
                            names.insert(name.to_ascii_lowercase(), position);
                        }
                    }
                }
                names.get(&name.to_ascii_lowercase()).copied()
            };
            let folded = (members.len() >= 32).then(|| name.to_ascii_lowercase());
            let member = object.next_value_seed(Seed {
                builder: &mut *this.builder,
                parent: index,
                key: Key::Member(name.into()),
            })?;
            if let Some(earlier) = earlier {
                members[earlier] = member;
                this.builder.repeated.push(member);
            } else {
                if let Some(folded) = folded {
                    names.insert(folded, members.len());
                }
                members.push(member);
            }
        }
        this.builder.entries[index as usize].value = Value::Object(members);
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, MadeOf, Tree, Value};

    fn complaint(bytes: &[u8]) -> String {
        Tree::parse("a.json", bytes).err().expect("refused").to_string()
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(complaint(b""), "a.json: the file is empty: expected a JSON export");
        assert_eq!(complaint(b"\xff\xfe{\0"), "a.json: the text is UTF-16: expected JSON in UTF-8");
        assert_eq!(complaint(b"{\0}\0"), "a.json: the text is UTF-16: expected JSON in UTF-8");
        assert_eq!(
            complaint(b"{\"a\": [1,\r\n"),
            "a.json:2:0: the JSON ends in the middle: EOF while parsing a value"
        );
        assert_eq!(complaint(b"# Readme"), "a.json:1:1: not JSON: expected value");
        assert!(complaint(b"[] x").starts_with("a.json:1:4: more follows after the end of the JSON"));
        assert!(complaint("[".repeat(10_000).as_bytes()).contains("nested more than 127 levels deep"));
        assert!(complaint(b"\"\xff\"").starts_with("a.json:1:"));
        assert!(Tree::parse("a.json", b"\xef\xbb\xbf{}\r\n").is_ok());
    }

    #[test]
    fn a_made_value_stands_where_it_came_from_and_its_parts_below() {
        let mut tree = Tree::made("a.json", MadeOf::Terraform);
        let root = tree.put(0, Key::Root, Value::Null, None);
        let moved = tree.put(root, Key::Member("id".into()), Value::Null, Some("a.json#/values/0".into()));
        let part = tree.put(moved, Key::Item(2), Value::Null, None);
        let apart = tree.put(moved, Key::Item(3), Value::Null, Some("a.json#/values/1".into()));
        let beside = tree.put(root, Key::Member("a/b".into()), Value::Null, None);
        let places = [root, moved, part, apart, beside].map(|index| tree.place(index));
        assert_eq!(
            places,
            ["a.json#", "a.json#/values/0", "a.json#/values/0/2", "a.json#/values/1", "a.json#/a~1b"]
        );
    }
}
