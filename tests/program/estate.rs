//! Seeded networks: they are read without a complaint, hold what was asked for, and repeat.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::BTreeSet;
use std::sync::Arc;

use nsgsim::analyze::findings;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, Document, Loaded, tags};
use nsgsim::ingest::synth::{Estate, EstateOptions, Part};
use nsgsim::model::assumptions::Assumptions;
use nsgsim::model::index::Reference;
use nsgsim::model::network::Network;
use nsgsim::model::rule::AddressTerm;
use nsgsim::model::tag::TagCatalog;

fn options([vnets, nics, nsgs, rules]: [usize; 4], seed: u64) -> EstateOptions {
    EstateOptions { vnets, nics, nsgs, rules, tags_share: 0.3, seed }
}

fn bytes(estate: &Estate, parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::new();
    estate.write(parts, &mut bytes).unwrap();
    bytes
}

fn whole(options: EstateOptions, tags: &TagCatalog) -> Vec<u8> {
    let estate = Estate::new(options, tags).unwrap();
    let parts: Vec<Part> = estate.parts().into_iter().map(|(_, part)| part).collect();
    bytes(&estate, &parts)
}

fn read(bytes: Vec<u8>, tags: &TagCatalog) -> Loaded {
    let document = Document { name: "estate.json".to_owned(), bytes };
    azure::from_documents(vec![document], Some(tags)).unwrap()
}

/// What `--strict` would object to, and what is warned of.
fn complaints(loaded: &Loaded, tags: &TagCatalog) -> Vec<String> {
    let (read, places) = (loaded.findings.clone(), &loaded.nsg_places);
    let found = findings::all(read, &loaded.network, tags, places, Assumptions::default());
    found.iter().map(ToString::to_string).collect()
}

/// The NSGs that stand at a subnet or an interface.
fn attached(network: &Network) -> BTreeSet<usize> {
    let at_subnets = network.subnets.iter().map(|subnet| &subnet.nsg);
    let at_nics = network.nics.iter().map(|nic| &nic.nsg);
    let here = |nsg: &Option<Reference<_>>| nsg.as_ref().and_then(Reference::here);
    at_subnets.chain(at_nics).filter_map(here).map(nsgsim::model::index::NsgIndex::get).collect()
}

#[test]
fn made_networks_are_read_without_a_finding_hold_what_was_asked_for_and_compile() {
    let tags = Arc::new(tags::bundled());
    // An estate, an NSG alone at the limit of Azure, a network without a custom rule, more networks than interfaces.
    for (sizes, seed) in [
        ([4, 150, 30, 60], 1),
        ([4, 150, 30, 60], 2),
        ([1, 1, 1, 1000], 3),
        ([2, 9, 4, 0], 4),
        ([9, 2, 8, 5], 5),
    ] {
        let loaded = read(whole(options(sizes, seed), &tags), &tags);
        assert_eq!(complaints(&loaded, &tags), [""; 0], "{sizes:?}, seed {seed}");
        let network = loaded.network;
        let [vnets, nics, nsgs, rules] = sizes;
        assert_eq!([network.vnets.len(), network.nics.len(), network.nsgs.len()], [vnets, nics, nsgs]);
        assert_eq!(attached(&network).len(), nsgs, "{sizes:?}");
        for nsg in &network.nsgs {
            assert_eq!(nsg.rules.iter().filter(|rule| !rule.is_default).count(), rules);
        }
        let options = CompileOptions::default();
        let compiled = CompiledNetwork::new(Arc::new(network), Arc::clone(&tags), options);
        assert!(compiled.policies.len() >= 2 * nsgs);
    }
}

#[test]
fn lim_1_the_largest_hub_is_read_without_a_finding() {
    let tags = TagCatalog::default();
    let options = EstateOptions { tags_share: 0.0, ..options([501, 600, 501, 1], 1) };
    let loaded = read(whole(options, &tags), &tags);
    assert_eq!(complaints(&loaded, &tags), [""; 0]);
    assert_eq!(loaded.network.vnets.len(), 501);
}

#[test]
fn spokes_are_peered_to_the_hub_alone() {
    let tags = tags::bundled();
    let network = read(whole(options([4, 40, 8, 2], 1), &tags), &tags).network;
    for vnet in &network.vnets {
        let remotes: Vec<&str> = vnet
            .peerings
            .iter()
            .filter_map(|peering| peering.remote.here())
            .map(|remote| network.vnets[remote.get()].id.name())
            .collect();
        match vnet.id.name() {
            "vnet-hub" => assert_eq!(remotes, ["vnet-spoke-1", "vnet-spoke-2", "vnet-spoke-3"]),
            _ => assert_eq!(remotes, ["vnet-hub"]),
        }
    }
}

#[test]
fn rules_name_prefixes_groups_and_tags() {
    let tags = tags::bundled();
    let network = read(whole(options([2, 80, 10, 100], 1), &tags), &tags).network;
    let rules = network.nsgs.iter().flat_map(|nsg| &nsg.rules).filter(|rule| !rule.is_default);
    let terms: Vec<&AddressTerm> =
        rules.flat_map(|rule| rule.source.iter().chain(&rule.destination)).collect();
    let count = |is: fn(&AddressTerm) -> bool| terms.iter().filter(|term| is(term)).count();
    let files = count(|term| matches!(term, AddressTerm::Tag(tag) if !tag.is_computed()));
    // 1,000 rules, of which a share of 0.3: the deviation is 14.5.
    assert!((228..=372).contains(&files), "{files}");
    let groups = count(|term| matches!(term, AddressTerm::Asg(Reference::Here(_))));
    let prefixes = count(|term| matches!(term, AddressTerm::Prefix(_)));
    assert!(0 < groups && groups < files && files < prefixes, "{groups} groups, {prefixes} prefixes");
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_does_not() {
    let tags = tags::bundled();
    let made = |seed| whole(options([3, 60, 12, 40], seed), &tags);
    assert!(made(1) == made(1));
    assert!(made(1) != made(2));
}

#[test]
fn parts_hold_the_resources_of_the_whole() {
    let tags = tags::bundled();
    let estate = Estate::new(options([3, 60, 12, 40], 1), &tags).unwrap();
    let names: Vec<String> = estate.parts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["vnet.json", "asg.json", "nic.json", "nsg.json"]);
    let documents =
        estate.parts().into_iter().map(|(name, part)| Document { name, bytes: bytes(&estate, &[part]) });
    let apart = azure::from_documents(documents.collect(), Some(&tags)).unwrap();
    let together = read(whole(options([3, 60, 12, 40], 1), &tags), &tags);
    assert_eq!(format!("{:?}", apart.network), format!("{:?}", together.network));
}

#[test]
fn nsgs_of_more_rules_than_a_file_is_read_with_are_spread_over_several() {
    let options = EstateOptions { tags_share: 0.0, ..options([1, 2000, 1200, 1000], 1) };
    let estate = Estate::new(options, &TagCatalog::default()).unwrap();
    assert!(!estate.fits_one_file());
    let nsgs: Vec<(String, Part)> = estate.parts().into_iter().skip(3).collect();
    let part = |name: &str, range| (name.to_owned(), Part::Nsgs(range));
    let expected = [part("nsg.json", 0..500), part("nsg-2.json", 500..1000), part("nsg-3.json", 1000..1200)];
    assert_eq!(nsgs, expected);
}
