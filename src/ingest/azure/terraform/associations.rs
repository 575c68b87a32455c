//! Resources that do nothing but attach one resource to another: they become members of the other (JSON-9).

use std::collections::BTreeMap;

use super::draft::Draft;
use super::fields::Fields;
use super::ids::{self, Ids, unknown};
use super::plan::Item;
use super::resources;
use crate::ingest::azure::findings::Findings;
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;

/// What is attached to resources and to IP configurations of interfaces.
#[derive(Default)]
pub(super) struct Associations<'a> {
    /// By the ID of what it is attached to, in lower case.
    waiting: BTreeMap<String, Vec<Attached<'a>>>,
    /// Associations whose resource is not known: it may be any one of its type that has no ID yet.
    open: Vec<(&'static Kind, String, Node<'a>)>,
}

struct Attached<'a> {
    member: &'static str,
    is_list: bool,
    draft: Draft<'a>,
    /// The association itself.
    node: Node<'a>,
}

/// A type of association: what it attaches to, under which member, and what.
struct Kind {
    name: &'static str,
    /// The attribute with the ID of what is attached to, and its type.
    to: (&'static str, &'static str),
    member: &'static str,
    is_list: bool,
    /// The attribute with the ID of what is attached, and its type.
    what: (&'static str, &'static str),
}

const KINDS: &[Kind] = &[
    Kind {
        name: "azurerm_subnet_network_security_group_association",
        to: ("subnet_id", "azurerm_subnet"),
        member: "networkSecurityGroup",
        is_list: false,
        what: ("network_security_group_id", "azurerm_network_security_group"),
    },
    Kind {
        name: "azurerm_subnet_route_table_association",
        to: ("subnet_id", "azurerm_subnet"),
        member: "routeTable",
        is_list: false,
        what: ("route_table_id", "azurerm_route_table"),
    },
    Kind {
        name: "azurerm_subnet_nat_gateway_association",
        to: ("subnet_id", "azurerm_subnet"),
        member: "natGateway",
        is_list: false,
        what: ("nat_gateway_id", "azurerm_nat_gateway"),
    },
    Kind {
        name: "azurerm_network_interface_security_group_association",
        to: ("network_interface_id", "azurerm_network_interface"),
        member: "networkSecurityGroup",
        is_list: false,
        what: ("network_security_group_id", "azurerm_network_security_group"),
    },
    Kind {
        name: "azurerm_network_interface_application_security_group_association",
        to: ("network_interface_id", "azurerm_network_interface"),
        member: "applicationSecurityGroups",
        is_list: true,
        what: ("application_security_group_id", "azurerm_application_security_group"),
    },
    Kind {
        name: "azurerm_network_interface_backend_address_pool_association",
        to: ("network_interface_id", "azurerm_network_interface"),
        member: "loadBalancerBackendAddressPools",
        is_list: true,
        what: ("backend_address_pool_id", "azurerm_lb_backend_address_pool"),
    },
    Kind {
        name: "azurerm_network_interface_nat_rule_association",
        to: ("network_interface_id", "azurerm_network_interface"),
        member: "loadBalancerInboundNatRules",
        is_list: true,
        what: ("nat_rule_id", "azurerm_lb_nat_rule"),
    },
    Kind {
        name: "azurerm_nat_gateway_public_ip_association",
        to: ("nat_gateway_id", "azurerm_nat_gateway"),
        member: "publicIpAddresses",
        is_list: true,
        what: ("public_ip_address_id", "azurerm_public_ip"),
    },
    Kind {
        name: "azurerm_nat_gateway_public_ip_prefix_association",
        to: ("nat_gateway_id", "azurerm_nat_gateway"),
        member: "publicIpPrefixes",
        is_list: true,
        what: ("public_ip_prefix_id", "azurerm_public_ip_prefix"),
    },
];

/// The rules of an account's firewall as a resource of their own.
const ACCOUNT_RULES: &str = "azurerm_storage_account_network_rules";

