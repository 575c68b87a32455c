//! Whether replies take the same interfaces in reverse (ROUTE-20).

use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::{GatewayIndex, NicIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{AdminAction, AdminRule, Appliance, ApplianceMode, EffectiveAdminRules};
use nsgsim::model::verdict::VerdictKind;

use super::plain::{Plain, kind, plain};
use super::private_link::linked;
use crate::build::balancer::Balance;
use crate::build::{Build, id, ip, packet, route, tcp};

/// `plain` with an appliance `n1` at 10.0.3.4 in a subnet `c`.
struct Hub {
    net: Plain,
    c: SubnetIndex,
    n1: NicIndex,
}

fn hub() -> Hub {
    let mut net = plain();
    let c = net.network.subnet(VnetIndex::new(0), "c", "10.0.3.0/24");
    let n1 = net.network.nic(c, "n1", &["10.0.3.4"]);
    net.network.nics[n1.get()].ip_forwarding = true;
    Hub { net, c, n1 }
}

impl Hub {
    /// Packets of a subnet to this range go by the appliance.
    fn by_appliance(&mut self, subnet: SubnetIndex, table: &str, range: &str) {
        let hop = NextHop::VirtualAppliance(Some(ip("10.0.3.4")));
        self.net.routes(subnet, table, vec![route("way", range, hop)]);
    }

    fn stated(&mut self, mode: ApplianceMode) {
        self.net.network.appliances = vec![Appliance { nic: Reference::Here(self.n1), mode, egress: None }];
    }
}

impl Plain {
    fn told(&self, origin: Origin, packet: &Packet) -> Option<bool> {
        let answer = self.oracle().path(origin, packet, 0, None);
        assert_eq!(kind(&answer), VerdictKind::Allow, "{:?}", answer.verdict);
        answer.asymmetric
    }

    fn a1_to_b1(&self) -> Option<bool> {
        self.told(Origin::Nic(self.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"))
    }
}

#[test]
fn route_20_the_same_way_back_another_or_none() {
    let mut at = hub();
    assert_eq!(at.net.a1_to_b1(), Some(false));
    // There by the appliance and straight back, and the other way round.
    at.by_appliance(at.net.a, "ta", "10.0.2.0/24");
    assert_eq!(at.net.a1_to_b1(), Some(true));
    let other = tcp("10.0.2.4:80", "10.0.1.4:1000");
    assert_eq!(at.net.told(Origin::Nic(at.net.b1), &other), Some(true));
    // By the appliance both ways.
    at.by_appliance(at.net.b, "tb", "10.0.1.0/24");
    assert_eq!(at.net.a1_to_b1(), Some(false));
    // Back to a next hop that nobody has, to one that does not forward, or by a route to nowhere.
    for hop in [
        NextHop::VirtualAppliance(Some(ip("10.0.3.9"))),
        NextHop::VirtualAppliance(Some(ip("10.0.1.5"))),
        NextHop::None,
    ] {
        at.net.network.route_tables[1].routes = vec![route("way", "10.0.1.0/24", hop)];
        assert_eq!(at.net.a1_to_b1(), Some(true));
    }
    at.net.network.route_tables[1].routes =
        vec![route("way", "10.0.1.0/24", NextHop::VirtualAppliance(None))];
    assert_eq!(at.net.a1_to_b1(), None);
}

#[test]
fn route_20_is_about_tcp_about_what_is_allowed_and_about_interfaces() {
    let mut net = plain();
    let udp = packet(Protocol::UDP, "10.0.1.4:1000", "10.0.2.4:80");
    assert_eq!(net.told(Origin::Nic(net.a1), &udp), None);
    assert_eq!(net.told(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.1.4:80")), None);
    // The platform answers where it was asked.
    let to_agent = tcp("10.0.1.4:1000", "168.63.129.16:80");
    assert_eq!(net.told(Origin::Nic(net.a1), &to_agent), Some(false));
    let from_platform = tcp("168.63.129.16:1000", "10.0.1.4:80");
    assert_eq!(net.told(Origin::Platform, &from_platform), Some(false));
    // Rules say nothing about the way.
    net.nic_nsg(net.b1, "nsg-x", &["out 100 deny * * * -> * *"]);
    assert_eq!(net.a1_to_b1(), Some(false));
    net.nic_nsg(net.a1, "nsg-y", &["out 100 deny * * * -> * *"]);
    let denied = net.oracle().path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    assert_eq!((kind(&denied), denied.asymmetric), (VerdictKind::Deny, None));
}

#[test]
fn route_20_an_interface_that_is_not_listed_is_there_all_the_same() {
    let mut at = hub();
    // Without it the verdict would hang on the interface's own NSG.
    let rule = AdminRule {
        name: "pass".to_owned(),
        priority: 1,
        direction: Direction::Outbound,
        action: AdminAction::AlwaysAllow,
        protocol: None,
        sources: Vec::new(),
        destinations: Vec::new(),
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    };
    let vnet = Some(at.net.network.vnets[0].id.clone());
    at.net.network.effective_admin_rules =
        vec![EffectiveAdminRules { vnet, rules: vec![rule], managers: vec![None] }];
    let there = tcp("10.0.1.99:1000", "10.0.2.4:80");
    assert_eq!(at.net.told(Origin::Unlisted(at.net.a), &there), Some(false));
    at.by_appliance(at.net.b, "tb", "10.0.1.0/24");
    assert_eq!(at.net.told(Origin::Unlisted(at.net.a), &there), Some(true));
}

#[test]
fn route_20_an_appliance_that_replaces_the_source_ends_a_leg() {
    let mut at = hub();
    at.stated(ApplianceMode::Snat);
    at.by_appliance(at.net.a, "ta", "10.0.2.0/24");
    // Back from `b1` to the appliance, and from there to `a1`: both as they came.
    assert_eq!(at.net.a1_to_b1(), Some(false));
    // The appliance's own subnet leads elsewhere to `a1`.
    let mut stray = hub();
    stray.stated(ApplianceMode::Snat);
    stray.by_appliance(stray.net.a, "ta", "10.0.2.0/24");
    stray.net.network.nics[stray.net.a2.get()].ip_forwarding = true;
    let hop = NextHop::VirtualAppliance(Some(ip("10.0.1.5")));
    stray.net.routes(stray.c, "tc", vec![route("way", "10.0.1.4/32", hop)]);
    assert_eq!(stray.net.a1_to_b1(), Some(true));
}

#[test]
fn route_20_out_to_the_internet_one_interface_is_told_more_are_not() {
    let mut at = hub();
    let out = tcp("10.0.1.4:1000", "8.8.8.8:443");
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &out), Some(false));
    at.stated(ApplianceMode::Snat);
    at.by_appliance(at.net.a, "ta", "0.0.0.0/0");
    // Each leg has its own: `a1` to the appliance, and the appliance to the internet.
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &out), Some(false));
    at.stated(ApplianceMode::Forward);
    let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &out, 0, None);
    // No clause says by what a forwarded packet leaves.
    assert_eq!((kind(&answer), answer.asymmetric), (VerdictKind::Undetermined, None));
}

