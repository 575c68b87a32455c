//! The tree that readers of resources get: values where the template has expressions, each with its place there.

use std::rc::Rc;

use super::evaluate::{Scope, copies};
use super::expression::{Written, written};
use super::uncounted;
use super::value::{Data, Text, Unknown};
use crate::ingest::azure::node::Node;
use crate::ingest::azure::tree::{Key, MadeOf, Tree, Unresolved, Value};
use crate::ingest::error::IngestError;

/// Values written for one template, beyond which it is refused.
const MOST_VALUES: usize = 1 << 21;

/// Makes a tree, value by value.
pub(super) struct Writer {
    tree: Tree,
}

/// Where a value goes.
pub(super) struct Slot {
    pub(super) parent: u32,
    pub(super) key: Key,
}

/// The expression that a value came from.
struct Origin {
    place: Rc<str>,
    expression: String,
}

impl Writer {
    /// A tree for the template of this name: a list of resources.
    pub(super) fn new(name: &str, place: &str) -> Self {
        let mut tree = Tree::made(name, MadeOf::Template);
        tree.put(0, Key::Root, Value::List(Vec::new()), Some(place.into()));
        Self { tree }
    }

    pub(super) fn finish(self) -> Tree {
        self.tree
    }

    /// Adds an object to the list; its members follow by [`Writer::member`].
    pub(super) fn resource(&mut self, node: Node<'_>) -> Result<u32, IngestError> {
        let position = match &self.tree.entries[0].value {
            Value::List(items) => items.len(),
            _ => 0,
        };
        let slot = Slot { parent: 0, key: Key::Item(position) };
        let object = self.put(slot, Value::Object(Vec::new()), &node.place().into(), node)?;
        self.hang(0, object);
        Ok(object)
    }

    /// Adds a text to an object.
    pub(super) fn text(
        &mut self,
        object: u32,
        name: &str,
        text: &str,
        node: Node<'_>,
    ) -> Result<(), IngestError> {
        let slot = Slot { parent: object, key: Key::Member(name.into()) };
        let member = self.put(slot, Value::Text(text.into()), &node.place().into(), node)?;
        self.hang(object, member);
        Ok(())
    }

