//! Where security admin configurations are deployed (ADM-6): a deployment is a resource of its own, for one region.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Content, Draft};
use super::fields::Fields;
use super::ids::Ids;
use super::plan::Item;
use crate::ingest::azure::findings::Findings;
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;

const CONFIGURATION: &str = "azurerm_network_manager_security_admin_configuration";
const DEPLOYMENT: &str = "azurerm_network_manager_deployment";
const MEMBER: &str = "azurerm_network_manager_static_member";

/// The deployments of a document.
#[derive(Default)]
pub(super) struct Deployments {
    /// Regions by the ID of a configuration in lower case.
    regions: BTreeMap<String, BTreeSet<String>>,
}

impl Deployments {
    /// Takes in a resource if it is a deployment of security admin configurations.
    pub(super) fn take<'a>(&mut self, ids: &Ids<'_, 'a>, item: &Item<'a>) -> Result<bool, IngestError> {
        let values = item.block.values;
        let scope = values.member("scope_access").and_then(Node::as_text);
        if item.kind() != DEPLOYMENT
            || !scope.is_some_and(|scope| scope.eq_ignore_ascii_case("SecurityAdmin"))
        {
            return Ok(false);
        }
        let region = values.text_of("location")?.map(folded).unwrap_or_default();
        for (id, _) in ids.references(item, item.block, "configuration_ids", &[CONFIGURATION])? {
            self.regions.entry(id.to_ascii_lowercase()).or_default().insert(region.clone());
        }
        Ok(true)
    }

    /// Says of a configuration that it is in force if it is deployed to the region of every network that is in a group.
    /// Elsewise that is left open, and reported: a document need not hold all deployments.
    pub(super) fn mark(
        &self,
        fields: &mut Fields<'_, '_, '_>,
        id: &str,
        members: &[Option<String>],
        findings: &mut Findings,
    ) {
        if fields.item.kind() != CONFIGURATION {
            return;
        }
        let regions = self.regions.get(&id.to_ascii_lowercase());
        let holds = |member: &Option<String>| {
            member.as_ref().is_some_and(|region| regions.is_some_and(|regions| regions.contains(region)))
        };
        if regions.is_some() && members.iter().all(holds) {
            let place = fields.block.values.place();
            fields.put("deployed", Draft { place, content: Content::Flag(true) });
        } else {
            let message = format!(
                "`{}`: the document holds no deployment of it to the region of every network that is in a group: whether \
                 it is in force is not known (ADM-6)",
                fields.item.text
            );
            findings.add(FindingCode::UnknownValue, fields.block.values, message);
        }
    }
}

/// The regions of the networks that are in groups; `None` for one that the document does not tell. `own` are the
/// resources of the document with their IDs.
pub(super) fn regions_of_members<'a>(
    ids: &Ids<'_, 'a>,
    own: &[(&Item<'a>, String)],
) -> Result<Vec<Option<String>>, IngestError> {
    let mut regions = Vec::new();
    for (item, _) in own.iter().filter(|(item, _)| item.kind() == MEMBER) {
        let network =
            ids.reference(item, item.block, "target_virtual_network_id", &["azurerm_virtual_network"])?;
        let network = network.and_then(|(network, _)| {
            own.iter().find(|(_, id)| id.eq_ignore_ascii_case(&network)).map(|(item, _)| item.block.values)
        });
        let region = network.map(|network| network.text_of("location")).transpose()?.flatten();
        regions.push(region.map(folded));
    }
    Ok(regions)
}

/// `West Europe` and `westeurope` are one region.
fn folded(region: &str) -> String {
    region.chars().filter(|each| !each.is_whitespace()).map(|each| each.to_ascii_lowercase()).collect()
}
