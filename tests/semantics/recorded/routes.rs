//! Next hops (NW-4), effective routes (NW-5) and connectivity checks (NW-8).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::analyze::routes::{self, ListedRoute, RouteState};
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::{FiveTuple, Origin, Packet, Port};
use nsgsim::model::rule::Protocol;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{NextHopKind, RouteSource, VerdictKind};
use serde_json::Value;

use super::{judge_all, nic_of, question};
use crate::engine::{ENGINES, Judging};

/// A next hop as it is compared: what old answers call `VnetLocal`, later ones call `VirtualNetwork`.
fn hop(kind: Option<NextHopKind>) -> &'static str {
    match kind {
        Some(NextHopKind::VnetLocal) => "VirtualNetwork",
        Some(NextHopKind::Internet) => "Internet",
        Some(NextHopKind::None) => "None",
        other => panic!("{other:?} is in no recording"),
    }
}

fn read_hop(text: &Value) -> &str {
    match text.as_str().expect("a next hop") {
        "VnetLocal" => "VirtualNetwork",
        other => other,
    }
}

#[test]
fn next_hops_are_those_that_the_service_named() {
    let tags = TagCatalog::default();
    judge_all("nextHop", |_, network, query| {
        let question = question(query).ok_or("no question")?;
        let nic = nic_of(network, &question["targetResourceId"]).ok_or("no interface")?;
        let destination: IpAddr =
            question["destinationIPAddress"].as_str().and_then(|text| text.parse().ok()).ok_or("nowhere")?;
        let expected = (read_hop(&query["answer"]["nextHopType"]), &query["answer"]["routeTableId"]);
        if *expected.1 != "System Route" || !query["answer"]["nextHopIpAddress"].is_null() {
            return Err(format!("{expected:?}: no recording has a route of a user's"));
        }
        for (name, make) in ENGINES {
            let found = make(network.clone(), &tags, Judging::default()).next_hop(nic, destination);
            let Ok(Some(step)) = &found else { return Err(format!("{name}: {found:?}")) };
            if hop(Some(step.next_hop)) != expected.0 || step.source != RouteSource::System {
                return Err(format!("{name}: expected {expected:?}, found {step:?}"));
            }
        }
        Ok(format!("{destination} by {}", expected.0))
    });
}

#[test]
fn effective_routes_are_those_that_the_service_listed() {
    judge_all("effectiveRouteTable", |_, network, query| {
        let target = query["target"].as_str().ok_or("no target")?;
        let id = target.strip_suffix("/effectiveRouteTable").unwrap_or(target);
        let nic = network.find_nic(id).first().copied().ok_or("no interface")?;
        let tags = Arc::new(TagCatalog::default());
        let compiled = CompiledNetwork::new(Arc::new(network.clone()), tags, CompileOptions::default());
        let list = routes::of_nic(&compiled, nic);
        if !list.open.is_empty() {
            return Err(format!("{:?}", list.open));
        }
        let own: BTreeSet<String> = list.routes.iter().map(told).collect();
        let theirs: BTreeSet<String> =
            query["answer"]["value"].as_array().ok_or("no routes")?.iter().flat_map(read).collect();
        let lacks = |who: &str, these: &BTreeSet<String>, those: &BTreeSet<String>| -> Vec<String> {
            these.difference(those).map(|route| format!("{who} lacks {route}")).collect()
        };
        let mut differences = lacks("the service", &own, &theirs);
        differences.extend(lacks("the list", &theirs, &own));
        if differences.is_empty() { Ok(format!("{} routes", own.len())) } else { Err(differences.join("; ")) }
    });
}

fn told(route: &ListedRoute) -> String {
    let source = match route.source {
        RouteSource::System => "Default",
        other => panic!("{other:?} is in no recording"),
    };
    let state = match route.state {
        RouteState::Active => "Active",
        RouteState::Invalid => "Invalid",
    };
    assert_eq!(route.next_hop_address, None, "a system route leads to no address");
    format!("{source} {} {} {state}", route.prefix, hop(route.next_hop))
}

fn read(route: &Value) -> Vec<String> {
    let text = |member: &str| route[member].as_str().expect("a text");
    assert_eq!(route["nextHopIpAddress"].as_array().map(Vec::len), Some(0), "no recording has an appliance");
    let prefixes = route["addressPrefix"].as_array().expect("prefixes");
    let line = |prefix: &Value| {
        let prefix = prefix.as_str().expect("a prefix");
        format!("{} {prefix} {} {}", text("source"), read_hop(&route["nextHopType"]), text("state"))
    };
    prefixes.iter().map(line).collect()
}

/// The service resolves a name and probes from inside the machine; what can be said here is whether the packets to the
/// address that it found reach it, and by which hop they leave.
#[test]
fn connectivity_checks_end_as_the_service_saw() {
    let tags = TagCatalog::default();
    judge_all("connectivityCheck", |_, network, query| {
        let question = question(query).ok_or("no question")?;
        let nic = nic_of(network, &question["source"]["resourceId"]).ok_or("no interface")?;
        let own = network.nics[nic.get()].ip_configurations.iter().find_map(|own| own.address);
        let own = own.ok_or("no address")?;
        let hops = query["answer"]["hops"].as_array().ok_or("no hops")?;
        let [first, last] = &hops[..] else { return Err("other than two hops".to_owned()) };
        if first["address"] != own.to_string() {
            return Err(format!("{} starts the check", first["address"]));
        }
        let far: IpAddr = last["address"].as_str().and_then(|text| text.parse().ok()).ok_or("nowhere")?;
        let port = question["destination"]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let tuple = FiveTuple {
            source: own,
            destination: far,
            protocol: Protocol::TCP,
            source_port: Port::Number(50000),
            destination_port: Port::Number(port.ok_or("no port")?),
        };
        let expected = match query["answer"]["connectionStatus"].as_str() {
            Some("Reachable") => VerdictKind::Allow,
            Some("Unreachable") => VerdictKind::Deny,
            other => return Err(format!("{other:?} is no verdict")),
        };
        for hop in hops {
            if hop["issues"].as_array().is_some_and(|issues| !issues.is_empty()) {
                return Err(format!("issues {}", hop["issues"]));
            }
        }
        for (name, make) in ENGINES {
            let mut engine = make(network.clone(), &tags, Judging::default());
            let answer = engine.path(Origin::Nic(nic), &Packet::new(tuple), 0, None);
            let by: Vec<&str> = answer.routes.iter().map(|route| hop(Some(route.next_hop))).collect();
            // What a machine sends to itself takes no route (EVAL-9).
            let same_way = far == own || by == [last["type"].as_str().unwrap_or_default()];
            if answer.verdict.kind() != expected || !same_way {
                return Err(format!("{name}: expected {expected}, found {:?} by {by:?}", answer.verdict));
            }
        }
        Ok(format!("{far} is reached"))
    });
}
