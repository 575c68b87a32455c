//! Who gets into a service for what it is (SVC-2, SVC-4, SVC-5).

use nsgsim::model::flow::Origin;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::ServiceAccountIndex;
use nsgsim::model::services::{Caller, CallerEnd, ServiceAccount, ServiceKind};
use nsgsim::model::verdict::{FirewallRule, Reason, Verdict};

use super::plain::{Plain, plain};
use crate::build::{id, tcp};

const SERVICE: &str = "198.51.100.9:443";

fn workspace(name: &str) -> ResourceId {
    id("workspaces", name)
}

/// `plain` with an account that lets nobody in, called by a workspace at `a1`, and by one at 8.8.8.0/24 that is a
/// trusted service.
fn called(kind: ServiceKind) -> Plain {
    let mut net = plain();
    net.network.service_accounts.push(ServiceAccount {
        id: id("storageAccounts", "account"),
        kind,
        location: None,
        public_network_access: true,
        default_allow: Some(false),
        bypass_azure_services: false,
        ip_rules: Vec::new(),
        subnets: Vec::new(),
        instances: Vec::new(),
    });
    net.network.callers.push(Caller {
        end: CallerEnd::Nic(net.a1),
        instance: Some(workspace("w-1")),
        trusted_service: false,
    });
    net.network.callers.push(Caller {
        end: CallerEnd::Addresses("8.8.8.0/24".parse().expect("a prefix")),
        instance: Some(workspace("w-2")),
        trusted_service: true,
    });
    net
}

impl Plain {
    /// What in the account's firewall decided on a packet from here.
    fn rule_for(&self, origin: Origin, from: &str) -> (FirewallRule, bool) {
        let account = ServiceAccountIndex::new(0);
        let answer = self.oracle().path(origin, &tcp(from, SERVICE), 0, Some(account));
        match answer.verdict {
            Verdict::Allow(Reason::ServiceFirewall { rule, .. }) => (rule, true),
            Verdict::Deny(Reason::ServiceFirewall { rule, .. }) => (rule, false),
            other => panic!("{other:?} is none of the firewall's"),
        }
    }

    fn inside(&self) -> (FirewallRule, bool) {
        self.rule_for(Origin::Nic(self.a1), "10.0.1.4:1000")
    }

    fn outside(&self) -> (FirewallRule, bool) {
        self.rule_for(Origin::Internet, "8.8.8.8:1000")
    }
}

const NOBODY: (FirewallRule, bool) = (FirewallRule::DefaultAction, false);

#[test]
fn svc_2_a_storage_account_lets_resource_instances_in() {
    let mut net = called(ServiceKind::Storage);
    assert_eq!((net.inside(), net.outside()), (NOBODY, NOBODY));
    let admitted = (FirewallRule::ResourceInstance, true);
    net.network.service_accounts[0].instances = vec![workspace("W-1")];
    assert_eq!((net.inside(), net.outside()), (admitted, NOBODY));
    net.network.service_accounts[0].instances = vec![workspace("w-*")];
    assert_eq!((net.inside(), net.outside()), (admitted, admitted));
    // A rule without the star is one instance, not a beginning.
    net.network.service_accounts[0].instances = vec![workspace("w-")];
    assert_eq!((net.inside(), net.outside()), (NOBODY, NOBODY));
    // Another sender is no caller.
    net.network.service_accounts[0].instances = vec![workspace("*")];
    assert_eq!(net.rule_for(Origin::Nic(net.a2), "10.0.1.5:1000"), NOBODY);
    assert_eq!(net.rule_for(Origin::Internet, "8.8.9.8:1000"), NOBODY);
    // What goes ahead in the order is named, and what is closed is closed.
    net.network.service_accounts[0].ip_rules = vec![("8.8.8.8".parse().unwrap(), "8.8.8.8".parse().unwrap())];
    assert_eq!(net.outside(), (FirewallRule::IpRule, true));
    net.network.service_accounts[0].public_network_access = false;
    let closed = (FirewallRule::PublicNetworkAccess, false);
    assert_eq!((net.inside(), net.outside()), (closed, closed));
}

#[test]
fn svc_2_and_4_trusted_services_pass_where_the_account_says_so() {
    for kind in [ServiceKind::Storage, ServiceKind::KeyVault] {
        let mut net = called(kind);
        assert_eq!((net.inside(), net.outside()), (NOBODY, NOBODY), "{kind:?}");
        net.network.service_accounts[0].bypass_azure_services = true;
        let trusted = (FirewallRule::TrustedService, true);
        assert_eq!((net.inside(), net.outside()), (NOBODY, trusted), "{kind:?}");
        net.network.service_accounts[0].public_network_access = false;
        let closed = (FirewallRule::PublicNetworkAccess, false);
        let expected = if kind == ServiceKind::KeyVault { trusted } else { closed };
        assert_eq!((net.inside(), net.outside()), (closed, expected), "{kind:?}");
        // The account's own word is needed there, too.
        net.network.service_accounts[0].bypass_azure_services = false;
        assert_eq!(net.outside(), closed, "{kind:?}");
    }
}

#[test]
fn svc_4_and_5_vaults_know_no_instances_and_sql_servers_neither_instances_nor_trust() {
    let mut net = called(ServiceKind::KeyVault);
    net.network.service_accounts[0].instances = vec![workspace("*")];
    assert_eq!((net.inside(), net.outside()), (NOBODY, NOBODY));
    net.network.service_accounts[0].kind = ServiceKind::Sql;
    net.network.service_accounts[0].bypass_azure_services = true;
    assert_eq!((net.inside(), net.outside()), (NOBODY, NOBODY));
}
