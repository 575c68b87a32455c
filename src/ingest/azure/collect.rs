//! Resources by ID, from all documents, each once; children that were exported on their own wait for their parent.

use std::collections::{BTreeMap, HashMap};

use super::findings::Findings;
use super::kind::Kind;
use super::node::Node;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;

/// A resource, or a child of one.
#[derive(Clone)]
pub(super) struct Resource<'a> {
    /// Its ID.
    pub id: ResourceId,
    /// Its object.
    pub node: Node<'a>,
    /// Which comes later in the order of the input.
    order: usize,
}

impl Resource<'_> {
    /// Its name: as it says, else the last segment of its ID.
    pub(super) fn name(&self) -> Result<&str, IngestError> {
        Ok(self.node.text_of("name")?.unwrap_or_else(|| self.id.name()))
    }
}

/// Everything that the documents hold.
#[derive(Default)]
pub(super) struct Collection<'a> {
    resources: BTreeMap<Kind, BTreeMap<ResourceId, Resource<'a>>>,
    /// By parent and type segment in lower case.
    children: HashMap<(ResourceId, String), BTreeMap<ResourceId, Resource<'a>>>,
    /// Lists of admin rules in force on one network, which carry no ID of their own.
    pub effective_admin_rules: Vec<Vec<Node<'a>>>,
    /// The rules of single NSGs in effect at some interface (NW-6).
    pub effective_rules: Vec<Node<'a>>,
    count: usize,
}

impl<'a> Collection<'a> {
    /// Takes a resource in. Of two with one ID the later counts; if they differ, that is reported.
    pub(super) fn add(&mut self, kind: Kind, id: ResourceId, node: Node<'a>, findings: &mut Findings) {
        self.count += 1;
        let resource = Resource { id, node, order: self.count };
        put(self.resources.entry(kind).or_default(), resource, findings);
    }

    /// Takes a child in that stands on its own: the last two segments of its ID are its type and name.
    pub(super) fn add_child(
        &mut self,
        id: ResourceId,
        node: Node<'a>,
        findings: &mut Findings,
    ) -> Result<(), IngestError> {
        let parent = id.parent(1).ok_or_else(|| node.error(format!("`{id}` names no parent")))?;
        let segment = id.folded()[parent.folded().len()..].split('/').nth(1).unwrap_or_default().to_owned();
        self.count += 1;
        let resource = Resource { id, node, order: self.count };
        put(self.children.entry((parent, segment)).or_default(), resource, findings);
        Ok(())
    }

    /// The resources of a kind, in order of their IDs. They leave the collection.
    pub(super) fn take(&mut self, kind: Kind) -> Vec<Resource<'a>> {
        self.resources.remove(&kind).unwrap_or_default().into_values().collect()
    }

    /// The children of one type of a resource, in the order of its list `member`; those that were exported on their
    /// own replace or follow them. `segment` is their type in IDs.
    pub(super) fn children(
        &mut self,
        parent: &Resource<'a>,
        member: &str,
        segment: &str,
        findings: &mut Findings,
    ) -> Result<Vec<Resource<'a>>, IngestError> {
        let mut children = inline_children(parent, member, segment)?;
        let key = (parent.id.clone(), segment.to_ascii_lowercase());
        let Some(on_their_own) = self.children.remove(&key) else { return Ok(children) };
        let inline: HashMap<ResourceId, usize> =
            children.iter().enumerate().map(|(position, child)| (child.id.clone(), position)).collect();
        for own in on_their_own.into_values() {
            match inline.get(&own.id) {
                None => children.push(own),
                Some(&position) => {
                    let child = &mut children[position];
                    let (earlier, later) =
                        if own.order > child.order { (child.clone(), own) } else { (own, child.clone()) };
                    report_difference(&earlier, &later, findings);
                    *child = later;
                }
            }
        }
        Ok(children)
    }

    /// The resources of a kind, in order of their IDs. They stay.
    pub(super) fn all(&self, kind: Kind) -> Vec<Resource<'a>> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// IDs of the children of a resource that its list `member` holds, or that were exported on their own. They stay.
    pub(super) fn child_ids(
        &self,
        parent: &Resource<'a>,
        member: &str,
    ) -> Result<Vec<ResourceId>, IngestError> {
        Ok(self.peek(parent, member)?.into_iter().map(|child| child.id).collect())
    }

    /// The objects of these children.
    pub(super) fn child_nodes(
        &self,
        parent: &Resource<'a>,
        member: &str,
    ) -> Result<Vec<Node<'a>>, IngestError> {
        Ok(self.peek(parent, member)?.into_iter().map(|child| child.node).collect())
    }

    fn peek(&self, parent: &Resource<'a>, member: &str) -> Result<Vec<Resource<'a>>, IngestError> {
        let mut children = inline_children(parent, member, member)?;
        let key = (parent.id.clone(), member.to_ascii_lowercase());
        children.extend(self.children.get(&key).into_iter().flat_map(BTreeMap::values).cloned());
        Ok(children)
    }

    /// Puts another object in a resource's place.
    pub(super) fn replace(&mut self, kind: Kind, id: &ResourceId, node: Node<'a>) {
        if let Some(resource) = self.resources.get_mut(&kind).and_then(|list| list.get_mut(id)) {
            resource.node = node;
        }
    }

    /// Reports the children whose parent is not in the inventory: they are left out.
    pub(super) fn report_orphans(&self, findings: &mut Findings) {
        for ((parent, _), children) in &self.children {
            for child in children.values() {
                findings.add(
                    FindingCode::MissingResource,
                    child.node,
                    format!(
                        "`{}` is left out: `{parent}`, which it is a part of, is not in the inventory",
                        child.id
                    ),
                );
            }
        }
    }
}

/// The children that a list of a resource holds.
fn inline_children<'a>(
    parent: &Resource<'a>,
    member: &str,
    segment: &str,
) -> Result<Vec<Resource<'a>>, IngestError> {
    let mut children = Vec::new();
    for node in parent.node.list_of(member)? {
        if !node.is_object() {
            return Err(node.wrong("an object"));
        }
        let id = match node.member("id") {
            Some(id) => id.id()?,
            None => parent.id.child(segment, node.text_of("name")?.unwrap_or_default()),
        };
        children.push(Resource { id, node, order: parent.order });
    }
    Ok(children)
}

fn put<'a>(list: &mut BTreeMap<ResourceId, Resource<'a>>, resource: Resource<'a>, findings: &mut Findings) {
    if let Some(earlier) = list.remove(&resource.id) {
        report_difference(&earlier, &resource, findings);
    }
    list.insert(resource.id.clone(), resource);
}

fn report_difference(earlier: &Resource<'_>, later: &Resource<'_>, findings: &mut Findings) {
    if !earlier.node.says_the_same(later.node) {
        let place = earlier.node.place();
        findings.add(
            FindingCode::DuplicateResource,
            later.node,
            format!("`{}` differs from what stands at {place}: this one, the later, counts", later.id),
        );
    }
}