#[test]
fn route_16_and_20_from_the_internet_a_reply_by_an_appliance_is_another_way() {
    let mut at = hub();
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    let inwards = tcp("8.8.8.8:1000", "203.0.113.4:443");
    assert_eq!(at.net.told(Origin::Internet, &inwards), Some(false));
    at.by_appliance(at.net.a, "ta", "0.0.0.0/0");
    assert_eq!(at.net.told(Origin::Internet, &inwards), Some(true));
}

#[test]
fn route_20_and_pip_1_back_in_by_a_public_address_is_a_leg_of_its_own() {
    let mut at = hub();
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    at.net.public(at.net.b1, "203.0.113.5", Some(PublicIpSku::Basic));
    let there = tcp("10.0.1.4:1000", "203.0.113.5:443");
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &there), Some(false));
    at.by_appliance(at.net.b, "tb", "203.0.113.0/24");
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &there), Some(true));
    // What Azure picks as source nobody knows, so nobody knows the way back to it.
    let from_a2 = tcp("10.0.1.5:1000", "203.0.113.5:443");
    assert_eq!(at.net.told(Origin::Nic(at.net.a2), &from_a2), None);
}

#[test]
fn route_20_a_load_balancer_with_a_choice_is_not_told() {
    let mut at = hub();
    let lb = at.net.network.balancer("lb", true);
    let frontend = at.net.network.internal_frontend(lb, at.net.b, "10.0.2.100");
    let pool = at.net.network.pool(lb, "p", &[at.net.b1]);
    at.net.network.balance(lb, &frontend, &pool, "all 0 -> 0");
    let there = tcp("10.0.1.4:1000", "10.0.2.100:80");
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &there), Some(false));
    at.by_appliance(at.net.b, "tb", "10.0.1.0/24");
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &there), Some(true));
    let second = at.net.network.nics[at.n1.get()].ip_configurations[0].id.clone();
    at.net.network.load_balancers[0].pools[0].ip_configurations.push(second);
    assert_eq!(at.net.told(Origin::Nic(at.net.a1), &there), None);
}

