//! The oracle, held against clauses by hand. Expectations are read off the clauses that the tests' names tell.

mod appliances;
mod balancers;
mod gateways;
mod outbound;
mod plain;
mod private_link;
mod replies;
mod return_way;
mod services;
mod timers;

use nsgsim::model::flow::{FiveTuple, Fragment, Icmp, Origin, Packet, Port};
use nsgsim::model::index::{Reference, VnetIndex};
use nsgsim::model::network::{PeeringState, PublicIpSku};
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::{AddressTerm, Direction, PortTerm, Protocol};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{Note, Reason, RouteEnd, Snat, Verdict, VerdictKind};

use self::plain::{S, hangs_on, kind, plain, steps};
use crate::build::{Build, catalog, icmp, id, ip, packet, route, rule, tcp, tcp_flags};
use crate::oracle::Oracle;

#[test]
fn eval_2_and_3_outbound_asks_the_nic_first_inbound_the_subnet() {
    let mut net = plain();
    net.subnet_nsg(net.a, "nsg-a", &[]);
    net.subnet_nsg(net.b, "nsg-b", &[]);
    net.nic_nsg(net.a1, "nsg-x", &[]);
    net.nic_nsg(net.b1, "nsg-y", &[]);
    let mut oracle = net.oracle();
    let answer = oracle.path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    assert_eq!(
        steps(&oracle, &answer),
        [
            "a1 outbound nsg-x/AllowVnetOutBound allow",
            "a1 outbound nsg-a/AllowVnetOutBound allow",
            "b1 inbound nsg-b/AllowVnetInBound allow",
            "b1 inbound nsg-y/AllowVnetInBound allow",
        ]
    );
    assert_eq!(kind(&answer), VerdictKind::Allow);
}

#[test]
fn eval_5_without_any_nsg_nothing_is_asked() {
    let net = plain();
    let answer = net.oracle().path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    assert_eq!(answer.verdict, Verdict::Allow(Reason::NoSecurityGroup));
    assert!(answer.steps.is_empty());
}

#[test]
fn eval_6_and_7_inside_a_subnet_its_nsg_is_asked_twice_and_a_denial_ends() {
    let mut net = plain();
    net.subnet_nsg(net.a, "nsg-a", &["in 100 deny * * * -> * *"]);
    net.nic_nsg(net.a2, "nsg-x", &[]);
    let mut oracle = net.oracle();
    let answer = oracle.path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.1.5:80"), 0, None);
    let expected = ["a1 outbound nsg-a/AllowVnetOutBound allow", "a2 inbound nsg-a/in-100 deny"];
    assert_eq!(steps(&oracle, &answer), expected);
}

#[test]
fn nsg_10_a_narrow_port_field_never_matches_a_packet_without_ports() {
    let mut net = plain();
    net.nic_nsg(
        net.b1,
        "nsg-x",
        &["in 100 deny * * * -> * 0-65534", "in 101 deny * * * -> * 0-1000,1001-65535"],
    );
    let oracle = net.oracle();
    let ping = icmp("10.0.1.4", "10.0.2.4", Icmp::Echo { identifier: 1, request: true });
    let answer = oracle.ip_flow(net.b1, Direction::Inbound, &ping);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/in-101 deny"]);
}

#[test]
fn nsg_5_icmpv6_matches_wildcards_only() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 deny icmp * * -> * *"]);
    let mut ping = icmp("2001:db8::1", "fd00::4", Icmp::Other);
    ping.five_tuple.protocol = Protocol::ICMPV6;
    let oracle = net.oracle();
    let answer = oracle.ip_flow(net.b1, Direction::Inbound, &ping);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/DenyAllInBound deny"]);
}

