//! The effective routes of one interface, and what nobody knows about them.

use std::fmt::Write as _;

use serde::Serialize;

use super::effective::counted_prefixes;
use super::inputs::Inputs;
use super::sheet::{Sheet, Table};
use super::style::Style;
use crate::analyze::routes::{ListedRoute, OpenPart, OpenRoutes, RouteList, RouteState};
use crate::model::reason_code::ReasonCode;
use crate::model::verdict::{NextHopKind, RouteSource};

/// The routes of an interface.
pub struct EffectiveRoutes<'a> {
    /// The interface's name.
    pub nic: &'a str,
    /// Its routes.
    pub list: &'a RouteList,
    /// Show each prefix of a tag's in tables, too.
    pub expand: bool,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct RoutesJson<'a> {
    schema: &'static str,
    nic: &'a str,
    routes: Vec<RouteJson<'a>>,
    unknown_routes: Vec<UnknownJson<'a>>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct RouteJson<'a> {
    prefix: String,
    source: RouteSource,
    state: RouteState,
    /// Nothing for a type that no clause names.
    next_hop: Option<NextHopKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
}

#[derive(Serialize)]
struct UnknownJson<'a> {
    about: OpenPart,
    code: ReasonCode,
    name: &'a str,
}

#[derive(Serialize)]
struct RowCsv<'a> {
    nic: &'a str,
    prefix: String,
    source: Option<RouteSource>,
    state: Option<RouteState>,
    next_hop: Option<NextHopKind>,
    next_hop_address: Option<String>,
    name: Option<&'a str>,
    tag: Option<&'a str>,
    unknown: String,
}

/// What hangs on something missing, in a few words.
pub(super) fn part(part: OpenPart) -> &'static str {
    match part {
        OpenPart::All => "routes",
        OpenPart::UserRoutes => "user-defined routes",
        OpenPart::NextHop => "a route's next hop",
        OpenPart::GatewayRoutes => "gateway routes",
        OpenPart::PeeringRoutes => "peering routes",
        OpenPart::ServiceEndpointRoutes => "service endpoint routes",
        OpenPart::PrivateEndpointRoutes => "private endpoint routes",
    }
}

/// Where a route comes from.
pub(super) fn source(source: RouteSource) -> &'static str {
    match source {
        RouteSource::User => "user",
        RouteSource::Gateway => "gateway",
        RouteSource::System => "system",
    }
}

fn row(route: &ListedRoute) -> RouteJson<'_> {
    RouteJson {
        prefix: route.prefix.to_string(),
        source: route.source,
        state: route.state,
        next_hop: route.next_hop,
        next_hop_address: route.next_hop_address.map(|address| address.to_string()),
        name: route.name.as_deref(),
        tag: route.tag.as_ref().map(|tag| tag.as_str()),
    }
}

impl EffectiveRoutes<'_> {
    /// The routes as `nsgsim/effective/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        fn unknown(open: &OpenRoutes) -> UnknownJson<'_> {
            UnknownJson { about: open.about, code: open.code, name: &open.name }
        }
        let json = RoutesJson {
            schema: "nsgsim/effective/1",
            nic: self.nic,
            routes: self.list.routes.iter().map(row).collect(),
            unknown_routes: self.list.open.iter().map(unknown).collect(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The routes as CSV, one a line, and a line for whatever is unknown.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: RowCsv<'_>| writer.serialize(row).expect("writing to memory works");
        for route in &self.list.routes {
            let RouteJson { prefix, source, state, next_hop, next_hop_address, name, tag } = row(route);
            write(RowCsv {
                nic: self.nic,
                prefix,
                source: Some(source),
                state: Some(state),
                next_hop,
                next_hop_address,
                name,
                tag,
                unknown: String::new(),
            });
        }
        for open in &self.list.open {
            write(RowCsv {
                nic: self.nic,
                prefix: String::new(),
                source: None,
                state: None,
                next_hop: None,
                next_hop_address: None,
                name: None,
                tag: None,
                unknown: format!("{} {} {}", part(open.about), open.code, open.name),
            });
        }
        let bytes = writer.into_inner().expect("writing to memory works");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }

    /// The routes for people. The prefixes of a tag's routes are counted unless they are asked for.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        sheet.section(&format!("routes of {}", self.nic));
        let mut table = Table::new(&["prefix", "source", "state", "next hop", "address", "name"], &[]);
        let mut shown: Vec<Many<'_>> = Vec::new();
        for route in &self.list.routes {
            let many = self.many(route);
            let prefix = match &many {
                None => route.prefix.to_string(),
                Some(many) if shown.contains(many) => continue,
                Some(many) => {
                    let alike = self.list.routes.iter().filter(|other| self.many(other) == Some(*many));
                    let count = counted_prefixes(alike.count());
                    shown.push(*many);
                    match &route.tag {
                        Some(tag) => format!("{tag} ({count})"),
                        None => format!("service endpoints ({count})"),
                    }
                }
            };
            let state = match route.state {
                RouteState::Active => "active",
                RouteState::Invalid => "invalid",
            };
            table.add_row([
                prefix,
                source(route.source).to_owned(),
                state.to_owned(),
                route.next_hop.map_or_else(|| "unknown".to_owned(), next_hop),
                route.next_hop_address.map(|address| address.to_string()).unwrap_or_default(),
                route.name.clone().unwrap_or_default(),
            ]);
        }
        if !self.list.routes.is_empty() {
            sheet.table(&table);
        }
        for open in &self.list.open {
            writeln!(sheet, "  unknown: {}, {} {}", part(open.about), open.code, open.name)
                .expect("writing to a string works");
        }
        writeln!(sheet, "\n  {}", style.faint(&self.inputs.tags_shown())).expect("writing to a string works");
        sheet.finish()
    }

    /// What a route shares with the others of its tag, where they are shown as one.
    fn many<'r>(&self, route: &'r ListedRoute) -> Option<Many<'r>> {
        let service = route.next_hop == Some(NextHopKind::VirtualNetworkServiceEndpoint);
        (!self.expand && (route.tag.is_some() || service)).then_some((
            route.name.as_deref(),
            route.tag.as_ref().map(|tag| tag.as_str()),
            route.state,
        ))
    }
}

/// Name, tag and state.
type Many<'r> = (Option<&'r str>, Option<&'r str>, RouteState);

/// A next hop as Azure spells it.
pub(super) fn next_hop(kind: NextHopKind) -> String {
    match kind {
        NextHopKind::VnetPeering => "VNetPeering".to_owned(),
        other => format!("{other:?}"),
    }
}
