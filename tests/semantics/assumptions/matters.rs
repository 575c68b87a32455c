//! Which choices are weighed at all: those whose clause finds in a network, or in a packet, something to act on. One
//! that is left out without need would be missed; one that is weighed without need costs time only, but twice as much
//! for every packet.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::assumptions::Clause;
use nsgsim::model::flow::{FiveTuple, Packet};
use nsgsim::model::index::{NicIndex, NsgIndex, Reference, RouteTableIndex, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, ServiceEndpoint};
use nsgsim::model::observed::ObservedInternet;
use nsgsim::model::prefix::PortRange;
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::rule::Direction;
use nsgsim::model::services::{
    AdminAction, AdminAddress, AdminCollection, AdminConfiguration, AdminRule, EffectiveAdminRules,
    NetworkManager, PrivateEndpoint, PrivateLinkService,
};
use nsgsim::model::tag::TagCatalog;
use nsgsim::simulate::matters::{to_network, to_packet};

use super::PING;
use crate::build::balancer::Balance;
use crate::build::{Build, icmp, id, ip, route, rule, tcp};

/// A network on which no clause has anything to act: two subnets, an interface in each, a filter with a rule of its own.
fn plain() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("vnet", &["10.0.0.0/16"]);
    network.vnets[vnet.get()].flow_timeout_min = Some(4);
    for (name, range, address) in [("a", "10.0.1.0/24", "10.0.1.4"), ("b", "10.0.2.0/24", "10.0.2.4")] {
        let subnet = network.subnet(vnet, name, range);
        network.nic(subnet, &format!("nic-{name}"), &[address]);
    }
    network.nsg("nsg", vec![rule("in 100 allow tcp 10.0.0.0/8 * -> 10.0.0.0/8 *")]);
    // The lists of `Internet` differ wherever no export settles them.
    network.observed_internet = Some(observed(&["8.0.0.0/7"]));
    network
}

fn observed(prefixes: &[&str]) -> ObservedInternet {
    let prefixes = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    ObservedInternet { prefixes, source: "effective.json".to_owned(), date: None }
}

fn compiled(network: Network) -> CompiledNetwork {
    CompiledNetwork::new(Arc::new(network), Arc::new(TagCatalog::default()), CompileOptions::default())
}

/// The clauses that find something in the plain network after this change, with flows that stay open.
#[track_caller]
fn after(change: impl FnOnce(&mut Network), expected: &[Clause]) {
    let mut network = plain();
    change(&mut network);
    assert_eq!(acting(&compiled(network), true), expected);
}

fn acting(compiled: &CompiledNetwork, stateful: bool) -> Vec<Clause> {
    Clause::ALL.iter().copied().filter(|clause| to_network(*clause, compiled, stateful)).collect()
}

fn a() -> SubnetIndex {
    SubnetIndex::new(0)
}

fn b() -> SubnetIndex {
    SubnetIndex::new(1)
}

fn table(network: &mut Network, subnet: SubnetIndex, next_hop: NextHop) {
    let name = format!("table-{}", subnet.get());
    let table: RouteTableIndex = network.route_table(&name, vec![route("r", "10.9.0.0/16", next_hop)]);
    network.subnets[subnet.get()].route_table = Some(Reference::Here(table));
}

fn storage_endpoint(network: &mut Network, subnet: SubnetIndex) {
    let endpoint = ServiceEndpoint { service: "Microsoft.Storage".to_owned(), locations: Vec::new() };
    network.subnets[subnet.get()].service_endpoints.push(endpoint);
}

fn private_endpoint(network: &mut Network, subnet: Option<SubnetIndex>) {
    network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: subnet.map(Reference::Here),
        addresses: vec![ip("10.0.1.20")],
        connections: Vec::new(),
        asgs: Vec::new(),
    });
}

