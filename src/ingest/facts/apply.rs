//! From the statements of a file to the network that they are about.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_saphyr::Spanned;

use super::Facts;
use super::file::{Kind, Mode};
use crate::ingest::error::IngestError;
use crate::ingest::yaml::{At, at};
use crate::model::id::ResourceId;
use crate::model::index::{GatewayIndex, NicIndex, Reference};
use crate::model::network::Network;
use crate::model::prefix::{Prefix, read_prefix};
use crate::model::services::{Appliance, ApplianceMode, Caller, CallerEnd, ManagementGroup};
use crate::model::subscription::{Subscription, SubscriptionKind};

/// A statement about something that the network does not hold.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Unknown {
    pub at: At,
    pub message: String,
}

type Done = Result<(), IngestError>;

/// States the facts about a network. Returns the statements about what it does not hold.
pub(super) fn apply(facts: &Facts, network: &mut Network) -> Result<Vec<Unknown>, IngestError> {
    let mut applier = Applier { facts, network, unknown: Vec::new() };
    applier.appliances()?;
    applier.learned_routes()?;
    applier.management_groups()?;
    applier.admin_configurations()?;
    applier.subscriptions()?;
    applier.callers()?;
    Ok(applier.unknown)
}

struct Applier<'f, 'n> {
    facts: &'f Facts,
    network: &'n mut Network,
    unknown: Vec<Unknown>,
}

