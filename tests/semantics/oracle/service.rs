//! The public front end of a service: endpoint policies on the way to it, and its own firewall (SEP, SVC).

use std::net::IpAddr;

use nsgsim::model::flow::Origin;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{ServiceAccountIndex, SubnetIndex, VnetIndex};
use nsgsim::model::rule::{Access, Direction};
use nsgsim::model::services::{Caller, CallerEnd, ServiceAccount, ServiceKind};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{FirewallRule, Interface, Reason, StepAnswer};

use super::journey::{End, Stop, Walk, deny};
use super::rules::Seen;
use super::world::{Asked, all_of, any_of};

/// The SQL rule that admits all sources inside Azure (SVC-5).
const AZURE_INTERNAL: (IpAddr, IpAddr) = {
    let zero = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    (zero, zero)
};

/// Who comes to a service, as the service sees it.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    /// From a subnet, through its service endpoint: the subnet is known, no public address is (SE-3).
    Subnet(SubnetIndex),
    /// From a public address, where it is known, and the network behind it.
    Public { source: Option<IpAddr>, from: Option<VnetIndex> },
}

impl Walk<'_> {
    /// SEP-1: endpoint policies of the subnet, on a packet that takes its endpoint of this service.
    pub(crate) fn endpoint_policies(
        &mut self,
        subnet: SubnetIndex,
        service: &str,
        to: IpAddr,
    ) -> Result<(), Stop> {
        let at = &self.view.network.subnets[subnet.get()];
        let storage = ["Microsoft.Storage", "Microsoft.Storage.Global"];
        let concerned = storage.iter().any(|name| name.eq_ignore_ascii_case(service));
        if at.endpoint_policies.is_empty() || !concerned {
            return Ok(());
        }
        let Some(account) = self.target else {
            return self.must_hold(Unknown::PolicyNamesAccountAt { subnet: at.id.clone(), address: to });
        };
        let named = any_of(at.endpoint_policies.iter().map(|id| self.policy_names(id, account, subnet, to)));
        if named? { Ok(()) } else { deny(Reason::ServiceEndpointPolicy(account)) }
    }

    /// Whether a policy names the account, or a group or subscription that it lies in.
    fn policy_names(
        &self,
        policy: &ResourceId,
        account: ServiceAccountIndex,
        subnet: SubnetIndex,
        address: IpAddr,
    ) -> Asked<bool> {
        let network = self.view.network;
        let Some(policy) = network.endpoint_policies.iter().find(|other| other.id == *policy) else {
            return self.view.world.ask(Unknown::ResourceAllows { resource: policy.clone() });
        };
        let id = network.service_accounts[account.get()].id.folded();
        let entries = policy.definitions.iter().flat_map(|(_, entries)| entries);
        any_of(entries.map(|entry| {
            let entry = entry.trim().trim_end_matches('/').to_ascii_lowercase();
            if entry.starts_with("/services/") {
                let subnet = self.view.subnet_id(subnet).clone();
                return self.view.world.ask(Unknown::PolicyNamesAccountAt { subnet, address });
            }
            Ok(!entry.is_empty() && (id == entry || id.starts_with(&format!("{entry}/"))))
        }))
    }

    /// SVC-1, SVC-6: a packet at the front end of the service that it names, if it names one.
    pub(crate) fn at_service(&mut self, client: Client, seen: &Seen) -> Result<End, Stop> {
        let Some(account) = self.target else { return Ok(self.allowed()) };
        let mut seen = *seen;
        if let Client::Public { source: Some(source), .. } = client {
            seen.tuple.source = source;
        }
        let at = &self.view.network.service_accounts[account.get()];
        let (rule, access) = self.firewall(at, client, &seen)?;
        let (interface, direction) = (Interface::Service(account), Direction::Inbound);
        self.step(interface, direction, StepAnswer::ServiceFirewall(rule), access, &seen);
        match access {
            Access::Allow => Ok(self.allowed()),
            Access::Deny => deny(Reason::ServiceFirewall { account, rule }),
        }
    }

    /// SVC-2, SVC-4, SVC-5: what decides, in its order.
    fn firewall(&self, at: &ServiceAccount, client: Client, seen: &Seen) -> Asked<(FirewallRule, Access)> {
        if !at.public_network_access {
            // SVC-4.
            let by_trust = at.kind == ServiceKind::KeyVault && self.trusted(at);
            return Ok(if by_trust {
                (FirewallRule::TrustedService, Access::Allow)
            } else {
                (FirewallRule::PublicNetworkAccess, Access::Deny)
            });
        }
        // SVC-4: a vault without network rules is open. SVC-5: a SQL server without is closed.
        if at.default_allow.unwrap_or(at.kind != ServiceKind::Sql) {
            return Ok((FirewallRule::DefaultAction, Access::Allow));
        }
        let admitted = match client {
            Client::Subnet(subnet) => {
                at.subnets.contains(self.view.subnet_id(subnet)).then_some(FirewallRule::VirtualNetworkRule)
            }
            Client::Public { source, from } => {
                self.ip_rules_admit(at, source, from, seen)?.then_some(FirewallRule::IpRule)
            }
        };
        let for_what_it_is = || {
            let by_instance = self.instance_admitted(at).then_some(FirewallRule::ResourceInstance);
            by_instance.or(self.trusted(at).then_some(FirewallRule::TrustedService))
        };
        Ok(match admitted.or_else(for_what_it_is) {
            Some(rule) => (rule, Access::Allow),
            None => (FirewallRule::DefaultAction, Access::Deny),
        })
    }

    /// SVC-2: a storage account's rules on resource instances let one of those in that the packet's sender calls as.
    fn instance_admitted(&self, at: &ServiceAccount) -> bool {
        let instances = self.callers().filter_map(|caller| caller.instance.as_ref());
        at.kind == ServiceKind::Storage
            && instances.into_iter().any(|own| at.instances.iter().any(|rule| names_instance(rule, own)))
    }

    /// SVC-2, SVC-4: the account lets services of Azure in, and the sender is one.
    fn trusted(&self, at: &ServiceAccount) -> bool {
        let knows_trust = matches!(at.kind, ServiceKind::Storage | ServiceKind::KeyVault);
        knows_trust && at.bypass_azure_services && self.callers().any(|caller| caller.trusted_service)
    }

    /// What the user stated of the packet's sender.
    fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.view.network.callers.iter().filter(|caller| match (caller.end, self.sender) {
            (CallerEnd::Nic(nic), Some((Origin::Nic(sender), _))) => nic == sender,
            (CallerEnd::Addresses(range), Some((Origin::Internet, address))) => range.contains(&address),
            _ => false,
        })
    }

    /// SVC-2 to SVC-5: the service's rules on public addresses.
    fn ip_rules_admit(
        &self,
        at: &ServiceAccount,
        source: Option<IpAddr>,
        from: Option<VnetIndex>,
        seen: &Seen,
    ) -> Asked<bool> {
        let azure_internal =
            |rule: &&(IpAddr, IpAddr)| at.kind == ServiceKind::Sql && **rule == AZURE_INTERNAL;
        if from.is_some() && at.ip_rules.iter().any(|rule| azure_internal(&rule)) {
            return Ok(true);
        }
        let mut rules = at.ip_rules.iter().filter(|rule| !azure_internal(rule));
        let admitted = match source {
            Some(source) => Ok(rules.any(|(first, last)| (*first..=*last).contains(&source))),
            None => {
                let tuple = &seen.tuple;
                let could = rules.any(|(first, _)| first.is_ipv4() == tuple.destination.is_ipv4());
                if could {
                    self.view.world.ask(Unknown::TranslatedSource { address: tuple.source })
                } else {
                    Ok(false)
                }
            }
        };
        let other_region = self.in_own_region(at, from).map(|same| !same);
        all_of([admitted, other_region])
    }

    /// SVC-3: the client is in the storage account's own region.
    fn in_own_region(&self, at: &ServiceAccount, from: Option<VnetIndex>) -> Asked<bool> {
        let (ServiceKind::Storage, Some(vnet)) = (at.kind, from) else { return Ok(false) };
        let plain = |location: &String| location.replace(' ', "").to_ascii_lowercase();
        match (&at.location, &self.view.network.vnets[vnet.get()].location) {
            (Some(own), Some(client)) => Ok(plain(own) == plain(client)),
            _ => self.view.world.ask(Unknown::SameRegion { account: at.id.clone() }),
        }
    }
}

/// SVC-2: a rule names one instance, or with a `*` at its end all whose IDs begin so.
fn names_instance(rule: &ResourceId, instance: &ResourceId) -> bool {
    match rule.folded().strip_suffix('*') {
        Some(start) => instance.folded().starts_with(start),
        None => rule == instance,
    }
}
