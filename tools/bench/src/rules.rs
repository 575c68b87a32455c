//! Rules of five fields, and the ClassBench files that hold some.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use flate2::read::MultiGzDecoder;
use ipnet::Ipv4Net;
use nsgsim::model::prefix::PortRange;

use crate::headers::Header;
use crate::native::AclRule;

/// What no rule is called: the answer to a header that fits none.
pub(crate) const NONE: u32 = u32::MAX;

/// A rule; a header fits if each field holds it. The first of a list that fits decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    pub(crate) sources: Vec<Ipv4Net>,
    pub(crate) destinations: Vec<Ipv4Net>,
    pub(crate) source_ports: Vec<PortRange>,
    pub(crate) destination_ports: Vec<PortRange>,
    /// `None` for every protocol.
    pub(crate) protocol: Option<u8>,
}

impl Rule {
    /// Whether all fields hold the header.
    pub(crate) fn fits(&self, header: &Header) -> bool {
        let holds = |nets: &[Ipv4Net], address| nets.iter().any(|net| net.contains(&Ipv4Addr::from(address)));
        let has = |ports: &[PortRange], port| ports.iter().any(|range| range.contains(port));
        self.protocol.is_none_or(|protocol| protocol == header.protocol)
            && has(&self.destination_ports, header.destination_port)
            && has(&self.source_ports, header.source_port)
            && holds(&self.destinations, header.destination)
            && holds(&self.sources, header.source)
    }
}

/// Rules, first of them first.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    pub(crate) name: String,
    pub(crate) rules: Vec<Rule>,
}

impl RuleSet {
    /// The rules as DPDK takes them: one of each field, so that a rule becomes the cross-product of its fields. All of
    /// one rule have its priority, where the higher number goes first, and its index + 1 as mark.
    pub(crate) fn expanded(&self) -> Vec<AclRule> {
        let mut expanded = Vec::new();
        for (index, rule) in (0_u32..).zip(&self.rules) {
            let ahead = i32::try_from(self.rules.len()).expect("rules are counted in 31 bits");
            let priority = ahead - i32::try_from(index).expect("rules are counted in 31 bits");
            let (protocol, protocol_mask) = rule.protocol.map_or((0, 0), |protocol| (protocol, u8::MAX));
            for source in &rule.sources {
                for destination in &rule.destinations {
                    for source_ports in &rule.source_ports {
                        for destination_ports in &rule.destination_ports {
                            expanded.push(AclRule {
                                source: source.network().into(),
                                destination: destination.network().into(),
                                source_port_first: source_ports.first(),
                                source_port_last: source_ports.last(),
                                destination_port_first: destination_ports.first(),
                                destination_port_last: destination_ports.last(),
                                source_bits: source.prefix_len(),
                                destination_bits: destination.prefix_len(),
                                protocol,
                                protocol_mask,
                                priority,
                                mark: index + 1,
                            });
                        }
                    }
                }
            }
        }
        expanded
    }
}

/// Reads `NAME.rules.gz`.
///
/// # Errors
///
/// Fails if the file cannot be read, and on a line that is no rule, with its number.
pub(crate) fn read_classbench(folder: &Path, name: &str) -> Result<RuleSet> {
    let rules = lines(&folder.join(format!("{name}.rules.gz")), classbench_rule)?;
    Ok(RuleSet { name: name.to_owned(), rules })
}

/// Reads a packed file, a value a line.
///
/// # Errors
///
/// Fails if the file cannot be read, and where `read` does.
pub(crate) fn lines<T>(path: &Path, read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    (1..)
        .zip(lines)
        .map(|(number, line)| read(&line?).with_context(|| format!("{}:{number}", path.display())))
        .collect()
}

/// `@source/length destination/length first : last first : last protocol/mask flags/mask`, with tabs between fields.
fn classbench_rule(line: &str) -> Result<Rule> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[source, destination, source_ports, destination_ports, protocol, ..] = &fields[..] else {
        return Err(anyhow!("`{line}`: expected five fields with tabs between them"));
    };
    let source = source.strip_prefix('@').ok_or_else(|| anyhow!("`{source}`: expected `@` before it"))?;
    Ok(Rule {
        sources: vec![net(source)?],
        destinations: vec![net(destination)?],
        source_ports: vec![ports(source_ports)?],
        destination_ports: vec![ports(destination_ports)?],
        protocol: self::protocol(protocol)?,
    })
}

