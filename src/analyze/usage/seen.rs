//! What was seen within a field of a rule: the first values one by one, the rest as a number of flows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::index::SubnetIndex;
use crate::model::prefix::{Prefix, host};

/// How many ports, addresses and blocks of a field are told apart; what comes beyond them is only counted.
pub const MOST_SEEN: usize = 256;

/// How many flows had each of the values that were seen first, and how many had others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen<T> {
    /// The values that were seen first, [`MOST_SEEN`] at most, with their flows.
    pub flows: BTreeMap<T, u64>,
    /// Flows with none of these.
    pub beyond: u64,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { flows: BTreeMap::new(), beyond: 0 }
    }
}

impl<T: Ord> Seen<T> {
    pub(super) fn add(&mut self, value: T) {
        let is_full = self.flows.len() >= MOST_SEEN;
        match self.flows.get_mut(&value) {
            Some(flows) => *flows += 1,
            None if is_full => self.beyond += 1,
            None => {
                self.flows.insert(value, 1);
            }
        }
    }

    /// Whether every value that was seen is told.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.beyond == 0
    }
}

/// A subnet's range, or a block of which nothing more is known: /24 of IPv4, /64 of IPv6.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Block {
    /// The range.
    pub prefix: Prefix,
    /// The subnet, where it is one's.
    pub subnet: Option<SubnetIndex>,
}

impl Block {
    /// The block around an address that is in no subnet.
    #[must_use]
    pub fn around(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 24 } else { 64 };
        let prefix = Prefix::new(address, length).map_or_else(|_| host(address), |prefix| prefix.trunc());
        Self { prefix, subnet: None }
    }
}
