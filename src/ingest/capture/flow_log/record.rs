//! One record of a log: who decided, by which rules, and the tuples under each.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use super::Skipped;
use super::tuple::{self, Tuple, Version};
use crate::ingest::capture::shorten;
use crate::model::flow_log::{LoggedFlow, logged_part, logged_tuple};
use crate::model::id::ResourceId;
use crate::model::record::Location;
use crate::model::recorded::{RecordedFlow, RecordedRule, RecordedVerdict, SeenAt};

/// What every record says, whichever log it is of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow)]
    category: Cow<'a, str>,
}

/// A record of an NSG flow log (LOG-2).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NsgRecord<'a> {
    #[serde(borrow)]
    resource_id: Cow<'a, str>,
    /// Only newer ones have it; a group without an address of its own is this NIC's.
    #[serde(borrow)]
    mac_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    properties: NsgProperties<'a>,
}

#[derive(Deserialize)]
struct NsgProperties<'a> {
    #[serde(rename = "Version")]
    version: u64,
    #[serde(borrow)]
    flows: Vec<NsgRule<'a>>,
}

#[derive(Deserialize)]
struct NsgRule<'a> {
    #[serde(borrow)]
    rule: Cow<'a, str>,
    #[serde(borrow)]
    flows: Vec<NsgNic<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NsgNic<'a> {
    #[serde(borrow)]
    mac: Option<Cow<'a, str>>,
    #[serde(borrow)]
    flow_tuples: Vec<&'a RawValue>,
}

/// A record of a VNet flow log (LOG-6).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VnetRecord<'a> {
    flow_log_version: u64,
    #[serde(borrow)]
    mac_address: Cow<'a, str>,
    #[serde(borrow)]
    flow_records: VnetFlows<'a>,
}

#[derive(Deserialize)]
struct VnetFlows<'a> {
    #[serde(borrow)]
    flows: Vec<VnetAcl<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VnetAcl<'a> {
    #[serde(rename = "aclID", borrow)]
    acl_id: Cow<'a, str>,
    #[serde(borrow)]
    flow_groups: Vec<VnetRule<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VnetRule<'a> {
    #[serde(borrow)]
    rule: Cow<'a, str>,
    #[serde(borrow)]
    flow_tuples: Vec<&'a RawValue>,
}

/// A tuple with what it shares with its neighbours.
pub(super) struct Item<'g> {
    location: Location,
    /// Which tuple of its record it is, from 1.
    number: u64,
    tuple: Tuple,
    mac: [u8; 6],
    rule: &'g Arc<RecordedRule>,
    acl: &'g Arc<str>,
}

impl From<Item<'_>> for LoggedFlow {
    fn from(Item { location, number, tuple, mac, rule, acl }: Item<'_>) -> Self {
        Self {
            location,
            tuple: number,
            time_ms: tuple.time_ms,
            mac,
            acl: Arc::clone(acl),
            rule: Arc::clone(&rule.name),
            rule_kind: rule.kind,
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
            direction: tuple.direction,
            decision: tuple.decision,
            state: tuple.state,
            encryption: tuple.encryption,
            sent: tuple.sent,
            returned: tuple.returned,
        }
    }
}

impl From<Item<'_>> for RecordedFlow {
    fn from(Item { location, tuple, mac, rule, .. }: Item<'_>) -> Self {
        let ports = (tuple.source_port, tuple.destination_port);
        Self {
            location,
            time_ns: Some(tuple.time_ms * 1_000_000),
            five_tuple: logged_tuple(tuple.source, tuple.destination, tuple.protocol, ports),
            seen_at: Some(SeenAt { mac, direction: tuple.direction }),
            verdict: Some(RecordedVerdict { access: tuple.decision, rule: Some(Arc::clone(rule)) }),
            part: logged_part(tuple.decision, tuple.state),
            sent: tuple.sent,
            returned: tuple.returned,
        }
    }
}

/// Reads the record with this number and text, and hands on what it holds.
pub(super) fn read(
    name: &str,
    file: u32,
    number: u64,
    text: &str,
    each: &mut dyn FnMut(Result<Item<'_>, Skipped>),
) {
    let place = format!("{name}#/records/{}", number - 1);
    let mut record = Reading { location: Location { file, number }, place, tuples: 0, each };
    let read = shape::<Head<'_>>(text).and_then(|head| match &*head.category {
        "NetworkSecurityGroupFlowEvent" => record.nsg(text),
        "FlowLogFlowEvent" => record.vnet(text),
        other => Err(Wrong::at(
            "/category",
            format!("`{}`: expected `NetworkSecurityGroupFlowEvent` or `FlowLogFlowEvent`", shorten(other)),
        )),
    });
    if let Err(wrong) = read {
        record.skip(&wrong.pointer, wrong.message, None);
    }
}

/// What is wrong with a record as a whole.
struct Wrong {
    /// JSON pointer inside the record.
    pointer: String,
    message: String,
}

impl Wrong {
    fn at(pointer: &str, message: String) -> Self {
        Self { pointer: pointer.to_owned(), message }
    }
}

