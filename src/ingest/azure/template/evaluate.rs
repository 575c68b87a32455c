//! From the texts, lists and objects of a template to values (JSON-8).
//!
//! Nothing is evaluated before it is asked for: what a template leaves open does no harm where nobody looks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::expression::{self, Expression, Written, written};
use super::value::{Data, Evaluated, Unknown};
use crate::ingest::azure::node::{Node, shorten};
use crate::ingest::azure::tree::Value;

/// Values in each other, variables that use variables included, beyond which evaluation stops.
const MOST_NESTED: usize = 200;
/// Values made for one template, beyond which evaluation stops.
const MOST_STEPS: usize = 4_000_000;
/// Most letters of a text: what Azure takes.
const MOST_LETTERS: usize = 131_072;
/// Most rounds of a loop: what Azure takes.
const MOST_ROUNDS: i64 = 800;

/// How much of a template has been evaluated.
#[derive(Default)]
pub(super) struct Budget {
    steps: Cell<usize>,
    nested: Cell<usize>,
}

/// What `parameters`, `variables`, `resourceGroup` and `copyIndex` mean at a place of a template.
pub(super) struct Scope<'a> {
    /// Values given from outside, by name in lower case.
    pub(super) given: HashMap<String, Data>,
    /// The template's `parameters` and `variables`.
    pub(super) declared: Option<Node<'a>>,
    pub(super) variables: Option<Node<'a>>,
    /// Where the template is deployed.
    pub(super) subscription: String,
    pub(super) resource_group: String,
    /// The loops around, the innermost last.
    pub(super) loops: RefCell<Vec<Round>>,
    pub(super) budget: Rc<Budget>,
}

/// One round of a loop.
pub(super) struct Round {
    /// Of a loop over resources; the others repeat a property or a variable.
    pub(super) of_resource: bool,
    pub(super) name: String,
    pub(super) index: i64,
}

/// One `copy` of a property or variable.
pub(super) struct Copy<'a> {
    pub(super) name: &'a str,
    pub(super) count: Result<i64, Rc<Unknown>>,
    pub(super) input: Node<'a>,
    /// The loop itself.
    pub(super) node: Node<'a>,
}

/// A reason at a place.
pub(super) fn unknown(at: Node<'_>, reason: impl Into<String>) -> Rc<Unknown> {
    Rc::new(Unknown { place: at.place(), reason: reason.into() })
}

impl<'a> Scope<'a> {
    /// Counts work; fails when there was too much of it.
    pub(super) fn charge(&self, steps: usize, at: Node<'_>) -> Result<(), Rc<Unknown>> {
        let steps = self.budget.steps.get().saturating_add(steps);
        self.budget.steps.set(steps);
        if steps > MOST_STEPS {
            return Err(unknown(at, format!("the template takes more than {MOST_STEPS} steps to evaluate")));
        }
        Ok(())
    }

    /// A known text, unless it is too long.
    pub(super) fn text(&self, text: String, at: Node<'_>) -> Evaluated {
        self.charge(text.len() / 64, at)?;
        if text.len() > MOST_LETTERS {
            return Err(unknown(at, format!("the text is longer than {MOST_LETTERS} letters")));
        }
        Ok(Data::text(text))
    }

    /// Runs `work` one level deeper.
    fn deeper(&self, at: Node<'_>, work: impl FnOnce() -> Evaluated) -> Evaluated {
        self.charge(1, at)?;
        let nested = self.budget.nested.get();
        if nested >= MOST_NESTED {
            let reason =
                format!("values are nested more than {MOST_NESTED} levels deep, or refer to themselves");
            return Err(unknown(at, reason));
        }
        self.budget.nested.set(nested + 1);
        let result = work();
        self.budget.nested.set(nested);
        result
    }

    /// Evaluates a value of the template, with all that is in it.
    pub(super) fn value(&self, node: Node<'a>) -> Evaluated {
        self.deeper(node, || match node.raw() {
            Value::Text(text) => match written(text) {
                Written::Literal(text) => Ok(Data::text(text)),
                Written::Expression(inside) => self.expression(inside, node),
            },
            Value::List(_) => {
                let items = node.as_list().unwrap_or_default();
                Ok(Data::list(items.into_iter().map(|item| self.part(item)).collect()))
            }
            Value::Object(_) => self.object(node),
            _ => Ok(literal(node)),
        })
    }

