//! Which route an interface's packets to an address take (NW-4).

use std::net::IpAddr;

use serde::Serialize;

use super::explain::{RouteJson, UndeterminedJson, route_json, route_line, undetermined_json};
use super::inputs::Inputs;
use super::names::Names;
use super::sheet::Sheet;
use super::style::Style;
use crate::model::unknown::Unknown;
use crate::model::verdict::RouteStep;

/// The answer to a question for the next hop.
pub struct NextHopReport<'a> {
    /// Names things.
    pub names: Names<'a>,
    /// Where the packets go.
    pub destination: IpAddr,
    /// The route; nothing where none holds the address; or what it hangs on.
    pub route: &'a Result<Option<RouteStep>, Unknown>,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct NextHopJson {
    schema: &'static str,
    destination: IpAddr,
    route: Option<RouteJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undetermined: Option<UndeterminedJson>,
    inputs: Inputs,
}

impl NextHopReport<'_> {
    /// The answer as `nsgsim/next-hop/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(self) -> String {
        let route = self.route.as_ref().ok().and_then(Option::as_ref);
        let json = NextHopJson {
            schema: "nsgsim/next-hop/1",
            destination: self.destination,
            route: route.map(|route| route_json(self.names, route)),
            undetermined: self.route.as_ref().err().map(|unknown| undetermined_json(self.names, unknown)),
            inputs: self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The answer for people, in one line.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        sheet.line(&match self.route {
            Ok(Some(route)) => format!("{}: {}", self.destination, route_line(self.names, route)),
            Ok(None) => format!("{}: no route holds the address", self.destination),
            Err(unknown) => {
                let (code, text) = (unknown.code(), self.names.unknown(unknown));
                format!("{}: undetermined, {code}: {text}", self.destination)
            }
        });
        sheet.finish()
    }
}
