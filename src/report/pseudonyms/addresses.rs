//! Pseudonyms of addresses, which keep what addresses share.

use std::net::{IpAddr, Ipv4Addr};

use ipcrypt_rs::IpcryptPfx;

use crate::model::prefix::Prefix;

/// Blocks whose addresses keep what they are: a private address has a private pseudonym, a public one a public pseudonym.
const CLASSES: [&str; 12] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "2000::/3",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Blocks whose addresses stand for themselves: they are the same everywhere.
const KEPT: [&str; 6] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "ff00::/8"];

/// The platform's address, which stands for itself among others that do not (PLAT-1).
const PLATFORM: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

/// Gives addresses pseudonyms under one key.
pub(super) struct Addresses {
    cipher: IpcryptPfx,
    classes: Vec<Prefix>,
    kept: Vec<Prefix>,
}

impl Addresses {
    /// The pseudonyms under a key, whose halves must differ.
    pub(super) fn new(key: [u8; 32]) -> Self {
        let read = |list: &[&str]| list.iter().filter_map(|text| text.parse().ok()).collect();
        Self { cipher: IpcryptPfx::new(key), classes: read(&CLASSES), kept: read(&KEPT) }
    }

    /// An address's pseudonym. Two addresses have pseudonyms that agree in as many leading bits as they do, save for the
    /// platform's address and the one whose pseudonym would be that.
    pub(super) fn pseudonym(&self, address: IpAddr) -> IpAddr {
        if address == PLATFORM || self.kept.iter().any(|kept| kept.contains(&address)) {
            return address;
        }
        match self.flipped(address) {
            PLATFORM => self.flipped(PLATFORM),
            flipped => flipped,
        }
    }

    /// The address with some of its bits flipped, each as the bits before it say. Where the bits before one are those of a
    /// class, it is left: so classes stay apart, and shared bits shared.
    fn flipped(&self, address: IpAddr) -> IpAddr {
        let left = self.classes.iter().map(|class| left_bits(address, class)).max().unwrap_or(0);
        match (address, self.cipher.encrypt_ipaddr(address)) {
            (IpAddr::V4(own), IpAddr::V4(flipped)) => {
                let mask = u32::MAX.checked_shr(left).unwrap_or(0);
                IpAddr::V4((own.to_bits() & !mask | flipped.to_bits() & mask).into())
            }
            (own, flipped) => {
                // The cipher takes and gives what is mapped into IPv6 as IPv4.
                let bits = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
                    IpAddr::V6(address) => address.to_bits(),
                };
                let mask = u128::MAX.checked_shr(left).unwrap_or(0);
                IpAddr::V6((bits(own) & !mask | bits(flipped) & mask).into())
            }
        }
    }
}

/// How many leading bits of an address are left as they are, so that it stays in a class or out of it: those before which
/// it might be in the class, and that one by which it leaves it.
fn left_bits(address: IpAddr, class: &Prefix) -> u32 {
    let shared = match (address, class.addr()) {
        (IpAddr::V4(address), IpAddr::V4(class)) => (address.to_bits() ^ class.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(class)) => (address.to_bits() ^ class.to_bits()).leading_zeros(),
        _ => return 0,
    };
    (shared + 1).min(class.prefix_len().into())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::{Addresses, CLASSES, PLATFORM};
    use crate::model::prefix::Prefix;

    fn addresses() -> Addresses {
        Addresses::new(std::array::from_fn(|place| place as u8))
    }

    fn shared_bits(one: IpAddr, other: IpAddr) -> u32 {
        match (one, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => panic!("{one} and {other} are of two families"),
        }
    }

    #[test]
    fn platform_and_multicast_addresses_stand_for_themselves() {
        for text in ["168.63.129.16", "169.254.169.254", "127.0.0.1", "255.255.255.255", "::1", "ff02::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(addresses().pseudonym(address), address);
        }
    }

    #[test]
    fn the_platforms_neighbours_do_not() {
        let addresses = addresses();
        let around: Vec<IpAddr> = (0..=255).map(|last| Ipv4Addr::new(168, 63, 129, last).into()).collect();
        let kept = around.iter().filter(|address| addresses.pseudonym(**address) == **address);
        assert_eq!(kept.collect::<Vec<_>>(), [&PLATFORM]);
    }

    #[test]
    fn no_two_addresses_have_one_pseudonym() {
        let addresses = addresses();
        // The one that would have the platform's address for a pseudonym is found bit by bit.
        let mut guess = 0_u32;
        for bit in (0..32).rev() {
            let one = IpAddr::V4(guess.into());
            if shared_bits(addresses.flipped(one), PLATFORM) == 31 - bit {
                guess |= 1 << bit;
            }
        }
        let taken = IpAddr::V4(guess.into());
        assert_eq!(addresses.flipped(taken), PLATFORM);
        assert_eq!(addresses.pseudonym(taken), addresses.flipped(PLATFORM));
    }

    /// Addresses at the edges of the classes and anywhere.
    fn any_address() -> impl Strategy<Value = IpAddr> {
        let edge = (prop::sample::select(CLASSES.to_vec()), any::<bool>(), 0_u32..4, any::<bool>());
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
            edge.prop_map(|(class, first, away, up)| {
                let class: Prefix = class.parse().unwrap();
                match if first { class.network() } else { class.broadcast() } {
                    IpAddr::V4(edge) => {
                        let edge = edge.to_bits();
                        let moved = if up { edge.wrapping_add(away) } else { edge.wrapping_sub(away) };
                        IpAddr::V4(moved.into())
                    }
                    IpAddr::V6(edge) => {
                        let (edge, away) = (edge.to_bits(), u128::from(away));
                        let moved = if up { edge.wrapping_add(away) } else { edge.wrapping_sub(away) };
                        IpAddr::V6(moved.into())
                    }
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn pseudonyms_agree_in_as_many_bits_as_addresses(
            one in any_address(),
            shared in 0_u32..128,
            flip in any::<u128>(),
        ) {
            let other: IpAddr = match one {
                IpAddr::V4(one) => {
                    let mask = u32::MAX.checked_shr(shared).unwrap_or(0);
                    IpAddr::V4((one.to_bits() ^ (flip as u32 & mask)).into())
                }
                IpAddr::V6(one) => {
                    let mask = u128::MAX.checked_shr(shared).unwrap_or(0);
                    IpAddr::V6((one.to_bits() ^ (flip & mask)).into())
                }
            };
            let by = addresses();
            // What is kept agrees with its neighbours in the bits of its class at least, and with none in more.
            prop_assert_eq!(shared_bits(by.flipped(one), by.flipped(other)), shared_bits(one, other));
        }

        #[test]
        fn private_addresses_stay_private_and_public_ones_public(one in any_address()) {
            let of = |address: IpAddr| CLASSES.map(|class| class.parse::<Prefix>().unwrap().contains(&address));
            prop_assert_eq!(of(addresses().pseudonym(one)), of(one));
        }
    }
}