#[test]
fn tag_8_virtual_network_holds_the_host_address_and_direct_peers() {
    let mut net = plain();
    let (near, far) = (net.network.vnet("w", &["10.1.0.0/16"]), net.network.vnet("x", &["10.2.0.0/16"]));
    net.network.peer(VnetIndex::new(0), near);
    net.network.peer(near, far);
    net.nic_nsg(net.b1, "nsg-x", &[]);
    let oracle = net.oracle();
    let decides = |from: &str| {
        let answer = oracle.ip_flow(net.b1, Direction::Inbound, &tcp(&format!("{from}:1000"), "10.0.2.4:80"));
        steps(&oracle, &answer)
    };
    for inside in ["10.0.9.9", "10.1.0.4", "168.63.129.16"] {
        assert_eq!(decides(inside), ["b1 inbound nsg-x/AllowVnetInBound allow"], "{inside}");
    }
    for outside in ["10.2.0.4", "8.8.8.8"] {
        assert_eq!(decides(outside), ["b1 inbound nsg-x/DenyAllInBound deny"], "{outside}");
    }
}

#[test]
fn tag_10_internet_is_neither_private_space_nor_the_rest_of_virtual_network() {
    let mut net = plain();
    net.network.vnets[0].address_space.push("203.0.113.0/24".parse().unwrap());
    net.nic_nsg(
        net.b1,
        "nsg-x",
        &["in 100 allow * Internet * -> * *", "in 200 deny * VirtualNetwork * -> * *"],
    );
    let oracle = net.oracle();
    let rule_for = |from: &str| {
        let answer = oracle.ip_flow(net.b1, Direction::Inbound, &tcp(&format!("{from}:1000"), "10.0.2.4:80"));
        steps(&oracle, &answer).remove(0)
    };
    for internet in ["8.8.8.8", "168.63.129.16", "11.0.0.0", "9.255.255.255", "223.255.255.255"] {
        assert_eq!(rule_for(internet), "b1 inbound nsg-x/in-100 allow", "{internet}");
    }
    for neither in ["172.31.0.1", "100.64.0.1", "192.0.2.1", "25.1.2.3", "224.0.0.1", "198.19.0.1"] {
        assert_eq!(rule_for(neither), "b1 inbound nsg-x/DenyAllInBound deny", "{neither}");
    }
    assert_eq!(rule_for("203.0.113.7"), "b1 inbound nsg-x/in-200 deny");
}

#[test]
fn tag_15_an_unknown_tag_counts_only_where_it_matters() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 allow tcp Nowhere * -> * 80", "in 200 deny * * * -> * *"]);
    let oracle = net.oracle();
    let open = oracle.ip_flow(net.b1, Direction::Inbound, &tcp("10.0.1.4:1000", "10.0.2.4:80"));
    assert!(matches!(hangs_on(&open), Unknown::TagHolds { address, .. } if *address == ip("10.0.1.4")));
    let closed = oracle.ip_flow(net.b1, Direction::Inbound, &tcp("10.0.1.4:1000", "10.0.2.4:81"));
    assert_eq!(steps(&oracle, &closed), ["b1 inbound nsg-x/in-200 deny"]);
    assert!(closed.notes.is_empty());
    // Both ways it is denied.
    net.network.nsgs[0].rules.iter_mut().find(|rule| rule.name == "in-100").unwrap().access =
        nsgsim::model::rule::Access::Deny;
    let oracle = net.oracle();
    let both = oracle.ip_flow(net.b1, Direction::Inbound, &tcp("10.0.1.4:1000", "10.0.2.4:80"));
    assert_eq!(steps(&oracle, &both), ["b1 inbound nsg-x/in-200 deny"]);
    assert!(matches!(both.notes[..], [Note::DidNotMatter(Unknown::TagHolds { .. })]));
}

#[test]
fn sim_4_a_missing_nsg_leaves_certain_denials_certain() {
    let mut net = plain();
    let missing = id("networkSecurityGroups", "gone");
    net.network.nics[net.a1.get()].nsg = Some(Reference::Missing(missing.clone()));
    let packet = tcp("10.0.1.4:1000", "10.0.2.4:80");
    let open = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(*hangs_on(&open), Unknown::NsgAllows { nsg: missing, direction: Direction::Outbound });
    net.subnet_nsg(net.b, "nsg-b", &["in 100 deny * * * -> * *"]);
    let mut oracle = net.oracle();
    let closed = oracle.path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(steps(&oracle, &closed), ["b1 inbound nsg-b/in-100 deny"]);
    assert!(matches!(closed.verdict, Verdict::Deny(Reason::SecurityRule(_))));
}

