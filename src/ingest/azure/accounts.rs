//! Storage accounts, key vaults and SQL servers: the firewalls of their own (JSON-2, SVC-2, SVC-4, SVC-5).

use std::net::IpAddr;

use super::collect::Resource;
use super::node::Node;
use super::resolve::Reader;
use crate::ingest::error::IngestError;
use crate::model::prefix::read_prefix;
use crate::model::services::{ServiceAccount, ServiceKind};

/// Reads an account.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
    kind: ServiceKind,
) -> Result<ServiceAccount, IngestError> {
    let node = resource.node;
    let mut account = ServiceAccount {
        id: resource.id.clone(),
        kind,
        location: node.text_of("location")?.map(str::to_owned),
        public_network_access: !node
            .text_of("publicNetworkAccess")?
            .is_some_and(|access| access.eq_ignore_ascii_case("Disabled")),
        default_allow: None,
        bypass_azure_services: false,
        ip_rules: Vec::new(),
        subnets: Vec::new(),
        instances: Vec::new(),
    };
    match kind {
        ServiceKind::Storage | ServiceKind::KeyVault => {
            // `az storage account` renames the member (JSON-2).
            if let Some(rules) = node.member("networkRuleSet").or_else(|| node.member("networkAcls")) {
                network_rules(&mut account, rules)?;
            }
        }
        ServiceKind::Sql => sql_rules(reader, &mut account, resource)?,
    }
    Ok(account)
}

fn network_rules(account: &mut ServiceAccount, rules: Node<'_>) -> Result<(), IngestError> {
    if let Some(action) = rules.member("defaultAction") {
        account.default_allow = Some(action.one_of(&[("Allow", true), ("Deny", false)])?);
    }
    if let Some(bypass) = rules.text_of("bypass")? {
        account.bypass_azure_services =
            bypass.split(',').any(|word| word.trim().eq_ignore_ascii_case("AzureServices"));
    }
    for rule in rules.list_of("ipRules")? {
        let value = rule.member("ipAddressOrRange").or_else(|| rule.member("value"));
        let value = value.ok_or_else(|| rule.lacks("value", "an IP address or range"))?;
        account.ip_rules.push(address_range(value)?);
    }
    for rule in rules.list_of("virtualNetworkRules")? {
        let subnet = rule.member("virtualNetworkResourceId").or_else(|| rule.member("id"));
        let subnet = subnet.ok_or_else(|| rule.lacks("id", "a subnet's ID"))?;
        account.subnets.push(subnet.id()?);
    }
    for rule in rules.list_of("resourceAccessRules")? {
        account.instances.extend(rule.member("resourceId").map(Node::id).transpose()?);
    }
    Ok(())
}

fn sql_rules<'a>(
    reader: &mut Reader<'a>,
    account: &mut ServiceAccount,
    resource: &Resource<'a>,
) -> Result<(), IngestError> {
    account.default_allow = Some(false);
    let mut children = |member| reader.collection.children(resource, member, member, &mut reader.findings);
    let (ip_rules, subnets) = (children("firewallRules")?, children("virtualNetworkRules")?);
    for rule in ip_rules {
        let address = |member: &str| {
            rule.node.address_of(member)?.ok_or_else(|| rule.node.lacks(member, "an IP address"))
        };
        account.ip_rules.push((address("startIpAddress")?, address("endIpAddress")?));
    }
    for rule in subnets {
        let subnet = rule.node.member("virtualNetworkSubnetId").or_else(|| rule.node.member("subnetId"));
        let subnet = subnet.ok_or_else(|| rule.node.lacks("virtualNetworkSubnetId", "a subnet's ID"))?;
        account.subnets.push(subnet.id()?);
    }
    Ok(())
}

/// First and last address of an address, a CIDR block or a range `a-b`.
fn address_range(node: Node<'_>) -> Result<(IpAddr, IpAddr), IngestError> {
    let text = node.text()?;
    if let Ok(read) = read_prefix(text) {
        return Ok((read.prefix.network(), read.prefix.broadcast()));
    }
    let ends = text.split_once('-').and_then(|(first, last)| {
        Some((first.trim().parse::<IpAddr>().ok()?, last.trim().parse::<IpAddr>().ok()?))
    });
    ends.filter(|(first, last)| first <= last && first.is_ipv4() == last.is_ipv4())
        .ok_or_else(|| node.wrong("an IP address, a CIDR block or a range `a-b`"))
}
