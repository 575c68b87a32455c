//! Flows as a flow log: that of a VNet, version 4, or those of NSGs, version 2.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IntoInnerError, Write};

use jiff::Timestamp;
use serde::Serialize;

use crate::model::flow_log::{FlowState, LoggedFlow, RuleKind, Volume};
use crate::model::rule::{Access, Direction, Protocol};

/// A record of a log covers this long.
const MINUTE_MS: u64 = 60_000;

/// Which log is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogVersion {
    /// An NSG flow log, version 2. It has flows of TCP and UDP alone (LOG-3), and knows NSGs by name.
    Nsg,
    /// A VNet flow log, version 4.
    Vnet,
}

/// Writes flows as one log, a record for each minute and interface.
pub struct LogWriter<W: Write> {
    out: BufWriter<W>,
    version: LogVersion,
    /// Tuples of the minutes that flows may still fall into.
    minutes: BTreeMap<u64, Minute>,
    records: u64,
    tuples: u64,
}

/// The tuples of a minute: by interface and, in NSG logs, by NSG; then by list and rule.
type Minute = BTreeMap<([u8; 6], String), BTreeMap<(String, String), Vec<String>>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VnetRecord<'a> {
    time: String,
    #[serde(rename = "flowLogGUID")]
    flow_log_guid: &'static str,
    mac_address: String,
    category: &'static str,
    #[serde(rename = "flowLogResourceID")]
    flow_log_resource_id: &'static str,
    #[serde(rename = "targetResourceID")]
    target_resource_id: &'static str,
    flow_log_version: u8,
    operation_name: &'static str,
    flow_records: VnetFlows<'a>,
}

#[derive(Serialize)]
struct VnetFlows<'a> {
    flows: Vec<VnetAcl<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VnetAcl<'a> {
    #[serde(rename = "aclID")]
    acl_id: &'a str,
    flow_groups: Vec<VnetRule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VnetRule<'a> {
    rule: &'a str,
    flow_tuples: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NsgRecord<'a> {
    time: String,
    system_id: &'static str,
    mac_address: String,
    category: &'static str,
    resource_id: String,
    operation_name: &'static str,
    properties: NsgProperties<'a>,
}

#[derive(Serialize)]
struct NsgProperties<'a> {
    #[serde(rename = "Version")]
    version: u8,
    flows: Vec<NsgRule<'a>>,
}

#[derive(Serialize)]
struct NsgRule<'a> {
    rule: &'a str,
    flows: [NsgNic<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NsgNic<'a> {
    mac: String,
    flow_tuples: &'a [String],
}

