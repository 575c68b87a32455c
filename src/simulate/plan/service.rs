//! Into services: private endpoints, Private Link services, service endpoints and the services' own firewalls (PE, PLS,
//! SE, SEP, SVC).

use std::net::IpAddr;

use super::{Builder, same_region};
use crate::compile::places::{FrontendPlace, frontend_places};
use crate::model::assumptions::EndpointAdminRules;
use crate::model::flow::Origin;
use crate::model::id::ResourceId;
use crate::model::index::{PrivateEndpointIndex, Reference, ServiceAccountIndex, SubnetIndex, VnetIndex};
use crate::model::network::Network;
use crate::model::rule::Direction;
use crate::model::services::{Caller, CallerEnd, ServiceAccount, ServiceKind};
use crate::model::unknown::Unknown;
use crate::model::verdict::{FirewallRule, Interface, Reason};
use crate::simulate::journey::{DefaultRoute, PrivateLink, ServiceCheck, Stage, Start};

impl Builder<'_> {
    /// The rule of an account that lets the sender in for what it is, as the user stated it (SVC-2, SVC-4).
    fn known_to(&self, account: &ServiceAccount) -> Option<FirewallRule> {
        let sends = |caller: &&Caller| match (caller.end, self.origin) {
            (CallerEnd::Nic(nic), Origin::Nic(sender)) => nic == sender,
            (CallerEnd::Addresses(prefix), Origin::Internet) => prefix.contains(&self.sent_from),
            _ => false,
        };
        let callers = || self.compiled.network.callers.iter().filter(sends);
        let instance = callers().filter_map(|caller| caller.instance.as_ref()).any(|instance| {
            account.kind == ServiceKind::Storage && account.instances.iter().any(|rule| names(rule, instance))
        });
        // SQL servers know of neither (SVC-5).
        let trusted = account.kind != ServiceKind::Sql
            && account.bypass_azure_services
            && callers().any(|caller| caller.trusted_service);
        match (instance, trusted) {
            (true, _) => Some(FirewallRule::ResourceInstance),
            (false, true) => Some(FirewallRule::TrustedService),
            (false, false) => None,
        }
    }

    /// At a private endpoint (PE-3, PE-8).
    pub(super) fn enter_endpoint(&mut self, endpoint: PrivateEndpointIndex) {
        let resource = &self.compiled.network.private_endpoints[endpoint.get()];
        let is = |wanted: &str, status: &Option<String>| {
            status.as_ref().is_some_and(|status| status.eq_ignore_ascii_case(wanted))
        };
        let mut connections = resource.connections.iter();
        let approved = connections.find(|connection| is("Approved", &connection.status));
        if approved.is_none() {
            let known = resource.connections.iter().position(|connection| connection.status.is_some());
            let all_known = resource.connections.iter().all(|connection| connection.status.is_some());
            match known {
                Some(position) if all_known => {
                    let connection =
                        u32::try_from(position).expect("an endpoint has fewer than 2^32 connections");
                    self.lost(Reason::PrivateEndpointState { endpoint, connection });
                    return;
                }
                _ => self.missing(resource.id.clone()),
            }
        }
        let interface = Interface::Endpoint(endpoint);
        let direction = Direction::Inbound;
        if !self.started {
            let default_route = DefaultRoute::Absent;
            self.begin(Start {
                interface,
                direction,
                platform: false,
                spoofed_by: None,
                default_route,
                filtered: true,
            });
        }
        let subnet = resource.subnet.as_ref().and_then(Reference::here);
        let filtered = subnet.is_some_and(|subnet| {
            self.compiled.network.subnets[subnet.get()].private_endpoint_policies.ask_nsg()
        });
        let asks_admin_rules = self.compiled.assumptions.adm_10 == EndpointAdminRules::EndpointToo;
        if filtered || asks_admin_rules {
            self.journey.filter(interface, direction);
        }
        let service = approved.or(resource.connections.first()).and_then(|carrier| carrier.service.as_ref());
        if let Some(service) = service.filter(|service| service.segment("privateLinkServices").is_some()) {
            self.enter_private_link_service(interface, service);
        }
    }

    /// On to the provider's load balancer (PLS-1).
    fn enter_private_link_service(&mut self, endpoint: Interface, id: &ResourceId) {
        let network = &self.compiled.network;
        let service = network.private_link_services.iter().find(|service| service.id == *id);
        let Some(service) = service else { return self.missing(id.clone()) };
        let places: Option<Vec<FrontendPlace>> = service
            .frontends
            .iter()
            .map(|id| frontend_places(network).find(|place| place.of(network).id == *id))
            .collect();
        let places = places.filter(|places| !places.is_empty());
        let (service, addresses) = (id.clone(), service.nat_addresses.clone());
        let first = addresses.first().copied();
        self.journey.stages.push(Stage::PrivateLink(PrivateLink { service, endpoint, addresses }));
        let (Some(places), Some(first)) = (places, first) else { return self.missing(id.clone()) };
        self.source = first;
        self.enter_frontends_privately(&places);
    }

    /// Through a service endpoint: its policies, then the service's own firewall (SEP, SVC).
    pub(super) fn leave_by_service_endpoint(&mut self, subnet: SubnetIndex, storage: bool) {
        let network = &self.compiled.network;
        if storage && !network.subnets[subnet.get()].endpoint_policies.is_empty() {
            match policies_allow(network, subnet, self.target, self.destination) {
                Ok(true) => {}
                Ok(false) => {
                    let account = self.target.expect("only a named account is refused");
                    self.lost(Reason::ServiceEndpointPolicy(account));
                    return;
                }
                // Whoever names the account knows what refuses it.
                Err(question) => {
                    let reason = self.target.map(Reason::ServiceEndpointPolicy);
                    self.journey.stages.push(Stage::OnlyIf(question, reason));
                }
            }
        }
        self.service_firewall(Some(subnet), Some(network.subnets[subnet.get()].vnet));
    }

    /// The firewall of the account that the question names (SVC-1), for a client in a network or outside.
    pub(super) fn service_firewall(&mut self, identity: Option<SubnetIndex>, client: Option<VnetIndex>) {
        let Some(account) = self.target else { return };
        let network = &self.compiled.network;
        let resource = &network.service_accounts[account.get()];
        let same_region = match client {
            None => Ok(false),
            Some(vnet) => {
                same_region(network.vnets[vnet.get()].location.as_ref(), resource.location.as_ref())
                    .ok_or_else(|| Unknown::SameRegion { account: resource.id.clone() })
            }
        };
        let from_azure = client.is_some();
        let known_as = self.known_to(resource);
        let check = ServiceCheck { account, identity, from_azure, same_region, known_as };
        self.journey.stages.push(Stage::Service(check));
    }
}

