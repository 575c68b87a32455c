//! Which column of a table says what.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

use thiserror::Error;

/// Declares what tables can say, each with its word and the names that columns are known to have for it, the better ones
/// first.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal [$($known:literal),* $(,)?])+) => {
        /// What a column can say.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub(super) enum Field { $($(#[doc = $doc])+ $name),+ }

        impl Field {
            /// All fields.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word that stands for it in [`Columns`] and in messages.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// Names that columns are known to have for it.
            fn known(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($known),*]),+ }
            }
        }
    };
}

// SOURCE: Microsoft Learn, "Traffic analytics schema and data aggregation" (NTANetAnalytics, AzureNetworkAnalytics_CL);
// AWS, "Flow log records"; Zeek, "conn.log"; nfdump's CSV; Argus. Read 2026-11. Names are compared by their letters and
// digits alone, without regard to case: see `plain`.
fields! {
    /// When the flow began or was recorded.
    Time "time" [
        "FlowStartTime", "FlowStartTime_t", "ts", "time", "timestamp", "start", "start_time", "flow_start", "first_seen",
        "first", "stime", "event_time", "datetime", "FlowIntervalStartTime", "FlowIntervalStartTime_t", "TimeGenerated",
    ]
    /// Sender of the flow's first packet.
    Source "src" [
        "SrcIp", "SrcIP_s", "src", "source", "source_ip", "srcaddr", "source_address", "source_addr", "ip_src", "sip",
        "id.orig_h", "orig_h", "saddr", "sa",
    ]
    /// Public addresses that Traffic Analytics puts in place of a sender, with what each of them sent.
    SourcePublic "src_public" ["SrcPublicIps", "SrcPublicIPs_s"]
    /// Sender's port.
    SourcePort "src_port" [
        "SrcPort", "SrcPort_d", "source_port", "sport", "id.orig_p", "orig_p", "sp",
    ]
    /// Receiver of the flow's first packet.
    Destination "dst" [
        "DestIp", "DestIP_s", "dst", "dest", "destination", "dst_ip", "destination_ip", "dstaddr", "dest_addr",
        "destination_address", "destination_addr", "ip_dst", "dip", "id.resp_h", "resp_h", "daddr", "da",
    ]
    /// Public addresses that Traffic Analytics puts in place of a receiver.
    DestinationPublic "dst_public" ["DestPublicIps", "DestPublicIPs_s"]
    /// Receiver's port.
    DestinationPort "dst_port" [
        "DestPort", "DestPort_d", "dst_port", "destination_port", "dport", "id.resp_p", "resp_p", "dp",
    ]
    /// IP protocol.
    Protocol "protocol" [
        "L4Protocol", "L4Protocol_s", "ip_proto", "protocol", "proto", "ip_protocol", "transport", "pr",
    ]
    /// Which way the flow began, seen from the interface.
    Direction "direction" ["FlowDirection", "FlowDirection_s", "direction", "dir"]
    /// The interface's MAC address.
    Mac "mac" ["MacAddress", "MACAddress_s", "mac"]
    /// What the recorder decided.
    Verdict "verdict" ["FlowStatus", "FlowStatus_s", "verdict", "action", "decision", "disposition"]
    /// The rule that decided.
    Rule "rule" ["AclRule", "NSGRule", "NSGRule_s", "rule", "rule_name"]
    /// What sort of rule that is.
    RuleType "rule_type" ["AclRuleType", "NSGRuleType", "NSGRuleType_s", "rule_type", "kind"]
    /// Whose rule it is.
    Acl "acl" ["AclGroup", "NSGList", "NSGList_s", "nsg", "nsg_name", "acl", "acl_id"]
    /// How far the flow had come, as flow logs say it.
    State "state" ["flow_state"]
    /// Packets from source to destination.
    Packets "packets" [
        "PacketsSrcToDest", "OutboundPackets_d", "orig_pkts", "packets_sent", "sent_packets", "src_packets", "src_pkts",
        "spkts", "ipkt", "packets", "pkts",
    ]
    /// Bytes from source to destination.
    Bytes "bytes" [
        "BytesSrcToDest", "OutboundBytes_d", "orig_ip_bytes", "orig_bytes", "bytes_sent", "sent_bytes", "src_bytes",
        "sbytes", "ibyt", "bytes", "octets",
    ]
    /// Packets that came back.
    ReturnedPackets "returned_packets" [
        "PacketsDestToSrc", "InboundPackets_d", "resp_pkts", "returned_packets", "packets_received", "received_packets",
        "dst_packets", "dst_pkts", "dpkts", "opkt",
    ]
    /// Bytes that came back.
    ReturnedBytes "returned_bytes" [
        "BytesDestToSrc", "InboundBytes_d", "resp_ip_bytes", "resp_bytes", "returned_bytes", "bytes_received",
        "received_bytes", "dst_bytes", "dbytes", "obyt",
    ]
    /// What sort of record a row of Traffic Analytics is.
    SubType "sub_type" ["SubType", "SubType_s"]
    /// Whether AWS recorded anything.
    LogStatus "log_status" ["log-status"]
}

