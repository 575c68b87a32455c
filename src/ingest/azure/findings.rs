//! What was odd but readable, with its place.

use super::node::Node;
use crate::model::finding::{Finding, FindingCode};

/// Collects findings; between two calls of [`Findings::enter`] they name the NSG and the rule that they are about.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    nsg: Option<String>,
    rule: Option<String>,
}

impl Findings {
    /// Reports `code` about `node`.
    pub(super) fn add(&mut self, code: FindingCode, node: Node<'_>, message: impl Into<String>) {
        self.list.push(Finding {
            place: node.place(),
            code,
            nsg: self.nsg.clone(),
            rule: self.rule.clone(),
            message: message.into(),
        });
    }

    /// From now on findings are about this NSG and rule; returns what they were about before.
    pub(super) fn enter(
        &mut self,
        nsg: Option<String>,
        rule: Option<String>,
    ) -> (Option<String>, Option<String>) {
        (std::mem::replace(&mut self.nsg, nsg), std::mem::replace(&mut self.rule, rule))
    }

    /// Reports `code` about `node`, a part of this NSG or rule.
    pub(super) fn about(
        &mut self,
        (nsg, rule): (&str, Option<&str>),
        code: FindingCode,
        node: Node<'_>,
        message: impl Into<String>,
    ) {
        let outer = self.enter(Some(nsg.to_owned()), rule.map(str::to_owned));
        self.add(code, node, message);
        self.enter(outer.0, outer.1);
    }

    /// All findings, sorted, each once.
    pub(super) fn finish(self) -> Vec<Finding> {
        let mut list = self.list;
        list.sort();
        list.dedup();
        list
    }
}
