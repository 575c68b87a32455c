//! A value of a document that knows where it stands.
//!
//! Azure's tools differ in letter case, in nesting under `properties` and in how they write "nothing"; the look-ups
//! here even that out (JSON-1, JSON-2, SIM-4), so that readers of resources see one shape. Every complaint about a
//! node carries its file and JSON pointer.

use std::net::IpAddr;

use super::tree::{Entry, Key, MadeOf, Tree, Unresolved, Value};
use crate::ingest::error::IngestError;
use crate::model::id::ResourceId;

/// One value of a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    tree: &'a Tree,
    index: u32,
}

impl Tree {
    /// The whole document.
    pub(super) fn root(&self) -> Node<'_> {
        Node { tree: self, index: 0 }
    }

    /// Members that an earlier member of their object shares its name with.
    pub(super) fn repeated(&self) -> impl Iterator<Item = Node<'_>> {
        self.repeated.iter().map(|&index| Node { tree: self, index })
    }
}

impl<'a> Node<'a> {
    /// The value with its key.
    pub(super) fn entry(self) -> &'a Entry {
        &self.tree.entries[self.index as usize]
    }

    fn at(self, index: u32) -> Self {
        Self { tree: self.tree, index }
    }

    /// File and JSON pointer: `web.json#/securityRules/3/priority`.
    pub(super) fn place(self) -> String {
        self.tree.place(self.index)
    }

    /// The name of the member that holds the value; of an item, the name of its list.
    pub(super) fn key(self) -> &'a str {
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
            Value::Unresolved(unresolved) => shorten(&unresolved.expression),
        }
    }

    /// An error about this value.
    pub(super) fn error(self, message: impl Into<String>) -> IngestError {
        IngestError::content(self.place(), message)
    }

    /// The error of a value that is not what `expected` says: `an integer`.
    pub(super) fn wrong(self, expected: &str) -> IngestError {
        if let Some(unresolved) = self.unresolved() {
            let (key, shown) = (self.key(), self.shown());
            let reason = &unresolved.reason;
            return self.error(format!("{key} `{shown}` is not evaluated: expected {expected}: {reason}"));
        }
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
            Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Unresolved(_) => false,
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

    /// The expression, if the value is one whose own value is not known (JSON-8).
    pub(super) fn unresolved(self) -> Option<&'a Unresolved> {
        match &self.entry().value {
            Value::Unresolved(unresolved) => Some(unresolved),
            _ => None,
        }
    }

    /// Whether the value was made from a template.
    pub(super) fn is_of_template(self) -> bool {
        self.tree.made_of == Some(MadeOf::Template)
    }

    /// A tree without values yet, named as the value's own and made as it was, or from a template.
    pub(super) fn tree_of_its_kind(self, of_template: bool) -> Tree {
        let made_of = if of_template { Some(MadeOf::Template) } else { self.tree.made_of };
        Tree::empty(&self.tree.name, made_of)
    }

    /// The value as it stands.
    pub(super) fn raw(self) -> &'a Value {
        &self.entry().value
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

    /// The object's own member of this name, ignoring case, also if it holds nothing.
    pub(super) fn raw_member(self, name: &str) -> Option<Self> {
        // What is in a value that is not known is not known either: it must not pass for absent.
        if self.unresolved().is_some() {
            return Some(self);
        }
        self.raw_members().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, node)| node)
    }

    /// The member of this name, ignoring case, of the object or of its `properties` (JSON-1, JSON-2). A member that
    /// holds nothing is not there (SIM-4).
    pub(super) fn member(self, name: &str) -> Option<Self> {
        let present = |node: Self| node.raw_member(name).filter(|member| !member.is_empty());
        present(self).or_else(|| present(self.raw_member("properties")?))
    }

    /// The object around the list that the value is an item of.
    pub(super) fn around(self) -> Option<Self> {
        let list = self.at(self.entry().parent);
        let around = list.at(list.entry().parent);
        around.is_object().then_some(around)
    }

    /// The text that the value is.
    pub(super) fn text(self) -> Result<&'a str, IngestError> {
        self.as_text().ok_or_else(|| self.wrong("a text"))
    }

    /// The integer that the value is.
    pub(super) fn integer(self) -> Result<i64, IngestError> {
        match &self.entry().value {
            Value::Number(number) => number.as_i64(),
            // Azure takes a text of digits for a number from a template, whose parameters often are texts.
            Value::Text(text) if self.is_of_template() => text.parse().ok(),
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

    /// The resource ID that the text is. An expression without a value stands for a resource that no inventory has, so
    /// that whatever hangs on it is undetermined (SIM-4).
    pub(super) fn id(self) -> Result<ResourceId, IngestError> {
        if let Some(id) = self.unresolved().and_then(|unresolved| ResourceId::new(&unresolved.expression)) {
            return Ok(id);
        }
        ResourceId::new(self.text()?).ok_or_else(|| self.wrong("a resource ID"))
    }

    /// What the text stands for among these words, in any letter case (SIM-3); any other word is an error.
    pub(super) fn one_of<T: Copy>(self, words: &[(&str, T)]) -> Result<T, IngestError> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.wrong(&expected(words)))
    }

    /// What a member's word stands for, as [`Node::one_of`]; the member must be there.
    pub(super) fn needed_one_of<T: Copy>(self, name: &str, words: &[(&str, T)]) -> Result<T, IngestError> {
        self.member(name).ok_or_else(|| self.lacks(name, &expected(words)))?.one_of(words)
    }

    /// A member's text.
    pub(super) fn text_of(self, name: &str) -> Result<Option<&'a str>, IngestError> {
        self.member(name).map(Self::text).transpose()
    }

    /// A member's yes or no.
    pub(super) fn flag_of(self, name: &str) -> Result<Option<bool>, IngestError> {
        let Some(member) = self.member(name) else { return Ok(None) };
        match &member.entry().value {
            Value::Bool(value) => Ok(Some(*value)),
            // As with numbers.
            Value::Text(text) if member.is_of_template() && text.eq_ignore_ascii_case("true") => {
                Ok(Some(true))
            }
            Value::Text(text) if member.is_of_template() && text.eq_ignore_ascii_case("false") => {
                Ok(Some(false))
            }
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
        if self.unresolved().is_some() {
            return Ok((self.id()?, self));
        }
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
            (Value::Unresolved(one), Value::Unresolved(two)) => one.expression == two.expression,
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

/// The words of a closed set, for a message: "`a`, `b` or `c`".
fn expected<T>(words: &[(&str, T)]) -> String {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
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
    fn shapes_and_empty_members_do_not_make_a_difference() {
        let flat = parse(r#"{"id": "/X", "b": [{"c": 1}], "resourceGroup": "g", "d": null}"#);
        let nested = parse(r#"{"properties": {"B": [{"properties": {"c": 1}}]}, "id": "/x", "etag": "1"}"#);
        let other = parse(r#"{"id": "/x", "b": [{"c": 2}]}"#);
        assert!(flat.root().says_the_same(nested.root()));
        assert!(!flat.root().says_the_same(other.root()));
    }
}
