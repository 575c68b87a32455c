//! What one row says, once its values are told apart.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::cells::Cells;
use super::columns::Field;
use super::{SkipCause, time};
use crate::ingest::capture::shorten;
use crate::model::flow::{FiveTuple, Port};
use crate::model::flow_log::{RuleKind, Volume};
use crate::model::id::ResourceId;
use crate::model::record::Location;
use crate::model::recorded::{Part, RecordedFlow, RecordedRule, RecordedVerdict, SeenAt};
use crate::model::rule::{Access, Direction, Protocol};

/// Why a row gives no flow.
pub(super) struct Refused {
    pub(super) cause: SkipCause,
    pub(super) message: String,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self { cause: SkipCause::Unreadable, message }
    }
}

/// Reads a row and hands on its flow, or a flow for each of the public addresses that it names.
pub(super) fn read(
    cells: &Cells,
    location: Location,
    each: &mut dyn FnMut(RecordedFlow),
) -> Result<(), Refused> {
    tells_of_a_flow(cells)?;
    let sources = ends(cells, Field::Source, Field::SourcePublic)?;
    let destinations = ends(cells, Field::Destination, Field::DestinationPublic)?;
    if sources.len() > 1 && destinations.len() > 1 {
        let columns = (cells.column(Field::SourcePublic), cells.column(Field::DestinationPublic));
        return Err(format!(
            "columns `{}` and `{}` name several addresses each: which belong together is not said",
            columns.0, columns.1
        )
        .into());
    }
    let several = sources.len() > 1 || destinations.len() > 1;
    let time_ns = time_ns(cells)?;
    let seen_at = seen_at(cells)?;
    let verdict = verdict(cells)?;
    let part = part(cells, verdict.as_ref())?;
    let volume = |packets, bytes| -> Result<Volume, String> {
        Ok(Volume { packets: count(cells, packets)?, bytes: count(cells, bytes)? })
    };
    let sent = volume(Field::Packets, Field::Bytes)?;
    let returned = volume(Field::ReturnedPackets, Field::ReturnedBytes)?;
    let mut flows = Vec::with_capacity(sources.len().max(destinations.len()));
    for source in &sources {
        for destination in &destinations {
            let five_tuple = five_tuple(cells, source.address, destination.address)?;
            let own = source.volumes.or(destination.volumes);
            // What the row counts is of all its addresses together.
            let whole = if several { (Volume::default(), Volume::default()) } else { (sent, returned) };
            let (sent, returned) = own.unwrap_or(whole);
            let verdict = verdict.clone();
            flows.push(RecordedFlow {
                location,
                time_ns,
                five_tuple,
                seen_at,
                verdict,
                part,
                sent,
                returned,
            });
        }
    }
    flows.into_iter().for_each(each);
    Ok(())
}

/// Fails on a row that says itself that it is of no flow.
fn tells_of_a_flow(cells: &Cells) -> Result<(), Refused> {
    let no_flow = |message: String| Err(Refused { cause: SkipCause::NoFlow, message });
    if let Some(text) = cells.get(Field::SubType)
        && !text.eq_ignore_ascii_case("FlowLog")
    {
        let message = wrong(cells, Field::SubType, text, "`FlowLog`, the only rows that are flows");
        return no_flow(message);
    }
    match cells.get(Field::LogStatus) {
        Some(text) if text.eq_ignore_ascii_case("NODATA") => {
            no_flow(format!("`{text}`: nothing was seen in this time"))
        }
        Some(text) if text.eq_ignore_ascii_case("SKIPDATA") => {
            no_flow(format!("`{text}`: AWS left out what was seen in this time"))
        }
        Some(text) if !text.eq_ignore_ascii_case("OK") => {
            Err(wrong(cells, Field::LogStatus, text, "`OK`, `NODATA` or `SKIPDATA`").into())
        }
        _ => Ok(()),
    }
}

/// One end of a flow.
struct End {
    address: IpAddr,
    /// What it sent and what came back, where the table counts by address.
    volumes: Option<(Volume, Volume)>,
}

/// The addresses of one side: the one of its own column, or those of the column with public ones.
fn ends(cells: &Cells, own: Field, public: Field) -> Result<Vec<End>, String> {
    if let Some(text) = cells.get(own) {
        let address = address(text).ok_or_else(|| {
            let expected = if text.contains('/') { "an IP address, not a block" } else { "an IP address" };
            wrong(cells, own, text, expected)
        })?;
        return Ok(vec![End { address, volumes: None }]);
    }
    let Some(text) = cells.get(public) else {
        return Err(wrong(cells, own, "", "an IP address"));
    };
    let entries = text.split_ascii_whitespace().map(|entry| {
        public_end(entry).ok_or_else(|| {
            wrong(
                cells,
                public,
                entry,
                "an IP address, or one with six counts: flows begun, flows ended, packets out, packets in, bytes out, \
                 bytes in",
            )
        })
    });
    entries.collect()
}

