//! The security admin rules that stand before the NSGs of an interface (ADM).

use std::cmp::Ordering;

use crate::model::id::ResourceId;
use crate::model::index::{Reference, SubnetIndex};
use crate::model::network::{Network, Subnet};
use crate::model::rule::Direction;
use crate::model::services::{
    AdminAction, AdminCollection, AdminConfiguration, AdminRule, AdminRulePosition, NetworkManager,
};
use crate::model::unknown::Unknown;

/// The admin rules of one network and direction, manager by manager, the one that goes first in front (ADM-7); of those
/// whose scopes do not tell, in the order of the inventory.
#[derive(Clone, Debug, Default)]
pub struct AdminLayer {
    /// Each manager's lists.
    pub managers: Vec<ManagerLists>,
}

/// What one manager says.
#[derive(Clone, Debug)]
pub struct ManagerLists {
    /// One list a configuration.
    pub lists: Vec<AdminList>,
    /// Whose they are; nothing: what is in force, whoever wrote it.
    pub manager: Option<(ResourceId, Scope)>,
}

impl ManagerLists {
    /// The question whether this manager or a later one goes first, where their scopes do not tell.
    #[must_use]
    pub fn goes_first(&self, later: &Self) -> Option<Unknown> {
        let ((first, scope), (second, other)) = (self.manager.as_ref()?, later.manager.as_ref()?);
        let question = || Unknown::ManagerGoesFirst { first: first.clone(), second: second.clone() };
        scope.ties_with(*other).then(question)
    }
}

/// The list of one configuration.
#[derive(Clone, Debug)]
pub struct AdminList {
    /// It counts only if these questions have these answers (ADM-6, ADM-8).
    pub only_if: Vec<(Unknown, bool)>,
    /// Position in [`CompiledNetwork::admin_policies`](super::network::CompiledNetwork::admin_policies).
    pub policy: usize,
}

/// A list before its rules are resolved.
#[derive(Debug)]
pub(super) struct WrittenList {
    pub(super) only_if: Vec<(Unknown, bool)>,
    /// First tried first (ADM-4).
    pub(super) rules: Vec<AdminRulePosition>,
}

/// A manager's lists before their rules are resolved.
#[derive(Debug)]
pub(super) struct WrittenLists {
    pub(super) lists: Vec<WrittenList>,
    pub(super) manager: Option<(ResourceId, Scope)>,
}

/// Orders the rules of a manager by priority; of equals the collection's name decides, then the rule's (ADM-4).
#[must_use]
pub fn order(network: &Network, one: AdminRulePosition, other: AdminRulePosition) -> Ordering {
    let key = |position| (network.admin_rule(position).priority, collection_name(network, position));
    key(one)
        .cmp(&key(other))
        .then_with(|| network.admin_rule(one).name.cmp(&network.admin_rule(other).name))
        .then_with(|| one.cmp(&other))
}

fn collection_name(network: &Network, position: AdminRulePosition) -> &str {
    match position {
        AdminRulePosition::Managed { manager, configuration, collection, .. } => {
            let configuration =
                &network.network_managers[manager as usize].configurations[configuration as usize];
            &configuration.collections[collection as usize].name
        }
        AdminRulePosition::Effective { .. } => "",
    }
}

/// The rules that stand before the interfaces of a network, of one direction. `vnet` may be an ID that the inventory
/// lacks: membership is by ID.
pub(super) fn of_vnet(network: &Network, vnet: &ResourceId, direction: Direction) -> Vec<WrittenLists> {
    // What is in force on a network says more than what managers were told (JSON-6).
    let exports: Vec<_> = network
        .effective_admin_rules
        .iter()
        .enumerate()
        .filter(|(_, export)| export.vnet.as_ref().is_none_or(|concerned| concerned == vnet))
        .collect();
    if !exports.is_empty() {
        let rules = exports.into_iter().flat_map(|(number, export)| {
            let rules = export.rules.iter().enumerate().filter(|(_, rule)| rule.direction == direction);
            rules.map(move |(rule, _)| AdminRulePosition::Effective {
                export: index(number),
                rule: index(rule),
            })
        });
        let lists = vec![WrittenList { only_if: Vec::new(), rules: sorted(network, rules.collect()) }];
        return vec![WrittenLists { lists, manager: None }];
    }

    let managers = &network.network_managers;
    let mut over: Vec<usize> =
        (0..managers.len()).filter(|number| is_over(&managers[*number], vnet)).collect();
    over.sort_by_key(|number| scope(network, &managers[*number]));
    let settings = if brings_rules(network, vnet) {
        settings(network, &over, vnet)
    } else {
        vec![(Vec::new(), Setting::All)]
    };
    let of_manager = |number: usize| {
        let manager = &managers[number];
        let mut lists = Vec::new();
        for (position, configuration) in manager.configurations.iter().enumerate() {
            for (conditions, setting) in &settings {
                let Some(only_if) = and_in_force(conditions, configuration) else { continue };
                let rules = rules_for(manager, (number, position), configuration, vnet, direction, |rule| {
                    setting.takes(rule.action)
                });
                if !rules.is_empty() {
                    lists.push(WrittenList { only_if, rules: sorted(network, rules) });
                }
            }
        }
        WrittenLists { lists, manager: Some((manager.id.clone(), scope(network, manager))) }
    };
    over.into_iter().map(of_manager).filter(|manager| !manager.lists.is_empty()).collect()
}