    /// Adds a member of the template to an object.
    pub(super) fn member<'a>(
        &mut self,
        object: u32,
        name: &str,
        scope: &Scope<'a>,
        node: Node<'a>,
    ) -> Result<(), IngestError> {
        let slot = Slot { parent: object, key: Key::Member(name.into()) };
        let member = self.node(slot, scope, node)?;
        self.hang(object, member);
        Ok(())
    }

    fn hang(&mut self, parent: u32, child: u32) {
        if let Value::List(children) | Value::Object(children) = &mut self.tree.entries[parent as usize].value
        {
            children.push(child);
        }
    }

    fn put(&mut self, slot: Slot, value: Value, place: &Rc<str>, node: Node<'_>) -> Result<u32, IngestError> {
        let value = match value {
            // Azure takes a number for the text of a port.
            Value::Number(number) if self.is_port_range(&slot) => Value::Text(number.to_string().into()),
            other => other,
        };
        if self.tree.entries.len() >= MOST_VALUES {
            return Err(node.error(format!("the template makes more than {MOST_VALUES} values")));
        }
        Ok(self.tree.put(slot.parent, slot.key, value, Some(Rc::clone(place))))
    }

    /// Whether a text that stands for another may be taken as it is: as a name, or within an ID. The name of a SKU is
    /// a word with a meaning.
    fn is_name(&self, slot: &Slot, text: &str) -> bool {
        let is = |key: &Key, word: &str| matches!(key, Key::Member(name) if name.eq_ignore_ascii_case(word));
        let in_sku = is(&self.tree.entries[slot.parent as usize].key, "sku");
        (is(&slot.key, "name") && !in_sku)
            || text.starts_with("/subscriptions/")
            || text.starts_with("/providers/")
    }

    /// Whether a value is one of a rule's port ranges.
    fn is_port_range(&self, slot: &Slot) -> bool {
        let key = match &slot.key {
            Key::Item(_) => &self.tree.entries[slot.parent as usize].key,
            own => own,
        };
        let name = if let Key::Member(name) = key { name.to_ascii_lowercase() } else { String::new() };
        name.ends_with("portrange") || name.ends_with("portranges")
    }

    fn node<'a>(&mut self, slot: Slot, scope: &Scope<'a>, node: Node<'a>) -> Result<u32, IngestError> {
        let place: Rc<str> = node.place().into();
        match node.raw() {
            Value::Null | Value::Unresolved(_) => self.put(slot, Value::Null, &place, node),
            Value::Bool(value) => self.put(slot, Value::Bool(*value), &place, node),
            Value::Number(number) => self.put(slot, Value::Number(number.clone()), &place, node),
            Value::Text(text) => match written(text) {
                Written::Literal(text) => self.put(slot, Value::Text(text.into()), &place, node),
                Written::Expression(inside) => {
                    let value = scope.expression(inside, node).unwrap_or_else(Data::Unknown);
                    self.data(slot, &value, &Origin { place, expression: text.to_string() }, node)
                }
            },
            Value::List(_) => {
                let list = self.put(slot, Value::List(Vec::new()), &place, node)?;
                for (position, item) in node.as_list().unwrap_or_default().into_iter().enumerate() {
                    let item = self.node(Slot { parent: list, key: Key::Item(position) }, scope, item)?;
                    self.hang(list, item);
                }
                Ok(list)
            }
            Value::Object(_) => {
                let object = self.put(slot, Value::Object(Vec::new()), &place, node)?;
                self.members(object, scope, node)?;
                Ok(object)
            }
        }
    }

    /// The members of an object, its loops unrolled.
    fn members<'a>(&mut self, object: u32, scope: &Scope<'a>, node: Node<'a>) -> Result<(), IngestError> {
        let copies = copies(scope, node).map_err(|reason| refused(&reason))?;
        for (name, member) in node.raw_members() {
            if copies.is_none() || !name.eq_ignore_ascii_case("copy") {
                self.member(object, name, scope, member)?;
            }
        }
        for copy in copies.unwrap_or_default() {
            let count = copy.count.map_err(|reason| uncounted(copy.node, &reason))?;
            let slot = Slot { parent: object, key: Key::Member(copy.name.into()) };
            let list = self.put(slot, Value::List(Vec::new()), &copy.input.place().into(), node)?;
            self.hang(object, list);
            let mut position = 0;
            scope.rounds(false, copy.name, count, || {
                let item = self.node(Slot { parent: list, key: Key::Item(position) }, scope, copy.input)?;
                self.hang(list, item);
                position += 1;
                Ok::<(), IngestError>(())
            })?;
        }
        Ok(())
    }

    fn data(&mut self, slot: Slot, data: &Data, origin: &Origin, node: Node<'_>) -> Result<u32, IngestError> {
        let place = &origin.place;
        match data {
            Data::Null => self.put(slot, Value::Null, place, node),
            Data::Bool(value) => self.put(slot, Value::Bool(*value), place, node),
            Data::Integer(number) => self.put(slot, Value::Number((*number).into()), place, node),
            Data::Fraction(number) => self.put(slot, Value::Number(number.clone()), place, node),
            Data::Text(Text { text, opaque }) => match opaque {
                Some(reason) if !self.is_name(&slot, text) => {
                    let value = unresolved(reason, origin);
                    self.put(slot, value, place, node)
                }
                _ => self.put(slot, Value::Text((&**text).into()), place, node),
            },
            Data::List(items) => {
                let list = self.put(slot, Value::List(Vec::new()), place, node)?;
                for (position, item) in items.iter().enumerate() {
                    let item =
                        self.data(Slot { parent: list, key: Key::Item(position) }, item, origin, node)?;
                    self.hang(list, item);
                }
                Ok(list)
            }
            Data::Object(members) => {
                let object = self.put(slot, Value::Object(Vec::new()), place, node)?;
                for (name, member) in members.iter() {
                    let key = Key::Member((&**name).into());
                    let member = self.data(Slot { parent: object, key }, member, origin, node)?;
                    self.hang(object, member);
                }
                Ok(object)
            }
            Data::Unknown(reason) => {
                let value = unresolved(reason, origin);
                self.put(slot, value, place, node)
            }
        }
    }
}

fn unresolved(reason: &Unknown, origin: &Origin) -> Value {
    Value::Unresolved(Box::new(Unresolved {
        expression: origin.expression.clone(),
        reason: if *reason.place == *origin.place {
            reason.reason.clone()
        } else {
            format!("{} ({})", reason.reason, reason.place)
        },
    }))
}

/// The error of what must be known for the template to be read at all.
pub(super) fn refused(reason: &Unknown) -> IngestError {
    IngestError::content(&*reason.place, &*reason.reason)
}