fn manager(network: &mut Network, rules: Vec<AdminRule>) {
    let collections = vec![AdminCollection { name: "collection".to_owned(), groups: Vec::new(), rules }];
    network.network_managers.push(NetworkManager {
        id: id("networkManagers", &format!("manager-{}", network.network_managers.len())),
        management_groups: Vec::new(),
        subscriptions: Vec::new(),
        groups: Vec::new(),
        configurations: vec![AdminConfiguration {
            id: "configuration".to_owned(),
            deployed: None,
            on_intent_policy_services: Vec::new(),
            collections,
        }],
    });
}

/// An admin rule that names neither ports nor all of IPv4.
fn admin_rule() -> AdminRule {
    AdminRule {
        name: "rule".to_owned(),
        priority: 1,
        direction: Direction::Inbound,
        action: AdminAction::Deny,
        protocol: None,
        sources: vec![AdminAddress::Prefix("10.0.0.0/8".parse().unwrap())],
        destinations: vec![AdminAddress::Any],
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    }
}

fn all_of_ipv4() -> Vec<AdminAddress> {
    vec![AdminAddress::Prefix("0.0.0.0/0".parse().unwrap())]
}

fn https() -> Vec<PortRange> {
    vec!["443".parse().unwrap()]
}

#[test]
fn a_plain_network_leaves_nothing_to_weigh() {
    after(|_| {}, &[]);
}

#[test]
fn rules_with_ports_or_all_of_ipv4() {
    let nsg = |text: &'static str| move |network: &mut Network| network.nsgs[0].rules.push(rule(text));
    after(nsg("in 200 deny * * * -> * 443"), &[Clause::Nsg10]);
    after(nsg("in 200 deny * * 443 -> * *"), &[Clause::Nsg10]);
    after(nsg("in 200 deny * 0.0.0.0/0 * -> * *"), &[Clause::Nsg12]);
    after(nsg("in 200 deny * * * -> 0.0.0.0/0 *"), &[Clause::Nsg12]);
}

#[test]
fn admin_rules_with_ports_or_all_of_ipv4() {
    let managed = |rule: AdminRule| move |network: &mut Network| manager(network, vec![rule]);
    after(managed(admin_rule()), &[]);
    after(managed(AdminRule { source_ports: https(), ..admin_rule() }), &[Clause::Nsg10]);
    after(managed(AdminRule { destination_ports: https(), ..admin_rule() }), &[Clause::Nsg10]);
    after(managed(AdminRule { sources: all_of_ipv4(), ..admin_rule() }), &[Clause::Nsg12]);
    after(managed(AdminRule { destinations: all_of_ipv4(), ..admin_rule() }), &[Clause::Nsg12]);
    // An export of what is in force counts as what it was made of.
    let rules = vec![AdminRule { sources: all_of_ipv4(), ..admin_rule() }];
    let export = EffectiveAdminRules { vnet: None, rules, managers: vec![None] };
    after(|network| network.effective_admin_rules.push(export), &[Clause::Nsg12]);
}

#[test]
fn routes_that_may_join_virtual_network() {
    let appliance = || NextHop::VirtualAppliance(Some(ip("10.0.1.4")));
    after(|network| table(network, a(), appliance()), &[Clause::Tag9]);
    after(|network| table(network, a(), NextHop::VnetLocal), &[Clause::Tag9]);
    after(|network| table(network, a(), NextHop::Internet), &[]);
    after(|network| table(network, a(), NextHop::None), &[]);
    let missing = || Some(Reference::Missing(id("routeTables", "gone")));
    after(|network| network.subnets[0].route_table = missing(), &[Clause::Tag9]);
}

#[test]
fn an_export_settles_internet_for_the_family_that_it_lists() {
    after(|network| network.observed_internet = None, &[Clause::Tag20]);
    after(|network| network.observed_internet = Some(observed(&["2000::/3"])), &[Clause::Tag20]);
}

