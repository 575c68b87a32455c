//! What an export of effective rules says that `Internet` stands for (TAG-20).

use std::net::IpAddr;

use super::prefix::Prefix;

/// The list of `Internet` as Azure expanded it at some interface, in place of the one of TAG-10. Connected space is
/// taken out of it as out of any other list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObservedInternet {
    /// Its ranges, sorted, none within another.
    pub prefixes: Vec<Prefix>,
    /// Where it stands: file and JSON pointer.
    pub source: String,
    /// The day of the export, `2026-11-20`, where it says one.
    pub date: Option<String>,
}

impl ObservedInternet {
    /// Whether it speaks of the address's family at all. What Azure recorded lists IPv4 alone, which says nothing of
    /// IPv6: there the list of TAG-10 stays.
    #[must_use]
    pub fn covers_family_of(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.addr().is_ipv4() == address.is_ipv4())
    }
}
