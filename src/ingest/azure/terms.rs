//! The words of rules: addresses, ports, protocols (NSG-5, NSG-8, NSG-11, NSG-12).

use super::findings::Findings;
use super::node::{Node, shorten};
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::prefix::{PortRange, Prefix, ReadPrefix, read_prefix};
use crate::model::rule::{AddressTerm, PortTerm, Protocol, ProtocolMatch};
use crate::model::tag::{TagCatalog, TagName};

/// Reads one element of an address field. What is neither address nor tag is kept as invalid, and reported; so is a
/// tag that no loaded file has (TAG-4). Without a catalogue tags are not looked up.
pub(super) fn address(
    node: Node<'_>,
    tags: Option<&TagCatalog>,
    findings: &mut Findings,
) -> Result<AddressTerm, IngestError> {
    if let Some(expression) = unresolved(node, findings) {
        return Ok(AddressTerm::Invalid(expression));
    }
    let text = node.text()?;
    if text == "*" || text.eq_ignore_ascii_case("any") {
        return Ok(AddressTerm::Any);
    }
    if let Ok(read) = read_prefix(text) {
        return Ok(AddressTerm::Prefix(masked(read, node, findings)));
    }
    let Some(tag) = tag(text) else {
        let message = format!("`{}` is neither an IP address, a CIDR block nor a service tag", shorten(text));
        findings.add(FindingCode::InvalidAddressPrefix, node, message);
        return Ok(AddressTerm::Invalid(text.to_owned()));
    };
    if !tag.is_computed() && tags.is_some_and(|tags| tags.get(&tag).is_none()) {
        let message = format!("no loaded tag file has the tag `{tag}`");
        findings.add(FindingCode::UnknownServiceTag, node, message);
    }
    Ok(AddressTerm::Tag(tag))
}

/// The expression of a template that has no value: it is reported, and what hangs on it is undetermined (JSON-8).
pub(super) fn unresolved(node: Node<'_>, findings: &mut Findings) -> Option<String> {
    let unresolved = node.unresolved()?;
    let message = format!("`{}` is not evaluated: {}", shorten(&unresolved.expression), unresolved.reason);
    findings.add(FindingCode::UnknownValue, node, message);
    Some(unresolved.expression.clone())
}

/// The tag that a word names, if it could name one. Spellings of the classic model become the tags that they are
/// aliases of (NSG-12).
pub(super) fn tag(word: &str) -> Option<TagName> {
    let could_be = word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.chars().all(|each| each.is_ascii_alphanumeric() || matches!(each, '.' | '_'));
    let is = |classic: &str| word.eq_ignore_ascii_case(classic);
    could_be.then(|| {
        TagName::new(if is("VIRTUAL_NETWORK") {
            TagName::VIRTUAL_NETWORK
        } else if is("AZURE_LOADBALANCER") {
            TagName::AZURE_LOAD_BALANCER
        } else {
            word
        })
    })
}

/// Reads the prefix of a topology element: nothing but an address or a block is taken.
pub(super) fn prefix(node: Node<'_>, findings: &mut Findings) -> Result<Prefix, IngestError> {
    let read = read_prefix(node.text()?).map_err(|_| node.wrong("an IP address or a CIDR block"))?;
    Ok(masked(read, node, findings))
}

/// Reads a list of prefixes of topology elements.
pub(super) fn prefixes(
    node: Node<'_>,
    member: &str,
    findings: &mut Findings,
) -> Result<Vec<Prefix>, IngestError> {
    node.list_of(member)?.into_iter().map(|item| prefix(item, findings)).collect()
}

/// The block of a prefix; host bits are reported (NSG-11).
fn masked(read: ReadPrefix, node: Node<'_>, findings: &mut Findings) -> Prefix {
    if read.host_bits {
        findings.add(
            FindingCode::HostBitsSet,
            node,
            format!("`{}` has host bits set: taken as `{}`", node.as_text().unwrap_or_default(), read.prefix),
        );
    }
    read.prefix
}

