//! Effective rules (NW-6) and security group views (NW-7).

use super::super::node::Node;
use super::super::{nsg, terms};
use super::{bare, needed};
use crate::ingest::error::IngestError;
use crate::model::answered::{AnsweredGroup, AnsweredRule, AnsweredSide, AnsweredView, HeldBy, RulePart};
use crate::model::prefix::{PortRange, Prefix, read_prefix};
use crate::model::rule::{Access, Priority, Protocol, ProtocolMatch};

/// Rules that only show that nothing is left (DEF-4).
const NOTHING_LEFT: [&str; 2] = ["DefaultInboundDenyAll", "DefaultOutboundDenyAll"];

/// Reads the rules of one NSG in effect.
pub(in crate::ingest::azure) fn group(node: Node<'_>) -> Result<AnsweredGroup, IngestError> {
    let nsg = node.reference_of("networkSecurityGroup")?.map(|(id, _)| id);
    let association = node.member("association");
    let by =
        |name: &str| association.map_or(Ok(None), |it| it.reference_of(name)).map(|it| it.map(|(id, _)| id));
    let held_by = if let Some(manager) = by("networkManager")? {
        // What its rules look like there, no clause says.
        return Ok(AnsweredGroup {
            place: node.place(),
            held_by: HeldBy::Manager(manager),
            nsg,
            part: RulePart::Whole,
            rules: Vec::new(),
        });
    } else if let Some(subnet) = by("subnet")? {
        HeldBy::Subnet(Some(subnet))
    } else if let Some(nic) = by("networkInterface")? {
        HeldBy::Nic(Some(nic))
    } else if nsg.is_some() {
        HeldBy::Unsaid
    } else {
        return Err(node.lacks("networkSecurityGroup", "the NSG whose rules these are"));
    };
    let (_, rules) = in_effect(node)?;
    Ok(AnsweredGroup { place: node.place(), held_by, nsg, part: RulePart::Whole, rules })
}

/// Reads what a security group view says of one interface.
pub(super) fn view(node: Node<'_>) -> Result<AnsweredView, IngestError> {
    let id = needed(node, "id", "an interface's ID")?;
    let parts = needed(node, "securityRuleAssociations", "an object")?;
    let mut groups = Vec::new();
    for (name, by_nic) in [("networkInterfaceAssociation", true), ("subnetAssociation", false)] {
        let Some(place) = parts.member(name) else { continue };
        let holder = place.member("id").map(Node::id).transpose()?;
        groups.push(AnsweredGroup {
            place: place.place(),
            held_by: if by_nic { HeldBy::Nic(holder) } else { HeldBy::Subnet(holder) },
            nsg: None,
            part: RulePart::Custom,
            rules: place.member("securityRules").map_or_else(|| Ok(Vec::new()), rules)?,
        });
    }
    let mut all = |list: Node<'_>, part, rules| {
        groups.push(AnsweredGroup { place: list.place(), held_by: HeldBy::All, nsg: None, part, rules });
    };
    if let Some(list) = parts.member("defaultSecurityRules") {
        all(list, RulePart::Default, rules(list)?);
    }
    let (list, effective) = in_effect(parts)?;
    all(list, RulePart::Whole, effective);
    Ok(AnsweredView { place: id.place(), nic: id.id()?, groups })
}

/// The list of the rules in effect, and these. It may be empty, but not absent: then the answer tells nothing.
fn in_effect(node: Node<'_>) -> Result<(Node<'_>, Vec<AnsweredRule>), IngestError> {
    let name = "effectiveSecurityRules";
    let list = node.raw_member(name).ok_or_else(|| node.lacks(name, "a list of rules"))?;
    Ok((list, if list.is_empty() { Vec::new() } else { rules(list)? }))
}

