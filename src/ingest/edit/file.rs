//! The shape of a file of edits.

use std::net::IpAddr;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Edits;
use crate::ingest::error::IngestError;
use crate::ingest::yaml::{Words, at};

/// One edit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::ingest) enum Edit {
    AddRule(Box<AddRule>),
    ChangeRule(Box<ChangeRule>),
    RemoveRule(RemoveRule),
    AttachNsg(Attachment),
    DetachNsg(Attachment),
    AddRoute(AddRoute),
    RemoveRoute(RemoveRoute),
}

/// A rule that is not there yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct AddRule {
    /// Name or ID.
    pub nsg: Spanned<String>,
    pub name: Spanned<String>,
    pub direction: Spanned<DirectionWord>,
    pub priority: Spanned<u32>,
    pub access: Spanned<AccessWord>,
    pub protocol: Spanned<String>,
    pub source: Spanned<Words>,
    /// Absent: every port.
    pub source_ports: Option<Spanned<Words>>,
    pub destination: Spanned<Words>,
    pub destination_ports: Spanned<Words>,
    pub description: Option<Spanned<String>>,
}

/// A rule that is there; what is given replaces what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct ChangeRule {
    /// Name or ID.
    pub nsg: Spanned<String>,
    pub name: Spanned<String>,
    pub direction: Option<Spanned<DirectionWord>>,
    pub priority: Option<Spanned<u32>>,
    pub access: Option<Spanned<AccessWord>>,
    pub protocol: Option<Spanned<String>>,
    pub source: Option<Spanned<Words>>,
    pub source_ports: Option<Spanned<Words>>,
    pub destination: Option<Spanned<Words>>,
    pub destination_ports: Option<Spanned<Words>>,
    pub description: Option<Spanned<String>>,
}

/// A rule that goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct RemoveRule {
    /// Name or ID.
    pub nsg: Spanned<String>,
    pub name: Spanned<String>,
}

/// A subnet or an interface, and to be attached to it, an NSG; each by name or ID.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct Attachment {
    pub nsg: Option<Spanned<String>>,
    /// Or else `nic`.
    pub subnet: Option<Spanned<String>>,
    /// Or else `subnet`.
    pub nic: Option<Spanned<String>>,
}

/// A route that is not there yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct AddRoute {
    /// Name or ID.
    pub route_table: Spanned<String>,
    pub name: Spanned<String>,
    /// A CIDR block or a service tag.
    pub prefix: Spanned<String>,
    pub next_hop: Spanned<NextHopWord>,
    /// Of the appliance, where the next hop is one.
    pub address: Option<Spanned<String>>,
}

/// A route that goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ingest) struct RemoveRoute {
    /// Name or ID.
    pub route_table: Spanned<String>,
    pub name: Spanned<String>,
}

/// Declares words that are read in the spelling of this project and in Azure's, each with Azure's text.
macro_rules! words {
    ($name:ident, $($word:ident $own:literal $azure:literal),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
        pub(in crate::ingest) enum $name {
            $(#[serde(rename = $own, alias = $azure)] $word),+
        }

        impl $name {
            /// As exports spell it.
            pub(in crate::ingest) fn azure(self) -> &'static str {
                match self { $(Self::$word => $azure),+ }
            }
        }
    };
}

words!(DirectionWord, Inbound "inbound" "Inbound", Outbound "outbound" "Outbound");
words!(AccessWord, Allow "allow" "Allow", Deny "deny" "Deny");
words!(
    NextHopWord,
    VirtualAppliance "virtual_appliance" "VirtualAppliance",
    VirtualNetworkGateway "virtual_network_gateway" "VirtualNetworkGateway",
    VnetLocal "vnet_local" "VnetLocal",
    Internet "internet" "Internet",
    None "none" "None",
);