#[test]
fn nw_1_a_port_that_is_not_given_satisfies_full_ranges_only() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 allow tcp * * -> * 22", "in 200 deny tcp * 1000 -> * *"]);
    let oracle = net.oracle();
    let mut question = tcp("10.0.1.4:1", "10.0.2.4:22");
    question.five_tuple.source_port = Port::NotGiven;
    let answer = oracle.ip_flow(net.b1, Direction::Inbound, &question);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/in-100 allow"]);
    question.five_tuple.destination_port = Port::Number(23);
    let answer = oracle.ip_flow(net.b1, Direction::Inbound, &question);
    assert!(matches!(hangs_on(&answer), Unknown::PortMatches { source: true, .. }));
}

#[test]
fn sim_5_a_field_that_azure_does_not_take_is_a_question() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 deny tcp * * -> * 80"]);
    net.network.nsgs[0].rules[0].destination_ports = vec![PortTerm::Invalid("web".to_owned())];
    net.network.nsgs[0].rules[0].source = vec![AddressTerm::Prefix("10.0.1.0/24".parse().unwrap())];
    let oracle = net.oracle();
    let from = |address: &str| {
        oracle.ip_flow(net.b1, Direction::Inbound, &tcp(&format!("{address}:1"), "10.0.2.4:80"))
    };
    assert!(matches!(hangs_on(&from("10.0.1.4")), Unknown::FieldMatches { text, .. } if text == "web"));
    assert_eq!(kind(&from("10.0.3.4")), VerdictKind::Allow);
}

#[test]
fn more_unknowns_than_are_tried_are_said_to_be_too_many() {
    let mut net = plain();
    let rules: Vec<String> = (0..70).map(|n| format!("in {} allow tcp Tag{n} * -> * *", 100 + n)).collect();
    net.nic_nsg(net.b1, "nsg-x", &rules.iter().map(String::as_str).collect::<Vec<_>>());
    net.network.nsgs[0].rules.last_mut().unwrap().access = nsgsim::model::rule::Access::Deny;
    let answer = net.oracle().ip_flow(net.b1, Direction::Inbound, &tcp("8.8.8.8:1", "10.0.2.4:80"));
    assert_eq!(*hangs_on(&answer), Unknown::TooManyUnknowns);
}

#[test]
fn eval_11_a_standard_address_without_nsg_is_closed_a_basic_one_open() {
    for (sku, expected) in [
        (Some(PublicIpSku::Standard), VerdictKind::Deny),
        (Some(PublicIpSku::Basic), VerdictKind::Allow),
        (None, VerdictKind::Undetermined),
    ] {
        let mut net = plain();
        net.public(net.b1, "203.0.113.4", sku);
        for to in ["203.0.113.4:80", "10.0.2.4:80"] {
            let answer = net.oracle().path(Origin::Internet, &tcp("8.8.8.8:1000", to), 0, None);
            assert_eq!(kind(&answer), expected, "{sku:?} {to}");
        }
    }
}

#[test]
fn eval_11_a_reply_to_an_own_flow_passes_the_gate() {
    let mut net = plain();
    net.public(net.b1, "203.0.113.4", Some(PublicIpSku::Standard));
    let mut oracle = net.oracle();
    let out = oracle.path(Origin::Nic(net.b1), &tcp("10.0.2.4:1000", "8.8.8.8:80"), 0, None);
    assert_eq!(
        (out.translation.snat, out.translation.source),
        (Some(Snat::InstancePublicIp), Some(ip("203.0.113.4")))
    );
    let back = oracle.path(Origin::Internet, &tcp("8.8.8.8:80", "203.0.113.4:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 inbound record allow"]);
    assert_eq!(back.translation.destination, Some((ip("10.0.2.4"), Some(1000))));
}

#[test]
fn state_1_a_packet_denied_at_the_destination_leaves_a_record_at_the_source() {
    let mut net = plain();
    net.subnet_nsg(net.a, "nsg-a", &["in 100 deny * * * -> * *"]);
    net.subnet_nsg(net.b, "nsg-b", &["in 100 deny * * * -> * *"]);
    let mut oracle = net.oracle();
    let there = oracle.path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    assert_eq!(kind(&there), VerdictKind::Deny);
    let back = oracle.path(Origin::Nic(net.b1), &tcp("10.0.2.4:80", "10.0.1.4:1000"), S, None);
    let expected = ["b1 outbound nsg-b/AllowVnetOutBound allow", "a1 inbound record allow"];
    assert_eq!(steps(&oracle, &back), expected);
}