/// Reads a text as `T`; fails with the place of what does not fit.
fn shape<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Wrong> {
    serde_json::from_str(text).or_else(|_| {
        // Asked again only where something is wrong: nobody else needs to know the path.
        let mut json = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let pointer = error.path().iter().map(|segment| match segment {
                Segment::Seq { index } => format!("/{index}"),
                Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                Segment::Enum { .. } | Segment::Unknown => String::new(),
            });
            let message = error.inner().to_string();
            // Line and column are those inside the record, which no one can find; the pointer is enough.
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            Wrong { pointer: pointer.collect(), message }
        })
    })
}

/// The record that is being read.
struct Reading<'e> {
    location: Location,
    /// File and JSON pointer of the record.
    place: String,
    /// Tuples met so far, those skipped included.
    tuples: u64,
    each: &'e mut dyn FnMut(Result<Item<'_>, Skipped>),
}

/// Tuples that share everything but what they say themselves.
struct Group<'a> {
    version: Version,
    mac: Option<&'a str>,
    acl: &'a Arc<str>,
    rule: &'a str,
    tuples: &'a [&'a RawValue],
}

impl Reading<'_> {
    fn nsg(&mut self, text: &str) -> Result<(), Wrong> {
        let record: NsgRecord<'_> = shape(text)?;
        let version = match record.properties.version {
            1 => Version::One,
            2 => Version::Two,
            other => return Err(Wrong::at("/properties/Version", format!("`{other}`: expected 1 or 2"))),
        };
        let id = ResourceId::new(&record.resource_id);
        let nsg = id.as_ref().and_then(|id| id.segment("networkSecurityGroups"));
        let Some(nsg) = nsg else {
            let message = format!("`{}`: expected the ID of an NSG", shorten(&record.resource_id));
            return Err(Wrong::at("/resourceId", message));
        };
        let acl = Arc::from(nsg.to_ascii_lowercase());
        for (rule_at, rule) in record.properties.flows.iter().enumerate() {
            for (nic_at, nic) in rule.flows.iter().enumerate() {
                let pointer = format!("/properties/flows/{rule_at}/flows/{nic_at}");
                let mac = nic.mac.as_deref().or(record.mac_address.as_deref());
                let tuples = &nic.flow_tuples;
                self.group(&pointer, &Group { version, mac, acl: &acl, rule: &rule.rule, tuples });
            }
        }
        Ok(())
    }

    fn vnet(&mut self, text: &str) -> Result<(), Wrong> {
        let record: VnetRecord<'_> = shape(text)?;
        if record.flow_log_version != 4 {
            let message = format!("`{}`: expected 4", record.flow_log_version);
            return Err(Wrong::at("/flowLogVersion", message));
        }
        for (acl_at, acl) in record.flow_records.flows.iter().enumerate() {
            let acl_id = Arc::from(&*acl.acl_id);
            for (rule_at, rule) in acl.flow_groups.iter().enumerate() {
                let pointer = format!("/flowRecords/flows/{acl_at}/flowGroups/{rule_at}");
                let group = Group {
                    version: Version::Four,
                    mac: Some(&record.mac_address),
                    acl: &acl_id,
                    rule: &rule.rule,
                    tuples: &rule.flow_tuples,
                };
                self.group(&pointer, &group);
            }
        }
        Ok(())
    }

    fn group(&mut self, pointer: &str, group: &Group<'_>) {
        let count = group.tuples.len() as u64;
        let Some(mac) = group.mac.and_then(mac) else {
            let found = group.mac.map_or("no MAC address".to_owned(), |mac| format!("`{}`", shorten(mac)));
            let message = format!("{found}: expected the MAC address of an NIC, 12 hexadecimal digits");
            self.tuples += count;
            return self.skip(pointer, message, Some(count));
        };
        let Some((rule, rule_kind)) = tuple::rule(group.rule) else {
            let message = format!("rule `{}`: expected a name", shorten(group.rule));
            self.tuples += count;
            return self.skip(pointer, message, Some(count));
        };
        let acl = Some(Arc::clone(group.acl));
        let rule = Arc::new(RecordedRule { acl, name: Arc::from(rule), kind: rule_kind });
        let location = self.location;
        for (at, raw) in group.tuples.iter().enumerate() {
            self.tuples += 1;
            let read = match plain_text(raw.get()) {
                Some(text) => tuple::read(text, group.version),
                None => serde_json::from_str::<Text<'_>>(raw.get())
                    .map_err(|_| format!("`{}`: expected a text", shorten(raw.get())))
                    .and_then(|text| tuple::read(&text.0, group.version)),
            };
            match read {
                Ok(tuple) => {
                    let (number, rule, acl) = (self.tuples, &rule, group.acl);
                    (self.each)(Ok(Item { location, number, tuple, mac, rule, acl }));
                }
                Err(message) => self.skip(&format!("{pointer}/flowTuples/{at}"), message, Some(1)),
            }
        }
    }

    fn skip(&mut self, pointer: &str, message: String, tuples: Option<u64>) {
        let place = format!("{}{pointer}", self.place);
        (self.each)(Err(Skipped { record: self.location.number, place, message, tuples }));
    }
}

/// What a JSON text without escapes says.
///
/// PERF: every tuple is one; that it is well-formed is known since its record was read.
fn plain_text(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.as_bytes().contains(&b'\\'))
}

/// A text, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Six bytes from 12 digits, as logs write them.
fn mac(text: &str) -> Option<[u8; 6]> {
    let digits = text.as_bytes();
    if digits.len() != 12 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(text, 16).ok().map(|number| {
        let [_, _, mac @ ..] = number.to_be_bytes();
        mac
    })
}