    /// As [`Scope::value`], for a part of a list or object, which may be unknown on its own.
    fn part(&self, node: Node<'a>) -> Data {
        self.value(node).unwrap_or_else(Data::Unknown)
    }

    fn object(&self, node: Node<'a>) -> Evaluated {
        let mut members: Vec<(Rc<str>, Data)> = Vec::new();
        let copies = copies(self, node)?;
        for (name, member) in node.raw_members() {
            if copies.is_none() || !name.eq_ignore_ascii_case("copy") {
                members.push((name.into(), self.part(member)));
            }
        }
        for copy in copies.unwrap_or_default() {
            members.push((copy.name.into(), self.repeated(&copy).unwrap_or_else(Data::Unknown)));
        }
        Ok(Data::object(members))
    }

    /// The list that a loop makes.
    fn repeated(&self, copy: &Copy<'a>) -> Evaluated {
        let mut items = Vec::new();
        let count = copy.count.clone()?;
        self.rounds(false, copy.name, count, || {
            items.push(self.part(copy.input));
            Ok::<(), Rc<Unknown>>(())
        })?;
        Ok(Data::list(items))
    }

    /// How many rounds a loop has.
    pub(super) fn count(&self, item: Node<'a>) -> Result<i64, Rc<Unknown>> {
        let count = item.raw_member("count").ok_or_else(|| unknown(item, "the loop has no count"))?;
        match self.value(count)? {
            Data::Integer(number @ 0..=MOST_ROUNDS) => Ok(number),
            Data::Integer(number) => {
                Err(unknown(count, format!("a loop of {number} rounds: expected 0 to {MOST_ROUNDS}")))
            }
            other => Err(unknown(count, format!("the count is {}: expected an integer", other.kind()))),
        }
    }

    /// Runs `work` once for each round of a loop.
    pub(super) fn rounds<E>(
        &self,
        of_resource: bool,
        name: &str,
        count: i64,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        for index in 0..count {
            self.loops.borrow_mut().push(Round { of_resource, name: name.to_owned(), index });
            let result = work();
            self.loops.borrow_mut().pop();
            result?;
        }
        Ok(())
    }

    /// Evaluates the inside of `[...]`.
    pub(super) fn expression(&self, inside: &str, at: Node<'a>) -> Evaluated {
        self.charge(inside.len() / 64, at)?;
        let parsed = expression::parse(inside).map_err(|reason| unknown(at, reason))?;
        self.evaluate(&parsed, at)
    }

    /// Evaluates an expression that stands at `at`.
    pub(super) fn evaluate(&self, expression: &Expression, at: Node<'a>) -> Evaluated {
        self.deeper(at, || match expression {
            Expression::Text(text) => Ok(Data::text(text.as_str())),
            Expression::Integer(number) => Ok(Data::Integer(*number)),
            Expression::Call(name, arguments) => self.call(name, arguments, at)?.known(),
            Expression::Member(object, name) => {
                let object = self.evaluate(object, at)?;
                member(&object, name, at)
            }
            Expression::Index(list, index) => {
                let list = self.evaluate(list, at)?;
                match self.evaluate(index, at)? {
                    Data::Text(text) if text.opaque.is_none() => member(&list, &text.text, at),
                    Data::Integer(index) => match &list {
                        Data::List(items) => {
                            let item = usize::try_from(index).ok().and_then(|index| items.get(index));
                            let length = items.len();
                            let none = || unknown(at, format!("the list of {length} has no item {index}"));
                            item.cloned().ok_or_else(none)?.known()
                        }
                        other => Err(other.opaque_reason().cloned().unwrap_or_else(|| {
                            unknown(at, format!("{} has no items: expected a list", other.kind()))
                        })),
                    },
                    other => Err(other.opaque_reason().cloned().unwrap_or_else(|| {
                        unknown(at, format!("the index is {}: expected an integer or a text", other.kind()))
                    })),
                }
            }
        })
    }

