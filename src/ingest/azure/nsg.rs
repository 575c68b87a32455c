//! Network security groups (JSON-3).

use super::collect::Resource;
use super::node::{Node, shorten};
use super::resolve::Reader;
use super::terms;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;
use crate::model::nsg::{Nsg, default_rules};
use crate::model::prefix::PortRange;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, Priority, ProtocolMatch, Rule};

/// An NSG as it was read, its custom rules in the order of the input.
pub(super) struct NsgDraft<'a> {
    pub id: ResourceId,
    /// How findings name it (SIM-8).
    pub name: String,
    pub node: Node<'a>,
    pub rules: Vec<(Rule, Node<'a>)>,
    resource_guid: Option<String>,
    flush_connection: bool,
    attached_subnets: Vec<ResourceId>,
}

impl NsgDraft<'_> {
    /// Where each rule stands, in the order of the finished NSG; of a default rule, where the NSG does.
    pub(super) fn rule_places(&self) -> Vec<String> {
        let key = |rule: &Rule| (rule.direction, rule.priority, rule.is_default);
        let custom = self.rules.iter().map(|(rule, node)| (key(rule), node.place()));
        let default = default_rules();
        let default = default.iter().map(|rule| (key(rule), self.node.place()));
        let mut places: Vec<_> = custom.chain(default).collect();
        // As `Nsg::sort` does.
        places.sort_by_key(|(key, _)| *key);
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// The NSG with its rules in the order in which they are tried.
    pub(super) fn finish(self) -> Nsg {
        let mut nsg = Nsg::new(self.id, self.rules.into_iter().map(|(rule, _)| rule).collect());
        nsg.resource_guid = self.resource_guid;
        nsg.flush_connection = self.flush_connection;
        nsg.attached_subnets = self.attached_subnets;
        nsg
    }
}

/// Reads the NSG `resource`, which findings call `name`.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    resource: Resource<'a>,
    name: String,
) -> Result<NsgDraft<'a>, IngestError> {
    let node = resource.node;
    let children =
        reader.collection.children(&resource, "securityRules", "securityRules", &mut reader.findings)?;
    let mut rules = Vec::with_capacity(children.len());
    for child in children {
        let rule = custom_rule(reader, &name, &child)?;
        rules.push((rule, child.node));
    }
    let member = "defaultSecurityRules";
    for listed in reader.collection.children(&resource, member, member, &mut reader.findings)? {
        if is_altered(listed.node) {
            reader.findings.about(
                (&name, listed.node.text_of("name")?),
                FindingCode::AlteredDefaultRules,
                listed.node,
                "listed in another form than Azure's own: the six default rules are used as they are",
            );
        }
    }
    // The association stands at the other side (JSON-3). An interface that is not in the inventory has no address to be
    // judged by, so only subnets are of interest, and nothing hangs on those that nobody is in.
    let attached_subnets = node.references_of("subnets")?.into_iter().map(|(id, _)| id).collect();
    Ok(NsgDraft {
        resource_guid: node.text_of("resourceGuid")?.map(str::to_owned),
        flush_connection: node.flag_of("flushConnection")?.unwrap_or(false),
        attached_subnets,
        id: resource.id,
        name,
        node,
        rules,
    })
}

fn custom_rule<'a>(reader: &mut Reader<'a>, nsg: &str, child: &Resource<'a>) -> Result<Rule, IngestError> {
    let name = child.name()?.to_owned();
    reader.within(nsg, &name, |reader| rule(reader, child.node, &name)).map_err(|error| match error {
        IngestError::Content { place, message } => {
            IngestError::Content { place, message: format!("rule `{}`: {message}", shorten(&name)) }
        }
        other => other,
    })
}

fn rule<'a>(reader: &mut Reader<'a>, node: Node<'a>, name: &str) -> Result<Rule, IngestError> {
    let (source, destination) = (Side("source"), Side("destination"));
    let priority = node.member("priority").ok_or_else(|| node.lacks("priority", "an integer"))?;
    Ok(Rule {
        name: name.to_owned(),
        priority: Priority(
            u32::try_from(priority.integer()?)
                .map_err(|_| priority.wrong("an integer from 0 to 4294967295"))?,
        ),
        direction: direction(node)?,
        access: access(node)?,
        protocol: match node.member("protocol") {
            Some(protocol) => terms::protocol(protocol, &mut reader.findings)?,
            None => {
                reader.findings.add(FindingCode::MissingField, node, "protocol is missing");
                ProtocolMatch::Invalid(String::new())
            }
        },
        source: source.addresses(reader, node)?,
        source_ports: source.ports(reader, node)?,
        destination: destination.addresses(reader, node)?,
        destination_ports: destination.ports(reader, node)?,
        is_default: false,
    })
}

/// The direction of a rule; any other word leaves nothing to evaluate.
pub(super) fn direction(node: Node<'_>) -> Result<Direction, IngestError> {
    node.needed_one_of("direction", &[("Inbound", Direction::Inbound), ("Outbound", Direction::Outbound)])
}