/// In place of the IDs of logs and resources that only a real subscription has.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl<W: Write> LogWriter<W> {
    /// A log that holds nothing yet.
    ///
    /// # Errors
    ///
    /// Fails if `out` does.
    pub fn new(version: LogVersion, out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        out.write_all(b"{\"records\":[")?;
        Ok(Self { out, version, minutes: BTreeMap::new(), records: 0, tuples: 0 })
    }

    /// Takes a tuple in. Returns whether this log has such tuples.
    pub fn add(&mut self, flow: &LoggedFlow) -> bool {
        let (owner, list, tuple) = match self.version {
            LogVersion::Vnet => (String::new(), flow.acl.to_string(), tuple_v4(flow)),
            LogVersion::Nsg => {
                let letter = match flow.protocol {
                    Protocol::TCP => 'T',
                    Protocol::UDP => 'U',
                    _ => return false,
                };
                if !matches!(flow.rule_kind, RuleKind::User | RuleKind::Default) {
                    return false;
                }
                (flow.acl.to_string(), String::new(), tuple_v2(flow, letter))
            }
        };
        let minute = self.minutes.entry(flow.time_ms / MINUTE_MS).or_default();
        let record = minute.entry((flow.mac, owner)).or_default();
        record.entry((list, rule_name(flow))).or_default().push(tuple);
        self.tuples += 1;
        true
    }

    /// Writes out the minutes before a time: no flow that comes later falls into them.
    ///
    /// # Errors
    ///
    /// Fails if the output does.
    pub fn write_before(&mut self, time_ms: u64) -> io::Result<()> {
        let later = self.minutes.split_off(&(time_ms / MINUTE_MS));
        for (minute, records) in std::mem::replace(&mut self.minutes, later) {
            for ((mac, owner), groups) in records {
                self.record(minute, mac, &owner, &groups)?;
            }
        }
        Ok(())
    }

    /// Writes out everything. Returns the output behind it, and the number of tuples.
    ///
    /// # Errors
    ///
    /// Fails if the output does.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.write_before(u64::MAX)?;
        self.out.write_all(b"]}\n")?;
        let out = self.out.into_inner().map_err(IntoInnerError::into_error)?;
        Ok((out, self.tuples))
    }

    fn record(
        &mut self,
        minute: u64,
        mac: [u8; 6],
        owner: &str,
        groups: &BTreeMap<(String, String), Vec<String>>,
    ) -> io::Result<()> {
        if self.records > 0 {
            self.out.write_all(b",")?;
        }
        self.records += 1;
        let time = rfc3339((minute + 1) * MINUTE_MS)?;
        let mac_address: String = mac.iter().map(|byte| format!("{byte:02X}")).collect();
        match self.version {
            LogVersion::Vnet => {
                let groups: Vec<_> = groups.iter().collect();
                let flows = groups
                    .chunk_by(|((one, _), _), ((other, _), _)| one == other)
                    .map(|same| VnetAcl {
                        acl_id: &same[0].0.0,
                        flow_groups: same
                            .iter()
                            .map(|((_, rule), tuples)| VnetRule { rule, flow_tuples: tuples })
                            .collect(),
                    })
                    .collect();
                let record = VnetRecord {
                    time,
                    flow_log_guid: NOBODY,
                    mac_address,
                    category: "FlowLogFlowEvent",
                    flow_log_resource_id: NOBODY,
                    target_resource_id: NOBODY,
                    flow_log_version: 4,
                    operation_name: "FlowLogFlowEvent",
                    flow_records: VnetFlows { flows },
                };
                serde_json::to_writer(&mut self.out, &record)?;
            }
            LogVersion::Nsg => {
                let flows = groups
                    .iter()
                    .map(|((_, rule), tuples)| NsgRule {
                        rule,
                        flows: [NsgNic { mac: mac_address.clone(), flow_tuples: tuples }],
                    })
                    .collect();
                let record = NsgRecord {
                    time,
                    system_id: NOBODY,
                    mac_address,
                    category: "NetworkSecurityGroupFlowEvent",
                    resource_id: owner.to_uppercase(),
                    operation_name: "NetworkSecurityGroupFlowEvents",
                    properties: NsgProperties { version: 2, flows },
                };
                serde_json::to_writer(&mut self.out, &record)?;
            }
        }
        Ok(())
    }
}

/// The rule as logs spell it (NW-3).
fn rule_name(flow: &LoggedFlow) -> String {
    let prefix = match flow.rule_kind {
        RuleKind::User => "UserRule_",
        RuleKind::Default => "DefaultRule_",
        RuleKind::Admin | RuleKind::Platform | RuleKind::Unspecified => "",
    };
    format!("{prefix}{}", flow.rule)
}

/// A tuple of version 4 (LOG-7).
fn tuple_v4(flow: &LoggedFlow) -> String {
    let encryption = flow.encryption.map_or("NX", |encryption| encryption.as_str());
    let state = match flow.decision {
        Access::Deny => FlowState::Denied,
        Access::Allow => flow.state.unwrap_or(FlowState::Begin),
    };
    format!(
        "{},{},{},{},{},{},{},{state},{encryption},{},{}",
        flow.time_ms,
        flow.source,
        flow.destination,
        flow.source_port,
        flow.destination_port,
        flow.protocol.0,
        letter(flow.direction),
        volume(flow.sent, "0"),
        volume(flow.returned, "0"),
    )
}

/// A tuple of version 2 (LOG-4).
fn tuple_v2(flow: &LoggedFlow, protocol: char) -> String {
    let decision = match flow.decision {
        Access::Allow => 'A',
        Access::Deny => 'D',
    };
    format!(
        "{},{},{},{},{},{protocol},{},{decision},{},{},{}",
        flow.time_ms / 1000,
        flow.source,
        flow.destination,
        flow.source_port,
        flow.destination_port,
        letter(flow.direction),
        flow.state.unwrap_or(FlowState::Begin),
        volume(flow.sent, ""),
        volume(flow.returned, ""),
    )
}

fn letter(direction: Direction) -> char {
    match direction {
        Direction::Inbound => 'I',
        Direction::Outbound => 'O',
    }
}

fn volume(volume: Volume, nothing: &str) -> String {
    let count = |count: Option<u64>| count.map_or(nothing.to_owned(), |count| count.to_string());
    format!("{},{}", count(volume.packets), count(volume.bytes))
}

fn rfc3339(time_ms: u64) -> io::Result<String> {
    let time_ms = i64::try_from(time_ms).map_err(io::Error::other)?;
    let time = Timestamp::from_millisecond(time_ms).map_err(io::Error::other)?;
    // Azure writes seven digits.
    Ok(time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string())
}