#[test]
fn load_balancers() {
    let frontend = |standard: bool, internal: bool| {
        move |network: &mut Network| {
            let balancer = network.balancer("balancer", standard);
            if internal {
                network.internal_frontend(balancer, a(), "10.0.1.100");
            } else {
                let public_ip = network.public_ip("pip", "203.0.113.4", None);
                network.public_frontend(balancer, public_ip);
            }
        }
    };
    after(frontend(true, true), &[Clause::Eval11]);
    after(frontend(true, false), &[]);
    after(frontend(false, true), &[]);
    let floating = |by_rule: bool| {
        move |network: &mut Network| {
            let balancer = network.balancer("balancer", false);
            let frontend = network.internal_frontend(balancer, a(), "10.0.1.100");
            let pool = network.pool(balancer, "pool", &[NicIndex::new(0)]);
            network.balance(balancer, &frontend, &pool, "tcp 80 -> 80").floating_ip = by_rule;
            network.nat_rule(balancer, &frontend, "tcp 443 -> 443").floating_ip = !by_rule;
        }
    };
    after(floating(true), &[Clause::Lb5]);
    after(floating(false), &[Clause::Lb5]);
}

#[test]
fn open_flows() {
    let flushes = |network: &mut Network| network.nsgs[NsgIndex::new(0).get()].flush_connection = true;
    after(flushes, &[Clause::State5]);
    after(|network| network.vnets[0].flow_timeout_min = None, &[Clause::State6]);
    // The network of these is not known, nor its timeout.
    after(|network| network.nics[1].subnet = None, &[Clause::State6]);
    let missing = || Some(Reference::Missing(id("virtualNetworks/gone/subnets", "gone")));
    after(|network| network.nics[1].subnet = missing(), &[Clause::State6]);
    after(|network| private_endpoint(network, None), &[Clause::State6]);
    let mut network = plain();
    network.nsgs[0].flush_connection = true;
    network.vnets[0].flow_timeout_min = None;
    assert_eq!(acting(&compiled(network), false), [], "without flows nothing of them is left open");
}

#[test]
fn a_default_route_that_a_gateway_learned() {
    let learned = |prefix: &'static str| {
        move |network: &mut Network| {
            network.gateways.push(Gateway {
                id: id("virtualNetworkGateways", "gateway"),
                express_route: false,
                vnet: Some(Reference::Here(VnetIndex::new(0))),
                subnet: None,
                client_pools: Vec::new(),
                learned_routes: vec![prefix.parse().unwrap()],
                bgp: true,
            });
        }
    };
    after(learned("0.0.0.0/0"), &[Clause::Route4]);
    after(learned("192.168.0.0/16"), &[]);
}

#[test]
fn a_table_beside_service_endpoints() {
    after(|network| storage_endpoint(network, a()), &[]);
    let beside = |at: SubnetIndex| {
        move |network: &mut Network| {
            storage_endpoint(network, a());
            table(network, at, NextHop::Internet);
        }
    };
    after(beside(a()), &[Clause::Route8]);
    after(beside(b()), &[]);
}

#[test]
fn flags_of_peerings() {
    let peered = |change: fn(&mut Network)| {
        move |network: &mut Network| {
            let other = network.vnet("vnet-2", &["10.1.0.0/16"]);
            network.vnets[other.get()].flow_timeout_min = Some(4);
            network.peer(VnetIndex::new(0), other);
            change(network);
        }
    };
    after(peered(|_| {}), &[]);
    after(
        peered(|network| network.vnets[0].peerings[0].allow_virtual_network_access = false),
        &[Clause::Peer3],
    );
    after(peered(|network| network.vnets[1].peerings[0].allow_forwarded_traffic = false), &[Clause::Peer4]);
}

#[test]
fn a_nat_gateway_beside_a_public_address() {
    let outbound = |nat: bool, public: bool| {
        move |network: &mut Network| {
            let public_ip = network.public_ip("pip", "203.0.113.4", None);
            if nat {
                let gateway = network.nat_gateway("nat", &[]);
                network.subnets[0].nat_gateway = Some(Reference::Here(gateway));
            }
            if public {
                network.nics[1].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
            }
        }
    };
    after(outbound(true, true), &[Clause::Out1]);
    after(outbound(true, false), &[]);
    after(outbound(false, true), &[]);
}