fn access(node: Node<'_>) -> Result<Access, IngestError> {
    node.needed_one_of("access", &[("Allow", Access::Allow), ("Deny", Access::Deny)])
}

/// The source or the destination of a rule: the same members under two names.
struct Side(&'static str);

impl Side {
    /// All elements of a field, from its singular and its plural form (NSG-9).
    fn elements<'a>(
        &self,
        reader: &mut Reader<'a>,
        rule: Node<'a>,
        field: &str,
    ) -> Result<Vec<Node<'a>>, IngestError> {
        let singular = format!("{}{field}", self.0);
        let plural = match field.strip_suffix("Prefix") {
            Some(stem) => format!("{}{stem}Prefixes", self.0),
            None => format!("{singular}s"),
        };
        let one = rule.member(&singular);
        let mut elements = match rule.member(&plural) {
            // The whole list may be an expression without a value: it then is one element of that kind.
            Some(list) if list.unresolved().is_some() => vec![list],
            _ => rule.list_of(&plural)?,
        };
        if let Some(one) = one {
            if !elements.is_empty() {
                let message = format!("both {singular} and {plural} are set: taken together");
                reader.findings.add(FindingCode::SingularAndPlural, one, message);
            }
            elements.insert(0, one);
        }
        Ok(elements)
    }

    fn addresses<'a>(
        &self,
        reader: &mut Reader<'a>,
        rule: Node<'a>,
    ) -> Result<Vec<AddressTerm>, IngestError> {
        let mut found = Vec::new();
        for element in self.elements(reader, rule, "AddressPrefix")? {
            found.push(terms::address(element, reader.tags, &mut reader.findings)?);
        }
        for asg in rule.references_of(&format!("{}ApplicationSecurityGroups", self.0))? {
            found.push(AddressTerm::Asg(reader.resolve(asg, |positions| &positions.asgs)));
        }
        if found.is_empty() {
            let message = format!("no {} is given: taken as `*`", self.0);
            reader.findings.add(FindingCode::MissingField, rule, message);
            found.push(AddressTerm::Any);
        }
        Ok(found)
    }

    fn ports<'a>(&self, reader: &mut Reader<'a>, rule: Node<'a>) -> Result<Vec<PortTerm>, IngestError> {
        let mut found = Vec::new();
        for element in self.elements(reader, rule, "PortRange")? {
            found.extend(terms::ports(element, &mut reader.findings)?);
        }
        if found.is_empty() {
            let message = format!("no {} port is given: taken as `*`", self.0);
            reader.findings.add(FindingCode::MissingField, rule, message);
            found.push(PortTerm::Range(PortRange::ALL));
        }
        Ok(found)
    }
}

/// Whether an entry of `defaultSecurityRules` says anything else than DEF-1. Members that it lacks are no matter.
fn is_altered(listed: Node<'_>) -> bool {
    let name = listed.member("name").and_then(Node::as_text).unwrap_or_default();
    let Some(own) = default_rules().into_iter().find(|rule| rule.name.eq_ignore_ascii_case(name)) else {
        return true;
    };
    let says = |member: &str, expected: &dyn Fn(Node<'_>) -> bool| listed.member(member).is_none_or(expected);
    let addresses = |side: &str, own: &[AddressTerm]| {
        // Documentation prints `0.0.0.0/0` for `*` in default rules (NSG-12).
        let is = |text: &str| match own {
            [AddressTerm::Any] => text == "*" || text == "0.0.0.0/0" || text.eq_ignore_ascii_case("any"),
            [AddressTerm::Tag(tag)] => terms::tag(text).is_some_and(|listed| listed == *tag),
            _ => false,
        };
        says(&format!("{side}AddressPrefix"), &|node| node.as_text().is_some_and(is))
            && says(&format!("{side}AddressPrefixes"), &|node| {
                node.as_list().is_some_and(|items| items.iter().all(|item| item.as_text().is_some_and(is)))
            })
            && listed.member(&format!("{side}ApplicationSecurityGroups")).is_none()
    };
    let all_ports = |node: Node<'_>| {
        let items = node.as_list().unwrap_or_else(|| vec![node]);
        let range = |item: &Node<'_>| item.as_text()?.parse().ok().map(PortTerm::Range);
        let terms: Option<Vec<PortTerm>> = items.iter().map(range).collect();
        terms.is_some_and(|terms| terms::cover_all_ports(&terms))
    };
    let same = says("priority", &|node| node.integer().ok() == Some(i64::from(own.priority.0)))
        && says("direction", &|_| direction(listed).ok() == Some(own.direction))
        && says("access", &|_| access(listed).ok() == Some(own.access))
        && says("protocol", &|node| node.as_text().is_some_and(terms::is_any_protocol))
        && ["sourcePortRange", "sourcePortRanges", "destinationPortRange", "destinationPortRanges"]
            .iter()
            .all(|member| says(member, &all_ports))
        && addresses("source", &own.source)
        && addresses("destination", &own.destination);
    !same
}
