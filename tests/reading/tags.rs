//! The reader of service tags, on published files. They are not in the repository: the variable `NSGSIM_SHARED` names
//! the folder that holds them, and without it these tests only say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nsgsim::ingest::azure::tags;
use nsgsim::ingest::source;
use nsgsim::model::tag::TagName;
use serde_json::Value;

/// The folder with published files, where one is given.
fn folder() -> Option<PathBuf> {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no published files to read");
        return None;
    };
    let folder = PathBuf::from(shared).join("data/service-tags");
    assert!(folder.is_dir(), "{}: expected a folder with service tag files", folder.display());
    Some(folder)
}

/// The tags of a file, read plainly: name to prefixes as they are spelt.
fn plain(path: &Path) -> (Value, BTreeMap<String, Vec<String>>) {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let bytes = source::read(path, 1 << 28).expect("a readable file");
    let content: Value = serde_json::from_slice(&bytes).expect("JSON");
    let list = content.get("values").or_else(|| content.get("value")).and_then(Value::as_array);
    let tags = list
        .expect("a list of tags")
        .iter()
        .map(|tag| {
            let prefixes = tag["properties"]["addressPrefixes"].as_array().expect("a list of prefixes");
            (text(&tag["name"]), prefixes.iter().map(text).collect())
        })
        .collect();
    (content, tags)
}

#[test]
fn every_published_file_is_read_whole() {
    let Some(folder) = folder() else { return };
    // Tags, prefixes: what the files' own description counts.
    let counts = BTreeMap::from([
        ("api-answer-excerpt-2022.json", (1, 10)),
        ("china-cn354-2025-05-15.json.gz", (324, 4087)),
        ("china-cn370-2025-10-25.json.gz", (325, 4161)),
        ("government-cn371-2025-10-25.json.gz", (327, 5670)),
        ("public-2026-10-26-converted.json.gz", (3321, 110_437)),
        ("public-cn371-2025-10-08.json.gz", (3039, 92_436)),
        ("public-cn376-2025-11-10.json.gz", (3041, 95_823)),
    ]);
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (catalog, findings) = tags::load(&path).unwrap();
        let (content, plain) = plain(&path);

        // A prefix with host bits is told, and each is one that the file really has.
        let host_bits: Vec<&String> = plain
            .values()
            .flatten()
            .filter(|text| text.parse::<ipnet::IpNet>().unwrap().trunc().to_string() != **text)
            .collect();
        let told = findings.iter().filter(|finding| finding.code.as_str() == "HostBitsSet").count();
        assert_eq!((told, findings.len()), (host_bits.len(), host_bits.len()), "{name}: {findings:?}");

        assert_eq!(catalog.len(), plain.len(), "{name}");
        for (tag, texts) in &plain {
            let expected: BTreeSet<ipnet::IpNet> =
                texts.iter().map(|text| text.parse::<ipnet::IpNet>().unwrap().trunc()).collect();
            let read = &catalog.get(&TagName::new(tag)).unwrap().prefixes;
            assert!(read.iter().eq(&expected), "{name}: {tag}");
        }
        let source = catalog.source.as_ref().unwrap();
        assert_eq!(source.cloud.as_deref(), content["cloud"].as_str(), "{name}");
        assert_eq!(source.change_number, content["changeNumber"].as_u64(), "{name}");
        if let Some((tags, prefixes)) = counts.get(name.as_str()) {
            assert_eq!(
                (plain.len(), plain.values().map(Vec::len).sum::<usize>()),
                (*tags, *prefixes),
                "{name}"
            );
            assert_eq!(source.date.is_some(), name != "api-answer-excerpt-2022.json", "{name}");
            seen.insert(name);
        }
    }
    assert_eq!(seen.len(), counts.len(), "files are missing: there are {seen:?}");
}

#[test]
fn the_built_in_snapshot_states_the_facts_of_its_day() {
    let Some(folder) = folder() else { return };
    let catalog = tags::bundled();
    let (same_day, _) = tags::load(&folder.join("public-2026-10-26-converted.json.gz")).unwrap();
    assert_eq!(catalog.source.as_ref().unwrap().date, same_day.source.as_ref().unwrap().date);
    assert!(catalog.iter().map(|tag| &tag.name).eq(same_day.iter().map(|tag| &tag.name)));
    for (built_in, loaded) in catalog.iter().zip(same_day.iter()) {
        assert_eq!(built_in.prefixes, loaded.prefixes, "{}", built_in.name);
        assert_eq!(built_in.region, loaded.region, "{}", built_in.name);
    }
}

#[test]
fn the_built_in_snapshot_spells_names_as_published() {
    let Some(folder) = folder() else { return };
    let catalog = tags::bundled();
    let (published, _) = tags::load(&folder.join("public-cn376-2025-11-10.json.gz")).unwrap();
    for tag in published.iter() {
        if let Some(built_in) = catalog.get(&tag.name) {
            assert_eq!(built_in.name.as_str(), tag.name.as_str());
        }
    }
}

#[test]
fn a_packed_snapshot_is_a_tag_file_like_any_other() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/service-tags/public.tags.zst");
    let (loaded, findings) = tags::load(&path).unwrap();
    assert_eq!(findings, []);
    assert_eq!((loaded.source.clone(), loaded.len()), (tags::bundled().source, tags::bundled().len()));
}

#[test]
fn the_addresses_of_the_example_capture_are_in_their_tags() {
    let catalog = tags::bundled();
    let holds = |tag: &str, address: &str| {
        let tag = catalog.get(&TagName::new(tag)).expect("a tag of the snapshot");
        let address: IpAddr = address.parse().expect("an address");
        tag.prefixes.iter().any(|prefix| prefix.contains(&address))
    };
    // What `nsg-ml-compute` of the example names, and what `tools/example/make_capture.py` takes from each.
    let addresses = [
        ("AzureActiveDirectory", "13.69.66.165"),
        ("AzureMachineLearning", "13.69.64.197"),
        ("BatchNodeManagement.WestEurope", "13.69.65.69"),
        ("AzureResourceManager", "13.69.67.37"),
        ("Storage", "13.69.40.21"),
        ("Storage", "13.70.208.21"),
        ("Storage", "13.74.208.69"),
    ];
    let others = [
        "AzureFrontDoor.Frontend",
        "MicrosoftContainerRegistry.WestEurope",
        "AzureFrontDoor.FirstParty",
        "AzureMonitor",
        "AzureKeyVault.WestEurope",
    ];
    for (own, address) in addresses {
        for tag in addresses.iter().map(|(tag, _)| *tag).chain(others) {
            assert_eq!(holds(tag, address), tag == own, "{tag}, {address}");
        }
    }
    assert!(holds("Storage.WestEurope", "13.69.40.21"));
    assert!(holds("Storage.NorthEurope", "13.70.208.21") && holds("Storage.NorthEurope", "13.74.208.69"));
    // What the mistyped rule meant, and what is in no tag that the NSG names.
    assert!(holds("AzureContainerRegistry.WestEurope", "13.69.64.93"));
    assert!(catalog.get(&TagName::new("AzureContainerRegistry.WestEuorpe")).is_none());
    for address in ["13.69.64.93", "198.51.100.44"] {
        for tag in addresses.iter().map(|(tag, _)| *tag).chain(others) {
            assert!(!holds(tag, address), "{tag}, {address}");
        }
    }
}
