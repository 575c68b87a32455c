//! Which shape a document has, and which resources it therefore holds. Names of files play no part.

use std::collections::BTreeMap;

use super::collect::Collection;
use super::findings::Findings;
use super::kind::{self, Kind, Recognised};
use super::node::Node;
use super::template;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;

/// The shapes that an object may have.
enum Shape {
    /// A resource, or a child of one.
    Resource,
    /// `{"value": [...]}`.
    Page,
    /// The rules of one NSG in effect at an interface (NW-6).
    EffectiveRules,
    /// Lists named after types of resources.
    Inventory,
    /// Answer of Resource Graph (JSON-7).
    ResourceGraph,
    /// Template (JSON-8): one that is a document of its own has become its resources before.
    Template,
    /// State or plan of Terraform (JSON-9).
    Terraform,
    /// A service tag file, which is not a part of a network.
    ServiceTags,
    /// Nothing that we know.
    Unknown,
}

fn shape(node: Node<'_>) -> Shape {
    let has = |name: &str| node.member(name).is_some();
    let is_list = |name: &str| node.member(name).is_some_and(|member| member.as_list().is_some());
    let named = |name: &str| node.raw_member(name).is_some();
    if template::is_template(node) {
        Shape::Template
    } else if has("terraform_version") || has("planned_values") {
        Shape::Terraform
    } else if named("data") && (has("count") || has("total_records") || has("totalRecords")) {
        Shape::ResourceGraph
    } else if has("changeNumber") && has("cloud") && is_list("values") {
        Shape::ServiceTags
    } else if is_effective(node) {
        Shape::EffectiveRules
    } else if recognise(node).is_some() {
        Shape::Resource
    } else if node.raw_members().any(|(name, _)| kind::of_list(name).is_some()) {
        Shape::Inventory
    } else if is_page(node) {
        Shape::Page
    } else {
        Shape::Unknown
    }
}

/// Whether the object is `{"value": [...]}`.
fn is_page(node: Node<'_>) -> bool {
    node.raw_members().any(|(name, value)| {
        name.eq_ignore_ascii_case("value") && (value.as_list().is_some() || value.is_empty())
    })
}

/// Whether the object is an entry of an export of effective rules (NW-6).
fn is_effective(node: Node<'_>) -> bool {
    node.raw_member("effectiveSecurityRules").is_some() && node.raw_member("networkSecurityGroup").is_some()
}

/// Whether a document is Terraform's state or plan (JSON-9).
pub(super) fn is_terraform(root: Node<'_>) -> bool {
    root.is_object() && matches!(shape(root), Shape::Terraform)
}

/// What the object is by its `type` or ID.
fn recognise(node: Node<'_>) -> Option<Recognised> {
    let id = node.member("id").and_then(|id| id.id().ok());
    kind::recognise(node.member("type").and_then(Node::as_text), id.as_ref())
}

/// Reads one document into the collection.
pub(super) fn read<'a>(
    root: Node<'a>,
    collection: &mut Collection<'a>,
    findings: &mut Findings,
) -> Result<(), IngestError> {
    let mut reader = DocumentReader { collection, findings, left_out: BTreeMap::new() };
    reader.any(root)?;
    let left_out = reader.left_out;
    for (kind, (first, count)) in left_out {
        let message = match count {
            1 => format!("left out: {kind} is not read"),
            _ => format!("left out here and below, {count} objects in this file: {kind} is not read"),
        };
        findings.add(FindingCode::UnknownKind, first, message);
    }
    Ok(())
}

struct DocumentReader<'r, 'a> {
    collection: &'r mut Collection<'a>,
    findings: &'r mut Findings,
    /// What is not read: by kind, the first one and how many there are.
    left_out: BTreeMap<String, (Node<'a>, usize)>,
}

impl<'a> DocumentReader<'_, 'a> {
    fn any(&mut self, node: Node<'a>) -> Result<(), IngestError> {
        if let Some(items) = node.as_list() {
            return self.list(&items);
        }
        if !node.is_object() {
            self.leave_out(node, "a value that is neither an object nor a list");
            return Ok(());
        }
        match shape(node) {
            Shape::Resource => self.resource(node, None),
            Shape::EffectiveRules => {
                self.collection.effective_rules.push(node);
                Ok(())
            }
            Shape::Page => self.page(node, None),
            Shape::Inventory => self.inventory(node),
            Shape::ResourceGraph => self.resource_graph(node),
            Shape::Template => {
                Err(node.error("a template stands inside another document: expected a file of its own"))
            }
            Shape::Terraform => Err(node.error(
                "Terraform's state or plan stands inside another document: expected a file of its own",
            )),
            Shape::ServiceTags => {
                self.leave_out(node, "a service tag file (--tags takes it)");
                Ok(())
            }
            Shape::Unknown => {
                self.leave_out(node, "an object without `id` and `type`");
                Ok(())
            }
        }
    }