/// What a list of a configuration hangs on: that it is in force (ADM-6), and these conditions; nothing where they
/// contradict each other.
fn and_in_force(
    conditions: &[(Unknown, bool)],
    configuration: &AdminConfiguration,
) -> Option<Vec<(Unknown, bool)>> {
    let mut only_if = conditions.to_vec();
    match configuration.deployed {
        Some(true) => {}
        Some(false) => return None,
        None => {
            let question = is_deployed(configuration);
            match conditions.iter().find(|(known, _)| *known == question) {
                Some((_, false)) => return None,
                Some((_, true)) => {}
                None => only_if.push((question, true)),
            }
        }
    }
    Some(only_if)
}

fn is_deployed(configuration: &AdminConfiguration) -> Unknown {
    Unknown::AdminConfigurationIsDeployed { configuration: configuration.id.clone() }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("an inventory holds fewer than 2^32 rules")
}

fn sorted(network: &Network, mut rules: Vec<AdminRulePosition>) -> Vec<AdminRulePosition> {
    rules.sort_by(|one, other| order(network, *one, *other));
    rules
}

fn rules_for(
    manager: &NetworkManager,
    (number, position): (usize, usize),
    configuration: &AdminConfiguration,
    vnet: &ResourceId,
    direction: Direction,
    applies: impl Fn(&AdminRule) -> bool,
) -> Vec<AdminRulePosition> {
    let mut rules = Vec::new();
    for (collection_number, collection) in configuration.collections.iter().enumerate() {
        if !applies_to(manager, collection, vnet) {
            continue;
        }
        for (rule_number, rule) in collection.rules.iter().enumerate() {
            if rule.direction == direction && applies(rule) {
                rules.push(AdminRulePosition::Managed {
                    manager: index(number),
                    configuration: index(position),
                    collection: index(collection_number),
                    rule: index(rule_number),
                });
            }
        }
    }
    rules
}

/// Whether a network is in a group to which a configuration of the manager applies.
fn is_over(manager: &NetworkManager, vnet: &ResourceId) -> bool {
    manager
        .configurations
        .iter()
        .any(|configuration| configuration.deployed != Some(false) && acts_on(manager, configuration, vnet))
}

fn acts_on(manager: &NetworkManager, configuration: &AdminConfiguration, vnet: &ResourceId) -> bool {
    configuration.collections.iter().any(|collection| applies_to(manager, collection, vnet))
}

/// Whether a network is a member of a group to which a collection applies (ADM-1).
fn applies_to(manager: &NetworkManager, collection: &AdminCollection, vnet: &ResourceId) -> bool {
    let holds = |group: &ResourceId| {
        manager.groups.iter().any(|known| known.id == *group && known.members.contains(vnet))
    };
    collection.groups.iter().any(holds)
}

/// How high a manager's scope stands: management groups by their depth from the root, then subscriptions (ADM-7).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// A management group; the highest of several.
    Depth(u32),
    /// A management group whose place nobody told.
    UnknownDepth,
    /// Subscriptions only.
    Subscription,
}

impl Scope {
    /// Whether the scopes do not tell which of two managers goes first.
    fn ties_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Depth(one), Self::Depth(other)) => one == other,
            (Self::Subscription, Self::Subscription) => true,
            // A management group is above every subscription, wherever it stands.
            (Self::Subscription, _) | (_, Self::Subscription) => false,
            (Self::UnknownDepth, _) | (_, Self::UnknownDepth) => true,
        }
    }
}

