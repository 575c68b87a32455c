//! A resource while it is edited: what stands in the export, and what stands there in its place.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use super::super::collect::Resource;
use super::super::node::Node;
use crate::ingest::error::IngestError;
use crate::ingest::yaml::{At, at};
use crate::model::id::ResourceId;

/// A resource, and its parts that can be edited.
pub(super) struct Draft<'a> {
    /// The resource itself.
    pub own: Part<'a>,
    /// Which member lists its parts, if any does.
    pub list: Option<&'static str>,
    pub parts: Vec<Part<'a>>,
    /// Subnets that an NSG does not name any more as those that hold it.
    pub left: BTreeSet<ResourceId>,
    /// Subnets that it names besides.
    pub joined: BTreeMap<ResourceId, At>,
}

impl Draft<'_> {
    /// Whether an NSG names other subnets than it did.
    pub(super) fn moved(&self) -> bool {
        !self.left.is_empty() || !self.joined.is_empty()
    }
}

/// A resource or a part of one: a rule, a route, a subnet.
pub(super) struct Part<'a> {
    pub id: ResourceId,
    pub name: String,
    /// What the export says, unless an edit made it.
    pub node: Option<Node<'a>>,
    /// Where the edit stands that made it, or changed it last.
    pub edited_at: Option<At>,
    /// Where the edit stands that gave a rule its number.
    pub numbered: Option<At>,
    /// What edits say, by member; nothing where they take a member away.
    pub members: Vec<(String, Option<New>)>,
}

/// A value that an edit brings.
#[derive(Clone)]
pub(super) enum New {
    Text(String, At),
    Number(u32, At),
    Texts(Vec<(String, At)>),
    Reference(ResourceId, At),
    References(Vec<(ResourceId, At)>),
}

impl New {
    pub(super) fn text(text: &str, at: At) -> Self {
        Self::Text(text.to_owned(), at)
    }

    pub(super) fn reference((id, at): (ResourceId, At)) -> Self {
        Self::Reference(id, at)
    }
}

/// An alternative of one side of a rule.
pub(super) enum Term {
    Address(String, At),
    Asg(ResourceId, At),
}

impl<'a> Draft<'a> {
    pub(super) fn of(
        resource: &Resource<'a>,
        list: Option<&'static str>,
        parts: &[Resource<'a>],
    ) -> Result<Self, IngestError> {
        let parts = parts.iter().map(Part::of).collect::<Result<_, _>>()?;
        Ok(Self { own: Part::of(resource)?, list, parts, left: BTreeSet::new(), joined: BTreeMap::new() })
    }
}

impl<'a> Part<'a> {
    fn of(resource: &Resource<'a>) -> Result<Self, IngestError> {
        Ok(Self {
            id: resource.id.clone(),
            name: resource.name()?.to_owned(),
            node: Some(resource.node),
            edited_at: None,
            numbered: None,
            members: Vec::new(),
        })
    }

    /// A part that the edit at `place` makes.
    pub(super) fn new(id: ResourceId, name: &Spanned<String>, place: At) -> Self {
        let mut part = Self {
            id,
            name: name.value.clone(),
            node: None,
            edited_at: Some(place),
            numbered: None,
            members: Vec::new(),
        };
        part.set("name", New::text(&name.value, at(name)));
        part
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn set(&mut self, member: &str, value: New) {
        self.set_or_clear(member, Some(value));
    }

    pub(super) fn set_or_clear(&mut self, member: &str, value: Option<New>) {
        self.members.retain(|(name, _)| name != member);
        self.members.push((member.to_owned(), value));
    }

    /// What edits say of a member, if they say anything.
    pub(super) fn edited(&self, member: &str) -> Option<&Option<New>> {
        let found = self.members.iter().find(|(name, _)| name.eq_ignore_ascii_case(member));
        found.map(|(_, value)| value)
    }

    /// Whether a member is there.
    pub(super) fn has(&self, member: &str) -> bool {
        match self.edited(member) {
            Some(value) => value.is_some(),
            None => self.node.is_some_and(|node| node.member(member).is_some()),
        }
    }

    /// Sets the alternatives of one side of a rule, in all forms of the field (NSG-9).
    pub(super) fn set_addresses(&mut self, side: &str, terms: Vec<Term>) {
        let (mut addresses, mut asgs) = (Vec::new(), Vec::new());
        for term in terms {
            match term {
                Term::Address(text, at) => addresses.push((text, at)),
                Term::Asg(id, at) => asgs.push((id, at)),
            }
        }
        self.set_texts((&format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes")), addresses);
        let asgs = (!asgs.is_empty()).then_some(New::References(asgs));
        self.set_or_clear(&format!("{side}ApplicationSecurityGroups"), asgs);
    }

    pub(super) fn set_ports(&mut self, side: &str, ports: Vec<(String, At)>) {
        self.set_texts((&format!("{side}PortRange"), &format!("{side}PortRanges")), ports);
    }

    fn set_texts(&mut self, (singular, plural): (&str, &str), mut texts: Vec<(String, At)>) {
        let one = if texts.len() == 1 { texts.pop() } else { None };
        self.set_or_clear(singular, one.map(|(text, at)| New::Text(text, at)));
        self.set_or_clear(plural, (!texts.is_empty()).then_some(New::Texts(texts)));
    }

    /// Direction, in lower case, and priority of a rule, where both can be read.
    pub(super) fn number(&self) -> Option<(String, i64)> {
        let member = |name: &str| self.node.and_then(|node| node.member(name));
        let direction = match self.edited("direction") {
            Some(Some(New::Text(text, _))) => text.to_ascii_lowercase(),
            _ => member("direction")?.as_text()?.to_ascii_lowercase(),
        };
        let priority = match self.edited("priority") {
            Some(Some(New::Number(number, _))) => i64::from(*number),
            _ => member("priority")?.integer().ok()?,
        };
        Some((direction, priority))
    }
}