/// Rust takes no spaces and no zone, and no zeros in front, which some read as octal numbers.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An entry of the public addresses: `203.0.113.9|4|4|10|12|1400|5200`. Out is from source to destination.
fn public_end(entry: &str) -> Option<End> {
    let mut parts = entry.split('|');
    let address = address(parts.next()?)?;
    let counts = parts.map(number).collect::<Option<Vec<u64>>>()?;
    let volumes = match counts[..] {
        [] => None,
        [_, _, packets_out, packets_in, bytes_out, bytes_in] => {
            let volume = |packets, bytes| Volume { packets: Some(packets), bytes: Some(bytes) };
            Some((volume(packets_out, bytes_out), volume(packets_in, bytes_in)))
        }
        _ => return None,
    };
    Some(End { address, volumes })
}

fn five_tuple(cells: &Cells, source: IpAddr, destination: IpAddr) -> Result<FiveTuple, String> {
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(format!("`{source}` and `{destination}` are of two families"));
    }
    let text = cells.get(Field::Protocol).unwrap_or_default();
    let protocol = protocol(text, source.is_ipv6())
        .ok_or_else(|| wrong(cells, Field::Protocol, text, "a protocol's name or its number up to 255"))?;
    let port = |field| {
        if !protocol.has_ports() {
            // Whatever is logged in its place: Zeek has the type and code of ICMP there (NSG-10).
            return Ok(Port::None);
        }
        let Some(text) = cells.get(field) else { return Ok(Port::NotGiven) };
        let port = number(text).and_then(|number| u16::try_from(number).ok());
        port.map(Port::Number).ok_or_else(|| {
            let range =
                text.split_once('-').is_some_and(|(from, to)| number(from).is_some() && number(to).is_some());
            let expected =
                if range || text.contains(',') { "one number up to 65535" } else { "a number up to 65535" };
            wrong(cells, field, text, expected)
        })
    };
    Ok(FiveTuple {
        source,
        destination,
        protocol,
        source_port: port(Field::SourcePort)?,
        destination_port: port(Field::DestinationPort)?,
    })
}

/// A protocol by the letter of Azure's logs, by name or by number. The name `icmp` stands for that of the addresses'
/// family, as Zeek has it.
fn protocol(text: &str, is_ipv6: bool) -> Option<Protocol> {
    const OTHERS: [(&str, u8); 7] = [
        ("igmp", 2),
        ("ipv6-icmp", 58),
        ("icmp6", 58),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("sctp", 132),
    ];
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return number(text).and_then(|number| u8::try_from(number).ok()).map(Protocol);
    }
    let word = text.to_ascii_lowercase();
    match word.as_str() {
        "t" => Some(Protocol::TCP),
        "u" => Some(Protocol::UDP),
        "icmp" if is_ipv6 => Some(Protocol::ICMPV6),
        _ => {
            let other = OTHERS.iter().find(|(name, _)| *name == word);
            other.map(|(_, number)| Protocol(*number)).or_else(|| {
                // A sign is no part of a number, which `Protocol::read` would take.
                Protocol::read(&word).filter(|_| word.starts_with(|first: char| first.is_ascii_lowercase()))
            })
        }
    }
}

fn time_ns(cells: &Cells) -> Result<Option<u64>, String> {
    if let Some(time_ns) = cells.time(Field::Time) {
        let fits = u64::try_from(time_ns).map(Some);
        return fits.map_err(|_| {
            let found = format!("{time_ns} ns");
            wrong(cells, Field::Time, &found, "a time from 1970 to 2554")
        });
    }
    let Some(text) = cells.get(Field::Time) else { return Ok(None) };
    time::read(text).map(Some).ok_or_else(|| wrong(cells, Field::Time, text, time::EXPECTED))
}

/// The interface that saw the flow. A direction alone tells nothing: nsgsim's own rows have that of the deciding rule.
fn seen_at(cells: &Cells) -> Result<Option<SeenAt>, String> {
    let Some(text) = cells.get(Field::Mac) else { return Ok(None) };
    let mac = mac(text).ok_or_else(|| {
        wrong(cells, Field::Mac, text, "a MAC address, 12 hexadecimal digits with or without `:` or `-`")
    })?;
    let Some(text) = cells.get(Field::Direction) else { return Ok(None) };
    let direction = match text.to_ascii_lowercase().as_str() {
        "i" | "in" | "inbound" | "ingress" => Direction::Inbound,
        "o" | "out" | "outbound" | "egress" => Direction::Outbound,
        _ => {
            return Err(wrong(
                cells,
                Field::Direction,
                text,
                "`Inbound`, `Outbound`, or `I`, `O`, `ingress`, `egress`",
            ));
        }
    };
    Ok(Some(SeenAt { mac, direction }))
}

