//! Edits applied to the resources of exports: what is edited is written anew, and then read like any other export, so that
//! whatever holds for exports holds for edited ones. A value that an edit brought stands where the edit stands.

mod draft;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use self::draft::{Draft, New, Part};
use super::collect::{Collection, Resource};
use super::findings::Findings;
use super::kind::Kind;
use super::tree::Tree;
use crate::ingest::edit::{AddRoute, AddRule, Attachment, ChangeRule, Edit, Edits, RemoveRoute, RemoveRule};
use crate::ingest::error::IngestError;
use crate::ingest::yaml::Words;
use crate::ingest::yaml::{At, at};
use crate::model::id::ResourceId;
use crate::model::nsg::default_rules;

/// A resource as it is after the edits.
pub(super) struct Rewritten {
    pub kind: Kind,
    pub id: ResourceId,
    pub tree: Tree,
}

/// Applies edits in their order. What a rule's number collides with is asked once all are applied, so that two rules can
/// change places.
pub(super) fn rewrite(
    edits: &Edits,
    collection: &mut Collection<'_>,
    findings: &mut Findings,
) -> Result<Vec<Rewritten>, IngestError> {
    let mut editor = Editor { edits, collection, findings, drafts: BTreeMap::new() };
    for edit in &edits.list {
        editor.apply(edit)?;
    }
    editor.check_priorities()?;
    let name = &edits.name;
    let written = editor.drafts.iter().map(|((kind, id), draft)| Rewritten {
        kind: *kind,
        id: id.clone(),
        tree: write::resource(draft, name),
    });
    Ok(written.collect())
}

struct Editor<'e, 'c, 'a> {
    edits: &'e Edits,
    collection: &'c mut Collection<'a>,
    findings: &'c mut Findings,
    /// What has been edited so far.
    drafts: BTreeMap<(Kind, ResourceId), Draft<'a>>,
}

type Done = Result<(), IngestError>;

impl<'a> Editor<'_, '_, 'a> {
    fn apply(&mut self, edit: &Spanned<Edit>) -> Done {
        match &edit.value {
            Edit::AddRule(rule) => self.add_rule(at(edit), rule),
            Edit::ChangeRule(rule) => self.change_rule(at(edit), rule),
            Edit::RemoveRule(rule) => self.remove_rule(rule),
            Edit::AttachNsg(attachment) => self.attach(attachment),
            Edit::DetachNsg(attachment) => self.attach(attachment),
            Edit::AddRoute(route) => self.add_route(at(edit), route),
            Edit::RemoveRoute(route) => self.remove_route(route),
        }
    }

    fn add_rule(&mut self, place: At, rule: &AddRule) -> Done {
        let asgs = [&rule.source, &rule.destination].map(|words| self.terms(words));
        let [source, destination] = asgs;
        let (source, destination) = (source?, destination?);
        let nsg = self.nsg(&rule.nsg)?;
        let draft = self.draft(Kind::Nsg, &nsg)?;
        if draft.parts.iter().any(|part| part.is_called(&rule.name.value)) {
            let message = format!(
                "`{}`: network security group `{}` has a rule of this name already: expected another (NSG-2)",
                rule.name.value,
                nsg.name()
            );
            return Err(self.edits.error(at(&rule.name), &message));
        }
        let mut part = Part::new(nsg.child("securityRules", &rule.name.value), &rule.name, place);
        part.set("direction", New::text(rule.direction.value.azure(), at(&rule.direction)));
        part.set("priority", New::Number(rule.priority.value, at(&rule.priority)));
        part.numbered = Some(at(&rule.priority));
        part.set("access", New::text(rule.access.value.azure(), at(&rule.access)));
        part.set("protocol", New::text(&rule.protocol.value, at(&rule.protocol)));
        part.set_addresses("source", source);
        part.set_addresses("destination", destination);
        match &rule.source_ports {
            Some(ports) => part.set_ports("source", words(ports)),
            None => part.set_ports("source", vec![("*".to_owned(), place)]),
        }
        part.set_ports("destination", words(&rule.destination_ports));
        if let Some(description) = &rule.description {
            part.set("description", New::text(&description.value, at(description)));
        }
        draft.parts.push(part);
        Ok(())
    }

