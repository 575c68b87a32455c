//! IDs of resources: as the document has them, else made from names (JSON-11); and what refers to them.

use std::collections::HashMap;

use super::draft::Draft;
use super::plan::{Block, Item, Plan};
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;

/// What the IDs of a type of Terraform's look like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A resource of a resource group, of this type.
    Top(&'static str),
    /// A part of a resource that the attribute names.
    Named { parent: &'static str, attribute: &'static str, segment: &'static str },
    /// A part of a resource whose ID the attribute is.
    Part { parent: &'static str, attribute: &'static str, segment: &'static str },
}

/// The shapes of the types that are read as resources or as parts of them.
pub(super) fn shape(kind: &str) -> Option<Shape> {
    let named = |parent, attribute, segment| Shape::Named { parent, attribute, segment };
    let part = |parent, attribute, segment| Shape::Part { parent, attribute, segment };
    let of_balancer = |segment| part("azurerm_lb", "loadbalancer_id", segment);
    let of_server = |segment| part("azurerm_mssql_server", "server_id", segment);
    let of_manager = |segment| part("azurerm_network_manager", "network_manager_id", segment);
    Some(match kind {
        "azurerm_network_security_group" => Shape::Top("Microsoft.Network/networkSecurityGroups"),
        "azurerm_network_security_rule" => {
            named("azurerm_network_security_group", "network_security_group_name", "securityRules")
        }
        "azurerm_virtual_network" => Shape::Top("Microsoft.Network/virtualNetworks"),
        "azurerm_subnet" => named("azurerm_virtual_network", "virtual_network_name", "subnets"),
        "azurerm_virtual_network_peering" => {
            named("azurerm_virtual_network", "virtual_network_name", "virtualNetworkPeerings")
        }
        "azurerm_network_interface" => Shape::Top("Microsoft.Network/networkInterfaces"),
        "azurerm_public_ip" => Shape::Top("Microsoft.Network/publicIPAddresses"),
        "azurerm_route_table" => Shape::Top("Microsoft.Network/routeTables"),
        "azurerm_route" => named("azurerm_route_table", "route_table_name", "routes"),
        "azurerm_application_security_group" => Shape::Top("Microsoft.Network/applicationSecurityGroups"),
        "azurerm_nat_gateway" => Shape::Top("Microsoft.Network/natGateways"),
        "azurerm_lb" => Shape::Top("Microsoft.Network/loadBalancers"),
        "azurerm_lb_backend_address_pool" => of_balancer("backendAddressPools"),
        "azurerm_lb_rule" => of_balancer("loadBalancingRules"),
        "azurerm_lb_probe" => of_balancer("probes"),
        "azurerm_lb_nat_rule" => of_balancer("inboundNatRules"),
        "azurerm_lb_outbound_rule" => of_balancer("outboundRules"),
        "azurerm_private_endpoint" => Shape::Top("Microsoft.Network/privateEndpoints"),
        "azurerm_virtual_network_gateway" => Shape::Top("Microsoft.Network/virtualNetworkGateways"),
        "azurerm_local_network_gateway" => Shape::Top("Microsoft.Network/localNetworkGateways"),
        "azurerm_virtual_network_gateway_connection" => Shape::Top("Microsoft.Network/connections"),
        "azurerm_storage_account" => Shape::Top("Microsoft.Storage/storageAccounts"),
        "azurerm_key_vault" => Shape::Top("Microsoft.KeyVault/vaults"),
        "azurerm_application_gateway" => Shape::Top("Microsoft.Network/applicationGateways"),
        "azurerm_bastion_host" => Shape::Top("Microsoft.Network/bastionHosts"),
        "azurerm_private_link_service" => Shape::Top("Microsoft.Network/privateLinkServices"),
        "azurerm_subnet_service_endpoint_storage_policy" => {
            Shape::Top("Microsoft.Network/serviceEndpointPolicies")
        }
        "azurerm_mssql_server" => Shape::Top("Microsoft.Sql/servers"),
        "azurerm_mssql_firewall_rule" => of_server("firewallRules"),
        "azurerm_mssql_virtual_network_rule" => of_server("virtualNetworkRules"),
        "azurerm_network_manager" => Shape::Top("Microsoft.Network/networkManagers"),
        "azurerm_network_manager_network_group" => of_manager("networkGroups"),
        "azurerm_network_manager_static_member" => {
            part("azurerm_network_manager_network_group", "network_group_id", "staticMembers")
        }
        "azurerm_network_manager_security_admin_configuration" => of_manager("securityAdminConfigurations"),
        "azurerm_network_manager_admin_rule_collection" => part(
            "azurerm_network_manager_security_admin_configuration",
            "security_admin_configuration_id",
            "ruleCollections",
        ),
        "azurerm_network_manager_admin_rule" => {
            part("azurerm_network_manager_admin_rule_collection", "admin_rule_collection_id", "rules")
        }
        _ => return None,
    })
}

/// The type in ARM of what is read of this type of Terraform's.
pub(super) fn arm_type(kind: &str) -> Option<String> {
    Some(match shape(kind)? {
        Shape::Top(name) => name.to_owned(),
        Shape::Named { parent, segment, .. } | Shape::Part { parent, segment, .. } => {
            format!("{}/{segment}", arm_type(parent)?)
        }
    })
}

/// The IDs of a document.
pub(super) struct Ids<'p, 'a> {
    plan: &'p Plan<'a>,
    /// Items by type and name in lower case.
    by_name: HashMap<(&'a str, String), Vec<usize>>,
    /// The subscription of IDs that are made.
    subscription: String,
}

impl<'p, 'a> Ids<'p, 'a> {
    /// The IDs of this document. Where all IDs that it has are of one subscription, so are those that are made; the
    /// two sides of a plan then have the same ID for a resource that is replaced.
    pub(super) fn new(plan: &'p Plan<'a>) -> Self {
        let mut known = plan.items.iter().filter_map(|item| {
            let id = item.block.values.member("id")?.as_text()?;
            let mut segments = id.split('/').skip(1);
            segments.next().filter(|first| first.eq_ignore_ascii_case("subscriptions"))?;
            segments.next()
        });
        let first = known.next();
        let subscription = first.filter(|first| known.all(|other| other.eq_ignore_ascii_case(first)));
        let mut by_name: HashMap<_, Vec<usize>> = HashMap::new();
        for (position, item) in plan.items.iter().enumerate() {
            if let Some(name) = item.block.values.member("name").and_then(Node::as_text) {
                by_name.entry((item.address.kind, name.to_ascii_lowercase())).or_default().push(position);
            }
        }
        Self { plan, by_name, subscription: subscription.unwrap_or("unknown").to_owned() }
    }

    /// The ID of a resource: its own, or one that is made of its names and, where those are unknown, its address.
    pub(super) fn of(&self, item: &Item<'a>) -> Result<String, IngestError> {
        if let Some(id) = item.block.values.text_of("id")? {
            return Ok(id.to_owned());
        }
        let name = item.block.values.text_of("name")?.unwrap_or(item.text);
        Ok(match shape(item.kind()) {
            Some(Shape::Top(kind)) => {
                let group = self.group(item)?;
                self.top(&group, kind, name)
            }
            Some(Shape::Named { segment, .. } | Shape::Part { segment, .. }) => {
                format!("{}/{segment}/{}", self.parent(item)?, segment_of(name))
            }
            None => unknown(item, "id"),
        })
    }

    fn top(&self, group: &str, kind: &str, name: &str) -> String {
        let (group, name) = (segment_of(group), segment_of(name));
        format!("/subscriptions/{}/resourceGroups/{group}/providers/{kind}/{name}", self.subscription)
    }

    fn group(&self, item: &Item<'a>) -> Result<String, IngestError> {
        let attribute = "resource_group_name";
        if let Some(group) = item.block.values.text_of(attribute)? {
            return Ok(group.to_owned());
        }
        let targets = self.plan.targets(item, &item.block.references(attribute));
        let groups: Vec<&str> = targets
            .into_iter()
            .map(|target| &self.plan.items[target])
            .filter(|target| target.kind() == "azurerm_resource_group")
            .map(|target| target.text)
            .collect();
        Ok(match groups[..] {
            [one] => one.to_owned(),
            _ => item.text.to_owned(),
        })
    }

    /// The ID of the resource that this one is a part of.
    pub(super) fn parent(&self, item: &Item<'a>) -> Result<String, IngestError> {
        match shape(item.kind()) {
            Some(Shape::Part { parent, attribute, .. }) => {
                self.owner(item, parent, attribute, "a resource ID")
            }
            Some(Shape::Named { parent, attribute, .. }) => {
                if let Some(name) = item.block.values.text_of(attribute)? {
                    return self.named(item, parent, name);
                }
                self.owner(item, parent, attribute, "a name")
            }
            Some(Shape::Top(_)) | None => Ok(unknown(item, "parent")),
        }
    }

    /// The ID of the resource that `attribute` leads to. It must be known which one that is: without the part its
    /// verdicts would be wrong.
    fn owner(
        &self,
        item: &Item<'a>,
        parent: &str,
        attribute: &str,
        expected: &str,
    ) -> Result<String, IngestError> {
        let found = self.reference(item, item.block, attribute, &[parent])?;
        let (id, place) = found.ok_or_else(|| item.block.values.lacks(attribute, expected))?;
        if is_unknown(&id) {
            let message =
                format!("`{}`: {attribute} is known only after apply: expected {expected}", item.text);
            return Err(IngestError::content(place, message));
        }
        Ok(id)
    }

    /// The resource of this type and name in the group of `item`.
    fn named(&self, item: &Item<'a>, kind: &str, name: &str) -> Result<String, IngestError> {
        let group = self.group(item)?;
        for position in self.by_name.get(&(kind, name.to_ascii_lowercase())).into_iter().flatten() {
            let other = &self.plan.items[*position];
            if self.group(other)?.eq_ignore_ascii_case(&group) {
                return self.of(other);
            }
        }
        Ok(self.top(&group, &arm_type(kind).unwrap_or_default(), name))
    }

    /// The ID that an attribute is, with the place of messages about it; nothing if it is not set.
    ///
    /// An ID that is known only after apply is that of the one resource of these types (any, if none is named) that the
    /// expression refers to and that has no ID yet either. If that leaves several or none, it is an ID that leads
    /// nowhere and tells what is not known.
    pub(super) fn reference(
        &self,
        item: &Item<'a>,
        block: Block<'a>,
        attribute: &str,
        kinds: &[&str],
    ) -> Result<Option<(String, String)>, IngestError> {
        if let Some(node) = block.values.member(attribute) {
            return Ok(Some((node.id()?.as_str().to_owned(), node.place())));
        }
        if !block.is_unknown(attribute) {
            return Ok(None);
        }
        let place = format!("{}/{attribute}", block.values.place());
        let mut targets = self.targets(item, block, attribute, kinds)?;
        // An attribute that the provider fills in is not known, but nothing that the configuration attaches.
        if targets.is_empty() && !block.is_configured(attribute) && block.has_configuration() {
            return Ok(None);
        }
        let id = if targets.len() == 1 { targets.pop() } else { None };
        Ok(Some((id.unwrap_or_else(|| unknown(item, attribute)), place)))
    }

    /// The IDs that an attribute lists, as [`Ids::reference`].
    pub(super) fn references(
        &self,
        item: &Item<'a>,
        block: Block<'a>,
        attribute: &str,
        kinds: &[&str],
    ) -> Result<Vec<(String, String)>, IngestError> {
        let mut found = Vec::new();
        for node in block.values.list_of(attribute)? {
            // What is unknown of a list stands in it as nothing.
            if !node.is_empty() {
                found.push((node.id()?.as_str().to_owned(), node.place()));
            }
        }
        if block.is_unknown(attribute) {
            let place = format!("{}/{attribute}", block.values.place());
            let targets = self.targets(item, block, attribute, kinds)?;
            if targets.is_empty() && (block.is_configured(attribute) || !block.has_configuration()) {
                found.push((unknown(item, attribute), place));
            } else {
                found.extend(targets.into_iter().map(|id| (id, place.clone())));
            }
        }
        Ok(found)
    }

    fn targets(
        &self,
        item: &Item<'a>,
        block: Block<'a>,
        attribute: &str,
        kinds: &[&str],
    ) -> Result<Vec<String>, IngestError> {
        let targets = self.plan.targets(item, &block.references(attribute)).into_iter();
        targets
            .map(|target| &self.plan.items[target])
            .filter(|target| kinds.is_empty() || kinds.contains(&target.kind()))
            .filter(|target| target.block.values.member("id").is_none())
            .map(|target| self.of(target))
            .collect()
    }
}

/// An ID that leads nowhere and names the attribute that is known only after apply: what hangs on it is undetermined.
pub(super) fn unknown(item: &Item<'_>, attribute: &str) -> String {
    format!("{UNKNOWN}{}/{attribute}", segment_of(item.text))
}

/// Whether an ID is one of those.
pub(super) fn is_unknown(id: &str) -> bool {
    id.starts_with(UNKNOWN)
}

const UNKNOWN: &str = "/known-after-apply/";

/// A text as a segment of an ID.
pub(super) fn segment_of(text: &str) -> String {
    text.replace('/', "%2F")
}

/// References in ARM's shape.
pub(super) fn drafts<'a>(ids: Vec<(String, String)>) -> Vec<Draft<'a>> {
    ids.into_iter().map(|(id, place)| Draft::reference(&place, id)).collect()
}
