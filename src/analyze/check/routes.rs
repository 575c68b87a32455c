//! Effective route tables (NW-5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Comparison, DifferenceKind, Field, Item, Uncompared, Why};
use crate::analyze::routes::{self, ListedRoute, OpenPart, RouteList, RouteState};
use crate::compile::network::CompiledNetwork;
use crate::model::answered::{AnsweredHop, AnsweredRoute};
use crate::model::index::NicIndex;
use crate::model::verdict::{NextHopKind, RouteSource};

/// What the network calls a service endpoint's routes, for which the tag that they come from is not kept.
const SERVICE_ENDPOINTS: &str = "service endpoints";

/// Compares the routes of an interface, prefix by prefix and source by source.
pub(super) fn compare(
    compiled: &CompiledNetwork,
    nic: NicIndex,
    answered: &[AnsweredRoute],
    comparison: &mut Comparison,
) {
    let list = routes::of_nic(compiled, nic);
    for open in &list.open {
        let why = Why::Open { code: open.code, name: open.name.clone() };
        comparison.leave_out(Uncompared::Routes(open.about), why);
    }
    if list.is_open(OpenPart::All) {
        return;
    }
    let mut by_tags: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut own: Vec<&ListedRoute> = list.routes.iter().collect();
    let mut left = Vec::new();
    for theirs in answered {
        let alike = |own: &&ListedRoute| own.prefix == theirs.prefix && own.source == theirs.source;
        let exact = own.iter().position(|own| alike(own) && same(own, theirs));
        match exact.or_else(|| own.iter().position(alike)) {
            Some(place) => route(comparison, &list, own.remove(place), theirs),
            None => left.push(theirs),
        }
    }
    for theirs in left {
        let item = Item::Route { prefix: theirs.prefix, source: theirs.source };
        match tag_of(&list, theirs) {
            Some(tag) => by_tags.entry(tag).or_default().1 += 1,
            None if hangs_on_what_is_open(&list, theirs) => {}
            None => comparison.differs(item, DifferenceKind::OnlyAnswered),
        }
    }
    for own in own {
        let item = Item::Route { prefix: own.prefix, source: own.source };
        let service = own.next_hop == Some(NextHopKind::VirtualNetworkServiceEndpoint);
        let tag = own.tag.as_ref().map(ToString::to_string);
        match tag.or_else(|| service.then(|| SERVICE_ENDPOINTS.to_owned())) {
            Some(tag) => by_tags.entry(tag).or_default().0 += 1,
            // A default route of the user's or a gateway's takes the reserved ranges away (ROUTE-4).
            None if own.next_hop == Some(NextHopKind::None)
                && own.source == RouteSource::System
                && stronger_may_be_missing(&list, own.source) => {}
            None => comparison.differs(item, DifferenceKind::OnlyComputed),
        }
    }
    for (tag, (only_computed, only_answered)) in by_tags {
        let loaded = compiled.tags.source.clone();
        comparison.leave_out(Uncompared::Name(tag), Why::TagFile { loaded, only_computed, only_answered });
    }
}

fn same(own: &ListedRoute, theirs: &AnsweredRoute) -> bool {
    let hop = matches!(&theirs.next_hop, AnsweredHop::Known(hop) if Some(*hop) == own.next_hop);
    let name = match (&own.name, &theirs.name) {
        (Some(own), Some(theirs)) => own.eq_ignore_ascii_case(theirs),
        _ => true,
    };
    hop && name && (own.state == RouteState::Active) == theirs.active
}

