//! Seeded traffic: where it goes, that it repeats, and that its capture reads back as what was written.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::net::IpAddr;

use nsgsim::ingest::capture::CaptureReader;
use nsgsim::ingest::synth::{SynthError, SynthOptions, SynthPacket, flows, write_pcap};
use nsgsim::model::flow::{FiveTuple, Fragment, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NsgIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{
    IpConfiguration, Network, Nic, PrivateEndpointPolicies, PublicIp, Subnet, Vnet,
};
use nsgsim::model::nsg::Nsg;
use nsgsim::model::prefix::{PortRange, Prefix};
use nsgsim::model::record::Content;
use nsgsim::model::records::Records;
use nsgsim::model::routing::LocalGateway;
use nsgsim::model::rule::{
    Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule,
};
use nsgsim::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn id(name: &str) -> ResourceId {
    ResourceId::new(&format!("/subscriptions/0/resourceGroups/g/providers/p/t/{name}")).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nic(name: &str, addresses: &[&str]) -> Nic {
    let configuration = |text: &&str| IpConfiguration {
        id: id(&format!("{name}-{text}")),
        address: Some(address(text)),
        primary: true,
        public_ip: None,
        asgs: Vec::new(),
        backend_pools: Vec::new(),
        inbound_nat_rules: Vec::new(),
    };
    Nic {
        id: id(name),
        ip_configurations: addresses.iter().map(configuration).collect(),
        subnet: Some(Reference::Here(SubnetIndex::new(0))),
        nsg: None,
        ip_forwarding: false,
        mac: None,
        machine: None,
    }
}

fn inbound(name: &str, source: AddressTerm, ports: (u16, u16)) -> Rule {
    Rule {
        name: name.to_owned(),
        priority: Priority(100),
        direction: Direction::Inbound,
        access: Access::Deny,
        protocol: ProtocolMatch::Is(Protocol::TCP),
        source: vec![source],
        source_ports: vec![PortTerm::Range(PortRange::ALL)],
        destination: vec![AddressTerm::Any],
        destination_ports: vec![PortTerm::Range(PortRange::new(ports.0, ports.1).unwrap())],
        is_default: false,
    }
}

/// One subnet with two interfaces, a public address, a site and an NSG of two rules.
fn network(addresses: &[&[&str]]) -> Network {
    let space = ["10.0.0.0/16", "fd00:db8::/48"].map(prefix).to_vec();
    let rules = vec![
        inbound("prefix", AddressTerm::Prefix(prefix("192.0.2.128/25")), (7000, 7010)),
        inbound("tag", AddressTerm::Tag(TagName::new("Storage.WestEurope")), (0, 0)),
    ];
    Network {
        vnets: vec![Vnet {
            id: id("vnet"),
            location: None,
            address_space: space,
            flow_timeout_min: None,
            subnets: vec![SubnetIndex::new(0)],
            peerings: Vec::new(),
        }],
        subnets: vec![Subnet {
            id: id("subnet"),
            vnet: VnetIndex::new(0),
            prefixes: vec![prefix("10.0.1.0/24")],
            nsg: Some(Reference::Here(NsgIndex::new(0))),
            route_table: None,
            nat_gateway: None,
            service_endpoints: Vec::new(),
            endpoint_policies: Vec::new(),
            delegations: Vec::new(),
            private_endpoint_policies: PrivateEndpointPolicies::Disabled,
            private_link_service_policies: true,
            default_outbound_access: true,
        }],
        nics: addresses
            .iter()
            .enumerate()
            .map(|(number, list)| nic(&format!("nic-{number}"), list))
            .collect(),
        nsgs: vec![Nsg::new(id("nsg"), rules)],
        public_ips: vec![PublicIp {
            id: id("public"),
            address: Some(address("20.50.1.2")),
            sku: None,
            user: None,
            idle_timeout_min: None,
        }],
        local_gateways: vec![LocalGateway { id: id("site"), prefixes: vec![prefix("172.20.0.0/16")] }],
        ..Network::default()
    }
}

fn two_nics() -> Network {
    network(&[&["10.0.1.4"], &["10.0.1.5"]])
}

fn tags() -> TagCatalog {
    let mut tags = TagCatalog::new(TagSource::default());
    tags.insert(ServiceTag {
        name: TagName::new("Storage.WestEurope"),
        region: "westeurope".to_owned(),
        system_service: "AzureStorage".to_owned(),
        prefixes: vec![prefix("20.60.26.0/24")],
    });
    tags
}

fn options(flows: u64, seed: u64) -> SynthOptions {
    SynthOptions { flows, seed, skew: None, start_ns: START_NS }
}

fn made(network: &Network, options: &SynthOptions) -> Vec<SynthPacket> {
    flows(network, &tags(), options).unwrap().collect()
}

fn tuples(packets: &[SynthPacket]) -> impl Iterator<Item = FiveTuple> {
    packets.iter().map(|packet| packet.packet.five_tuple)
}

/// The packets of each flow, in order.
fn by_flow(packets: &[SynthPacket]) -> BTreeMap<FiveTuple, Vec<SynthPacket>> {
    let mut flows = BTreeMap::<FiveTuple, Vec<SynthPacket>>::new();
    for packet in packets {
        let tuple = packet.packet.five_tuple;
        let key = if flows.contains_key(&tuple.reversed()) { tuple.reversed() } else { tuple };
        flows.entry(key).or_default().push(*packet);
    }
    flows
}

#[test]
fn the_same_arguments_give_the_same_bytes_and_another_seed_does_not() {
    let (network, tags) = (two_nics(), tags());
    let bytes = |seed| {
        let mut bytes = Vec::new();
        write_pcap(flows(&network, &tags, &options(300, seed)).unwrap(), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn packets_are_in_time_order_from_the_start_on() {
    let packets = made(&two_nics(), &options(2000, 3));
    assert!(packets.is_sorted_by_key(|packet| packet.time_ns));
    assert_eq!(packets[0].time_ns, START_NS);
}

#[test]
fn a_capture_of_them_reads_back_as_the_same_packets() {
    let network = network(&[&["10.0.1.4", "fd00:db8::4"], &["10.0.1.5"]]);
    let packets = made(&network, &options(3000, 4));
    let mut bytes = Vec::new();
    assert_eq!(write_pcap(packets.iter().copied(), &mut bytes).unwrap(), packets.len() as u64);
    let mut records = Records::default();
    let mut reader = CaptureReader::from_reader("synth", 0, Box::new(Cursor::new(bytes))).unwrap();
    while reader.read_batch(1000, &mut records).unwrap() > 0 {}
    assert_eq!(reader.damage(), None);
    assert_eq!(records.len(), packets.len());
    for (record, packet) in records.iter().zip(&packets) {
        assert_eq!(record.content, Content::Packet(packet.packet));
        assert_eq!(record.time_ns, Some(packet.time_ns));
    }
    let seen: BTreeSet<Protocol> = tuples(&packets).map(|tuple| tuple.protocol).collect();
    let expected = [
        Protocol::ICMP,
        Protocol::TCP,
        Protocol::UDP,
        Protocol::GRE,
        Protocol::ESP,
        Protocol::AH,
        Protocol::ICMPV6,
    ];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// The sum of RFC 1071 over 16-bit words; 0xffff where it includes a right checksum.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

#[test]
fn checksums_and_lengths_are_right() {
    let packets = made(&two_nics(), &options(200, 5));
    let mut bytes = Vec::new();
    write_pcap(packets.iter().copied(), &mut bytes).unwrap();
    let mut at = 24;
    for packet in &packets {
        let length = u32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap()) as usize;
        let ip = &bytes[at + 16 + 14..at + 16 + length];
        at += 16 + length;
        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len());
        assert_eq!(sum(&[&ip[..20]]), 0xffff);
        let (transport, protocol) = (&ip[20..], packet.packet.five_tuple.protocol);
        let header = match protocol {
            Protocol::TCP => 20,
            Protocol::UDP | Protocol::ICMP => 8,
            _ => 0,
        };
        assert_eq!(transport.len(), header + usize::from(packet.payload_bytes));
        let length = u16::try_from(transport.len()).unwrap().to_be_bytes();
        match protocol {
            Protocol::ICMP => assert_eq!(sum(&[transport]), 0xffff),
            Protocol::TCP | Protocol::UDP => {
                assert_eq!(sum(&[&ip[12..20], &[0, protocol.0], &length, transport]), 0xffff);
            }
            _ => {}
        }
    }
    assert_eq!(at, bytes.len());
}

#[test]
fn one_end_of_each_packet_is_in_the_network() {
    let own = [prefix("10.0.0.0/16"), prefix("20.50.1.2/32")];
    for tuple in tuples(&made(&two_nics(), &options(3000, 6))) {
        let ours = |address: &IpAddr| own.iter().any(|prefix| prefix.contains(address));
        assert!(ours(&tuple.source) || ours(&tuple.destination), "{tuple:?}");
        assert_ne!(tuple.source, tuple.destination);
    }
}

#[test]
fn what_rules_and_sites_name_is_visited_with_its_neighbours() {
    let packets = made(&two_nics(), &options(5000, 7));
    let addresses: BTreeSet<IpAddr> =
        tuples(&packets).flat_map(|tuple| [tuple.source, tuple.destination]).collect();
    for edge in ["192.0.2.127", "192.0.2.128", "192.0.2.255", "192.0.3.0"] {
        assert!(addresses.contains(&address(edge)), "{edge}");
    }
    for text in ["20.60.26.0/24", "172.20.0.0/16", "10.0.1.0/24", "20.50.1.2/32", "168.63.129.16/32"] {
        assert!(addresses.iter().any(|address| prefix(text).contains(address)), "{text}");
    }
    let ports: BTreeSet<u16> = tuples(&packets).filter_map(|tuple| tuple.destination_port.number()).collect();
    for port in [6999, 7000, 7010, 7011, 0, 1, 443] {
        assert!(ports.contains(&port), "{port}");
    }
    // Inside the rule's prefix, at its port, towards an interface under its NSG.
    assert!(tuples(&packets).any(|tuple| {
        prefix("192.0.2.128/25").contains(&tuple.source)
            && ["10.0.1.4", "10.0.1.5"].map(address).contains(&tuple.destination)
            && tuple.destination_port == Port::Number(7000)
            && tuple.protocol == Protocol::TCP
    }));
}

#[test]
fn tcp_flows_open_answer_and_close_or_stay_unanswered() {
    let packets = made(&two_nics(), &options(1000, 8));
    let (mut whole, mut lone) = (0, 0);
    for (tuple, flow) in by_flow(&packets) {
        if tuple.protocol != Protocol::TCP {
            continue;
        }
        let flags: Vec<_> = flow.iter().map(|packet| packet.packet.tcp.unwrap()).collect();
        assert!(flags[0].opens(), "{tuple:?}");
        match flags.len() {
            1 => lone += 1,
            2 => assert!(flags[1].rst),
            _ => {
                whole += 1;
                assert!(flags[1].syn && flags[1].ack);
                assert_eq!(flags.iter().filter(|flags| flags.fin).count(), 2);
                let replies = flow.iter().filter(|packet| packet.packet.five_tuple == tuple.reversed());
                assert!(replies.filter(|packet| packet.payload_bytes > 0).count() > 0);
            }
        }
    }
    assert!(whole > lone && lone > 50, "{whole} whole, {lone} lone");
}

#[test]
fn ipv6_is_there_where_the_network_has_it() {
    let v6 = |network: &Network| tuples(&made(network, &options(500, 9))).any(|tuple| tuple.source.is_ipv6());
    assert!(v6(&network(&[&["10.0.1.4", "fd00:db8::4"]])));
    assert!(!v6(&two_nics()));
}

#[test]
fn a_network_of_one_address_still_has_traffic() {
    assert!(!made(&network(&[&["10.0.1.4"]]), &options(50, 1)).is_empty());
    assert!(made(&two_nics(), &options(0, 1)).is_empty());
}

#[test]
fn skew_makes_few_conversations_frequent() {
    let busiest = |skew| {
        let mut pairs = BTreeMap::<(IpAddr, IpAddr), u64>::new();
        for (tuple, _) in by_flow(&made(&two_nics(), &SynthOptions { skew, ..options(4000, 10) })) {
            *pairs.entry((tuple.source, tuple.destination)).or_default() += 1;
        }
        pairs.into_values().max().unwrap()
    };
    // By Zipf's law with exponent 1.5 the first of many ranks has 1 / 2.61 of all flows.
    let skewed = busiest(Some(1.5));
    assert!((1000..2500).contains(&skewed), "{skewed}");
    assert!(busiest(Some(0.0)) < 500);
    assert!(busiest(None) < 500);
}

#[test]
fn flows_are_made_as_they_are_asked_for() {
    let network = two_nics();
    let tags = tags();
    let endless = flows(&network, &tags, &options(u64::MAX, 11)).unwrap();
    assert_eq!(endless.take(10_000).count(), 10_000);
}

#[test]
fn what_cannot_be_made_is_an_error() {
    let error = |network: &Network, options| flows(network, &tags(), &options).err();
    assert_eq!(error(&network(&[]), options(1, 1)), Some(SynthError::NoInterface));
    let skewed = SynthOptions { skew: Some(-1.0), ..options(1, 1) };
    assert_eq!(error(&two_nics(), skewed), Some(SynthError::Skew(-1.0)));
    let skewed = SynthOptions { skew: Some(f64::NAN), ..options(1, 1) };
    assert!(matches!(error(&two_nics(), skewed), Some(SynthError::Skew(_))));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let good = made(&two_nics(), &options(1, 1))[0];
    let late = SynthPacket { time_ns: u64::MAX, ..good };
    let fragment = Packet { fragment: Fragment::First { identification: 1 }, ..good.packet };
    let portless = Packet {
        five_tuple: FiveTuple { protocol: Protocol::UDP, source_port: Port::None, ..good.packet.five_tuple },
        ..good.packet
    };
    let bad = [fragment, portless].map(|packet| SynthPacket { packet, ..good });
    for packet in bad.into_iter().chain([late]) {
        assert!(write_pcap([packet].into_iter(), std::io::sink()).is_err(), "{packet:?}");
    }
}