/// Six bytes from 12 digits, in pairs that `:` or `-` may part.
fn mac(text: &str) -> Option<[u8; 6]> {
    let separator = text.as_bytes().get(2).copied().filter(|byte| matches!(byte, b':' | b'-'));
    let step = if separator.is_some() { 3 } else { 2 };
    let bytes = text.as_bytes();
    if bytes.len() != 5 * step + 2 {
        return None;
    }
    let mut mac = [0; 6];
    for (at, into) in mac.iter_mut().enumerate() {
        let pair = &bytes[at * step..];
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        *into = u8::try_from(value).ok()?;
        if at < 5 && separator.is_some_and(|separator| pair[2] != separator) {
            return None;
        }
    }
    Some(mac)
}

fn verdict(cells: &Cells) -> Result<Option<RecordedVerdict>, String> {
    let Some(text) = cells.get(Field::Verdict) else { return Ok(None) };
    let access = match text.to_ascii_lowercase().as_str() {
        "a" | "allow" | "allowed" | "accept" | "accepted" | "permit" | "permitted" | "pass" => Access::Allow,
        "d" | "deny" | "denied" | "drop" | "dropped" | "reject" | "rejected" | "block" | "blocked" => {
            Access::Deny
        }
        // nsgsim's own rows: neither was decided.
        "mixed" | "undetermined" => return Ok(None),
        _ => {
            let expected = "`allow` or `deny`, or `A`, `D`, `accept`, `reject` and the like";
            return Err(wrong(cells, Field::Verdict, text, expected));
        }
    };
    Ok(Some(RecordedVerdict { access, rule: rule(cells).map(Arc::new) }))
}

/// The rule that the row names.
fn rule(cells: &Cells) -> Option<RecordedRule> {
    let (name, prefixed) = prefix_of(cells.get(Field::Rule)?);
    if name.is_empty() {
        return None;
    }
    let kind = prefixed.unwrap_or_else(|| match cells.get(Field::RuleType) {
        Some(text) if text.eq_ignore_ascii_case("Default") => RuleKind::Default,
        // As in nsgsim's own rows.
        Some("AdminRule") => RuleKind::Admin,
        // A bare name in a table is an NSG's rule rather than an admin rule, which most networks have none of.
        _ if DEFAULT_RULES.iter().any(|default| default.eq_ignore_ascii_case(name)) => RuleKind::Default,
        _ => RuleKind::User,
    });
    Some(RecordedRule { acl: cells.get(Field::Acl).map(acl), name: Arc::from(name), kind })
}

/// The names of DEF-1, which no user's rule can have.
const DEFAULT_RULES: [&str; 6] = [
    "AllowVnetInBound",
    "AllowAzureLoadBalancerInBound",
    "DenyAllInBound",
    "AllowVnetOutBound",
    "AllowInternetOutBound",
    "DenyAllOutBound",
];

/// A rule's own name and the kind that its prefix tells (NW-3, LOG-6). Traffic Analytics writes both in lower case.
fn prefix_of(text: &str) -> (&str, Option<RuleKind>) {
    const PREFIXES: [(&str, RuleKind); 4] = [
        ("UserRule_", RuleKind::User),
        ("DefaultRule_", RuleKind::Default),
        ("securityRules/", RuleKind::User),
        ("defaultSecurityRules/", RuleKind::Default),
    ];
    for (prefix, kind) in PREFIXES {
        if let (Some(start), Some(name)) = (text.get(..prefix.len()), text.get(prefix.len()..))
            && start.eq_ignore_ascii_case(prefix)
        {
            return (name, Some(kind));
        }
    }
    match text {
        _ if text.eq_ignore_ascii_case("PlatformRule") => (text, Some(RuleKind::Platform)),
        _ if text.eq_ignore_ascii_case("unspecified") => (text, Some(RuleKind::Unspecified)),
        _ => (text, None),
    }
}

/// Whose rule it is. Of an NSG's ID, and of Traffic Analytics' short form `subscription/group/nsg`, its name in lower case
/// as in NSG flow logs; anything else as it stands.
fn acl(text: &str) -> Arc<str> {
    let id = ResourceId::new(text);
    let nsg = id.as_ref().and_then(|id| id.segment("networkSecurityGroups"));
    let short = || {
        let mut parts = text.split('/');
        let name = parts.nth(2).filter(|name| !name.is_empty())?;
        (parts.next().is_none() && !text.starts_with('/')).then_some(name)
    };
    match nsg.or_else(short) {
        Some(name) => Arc::from(name.to_ascii_lowercase()),
        None => Arc::from(text),
    }
}

