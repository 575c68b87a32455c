//! The GatewaySubnet's own table (GW-2, PE-6, PE-7).

use nsgsim::model::flow::Origin;
use nsgsim::model::index::{GatewayIndex, NicIndex, Reference, RouteTableIndex, SubnetIndex, VnetIndex};
use nsgsim::model::network::{PrivateEndpointPolicies, ServiceEndpoint};
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::services::{PrivateEndpoint, PrivateLinkConnection};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{Answer, Interface, Reason, RouteEnd, UserRoute, Verdict, VerdictKind};

use super::plain::{Plain, hangs_on, kind, plain, steps, to_appliance};
use crate::build::{Build, catalog, id, ip, route, tcp};
use crate::oracle::Oracle;

/// `plain` with a gateway in its GatewaySubnet and the forwarding interface `n1` 10.0.9.4.
struct Entered {
    net: Plain,
    gateway: GatewayIndex,
    gateway_subnet: SubnetIndex,
    n1: NicIndex,
}

fn entered() -> Entered {
    let mut net = plain();
    let gateway_subnet = net.network.subnet(VnetIndex::new(0), "GatewaySubnet", "10.0.8.0/24");
    let n = net.network.subnet(VnetIndex::new(0), "n", "10.0.9.0/24");
    let n1 = net.network.nic(n, "n1", &["10.0.9.4"]);
    net.network.nics[n1.get()].ip_forwarding = true;
    net.network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "gw"),
        express_route: false,
        vnet: Some(Reference::Here(VnetIndex::new(0))),
        subnet: Some(Reference::Here(gateway_subnet)),
        client_pools: vec!["192.168.0.0/16".parse().expect("a range")],
        learned_routes: Vec::new(),
        bgp: false,
    });
    Entered { net, gateway: GatewayIndex::new(0), gateway_subnet, n1 }
}

impl Entered {
    fn to(&self, address: &str) -> Answer {
        let packet = tcp("192.168.0.4:1000", &format!("{address}:80"));
        self.net.oracle().path(Origin::OnPremises(self.gateway), &packet, 0, None)
    }
}

/// The only route of the only table.
fn the_route() -> Option<UserRoute> {
    Some(UserRoute { table: RouteTableIndex::new(0), route: 0 })
}

