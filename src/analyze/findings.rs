//! Everything that is odd about a network, together: what shows while it is read, and what shows only once its names
//! are resolved.

use super::required;
use crate::model::assumptions::Assumptions;
use crate::model::finding::Finding;
use crate::model::network::Network;
use crate::model::tag::TagCatalog;

/// Adds to what was found while a network was read what its rules let through and must not, or must and do not; sorted,
/// each once. `nsg_places` tells where each NSG stands in the input, in the order of [`Network::nsgs`].
///
/// Without a catalogue nothing is known of tags that files define; what hangs on them is told as undecided.
#[must_use]
pub fn all(
    read: Vec<Finding>,
    network: &Network,
    tags: &TagCatalog,
    nsg_places: &[String],
    assumptions: Assumptions,
) -> Vec<Finding> {
    let mut findings = read;
    findings.extend(required::check(network, tags, nsg_places, assumptions));
    findings.sort();
    findings.dedup();
    findings
}
