//! Address prefixes and ranges of ports, read strictly.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// An address prefix: a block of IPv4 or IPv6 addresses, its host bits zero.
pub type Prefix = IpNet;

/// A prefix as it was read, and whether its text had host bits set (NSG-11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadPrefix {
    /// The block, masked.
    pub prefix: Prefix,
    /// The text named a host inside the block: `10.0.0.5/24`.
    pub host_bits: bool,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{text}` is neither an IP address nor a CIDR block")]
pub struct PrefixError {
    text: String,
}

/// Reads an address (taken as /32 or /128) or a CIDR block (NSG-11).
///
/// # Errors
///
/// Fails on anything else, hyphenated ranges and octets with leading zeros included.
pub fn read_prefix(text: &str) -> Result<ReadPrefix, PrefixError> {
    let error = || PrefixError { text: text.to_owned() };
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(ReadPrefix { prefix: host(address), host_bits: false });
    }
    let (address, length) = text.split_once('/').ok_or_else(error)?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let address = IpAddr::from_str(address).map_err(|_| error())?;
    let length = length.parse().map_err(|_| error())?;
    let net = IpNet::new(address, length).map_err(|_| error())?;
    Ok(ReadPrefix { prefix: net.trunc(), host_bits: net.trunc() != net })
}

/// The prefix that holds one address alone.
#[must_use]
pub fn host(address: IpAddr) -> Prefix {
    IpNet::from(address)
}

/// Ports from `first` to `last`, both included (NSG-8).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no port range.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{text}` is neither `*`, a port nor a range `a-b` with 0 <= a <= b <= 65535")]
pub struct PortRangeError {
    text: String,
}

impl PortRange {
    /// Every port: `*`, which is the same set as `0-65535`.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// The ports from `first` to `last`; nothing if they are out of order.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PortRangeError { text: text.to_owned() };
        let port = |digits: &str| -> Result<u16, PortRangeError> {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(error());
            }
            digits.parse().map_err(|_| error())
        };
        if text == "*" {
            return Ok(Self::ALL);
        }
        match text.split_once('-') {
            Some((first, last)) => Self::new(port(first)?, port(last)?).ok_or_else(error),
            None => port(text).map(|port| Self { first: port, last: port }),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (0, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PortRange, read_prefix};

    #[test]
    fn an_address_is_a_prefix_of_one() {
        assert_eq!(read_prefix("10.0.0.5").unwrap().prefix.to_string(), "10.0.0.5/32");
        assert_eq!(read_prefix("fd00::5").unwrap().prefix.to_string(), "fd00::5/128");
    }

    #[test]
    fn host_bits_are_masked_and_told() {
        let read = read_prefix("10.0.0.5/24").unwrap();
        assert_eq!((read.prefix.to_string().as_str(), read.host_bits), ("10.0.0.0/24", true));
        assert!(!read_prefix("10.0.0.0/24").unwrap().host_bits);
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in
            ["", "10.0.0.0/33", "10.0.0/24", "10.0.0.1-10.0.0.9", "010.0.0.1", "10.0.0.0/+8", "::/129", "a"]
        {
            assert!(read_prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_ranges_are_read_and_printed_alike() {
        for text in ["*", "0", "65535", "1000-2000"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!("0-65535".parse::<PortRange>().unwrap(), PortRange::ALL);
        for text in ["", "-", "1-", "70000", "5-4", "1 - 2", "80,443", "+80"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
