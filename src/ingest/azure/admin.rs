//! Virtual network managers, management groups, subscriptions, instances of scale sets, and what the user states of
//! appliances (JSON-6, ADM-5, EVAL-13, TOP-7, ROUTE-15).

use super::collect::Resource;
use super::node::Node;
use super::resolve::Reader;
use super::{nsg, terms};
use crate::ingest::error::IngestError;
use crate::model::id::ResourceId;
use crate::model::prefix::PortRange;
use crate::model::rule::{AddressTerm, Protocol};
use crate::model::services::{
    AdminAction, AdminAddress, AdminCollection, AdminConfiguration, AdminRule, Appliance, ApplianceMode,
    EffectiveAdminRules, ManagementGroup, NetworkGroup, NetworkManager,
};
use crate::model::subscription::{Subscription, SubscriptionKind};

/// Reads a network manager with its groups and configurations.
pub(super) fn manager<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<NetworkManager, IngestError> {
    let scopes = resource.node.member("networkManagerScopes");
    let scope = |member: &str| -> Result<Vec<ResourceId>, IngestError> {
        let items = scopes.map_or_else(|| Ok(Vec::new()), |scopes| scopes.list_of(member))?;
        items.into_iter().map(Node::id).collect()
    };
    let (management_groups, subscriptions) = (scope("managementGroups")?, scope("subscriptions")?);
    let mut groups = Vec::new();
    for group in
        reader.collection.children(resource, "networkGroups", "networkGroups", &mut reader.findings)?
    {
        groups.push(network_group(reader, &group)?);
    }
    let segment = "securityAdminConfigurations";
    let mut configurations = Vec::new();
    for child in reader.collection.children(resource, segment, segment, &mut reader.findings)? {
        configurations.push(configuration(reader, &child)?);
    }
    Ok(NetworkManager { id: resource.id.clone(), management_groups, subscriptions, groups, configurations })
}

fn network_group<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<NetworkGroup, IngestError> {
    reader.know(&resource.id);
    let mut members = Vec::new();
    // Inline they are `members`, exported on their own they are children of type `staticMembers`.
    for member in reader.collection.children(resource, "members", "staticMembers", &mut reader.findings)? {
        let id = member.node.member("resourceId");
        members.push(id.ok_or_else(|| member.node.lacks("resourceId", "a resource ID"))?.id()?);
    }
    Ok(NetworkGroup { id: resource.id.clone(), members })
}

fn configuration<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<AdminConfiguration, IngestError> {
    let node = resource.node;
    let mut collections = Vec::new();
    for child in
        reader.collection.children(resource, "ruleCollections", "ruleCollections", &mut reader.findings)?
    {
        let mut groups = Vec::new();
        for group in child.node.list_of("appliesToGroups")? {
            let id = group.member("networkGroupId");
            let id = id.ok_or_else(|| group.lacks("networkGroupId", "a resource ID"))?;
            groups.push(reader.expect((id.id()?, id)));
        }
        let mut rules = Vec::new();
        for rule in reader.collection.children(&child, "rules", "rules", &mut reader.findings)? {
            rules.push(admin_rule(reader, rule.node, rule.id.name())?);
        }
        let name = child.name()?.to_owned();
        collections.push(AdminCollection { name, groups, rules });
    }
    Ok(AdminConfiguration {
        id: resource.id.as_str().to_owned(),
        deployed: node.flag_of("deployed")?,
        on_intent_policy_services: node.texts_of("applyOnNetworkIntentPolicyBasedServices")?,
        collections,
    })
}

/// Reads the rules in force on one network. Their list does not say which one, so that two that differ cannot both
/// be true of what is read.
pub(super) fn effective_rules(
    reader: &mut Reader<'_>,
    lists: &[Vec<Node<'_>>],
) -> Result<Option<EffectiveAdminRules>, IngestError> {
    let mut found: Option<EffectiveAdminRules> = None;
    for items in lists {
        let list = effective_list(reader, items)?;
        if found.as_ref().is_some_and(|found| *found != list) {
            let place = items.first().expect("a list without rules is no export of them");
            return Err(place.error(
                "these rules in force differ from those of another list, and neither says of which virtual network it \
                 is: expected the list of one network"
                    .to_owned(),
            ));
        }
        found = Some(list);
    }
    Ok(found)
}

fn effective_list(reader: &mut Reader<'_>, items: &[Node<'_>]) -> Result<EffectiveAdminRules, IngestError> {
    let (mut rules, mut managers) = (Vec::new(), Vec::new());
    for &item in items {
        let id = item.member("id").map(Node::id).transpose()?;
        // Of configuration, collection and rule, the first is the manager's.
        let manager = id.as_ref().filter(|id| id.segment("networkManagers").is_some());
        managers.push(manager.and_then(|id| id.parent(3)));
        rules.push(admin_rule(reader, item, id.as_ref().map_or("", ResourceId::name))?);
    }
    Ok(EffectiveAdminRules { vnet: None, rules, managers })
}

fn admin_rule(reader: &mut Reader<'_>, node: Node<'_>, name: &str) -> Result<AdminRule, IngestError> {
    let priority: Option<u32> = node.number_of("priority", "an integer from 0 to 4294967295")?;
    Ok(AdminRule {
        name: node.text_of("name")?.unwrap_or(name).to_owned(),
        priority: priority.ok_or_else(|| node.lacks("priority", "an integer"))?,
        direction: nsg::direction(node)?,
        action: action(node)?,
        protocol: protocol(node)?,
        sources: addresses(reader, node, "sources")?,
        destinations: addresses(reader, node, "destinations")?,
        source_ports: ports(node, "sourcePortRanges")?,
        destination_ports: ports(node, "destinationPortRanges")?,
    })
}

