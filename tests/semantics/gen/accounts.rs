//! Services with firewalls of their own, who calls them for what it is, and the policies of service endpoints.

use std::net::IpAddr;

use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, ServiceAccountIndex};
use nsgsim::model::network::Network;
use nsgsim::model::services::{Caller, CallerEnd, EndpointPolicy, ServiceAccount, ServiceKind};

use super::pool::SERVICES;
use super::tape::Tape;
use crate::build::{id, ip};

/// The ranges of IP rules: public addresses of the inventory and others, and what SQL servers take for all of Azure.
const IP_RULES: [(&str, &str); 5] = [
    ("203.0.113.4", "203.0.113.4"),
    ("203.0.113.0", "203.0.113.20"),
    ("8.8.8.8", "8.8.8.8"),
    ("0.0.0.0", "0.0.0.0"),
    ("198.51.100.0", "203.0.113.255"),
];

/// Up to two accounts. The first has the ID that the drawn private endpoint leads to.
pub(super) fn accounts(tape: &mut Tape, network: &mut Network) {
    let names = ["account", "account-1"];
    for name in &names[..tape.one_of(&[0, 1, 2, 1])] {
        let account = account(tape, network, id("storageAccounts", name));
        network.service_accounts.push(account);
    }
    callers(tape, network);
    endpoint_policies(tape, network);
}

fn account(tape: &mut Tape, network: &Network, id: ResourceId) -> ServiceAccount {
    let kinds = [ServiceKind::Storage, ServiceKind::Storage, ServiceKind::KeyVault, ServiceKind::Sql];
    let location = tape.one_of(&[Some("westeurope"), Some("North Europe"), None]);
    let subnets = network.subnets.iter().map(|subnet| subnet.id.clone());
    let range = |(first, last)| (ip(first), ip(last));
    ServiceAccount {
        id,
        kind: tape.one_of(&kinds),
        location: location.map(str::to_owned),
        public_network_access: !tape.seldom(6),
        default_allow: tape.one_of(&[None, Some(true), Some(false), Some(false), Some(false)]),
        bypass_azure_services: tape.seldom(2),
        ip_rules: (0..tape.below(3)).map(|_| range(tape.one_of(&IP_RULES))).collect(),
        subnets: subnets.filter(|_| tape.seldom(3)).collect(),
        instances: if tape.seldom(3) { vec![instance(tape)] } else { Vec::new() },
    }
}

/// The instance that callers are, and rules that hold it or not.
fn instance(tape: &mut Tape) -> ResourceId {
    tape.one_of(&[id("workspaces", "own"), id("workspaces", "*"), id("workspaces", "other")])
}

/// Interfaces and addresses outside that services know.
fn callers(tape: &mut Tape, network: &mut Network) {
    let nics = (0..network.nics.len()).map(|nic| CallerEnd::Nic(NicIndex::new(nic)));
    let outside = ["8.8.8.8/32", "203.0.113.0/24"].map(|range| range.parse().expect("a range"));
    for end in nics.chain(outside.map(CallerEnd::Addresses)) {
        if tape.seldom(4) {
            let instance = (!tape.seldom(3)).then(|| id("workspaces", "own"));
            network.callers.push(Caller { end, instance, trusted_service: tape.seldom(2) });
        }
    }
}

/// Policies of the subnets that have service endpoints (SEP-1): one lists accounts or what they lie in, one is missing.
fn endpoint_policies(tape: &mut Tape, network: &mut Network) {
    let account = id("storageAccounts", "account").to_string();
    let entries = [account.as_str(), "/subscriptions/0", "/services/Azure/Batch", "/subscriptions/1/", ""];
    let listed = (0..tape.below(3)).map(|_| tape.one_of(&entries).to_owned()).collect();
    let known = id("serviceEndpointPolicies", "known");
    for subnet in &mut network.subnets {
        if !subnet.service_endpoints.is_empty() && tape.seldom(3) {
            subnet.endpoint_policies.push(known.clone());
        }
        if tape.seldom(24) {
            subnet.endpoint_policies.push(id("serviceEndpointPolicies", "gone"));
        }
    }
    let definitions = vec![("Microsoft.Storage".to_owned(), listed)];
    network.endpoint_policies.push(EndpointPolicy { id: known, definitions });
}

/// The account that a packet names, if it goes to where services answer: to a public address that nobody of the
/// inventory has, or to a private endpoint.
pub(crate) fn target(tape: &mut Tape, network: &Network, destination: IpAddr) -> Option<ServiceAccountIndex> {
    let answers =
        SERVICES.map(ip).contains(&destination) || super::packets::endpoint_holds(network, destination);
    if !answers || network.service_accounts.is_empty() || tape.seldom(3) {
        return None;
    }
    Some(ServiceAccountIndex::new(tape.below(network.service_accounts.len())))
}
