//! Typed positions: a reference in a file becomes the index of a resource in the [`Network`].
//!
//! [`Network`]: super::network::Network

use super::id::ResourceId;

/// Declares newtypes over `u32` that index one list of the network each.
macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u32);

        impl $name {
            /// The index of the element at `position`.
            ///
            /// # Panics
            ///
            /// Panics beyond 4,294,967,295 elements, which no inventory reaches.
            #[must_use]
            pub fn new(position: usize) -> Self {
                Self(u32::try_from(position).expect("an inventory holds fewer than 2^32 resources of one kind"))
            }

            /// The position in the list that it indexes.
            #[must_use]
            pub fn get(self) -> usize {
                self.0 as usize
            }
        }
    )+};
}

indices! {
    /// Indexes [`Network::vnets`](super::network::Network::vnets).
    VnetIndex,
    /// Indexes [`Network::subnets`](super::network::Network::subnets).
    SubnetIndex,
    /// Indexes [`Network::nics`](super::network::Network::nics).
    NicIndex,
    /// Indexes [`Network::nsgs`](super::network::Network::nsgs).
    NsgIndex,
    /// Indexes [`Network::asgs`](super::network::Network::asgs).
    AsgIndex,
    /// Indexes [`Network::public_ips`](super::network::Network::public_ips).
    PublicIpIndex,
    /// Indexes [`Network::route_tables`](super::network::Network::route_tables).
    RouteTableIndex,
    /// Indexes [`Network::nat_gateways`](super::network::Network::nat_gateways).
    NatGatewayIndex,
    /// Indexes [`Network::load_balancers`](super::network::Network::load_balancers).
    LoadBalancerIndex,
    /// Indexes [`Network::private_endpoints`](super::network::Network::private_endpoints).
    PrivateEndpointIndex,
    /// Indexes [`Network::gateways`](super::network::Network::gateways).
    GatewayIndex,
    /// Indexes [`Network::local_gateways`](super::network::Network::local_gateways).
    LocalGatewayIndex,
    /// Indexes [`Network::service_accounts`](super::network::Network::service_accounts).
    ServiceAccountIndex,
}

/// What a resource ID in a file pointed to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Reference<I> {
    /// A resource of the inventory.
    Here(I),
    /// A resource that the inventory does not hold: what hangs on it is undetermined (SIM-4).
    Missing(ResourceId),
}

impl<I: Copy> Reference<I> {
    /// The index, where the resource is in the inventory.
    #[must_use]
    pub fn here(&self) -> Option<I> {
        match self {
            Self::Here(index) => Some(*index),
            Self::Missing(_) => None,
        }
    }
}