    fn change_rule(&mut self, place: At, rule: &ChangeRule) -> Done {
        let terms =
            |words: &Option<Spanned<Words>>| words.as_ref().map(|words| self.terms(words)).transpose();
        let (source, destination) = (terms(&rule.source)?, terms(&rule.destination)?);
        let (nsg, position) = self.rule(&rule.nsg, &rule.name)?;
        let part = &mut self.draft(Kind::Nsg, &nsg)?.parts[position];
        part.edited_at = Some(place);
        if let Some(direction) = &rule.direction {
            part.set("direction", New::text(direction.value.azure(), at(direction)));
            part.numbered = Some(at(direction));
        }
        if let Some(priority) = &rule.priority {
            part.set("priority", New::Number(priority.value, at(priority)));
            part.numbered = Some(at(priority));
        }
        if let Some(access) = &rule.access {
            part.set("access", New::text(access.value.azure(), at(access)));
        }
        if let Some(protocol) = &rule.protocol {
            part.set("protocol", New::text(&protocol.value, at(protocol)));
        }
        if let Some(description) = &rule.description {
            part.set("description", New::text(&description.value, at(description)));
        }
        for (side, terms, ports) in
            [("source", source, &rule.source_ports), ("destination", destination, &rule.destination_ports)]
        {
            if let Some(terms) = terms {
                part.set_addresses(side, terms);
            }
            if let Some(ports) = ports {
                part.set_ports(side, words(ports));
            }
        }
        Ok(())
    }

    fn remove_rule(&mut self, rule: &RemoveRule) -> Done {
        let (nsg, position) = self.rule(&rule.nsg, &rule.name)?;
        self.draft(Kind::Nsg, &nsg)?.parts.remove(position);
        Ok(())
    }

    /// The one custom rule of a name.
    fn rule(
        &mut self,
        nsg: &Spanned<String>,
        name: &Spanned<String>,
    ) -> Result<(ResourceId, usize), IngestError> {
        let nsg = self.nsg(nsg)?;
        let position = self.part(Kind::Nsg, &nsg, name, "rule", "network security group")?;
        if let Some(position) = position {
            return Ok((nsg, position));
        }
        let text = &name.value;
        let message = if default_rules().iter().any(|rule| rule.name.eq_ignore_ascii_case(text)) {
            format!(
                "`{text}` is a default rule, which nobody can change or remove: a rule ahead of it overrides it"
            )
        } else {
            format!("`{text}`: no rule of this name in network security group `{}`", nsg.name())
        };
        Err(self.edits.error(at(name), &message))
    }

