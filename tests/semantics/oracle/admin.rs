//! Which security admin rule an interface answers with, ahead of its NSGs (ADM).

use nsgsim::model::assumptions::{EndpointAdminRules, SeveralManagers};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{Reference, SubnetIndex, VnetIndex};
use nsgsim::model::prefix::PortRange;
use nsgsim::model::rule::{Access, AddressTerm, Direction, PortTerm, Priority, ProtocolMatch, Rule};
use nsgsim::model::services::{
    AdminAction, AdminAddress, AdminConfiguration, AdminRule, AdminRulePosition, NetworkManager,
};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{AdminHit, Interface, Reason, RulePlace, StepAnswer};

use super::filter::hidden_source;
use super::journey::{Stop, Walk, deny};
use super::rules::{RuleAt, Seen, Surroundings};
use super::space::View;
use super::world::{Asked, all_of};

/// An admin rule in a list, and the configuration that it is part of.
type Listed<'a> = (AdminRulePosition, Option<&'a AdminConfiguration>);

/// What a list of admin rules said.
enum ListAnswer {
    Nothing,
    Rule(AdminRulePosition),
    /// It depends on a source that nobody knows: what it may have said.
    Hidden(Outcomes),
}

/// What admin rules may do with a packet (ADM-3).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
struct Outcomes {
    drop: bool,
    deliver: bool,
    go_on: bool,
}

impl Outcomes {
    fn add(&mut self, action: AdminAction) {
        match action {
            AdminAction::Deny => self.drop = true,
            AdminAction::AlwaysAllow => self.deliver = true,
            AdminAction::Allow => self.go_on = true,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            drop: self.drop || other.drop,
            deliver: self.deliver || other.deliver,
            go_on: self.go_on || other.go_on,
        }
    }
}

/// How far up a manager's scope is (ADM-7). Management groups go before subscriptions.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Scope {
    Depth(usize),
    /// A management group whose depth cannot be found.
    UnknownDepth,
    Subscription,
}

impl Scope {
    /// Whether scopes do not tell which of two managers goes first.
    fn ties_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Subscription, _) | (_, Self::Subscription) => self == other,
            (Self::Depth(one), Self::Depth(two)) => one == two,
            (Self::UnknownDepth, _) | (_, Self::UnknownDepth) => true,
        }
    }
}

impl Walk<'_> {
    /// ADM-1 to ADM-3: `true` where the packet passes over the NSGs.
    pub(crate) fn admin_rules(
        &mut self,
        interface: Interface,
        direction: Direction,
        seen: &Seen,
    ) -> Result<bool, Stop> {
        let place = match interface {
            Interface::Nic(nic) => self.place_of(nic),
            Interface::Unlisted(subnet) => Ok(subnet),
            // ADM-10.
            Interface::Endpoint(_) if self.view.assumptions.adm_10 == EndpointAdminRules::EndpointToo => {
                self.surroundings(interface)
            }
            Interface::Endpoint(_) | Interface::Service(_) => return Ok(false),
        };
        let position = match self.view.ask_admin_rules(direction, place, seen)? {
            ListAnswer::Nothing => return Ok(false),
            ListAnswer::Hidden(outcomes) => return self.hidden_admin_rules(outcomes, seen),
            ListAnswer::Rule(position) => position,
        };
        let action = self.view.network.admin_rule(position).action;
        let hit = AdminHit { interface, direction, rule: position };
        let access = if action == AdminAction::Deny { Access::Deny } else { Access::Allow };
        self.step(interface, direction, StepAnswer::AdminRule(hit, action), access, seen);
        match action {
            AdminAction::Deny => deny(Reason::AdminRule(hit)),
            AdminAction::AlwaysAllow => Ok(true),
            AdminAction::Allow => Ok(false),
        }
    }

    /// The rule that decides depends on a source that nobody knows. Of what they may do the best and the worst are
    /// tried, if they differ; that all of them drop the packet counts as if the NSGs could still be asked.
    fn hidden_admin_rules(&mut self, outcomes: Outcomes, seen: &Seen) -> Result<bool, Stop> {
        let source_decides = || Unknown::TranslatedSource { address: seen.tuple.source };
        let Outcomes { drop, deliver, go_on } = outcomes;
        match (drop, deliver, go_on) {
            (false, true, false) => Ok(true),
            (false, false, _) => Ok(false),
            (false, true, true) => Ok(self.view.world.ask(source_decides())?),
            (true, deliver, _) => {
                if self.view.world.ask(source_decides())? {
                    Ok(deliver)
                } else {
                    Err(hidden_source(seen))
                }
            }
        }
    }
}