#[test]
fn state_6_exactly_the_timeout_is_alive_and_a_packet_renews_it() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 deny * 8.8.8.8 * -> * *"]);
    net.public(net.b1, "203.0.113.4", Some(PublicIpSku::Basic));
    let out = packet(Protocol::UDP, "10.0.2.4:1000", "8.8.8.8:53");
    let back = packet(Protocol::UDP, "8.8.8.8:53", "203.0.113.4:1000");
    let mut oracle = net.oracle();
    let at = |oracle: &mut Oracle, time_ns| kind(&oracle.path(Origin::Internet, &back, time_ns, None));
    assert_eq!(kind(&oracle.path(Origin::Nic(net.b1), &out, 0, None)), VerdictKind::Allow);
    assert_eq!(at(&mut oracle, 240 * S), VerdictKind::Allow);
    assert_eq!(at(&mut oracle, 480 * S), VerdictKind::Allow);
    assert_eq!(at(&mut oracle, 720 * S + 1), VerdictKind::Deny);
    net.network.vnets[0].flow_timeout_min = Some(30);
    let mut oracle = net.oracle();
    assert_eq!(kind(&oracle.path(Origin::Nic(net.b1), &out, 0, None)), VerdictKind::Allow);
    assert_eq!(at(&mut oracle, 1800 * S), VerdictKind::Allow);
}

/// Opens a connection from `a1` to `b1`, sends the packets that close it, and tells whether `b1` may still answer.
fn answers_after(closing: &[(&str, &str)]) -> VerdictKind {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["out 100 deny * * * -> * *"]);
    let mut oracle = net.oracle();
    let (here, there) = ("10.0.1.4:1000", "10.0.2.4:80");
    let mut send = |from: &str, flags: &str, second: u64| {
        let (nic, packet) = match from {
            "a1" => (net.a1, tcp_flags(here, there, flags)),
            _ => (net.b1, tcp_flags(there, here, flags)),
        };
        kind(&oracle.path(Origin::Nic(nic), &packet, second * S, None))
    };
    assert_eq!(send("a1", "S", 0), VerdictKind::Allow);
    for (second, (from, flags)) in (1..).zip(closing) {
        assert_eq!(send(from, flags, second), VerdictKind::Allow, "{from} {flags}");
    }
    send("b1", "A", 30)
}

#[test]
fn state_7_a_reset_or_both_fins_and_the_last_ack_end_the_record() {
    assert_eq!(answers_after(&[("b1", "SA"), ("a1", "A")]), VerdictKind::Allow);
    assert_eq!(answers_after(&[("b1", "SA"), ("a1", "RA")]), VerdictKind::Deny);
    assert_eq!(answers_after(&[("b1", "SA"), ("b1", "R")]), VerdictKind::Deny);
    assert_eq!(answers_after(&[("a1", "FA"), ("b1", "A")]), VerdictKind::Allow);
    assert_eq!(answers_after(&[("a1", "FA"), ("b1", "FA"), ("a1", "A")]), VerdictKind::Deny);
}

#[test]
fn state_7_a_syn_on_a_live_key_is_judged_anew() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &[]);
    let mut oracle = net.oracle();
    let syn = tcp_flags("10.0.1.4:1000", "10.0.2.4:80", "S");
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &syn, 0, None)), VerdictKind::Allow);
    let mut closed = net.network.clone();
    closed.nsgs[0].rules.insert(0, rule("in 100 deny * * * -> * *"));
    closed.nsgs[0].sort();
    oracle.change(closed);
    let ack = tcp_flags("10.0.1.4:1000", "10.0.2.4:80", "A");
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &ack, S, None)), VerdictKind::Allow);
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &syn, 2 * S, None)), VerdictKind::Deny);
}

