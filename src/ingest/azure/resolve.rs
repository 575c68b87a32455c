//! From resource IDs to typed indices; an ID that leads nowhere is reported, and stays a missing reference (SIM-4).

use std::collections::{HashMap, HashSet};

use super::collect::Collection;
use super::findings::Findings;
use super::node::Node;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;
use crate::model::index::{
    AsgIndex, GatewayIndex, LocalGatewayIndex, NatGatewayIndex, NicIndex, NsgIndex, PublicIpIndex, Reference,
    RouteTableIndex, SubnetIndex, VnetIndex,
};
use crate::model::tag::TagCatalog;

/// Where each resource stands in its list of the network.
#[derive(Default)]
pub(super) struct Positions {
    pub vnets: HashMap<ResourceId, VnetIndex>,
    pub subnets: HashMap<ResourceId, SubnetIndex>,
    pub nics: HashMap<ResourceId, NicIndex>,
    pub nsgs: HashMap<ResourceId, NsgIndex>,
    pub asgs: HashMap<ResourceId, AsgIndex>,
    pub public_ips: HashMap<ResourceId, PublicIpIndex>,
    pub route_tables: HashMap<ResourceId, RouteTableIndex>,
    pub nat_gateways: HashMap<ResourceId, NatGatewayIndex>,
    pub gateways: HashMap<ResourceId, GatewayIndex>,
    pub local_gateways: HashMap<ResourceId, LocalGatewayIndex>,
}

/// The position of each ID of a list.
pub(super) fn positions<'i, I>(
    ids: impl IntoIterator<Item = &'i ResourceId>,
    new: fn(usize) -> I,
) -> HashMap<ResourceId, I> {
    let mut positions = HashMap::new();
    for (position, id) in ids.into_iter().enumerate() {
        positions.entry(id.clone()).or_insert_with(|| new(position));
    }
    positions
}

/// What the readers of resources share.
pub(super) struct Reader<'a> {
    /// What has not been read yet.
    pub collection: Collection<'a>,
    /// What was odd.
    pub findings: Findings,
    /// Where everything stands.
    pub positions: Positions,
    /// The tags to look names up in.
    pub tags: Option<&'a TagCatalog>,
    /// IDs of resources and their children that the inventory holds, beyond `positions`.
    known: HashSet<ResourceId>,
    /// IDs that stay IDs in the model and were not known when they were met.
    awaited: Vec<(ResourceId, Node<'a>)>,
}

impl<'a> Reader<'a> {
    /// A reader of this collection.
    pub(super) fn new(
        collection: Collection<'a>,
        findings: Findings,
        positions: Positions,
        tags: Option<&'a TagCatalog>,
    ) -> Self {
        Self { collection, findings, positions, tags, known: HashSet::new(), awaited: Vec::new() }
    }

    /// Runs `work`; what it reports is about this NSG and rule.
    pub(super) fn within<T>(&mut self, nsg: &str, rule: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.findings.enter(Some(nsg.to_owned()), Some(rule.to_owned()));
        let result = work(self);
        self.findings.enter(outer.0, outer.1);
        result
    }

    /// Resolves a reference in the list that `of` picks.
    pub(super) fn resolve<I: Copy>(
        &mut self,
        (id, node): (ResourceId, Node<'a>),
        of: impl FnOnce(&Positions) -> &HashMap<ResourceId, I>,
    ) -> Reference<I> {
        match of(&self.positions).get(&id) {
            Some(index) => Reference::Here(*index),
            None => {
                self.report_missing(&id, node);
                Reference::Missing(id)
            }
        }
    }

    /// Resolves the reference of a member, if it is there.
    pub(super) fn reference_of<I: Copy>(
        &mut self,
        node: Node<'a>,
        member: &str,
        of: impl FnOnce(&Positions) -> &HashMap<ResourceId, I>,
    ) -> Result<Option<Reference<I>>, IngestError> {
        Ok(node.reference_of(member)?.map(|reference| self.resolve(reference, of)))
    }

    /// The ID that a member refers to; it stays an ID, and is reported in the end if the inventory lacks it.
    pub(super) fn id_of(&mut self, node: Node<'a>, member: &str) -> Result<Option<ResourceId>, IngestError> {
        Ok(node.reference_of(member)?.map(|reference| self.expect(reference)))
    }

    /// The IDs that a member's list refers to, as [`Reader::id_of`].
    pub(super) fn ids_of(&mut self, node: Node<'a>, member: &str) -> Result<Vec<ResourceId>, IngestError> {
        Ok(node.references_of(member)?.into_iter().map(|reference| self.expect(reference)).collect())
    }

    /// Takes an ID that stays an ID; it is reported in the end if the inventory lacks it.
    pub(super) fn expect(&mut self, (id, node): (ResourceId, Node<'a>)) -> ResourceId {
        self.awaited.push((id.clone(), node));
        id
    }

    /// Notes that the inventory holds this resource or child.
    pub(super) fn know(&mut self, id: &ResourceId) {
        self.known.insert(id.clone());
    }

    fn report_missing(&mut self, id: &ResourceId, node: Node<'a>) {
        match node.unresolved() {
            Some(unresolved) => {
                let message = format!("`{id}` is not evaluated: {}", unresolved.reason);
                self.findings.add(FindingCode::UnknownValue, node, message);
            }
            None => {
                let message = format!("`{id}` is not in the inventory");
                self.findings.add(FindingCode::MissingResource, node, message);
            }
        }
    }

    /// Reports the IDs that turned out to lead nowhere, and the children without a parent.
    pub(super) fn finish(mut self) -> Findings {
        for (id, node) in std::mem::take(&mut self.awaited) {
            let positions = &self.positions;
            let here = self.known.contains(&id)
                || positions.subnets.contains_key(&id)
                || positions.nics.contains_key(&id);
            if !here {
                self.report_missing(&id, node);
            }
        }
        self.collection.report_orphans(&mut self.findings);
        self.findings
    }
}