impl<'a> View<'a> {
    fn ask_admin_rules(
        &self,
        direction: Direction,
        place: Surroundings<'_>,
        seen: &Seen,
    ) -> Asked<ListAnswer> {
        let subnet = match place {
            Ok(subnet) => self.subnet_id(subnet),
            Err(missing) => missing,
        };
        if self.admin_rules_skip(subnet, place.ok()) {
            return Ok(ListAnswer::Nothing);
        }
        // The place of an interface without any subnet is its own ID, which is in no network.
        let vnet = subnet.segment("subnets").and_then(|_| subnet.parent(1));
        if let Some(export) = self.effective_export(vnet.as_ref()) {
            let list = self.effective_list(export, direction);
            return self.first_match(&list, place, seen);
        }
        let Some(vnet) = vnet else { return Ok(ListAnswer::Nothing) };
        self.ask_managers(&vnet, direction, place, seen)
    }

    /// ADM-9: subnets of services that admin rules do not act on.
    fn admin_rules_skip(&self, id: &ResourceId, subnet: Option<SubnetIndex>) -> bool {
        const NAMES: [&str; 5] = [
            "AzureBastionSubnet",
            "AzureFirewallSubnet",
            "AzureFirewallManagementSubnet",
            "RouteServerSubnet",
            "GatewaySubnet",
        ];
        let named = NAMES.iter().any(|name| id.name().eq_ignore_ascii_case(name));
        let delegated = subnet.is_some_and(|subnet| {
            let delegations = &self.network.subnets[subnet.get()].delegations;
            delegations.iter().any(|to| to.eq_ignore_ascii_case("Microsoft.Network/applicationGateways"))
        });
        let here = |stands: &Option<Reference<SubnetIndex>>| match stands {
            Some(Reference::Here(other)) => self.subnet_id(*other) == id,
            Some(Reference::Missing(other)) => other == id,
            None => false,
        };
        let bastion = self.network.bastions.iter().any(|bastion| here(&bastion.subnet));
        let gateway = self.network.gateways.iter().any(|gateway| here(&gateway.subnet));
        named || delegated || bastion || gateway
    }

    /// The export of the rules in force on a network: its own, or else one that does not say whose it is.
    fn effective_export(&self, vnet: Option<&ResourceId>) -> Option<usize> {
        let exports = &self.network.effective_admin_rules;
        let own = exports.iter().position(|export| export.vnet.is_some() && export.vnet.as_ref() == vnet);
        own.or_else(|| exports.iter().position(|export| export.vnet.is_none()))
    }

