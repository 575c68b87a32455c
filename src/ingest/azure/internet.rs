//! The list of `Internet` that exports of effective rules bring along (TAG-20, NW-6).

use ipnet::IpNet;
use jiff::civil::Date;

use super::answers::rules;
use super::findings::Findings;
use super::node::Node;
use crate::ingest::error::IngestError;
use crate::model::answered::AnsweredSide;
use crate::model::finding::FindingCode;
use crate::model::observed::ObservedInternet;
use crate::model::prefix::Prefix;
use crate::model::tag::TagName;

/// One expansion of `Internet`, and where it stands.
struct Expansion<'a> {
    prefixes: Vec<Prefix>,
    date: Option<Date>,
    node: Node<'a>,
}

/// The list that counts, if any of the exports has one: of several that differ the newest.
///
/// # Errors
///
/// Fails where several differ and their dates do not tell which is the newest; names both.
pub(super) fn observed(
    exports: &[Node<'_>],
    findings: &mut Findings,
) -> Result<Option<ObservedInternet>, IngestError> {
    let mut found = Vec::new();
    for node in exports {
        let lists = expansions(*node)?;
        if lists.is_empty() {
            let message = "left out: the effective rules do not tell what `Internet` stands for";
            findings.add(FindingCode::UnknownKind, *node, message);
        }
        found.extend(lists);
    }
    // The newest first; the order of the files does not show.
    found.sort_by_cached_key(|one| (std::cmp::Reverse(one.date), one.node.place()));
    let Some(newest) = found.first() else { return Ok(None) };
    for other in found.iter().filter(|other| other.prefixes != newest.prefixes) {
        let newest_at = newest.node.place();
        if other.date.is_none() || other.date == newest.date {
            return Err(other.node.error(format!(
                "what `Internet` stands for differs from what stands at {newest_at}, and dates do not tell which is \
                 newer: expected one list, or a `date` beside each"
            )));
        }
        let message = format!(
            "what `Internet` stands for differs from what stands at {newest_at}, the newer, which counts"
        );
        findings.add(FindingCode::DifferingInternet, other.node, message);
    }
    Ok(Some(ObservedInternet {
        prefixes: newest.prefixes.clone(),
        source: newest.node.place(),
        date: newest.date.map(|date| date.to_string()),
    }))
}

/// What the rules of one NSG in effect say that `Internet` stands for, each list once.
fn expansions(node: Node<'_>) -> Result<Vec<Expansion<'_>>, IngestError> {
    let date = date(node)?;
    let mut lists: Vec<Vec<Prefix>> = Vec::new();
    for rule in rules::group(node)?.rules {
        for side in [rule.source, rule.destination] {
            let Some(prefixes) = expansion(side) else { continue };
            if !lists.contains(&prefixes) {
                lists.push(prefixes);
            }
        }
    }
    Ok(lists.into_iter().map(|prefixes| Expansion { prefixes, date, node }).collect())
}

/// The ranges of a side that is `Internet` and nothing else, where the export gives them.
fn expansion(side: AnsweredSide) -> Option<Vec<Prefix>> {
    let alone = !side.any && side.prefixes.is_empty();
    match side.names.as_slice() {
        [name] if alone && TagName::new(name).is(TagName::INTERNET) => {
            let mut prefixes = IpNet::aggregate(&side.expanded?);
            prefixes.sort_unstable();
            Some(prefixes)
        }
        _ => None,
    }
}

/// The day of an export. Azure's tools write none: who keeps one writes it as `date`, into the entry or beside its list.
fn date(node: Node<'_>) -> Result<Option<Date>, IngestError> {
    let written = node.member("date").or_else(|| node.around()?.member("date"));
    let Some(written) = written else { return Ok(None) };
    written.text()?.parse().map(Some).map_err(|_| written.wrong("a day such as `2026-11-20`"))
}
