//! Values in ARM's shape that remember where they stood in Terraform's.

use crate::ingest::azure::node::Node;
use crate::ingest::azure::tree::{Key, MadeOf, Tree, Value};

/// A value to be written, and the place that messages about it name.
#[derive(Clone)]
pub(super) struct Draft<'a> {
    pub place: String,
    pub content: Content<'a>,
}

/// What a draft holds.
#[derive(Clone)]
pub(super) enum Content<'a> {
    /// A value as it stands, with everything in it.
    Copy(Node<'a>),
    Flag(bool),
    Text(String),
    List(Vec<Draft<'a>>),
    Object(Vec<(&'static str, Draft<'a>)>),
}

impl<'a> Draft<'a> {
    /// The value as it stands.
    pub(super) fn copy(node: Node<'a>) -> Self {
        Self { place: node.place(), content: Content::Copy(node) }
    }

    /// `{"id": ...}`.
    pub(super) fn reference(place: &str, id: String) -> Self {
        let id = Self { place: place.to_owned(), content: Content::Text(id) };
        Self { place: place.to_owned(), content: Content::Object(vec![("id", id)]) }
    }
}

/// Writes a list of resources as a document of this name.
pub(super) fn tree(name: &str, resources: Vec<Draft<'_>>) -> Tree {
    let mut tree = Tree::made(name, MadeOf::Terraform);
    let root = Draft { place: format!("{name}#"), content: Content::List(resources) };
    write(&mut tree, 0, Key::Root, root);
    tree
}

fn write(tree: &mut Tree, parent: u32, key: Key, draft: Draft<'_>) -> u32 {
    let index = tree.put(parent, key, Value::Null, Some(draft.place.into()));
    let value = match draft.content {
        Content::Copy(node) => copied(tree, index, node),
        Content::Flag(flag) => Value::Bool(flag),
        Content::Text(text) => Value::Text(text.into()),
        Content::List(items) => {
            let items = items.into_iter().enumerate();
            Value::List(items.map(|(position, item)| write(tree, index, Key::Item(position), item)).collect())
        }
        Content::Object(members) => {
            let write = |(name, member): (&str, _)| write(tree, index, Key::Member(name.into()), member);
            Value::Object(members.into_iter().map(write).collect())
        }
    };
    tree.entries[index as usize].value = value;
    index
}

/// The value of `node`; its parts become parts of `index` and so are found below the same place.
fn copied(tree: &mut Tree, index: u32, node: Node<'_>) -> Value {
    let mut part = |key, node| {
        let part = tree.put(index, key, Value::Null, None);
        let value = copied(tree, part, node);
        tree.entries[part as usize].value = value;
        part
    };
    match &node.entry().value {
        Value::Null => Value::Null,
        Value::Bool(flag) => Value::Bool(*flag),
        Value::Number(number) => Value::Number(number.clone()),
        Value::Text(text) => Value::Text(text.clone()),
        Value::Unresolved(_) => unreachable!("expressions without a value stand in templates alone"),
        Value::List(_) => {
            let items = node.as_list().unwrap_or_default().into_iter().enumerate();
            Value::List(items.map(|(position, item)| part(Key::Item(position), item)).collect())
        }
        Value::Object(_) => Value::Object(
            node.raw_members().map(|(name, member)| part(Key::Member(name.into()), member)).collect(),
        ),
    }
}