    fn effective_list(&self, export: usize, direction: Direction) -> Vec<Listed<'a>> {
        let rules = &self.network.effective_admin_rules[export].rules;
        let mut list: Vec<(u32, usize)> = Vec::new();
        for (position, rule) in rules.iter().enumerate() {
            if rule.direction == direction {
                list.push((rule.priority, position));
            }
        }
        list.sort();
        let listed = |(_, rule): (u32, usize)| {
            (AdminRulePosition::Effective { export: short(export), rule: short(rule) }, None)
        };
        list.into_iter().map(listed).collect()
    }

    /// ADM-7: the managers over a network, one after the other.
    fn ask_managers(
        &self,
        vnet: &ResourceId,
        direction: Direction,
        place: Surroundings<'_>,
        seen: &Seen,
    ) -> Asked<ListAnswer> {
        let managers = &self.network.network_managers;
        let mut order: Vec<usize> = (0..managers.len())
            .filter(|manager| {
                managers[*manager].configurations.iter().any(|configuration| {
                    configuration.deployed != Some(false) && applies(&managers[*manager], configuration, vnet)
                })
            })
            .collect();
        order.sort_by_key(|manager| (self.scope(&managers[*manager]), *manager));
        let on_intent_policy_network = self.has_intent_policy_services(vnet);
        let setting = if on_intent_policy_network { self.setting(&order, vnet)? } else { Setting::All };
        if self.assumptions.adm_7 == SeveralManagers::HighestOnly {
            order.retain(|manager| !self.managed_list(*manager, vnet, direction, setting).is_empty());
            order = self.highest(&order)?.into_iter().collect();
        }
        let mut winner: Option<(usize, AdminRulePosition)> = None;
        for manager in order.iter().copied() {
            if let Some((best, _)) = winner
                && !self.scope(&managers[best]).ties_with(self.scope(&managers[manager]))
            {
                continue;
            }
            let list = self.managed_list(manager, vnet, direction, setting);
            let found = match self.first_match(&list, place, seen)? {
                ListAnswer::Nothing => continue,
                ListAnswer::Rule(position) => position,
                // Any of the others may have the say.
                ListAnswer::Hidden(outcomes) => {
                    let mut outcomes = outcomes;
                    for other in &order {
                        let list = self.managed_list(*other, vnet, direction, setting);
                        match self.first_match(&list, place, seen)? {
                            ListAnswer::Nothing => {}
                            ListAnswer::Rule(other) => outcomes.add(self.network.admin_rule(other).action),
                            ListAnswer::Hidden(others) => outcomes = outcomes.or(others),
                        }
                    }
                    return Ok(ListAnswer::Hidden(outcomes));
                }
            };
            let action = |position| self.network.admin_rule(position).action;
            winner = match winner {
                None => Some((manager, found)),
                Some((_, before)) if action(before) == action(found) => winner,
                Some((best, _)) => {
                    let (first, second) = (best.min(manager), best.max(manager));
                    let question = Unknown::ManagerGoesFirst {
                        first: managers[first].id.clone(),
                        second: managers[second].id.clone(),
                    };
                    let goes_first = if self.world.ask(question)? { first } else { second };
                    if goes_first == manager { Some((manager, found)) } else { winner }
                }
            };
        }
        Ok(winner.map_or(ListAnswer::Nothing, |(_, position)| ListAnswer::Rule(position)))
    }

    /// ADM-7, where the others do not count: the manager that goes first.
    fn highest(&self, order: &[usize]) -> Asked<Option<usize>> {
        let managers = &self.network.network_managers;
        let Some((first, others)) = order.split_first() else { return Ok(None) };
        let mut highest = *first;
        for next in others {
            if !self.scope(&managers[highest]).ties_with(self.scope(&managers[*next])) {
                break;
            }
            let (first, second) = (managers[highest].id.clone(), managers[*next].id.clone());
            if self.world.ask(Unknown::ManagerGoesFirst { first, second })? {
                break;
            }
            highest = *next;
        }
        Ok(Some(highest))
    }

    /// ADM-7: management groups by their depth, the highest of several; then subscriptions.
    fn scope(&self, manager: &NetworkManager) -> Scope {
        if manager.management_groups.is_empty() {
            return Scope::Subscription;
        }
        let depths: Option<Vec<usize>> =
            manager.management_groups.iter().map(|group| self.depth(group)).collect();
        match depths.and_then(|depths| depths.into_iter().min()) {
            Some(depth) => Scope::Depth(depth),
            None => Scope::UnknownDepth,
        }
    }

    /// How many groups are above a management group; `None` where one of them is not in the inventory.
    fn depth(&self, group: &ResourceId) -> Option<usize> {
        let groups = &self.network.management_groups;
        let mut at = group;
        for depth in 0..groups.len() {
            match &groups.iter().find(|other| other.id == *at)?.parent {
                None => return Some(depth),
                Some(parent) => at = parent,
            }
        }
        None
    }

    /// ADM-8: the network contains a managed instance or a Databricks workspace.
    fn has_intent_policy_services(&self, vnet: &ResourceId) -> bool {
        const SERVICES: [&str; 2] = ["Microsoft.Sql/managedInstances", "Microsoft.Databricks/workspaces"];
        let Some(vnet) = self.network.vnets.iter().position(|other| other.id == *vnet) else { return false };
        let vnet = VnetIndex::new(vnet);
        let subnets = self.network.subnets.iter().filter(|subnet| subnet.vnet == vnet);
        subnets
            .flat_map(|subnet| &subnet.delegations)
            .any(|to| SERVICES.iter().any(|service| to.eq_ignore_ascii_case(service)))
    }

    /// ADM-8: what the first manager of the order that acts on the network says.
    fn setting(&self, order: &[usize], vnet: &ResourceId) -> Asked<Setting> {
        for manager in order {
            let manager = &self.network.network_managers[*manager];
            for configuration in &manager.configurations {
                if applies(manager, configuration, vnet) && self.is_deployed(configuration)? {
                    let says = |word: &str| {
                        configuration
                            .on_intent_policy_services
                            .iter()
                            .any(|own| own.eq_ignore_ascii_case(word))
                    };
                    return Ok(match (says("All"), says("AllowRulesOnly")) {
                        (true, _) => Setting::All,
                        (false, true) => Setting::AllowRulesOnly,
                        (false, false) => Setting::None,
                    });
                }
            }
        }
        Ok(Setting::None)
    }

    /// ADM-6.
    fn is_deployed(&self, configuration: &AdminConfiguration) -> Asked<bool> {
        match configuration.deployed {
            Some(deployed) => Ok(deployed),
            None => {
                let configuration = configuration.id.clone();
                self.world.ask(Unknown::AdminConfigurationIsDeployed { configuration })
            }
        }
    }

    /// ADM-4: one manager's rules for a network and a direction.
    fn managed_list(
        &self,
        manager: usize,
        vnet: &ResourceId,
        direction: Direction,
        setting: Setting,
    ) -> Vec<Listed<'a>> {
        let at = &self.network.network_managers[manager];
        let mut list = Vec::new();
        for (nth, configuration) in at.configurations.iter().enumerate() {
            if configuration.deployed == Some(false) {
                continue;
            }
            for (place, collection) in configuration.collections.iter().enumerate() {
                if !collection.groups.iter().any(|group| is_member(at, group, vnet)) {
                    continue;
                }
                for (position, rule) in collection.rules.iter().enumerate() {
                    if rule.direction != direction || !setting.takes(rule.action) {
                        continue;
                    }
                    let by = (rule.priority, collection.name.to_lowercase(), rule.name.to_lowercase());
                    let position = AdminRulePosition::Managed {
                        manager: short(manager),
                        configuration: short(nth),
                        collection: short(place),
                        rule: short(position),
                    };
                    list.push((by, (position, Some(configuration))));
                }
            }
        }
        list.sort_by(|(one, _), (two, _)| one.cmp(two));
        list.into_iter().map(|(_, listed)| listed).collect()
    }

    /// ADM-4, ADM-5: the first rule of a list that is in force and matches.
    fn first_match(&self, list: &[Listed<'_>], place: Surroundings<'_>, seen: &Seen) -> Asked<ListAnswer> {
        let mut hidden = Outcomes::default();
        for (position, configuration) in list {
            let rule = as_of_an_nsg(self.network.admin_rule(*position));
            let at = RuleAt {
                view: self,
                rule_place: RulePlace::Admin(*position),
                rule: &rule,
                place,
                seen,
                any_source_port: false,
            };
            let in_force = || configuration.map_or(Ok(true), |configuration| self.is_deployed(configuration));
            if seen.source_is_hidden && all_of([in_force(), at.could_tell_the_source()])? {
                hidden.add(self.network.admin_rule(*position).action);
                continue;
            }
            if all_of([in_force(), at.matches()])? {
                if hidden == Outcomes::default() {
                    return Ok(ListAnswer::Rule(*position));
                }
                hidden.add(self.network.admin_rule(*position).action);
                return Ok(ListAnswer::Hidden(hidden));
            }
        }
        if hidden == Outcomes::default() {
            return Ok(ListAnswer::Nothing);
        }
        Ok(ListAnswer::Hidden(Outcomes { go_on: true, ..hidden }))
    }
}