impl Field {
    /// The fields without which there is no flow. Of the first two, each has another that can stand in for it.
    const NEEDED: [(Self, Option<Self>); 3] = [
        (Self::Source, Some(Self::SourcePublic)),
        (Self::Destination, Some(Self::DestinationPublic)),
        (Self::Protocol, None),
    ];

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.word() == word)
    }
}

/// Which columns the user names, over those that are known by their names: `src=SrcIP,dst=DestIP,dst_port=Port`.
///
/// A name cannot hold a comma. Where a table has no column of a name that stands here it is refused; a JSON object may
/// lack any but the source, the destination and the protocol.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Columns {
    chosen: Vec<(Field, String)>,
}

/// Why a text does not say which column says what.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0}")]
pub struct ColumnsError(String);

impl Columns {
    /// The fields that a text of columns can name, in their order.
    #[must_use]
    pub fn fields() -> Vec<&'static str> {
        Field::ALL.iter().map(|field| field.word()).collect()
    }

    /// The column that the user names for a field.
    fn chosen(&self, field: Field) -> Option<&str> {
        self.chosen.iter().find(|(other, _)| *other == field).map(|(_, name)| name.as_str())
    }

    /// What a column says, and how good its name is for that, 0 being best; nothing if nothing is known of it.
    pub(super) fn field_of(&self, column: &str) -> Vec<(Field, usize)> {
        let mut fields: Vec<(Field, usize)> = self
            .chosen
            .iter()
            .filter(|(_, name)| name.eq_ignore_ascii_case(column))
            .map(|(field, name)| (*field, usize::from(name != column)))
            .collect();
        if let Some(&(field, rank)) = KNOWN.get(&plain(column))
            && self.chosen(field).is_none()
        {
            fields.push((field, rank));
        }
        fields
    }

    /// For each field that a table has, the position of its column; the names are those of all its columns in order.
    ///
    /// # Errors
    ///
    /// Says which column the table lacks, or has twice.
    pub(super) fn positions(&self, names: &[String]) -> Result<Vec<(Field, usize)>, String> {
        let mut best: Vec<Option<(usize, usize)>> = vec![None; Field::ALL.len()];
        for (position, name) in names.iter().enumerate() {
            for (field, rank) in self.field_of(name) {
                let best = &mut best[field as usize];
                match *best {
                    Some((other, _)) if other < rank => {}
                    Some((other, first)) if other == rank => {
                        let (word, first) = (field.word(), &names[first]);
                        return Err(format!(
                            "columns `{first}` and `{name}` both say `{word}`: --columns {word}=NAME says which, by a name \
                             that only one of them has"
                        ));
                    }
                    _ => *best = Some((rank, position)),
                }
            }
        }
        for (field, chosen) in &self.chosen {
            if best[*field as usize].is_none() {
                let word = field.word();
                return Err(format!(
                    "no column `{chosen}`, which is to say `{word}`: found {}",
                    listed(names)
                ));
            }
        }
        let found = |field: Field| best[field as usize].is_some();
        self.check_needed(found, names)?;
        let positions =
            Field::ALL.iter().filter_map(|field| best[*field as usize].map(|(_, at)| (*field, at)));
        Ok(positions.collect())
    }

    /// Checks that a table has what every flow has.
    ///
    /// # Errors
    ///
    /// Says what it lacks.
    pub(super) fn check_needed(&self, found: impl Fn(Field) -> bool, names: &[String]) -> Result<(), String> {
        let missing: Vec<Field> = Field::NEEDED
            .into_iter()
            .filter(|(field, other)| !found(*field) && !other.is_some_and(&found))
            .map(|(field, _)| field)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let words = missing.iter().map(|field| format!("`{}`", field.word())).collect::<Vec<_>>().join(", ");
        let examples = missing
            .iter()
            .map(|field| {
                let known = self.chosen(*field).map_or(&field.known()[..4], |_| &[]);
                let mut names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                names.extend(self.chosen(*field).map(|name| format!("`{name}`")));
                names.join(", ")
            })
            .collect::<Vec<_>>()
            .join("; ");
        let way = missing.iter().map(|field| format!("{}=NAME", field.word())).collect::<Vec<_>>().join(",");
        Err(format!(
            "no column for {words}: expected names such as {examples}; found {}; --columns {way} says which",
            listed(names)
        ))
    }
}

