//! Private endpoints with the Private Link services behind them, and service endpoints.

use nsgsim::model::index::{Reference, SubnetIndex};
use nsgsim::model::network::{Network, PrivateEndpointPolicies, ServiceEndpoint};
use nsgsim::model::services::{PrivateEndpoint, PrivateLinkConnection, PrivateLinkService};

use super::tape::Tape;
use crate::build::{id, ip};

/// A private endpoint at 10.0.1.20, of an account or of a Private Link service.
pub(super) fn private_endpoint(tape: &mut Tape, network: &mut Network) {
    if !tape.seldom(2) {
        return;
    }
    network.subnets[0].private_endpoint_policies = tape.one_of(&[
        PrivateEndpointPolicies::Disabled,
        PrivateEndpointPolicies::Enabled,
        PrivateEndpointPolicies::NetworkSecurityGroupEnabled,
        PrivateEndpointPolicies::RouteTableEnabled,
    ]);
    let status = tape.one_of(&[Some("Approved"), Some("Approved"), Some("Approved"), Some("Pending"), None]);
    let service = match tape.below(3) {
        0 => id("storageAccounts", "account"),
        _ => id("privateLinkServices", "pls"),
    };
    network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: Some(Reference::Here(SubnetIndex::new(0))),
        addresses: vec![ip("10.0.1.20")],
        connections: vec![PrivateLinkConnection {
            service: Some(service),
            group_ids: Vec::new(),
            status: status.map(str::to_owned),
        }],
        asgs: Vec::new(),
    });
    private_link_service(tape, network);
}

/// The service behind the endpoint, before any of the load balancers; seldom it is missing, or what it names is.
fn private_link_service(tape: &mut Tape, network: &mut Network) {
    if tape.seldom(8) {
        return;
    }
    let frontends = network.load_balancers.iter().flat_map(|balancer| &balancer.frontends);
    let internal = frontends.filter(|frontend| frontend.address.is_some());
    let mut known: Vec<_> = internal.map(|frontend| frontend.id.clone()).collect();
    if tape.seldom(8) {
        known.push(id("loadBalancers", "gone").child("frontendIPConfigurations", "f0"));
    }
    let mut frontends = Vec::new();
    for _ in 0..1 + usize::from(tape.seldom(4)) {
        if !known.is_empty() {
            frontends.push(known.remove(tape.below(known.len())));
        }
    }
    let subnet = tape.below(network.subnets.len());
    let addresses = tape.one_of(&[1, 1, 2, 0]);
    network.private_link_services.push(PrivateLinkService {
        id: id("privateLinkServices", "pls"),
        nat_addresses: network.subnets[subnet].prefixes[0].hosts().skip(199).take(addresses).collect(),
        subnet: Some(Reference::Here(SubnetIndex::new(subnet))),
        frontends,
        endpoints: Vec::new(),
    });
}

pub(super) fn service_endpoints(tape: &mut Tape, network: &mut Network) {
    for subnet in &mut network.subnets {
        if tape.seldom(6) {
            let (service, locations) = ("Microsoft.Storage".to_owned(), vec!["*".to_owned()]);
            subnet.service_endpoints.push(ServiceEndpoint { service, locations });
        }
    }
}