    /// Where the one part of a name is among those of a resource.
    fn part(
        &mut self,
        kind: Kind,
        id: &ResourceId,
        name: &Spanned<String>,
        what: &str,
        of: &str,
    ) -> Result<Option<usize>, IngestError> {
        let parts = self.draft(kind, id)?.parts.iter().enumerate();
        let found: Vec<usize> =
            parts.filter(|(_, part)| part.is_called(&name.value)).map(|(position, _)| position).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => {
                let message = format!(
                    "`{}`: several {what}s of {of} `{}` are called so: expected one",
                    name.value,
                    id.name()
                );
                Err(self.edits.error(at(name), &message))
            }
        }
    }

    /// Attaches the NSG that is named, or none, in place of whichever is attached.
    fn attach(&mut self, attachment: &Attachment) -> Done {
        let nsg = attachment.nsg.as_ref().map(|text| Ok((self.nsg(text)?, at(text)))).transpose()?;
        match (&attachment.subnet, &attachment.nic) {
            (Some(text), _) => {
                let (vnet, subnet) = self.subnet(text)?;
                let draft = self.draft(Kind::Vnet, &vnet)?;
                let part = draft.parts.iter_mut().find(|part| part.id == subnet);
                let part = part.expect("a subnet that was found is one of its network's");
                if nsg.is_none() && !part.has("networkSecurityGroup") {
                    return Err(self.nothing_attached(text, "subnet"));
                }
                part.set_or_clear("networkSecurityGroup", nsg.clone().map(New::reference));
                self.tell_nsgs(&subnet, nsg)
            }
            (None, Some(text)) => {
                let nic = self.nic(text)?;
                let draft = self.draft(Kind::Nic, &nic)?;
                if nsg.is_none() && !draft.own.has("networkSecurityGroup") {
                    return Err(self.nothing_attached(text, "interface"));
                }
                draft.own.set_or_clear("networkSecurityGroup", nsg.map(New::reference));
                Ok(())
            }
            (None, None) => unreachable!("an attachment without a holder was refused when it was read"),
        }
    }

    fn nothing_attached(&self, text: &Spanned<String>, kind: &str) -> IngestError {
        let message = format!("`{}`: no network security group is attached to the {kind}", text.value);
        self.edits.error(at(text), &message)
    }

    /// Where NSGs say themselves which subnets have them, they say so of this one as it is now.
    fn tell_nsgs(&mut self, subnet: &ResourceId, attached: Option<(ResourceId, At)>) -> Done {
        let mut tell = false;
        for nsg in self.collection.all(Kind::Nsg) {
            let named = nsg.node.references_of("subnets")?;
            tell |= !named.is_empty();
            if named.into_iter().any(|(id, _)| id == *subnet) {
                self.draft(Kind::Nsg, &nsg.id)?.left.insert(subnet.clone());
            }
        }
        for ((kind, _), draft) in &mut self.drafts {
            if *kind == Kind::Nsg {
                draft.joined.remove(subnet);
            }
        }
        if let Some((nsg, place)) = attached.filter(|_| tell) {
            let draft = self.draft(Kind::Nsg, &nsg)?;
            if !draft.left.remove(subnet) {
                draft.joined.insert(subnet.clone(), place);
            }
        }
        Ok(())
    }

    fn add_route(&mut self, place: At, route: &AddRoute) -> Done {
        let table = self.one("route table", &route.route_table, Kind::RouteTable)?;
        let draft = self.draft(Kind::RouteTable, &table)?;
        if draft.parts.iter().any(|part| part.is_called(&route.name.value)) {
            let message = format!(
                "`{}`: route table `{}` has a route of this name already: expected another",
                route.name.value,
                table.name()
            );
            return Err(self.edits.error(at(&route.name), &message));
        }
        let mut part = Part::new(table.child("routes", &route.name.value), &route.name, place);
        part.set("addressPrefix", New::text(&route.prefix.value, at(&route.prefix)));
        part.set("nextHopType", New::text(route.next_hop.value.azure(), at(&route.next_hop)));
        if let Some(address) = &route.address {
            part.set("nextHopIpAddress", New::text(&address.value, at(address)));
        }
        draft.parts.push(part);
        Ok(())
    }

    fn remove_route(&mut self, route: &RemoveRoute) -> Done {
        let table = self.one("route table", &route.route_table, Kind::RouteTable)?;
        let position = self.part(Kind::RouteTable, &table, &route.name, "route", "route table")?;
        let Some(position) = position else {
            let message =
                format!("`{}`: no route of this name in route table `{}`", route.name.value, table.name());
            return Err(self.edits.error(at(&route.name), &message));
        };
        self.draft(Kind::RouteTable, &table)?.parts.remove(position);
        Ok(())
    }

    /// A resource with what has been edited of it so far.
    fn draft(&mut self, kind: Kind, id: &ResourceId) -> Result<&mut Draft<'a>, IngestError> {
        let key = (kind, id.clone());
        if !self.drafts.contains_key(&key) {
            let found = self.collection.all(kind).into_iter().find(|resource| resource.id == *id);
            let resource = found.expect("a resource that was found is in the collection");
            let list = match kind {
                Kind::Nsg => Some("securityRules"),
                Kind::RouteTable => Some("routes"),
                Kind::Vnet => Some("subnets"),
                _ => None,
            };
            let parts = match list {
                Some(list) => self.collection.children(&resource, list, list, self.findings)?,
                None => Vec::new(),
            };
            self.drafts.insert(key.clone(), Draft::of(&resource, list, &parts)?);
        }
        Ok(self.drafts.get_mut(&key).expect("it is there by now"))
    }

    fn nsg(&self, text: &Spanned<String>) -> Result<ResourceId, IngestError> {
        self.one("network security group", text, Kind::Nsg)
    }

    fn one(&self, what: &str, text: &Spanned<String>, kind: Kind) -> Result<ResourceId, IngestError> {
        let ids: Vec<ResourceId> =
            self.collection.all(kind).into_iter().map(|resource| resource.id).collect();
        self.find(what, &text.value, at(text), &ids)
    }

    /// The interface; those of private endpoints hold no NSG of their own.
    fn nic(&self, text: &Spanned<String>) -> Result<ResourceId, IngestError> {
        let mut of_endpoints = BTreeSet::new();
        for endpoint in self.collection.all(Kind::PrivateEndpoint) {
            let nics = endpoint.node.references_of("networkInterfaces")?;
            of_endpoints.extend(nics.into_iter().map(|(id, _)| id));
        }
        let nics = self.collection.all(Kind::Nic).into_iter();
        let ordinary = |nic: &Resource<'_>| {
            nic.node.member("privateEndpoint").is_none() && !of_endpoints.contains(&nic.id)
        };
        let ids: Vec<ResourceId> = nics.filter(ordinary).map(|nic| nic.id).collect();
        self.find("interface", &text.value, at(text), &ids)
    }

    /// The virtual network and the subnet of this name or ID.
    fn subnet(&self, text: &Spanned<String>) -> Result<(ResourceId, ResourceId), IngestError> {
        let mut vnet_of = BTreeMap::new();
        for vnet in self.collection.all(Kind::Vnet) {
            let subnets = match self.drafts.get(&(Kind::Vnet, vnet.id.clone())) {
                Some(draft) => draft.parts.iter().map(|part| part.id.clone()).collect(),
                None => self.collection.child_ids(&vnet, "subnets")?,
            };
            vnet_of.extend(subnets.into_iter().map(|subnet| (subnet, vnet.id.clone())));
        }
        let subnet =
            self.find("subnet", &text.value, at(text), &vnet_of.keys().cloned().collect::<Vec<_>>())?;
        Ok((vnet_of.remove(&subnet).expect("it was found among these"), subnet))
    }

    /// The application security group: one that was exported, or that an interface is said to be in.
    fn asg(&self, text: &str, place: At) -> Result<ResourceId, IngestError> {
        let mut ids: BTreeSet<ResourceId> =
            self.collection.all(Kind::Asg).into_iter().map(|asg| asg.id).collect();
        for nic in self.collection.all(Kind::Nic) {
            for configuration in self.collection.child_nodes(&nic, "ipConfigurations")? {
                let asgs = configuration.references_of("applicationSecurityGroups")?;
                ids.extend(asgs.into_iter().map(|(id, _)| id));
            }
        }
        self.find("application security group", text, place, &ids.into_iter().collect::<Vec<_>>())
    }

    /// The one ID that a text is or that has it as name.
    fn find(&self, what: &str, text: &str, place: At, ids: &[ResourceId]) -> Result<ResourceId, IngestError> {
        let exact = ids.iter().find(|id| id.as_str().eq_ignore_ascii_case(text));
        let mut found: Vec<&ResourceId> = match exact {
            Some(id) => vec![id],
            None => ids.iter().filter(|id| id.name().eq_ignore_ascii_case(text)).collect(),
        };
        found.sort();
        match found[..] {
            [one] => Ok(one.clone()),
            [] => {
                let message = format!("`{text}`: no {what} of this name or ID in the network");
                Err(self.edits.error(place, &message))
            }
            _ => {
                let ids: Vec<&str> = found.iter().map(|id| id.as_str()).collect();
                let message = format!("`{text}`: several are called so, expected the ID: {}", ids.join(", "));
                Err(self.edits.error(place, &message))
            }
        }
    }

    /// The alternatives of one side of a rule.
    fn terms(&self, given: &Spanned<Words>) -> Result<Vec<draft::Term>, IngestError> {
        let term = |(word, place): (String, At)| match word.strip_prefix("asg:") {
            Some(asg) => Ok(draft::Term::Asg(self.asg(asg, place)?, place)),
            None => Ok(draft::Term::Address(word, place)),
        };
        words(given).into_iter().map(term).collect()
    }

    /// No two rules of a direction have one number (NSG-3). Only rules whose number was edited are asked: what the export
    /// says itself is reported where it is read.
    fn check_priorities(&self) -> Done {
        for draft in self.drafts.values() {
            for (position, part) in draft.parts.iter().enumerate() {
                let Some(place) = part.numbered else { continue };
                let number = part.number();
                let others = draft.parts.iter().enumerate().filter(|(other, _)| *other != position);
                // Of two that were edited the later one in the file is told.
                let other = others.map(|(_, other)| other).find(|other| {
                    other.number() == number && other.numbered.is_none_or(|earlier| earlier <= place)
                });
                if let (Some(other), Some((direction, priority))) = (other, number) {
                    let message = format!(
                        "priority `{priority}`: the {direction} rule `{}` has it already: expected another (NSG-3)",
                        other.name
                    );
                    return Err(self.edits.error(place, &message));
                }
            }
        }
        Ok(())
    }
}

/// The words of a field, each with its place.
fn words(given: &Spanned<Words>) -> Vec<(String, At)> {
    match &given.value {
        Words::One(word) => vec![(word.clone(), at(given))],
        Words::List(words) => words.iter().map(|word| (word.value.0.clone(), at(word))).collect(),
    }
}