#[test]
fn private_endpoints_beside_tables_and_admin_rules() {
    after(|network| private_endpoint(network, Some(a())), &[]);
    let beside_a_table = |network: &mut Network| {
        private_endpoint(network, Some(a()));
        table(network, b(), NextHop::Internet);
    };
    after(beside_a_table, &[Clause::Pe7]);
    let beside_admin_rules = |network: &mut Network| {
        private_endpoint(network, Some(a()));
        manager(network, vec![admin_rule()]);
    };
    after(beside_admin_rules, &[Clause::Adm10]);
}

#[test]
fn two_managers() {
    after(|network| manager(network, Vec::new()), &[]);
    let two = |network: &mut Network| {
        manager(network, Vec::new());
        manager(network, Vec::new());
    };
    after(two, &[Clause::Adm7]);
}

/// The clauses that look at a packet, and find something in it.
#[track_caller]
fn for_packet(change: impl FnOnce(&mut Network), packet: Packet, expected: &[Clause]) {
    let mut network = plain();
    change(&mut network);
    let compiled = compiled(network);
    let look = [Clause::Nsg10, Clause::Nsg12, Clause::Tag20].into_iter();
    let found: Vec<Clause> = look.filter(|clause| to_packet(*clause, &compiled, &packet)).collect();
    assert_eq!(found, expected);
}

#[test]
fn packets_that_a_clause_acts_on() {
    let inside = tcp("10.0.1.4:1000", "10.0.2.4:443");
    for_packet(|_| {}, inside, &[]);
    for_packet(|_| {}, icmp("10.0.1.4", "10.0.2.4", PING), &[Clause::Nsg10]);
    // A load balancer may probe the member of another family.
    let balanced = |network: &mut Network| {
        network.balancer("balancer", false);
    };
    for_packet(balanced, inside, &[Clause::Nsg12]);
    let ipv6 =
        Packet::new(FiveTuple { source: ip("fd00::4"), destination: ip("fd00::5"), ..inside.five_tuple });
    for_packet(|_| {}, ipv6, &[Clause::Nsg12]);
}

#[test]
fn packets_whose_addresses_the_lists_of_internet_do_not_agree_on() {
    let differs = "25.25.0.1";
    for_packet(|_| {}, tcp("10.0.1.4:1000", "25.25.0.1:443"), &[Clause::Tag20]);
    for_packet(|_| {}, tcp("25.25.0.1:1000", "10.0.2.4:443"), &[Clause::Tag20]);
    // An address on the way may take the place of the packet's own.
    let inside = tcp("10.0.1.4:1000", "10.0.2.4:443");
    let own = |network: &mut Network| network.nics[1].ip_configurations[0].address = Some(ip(differs));
    for_packet(own, inside, &[Clause::Tag20]);
    let public = |address: &'static str| {
        move |network: &mut Network| {
            let public_ip = network.public_ip("pip", address, None);
            network.nics[1].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
        }
    };
    for_packet(public(differs), inside, &[Clause::Tag20]);
    for_packet(public("203.0.113.4"), inside, &[]);
    for_packet(public("203.0.113.4"), tcp("10.0.1.4:1000", "203.0.113.4:443"), &[Clause::Tag20]);
    let frontend = |network: &mut Network| {
        let balancer = network.balancer("balancer", false);
        network.internal_frontend(balancer, a(), differs);
    };
    for_packet(frontend, inside, &[Clause::Nsg12, Clause::Tag20]);
    let nat = |network: &mut Network| {
        network.private_link_services.push(PrivateLinkService {
            id: id("privateLinkServices", "service"),
            nat_addresses: vec![ip(differs)],
            subnet: Some(Reference::Here(b())),
            frontends: Vec::new(),
            endpoints: Vec::new(),
        });
    };
    for_packet(nat, inside, &[Clause::Tag20]);
}
