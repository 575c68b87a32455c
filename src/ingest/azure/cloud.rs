//! Whether the service tags are of the cloud that the network is in (TAG-19).

use super::assemble::Nodes;
use super::findings::Findings;
use super::nsg::NsgDraft;
use crate::model::finding::FindingCode;
use crate::model::tag::TagCatalog;

const CHINA: &str = "AzureChina";
const GERMANY: &str = "AzureGermany";
const GOVERNMENT: &str = "AzureGovernment";
const PUBLIC: &str = "Public";

/// How the regions of a cloud begin; a region of another name is one of the public cloud.
const REGIONS: [(&str, &str); 5] = [
    ("china", CHINA),
    ("germanycentral", GERMANY),
    ("germanynortheast", GERMANY),
    ("usdod", GOVERNMENT),
    ("usgov", GOVERNMENT),
];

/// What tag files and tools call the clouds.
const NAMES: [(&str, &str); 10] = [
    ("Public", PUBLIC),
    ("AzurePublic", PUBLIC),
    ("AzureCloud", PUBLIC),
    ("AzureGovernment", GOVERNMENT),
    ("AzureUSGovernment", GOVERNMENT),
    ("AzureChina", CHINA),
    ("AzureChinaCloud", CHINA),
    ("China", CHINA),
    ("AzureGermany", GERMANY),
    ("AzureGermanCloud", GERMANY),
];

/// Checks the regions of networks, interfaces, NSGs and route tables against the file; the first that does not fit is
/// reported. LIMIT: a file of a cloud that has no public name is not checked.
pub(super) fn check(
    tags: Option<&TagCatalog>,
    nsgs: &[NsgDraft<'_>],
    nodes: &Nodes<'_>,
    findings: &mut Findings,
) {
    let file = tags.and_then(|tags| tags.source.as_ref()?.cloud.as_deref());
    let Some(file) = file else { return };
    let Some((_, expected)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(file)) else { return };
    let resources = nodes.vnets.iter().chain(&nodes.nics).chain(&nodes.route_tables).copied();
    for node in resources.chain(nsgs.iter().map(|nsg| nsg.node)) {
        let Some(location) = node.member("location") else { continue };
        let Some(region) = location.as_text() else { continue };
        if let Some(cloud) = cloud_of(region).filter(|cloud| cloud != expected) {
            let message = format!(
                "`{region}` is a region of the cloud `{cloud}`, but the service tags are of `{file}`: their ranges \
                 differ (TAG-19)"
            );
            findings.add(FindingCode::CloudMismatch, location, message);
            return;
        }
    }
}

/// The cloud of a region, `usgovvirginia` or as the portal spells it, `USGov Virginia`. What is `global` is in none.
fn cloud_of(region: &str) -> Option<&'static str> {
    let letters = region.chars().filter(|each| !each.is_whitespace());
    let folded: String = letters.map(|each| each.to_ascii_lowercase()).collect();
    let cloud =
        REGIONS.iter().find(|(start, _)| folded.starts_with(start)).map_or(PUBLIC, |(_, cloud)| *cloud);
    (folded != "global").then_some(cloud)
}
