//! A JSON document as a tree whose nodes know where they stand.
//!
//! Azure's tools differ in letter case, in nesting under `properties` and in how they write "nothing"; the look-ups
//! here even that out (JSON-1, JSON-2, SIM-4), so that readers of resources see one shape. Every complaint about a
//! node carries its file and JSON pointer.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::ingest::error::IngestError;
use crate::model::id::ResourceId;

/// Values in one document, beyond which it is refused: the tree takes about 64 bytes for each.
const MOST_VALUES: usize = 1 << 24;

/// A parsed document.
pub(super) struct Tree {
    /// The document's name in messages.
    name: String,
    entries: Vec<Entry>,
    /// Members whose object names them once more, earlier; they replaced the earlier one.
    repeated: Vec<u32>,
}

struct Entry {
    parent: u32,
    key: Key,
    value: Value,
}

enum Key {
    Root,
    Member(Box<str>),
    Item(usize),
}

enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    List(Vec<u32>),
    Object(Vec<u32>),
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
        Ok(Self { name: name.to_owned(), entries: builder.entries, repeated: builder.repeated })
    }

    /// The whole document.
    pub(super) fn root(&self) -> Node<'_> {
        Node { tree: self, index: 0 }
    }

    /// Members that an earlier member of their object shares its name with.
    pub(super) fn repeated(&self) -> impl Iterator<Item = Node<'_>> {
        self.repeated.iter().map(|&index| Node { tree: self, index })
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
                members.iter().position(|&member: &u32| {
                    matches!(&this.builder.entries[member as usize].key, Key::Member(other) if other.eq_ignore_ascii_case(&name))
                })
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

/// One value of a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    tree: &'a Tree,
    index: u32,
}

