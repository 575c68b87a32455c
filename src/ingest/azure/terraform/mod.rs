//! Terraform's state and plans, as `terraform show -json` prints them (JSON-9).
//!
//! In: a state, or one side of a plan. Out: the same resources in ARM's shape, as the list that the reader of exports
//! takes; each value keeps the place that it came from. What the plan does not know yet is looked up by what the
//! configuration refers to; what remains unknown is an error where it decides about packets, and a reference that leads
//! nowhere where it names a resource.

mod address;
mod associations;
mod deployments;
mod draft;
mod fields;
mod ids;
mod managers;
mod plan;
mod resources;

use std::collections::HashSet;

use self::associations::Associations;
use self::deployments::Deployments;
use self::draft::{Content, Draft};
use self::fields::Fields;
use self::ids::Ids;
use self::plan::{Item, Plan};
use super::Side;
use super::findings::Findings;
use super::tree::Tree;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;

/// Whether a document of Terraform's is a plan, which has two sides.
pub(super) fn is_plan(tree: &Tree) -> bool {
    tree.root().member("planned_values").is_some()
}

/// Whether an ID stands for a resource that is known only after apply.
pub(super) fn is_unknown(id: &ResourceId) -> bool {
    ids::is_unknown(id.as_str())
}

/// Translates one side of a document; a state is the same on both.
pub(super) fn translate(tree: &Tree, side: Side, findings: &mut Findings) -> Result<Tree, IngestError> {
    let plan = Plan::new(tree.root(), side)?;
    let ids = Ids::new(&plan);
    let (mut associations, mut deployments) = (Associations::default(), Deployments::default());
    let mut resources = Vec::new();
    // Data sources are what others refer to; they belong to another configuration.
    let managed: Vec<&Item<'_>> = plan.items.iter().filter(|item| !item.address.data).collect();
    let mut own = Vec::new();
    for item in &managed {
        if ids::shape(item.kind()).is_some() {
            own.push((*item, ids.of(item)?));
        } else if has_instances(item) {
            report_instances(item, findings);
        } else if !associations.take(&ids, item)? && !deployments.take(&ids, item)? {
            resources.push(left_out(item));
        }
    }
    let regions = deployments::regions_of_members(&ids, &own)?;
    let parts: HashSet<String> = own.iter().map(|(_, id)| id.to_ascii_lowercase()).collect();
    for (item, id) in own {
        let mut fields = Fields::new(&ids, item, item.block);
        fields.open("name", "name");
        fields.open("location", "location");
        fields.text("type", ids::arm_type(item.kind()).unwrap_or_default());
        resources::fill(&mut fields, &id, &|part| parts.contains(&part.to_ascii_lowercase()))?;
        associations.attach(&mut fields, &id)?;
        deployments.mark(&mut fields, &id, &regions, findings);
        let place = fields.place("id");
        fields.put("id", Draft { place, content: Content::Text(id) });
        resources.push(fields.finish());
    }
    associations.report(findings);
    Ok(draft::tree(&tree.name, resources))
}

/// Whether the resource is a scale set whose instances have interfaces of its model.
fn has_instances(item: &Item<'_>) -> bool {
    let blocks = match item.kind() {
        "azurerm_linux_virtual_machine_scale_set"
        | "azurerm_windows_virtual_machine_scale_set"
        | "azurerm_orchestrated_virtual_machine_scale_set" => "network_interface",
        "azurerm_virtual_machine_scale_set" => "network_profile",
        _ => return false,
    };
    // One without a model of interfaces is a group of machines that are resources of their own.
    item.block.values.member(blocks).is_some()
}

/// The instances come and go with their addresses, which no document of Terraform's holds (TOP-7).
fn report_instances(item: &Item<'_>, findings: &mut Findings) {
    let message = format!(
        "`{}`: the interfaces of a scale set's instances are not in the document: packets to and from them cannot be \
         recognised; an export of the instances has them (TOP-7)",
        item.text
    );
    findings.add(FindingCode::UnknownValue, item.block.values, message);
}

/// A resource of a type that is not read: the reader of exports tells of it as of any other kind.
fn left_out<'a>(item: &Item<'a>) -> Draft<'a> {
    let place = item.block.values.place();
    let kind = Draft { place: place.clone(), content: Content::Text(format!("terraform/{}", item.kind())) };
    Draft { place, content: Content::Object(vec![("type", kind)]) }
}