#[test]
fn state_4_and_5_a_change_leaves_open_flows_unless_the_nsg_flushes() {
    for flush in [false, true] {
        let mut net = plain();
        net.nic_nsg(net.b1, "nsg-x", &[]);
        net.network.nsgs[0].flush_connection = flush;
        let mut oracle = net.oracle();
        let open = tcp("10.0.1.4:1000", "10.0.2.4:80");
        assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &open, 0, None)), VerdictKind::Allow);
        let mut closed = net.network.clone();
        closed.nsgs[0].rules.insert(0, rule("in 100 deny * * * -> * *"));
        closed.nsgs[0].sort();
        oracle.change(closed);
        let there = oracle.path(Origin::Nic(net.a1), &open, S, None);
        let back = oracle.path(Origin::Nic(net.b1), &tcp("10.0.2.4:80", "10.0.1.4:1000"), 2 * S, None);
        if flush {
            let expected = ["a1 outbound record allow", "b1 inbound nsg-x/in-100 deny"];
            assert_eq!(steps(&oracle, &there), expected);
            assert_eq!(kind(&back), VerdictKind::Deny);
        } else {
            assert_eq!((kind(&there), kind(&back)), (VerdictKind::Allow, VerdictKind::Allow));
        }
    }
}

#[test]
fn state_10_an_echo_is_known_by_its_identifier_and_an_error_by_what_it_quotes() {
    let mut net = plain();
    net.nic_nsg(net.a1, "nsg-x", &["in 100 deny * * * -> * *"]);
    let mut oracle = net.oracle();
    let echo = |identifier, request| Icmp::Echo { identifier, request };
    let ping = icmp("10.0.1.4", "10.0.2.4", echo(7, true));
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &ping, 0, None)), VerdictKind::Allow);
    let mut back =
        |message| kind(&oracle.path(Origin::Nic(net.b1), &icmp("10.0.2.4", "10.0.1.4", message), S, None));
    assert_eq!(back(echo(7, false)), VerdictKind::Allow);
    assert_eq!(back(echo(8, false)), VerdictKind::Deny);
    let identified = |identifier| {
        let port = Port::Number(identifier);
        let quoted = FiveTuple { source_port: port, destination_port: port, ..ping.five_tuple };
        Icmp::Error { quoted: Some(quoted) }
    };
    assert_eq!(back(identified(7)), VerdictKind::Allow);
    assert_eq!(back(identified(8)), VerdictKind::Deny);
    let sent = tcp("10.0.1.4:1000", "10.0.2.4:80");
    assert_eq!(back(Icmp::Error { quoted: Some(sent.five_tuple) }), VerdictKind::Deny);
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &sent, S, None)), VerdictKind::Allow);
    let error = icmp("10.0.2.4", "10.0.1.4", Icmp::Error { quoted: Some(sent.five_tuple) });
    assert_eq!(kind(&oracle.path(Origin::Nic(net.b1), &error, S, None)), VerdictKind::Allow);
}

#[test]
fn state_11_later_fragments_follow_their_first() {
    let mut net = plain();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 deny udp * * -> * 80"]);
    let mut oracle = net.oracle();
    let fragment = |port: u16, identification, first| {
        let mut packet = packet(Protocol::UDP, "10.0.1.4:1000", &format!("10.0.2.4:{port}"));
        if first {
            packet.fragment = Fragment::First { identification };
        } else {
            packet.fragment = Fragment::Later { identification };
            (packet.five_tuple.source_port, packet.five_tuple.destination_port) = (Port::None, Port::None);
        }
        packet
    };
    let mut send = |packet: Packet| kind(&oracle.path(Origin::Nic(net.a1), &packet, 0, None));
    assert_eq!(send(fragment(0, 1, false)), VerdictKind::Deny);
    assert_eq!(send(fragment(81, 1, true)), VerdictKind::Allow);
    assert_eq!(send(fragment(0, 1, false)), VerdictKind::Allow);
    assert_eq!(send(fragment(80, 2, true)), VerdictKind::Deny);
    assert_eq!(send(fragment(0, 2, false)), VerdictKind::Deny);
    let mut out = fragment(81, 3, true);
    out.five_tuple.destination = ip("8.8.8.8");
    let answer = oracle.path(Origin::Nic(net.a1), &out, 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::UnsupportedTraffic { .. })));
}