/// The part that the row tells of: all of a flow, unless it has the state that flow logs give (LOG-4, LOG-7).
fn part(cells: &Cells, verdict: Option<&RecordedVerdict>) -> Result<Part, String> {
    let Some(text) = cells.get(Field::State) else { return Ok(Part::Whole) };
    let part = match text {
        "B" => Part::Begin,
        "C" => Part::Continue,
        "E" => Part::End,
        "D" => Part::Whole,
        _ => return Err(wrong(cells, Field::State, text, "`B`, `C`, `E` or `D`")),
    };
    // A denied flow has no more than one part (LOG-10).
    let denied = verdict.is_some_and(|verdict| verdict.access == Access::Deny);
    Ok(if denied { Part::Whole } else { part })
}

fn count(cells: &Cells, field: Field) -> Result<Option<u64>, String> {
    let Some(text) = cells.get(field) else { return Ok(None) };
    number(text).map(Some).ok_or_else(|| wrong(cells, field, text, "a number or nothing"))
}

/// A whole number without sign. Log Analytics and spreadsheets write it with decimals: `443.0`.
fn number(text: &str) -> Option<u64> {
    if let Ok(number) = u64::from_str(text) {
        // Rust would also take a sign.
        return (!text.starts_with('+')).then_some(number);
    }
    // Up to here a float holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_float =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+'))
            && text.starts_with(|first: char| first.is_ascii_digit());
    let number = is_float.then(|| f64::from_str(text).ok())??;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within both bounds"
    )]
    (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
}

/// What is wrong with a value.
fn wrong(cells: &Cells, field: Field, text: &str, expected: &str) -> String {
    let column = shorten(cells.column(field));
    if text.is_empty() {
        return format!("column `{column}`: nothing: expected {expected}");
    }
    format!("column `{column}`: `{}`: expected {expected}", shorten(text))
}

#[cfg(test)]
mod tests {
    use super::{acl, mac, number, protocol};
    use crate::model::rule::Protocol;

    #[test]
    fn a_mac_address_has_three_spellings() {
        let expected = Some([0, 0x0d, 0x3a, 0x0b, 0x0c, 0xff]);
        for text in ["000D3A0B0CFF", "00:0d:3a:0b:0c:ff", "00-0D-3A-0B-0C-FF"] {
            assert_eq!(mac(text), expected, "{text}");
        }
        for text in [
            "",
            "000D3A0B0C",
            "00:0d:3a:0b:0c:f",
            "00:0d-3a:0b:0c:ff",
            "000D3A0B0CFG",
            "é0D3A0B0CFF",
            "00:0d:3a:0b:0c:ff:",
        ] {
            assert_eq!(mac(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_have_decimals_that_say_nothing() {
        assert_eq!(number("443"), Some(443));
        assert_eq!(number("443.0"), Some(443));
        assert_eq!(number("1.5E+3"), Some(1500));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in
            ["", "-1", "+1", "443.5", "1e999", "inf", "1_000", "1,000", "0x10", "18446744073709551616", ".5"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn protocols_by_letter_name_and_number() {
        assert_eq!(protocol("T", false), Some(Protocol::TCP));
        assert_eq!(protocol("UDP", false), Some(Protocol::UDP));
        assert_eq!(protocol("6.0", false), Some(Protocol::TCP));
        assert_eq!(protocol("icmp", false), Some(Protocol::ICMP));
        assert_eq!(protocol("icmp", true), Some(Protocol::ICMPV6));
        assert_eq!(protocol("1", true), Some(Protocol::ICMP));
        assert_eq!(protocol("SCTP", false), Some(Protocol(132)));
        for text in ["", "256", "-6", "+6", "unknown_transport", "tcp/443"] {
            assert_eq!(protocol(text, false), None, "{text}");
        }
    }

    #[test]
    fn an_nsg_is_known_by_its_name() {
        let id =
            "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/NSG-Web";
        assert_eq!(&*acl(id), "nsg-web");
        assert_eq!(&*acl("7c0e/rg/NSG-Web"), "nsg-web");
        assert_eq!(&*acl("NSG-Web"), "NSG-Web");
        assert_eq!(&*acl("rg/NSG-Web"), "rg/NSG-Web");
        assert_eq!(&*acl("/a/b"), "/a/b");
    }
}