fn action(node: Node<'_>) -> Result<AdminAction, IngestError> {
    node.needed_one_of(
        "access",
        &[
            ("Allow", AdminAction::Allow),
            ("AlwaysAllow", AdminAction::AlwaysAllow),
            ("Deny", AdminAction::Deny),
        ],
    )
}

fn protocol(node: Node<'_>) -> Result<Option<Protocol>, IngestError> {
    node.needed_one_of(
        "protocol",
        &[
            ("Tcp", Some(Protocol::TCP)),
            ("Udp", Some(Protocol::UDP)),
            ("Icmp", Some(Protocol::ICMP)),
            ("Esp", Some(Protocol::ESP)),
            ("Ah", Some(Protocol::AH)),
            ("Any", None),
            ("*", None),
        ],
    )
}

fn addresses(
    reader: &mut Reader<'_>,
    rule: Node<'_>,
    member: &str,
) -> Result<Vec<AdminAddress>, IngestError> {
    let mut found = Vec::new();
    for item in rule.list_of(member)? {
        let node = item.member("addressPrefix").ok_or_else(|| item.lacks("addressPrefix", "a text"))?;
        found.push(address(reader, node)?);
    }
    Ok(found)
}

fn address(reader: &mut Reader<'_>, node: Node<'_>) -> Result<AdminAddress, IngestError> {
    Ok(match terms::address(node, reader.tags, &mut reader.findings)? {
        AddressTerm::Any => AdminAddress::Any,
        AddressTerm::Prefix(prefix) => AdminAddress::Prefix(prefix),
        AddressTerm::Tag(tag) => AdminAddress::Tag(tag),
        AddressTerm::Invalid(text) => AdminAddress::Invalid(text),
        AddressTerm::Asg(_) => return Err(node.wrong("an address")),
    })
}

/// Ranges of ports; an empty list matches all (ADM-5).
fn ports(rule: Node<'_>, member: &str) -> Result<Vec<PortRange>, IngestError> {
    let range = |item: Node<'_>| {
        item.text()?.parse().map_err(|_| item.wrong("`*`, a port or a range `a-b` up to 65535"))
    };
    rule.list_of(member)?.into_iter().map(range).collect()
}

/// Reads a management group; its parent stands in `parent`, or where the API puts it.
pub(super) fn management_group(resource: &Resource<'_>) -> Result<ManagementGroup, IngestError> {
    let node = resource.node;
    let parent = match (node.member("parent"), node.member("details")) {
        (Some(parent), _) if parent.is_object() => node.reference_of("parent")?.map(|(id, _)| id),
        (Some(parent), _) => Some(parent.id()?),
        (None, Some(details)) => details.reference_of("parent")?.map(|(id, _)| id),
        (None, None) => None,
    };
    Ok(ManagementGroup { id: resource.id.clone(), parent })
}

/// Reads of which kind a subscription is (EVAL-13); nothing where the export does not tell.
pub(super) fn subscription(resource: &Resource<'_>) -> Result<Option<Subscription>, IngestError> {
    let Some(policies) = resource.node.member("subscriptionPolicies") else { return Ok(None) };
    let kind = policies.text_of("quotaId")?.and_then(subscription_kind);
    let id = resource.id.segment("subscriptions").unwrap_or_else(|| resource.id.name()).to_owned();
    Ok(kind.map(|kind| Subscription { id, kind }))
}

/// What the quota of a subscription tells of its kind. Whether one for development and tests is exempted from the block
/// of mail it does not tell.
fn subscription_kind(quota: &str) -> Option<SubscriptionKind> {
    let quota = quota.to_ascii_lowercase();
    if quota.starts_with("msdndevtest") {
        None
    } else if quota.starts_with("enterpriseagreement") {
        Some(SubscriptionKind::EnterpriseAgreement)
    } else {
        Some(SubscriptionKind::Other)
    }
}

/// The ID of a machine that is an instance of a Flexible scale set (TOP-7); nothing where it is none. Instances of
/// Uniform ones are machines of another type.
pub(super) fn flexible_machine(resource: &Resource<'_>) -> Result<Option<ResourceId>, IngestError> {
    let scale_set = resource.node.reference_of("virtualMachineScaleSet")?;
    Ok(scale_set.map(|_| resource.id.clone()))
}

/// Reads what the user states of the machine behind an interface.
pub(super) fn appliance<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<Appliance, IngestError> {
    let node = resource.node;
    let modes =
        [("forward", ApplianceMode::Forward), ("snat", ApplianceMode::Snat), ("drop", ApplianceMode::Drop)];
    let mode = node.needed_one_of("mode", &modes)?;
    let egress = match node.member("egressNic") {
        Some(egress) => Some(reader.resolve((egress.id()?, egress), |positions| &positions.nics)),
        None => None,
    };
    let nic = node.member("nic").unwrap_or(node);
    Ok(Appliance {
        nic: reader.resolve((resource.id.clone(), nic), |positions| &positions.nics),
        mode,
        egress,
    })
}
