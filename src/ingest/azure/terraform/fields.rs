//! The members of an object in ARM's shape, made from attributes one by one.

use super::draft::{Content, Draft};
use super::ids::{Ids, drafts, is_unknown};
use super::plan::{Block, Item};
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;

/// An object that is being made from a resource or a nested block.
pub(super) struct Fields<'f, 'p, 'a> {
    pub ids: &'f Ids<'p, 'a>,
    pub item: &'f Item<'a>,
    pub block: Block<'a>,
    members: Vec<(&'static str, Draft<'a>)>,
}

impl<'f, 'p, 'a> Fields<'f, 'p, 'a> {
    /// An object without members yet.
    pub(super) fn new(ids: &'f Ids<'p, 'a>, item: &'f Item<'a>, block: Block<'a>) -> Self {
        Self { ids, item, block, members: Vec::new() }
    }

    /// The object.
    pub(super) fn finish(self) -> Draft<'a> {
        Draft { place: self.block.values.place(), content: Content::Object(self.members) }
    }

    /// An object of a nested block, whose members `fill` sets.
    pub(super) fn nested(
        &self,
        block: Block<'a>,
        fill: impl FnOnce(&mut Self) -> Result<(), IngestError>,
    ) -> Result<Draft<'a>, IngestError> {
        let mut inner = Self::new(self.ids, self.item, block);
        fill(&mut inner)?;
        Ok(inner.finish())
    }

    /// The objects of the nested blocks of a name, as a list.
    pub(super) fn each(
        &mut self,
        attribute: &str,
        member: &'static str,
        mut fill: impl FnMut(&mut Self) -> Result<(), IngestError>,
    ) -> Result<(), IngestError> {
        let mut items = Vec::new();
        for block in self.block.blocks(attribute)? {
            items.push(self.nested(block, &mut fill)?);
        }
        self.list(member, items);
        Ok(())
    }

    /// Where an attribute stands or would stand.
    pub(super) fn place(&self, attribute: &str) -> String {
        let here = self.block.values.member(attribute).map(Node::place);
        here.unwrap_or_else(|| format!("{}/{attribute}", self.block.values.place()))
    }

    /// Sets a member.
    pub(super) fn put(&mut self, member: &'static str, draft: Draft<'a>) {
        self.members.push((member, draft));
    }

    /// Sets a member in place of what it was.
    pub(super) fn replace(&mut self, member: &'static str, draft: Draft<'a>) {
        self.members.retain(|(other, _)| *other != member);
        self.put(member, draft);
    }

    /// Sets a member to a text of our own; it stands where the whole does.
    pub(super) fn text(&mut self, member: &'static str, text: String) {
        self.put(member, Draft { place: self.block.values.place(), content: Content::Text(text) });
    }

    /// Sets a member to a list, unless it is empty.
    pub(super) fn list(&mut self, member: &'static str, items: Vec<Draft<'a>>) {
        if !items.is_empty() {
            self.put(member, Draft { place: self.block.values.place(), content: Content::List(items) });
        }
    }

    /// Takes an attribute that something else may tell, or that may be left open: where it is unknown, it is not there.
    pub(super) fn open(&mut self, attribute: &str, member: &'static str) {
        if let Some(node) = self.block.values.member(attribute) {
            self.put(member, Draft::copy(node));
        }
    }

    /// Takes an attribute. One that the configuration sets must be known; one that it leaves to the provider is what
    /// Azure makes of an absent member.
    pub(super) fn copy(&mut self, attribute: &str, member: &'static str) -> Result<(), IngestError> {
        if self.block.is_configured(attribute) {
            self.check_known(attribute)?;
        }
        self.open(attribute, member);
        Ok(())
    }

    /// Takes an attribute that decides about packets: it must be known, whoever sets it.
    pub(super) fn known(&mut self, attribute: &str, member: &'static str) -> Result<(), IngestError> {
        self.check_known(attribute)?;
        self.open(attribute, member);
        Ok(())
    }

    /// Fails on an attribute that is known only after apply.
    pub(super) fn check_known(&self, attribute: &str) -> Result<(), IngestError> {
        if self.block.is_unknown(attribute) { Err(self.unknown(attribute, "a value")) } else { Ok(()) }
    }

    fn unknown(&self, attribute: &str, expected: &str) -> IngestError {
        let message =
            format!("`{}`: {attribute} is known only after apply: expected {expected}", self.item.text);
        IngestError::content(self.place(attribute), message)
    }

    /// Takes yes or no under the first of its names over the years that is there; `yes` and `no` is what they become.
    pub(super) fn flag<T: Into<Content<'a>>>(
        &mut self,
        attributes: &[&str],
        member: &'static str,
        yes: T,
        no: T,
    ) -> Result<(), IngestError> {
        for attribute in attributes {
            if let Some(flag) = self.block.values.flag_of(attribute)? {
                let content = if flag { yes } else { no }.into();
                let place = self.place(attribute);
                self.put(member, Draft { place, content });
                return Ok(());
            }
        }
        attributes
            .iter()
            .filter(|attribute| self.block.is_configured(attribute))
            .try_for_each(|attribute| self.check_known(attribute))
    }

    /// Sets a member to the resource that an attribute is the ID of.
    pub(super) fn reference(
        &mut self,
        attribute: &str,
        member: &'static str,
        kinds: &[&str],
    ) -> Result<(), IngestError> {
        if let Some((id, place)) = self.ids.reference(self.item, self.block, attribute, kinds)? {
            self.put(member, Draft::reference(&place, id));
        }
        Ok(())
    }

    /// Sets a member to the resources that an attribute lists the IDs of.
    pub(super) fn references(
        &mut self,
        attribute: &str,
        member: &'static str,
        kinds: &[&str],
    ) -> Result<(), IngestError> {
        let found = self.ids.references(self.item, self.block, attribute, kinds)?;
        self.list(member, drafts(found));
        Ok(())
    }

    /// Sets a member to the ID that an attribute is. Which resource it is must be known: a list of those that a verdict
    /// hangs on would lack it, and nothing would tell.
    pub(super) fn known_id(
        &mut self,
        attribute: &str,
        member: &'static str,
        kinds: &[&str],
    ) -> Result<(), IngestError> {
        if let Some((id, place)) = self.ids.reference(self.item, self.block, attribute, kinds)? {
            if is_unknown(&id) {
                return Err(self.unknown(attribute, "a resource ID"));
            }
            self.put(member, Draft { place, content: Content::Text(id) });
        }
        Ok(())
    }

    /// As [`Fields::references`]; all of the resources must be known, as with [`Fields::known_id`].
    pub(super) fn known_references(
        &mut self,
        attribute: &str,
        member: &'static str,
        kinds: &[&str],
    ) -> Result<(), IngestError> {
        let found = self.ids.references(self.item, self.block, attribute, kinds)?;
        if found.iter().any(|(id, _)| is_unknown(id)) {
            return Err(self.unknown(attribute, "resource IDs"));
        }
        self.list(member, drafts(found));
        Ok(())
    }
}

impl From<bool> for Content<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Content<'_> {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