fn rules(list: Node<'_>) -> Result<Vec<AnsweredRule>, IngestError> {
    let mut found = Vec::new();
    for node in list.items()? {
        let name = bare(needed(node, "name", "a rule's name")?.text()?);
        if !NOTHING_LEFT.iter().any(|shown| shown.eq_ignore_ascii_case(name)) {
            found.push(rule(node, name)?);
        }
    }
    Ok(found)
}

fn rule(node: Node<'_>, name: &str) -> Result<AnsweredRule, IngestError> {
    let priority = needed(node, "priority", "an integer")?;
    let number = u32::try_from(priority.integer()?).map_err(|_| priority.wrong("a priority of 0 or more"))?;
    Ok(AnsweredRule {
        name: name.to_owned(),
        direction: nsg::direction(node)?,
        priority: Priority(number),
        access: node.needed_one_of("access", &[("Allow", Access::Allow), ("Deny", Access::Deny)])?,
        protocol: protocol(needed(node, "protocol", "a protocol")?)?,
        source: side(node, "source")?,
        destination: side(node, "destination")?,
    })
}

/// `All` of effective rules is the `*` of written ones (NW-6).
pub(super) fn protocol(node: Node<'_>) -> Result<ProtocolMatch, IngestError> {
    let text = node.text()?;
    if terms::is_any_protocol(text) || text.eq_ignore_ascii_case("All") {
        return Ok(ProtocolMatch::Any);
    }
    Protocol::read(text).map(ProtocolMatch::Is).ok_or_else(|| node.wrong("a protocol"))
}

/// The elements of a field, from its singular and its plural form; most answers have both.
fn elements<'a>(rule: Node<'a>, singular: &str, plural: &str) -> Result<Vec<Node<'a>>, IngestError> {
    let mut found = rule.list_of(plural)?;
    found.extend(rule.member(singular));
    Ok(found)
}

fn side(rule: Node<'_>, side: &str) -> Result<AnsweredSide, IngestError> {
    let mut read = AnsweredSide::default();
    let groups = rule.references_of(&format!("{side}ApplicationSecurityGroups"))?;
    let addresses = elements(rule, &format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes"))?;
    if addresses.is_empty() && groups.is_empty() {
        return Err(rule.lacks(&format!("{side}AddressPrefix"), "an address, a block or a name"));
    }
    for element in addresses {
        let text = element.text()?;
        match read_prefix(text) {
            // Effective rules list `*` so, also for both families.
            Ok(all) if all.prefix.prefix_len() == 0 => read.any = true,
            Ok(block) => read.prefixes.push(block.prefix),
            Err(_) if text == "*" || text.eq_ignore_ascii_case("any") => read.any = true,
            Err(_) => {
                let name = terms::tag(text).map_or_else(|| text.to_owned(), |tag| tag.as_str().to_owned());
                read.names.push(name);
            }
        }
    }
    read.names.extend(groups.into_iter().map(|(id, _)| id.name().to_owned()));
    read.names.sort_by_key(|name| name.to_ascii_lowercase());
    read.names.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    if let Some(list) = rule.member(&format!("expanded{}AddressPrefix", capital(side))) {
        let prefixes: Result<Vec<Prefix>, IngestError> = list.items()?.into_iter().map(prefix).collect();
        read.expanded = Some(prefixes?);
    }
    for element in elements(rule, &format!("{side}PortRange"), &format!("{side}PortRanges"))? {
        let range: PortRange =
            element.text()?.parse().map_err(|_| element.wrong("`*`, a port or a range `a-b` up to 65535"))?;
        read.ports.push(range);
    }
    if read.ports.is_empty() {
        return Err(rule.lacks(&format!("{side}PortRange"), "a port range"));
    }
    Ok(read)
}

fn capital(side: &str) -> String {
    side[..1].to_ascii_uppercase() + &side[1..]
}

/// The block that a text is.
pub(super) fn prefix(node: Node<'_>) -> Result<Prefix, IngestError> {
    let read = read_prefix(node.text()?).map_err(|_| node.wrong("an IP address or a CIDR block"))?;
    Ok(read.prefix)
}