impl<'f> Applier<'f, '_> {
    /// What an appliance does (ROUTE-15).
    fn appliances(&mut self) -> Done {
        let mut stated = Stated::default();
        for statement in &self.facts.statements.appliances {
            let nic = self.nic(&statement.nic)?;
            let mut egress = None;
            if let Some(text) = &statement.egress_nic {
                if matches!(statement.mode, Mode::Drop) {
                    let message =
                        "`egress_nic` beside mode `drop`: expected it with `forward` or `snat` only";
                    return Err(self.facts.error(at(text), message));
                }
                let Some(found) = self.nic(text)? else { continue };
                egress = Some(found);
            }
            let Some(nic) = nic else { continue };
            stated.once(self.facts, nic, &statement.nic)?;
            let appliance = Appliance {
                nic: Reference::Here(nic),
                mode: mode(statement.mode),
                // Out of the same interface is what an appliance does anyway.
                egress: egress.filter(|egress| *egress != nic).map(Reference::Here),
            };
            match self.network.appliances.iter().find(|known| known.nic == appliance.nic) {
                None => self.network.appliances.push(appliance),
                Some(known) => {
                    let known_egress = known.egress.as_ref().filter(|egress| **egress != known.nic);
                    if known.mode != appliance.mode || known_egress != appliance.egress.as_ref() {
                        return Err(self.contradicts(&statement.nic, "what the appliance does"));
                    }
                }
            }
        }
        let nics = &self.network.nics;
        self.network.appliances.sort_by_cached_key(|appliance| match &appliance.nic {
            Reference::Here(nic) => nics[nic.get()].id.clone(),
            Reference::Missing(id) => id.clone(),
        });
        Ok(())
    }

    /// What a gateway has learned by BGP (GW-4).
    fn learned_routes(&mut self) -> Done {
        let mut stated = Stated::default();
        for statement in &self.facts.statements.learned_routes {
            let prefixes = self.prefixes(&statement.prefixes)?;
            let found = self.network.find_gateway(&statement.gateway.value);
            let id =
                |network: &Network, gateway: GatewayIndex| network.gateways[gateway.get()].id.to_string();
            let Some(gateway) = self.one("gateway", &statement.gateway, &found, id)? else { continue };
            stated.once(self.facts, gateway, &statement.gateway)?;
            let known = &self.network.gateways[gateway.get()].learned_routes;
            let set = |list: &[Prefix]| list.iter().copied().collect::<BTreeSet<_>>();
            if !known.is_empty() && set(known) != set(&prefixes) {
                return Err(self.contradicts(&statement.gateway, "the routes that the gateway has learned"));
            }
            self.network.gateways[gateway.get()].learned_routes = prefixes;
        }
        Ok(())
    }

    fn prefixes(&self, list: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Prefix>, IngestError> {
        let mut prefixes = Vec::new();
        for text in &list.value {
            let prefix = self.prefix(text)?;
            if prefixes.contains(&prefix) {
                let message = format!("`{prefix}` stands here a second time: expected it once");
                return Err(self.facts.error(at(text), &message));
            }
            prefixes.push(prefix);
        }
        if prefixes.is_empty() {
            return Err(self.facts.error(at(list), "the list is empty: expected at least one CIDR block"));
        }
        Ok(prefixes)
    }

    fn prefix(&self, text: &Spanned<String>) -> Result<Prefix, IngestError> {
        let read = read_prefix(&text.value)
            .map_err(|error| self.facts.error(at(text), &format!("{error}: expected one of them")))?;
        if read.host_bits {
            let message = format!("`{}` has host bits set: expected `{}`", text.value, read.prefix);
            return Err(self.facts.error(at(text), &message));
        }
        Ok(read.prefix)
    }

    /// Where management groups hang (ADM-7).
    fn management_groups(&mut self) -> Done {
        let statements = &self.facts.statements.management_groups;
        let exported: HashSet<ResourceId> =
            self.network.management_groups.iter().map(|group| group.id.clone()).collect();
        let managers = &self.network.network_managers;
        let scopes = managers.iter().flat_map(|manager| &manager.management_groups);
        let mut known: HashSet<ResourceId> = exported.iter().chain(scopes).cloned().collect();
        let mut groups = Vec::new();
        for statement in statements {
            let id = self.management_group(&statement.id, &known)?;
            let parent =
                statement.parent.as_ref().map(|parent| self.management_group(parent, &known)).transpose()?;
            groups.push((statement, id, parent));
        }
        let placed: HashSet<ResourceId> =
            exported.into_iter().chain(groups.iter().map(|(_, id, _)| id.clone())).collect();
        known.extend(groups.iter().filter_map(|(.., parent)| parent.clone()));

        let mut stated = Stated::default();
        for (statement, id, parent) in &groups {
            if !known.contains(id) {
                let what = "no management group of this name or ID in the exports, nor above another one";
                self.not_known(&statement.id, what);
                continue;
            }
            stated.once(self.facts, id.clone(), &statement.id)?;
            if let (Some(text), Some(parent)) = (&statement.parent, parent)
                && !placed.contains(parent)
            {
                let what = "nothing tells where this group hangs: expected an entry for it, without a parent if it is \
                            the root";
                self.not_known(text, what);
                continue;
            }
            match self.network.management_groups.iter_mut().find(|group| group.id == *id) {
                // Lists of groups leave the parents out: only what stands there can be contradicted (SIM-4).
                Some(group) if group.parent.is_none() => group.parent.clone_from(parent),
                Some(group) if group.parent == *parent => {}
                Some(_) => return Err(self.contradicts(&statement.id, "where the group hangs")),
                None => {
                    let group = ManagementGroup { id: id.clone(), parent: parent.clone() };
                    self.network.management_groups.push(group);
                }
            }
        }
        self.network.management_groups.sort_by(|one, other| one.id.cmp(&other.id));
        for (statement, id, _) in &groups {
            if is_own_ancestor(&self.network.management_groups, id) {
                let message =
                    format!("`{}` hangs under itself: expected a root above it", statement.id.value);
                return Err(self.facts.error(at(&statement.id), &message));
            }
        }
        Ok(())
    }

    /// The ID of a management group that is called by it or by its name.
    fn management_group(
        &self,
        text: &Spanned<String>,
        known: &HashSet<ResourceId>,
    ) -> Result<ResourceId, IngestError> {
        let word = text.value.as_str();
        let named = known.iter().filter(|id| id.name().eq_ignore_ascii_case(word)).min();
        let made = || {
            let is_name = !word.contains('/') && !word.trim().is_empty();
            let whole = format!("/providers/Microsoft.Management/managementGroups/{word}");
            ResourceId::new(if is_name { &whole } else { word })
        };
        named.cloned().or_else(made).ok_or_else(|| {
            self.facts.error(at(text), &format!("`{word}`: expected a management group's name or ID"))
        })
    }

    /// Which security admin configurations are in force (ADM-6).
    fn admin_configurations(&mut self) -> Done {
        let mut stated = Stated::default();
        for statement in &self.facts.statements.admin_configurations {
            let found = self.configurations(&statement.id.value);
            let id = |network: &Network, (manager, configuration): (usize, usize)| {
                network.network_managers[manager].configurations[configuration].id.clone()
            };
            let kind = "security admin configuration";
            let Some(place) = self.one(kind, &statement.id, &found, id)? else { continue };
            stated.once(self.facts, place, &statement.id)?;
            let deployed = &mut self.network.network_managers[place.0].configurations[place.1].deployed;
            if *deployed.get_or_insert(statement.deployed) != statement.deployed {
                return Err(self.contradicts(&statement.id, "whether the configuration is deployed"));
            }
        }
        Ok(())
    }

    /// Manager and configuration of those with this ID, or else of those with this name.
    fn configurations(&self, text: &str) -> Vec<(usize, usize)> {
        let managers = self.network.network_managers.iter().enumerate();
        let all: Vec<((usize, usize), &str)> = managers
            .flat_map(|(number, manager)| {
                let configurations = manager.configurations.iter().enumerate();
                configurations.map(move |(position, one)| ((number, position), one.id.as_str()))
            })
            .collect();
        let places = |wanted: &dyn Fn(&str) -> bool| -> Vec<(usize, usize)> {
            all.iter().filter(|(_, id)| wanted(id)).map(|(place, _)| *place).collect()
        };
        let exact = places(&|id| id.eq_ignore_ascii_case(text));
        let name = |id: &str| id.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(text));
        if exact.is_empty() { places(&name) } else { exact }
    }

    /// Of which kind subscriptions are (EVAL-13).
    fn subscriptions(&mut self) -> Done {
        let mut stated = Stated::default();
        let known = subscriptions_of(self.network);
        for statement in &self.facts.statements.subscriptions {
            let id = &statement.id.value;
            stated.once(self.facts, id.to_ascii_lowercase(), &statement.id)?;
            if !known.contains(&id.to_ascii_lowercase()) {
                self.not_known(&statement.id, "no resource of the network is in a subscription of this ID");
                continue;
            }
            let stated = Subscription { id: id.clone(), kind: kind(statement.kind) };
            let mut known = self.network.subscriptions.iter();
            match known.find(|known| known.id.eq_ignore_ascii_case(id)) {
                None => self.network.subscriptions.push(stated),
                Some(known) if known.kind == stated.kind => {}
                Some(_) => return Err(self.contradicts(&statement.id, "the kind of the subscription")),
            }
        }
        self.network.subscriptions.sort_by_cached_key(|subscription| subscription.id.to_ascii_lowercase());
        Ok(())
    }

    /// Whom services let in for what it is (SVC-2, SVC-4).
    fn callers(&mut self) -> Done {
        let mut stated = Stated::default();
        let mut ranges: Vec<Prefix> = Vec::new();
        for statement in &self.facts.statements.callers {
            let (place, caller) = (at(statement), &statement.value);
            if caller.instance.is_none() && caller.trusted_service.is_none() {
                let message = "the caller is nobody special: expected `instance`, `trusted_service` or both";
                return Err(self.facts.error(place, message));
            }
            let instance = caller.instance.as_ref().map(|text| self.instance(text)).transpose()?;
            let end = match (&caller.nic, &caller.address) {
                (Some(nic), None) => {
                    let Some(found) = self.nic(nic)? else { continue };
                    stated.once(self.facts, found, nic)?;
                    CallerEnd::Nic(found)
                }
                (None, Some(address)) => {
                    let range = self.prefix(address)?;
                    if let Some(other) =
                        ranges.iter().find(|other| other.contains(&range) || range.contains(*other))
                    {
                        let message = format!(
                            "`{range}` overlaps `{other}` of another caller: expected an address once"
                        );
                        return Err(self.facts.error(at(address), &message));
                    }
                    ranges.push(range);
                    CallerEnd::Addresses(range)
                }
                (None, None) | (Some(_), Some(_)) => {
                    return Err(self.facts.error(place, "expected either `nic` or `address`"));
                }
            };
            let trusted_service = caller.trusted_service.unwrap_or(false);
            self.network.callers.push(Caller { end, instance, trusted_service });
        }
        self.network.callers.sort_by_key(|caller| caller.end);
        Ok(())
    }

    /// A resource that calls. It need not be in the exports: only networks are.
    fn instance(&self, text: &Spanned<String>) -> Result<ResourceId, IngestError> {
        let id = ResourceId::new(&text.value).filter(|id| id.folded().starts_with("/subscriptions/"));
        let expected = || format!("`{}`: expected a whole ID, `/subscriptions/...`", text.value);
        id.ok_or_else(|| self.facts.error(at(text), &expected()))
    }

    fn nic(&mut self, text: &Spanned<String>) -> Result<Option<NicIndex>, IngestError> {
        let found = self.network.find_nic(&text.value);
        let id = |network: &Network, nic: NicIndex| network.nics[nic.get()].id.to_string();
        self.one("interface", text, &found, id)
    }

    /// The one resource that a name or ID stands for; nothing, and a note, where there is none.
    fn one<I: Copy>(
        &mut self,
        kind: &str,
        text: &Spanned<String>,
        found: &[I],
        id: impl Fn(&Network, I) -> String,
    ) -> Result<Option<I>, IngestError> {
        match found {
            [one] => Ok(Some(*one)),
            [] => {
                self.not_known(text, &format!("no {kind} of this name or ID in the network"));
                Ok(None)
            }
            several => {
                let ids: Vec<String> = several.iter().map(|one| id(self.network, *one)).collect();
                let message =
                    format!("`{}`: several are called so, expected the ID: {}", text.value, ids.join(", "));
                Err(self.facts.error(at(text), &message))
            }
        }
    }

    fn not_known(&mut self, text: &Spanned<String>, what: &str) {
        self.unknown.push(Unknown { at: at(text), message: format!("`{}`: {what}", text.value) });
    }

    fn contradicts(&self, text: &Spanned<String>, what: &str) -> IngestError {
        let message = format!("`{}`: the exports say otherwise of {what}: expected the same", text.value);
        self.facts.error(at(text), &message)
    }
}