    /// The value of a parameter: what was given, else its default, else a text that stands for it.
    pub(super) fn parameter(&self, name: &str, at: Node<'a>) -> Evaluated {
        let declared = self.declared.and_then(|parameters| parameters.raw_member(name));
        let Some(declared) = declared else {
            return Err(unknown(at, format!("the template declares no parameter `{}`", shorten(name))));
        };
        if let Some(value) = self.given.get(&name.to_ascii_lowercase()) {
            return value.clone().known();
        }
        if let Some(default) = declared.raw_member("defaultValue") {
            return self.value(default);
        }
        if declared.raw_member("nullable").is_some_and(|flag| matches!(literal(flag), Data::Bool(true))) {
            return Ok(Data::Null);
        }
        let reason = format!(
            "parameter `{}` has no value: expected a default, or a value in a parameters file",
            shorten(name)
        );
        let reason = unknown(declared, reason);
        let kind = declared.raw_member("type").and_then(Node::as_text).unwrap_or_default();
        if kind.eq_ignore_ascii_case("string") || kind.eq_ignore_ascii_case("securestring") {
            // The spelling of the declaration, so that one parameter makes one text.
            return Ok(Data::opaque(stand_in(declared.key()), reason));
        }
        Err(reason)
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &str, at: Node<'a>) -> Evaluated {
        let missing = || unknown(at, format!("the template declares no variable `{}`", shorten(name)));
        let variables = self.variables.ok_or_else(missing)?;
        let copies = copies(self, variables)?.unwrap_or_default();
        if let Some(copy) = copies.iter().find(|copy| copy.name.eq_ignore_ascii_case(name)) {
            return self.repeated(copy);
        }
        self.value(variables.raw_member(name).ok_or_else(missing)?)
    }
}

/// The loops of an object: `"copy": [{"name", "count", "input"}]`. An object without such a member has none.
pub(super) fn copies<'a>(scope: &Scope<'a>, node: Node<'a>) -> Result<Option<Vec<Copy<'a>>>, Rc<Unknown>> {
    let Some(list) = node.raw_member("copy").and_then(Node::as_list) else { return Ok(None) };
    let mut copies = Vec::with_capacity(list.len());
    for item in list {
        let Some(input) = item.raw_member("input") else { return Ok(None) };
        let name = item.raw_member("name").and_then(Node::as_text);
        let name = name.ok_or_else(|| unknown(item, "the loop has no name"))?;
        copies.push(Copy { name, count: scope.count(item), input, node: item });
    }
    Ok(Some(copies))
}

/// A text that stands for one that is not known. No resource of Azure may be named so, and it holds no `/`, which would
/// part an ID.
pub(super) fn stand_in(what: &str) -> String {
    let what: String = what.chars().map(|each| if each == '/' { '|' } else { each }).collect();
    if what.len() <= 80 {
        return format!("{{{what}}}");
    }
    let start: String = what.chars().take(40).collect();
    let digest = blake3::hash(what.as_bytes()).to_hex();
    format!("{{{start}~{}}}", &digest[..16])
}

fn member(object: &Data, name: &str, at: Node<'_>) -> Evaluated {
    if let Some(reason) = object.opaque_reason() {
        return Err(Rc::clone(reason));
    }
    let none = || match object {
        Data::Object(_) => unknown(at, format!("the object has no member `{}`", shorten(name))),
        other => unknown(at, format!("{} has no members: expected an object", other.kind())),
    };
    object.member(name).cloned().ok_or_else(none)?.known()
}

/// A value as it stands, its texts not evaluated.
pub(super) fn literal(node: Node<'_>) -> Data {
    match node.raw() {
        Value::Null | Value::Unresolved(_) => Data::Null,
        Value::Bool(value) => Data::Bool(*value),
        Value::Number(number) => Data::from(number),
        Value::Text(text) => Data::text(&**text),
        Value::List(_) => Data::list(node.as_list().unwrap_or_default().into_iter().map(literal).collect()),
        Value::Object(_) => {
            Data::object(node.raw_members().map(|(name, member)| (name.into(), literal(member))).collect())
        }
    }
}
