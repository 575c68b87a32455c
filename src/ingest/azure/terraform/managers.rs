//! Virtual network managers with their groups, members, configurations and admin rules (ADM).

use super::draft::{Content, Draft};
use super::fields::Fields;
use super::resources::{Done, VNET};

/// Sets the members of a resource of a manager, or of the manager.
pub(super) fn fill(fields: &mut Fields<'_, '_, '_>) -> Done {
    match fields.item.kind() {
        "azurerm_network_manager" => scope(fields),
        "azurerm_network_manager_static_member" => {
            fields.known_id("target_virtual_network_id", "resourceId", VNET)
        }
        "azurerm_network_manager_security_admin_configuration" => fields
            .copy("apply_on_network_intent_policy_based_services", "applyOnNetworkIntentPolicyBasedServices"),
        "azurerm_network_manager_admin_rule_collection" => collection(fields),
        "azurerm_network_manager_admin_rule" => rule(fields),
        // A group is its ID; its members are resources of their own.
        _ => Ok(()),
    }
}

fn scope(fields: &mut Fields<'_, '_, '_>) -> Done {
    for scope in fields.block.blocks("scope")? {
        let scopes = fields.nested(scope, |inner| {
            inner.known("management_group_ids", "managementGroups")?;
            inner.known("subscription_ids", "subscriptions")
        })?;
        fields.put("networkManagerScopes", scopes);
    }
    Ok(())
}

fn collection(fields: &mut Fields<'_, '_, '_>) -> Done {
    let groups = &["azurerm_network_manager_network_group"];
    let found = fields.ids.references(fields.item, fields.block, "network_group_ids", groups)?;
    let mut items = Vec::new();
    for (id, place) in found {
        let id = Draft { place: place.clone(), content: Content::Text(id) };
        items.push(Draft { place, content: Content::Object(vec![("networkGroupId", id)]) });
    }
    fields.list("appliesToGroups", items);
    Ok(())
}

fn rule(fields: &mut Fields<'_, '_, '_>) -> Done {
    for (attribute, member) in [
        ("priority", "priority"),
        ("direction", "direction"),
        ("action", "access"),
        ("protocol", "protocol"),
        ("source_port_ranges", "sourcePortRanges"),
        ("destination_port_ranges", "destinationPortRanges"),
    ] {
        fields.known(attribute, member)?;
    }
    for (attribute, member) in [("source", "sources"), ("destination", "destinations")] {
        fields.check_known(attribute)?;
        fields.each(attribute, member, |inner| {
            inner.known("address_prefix", "addressPrefix")?;
            inner.known("address_prefix_type", "addressPrefixType")
        })?;
    }
    Ok(())
}
