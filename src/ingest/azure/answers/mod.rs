//! Answers of Azure's own tools about one interface, recognised by content (NW-2, NW-5 to NW-7).

mod diagnostics;
mod routes;
pub(super) mod rules;

use std::path::Path;

use super::node::Node;
use super::tree::Tree;
use super::{Document, LIMIT_BYTES};
use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::answered::Answered;

/// What an answer may be, for messages.
const EXPECTED: &str = "expected effective NSG rules (`az network nic list-effective-nsg`), an effective route table \
                        (`az network nic show-effective-route-table`), a security group view or NSG diagnostics";

/// Reads an answer from a file or standard input (`-`), plain or packed.
///
/// # Errors
///
/// Fails on what cannot be read, and as [`from_document`] does.
pub fn load(path: &Path) -> Result<Answered, IngestError> {
    let document = Document { name: source::shown(path), bytes: source::read(path, LIMIT_BYTES)? };
    from_document(&document)
}

/// Reads an answer that is in memory.
///
/// # Errors
///
/// Fails on what is not JSON or no such answer, and on values that cannot be compared, such as an unknown direction; the
/// message names the place.
pub fn from_document(document: &Document) -> Result<Answered, IngestError> {
    let tree = Tree::parse(&document.name, &document.bytes)?;
    let root = tree.root();
    if let Some(twice) = tree.repeated().next() {
        return Err(twice.error("the object names this member twice: expected once"));
    }
    // Answers differ in their envelopes: a bare list, `value`, or a name of its own (NW-6).
    let list = ["value", "networkSecurityGroups", "networkInterfaces", "results"]
        .iter()
        .find_map(|name| root.raw_member(name))
        .unwrap_or(root);
    let Some(items) = list.as_list() else {
        return Err(root.error(format!("no answer about an interface: {EXPECTED}")));
    };
    if let Some(more) = root.member("nextLink") {
        return Err(more.error("the list goes on behind `nextLink`: expected a whole answer"));
    }
    let Some(first) = items.first() else {
        return Err(list.error(format!("the list is empty: {EXPECTED}")));
    };
    let has = |name: &str| first.raw_member(name).is_some();
    if has("effectiveSecurityRules") {
        items.into_iter().map(rules::group).collect::<Result<_, _>>().map(Answered::Rules)
    } else if has("securityRuleAssociations") {
        items.into_iter().map(rules::view).collect::<Result<_, _>>().map(Answered::Views)
    } else if has("nextHopType") {
        routes::table(&items).map(Answered::Routes)
    } else if has("networkSecurityGroupResult") {
        items.into_iter().map(diagnostics::profile).collect::<Result<_, _>>().map(Answered::Diagnostics)
    } else {
        Err(first.error(format!("no answer about an interface: {EXPECTED}")))
    }
}

/// A rule's own name (NW-3).
fn bare(name: &str) -> &str {
    const PREFIXES: [&str; 4] = ["defaultSecurityRules/", "securityRules/", "UserRule_", "DefaultRule_"];
    let stripped = PREFIXES.iter().find_map(|prefix| {
        let start = name.get(..prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
    });
    stripped.unwrap_or(name)
}

/// A member that must be there.
fn needed<'a>(node: Node<'a>, name: &str, expected: &str) -> Result<Node<'a>, IngestError> {
    node.member(name).ok_or_else(|| node.lacks(name, expected))
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn nw_3_the_prefixes_of_names_are_taken_off_once() {
        for (written, own) in [
            ("securityRules/x", "x"),
            ("defaultSecurityRules/AllowVnetInBound", "AllowVnetInBound"),
            ("UserRule_x", "x"),
            ("DefaultRule_DenyAllInBound", "DenyAllInBound"),
            ("userrule_UserRule_x", "UserRule_x"),
            ("x", "x"),
            ("UserRule", "UserRule"),
        ] {
            assert_eq!(bare(written), own);
        }
    }
}
