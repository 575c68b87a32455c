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

#[derive(Clone)]
struct Attached<'a> {
    member: &'static str,
    is_list: bool,
    draft: Draft<'a>,
    /// The association itself.
    node: Node<'a>,
}

/// An attribute that is an ID, and the type of the resource that has it.
type Id = (&'static str, &'static str);

/// A type of association: what it attaches to, under which member, and what.
struct Kind {
    name: &'static str,
    to: Id,
    member: &'static str,
    is_list: bool,
    what: Id,
}

impl Kind {
    /// An association of which a resource has one.
    const fn one(name: &'static str, to: Id, member: &'static str, what: Id) -> Self {
        Self { name, to, member, is_list: false, what }
    }

    /// An association of which a resource has any number.
    const fn many(name: &'static str, to: Id, member: &'static str, what: Id) -> Self {
        Self { name, to, member, is_list: true, what }
    }
}

const ASG: Id = ("application_security_group_id", "azurerm_application_security_group");
const NAT_GATEWAY: Id = ("nat_gateway_id", "azurerm_nat_gateway");
const NIC: Id = ("network_interface_id", "azurerm_network_interface");
const NSG: Id = ("network_security_group_id", "azurerm_network_security_group");
const SUBNET: Id = ("subnet_id", "azurerm_subnet");

/// Members of an interface that belong to one of its IP configurations.
const POOLS: &str = "loadBalancerBackendAddressPools";
const NAT_RULES: &str = "loadBalancerInboundNatRules";
/// The member of an interface that belongs to all of its IP configurations.
const GROUPS: &str = "applicationSecurityGroups";

const KINDS: &[Kind] = &[
    Kind::one("azurerm_subnet_network_security_group_association", SUBNET, "networkSecurityGroup", NSG),
    Kind::one(
        "azurerm_subnet_route_table_association",
        SUBNET,
        "routeTable",
        ("route_table_id", "azurerm_route_table"),
    ),
    Kind::one("azurerm_subnet_nat_gateway_association", SUBNET, "natGateway", NAT_GATEWAY),
    Kind::one("azurerm_network_interface_security_group_association", NIC, "networkSecurityGroup", NSG),
    Kind::many("azurerm_network_interface_application_security_group_association", NIC, GROUPS, ASG),
    Kind::many(
        "azurerm_network_interface_backend_address_pool_association",
        NIC,
        POOLS,
        ("backend_address_pool_id", "azurerm_lb_backend_address_pool"),
    ),
    Kind::many(
        "azurerm_network_interface_nat_rule_association",
        NIC,
        NAT_RULES,
        ("nat_rule_id", "azurerm_lb_nat_rule"),
    ),
    Kind::many(
        "azurerm_nat_gateway_public_ip_association",
        NAT_GATEWAY,
        "publicIpAddresses",
        ("public_ip_address_id", "azurerm_public_ip"),
    ),
    Kind::many(
        "azurerm_nat_gateway_public_ip_prefix_association",
        NAT_GATEWAY,
        "publicIpPrefixes",
        ("public_ip_prefix_id", "azurerm_public_ip_prefix"),
    ),
    Kind::many(
        "azurerm_private_endpoint_application_security_group_association",
        ("private_endpoint_id", "azurerm_private_endpoint"),
        GROUPS,
        ASG,
    ),
];

/// The rules of an account's firewall as a resource of their own.
const ACCOUNT_RULES: &str = "azurerm_storage_account_network_rules";

impl<'a> Associations<'a> {
    /// Takes in a resource if it is an association.
    pub(super) fn take(&mut self, ids: &Ids<'_, 'a>, item: &Item<'a>) -> Result<bool, IngestError> {
        let node = item.block.values;
        let id = |(attribute, kind): Id| {
            let found = ids.reference(item, item.block, attribute, &[kind])?;
            found.ok_or_else(|| node.lacks(attribute, "a resource ID"))
        };
        if item.kind() == ACCOUNT_RULES {
            let (account, _) = id(("storage_account_id", "azurerm_storage_account"))?;
            let mut fields = Fields::new(ids, item, item.block);
            resources::network_rules(&mut fields)?;
            let draft = fields.finish();
            self.wait(&account, Attached { member: "networkAcls", is_list: false, draft, node });
            return Ok(true);
        }
        let Some(kind) = KINDS.iter().find(|kind| kind.name == item.kind()) else { return Ok(false) };
        let (mut to, _) = id(kind.to)?;
        let (what, place) = id(kind.what)?;
        if !kind.is_list && ids::is_unknown(&to) {
            self.open.push((kind, to, node));
            return Ok(true);
        }
        if matches!(kind.member, POOLS | NAT_RULES) {
            let name = node.text_of("ip_configuration_name")?;
            let name = name.map_or_else(|| unknown(item, "ip_configuration_name"), str::to_owned);
            to = format!("{to}/ipConfigurations/{name}");
        }
        let draft = Draft::reference(&place, what);
        self.wait(&to, Attached { member: kind.member, is_list: kind.is_list, draft, node });
        Ok(true)
    }

    fn wait(&mut self, id: &str, attached: Attached<'a>) {
        self.waiting.entry(id.to_ascii_lowercase()).or_default().push(attached);
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
        let (groups, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|attached| attached.member == GROUPS);
        put(fields, own);
        let mut configurations = Vec::new();
        for block in fields.block.blocks("ip_configuration")? {
            let mut inner = Fields::new(fields.ids, fields.item, block);
            resources::ip_configuration(&mut inner)?;
            let name = block.values.text_of("name")?.unwrap_or_default();
            let key = format!("{id}/ipconfigurations/{}", name.to_ascii_lowercase());
            put(&mut inner, self.waiting.remove(&key).unwrap_or_default());
            put(&mut inner, groups.clone());
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