impl<'a> Node<'a> {
    fn entry(self) -> &'a Entry {
        &self.tree.entries[self.index as usize]
    }

    fn at(self, index: u32) -> Self {
        Self { tree: self.tree, index }
    }

    /// File and JSON pointer: `web.json#/securityRules/3/priority`.
    pub(super) fn place(self) -> String {
        let mut keys = Vec::new();
        let mut entry = self.entry();
        loop {
            match &entry.key {
                Key::Root => break,
                Key::Member(name) => keys.push(name.replace('~', "~0").replace('/', "~1")),
                Key::Item(position) => keys.push(position.to_string()),
            }
            entry = &self.tree.entries[entry.parent as usize];
        }
        let mut place = format!("{}#", self.tree.name);
        for key in keys.iter().rev() {
            place.push('/');
            place.push_str(key);
        }
        place
    }

    /// The name of the member that holds the value; of an item, the name of its list.
    fn key(self) -> &'a str {
        let mut entry = self.entry();
        loop {
            match &entry.key {
                Key::Root => return "the document",
                Key::Member(name) => return name,
                Key::Item(_) => entry = &self.tree.entries[entry.parent as usize],
            }
        }
    }

    /// The value in a few words of its own.
    fn shown(self) -> String {
        match &self.entry().value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => shorten(text),
            Value::List(_) => "[...]".to_owned(),
            Value::Object(_) => "{...}".to_owned(),
        }
    }

    /// An error about this value.
    pub(super) fn error(self, message: impl Into<String>) -> IngestError {
        IngestError::content(self.place(), message)
    }

    /// The error of a value that is not what `expected` says: `an integer`.
    pub(super) fn wrong(self, expected: &str) -> IngestError {
        self.error(format!("{} `{}` is not {expected}", self.key(), self.shown()))
    }

    /// The error of an object that lacks a member.
    pub(super) fn lacks(self, member: &str, expected: &str) -> IngestError {
        self.error(format!("{member} is missing: expected {expected}"))
    }

    /// `null`, an empty text and an empty list stand for nothing (SIM-4).
    pub(super) fn is_empty(self) -> bool {
        match &self.entry().value {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        }
    }

    /// Whether the value is an object.
    pub(super) fn is_object(self) -> bool {
        matches!(self.entry().value, Value::Object(_))
    }

    /// The items, if the value is a list.
    pub(super) fn as_list(self) -> Option<Vec<Self>> {
        match &self.entry().value {
            Value::List(items) => Some(items.iter().map(|&item| self.at(item)).collect()),
            _ => None,
        }
    }

    /// The text, if the value is one.
    pub(super) fn as_text(self) -> Option<&'a str> {
        match &self.entry().value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The object's members as they stand, `properties` not merged upward.
    pub(super) fn raw_members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let members: &[u32] = match &self.entry().value {
            Value::Object(members) => members,
            _ => &[],
        };
        members.iter().filter_map(move |&member| match &self.at(member).entry().key {
            Key::Member(name) => Some((&**name, self.at(member))),
            Key::Root | Key::Item(_) => None,
        })
    }

    fn raw_member(self, name: &str) -> Option<Self> {
        self.raw_members().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, node)| node)
    }

    /// The member of this name, ignoring case, of the object or of its `properties` (JSON-1, JSON-2). A member that
    /// holds nothing is not there (SIM-4).
    pub(super) fn member(self, name: &str) -> Option<Self> {
        let present = |node: Self| node.raw_member(name).filter(|member| !member.is_empty());
        present(self).or_else(|| present(self.raw_member("properties")?))
    }

    /// The text that the value is.
    pub(super) fn text(self) -> Result<&'a str, IngestError> {
        self.as_text().ok_or_else(|| self.wrong("a text"))
    }

    /// The integer that the value is.
    pub(super) fn integer(self) -> Result<i64, IngestError> {
        match &self.entry().value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
        .ok_or_else(|| self.wrong("an integer"))
    }

    /// The items of the list that the value is.
    pub(super) fn items(self) -> Result<Vec<Self>, IngestError> {
        self.as_list().ok_or_else(|| self.wrong("a list"))
    }

    /// The address that the text is.
    pub(super) fn address(self) -> Result<IpAddr, IngestError> {
        self.text()?.parse().map_err(|_| self.wrong("an IP address"))
    }

    /// The resource ID that the text is.
    pub(super) fn id(self) -> Result<ResourceId, IngestError> {
        ResourceId::new(self.text()?).ok_or_else(|| self.wrong("a resource ID"))
    }

    /// A member's text.
    pub(super) fn text_of(self, name: &str) -> Result<Option<&'a str>, IngestError> {
        self.member(name).map(Self::text).transpose()
    }

    /// A member's yes or no.
    pub(super) fn flag_of(self, name: &str) -> Result<Option<bool>, IngestError> {
        let Some(member) = self.member(name) else { return Ok(None) };
        match member.entry().value {
            Value::Bool(value) => Ok(Some(value)),
            _ => Err(member.wrong("true or false")),
        }
    }

    /// A member's non-negative number.
    pub(super) fn number_of<T: TryFrom<i64>>(
        self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, IngestError> {
        let Some(member) = self.member(name) else { return Ok(None) };
        T::try_from(member.integer()?).map(Some).map_err(|_| member.wrong(expected))
    }

    /// The items of a member's list; none if it is not there.
    pub(super) fn list_of(self, name: &str) -> Result<Vec<Self>, IngestError> {
        self.member(name).map_or_else(|| Ok(Vec::new()), Self::items)
    }

    /// The texts of a member's list.
    pub(super) fn texts_of(self, name: &str) -> Result<Vec<String>, IngestError> {
        self.list_of(name)?.into_iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// The address that a member's text is.
    pub(super) fn address_of(self, name: &str) -> Result<Option<IpAddr>, IngestError> {
        self.member(name).map(Self::address).transpose()
    }

    /// The resource that a member refers to, `{"id": ...}`, with the node of the ID.
    pub(super) fn reference_of(self, name: &str) -> Result<Option<(ResourceId, Self)>, IngestError> {
        self.member(name).map(Self::reference).transpose()
    }

    /// The resources that a member's list refers to.
    pub(super) fn references_of(self, name: &str) -> Result<Vec<(ResourceId, Self)>, IngestError> {
        self.list_of(name)?.into_iter().map(Self::reference).collect()
    }

    fn reference(self) -> Result<(ResourceId, Self), IngestError> {
        if !self.is_object() {
            return Err(self.wrong("an object with an `id`"));
        }
        let id = self.raw_member("id").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.lacks("id", "a resource ID"))?;
        Ok((id.id()?, id))
    }

    /// Whether two values say the same: letter case, order of members, nesting under `properties` and members that
    /// say nothing of the network do not count.
    pub(super) fn says_the_same(self, other: Self) -> bool {
        match (&self.entry().value, &other.entry().value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Number(one), Value::Number(two)) => one == two,
            (Value::Text(one), Value::Text(two)) => one.eq_ignore_ascii_case(two),
            (Value::List(one), Value::List(two)) => {
                one.len() == two.len()
                    && one.iter().zip(two).all(|(&one, &two)| self.at(one).says_the_same(other.at(two)))
            }
            (Value::Object(_), Value::Object(_)) => {
                let (one, two) = (self.telling_members(), other.telling_members());
                one.len() == two.len()
                    && one
                        .iter()
                        .zip(&two)
                        .all(|((a, one), (b, two))| a.eq_ignore_ascii_case(b) && one.says_the_same(*two))
            }
            _ => false,
        }
    }

    /// The members that tell something of the network, those of `properties` merged upward, by name.
    fn telling_members(self) -> Vec<(&'a str, Self)> {
        const SILENT: [&str; 6] =
            ["etag", "provisioningState", "resourceGroup", "tags", "type", "properties"];
        let inner = self.raw_member("properties").filter(|inner| inner.is_object());
        let mut members: Vec<(&str, Self)> = self
            .raw_members()
            .chain(inner.into_iter().flat_map(Self::raw_members))
            .filter(|(name, node)| {
                !node.is_empty() && !SILENT.iter().any(|silent| silent.eq_ignore_ascii_case(name))
            })
            .collect();
        members.sort_by_cached_key(|(name, _)| name.to_ascii_lowercase());
        members.dedup_by(|later, earlier| later.0.eq_ignore_ascii_case(earlier.0));
        members
    }
}