impl FromStr for Columns {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut columns = Self::default();
        for part in text.split(',') {
            let Some((word, name)) = part.split_once('=') else {
                return Err(ColumnsError(format!("`{part}`: expected FIELD=COLUMN, as in `src=SrcIP`")));
            };
            let (word, name) = (word.trim(), name.trim());
            let Some(field) = Field::of_word(word) else {
                let known = Self::fields().join(", ");
                return Err(ColumnsError(format!("no field `{word}`: expected one of {known}")));
            };
            if name.is_empty() {
                return Err(ColumnsError(format!("`{part}`: expected a column's name behind the `=`")));
            }
            if columns.chosen(field).is_some() {
                return Err(ColumnsError(format!("`{word}` is named twice")));
            }
            columns.chosen.push((field, name.to_owned()));
        }
        Ok(columns)
    }
}

/// What the known names say, and how good each is for that.
static KNOWN: LazyLock<HashMap<String, (Field, usize)>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    for field in Field::ALL {
        for (rank, name) in field.known().iter().enumerate() {
            known.entry(plain(name)).or_insert((*field, rank));
        }
    }
    known
});

/// A name by its letters and digits: `src_ip`, `Src IP` and `SrcIp` are one. The portal writes the time zone behind the
/// names of its columns, and only of UTC is it known what a time means.
fn plain(name: &str) -> String {
    let name = name.strip_suffix("[UTC]").unwrap_or(name);
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The names of a table's columns, as far as they fit into a message.
fn listed(names: &[String]) -> String {
    const MOST: usize = 30;
    let shown = names.iter().take(MOST).map(|name| format!("`{}`", crate::ingest::capture::shorten(name)));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text.push_str("none");
    }
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Field, plain};

    #[test]
    fn no_name_says_two_things() {
        let mut seen = HashMap::new();
        for field in Field::ALL {
            for name in field.known() {
                let before = seen.insert(plain(name), *field);
                assert!(before.is_none_or(|before| before == *field), "{name}: {before:?} and {field:?}");
            }
        }
    }

    #[test]
    fn fields_that_are_needed_have_examples() {
        assert!(Field::NEEDED.iter().all(|(field, _)| field.known().len() >= 4));
    }
}