fn scope(network: &Network, manager: &NetworkManager) -> Scope {
    if manager.management_groups.is_empty() {
        return Scope::Subscription;
    }
    let depths: Option<Vec<u32>> =
        manager.management_groups.iter().map(|group| depth(network, group)).collect();
    depths.and_then(|depths| depths.into_iter().min()).map_or(Scope::UnknownDepth, Scope::Depth)
}

fn depth(network: &Network, group: &ResourceId) -> Option<u32> {
    let mut at = network.management_groups.iter().find(|known| known.id == *group)?;
    // A group that is its own ancestor has no depth.
    for depth in 0..=index(network.management_groups.len()) {
        let Some(parent) = &at.parent else { return Some(depth) };
        at = network.management_groups.iter().find(|known| known.id == *parent)?;
    }
    None
}

/// What a configuration says of networks with services that bring rules of their own (ADM-8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Setting {
    /// It is not applied there.
    None,
    /// Rules that allow are.
    AllowRulesOnly,
    /// All rules are.
    All,
}

impl Setting {
    fn of(configuration: &AdminConfiguration) -> Self {
        let says = |word: &str| {
            configuration.on_intent_policy_services.iter().any(|said| said.eq_ignore_ascii_case(word))
        };
        if says("All") {
            Self::All
        } else if says("AllowRulesOnly") {
            Self::AllowRulesOnly
        } else {
            Self::None
        }
    }

    fn takes(self, action: AdminAction) -> bool {
        match self {
            Self::None => false,
            Self::AllowRulesOnly => action != AdminAction::Deny,
            Self::All => true,
        }
    }
}

/// What counts on a network with services that bring rules of their own: the setting of the first configuration in
/// force, from the highest scope down (ADM-8). Which that is may hang on what is in force.
fn settings(network: &Network, over: &[usize], vnet: &ResourceId) -> Vec<(Vec<(Unknown, bool)>, Setting)> {
    let mut settings = Vec::new();
    let mut others_are_not = Vec::new();
    for number in over {
        let manager = &network.network_managers[*number];
        let acting =
            manager.configurations.iter().filter(|configuration| acts_on(manager, configuration, vnet));
        for configuration in acting {
            if let Some(conditions) = and_in_force(&others_are_not, configuration) {
                settings.push((conditions, Setting::of(configuration)));
            }
            match configuration.deployed {
                Some(true) => return settings,
                Some(false) => {}
                None => others_are_not.push((is_deployed(configuration), false)),
            }
        }
    }
    settings
}

/// Whether a network has services that bring rules of their own: managed instances or Databricks (ADM-8).
fn brings_rules(network: &Network, vnet: &ResourceId) -> bool {
    const SERVICES: [&str; 2] = ["Microsoft.Sql/managedInstances", "Microsoft.Databricks/workspaces"];
    let vnet = network.vnets.iter().find(|known| known.id == *vnet);
    let subnets = vnet.into_iter().flat_map(|vnet| &vnet.subnets);
    subnets
        .flat_map(|subnet| &network.subnets[subnet.get()].delegations)
        .any(|to| SERVICES.iter().any(|service| service.eq_ignore_ascii_case(to)))
}

/// Whether admin rules pass a subnet over (ADM-9).
pub(super) fn is_skipped(network: &Network, subnet: SubnetIndex) -> bool {
    const NAMES: [&str; 5] = [
        "AzureBastionSubnet",
        "AzureFirewallSubnet",
        "AzureFirewallManagementSubnet",
        "RouteServerSubnet",
        "GatewaySubnet",
    ];
    let at: &Subnet = &network.subnets[subnet.get()];
    let holds =
        |place: &Option<Reference<SubnetIndex>>| place.as_ref().and_then(Reference::here) == Some(subnet);
    NAMES.iter().any(|name| at.id.name().eq_ignore_ascii_case(name))
        || at.delegations.iter().any(|to| to.eq_ignore_ascii_case("Microsoft.Network/applicationGateways"))
        || network.bastions.iter().any(|bastion| holds(&bastion.subnet))
        || network.gateways.iter().any(|gateway| holds(&gateway.subnet))
}

/// The ID of the network that an interface stands in, where its subnet says so.
pub(super) fn vnet_of(network: &Network, subnet: &Reference<SubnetIndex>) -> Option<ResourceId> {
    match subnet {
        Reference::Here(subnet) => {
            let vnet = network.subnets[subnet.get()].vnet;
            Some(network.vnets[vnet.get()].id.clone())
        }
        Reference::Missing(subnet) => subnet.parent(1),
    }
}