/// A text for a message: its first 120 characters.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    fn parse(text: &str) -> Tree {
        Tree::parse("a.json", text.as_bytes()).unwrap()
    }

    fn complaint(bytes: &[u8]) -> String {
        Tree::parse("a.json", bytes).err().expect("refused").to_string()
    }

    #[test]
    fn json_1_and_2_members_are_found_in_properties_and_in_any_case() {
        let tree = parse(r#"{"properties": {"privateIpAddress": "10.0.0.4", "a/b": {"~": [1]}}}"#);
        let address = tree.root().member("privateIPAddress").unwrap();
        assert_eq!(address.text().unwrap(), "10.0.0.4");
        assert_eq!(address.place(), "a.json#/properties/privateIpAddress");
        let deep = tree.root().member("A/B").unwrap().list_of("~").unwrap()[0];
        assert_eq!(deep.place(), "a.json#/properties/a~1b/~0/0");
    }

    #[test]
    fn sim_4_what_is_empty_is_not_there() {
        let tree = parse(r#"{"a": null, "b": "", "c": [], "d": {}, "properties": {"a": 5}}"#);
        let root = tree.root();
        assert_eq!(root.member("a").unwrap().integer().unwrap(), 5);
        assert!(root.member("b").is_none() && root.member("c").is_none() && root.member("d").is_some());
    }

    #[test]
    fn the_last_of_two_members_of_one_name_counts_and_is_told() {
        let many: String = (0..40).map(|n| format!(r#""m{n}": {n}, "#)).collect();
        for (text, place) in [
            (r#"{"priority": 1, "Priority": 2}"#.to_owned(), "a.json#/Priority"),
            (format!(r#"{{"priority": 1, {many} "PRIORITY": 2}}"#), "a.json#/PRIORITY"),
            (format!(r#"{{{many} "priority": 1, "PRIORITY": 2}}"#), "a.json#/PRIORITY"),
        ] {
            let tree = parse(&text);
            assert_eq!(tree.root().member("priority").unwrap().integer().unwrap(), 2);
            assert_eq!(tree.repeated().map(|node| node.place()).collect::<Vec<_>>(), [place]);
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(complaint(b""), "a.json: the file is empty: expected a JSON export");
        assert_eq!(complaint(b"\xff\xfe{\0"), "a.json: the text is UTF-16: expected JSON in UTF-8");
        assert_eq!(complaint(b"{\0}\0"), "a.json: the text is UTF-16: expected JSON in UTF-8");
        assert_eq!(
            complaint(b"{\"a\": [1,\r\n"),
            "a.json:2:0: the JSON ends in the middle: EOF while parsing a list"
        );
        assert_eq!(complaint(b"# Readme"), "a.json:1:1: not JSON: expected value");
        assert!(complaint(b"[] x").starts_with("a.json:1:4: more follows after the end of the JSON"));
        assert!(complaint("[".repeat(10_000).as_bytes()).contains("nested more than 127 levels deep"));
        assert!(complaint(b"\"\xff\"").starts_with("a.json:1:"));
        assert!(Tree::parse("a.json", b"\xef\xbb\xbf{}\r\n").is_ok());
    }

    #[test]
    fn shapes_and_empty_members_do_not_make_a_difference() {
        let flat = parse(r#"{"id": "/X", "b": [{"c": 1}], "resourceGroup": "g", "d": null}"#);
        let nested = parse(r#"{"properties": {"B": [{"properties": {"c": 1}}]}, "id": "/x", "etag": "1"}"#);
        let other = parse(r#"{"id": "/x", "b": [{"c": 2}]}"#);
        assert!(flat.root().says_the_same(nested.root()));
        assert!(!flat.root().says_the_same(other.root()));
    }
}