/// Reads one element of a port field. A comma-separated one is split, and reported (NSG-8).
pub(super) fn ports(node: Node<'_>, findings: &mut Findings) -> Result<Vec<PortTerm>, IngestError> {
    if let Some(expression) = unresolved(node, findings) {
        return Ok(vec![PortTerm::Invalid(expression)]);
    }
    let text = node.text()?;
    let parts: Vec<&str> =
        if text.contains(',') { text.split(',').map(str::trim).collect() } else { vec![text] };
    if parts.len() > 1 {
        let message =
            format!("`{}` lists several ranges in one element: each is taken on its own", shorten(text));
        findings.add(FindingCode::InvalidPortRange, node, message);
    }
    let term = |part: &str| match part.parse::<PortRange>() {
        Ok(range) => PortTerm::Range(range),
        Err(_) => {
            let message = format!("`{}` is neither `*`, a port nor a range `a-b` up to 65535", shorten(part));
            findings.add(FindingCode::InvalidPortRange, node, message);
            PortTerm::Invalid(part.to_owned())
        }
    };
    Ok(parts.into_iter().map(term).collect())
}

/// Reads the protocol field of a rule, in any letter case (NSG-5).
pub(super) fn protocol(node: Node<'_>, findings: &mut Findings) -> Result<ProtocolMatch, IngestError> {
    if let Some(expression) = unresolved(node, findings) {
        return Ok(ProtocolMatch::Invalid(expression));
    }
    let text = node.text()?;
    if is_any_protocol(text) {
        return Ok(ProtocolMatch::Any);
    }
    if let Some(protocol) = rule_protocol(text) {
        return Ok(ProtocolMatch::Is(protocol));
    }
    findings.add(
        FindingCode::InvalidProtocol,
        node,
        format!("`{}` is neither `*`, `Tcp`, `Udp`, `Icmp`, `Esp` nor `Ah`", shorten(text)),
    );
    Ok(ProtocolMatch::Invalid(text.to_owned()))
}

/// Whether the word stands for every protocol.
pub(super) fn is_any_protocol(text: &str) -> bool {
    text == "*" || text.eq_ignore_ascii_case("any") || text.eq_ignore_ascii_case("all")
}

/// The protocol of a word that rules may use.
pub(super) fn rule_protocol(text: &str) -> Option<Protocol> {
    [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol::AH]
        .into_iter()
        .find(|protocol| protocol.name().is_some_and(|name| name.eq_ignore_ascii_case(text)))
}

/// Whether the terms cover every port.
pub(super) fn cover_all_ports(terms: &[PortTerm]) -> bool {
    let mut ranges: Vec<PortRange> = terms
        .iter()
        .filter_map(|term| match term {
            PortTerm::Range(range) => Some(*range),
            PortTerm::Invalid(_) => None,
        })
        .collect();
    ranges.sort();
    // The first port that no range so far covers; beyond the last port all are.
    let mut next: u32 = 0;
    for range in ranges {
        if u32::from(range.first()) <= next {
            next = next.max(u32::from(range.last()) + 1);
        }
    }
    next > u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{cover_all_ports, tag};
    use crate::model::rule::PortTerm;

    #[test]
    fn nsg_12_classic_spellings_are_aliases() {
        assert!(tag("virtual_network").unwrap().is("VirtualNetwork"));
        assert!(tag("AZURE_LOADBALANCER").unwrap().is("AzureLoadBalancer"));
        assert!(tag("INTERNET").unwrap().is_computed());
        assert_eq!(tag("Storage.WestEurope").unwrap().as_str(), "Storage.WestEurope");
        for word in ["", "10.0.0.1-10.0.0.9", "web-server", "_x", "a b", "Stor\u{e4}ge"] {
            assert!(tag(word).is_none(), "{word}");
        }
    }

    #[test]
    fn nsg_10_ranges_may_cover_all_ports_together() {
        let terms = |texts: &[&str]| -> Vec<PortTerm> {
            texts.iter().map(|text| PortTerm::Range(text.parse().unwrap())).collect()
        };
        assert!(cover_all_ports(&terms(&["*"])));
        assert!(cover_all_ports(&terms(&["30000-65535", "0-29999"])));
        assert!(!cover_all_ports(&terms(&["1-65535"])));
        assert!(!cover_all_ports(&terms(&["0-100", "102-65535"])));
    }
}