#[test]
fn lb_5_and_route_20_an_answer_to_a_floating_frontend_reaches_its_only_backend() {
    let mut net = plain();
    let lb = net.network.balancer("lb", true);
    let frontend = net.network.internal_frontend(lb, net.b, "10.0.2.100");
    let pool = net.network.pool(lb, "p", &[net.b1]);
    net.network.balance(lb, &frontend, &pool, "tcp 80 -> 80").floating_ip = true;
    let there = tcp("10.0.1.4:1000", "10.0.2.100:80");
    assert_eq!(net.told(Origin::Nic(net.a1), &there), Some(false));
    assert_eq!(net.told(Origin::Nic(net.b1), &tcp("10.0.2.100:80", "10.0.1.4:1000")), Some(false));
}

#[test]
fn route_20_private_endpoints_are_no_interfaces_and_their_answers_take_routes() {
    let mut at = linked();
    let there = tcp("10.0.1.4:1000", "10.0.1.20:80");
    let told = |net: &Plain| net.told(Origin::Nic(net.a1), &there);
    assert_eq!(told(&at.net), Some(false));
    // The provider's backend answers by an appliance of its own.
    let nva = at.net.network.nic(at.provider, "p2", &["10.5.1.9"]);
    at.net.network.nics[nva.get()].ip_forwarding = true;
    let hop = NextHop::VirtualAppliance(Some(ip("10.5.1.9")));
    at.net.routes(at.provider, "tp", vec![route("way", "10.5.1.50/32", hop)]);
    assert_eq!(told(&at.net), Some(true));
    // The endpoint's own subnet leads the answer elsewhere.
    let mut at = linked();
    at.net.network.nics[at.net.b1.get()].ip_forwarding = true;
    let hop = NextHop::VirtualAppliance(Some(ip("10.0.2.4")));
    at.net.routes(at.net.a, "ta", vec![route("way", "10.0.1.4/32", hop)]);
    assert_eq!(told(&at.net), Some(true));
}

#[test]
fn gw_2_and_route_20_what_comes_back_by_a_gateway_takes_the_gatewaysubnet_s_routes() {
    let mut at = hub();
    let subnet = at.net.network.subnet(VnetIndex::new(0), "GatewaySubnet", "10.0.250.0/24");
    at.net.network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "gw"),
        express_route: false,
        vnet: Some(Reference::Here(VnetIndex::new(0))),
        subnet: Some(Reference::Here(subnet)),
        client_pools: vec!["192.168.0.0/16".parse().unwrap()],
        learned_routes: Vec::new(),
        bgp: false,
    });
    let out = tcp("10.0.1.4:1000", "192.168.0.4:443");
    let inwards = tcp("192.168.0.4:1000", "10.0.1.4:443");
    let told = |net: &Plain| {
        let gateway = Origin::OnPremises(GatewayIndex::new(0));
        (net.told(Origin::Nic(net.a1), &out), net.told(gateway, &inwards))
    };
    assert_eq!(told(&at.net), (Some(false), Some(false)));
    at.by_appliance(subnet, "tg", "10.0.1.0/24");
    assert_eq!(told(&at.net), (Some(true), Some(true)));
    at.by_appliance(at.net.a, "ta", "192.168.0.0/16");
    assert_eq!(told(&at.net), (Some(false), Some(false)));
}