#[test]
fn route_3_and_4_reserved_space_goes_nowhere_until_a_default_route() {
    let mut net = plain();
    let to = |oracle: &Oracle, nic, address: &str| {
        oracle
            .next_hop(nic, ip(address))
            .unwrap()
            .map(|route| (route.prefix.to_string(), format!("{:?}", route.next_hop)))
    };
    let some = |prefix: &str, kind: &str| Some((prefix.to_owned(), kind.to_owned()));
    let oracle = net.oracle();
    assert_eq!(to(&oracle, net.a1, "10.0.9.9"), some("10.0.0.0/16", "VnetLocal"));
    assert_eq!(to(&oracle, net.a1, "10.1.0.5"), some("10.0.0.0/8", "None"));
    assert_eq!(to(&oracle, net.a1, "100.64.0.1"), some("100.64.0.0/10", "None"));
    assert_eq!(to(&oracle, net.a1, "8.8.8.8"), some("0.0.0.0/0", "Internet"));
    assert_eq!(to(&oracle, net.a1, "2001:db8::1"), None);
    let routes = vec![route("all", "0.0.0.0/0", NextHop::VirtualAppliance(Some(ip("10.0.2.4"))))];
    let table = net.network.route_table("t", routes);
    net.network.subnets[net.a.get()].route_table = Some(Reference::Here(table));
    net.network.vnets[0].address_space.push("172.16.0.0/12".parse().unwrap());
    let oracle = net.oracle();
    assert_eq!(to(&oracle, net.a1, "10.1.0.5"), some("0.0.0.0/0", "VirtualAppliance"));
    assert_eq!(to(&oracle, net.b1, "10.1.0.5"), some("10.0.0.0/8", "None"));
    assert_eq!(to(&oracle, net.b1, "172.16.5.5"), some("172.16.0.0/12", "VnetLocal"));
}

#[test]
fn route_11_and_peer_1_what_is_not_connected_is_dropped() {
    let mut net = plain();
    let far = net.network.vnet("w", &["10.1.0.0/16"]);
    let subnet = net.network.subnet(far, "c", "10.1.1.0/24");
    net.network.nic(subnet, "c1", &["10.1.1.4"]);
    net.network.peer(VnetIndex::new(0), far);
    let packet = tcp("10.0.1.4:1000", "10.1.1.4:80");
    assert_eq!(kind(&net.oracle().path(Origin::Nic(net.a1), &packet, 0, None)), VerdictKind::Allow);
    net.network.vnets[1].peerings[0].state = PeeringState::Disconnected;
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::None { user_route: None, .. }))));
}

#[test]
fn route_13_a_foreign_source_needs_ip_forwarding() {
    let mut net = plain();
    let packet = tcp("10.0.9.9:1000", "10.0.2.4:80");
    let direction = Direction::Outbound;
    let denied = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(denied.verdict, Verdict::Deny(Reason::IpForwarding { nic: net.a1, direction }));
    net.network.nics[net.a1.get()].ip_forwarding = true;
    assert_eq!(kind(&net.oracle().path(Origin::Nic(net.a1), &packet, 0, None)), VerdictKind::Allow);
}

#[test]
fn sim_7_nobody_has_the_address() {
    let net = plain();
    let packet = tcp("10.0.1.4:1000", "10.0.2.99:80");
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::NoEndpoint)));
    assert_eq!(answer.notes, [Note::NoEndpoint { address: ip("10.0.2.99") }]);
    let answer = net.oracle().partial().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::OwnerAllows { address: ip("10.0.2.99") });
    let answer = net.oracle().path(Origin::Internet, &tcp("8.8.8.8:1", "203.0.113.9:80"), 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::NoPublicIp)));
}

