//! What addresses, prefixes, tags and ports are drawn from.

/// Addresses of packets: of interfaces, next to them, public ones in and out of the inventory, on the edges of ranges.
pub(super) const ADDRESSES: [&str; 36] = [
    "10.0.1.4",
    "168.63.129.16",
    "169.254.169.254",
    "20.118.99.224",
    "10.0.1.20",
    "224.0.0.1",
    "10.0.1.5",
    "10.0.2.4",
    "10.1.1.4",
    "10.2.1.4",
    "203.0.113.4",
    "203.0.113.5",
    "203.0.113.9",
    "198.51.100.0",
    "198.51.100.63",
    "198.51.100.64",
    "8.8.8.8",
    "10.0.1.6",
    "10.0.1.255",
    "10.0.2.0",
    "10.0.255.255",
    "10.1.0.0",
    "10.3.0.1",
    "172.31.255.255",
    "172.32.0.0",
    "192.168.0.1",
    "100.64.0.1",
    "203.0.113.77",
    "203.0.113.20",
    "10.0.1.100",
    "10.0.2.100",
    "10.0.1.200",
    "192.168.0.4",
    "fd00::4",
    "fd00::9",
    "2001:db8::1",
];

/// Where services answer: most of them are in the service tag of storage.
pub(super) const SERVICES: [&str; 5] =
    ["198.51.100.0", "198.51.100.9", "198.51.100.63", "198.51.100.64", "8.8.8.8"];

pub(super) const PREFIXES: [&str; 14] = [
    "10.0.1.4/32",
    "10.0.1.0/24",
    "10.0.0.0/16",
    "10.0.0.0/15",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "203.0.113.4/32",
    "203.0.113.0/24",
    "198.51.100.0/25",
    "8.8.8.8/32",
    "fd00::/64",
    "192.168.0.0/16",
];

pub(super) const TAGS: [&str; 7] = [
    "VirtualNetwork",
    "Internet",
    "AzureLoadBalancer",
    "Storage",
    "AzureCloud",
    "Nowhere",
    "AzurePlatformDNS",
];

/// 25 is mail's (EVAL-13).
pub(super) const PORTS: [u16; 11] = [80, 79, 81, 443, 1000, 0, 65535, 1024, 53, 1688, 25];

pub(super) const PORT_RANGES: [(u16, u16); 6] =
    [(80, 80), (80, 443), (0, 79), (1000, 65535), (0, 65534), (443, 443)];

/// What routes apply to, besides the ranges of subnets.
pub(super) const ROUTE_PREFIXES: [&str; 10] = [
    "0.0.0.0/0",
    "10.0.0.0/16",
    "10.1.0.0/16",
    "10.0.2.4/32",
    "10.0.0.0/8",
    "8.8.8.8/32",
    "203.0.113.0/24",
    "10.0.1.20/32",
    "198.51.100.0/25",
    "::/0",
];
