//! An edited resource as a tree of its own, in the export's shape.

use std::rc::Rc;

use super::super::node::Node;
use super::super::tree::{Key, Tree, Unresolved, Value};
use super::draft::{Draft, New, Part};
use crate::ingest::yaml::At;
use crate::model::id::ResourceId;

/// Writes a resource; `edits` names the file of edits.
pub(super) fn resource(draft: &Draft<'_>, edits: &str) -> Tree {
    let node = draft.own.node.expect("edits make no resources");
    let of_template = draft.parts.iter().filter_map(|part| part.node).any(Node::is_of_template);
    let mut writer = Writer { tree: node.tree_of_its_kind(of_template), edits };
    let root = writer.put(0, Key::Root, Value::Null, &node.place());
    let parted = draft.list.as_slice();
    let rewritten: &[&str] = if draft.moved() { &["securityRules", "subnets"] } else { parted };
    let mut members = writer.part(root, &draft.own, rewritten);
    if let Some(list) = draft.list {
        let place = node.member(list).unwrap_or(node).place();
        let index = writer.put(root, Key::Member(list.into()), Value::Null, &place);
        let items = draft.parts.iter().enumerate();
        let items = items.map(|(position, part)| {
            let place = part.place(writer.edits);
            let item = writer.put(index, Key::Item(position), Value::Null, &place);
            let members = writer.part(item, part, &[]);
            writer.fill(item, Value::Object(members));
            item
        });
        let items = items.collect();
        writer.fill(index, Value::List(items));
        members.push(index);
    }
    if draft.moved() {
        members.push(writer.subnets(root, node, draft));
    }
    writer.fill(root, Value::Object(members));
    writer.tree
}

struct Writer<'e> {
    tree: Tree,
    edits: &'e str,
}

impl Part<'_> {
    /// Where it stands: in the edits if they made or changed it, or else in the export.
    fn place(&self, edits: &str) -> String {
        match (self.edited_at, self.node) {
            (Some(at), _) => at.place(edits),
            (None, Some(node)) => node.place(),
            (None, None) => unreachable!("a part is the export's or an edit's"),
        }
    }
}

impl Writer<'_> {
    fn put(&mut self, parent: u32, key: Key, value: Value, place: &str) -> u32 {
        self.tree.put(parent, key, value, Some(Rc::from(place)))
    }

    fn fill(&mut self, index: u32, value: Value) {
        self.tree.entries[index as usize].value = value;
    }

    /// The members of an object: those of the export without what edits say, then what they say.
    fn part(&mut self, object: u32, part: &Part<'_>, rewritten: &[&str]) -> Vec<u32> {
        let stays = |name: &str| {
            part.edited(name).is_none() && !rewritten.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let mut members = part.node.map_or_else(Vec::new, |node| self.members(object, node, &stays));
        for (name, value) in &part.members {
            if let Some(value) = value {
                members.push(self.new_value(object, Key::Member(name.as_str().into()), value));
            }
        }
        members
    }

    /// Copies the members of an object, and of its `properties`, that stay.
    fn members(&mut self, object: u32, node: Node<'_>, stays: &dyn Fn(&str) -> bool) -> Vec<u32> {
        let mut copied = Vec::new();
        for (name, member) in node.raw_members() {
            let key = Key::Member(name.into());
            if name.eq_ignore_ascii_case("properties") && member.is_object() {
                let index = self.put(object, key, Value::Null, &member.place());
                let inner = self.members(index, member, stays);
                self.fill(index, Value::Object(inner));
                copied.push(index);
            } else if stays(name) {
                copied.push(self.copy(object, key, member));
            }
        }
        copied
    }

    fn copy(&mut self, parent: u32, key: Key, node: Node<'_>) -> u32 {
        let value = match node.raw() {
            Value::Null | Value::List(_) | Value::Object(_) => Value::Null,
            Value::Bool(value) => Value::Bool(*value),
            Value::Number(value) => Value::Number(value.clone()),
            Value::Text(text) => Value::Text(text.clone()),
            Value::Unresolved(unresolved) => Value::Unresolved(Box::new(Unresolved {
                expression: unresolved.expression.clone(),
                reason: unresolved.reason.clone(),
            })),
        };
        let index = self.put(parent, key, value, &node.place());
        if let Some(items) = node.as_list() {
            let items = items.into_iter().enumerate();
            let items = items.map(|(position, item)| self.copy(index, Key::Item(position), item)).collect();
            self.fill(index, Value::List(items));
        } else if node.is_object() {
            let members = node.raw_members();
            let members =
                members.map(|(name, member)| self.copy(index, Key::Member(name.into()), member)).collect();
            self.fill(index, Value::Object(members));
        }
        index
    }

    /// The subnets that an NSG names: those that it named and still does, then those that it got.
    fn subnets(&mut self, root: u32, node: Node<'_>, draft: &Draft<'_>) -> u32 {
        let list = node.member("subnets");
        let place = list.unwrap_or(node).place();
        let index = self.put(root, Key::Member("subnets".into()), Value::Null, &place);
        let left = |item: &Node<'_>| {
            let id = item.member("id").and_then(Node::as_text).and_then(ResourceId::new);
            id.is_some_and(|id| draft.left.contains(&id))
        };
        let mut items = Vec::new();
        for item in list.and_then(Node::as_list).unwrap_or_default() {
            if !left(&item) {
                items.push(self.copy(index, Key::Item(items.len()), item));
            }
        }
        for (subnet, at) in &draft.joined {
            items.push(self.reference(index, Key::Item(items.len()), subnet, *at));
        }
        self.fill(index, Value::List(items));
        index
    }

    fn new_value(&mut self, parent: u32, key: Key, value: &New) -> u32 {
        match value {
            New::Text(text, at) => self.text(parent, key, text, *at),
            New::Number(number, at) => {
                self.put(parent, key, Value::Number((*number).into()), &at.place(self.edits))
            }
            New::Reference(id, at) => self.reference(parent, key, id, *at),
            New::Texts(texts) => self.list(parent, key, texts, |writer, index, key, (text, at)| {
                writer.text(index, key, text, *at)
            }),
            New::References(ids) => self
                .list(parent, key, ids, |writer, index, key, (id, at)| writer.reference(index, key, id, *at)),
        }
    }

    fn list<T>(
        &mut self,
        parent: u32,
        key: Key,
        items: &[(T, At)],
        item: impl Fn(&mut Self, u32, Key, &(T, At)) -> u32,
    ) -> u32 {
        let place = items.first().map_or_else(String::new, |(_, at)| at.place(self.edits));
        let index = self.put(parent, key, Value::Null, &place);
        let items = items.iter().enumerate();
        let items = items.map(|(position, one)| item(self, index, Key::Item(position), one)).collect();
        self.fill(index, Value::List(items));
        index
    }

    fn text(&mut self, parent: u32, key: Key, text: &str, at: At) -> u32 {
        self.put(parent, key, Value::Text(text.into()), &at.place(self.edits))
    }

    fn reference(&mut self, parent: u32, key: Key, id: &ResourceId, at: At) -> u32 {
        let index = self.put(parent, key, Value::Null, &at.place(self.edits));
        let member = self.text(index, Key::Member("id".into()), id.as_str(), at);
        self.fill(index, Value::Object(vec![member]));
        index
    }
}