#[test]
fn top_5_an_address_of_two_networks_is_ambiguous_only_where_they_disagree() {
    let mut net = plain();
    let other = net.network.vnet("w", &["10.0.0.0/16"]);
    let subnet = net.network.subnet(other, "c", "10.0.2.0/24");
    let twin = net.network.nic(subnet, "c1", &["10.0.2.4"]);
    let packet = tcp("8.8.8.8:1000", "10.0.2.4:80");
    // TOP-1: nothing leads from the internet to either.
    let answer = net.oracle().path(Origin::Internet, &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::NoPublicIp)));
    net.public(net.b1, "203.0.113.1", Some(PublicIpSku::Basic));
    net.public(twin, "203.0.113.2", Some(PublicIpSku::Basic));
    assert_eq!(kind(&net.oracle().path(Origin::Internet, &packet, 0, None)), VerdictKind::Allow);
    net.nic_nsg(twin, "nsg-x", &[]);
    let answer = net.oracle().path(Origin::Internet, &packet, 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::AmbiguousPlace { address: ip("10.0.2.4") });
    // Inside a network it is not ambiguous.
    let inside = net.oracle().path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    assert_eq!(inside.verdict, Verdict::Allow(Reason::NoSecurityGroup));
}

#[test]
fn out_1_to_3_the_nat_gateway_goes_first_and_carries_tcp_and_udp() {
    let mut net = plain();
    net.public(net.a1, "203.0.113.4", Some(PublicIpSku::Standard));
    let public_ip = net.network.public_ip("pip-nat", "203.0.113.9", Some(PublicIpSku::Standard));
    let gateway = net.network.nat_gateway("nat", &[public_ip]);
    net.network.subnets[net.a.get()].nat_gateway = Some(Reference::Here(gateway));
    let answer = net.oracle().path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "8.8.8.8:80"), 0, None);
    assert_eq!(
        (answer.translation.snat, answer.translation.source),
        (Some(Snat::NatGateway), Some(ip("203.0.113.9")))
    );
    let ping = icmp("10.0.1.4", "8.8.8.8", Icmp::Echo { identifier: 1, request: true });
    let answer = net.oracle().path(Origin::Nic(net.a1), &ping, 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::OutboundConnectivity { .. })));
    let answer = net.oracle().path(Origin::Internet, &tcp("8.8.8.8:1000", "203.0.113.9:80"), 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::NatGateway(gateway)));
}

#[test]
fn out_2_default_outbound_access_ends_with_a_standard_address_on_the_machine() {
    let mut net = plain();
    let packet = tcp("10.0.1.4:1000", "8.8.8.8:80");
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(
        (answer.translation.snat, answer.translation.source),
        (Some(Snat::DefaultOutboundAccess), None)
    );
    let ping = icmp("10.0.1.4", "8.8.8.8", Icmp::Echo { identifier: 1, request: true });
    assert_eq!(kind(&net.oracle().path(Origin::Nic(net.a1), &ping, 0, None)), VerdictKind::Deny);
    for nic in [net.a1, net.b1] {
        net.network.nics[nic.get()].machine = Some(id("virtualMachines", "m"));
    }
    net.public(net.b1, "203.0.113.4", Some(PublicIpSku::Standard));
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::OutboundConnectivity { .. })));
}

#[test]
fn pip_1_between_public_addresses_the_receiver_sees_the_translated_source() {
    let mut net = plain();
    net.public(net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    net.public(net.b1, "203.0.113.5", Some(PublicIpSku::Basic));
    net.nic_nsg(net.b1, "nsg-x", &["in 100 allow tcp 203.0.113.4 * -> 10.0.2.4 80"]);
    let mut oracle = net.oracle();
    let answer = oracle.path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "203.0.113.5:80"), 0, None);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/in-100 allow"]);
    assert_eq!(answer.steps[0].seen.source, ip("203.0.113.4"));
    // a2 leaves by an address that Azure picks: the rule could tell.
    let answer = net.oracle().path(Origin::Nic(net.a2), &tcp("10.0.1.5:1000", "203.0.113.5:80"), 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::TranslatedSource { address: ip("10.0.1.5") });
    let answer = net.oracle().path(Origin::Nic(net.a2), &tcp("10.0.1.5:1000", "203.0.113.5:81"), 0, None);
    assert_eq!(kind(&answer), VerdictKind::Deny);
}