    fn list(&mut self, items: &[Node<'a>]) -> Result<(), IngestError> {
        // Entries of `list-effective-security-admin-rules` are told by the members that it adds (JSON-6).
        let effective = |item: &Node<'a>| {
            item.member("ruleCollectionAppliesToGroups").is_some() || item.member("ruleGroups").is_some()
        };
        if !items.is_empty() && items.iter().all(effective) {
            self.collection.effective_admin_rules.push(items.to_vec());
            return Ok(());
        }
        items.iter().try_for_each(|&item| self.any(item))
    }

    /// Takes in the rows of an answer of Resource Graph (JSON-7). A row that is no resource, such as a count of a
    /// summary, is left out as such.
    fn resource_graph(&mut self, node: Node<'a>) -> Result<(), IngestError> {
        self.report_more(node);
        for row in node.list_of("data")? {
            self.resource(row, None)?;
        }
        Ok(())
    }

    fn page(&mut self, node: Node<'a>, kind: Option<Kind>) -> Result<(), IngestError> {
        self.report_more(node);
        let items = node.list_of("value")?;
        match kind {
            Some(kind) => items.into_iter().try_for_each(|item| self.resource(item, Some(kind))),
            None => self.list(&items),
        }
    }

    /// Reports a list that goes on elsewhere.
    fn report_more(&mut self, node: Node<'a>) {
        for more in ["nextLink", "skipToken", "$skipToken", "skip_token"] {
            if let Some(link) = node.member(more) {
                self.findings.add(
                    FindingCode::IncompleteList,
                    link,
                    format!("the list goes on behind `{more}`: what is on its further pages is missing"),
                );
            }
        }
    }

    fn inventory(&mut self, node: Node<'a>) -> Result<(), IngestError> {
        for (name, value) in node.raw_members() {
            // Service tags come by a way of their own; members of other names that hold no list say nothing.
            if value.is_empty() || name.eq_ignore_ascii_case("serviceTags") {
                continue;
            }
            match (kind::of_list(name), value.as_list()) {
                (Some(kind), Some(items)) => {
                    items.into_iter().try_for_each(|item| self.resource(item, Some(kind)))?;
                }
                (Some(kind), None) if is_page(value) => self.page(value, Some(kind))?,
                (Some(_), None) => return Err(value.wrong("a list")),
                (None, Some(items)) => self.list(&items)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Takes in an object that is a resource; `kind` is what the list that it stands in says.
    fn resource(&mut self, node: Node<'a>, kind: Option<Kind>) -> Result<(), IngestError> {
        if !node.is_object() {
            return Err(node.wrong("an object"));
        }
        // One envelope of effective rules has the name of the list of NSGs themselves (NW-6).
        if is_effective(node) {
            self.collection.effective_rules.push(node);
            return Ok(());
        }
        let recognised = match kind {
            Some(kind) => Some(Recognised::Resource(kind)),
            None => recognise(node),
        };
        // A security group view lists interfaces by ID, too, but says nothing of their configuration.
        if node.member("securityRuleAssociations").is_some() {
            self.leave_out(node, "a security group view");
            return Ok(());
        }
        match recognised {
            Some(Recognised::Resource(kind)) => {
                let member = if kind == Kind::Appliance { "nic" } else { "id" };
                let id = node.member(member).ok_or_else(|| node.lacks(member, "a resource ID"))?.id()?;
                self.collection.add(kind, id, node, self.findings);
            }
            Some(Recognised::Child) => {
                let id = node.member("id").ok_or_else(|| node.lacks("id", "a resource ID"))?.id()?;
                self.collection.add_child(id, node, self.findings)?;
            }
            Some(Recognised::Other(name)) => self.leave_out(node, &name),
            None => self.leave_out(node, "an object without `id` and `type`"),
        }
        Ok(())
    }

    fn leave_out(&mut self, node: Node<'a>, kind: &str) {
        self.left_out.entry(kind.to_owned()).or_insert((node, 0)).1 += 1;
    }
}
