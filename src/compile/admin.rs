//! The security admin rules that stand before the NSGs of an interface (ADM).

use std::cmp::Ordering;

use crate::model::id::ResourceId;
use crate::model::index::{Reference, SubnetIndex};
use crate::model::network::{Network, Subnet, Vnet};
use crate::model::rule::Direction;
use crate::model::services::{
    AdminAction, AdminCollection, AdminConfiguration, AdminRule, AdminRulePosition, NetworkManager,
};
use crate::model::verdict::Unknown;

/// The admin rules of one network and direction, manager by manager, the one that goes first in front (ADM-7).
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
    /// Nothing tells whether this manager or the next one goes first: the question.
    pub before_next: Option<Unknown>,
}

/// The list of one configuration.
#[derive(Clone, Debug)]
pub struct AdminList {
    /// It counts only if the answer is yes (ADM-6); nothing: it counts.
    pub in_force: Option<Unknown>,
    /// Position in [`CompiledNetwork::admin_policies`](super::network::CompiledNetwork::admin_policies).
    pub policy: usize,
}

/// A list before its rules are resolved.
#[derive(Debug)]
pub(super) struct WrittenList {
    pub(super) in_force: Option<Unknown>,
    /// First tried first (ADM-4).
    pub(super) rules: Vec<AdminRulePosition>,
}

/// A manager's lists before their rules are resolved.
#[derive(Debug)]
pub(super) struct WrittenLists {
    pub(super) lists: Vec<WrittenList>,
    pub(super) before_next: Option<Unknown>,
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
        let lists = vec![WrittenList { in_force: None, rules: sorted(network, rules.collect()) }];
        return vec![WrittenLists { lists, before_next: None }];
    }

    let resource = network.vnets.iter().find(|known| known.id == *vnet);
    let mut managers: Vec<(usize, Vec<WrittenList>)> = Vec::new();
    let mut order: Vec<usize> = (0..network.network_managers.len()).collect();
    order.sort_by_key(|number| rank(network, &network.network_managers[*number]).unwrap_or(Rank::UNKNOWN));
    // ADM-8: of several managers the setting of the highest scope counts.
    let over: Vec<usize> =
        order.into_iter().filter(|number| is_over(&network.network_managers[*number], vnet)).collect();
    let setting = over.first().map_or(Setting::None, |first| setting(&network.network_managers[*first]));
    for number in over {
        let manager = &network.network_managers[number];
        let lists: Vec<WrittenList> = manager
            .configurations
            .iter()
            .enumerate()
            .filter(|(_, configuration)| configuration.deployed != Some(false))
            .map(|(position, configuration)| {
                let rules = rules_for(manager, (number, position), configuration, vnet, direction, |rule| {
                    is_applied(network, resource, setting, rule)
                });
                let in_force = configuration.deployed.is_none().then(|| {
                    Unknown::AdminConfigurationIsDeployed { configuration: configuration.id.clone() }
                });
                WrittenList { in_force, rules: sorted(network, rules) }
            })
            .filter(|list| !list.rules.is_empty())
            .collect();
        if !lists.is_empty() {
            managers.push((number, lists));
        }
    }
    let numbers: Vec<usize> = managers.iter().map(|(number, _)| *number).collect();
    managers
        .into_iter()
        .enumerate()
        .map(|(place, (number, lists))| {
            let next = numbers.get(place + 1).copied();
            WrittenLists { lists, before_next: next.and_then(|next| undecided(network, number, next)) }
        })
        .collect()
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
    manager.configurations.iter().any(|configuration| {
        configuration.deployed != Some(false)
            && configuration.collections.iter().any(|collection| applies_to(manager, collection, vnet))
    })
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
struct Rank(u32);

impl Rank {
    const SUBSCRIPTION: Self = Self(u32::MAX - 1);
    /// A management group whose place nobody told stands somewhere between the others: behind them until asked.
    const UNKNOWN: Self = Self(u32::MAX - 2);
}

/// The rank of a manager; nothing where no management group of its scope is known.
fn rank(network: &Network, manager: &NetworkManager) -> Option<Rank> {
    if manager.management_groups.is_empty() {
        return Some(Rank::SUBSCRIPTION);
    }
    manager.management_groups.iter().filter_map(|group| depth(network, group)).min().map(Rank)
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

/// The question which of two managers goes first, where their scopes do not tell.
fn undecided(network: &Network, one: usize, other: usize) -> Option<Unknown> {
    let (first, second) = (&network.network_managers[one], &network.network_managers[other]);
    let clear = match (rank(network, first), rank(network, second)) {
        (Some(one), Some(other)) => one != other,
        // A management group is above every subscription, wherever it stands.
        (None, Some(other)) => other == Rank::SUBSCRIPTION,
        (Some(one), None) => one == Rank::SUBSCRIPTION,
        (None, None) => false,
    };
    (!clear).then(|| Unknown::ManagerGoesFirst { first: first.id.clone(), second: second.id.clone() })
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

fn setting(manager: &NetworkManager) -> Setting {
    let says = |word: &str| {
        let in_force = manager.configurations.iter().filter(|one| one.deployed != Some(false));
        let mut words = in_force.flat_map(|configuration| &configuration.on_intent_policy_services);
        words.any(|said| said.eq_ignore_ascii_case(word))
    };
    if says("All") {
        Setting::All
    } else if says("AllowRulesOnly") {
        Setting::AllowRulesOnly
    } else {
        Setting::None
    }
}

fn is_applied(network: &Network, vnet: Option<&Vnet>, setting: Setting, rule: &AdminRule) -> bool {
    const SERVICES: [&str; 2] = ["Microsoft.Sql/managedInstances", "Microsoft.Databricks/workspaces"];
    let brings_rules = vnet.is_some_and(|vnet| {
        let delegations = vnet.subnets.iter().flat_map(|subnet| &network.subnets[subnet.get()].delegations);
        delegations.into_iter().any(|to| SERVICES.iter().any(|service| service.eq_ignore_ascii_case(to)))
    });
    !brings_rules
        || match setting {
            Setting::None => false,
            Setting::AllowRulesOnly => rule.action != AdminAction::Deny,
            Setting::All => true,
        }
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