/// Whether the endpoint policies of a subnet let its packets through to an account (SEP-1), or the question whether they
/// do.
fn policies_allow(
    network: &Network,
    subnet: SubnetIndex,
    target: Option<ServiceAccountIndex>,
    address: IpAddr,
) -> Result<bool, Unknown> {
    let at = &network.subnets[subnet.get()];
    let unnamed = || Unknown::PolicyNamesAccountAt { subnet: at.id.clone(), address };
    let Some(target) = target else { return Err(unnamed()) };
    let account = &network.service_accounts[target.get()].id;
    let mut open = None;
    for id in &at.endpoint_policies {
        let Some(policy) = network.endpoint_policies.iter().find(|policy| policy.id == *id) else {
            open.get_or_insert_with(|| Unknown::ResourceAllows { resource: id.clone() });
            continue;
        };
        for entry in policy.definitions.iter().flat_map(|(_, resources)| resources) {
            // Aliases name groups of accounts that are Microsoft's own.
            if entry.to_ascii_lowercase().starts_with("/services/") {
                open.get_or_insert_with(unnamed);
            } else if ResourceId::new(entry).is_some_and(|entry| account.is_under(&entry)) {
                return Ok(true);
            }
        }
    }
    open.map_or(Ok(false), Err)
}

/// Whether a rule for resource instances names this one; a last `*` stands for all of its kind.
fn names(rule: &ResourceId, instance: &ResourceId) -> bool {
    rule == instance
        || rule.folded().strip_suffix('*').is_some_and(|start| instance.folded().starts_with(start))
}
