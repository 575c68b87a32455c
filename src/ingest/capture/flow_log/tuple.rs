//! One tuple, and the rule that it stands under.

use std::net::IpAddr;
use std::str::FromStr;

use crate::ingest::capture::shorten;
use crate::model::flow_log::{Encryption, FlowState, RuleKind, Volume};
use crate::model::rule::{Access, Direction, Protocol};

/// The versions of records that are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    /// NSG log: no state, no counts (LOG-3).
    One,
    /// NSG log with state and counts (LOG-4).
    Two,
    /// VNet log (LOG-7).
    Four,
}

impl Version {
    fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// How many fields a tuple has.
    fn fields(self) -> usize {
        match self {
            Self::One => 8,
            Self::Two | Self::Four => 13,
        }
    }
}

/// What one tuple says.
pub(super) struct Tuple {
    pub(super) time_ms: u64,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) protocol: Protocol,
    pub(super) direction: Direction,
    pub(super) decision: Access,
    pub(super) state: Option<FlowState>,
    pub(super) encryption: Option<Encryption>,
    pub(super) sent: Volume,
    pub(super) returned: Volume,
}

/// Reads a tuple; fails with the field that is wrong and what was expected there.
pub(super) fn read(text: &str, version: Version) -> Result<Tuple, String> {
    // Room for one field more, so that a longer tuple is told from a whole one without keeping all of it.
    let mut fields = [""; 14];
    let (mut count, mut begin) = (0, 0);
    // PERF: fields are so short that a loop over bytes finds their ends sooner than a search does.
    let commas = text.bytes().enumerate().filter(|(_, byte)| *byte == b',').map(|(at, _)| at);
    for end in commas.chain([text.len()]) {
        if let Some(kept) = fields.get_mut(count) {
            *kept = &text[begin..end];
        }
        (count, begin) = (count + 1, end + 1);
    }
    if count != version.fields() {
        let (expected, number) = (version.fields(), version.number());
        return Err(format!("`{}` has {count} fields: version {number} has {expected}", shorten(text)));
    }
    let source = field("source address", fields[1], "an IP address", |text| text.parse::<IpAddr>().ok())?;
    let destination =
        field("destination address", fields[2], "an IP address", |text| text.parse::<IpAddr>().ok())?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(format!("`{source}` and `{destination}` are of two families"));
    }
    let mut tuple = Tuple {
        time_ms: field("time", fields[0], "seconds or milliseconds since 1970", time_ms)?,
        source,
        destination,
        source_port: field("source port", fields[3], "a number up to 65535", number)?,
        destination_port: field("destination port", fields[4], "a number up to 65535", number)?,
        protocol: if version == Version::Four {
            field("protocol", fields[5], "a number up to 255", |text| number(text).map(Protocol))?
        } else {
            field("protocol", fields[5], "`T` or `U`", |text| match text {
                "T" => Some(Protocol::TCP),
                "U" => Some(Protocol::UDP),
                _ => None,
            })?
        },
        direction: field("direction", fields[6], "`I` or `O`", |text| match text {
            "I" => Some(Direction::Inbound),
            "O" => Some(Direction::Outbound),
            _ => None,
        })?,
        decision: Access::Allow,
        state: None,
        encryption: None,
        sent: Volume::default(),
        returned: Volume::default(),
    };
    if version == Version::Four {
        let state = field("state", fields[7], "`B`, `C`, `E` or `D`", state)?;
        if state == FlowState::Denied {
            tuple.decision = Access::Deny;
        }
        tuple.state = Some(state);
        tuple.encryption = Some(field("encryption", fields[8], "`X`, or `NX` and its reason", encryption)?);
    } else {
        tuple.decision = field("decision", fields[7], "`A` or `D`", |text| match text {
            "A" => Some(Access::Allow),
            "D" => Some(Access::Deny),
            _ => None,
        })?;
    }
    if version == Version::Two {
        let running = |text: &str| state(text).filter(|state| *state != FlowState::Denied);
        tuple.state = Some(field("state", fields[8], "`B`, `C` or `E`", running)?);
    }
    if version != Version::One {
        tuple.sent = volume(fields[9], fields[10])?;
        tuple.returned = volume(fields[11], fields[12])?;
    }
    Ok(tuple)
}

/// A rule as a log names it: its own name, and its kind by the prefix (NW-3, LOG-6). `None` if no name is left,
/// or none that can be shown.
pub(super) fn rule(text: &str) -> Option<(&str, RuleKind)> {
    const PREFIXES: [(&str, RuleKind); 4] = [
        ("UserRule_", RuleKind::User),
        ("DefaultRule_", RuleKind::Default),
        ("securityRules/", RuleKind::User),
        ("defaultSecurityRules/", RuleKind::Default),
    ];
    let prefixed =
        PREFIXES.iter().find_map(|(prefix, kind)| text.strip_prefix(prefix).map(|name| (name, *kind)));
    let (name, kind) = prefixed.unwrap_or(match text {
        "PlatformRule" => (text, RuleKind::Platform),
        "unspecified" => (text, RuleKind::Unspecified),
        _ => (text, RuleKind::Admin),
    });
    (!name.is_empty() && !name.contains(char::is_control)).then_some((name, kind))
}

/// Reads a field, or says which one it is and what was expected.
fn field<T>(
    name: &str,
    text: &str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, String> {
    read(text).ok_or_else(|| format!("{name} `{}`: expected {expected}", shorten(text)))
}

/// A number of digits only: Rust would also take a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A time, which is in seconds below 10^11 (the year 5138) and in milliseconds from there on (LOG-7).
fn time_ms(text: &str) -> Option<u64> {
    const SECONDS_BELOW: u64 = 100_000_000_000;
    let number: u64 = number(text)?;
    let time_ms = if number < SECONDS_BELOW { number * 1000 } else { number };
    // Elsewhere time is counted in nanoseconds, of which 64 bits end in the year 2554.
    time_ms.checked_mul(1_000_000).map(|_| time_ms)
}

fn state(text: &str) -> Option<FlowState> {
    let all = [FlowState::Begin, FlowState::Continue, FlowState::End, FlowState::Denied];
    all.into_iter().find(|state| state.as_str() == text)
}

fn encryption(text: &str) -> Option<Encryption> {
    Encryption::ALL.into_iter().find(|encryption| encryption.as_str() == text)
}

/// Packets and bytes of one way, each of which may be empty.
fn volume(packets: &str, bytes: &str) -> Result<Volume, String> {
    let count = |name: &str, text: &str| {
        if text.is_empty() { Ok(None) } else { field(name, text, "a number or nothing", number).map(Some) }
    };
    Ok(Volume { packets: count("packets", packets)?, bytes: count("bytes", bytes)? })
}