#[test]
fn gw_2_the_gateway_s_table_sends_packets_to_an_appliance() {
    let mut at = entered();
    at.net.routes(at.gateway_subnet, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.0.9.4")]);
    at.net.nic_nsg(at.n1, "nsg-n", &[]);
    at.net.nic_nsg(at.net.b1, "nsg-b1", &[]);
    let answer = at.to("10.0.2.4");
    let expected = [
        "n1 inbound nsg-n/AllowVnetInBound allow",
        "n1 outbound nsg-n/AllowVnetOutBound allow",
        "b1 inbound nsg-b1/AllowVnetInBound allow",
    ];
    assert_eq!(steps(&at.net.oracle(), &answer), expected);
    // The gateway is no interface: its route is not listed.
    assert_eq!(answer.routes.len(), 1);
    assert_eq!(answer.routes[0].interface, Interface::Nic(at.n1));
    // What the table does not hold goes straight.
    assert_eq!(at.to("10.0.1.4").verdict, Verdict::Allow(Reason::NoSecurityGroup));
}

#[test]
fn gw_2_routes_of_other_kinds_drop_deliver_or_are_not_known() {
    let mut at = entered();
    at.net.routes(at.gateway_subnet, "t", vec![route("r", "10.0.2.0/24", NextHop::None)]);
    let user_route = the_route();
    let end = RouteEnd::None { interface: None, user_route };
    assert_eq!(at.to("10.0.2.4").verdict, Verdict::Deny(Reason::Route(end)));
    at.net.network.route_tables[0].routes[0].next_hop = NextHop::VnetLocal;
    assert_eq!(at.to("10.0.2.4").verdict, Verdict::Allow(Reason::NoSecurityGroup));
    at.net.network.route_tables[0].routes[0].next_hop = NextHop::VirtualAppliance(Some(ip("10.0.9.99")));
    assert_eq!(at.to("10.0.2.4").verdict, Verdict::Deny(Reason::Route(end)));
    for next_hop in [NextHop::Internet, NextHop::VirtualNetworkGateway] {
        at.net.network.route_tables[0].routes[0].next_hop = next_hop;
        let (feature, resource) = (Feature::UnknownRoute, Some(id("routeTables", "t")));
        assert_eq!(*hangs_on(&at.to("10.0.2.4")), Unknown::FeatureAllows { feature, resource });
    }
}

#[test]
fn gw_2_the_longest_prefix_decides_there_too() {
    let mut at = entered();
    // The network's own range is longer than the user's.
    at.net.routes(at.gateway_subnet, "t", vec![route("r", "10.0.0.0/8", NextHop::None)]);
    assert_eq!(kind(&at.to("10.0.2.4")), VerdictKind::Allow);
    at.net.network.route_tables[0].routes.push(route("s", "10.0.2.4/32", NextHop::None));
    assert_eq!(kind(&at.to("10.0.2.4")), VerdictKind::Deny);
}

#[test]
fn route_19_from_a_gateway_a_loop_ends_at_the_last_machine() {
    let mut at = entered();
    let back = to_appliance("back", "10.0.2.0/24", "10.0.9.4");
    at.net.routes(at.gateway_subnet, "t", vec![back]);
    at.net.network.subnets[at.gateway_subnet.get() + 1].route_table =
        Some(Reference::Here(RouteTableIndex::new(0)));
    let interface = Some(Interface::Nic(at.n1));
    assert_eq!(at.to("10.0.2.4").verdict, Verdict::Deny(Reason::Route(RouteEnd::Loop { interface })));
}

#[test]
fn gw_2_a_table_that_is_missing_may_hold_anything() {
    let mut at = entered();
    let gone = id("routeTables", "gone");
    at.net.network.subnets[at.gateway_subnet.get()].route_table = Some(Reference::Missing(gone.clone()));
    let missing = gone.as_str().to_owned();
    let subnet = at.net.network.subnets[at.gateway_subnet.get()].id.clone();
    let expected = Unknown::ConnectedSpaceHolds { subnet, missing, address: ip("10.0.2.4") };
    assert_eq!(*hangs_on(&at.to("10.0.2.4")), expected);
}

#[test]
fn pe_6_and_7_a_private_endpoint_s_route_goes_first_unless_it_is_overridden() {
    let mut at = entered();
    at.net.network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: Some(Reference::Here(at.net.a)),
        addresses: vec![ip("10.0.1.20")],
        connections: vec![PrivateLinkConnection {
            service: Some(id("storageAccounts", "account")),
            group_ids: Vec::new(),
            status: Some("Approved".to_owned()),
        }],
        asgs: Vec::new(),
    });
    at.net.routes(at.gateway_subnet, "t", vec![route("r", "10.0.1.0/24", NextHop::None)]);
    assert_eq!(kind(&at.to("10.0.1.20")), VerdictKind::Allow);
    at.net.network.subnets[at.net.a.get()].private_endpoint_policies =
        PrivateEndpointPolicies::RouteTableEnabled;
    assert_eq!(kind(&at.to("10.0.1.20")), VerdictKind::Deny);
}

#[test]
fn se_1_what_comes_from_on_premises_takes_no_service_endpoint() {
    let mut at = entered();
    at.net.routes(at.gateway_subnet, "t", vec![route("r", "198.51.100.0/24", NextHop::None)]);
    at.net.network.subnets[at.gateway_subnet.get()]
        .service_endpoints
        .push(ServiceEndpoint { service: "Microsoft.Storage".to_owned(), locations: vec!["*".to_owned()] });
    let tags = catalog(&[("Storage", &["198.51.100.0/26"])]);
    let packet = tcp("192.168.0.4:1000", "198.51.100.1:80");
    let mut oracle = Oracle::new(at.net.network.clone(), tags);
    let answer = oracle.path(Origin::OnPremises(at.gateway), &packet, 0, None);
    let end = RouteEnd::None { interface: None, user_route: the_route() };
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(end)));
}
