//! Virtual network managers.

use nsgsim::model::network::Network;
use nsgsim::model::services::{
    AdminCollection, AdminConfiguration, ManagementGroup, NetworkGroup, NetworkManager,
};

use super::rules::admin_rule;
use super::tape::Tape;
use crate::build::id;

/// A manager over some of the networks, or two.
pub(super) fn admin_rules(tape: &mut Tape, network: &mut Network) {
    for number in 0..tape.below(3) {
        let manager = id("networkManagers", &format!("manager-{number}"));
        let group = manager.child("networkGroups", "some");
        let members =
            network.vnets.iter().map(|vnet| vnet.id.clone()).filter(|_| tape.below(3) > 0).collect();
        let rules = (0..tape.below(4)).map(|position| admin_rule(tape, position)).collect();
        let collection = AdminCollection { name: "one".to_owned(), groups: vec![group.clone()], rules };
        let configuration = AdminConfiguration {
            id: manager.child("securityAdminConfigurations", "c").to_string(),
            deployed: tape.one_of(&[Some(true), Some(true), Some(false), None]),
            on_intent_policy_services: Vec::new(),
            collections: vec![collection],
        };
        // The one stands at the root, the other over a subscription, or both do and nobody knows which goes first.
        let management_groups =
            if tape.seldom(2) { vec![id("managementGroups", "root")] } else { Vec::new() };
        network.network_managers.push(NetworkManager {
            id: manager,
            management_groups,
            subscriptions: Vec::new(),
            groups: vec![NetworkGroup { id: group, members }],
            configurations: vec![configuration],
        });
    }
    network.management_groups.push(ManagementGroup { id: id("managementGroups", "root"), parent: None });
}