fn net(text: &str) -> Result<Ipv4Net> {
    let net: Ipv4Net = text.parse().map_err(|_| anyhow!("`{text}`: expected an IPv4 prefix"))?;
    Ok(net.trunc())
}

fn ports(text: &str) -> Result<PortRange> {
    let range = || {
        let (first, last) = text.split_once(" : ")?;
        PortRange::new(first.trim().parse().ok()?, last.trim().parse().ok()?)
    };
    range().ok_or_else(|| anyhow!("`{text}`: expected ports `first : last`"))
}

fn protocol(text: &str) -> Result<Option<u8>> {
    let read = || {
        let (value, mask) = text.split_once('/')?;
        let hex = |text: &str| u8::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        Some((hex(value)?, hex(mask)?))
    };
    let (value, mask) = read().ok_or_else(|| anyhow!("`{text}`: expected a protocol `0x06/0xFF`"))?;
    ensure!(matches!(mask, 0 | u8::MAX), "`{text}`: a mask is 0x00 or 0xFF");
    Ok((mask != 0).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::{Rule, RuleSet, classbench_rule};

    #[test]
    fn a_line_is_a_rule() {
        let line = "@145.6.147.32/29\t0.0.0.0/0\t0 : 65535\t123 : 125\t0x11/0xFF\t0x0000/0x0000";
        let rule = Rule {
            sources: vec!["145.6.147.32/29".parse().unwrap()],
            destinations: vec!["0.0.0.0/0".parse().unwrap()],
            source_ports: vec!["*".parse().unwrap()],
            destination_ports: vec!["123-125".parse().unwrap()],
            protocol: Some(17),
        };
        assert_eq!(classbench_rule(line).unwrap(), rule);
    }

    #[test]
    fn a_mask_of_zero_is_every_protocol() {
        let line = "@1.2.3.4/32\t1.2.3.4/32\t1 : 1\t2 : 2\t0x00/0x00\t0x0000/0x0000";
        assert_eq!(classbench_rule(line).unwrap().protocol, None);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for line in [
            "",
            "1.2.3.4/32\t1.2.3.4/32\t1 : 1\t2 : 2\t0x06/0xFF",
            "@1.2.3.4/33\t1.2.3.4/32\t1 : 1\t2 : 2\t0x06/0xFF",
            "@1.2.3.4/32\t1.2.3.4/32\t2 : 1\t2 : 2\t0x06/0xFF",
            "@1.2.3.4/32\t1.2.3.4/32\t1 : 1\t2 : 2\t0x06/0x0F",
        ] {
            assert!(classbench_rule(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_rule_becomes_the_product_of_its_fields() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let rule = |sources: &[&str]| Rule {
            sources: nets(sources),
            destinations: nets(&["10.0.0.0/8", "192.0.2.7/32"]),
            source_ports: vec!["*".parse().unwrap()],
            destination_ports: vec!["80".parse().unwrap(), "443".parse().unwrap(), "1-9".parse().unwrap()],
            protocol: None,
        };
        let set = RuleSet {
            name: String::new(),
            rules: vec![rule(&["10.0.0.0/8"]), rule(&["10.1.0.0/16", "10.2.0.0/16"])],
        };
        let expanded = set.expanded();
        assert_eq!(expanded.len(), 6 + 12);
        assert!(expanded[..6].iter().all(|rule| (rule.mark, rule.priority) == (1, 2)));
        assert!(expanded[6..].iter().all(|rule| (rule.mark, rule.priority) == (2, 1)));
        assert!(expanded.iter().all(|rule| rule.protocol_mask == 0));
        let last = expanded.last().unwrap();
        assert_eq!((last.source, last.source_bits, last.destination_bits), (0x0a02_0000, 16, 32));
        assert_eq!((last.destination_port_first, last.destination_port_last), (1, 9));
    }
}