impl<'a> Associations<'a> {
    /// Takes in a resource if it is an association.
    pub(super) fn take(&mut self, ids: &Ids<'_, 'a>, item: &Item<'a>) -> Result<bool, IngestError> {
        let node = item.block.values;
        let id = |attribute: &str, kind: &str| {
            let found = ids.reference(item, item.block, attribute, &[kind])?;
            found.ok_or_else(|| node.lacks(attribute, "a resource ID"))
        };
        if item.kind() == ACCOUNT_RULES {
            let (account, _) = id("storage_account_id", "azurerm_storage_account")?;
            let mut fields = Fields::new(ids, item, item.block);
            resources::network_rules(&mut fields)?;
            let draft = fields.finish();
            let attached = Attached { member: "networkAcls", is_list: false, draft, node };
            self.waiting.entry(account.to_ascii_lowercase()).or_default().push(attached);
            return Ok(true);
        }
        let Some(kind) = KINDS.iter().find(|kind| kind.name == item.kind()) else { return Ok(false) };
        let (mut to, _) = id(kind.to.0, kind.to.1)?;
        let (what, place) = id(kind.what.0, kind.what.1)?;
        if !kind.is_list && ids::is_unknown(&to) {
            self.open.push((kind, to, node));
            return Ok(true);
        }
        // Pools and rules belong to one configuration of the interface, groups to all of them.
        if matches!(kind.member, "loadBalancerBackendAddressPools" | "loadBalancerInboundNatRules") {
            let name = node.text_of("ip_configuration_name")?;
            let name = name.map_or_else(|| unknown(item, "ip_configuration_name"), str::to_owned);
            to = format!("{to}/ipConfigurations/{name}");
        }
        let draft = Draft::reference(&place, what);
        let attached = Attached { member: kind.member, is_list: kind.is_list, draft, node };
        self.waiting.entry(to.to_ascii_lowercase()).or_default().push(attached);
        Ok(true)
    }

    /// Adds what is attached to the resource of this ID to its members, and to those of its IP configurations.
    pub(super) fn attach(&mut self, fields: &mut Fields<'_, '_, 'a>, id: &str) -> Result<(), IngestError> {
        let has_id = fields.block.values.member("id").is_some();
        let id = id.to_ascii_lowercase();
        let own = self.waiting.remove(&id).unwrap_or_default();
        // Whether the association is this resource's is not known: what hangs on it is undetermined.
        let taken = |member| own.iter().any(|attached| attached.member == member);
        let open = self.open.iter().filter(|(kind, ..)| kind.to.1 == fields.item.kind() && !has_id);
        let open: Vec<(&'static str, Draft<'a>)> = open
            .filter(|(kind, ..)| !taken(kind.member))
            .map(|(kind, id, node)| (kind.member, Draft::reference(&node.place(), id.clone())))
            .collect();
        for (member, draft) in open {
            fields.replace(member, draft);
        }
        if fields.item.kind() != "azurerm_network_interface" {
            put(fields, own);
            return Ok(());
        }
        let (groups, own): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|attached| attached.member == "applicationSecurityGroups");
        put(fields, own);
        let mut configurations = Vec::new();
        for block in fields.block.blocks("ip_configuration")? {
            let mut inner = Fields::new(fields.ids, fields.item, block);
            resources::ip_configuration(&mut inner)?;
            let name = block.values.text_of("name")?.unwrap_or_default();
            let key = format!("{id}/ipconfigurations/{}", name.to_ascii_lowercase());
            put(&mut inner, self.waiting.remove(&key).unwrap_or_default());
            let again = groups.iter().map(Attached::again).collect();
            put(&mut inner, again);
            configurations.push(inner.finish());
        }
        fields.list("ipConfigurations", configurations);
        Ok(())
    }

    /// Reports what is attached to something that the document does not hold: it is left out.
    pub(super) fn report(self, findings: &mut Findings) {
        for (kind, id, node) in self.open {
            let message = format!(
                "`{id}`: it is not known which {} this attaches to: what hangs on one without its own is undetermined",
                kind.to.1
            );
            findings.add(FindingCode::MissingResource, node, message);
        }
        for (id, attached) in self.waiting {
            for association in attached {
                let message = format!(
                    "the association is left out: `{id}`, which it attaches to, is not in the document"
                );
                findings.add(FindingCode::MissingResource, association.node, message);
            }
        }
    }
}

impl<'a> Attached<'a> {
    /// The same group for another configuration.
    fn again(&self) -> Self {
        let id = match &self.draft.content {
            super::draft::Content::Object(members) => members.iter().find_map(|(_, id)| match &id.content {
                super::draft::Content::Text(id) => Some(id.clone()),
                _ => None,
            }),
            _ => None,
        };
        let draft = Draft::reference(&self.draft.place, id.unwrap_or_default());
        Self { member: self.member, is_list: self.is_list, draft, node: self.node }
    }
}

/// Sets members. What an association says goes before what the resource's own attributes say: in a state these repeat
/// it, as it was when they were last read.
fn put<'a>(fields: &mut Fields<'_, '_, 'a>, attached: Vec<Attached<'a>>) {
    let mut lists: BTreeMap<&'static str, Vec<Draft<'a>>> = BTreeMap::new();
    for one in attached {
        if one.is_list {
            lists.entry(one.member).or_default().push(one.draft);
        } else {
            fields.replace(one.member, one.draft);
        }
    }
    for (member, items) in lists {
        fields.list(member, items);
    }
}