/// Which rules act on a network that contains services with intent policies (ADM-8).
#[derive(Clone, Copy)]
enum Setting {
    None,
    AllowRulesOnly,
    All,
}

impl Setting {
    fn takes(self, action: AdminAction) -> bool {
        match self {
            Self::None => false,
            Self::AllowRulesOnly => action != AdminAction::Deny,
            Self::All => true,
        }
    }
}

/// ADM-1: some collection of the configuration applies to the network.
fn applies(manager: &NetworkManager, configuration: &AdminConfiguration, vnet: &ResourceId) -> bool {
    let mut groups = configuration.collections.iter().flat_map(|collection| &collection.groups);
    groups.any(|group| is_member(manager, group, vnet))
}

fn is_member(manager: &NetworkManager, group: &ResourceId, vnet: &ResourceId) -> bool {
    manager.groups.iter().any(|own| own.id == *group && own.members.contains(vnet))
}

/// An admin rule in the form of an NSG's, whose fields match in the same way (ADM-5).
fn as_of_an_nsg(rule: &AdminRule) -> Rule {
    let addresses = |list: &[AdminAddress]| -> Vec<AddressTerm> {
        if list.is_empty() {
            return vec![AddressTerm::Any];
        }
        let term = |address: &AdminAddress| match address {
            AdminAddress::Any => AddressTerm::Any,
            AdminAddress::Prefix(prefix) => AddressTerm::Prefix(*prefix),
            AdminAddress::Tag(tag) => AddressTerm::Tag(tag.clone()),
            AdminAddress::Invalid(text) => AddressTerm::Invalid(text.clone()),
        };
        list.iter().map(term).collect()
    };
    let ports = |list: &[PortRange]| -> Vec<PortTerm> {
        if list.is_empty() {
            return vec![PortTerm::Range(PortRange::ALL)];
        }
        list.iter().copied().map(PortTerm::Range).collect()
    };
    Rule {
        name: rule.name.clone(),
        priority: Priority(rule.priority),
        direction: rule.direction,
        access: if rule.action == AdminAction::Deny { Access::Deny } else { Access::Allow },
        protocol: rule.protocol.map_or(ProtocolMatch::Any, ProtocolMatch::Is),
        source: addresses(&rule.sources),
        source_ports: ports(&rule.source_ports),
        destination: addresses(&rule.destinations),
        destination_ports: ports(&rule.destination_ports),
        is_default: false,
    }
}

fn short(position: usize) -> u32 {
    u32::try_from(position).expect("an inventory holds fewer than 2^32 resources of one kind")
}