/// What has been stated so far.
struct Stated<K>(BTreeMap<K, At>);

impl<K> Default for Stated<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Stated<K> {
    /// Fails on what has been stated before, by whatever name.
    fn once(&mut self, facts: &Facts, key: K, text: &Spanned<String>) -> Done {
        match self.0.insert(key, at(text)) {
            None => Ok(()),
            Some(first) => {
                let first = first.place(&facts.name);
                let message = format!("`{}` is stated at {first} already: expected it once", text.value);
                Err(facts.error(at(text), &message))
            }
        }
    }
}

fn mode(mode: Mode) -> ApplianceMode {
    match mode {
        Mode::Forward => ApplianceMode::Forward,
        Mode::Snat => ApplianceMode::Snat,
        Mode::Drop => ApplianceMode::Drop,
    }
}

fn kind(kind: Kind) -> SubscriptionKind {
    match kind {
        Kind::EnterpriseAgreement => SubscriptionKind::EnterpriseAgreement,
        Kind::ExemptedDevTest => SubscriptionKind::ExemptedDevTest,
        Kind::Other => SubscriptionKind::Other,
    }
}

fn is_own_ancestor(groups: &[ManagementGroup], id: &ResourceId) -> bool {
    let parent = |id: &ResourceId| groups.iter().find(|group| group.id == *id)?.parent.clone();
    let mut above = parent(id);
    for _ in 0..=groups.len() {
        match above {
            None => return false,
            Some(other) if other == *id => return true,
            Some(other) => above = parent(&other),
        }
    }
    // A ring further up, which another statement or the exports make.
    false
}

/// IDs of the subscriptions that resources which send packets, or decide about them, are in; in lower case.
fn subscriptions_of(network: &Network) -> HashSet<String> {
    let nics = network.nics.iter().map(|nic| &nic.id);
    let vnets = network.vnets.iter().map(|vnet| &vnet.id);
    let nsgs = network.nsgs.iter().map(|nsg| &nsg.id);
    let all = nics.chain(vnets).chain(nsgs);
    all.filter_map(|id| id.segment("subscriptions")).map(str::to_ascii_lowercase).collect()
}
