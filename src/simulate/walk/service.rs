//! The firewalls of services: storage accounts, key vaults, SQL servers (SVC).

use std::net::IpAddr;

use super::{Course, LeafEnd, Walk};
use crate::compile::world::{Open, World};
use crate::model::flow::FiveTuple;
use crate::model::rule::{Access, Direction};
use crate::model::services::{ServiceAccount, ServiceKind};
use crate::model::unknown::Unknown;
use crate::model::verdict::{FirewallRule, Interface, Reason, Step, StepAnswer};
use crate::simulate::journey::ServiceCheck;

impl Walk<'_> {
    /// The firewall of a service (SVC-2 to SVC-5): its rules only ever allow.
    pub(super) fn service(
        &self,
        check: &ServiceCheck,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let own = course.seen;
        // Through a service endpoint the service sees the private address (SE-3).
        let source = match (check.identity, check.from_azure) {
            (Some(_), _) | (None, false) => Some(own.source),
            (None, true) => (!course.picked).then_some(own.source),
        };
        let (rule, access) = self.firewall(check, source, world)?;
        let (account, answer) = (check.account, StepAnswer::ServiceFirewall(rule));
        let seen = FiveTuple { source: source.unwrap_or(own.source), ..own };
        let interface = Interface::Service(account);
        course.met.steps.push(Step { interface, direction: Direction::Inbound, answer, access, seen });
        let reason = Reason::ServiceFirewall { account, rule };
        if access == Access::Deny {
            return Ok(Some(LeafEnd::Denied(reason)));
        }
        course.last = reason;
        Ok(None)
    }

    fn firewall(
        &self,
        check: &ServiceCheck,
        source: Option<IpAddr>,
        world: &World,
    ) -> Result<(FirewallRule, Access), Box<Open>> {
        let network = &self.compiled.network;
        let account = &network.service_accounts[check.account.get()];
        if !account.public_network_access {
            // Trusted services may come in to a vault even then (SVC-4).
            let trusted = check.known_as == Some(FirewallRule::TrustedService);
            return Ok(if trusted && account.kind == ServiceKind::KeyVault {
                (FirewallRule::TrustedService, Access::Allow)
            } else {
                (FirewallRule::PublicNetworkAccess, Access::Deny)
            });
        }
        // Without rules of its own a storage account and a vault are open, a SQL server is closed (SVC-2, SVC-4, SVC-5).
        if account.default_allow.unwrap_or(account.kind != ServiceKind::Sql) {
            return Ok((FirewallRule::DefaultAction, Access::Allow));
        }
        if let Some(subnet) = check.identity
            && account.subnets.contains(&network.subnets[subnet.get()].id)
        {
            return Ok((FirewallRule::VirtualNetworkRule, Access::Allow));
        }
        if check.identity.is_none() && self.by_address(check, account, source, world)? {
            return Ok((FirewallRule::IpRule, Access::Allow));
        }
        if let Some(rule) = check.known_as {
            return Ok((rule, Access::Allow));
        }
        Ok((FirewallRule::DefaultAction, Access::Deny))
    }

    /// Whether an IP rule admits the client (SVC-2 to SVC-5).
    fn by_address(
        &self,
        check: &ServiceCheck,
        account: &ServiceAccount,
        source: Option<IpAddr>,
        world: &World,
    ) -> Result<bool, Box<Open>> {
        if account.ip_rules.is_empty() {
            return Ok(false);
        }
        let zero = IpAddr::from([0; 4]);
        // The rule 0.0.0.0 admits whatever starts in Azure (SVC-5).
        if account.kind == ServiceKind::Sql && check.from_azure && account.ip_rules.contains(&(zero, zero)) {
            return Ok(true);
        }
        let holds = match source {
            Some(source) => account.ip_rules.iter().any(|(first, last)| (*first..=*last).contains(&source)),
            None => world.ask(|| Unknown::TranslatedSource { address: self.packet.five_tuple.source })?,
        };
        // IP rules of storage are void for clients in the account's own region (SVC-3).
        if !holds || account.kind != ServiceKind::Storage {
            return Ok(holds);
        }
        match &check.same_region {
            Ok(same) => Ok(!same),
            Err(question) => Ok(!world.ask(|| question.clone())?),
        }
    }
}
