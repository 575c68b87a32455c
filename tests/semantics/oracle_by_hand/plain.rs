//! A small network that most tests start from, and what is asked of answers.

use nsgsim::model::index::{NicIndex, Reference, SubnetIndex};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::routing::{NextHop, Route};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Answer, Interface, Step, StepAnswer, Verdict, VerdictKind};

use crate::build::{Build, ip, route, rule};
use crate::oracle::Oracle;

/// A second in nanoseconds.
pub(crate) const S: u64 = 1_000_000_000;

/// One network 10.0.0.0/16 with subnets `a` (10.0.1.0/24) and `b` (10.0.2.0/24), interfaces `a1` (10.0.1.4), `a2`
/// (10.0.1.5) and `b1` (10.0.2.4), and no NSG yet.
pub(crate) struct Plain {
    pub(crate) network: Network,
    pub(crate) a: SubnetIndex,
    pub(crate) b: SubnetIndex,
    pub(crate) a1: NicIndex,
    pub(crate) a2: NicIndex,
    pub(crate) b1: NicIndex,
}

pub(crate) fn plain() -> Plain {
    let mut network = Network::default();
    let vnet = network.vnet("v", &["10.0.0.0/16"]);
    let a = network.subnet(vnet, "a", "10.0.1.0/24");
    let b = network.subnet(vnet, "b", "10.0.2.0/24");
    let a1 = network.nic(a, "a1", &["10.0.1.4"]);
    let a2 = network.nic(a, "a2", &["10.0.1.5"]);
    let b1 = network.nic(b, "b1", &["10.0.2.4"]);
    Plain { network, a, b, a1, a2, b1 }
}

impl Plain {
    pub(crate) fn subnet_nsg(&mut self, subnet: SubnetIndex, name: &str, rules: &[&str]) {
        let nsg = self.network.nsg(name, rules.iter().map(|text| rule(text)).collect());
        self.network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
    }

    pub(crate) fn nic_nsg(&mut self, nic: NicIndex, name: &str, rules: &[&str]) {
        let nsg = self.network.nsg(name, rules.iter().map(|text| rule(text)).collect());
        self.network.nics[nic.get()].nsg = Some(Reference::Here(nsg));
    }

    pub(crate) fn public(&mut self, nic: NicIndex, address: &str, sku: Option<PublicIpSku>) {
        let public_ip =
            self.network.public_ip(&format!("pip-{}", self.network.public_ips.len()), address, sku);
        self.network.nics[nic.get()].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    }

    /// A table of these routes for a subnet.
    pub(crate) fn routes(&mut self, subnet: SubnetIndex, name: &str, routes: Vec<Route>) {
        let table = self.network.route_table(name, routes);
        self.network.subnets[subnet.get()].route_table = Some(Reference::Here(table));
    }

    pub(crate) fn oracle(&self) -> Oracle {
        Oracle::new(self.network.clone(), TagCatalog::default())
    }
}

/// The steps in short: `a1 out nsg-a/in-100 allow`.
pub(crate) fn steps(oracle: &Oracle, answer: &Answer) -> Vec<String> {
    let network = oracle.network();
    let step = |step: &Step| {
        let nic = match step.interface {
            Interface::Nic(nic) => network.nic_name(nic),
            Interface::Unlisted(subnet) => network.subnet_name(subnet),
            Interface::Endpoint(endpoint) => network.private_endpoint_name(endpoint),
            Interface::Service(account) => network.service_account_name(account),
        };
        let what = match step.answer {
            StepAnswer::Rule(hit) => {
                let nsg = &network.nsgs[hit.nsg.get()];
                format!("{}/{}", nsg.id.name(), nsg.rules[hit.rule as usize].name)
            }
            StepAnswer::FlowTable => "record".to_owned(),
            StepAnswer::PublicIpGate(_) => "gate".to_owned(),
            StepAnswer::AdminRule(hit, _) => network.admin_rule(hit.rule).name.clone(),
            StepAnswer::PlatformRule(service) => service.name().to_owned(),
            StepAnswer::ServiceFirewall(rule) => rule.name().to_owned(),
        };
        format!("{nic} {} {what} {}", step.direction, step.access)
    };
    answer.steps.iter().map(step).collect()
}

pub(crate) fn kind(answer: &Answer) -> VerdictKind {
    answer.verdict.kind()
}

pub(crate) fn hangs_on(answer: &Answer) -> &Unknown {
    match &answer.verdict {
        Verdict::Undetermined(unknown) => unknown,
        other => panic!("{other:?} is determined"),
    }
}

/// A user-defined route to an appliance.
pub(crate) fn to_appliance(name: &str, prefix: &str, address: &str) -> Route {
    route(name, prefix, NextHop::VirtualAppliance(Some(ip(address))))
}