fn route(comparison: &mut Comparison, list: &RouteList, own: &ListedRoute, theirs: &AnsweredRoute) {
    let item = Item::Route { prefix: own.prefix, source: own.source };
    comparison.routes += 1;
    let active = own.state == RouteState::Active;
    // A stronger route that nobody knows of may make this one void.
    if active && !theirs.active && stronger_may_be_missing(list, own.source) {
        comparison.leave_out(Uncompared::RouteField(Field::State), Why::NotComputed);
    } else {
        let word = |active: &bool| if *active { "Active" } else { "Invalid" }.to_owned();
        comparison.field(&item, Field::State, (active, theirs.active), word);
    }
    // Of a type that no clause names, and of a missing address, `list.open` tells.
    let Some(hop) = own.next_hop else { return };
    let shown = |hop: &AnsweredHop| match hop {
        AnsweredHop::Known(kind) => format!("{kind:?}"),
        AnsweredHop::Other(text) => text.clone(),
    };
    comparison.field(&item, Field::NextHop, (&AnsweredHop::Known(hop), &theirs.next_hop), |hop| shown(hop));
    match (hop, own.next_hop_address) {
        (NextHopKind::VirtualAppliance, Some(address)) => {
            let addresses = |list: &Vec<std::net::IpAddr>| {
                list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            };
            let both = (vec![address], theirs.addresses.clone());
            comparison.field(&item, Field::NextHopAddress, both, addresses);
        }
        // Gateways have addresses of their own, which no export of the network holds.
        _ if !theirs.addresses.is_empty() => {
            comparison.leave_out(Uncompared::RouteField(Field::NextHopAddress), Why::NotComputed);
        }
        _ => {}
    }
    match (&own.name, &theirs.name) {
        (Some(own), Some(theirs)) => {
            let folded = (own.to_ascii_lowercase(), theirs.to_ascii_lowercase());
            if folded.0 != folded.1 {
                comparison.field(&item, Field::Name, (own, theirs), |name| (*name).clone());
            }
        }
        (Some(_), None) => comparison.leave_out(Uncompared::RouteField(Field::Name), Why::NotTold),
        (None, _) => {}
    }
}

/// Whether routes of a stronger source than this may be there that nobody knows of (ROUTE-6).
fn stronger_may_be_missing(list: &RouteList, source: RouteSource) -> bool {
    match source {
        RouteSource::User => false,
        RouteSource::Gateway => list.is_open(OpenPart::UserRoutes),
        RouteSource::System => list.is_open(OpenPart::UserRoutes) || list.is_open(OpenPart::GatewayRoutes),
    }
}

/// The tag that a route may come from which only the answer has: that of a user's route which leads to the same place.
fn tag_of(list: &RouteList, theirs: &AnsweredRoute) -> Option<String> {
    let leads = |kind| theirs.next_hop == AnsweredHop::Known(kind);
    let service = NextHopKind::VirtualNetworkServiceEndpoint;
    if leads(service) && list.routes.iter().any(|own| own.next_hop == Some(service)) {
        return Some(SERVICE_ENDPOINTS.to_owned());
    }
    let tags: BTreeSet<String> = list
        .routes
        .iter()
        .filter(|own| own.source == theirs.source && own.next_hop.is_some_and(leads))
        .filter(|own| own.next_hop_address.is_none_or(|address| theirs.addresses == [address]))
        .filter(|own| match (&own.name, &theirs.name) {
            (Some(own), Some(theirs)) => own.eq_ignore_ascii_case(theirs),
            _ => true,
        })
        .filter_map(|own| own.tag.as_ref().map(ToString::to_string))
        .collect();
    tags.into_iter().next()
}

/// Whether a route that only the answer has is of a kind of which something is open.
fn hangs_on_what_is_open(list: &RouteList, theirs: &AnsweredRoute) -> bool {
    let part = match (theirs.source, &theirs.next_hop) {
        (RouteSource::User, _) => OpenPart::UserRoutes,
        (RouteSource::Gateway, _) => OpenPart::GatewayRoutes,
        (RouteSource::System, AnsweredHop::Known(NextHopKind::VnetPeering)) => OpenPart::PeeringRoutes,
        (RouteSource::System, AnsweredHop::Known(NextHopKind::VirtualNetworkServiceEndpoint)) => {
            OpenPart::ServiceEndpointRoutes
        }
        (RouteSource::System, AnsweredHop::Known(NextHopKind::InterfaceEndpoint)) => {
            OpenPart::PrivateEndpointRoutes
        }
        (RouteSource::System, _) => return false,
    };
    list.is_open(part)
}