#[test]
fn asg_6_a_member_in_an_unconnected_network_is_none_here() {
    let mut net = plain();
    let other = net.network.vnet("w", &["10.0.0.0/16"]);
    let subnet = net.network.subnet(other, "c", "10.0.1.0/24");
    let twin = net.network.nic(subnet, "c1", &["10.0.1.4"]);
    let group = id("applicationSecurityGroups", "web");
    net.network.asgs.push(nsgsim::model::network::Asg { id: group });
    let web = nsgsim::model::index::AsgIndex::new(0);
    net.network.nics[twin.get()].ip_configurations[0].asgs.push(web);
    net.nic_nsg(net.b1, "nsg-x", &["in 100 deny * * * -> * *"]);
    net.network.nsgs[0].rules[0].source = vec![AddressTerm::Asg(Reference::Here(web))];
    let packet = tcp("10.0.1.4:1000", "10.0.2.4:80");
    assert_eq!(kind(&net.oracle().ip_flow(net.b1, Direction::Inbound, &packet)), VerdictKind::Allow);
    net.network.nics[net.a1.get()].ip_configurations[0].asgs.push(web);
    assert_eq!(kind(&net.oracle().ip_flow(net.b1, Direction::Inbound, &packet)), VerdictKind::Deny);
}

#[test]
fn a_sender_that_is_not_listed_is_filtered_by_its_subnet_and_by_an_unknown_nsg() {
    let mut net = plain();
    let packet = tcp("10.0.1.77:1000", "10.0.2.4:80");
    let answer = net.oracle().path(Origin::Unlisted(net.a), &packet, 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::UnlistedNicAllows { address: ip("10.0.1.77") });
    net.subnet_nsg(net.a, "nsg-a", &["out 100 deny * * * -> * *"]);
    assert_eq!(kind(&net.oracle().path(Origin::Unlisted(net.a), &packet, 0, None)), VerdictKind::Deny);
}

#[test]
fn a_flow_that_may_have_been_let_in_may_be_open() {
    let mut net = plain();
    net.nic_nsg(
        net.b1,
        "nsg-x",
        &["in 100 allow tcp Nowhere * -> * *", "in 200 deny * * * -> * *", "out 100 deny * * * -> * *"],
    );
    let mut oracle = net.oracle();
    let there = oracle.path(Origin::Nic(net.a1), &tcp("10.0.1.4:1000", "10.0.2.4:80"), 0, None);
    let because = hangs_on(&there).clone();
    let back = oracle.path(Origin::Nic(net.b1), &tcp("10.0.2.4:80", "10.0.1.4:1000"), S, None);
    assert_eq!(*hangs_on(&back), Unknown::FlowIsOpen { because: Box::new(because) });
    let other = oracle.path(Origin::Nic(net.b1), &tcp("10.0.2.4:80", "10.0.1.4:1001"), S, None);
    assert_eq!(kind(&other), VerdictKind::Deny);
}

#[test]
fn what_is_not_simulated_is_a_question_behind_the_source_s_filters() {
    let mut net = plain();
    let routes = vec![route("out", "203.0.113.0/24", NextHop::Other("HyperNetGateway".to_owned()))];
    let table = net.network.route_table("t", routes);
    net.network.subnets[net.a.get()].route_table = Some(Reference::Here(table));
    let packet = tcp("10.0.1.4:1000", "203.0.113.9:80");
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    let resource = Some(id("routeTables", "t"));
    assert_eq!(*hangs_on(&answer), Unknown::FeatureAllows { feature: Feature::UnknownRoute, resource });
    net.nic_nsg(net.a1, "nsg-x", &["out 100 deny * * * -> 203.0.113.9 *"]);
    assert_eq!(kind(&net.oracle().path(Origin::Nic(net.a1), &packet, 0, None)), VerdictKind::Deny);
}

#[test]
fn tag_3_a_tag_of_the_file_is_looked_up_ignoring_case() {
    let mut net = plain();
    net.nic_nsg(net.a1, "nsg-x", &["out 100 deny tcp * * -> storage 443"]);
    let oracle = Oracle::new(net.network.clone(), catalog(&[("Storage", &["203.0.113.0/26"])]));
    let to = |address: &str| {
        kind(&oracle.ip_flow(net.a1, Direction::Outbound, &tcp("10.0.1.4:1000", &format!("{address}:443"))))
    };
    assert_eq!((to("203.0.113.63"), to("203.0.113.64")), (VerdictKind::Deny, VerdictKind::Allow));
}