/// What the shape alone does not say of an edit.
pub(super) fn check(edits: &Edits) -> Result<(), IngestError> {
    for edit in &edits.list {
        let error = |message: &str| Err(edits.error(at(edit), message));
        match &edit.value {
            Edit::AddRule(rule) => {
                let given = [Some(&rule.source), rule.source_ports.as_ref(), Some(&rule.destination)];
                check_words(edits, given.into_iter().flatten().chain([&rule.destination_ports]))?;
                check_texts(edits, [&rule.nsg, &rule.name, &rule.protocol])?;
            }
            Edit::ChangeRule(rule) => {
                let words = [&rule.source, &rule.source_ports, &rule.destination, &rule.destination_ports];
                let texts = [&rule.protocol, &rule.description];
                check_words(edits, words.into_iter().flatten())?;
                check_texts(edits, [&rule.nsg, &rule.name].into_iter().chain(&rule.protocol))?;
                let others = [rule.direction.is_some(), rule.priority.is_some(), rule.access.is_some()]
                    .contains(&true);
                if words.iter().all(|field| field.is_none())
                    && texts.iter().all(|field| field.is_none())
                    && !others
                {
                    return error(
                        "nothing is changed: expected at least one field of the rule beside its name",
                    );
                }
            }
            Edit::AttachNsg(attachment) => {
                if attachment.nsg.is_none() {
                    return error("`nsg` is missing: expected the one that is attached");
                }
                check_holder(edits, edit, attachment)?;
            }
            Edit::DetachNsg(attachment) => {
                if let Some(nsg) = &attachment.nsg {
                    let message = "`nsg` has no place here: whichever is attached is detached";
                    return Err(edits.error(at(nsg), message));
                }
                check_holder(edits, edit, attachment)?;
            }
            Edit::AddRoute(route) => {
                check_texts(edits, [&route.route_table, &route.name, &route.prefix])?;
                check_next_hop(edits, edit, route)?;
            }
            Edit::RemoveRule(_) | Edit::RemoveRoute(_) => {}
        }
    }
    Ok(())
}

fn check_holder(edits: &Edits, edit: &Spanned<Edit>, attachment: &Attachment) -> Result<(), IngestError> {
    match (&attachment.subnet, &attachment.nic) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) | (Some(_), Some(_)) => Err(edits.error(at(edit), "expected either `subnet` or `nic`")),
    }
}

/// An appliance has an address, nothing else has (ROUTE-10).
fn check_next_hop(edits: &Edits, edit: &Spanned<Edit>, route: &AddRoute) -> Result<(), IngestError> {
    match (&route.address, route.next_hop.value) {
        (Some(address), NextHopWord::VirtualAppliance) => match address.value.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("`{}`: expected an IP address", address.value);
                Err(edits.error(at(address), &message))
            }
        },
        (None, NextHopWord::VirtualAppliance) => {
            Err(edits.error(at(edit), "`address` is missing: expected that of the virtual appliance"))
        }
        (Some(address), other) => {
            let message = format!("`address` beside next hop `{}`: expected none", other.azure());
            Err(edits.error(at(address), &message))
        }
        (None, _) => Ok(()),
    }
}

/// Nothing given is not everything: an export without a source is taken as `*`, an edit must say so.
fn check_words<'e>(
    edits: &Edits,
    fields: impl IntoIterator<Item = &'e Spanned<Words>>,
) -> Result<(), IngestError> {
    let empty = |place| Err(edits.error(place, "nothing stands here: expected a text"));
    for field in fields {
        match &field.value {
            Words::One(word) if word.is_empty() => return empty(at(field)),
            Words::List(words) if words.is_empty() => {
                return Err(edits.error(at(field), "the list is empty: expected at least one text"));
            }
            Words::List(words) => {
                if let Some(word) = words.iter().find(|word| word.value.0.is_empty()) {
                    return empty(at(word));
                }
            }
            Words::One(_) => {}
        }
    }
    Ok(())
}

fn check_texts<'e>(
    edits: &Edits,
    texts: impl IntoIterator<Item = &'e Spanned<String>>,
) -> Result<(), IngestError> {
    match texts.into_iter().find(|text| text.value.is_empty()) {
        Some(text) => Err(edits.error(at(text), "nothing stands here: expected a text")),
        None => Ok(()),
    }
}
