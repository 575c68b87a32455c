//! What a result was made from: hashes, the tag file's state, the program's version.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::assumptions::{Assumptions, Choice, Clause};
use crate::model::network::Network;
use crate::model::tag::TagSource;

/// The list of `Internet` that a result was made with (TAG-20).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct InternetSource {
    /// The export that observed it: file and JSON pointer; `TAG-20` for one of the lists that this clause knows.
    pub source: String,
    /// Its day, `2026-11-20`, or as exactly as the clause tells it, `2017-06`; nothing for an export that names none.
    pub date: Option<String>,
}

/// What a result was made from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inputs {
    /// Hash of the network's exports, independent of the files' names and order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Hash of the candidate's exports, for two-sided results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Hash of the file of facts that was stated about them, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<String>,
    /// Hash of the file of edits that make the candidate, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    /// State of the service tags; nothing for a run without them.
    pub tags: Option<TagSource>,
    /// That of the candidate, where the tags are what differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_tags: Option<TagSource>,
    /// The list of `Internet`; nothing for a result about no network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet: Option<InternetSource>,
    /// That of the candidate, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_internet: Option<InternetSource>,
    /// The choices that were taken in place of this project's decisions, by clause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub assumptions: BTreeMap<&'static str, &'static str>,
    /// The program's version.
    pub version: &'static str,
}

impl Inputs {
    /// The inputs of a result about one network.
    #[must_use]
    pub fn new(network: Option<String>, tags: Option<TagSource>) -> Self {
        Self { network, tags, version: env!("CARGO_PKG_VERSION"), ..Self::default() }
    }

    /// These, of a result about a network under assumptions.
    #[must_use]
    pub fn of(self, network: &Network, assumptions: Assumptions) -> Self {
        let internet = match &network.observed_internet {
            Some(observed) => InternetSource { source: observed.source.clone(), date: observed.date.clone() },
            None => {
                let date = assumptions.of(Clause::Tag20).word().to_owned();
                InternetSource { source: Clause::Tag20.number().to_owned(), date: Some(date) }
            }
        };
        let assumptions =
            assumptions.overridden().map(|choice: Choice| (choice.clause().number(), choice.word()));
        Self { internet: Some(internet), assumptions: assumptions.collect(), ..self }
    }

    /// These, of a result about a candidate as well.
    #[must_use]
    pub fn with_candidate(self, candidate: Self) -> Self {
        let internet = candidate.internet.filter(|internet| self.internet.as_ref() != Some(internet));
        Self { candidate: candidate.network, edit: candidate.edit, candidate_internet: internet, ..self }
    }

    /// The tag state in a few words.
    #[must_use]
    pub fn tags_shown(&self) -> String {
        Self::tags_words(self.tags.as_ref())
    }

    /// A tag state in a few words.
    #[must_use]
    pub fn tags_words(tags: Option<&TagSource>) -> String {
        let Some(tags) = tags else { return "no service tags".to_owned() };
        let cloud = tags.cloud.as_deref().unwrap_or("unnamed cloud");
        let date = tags.date.as_deref().map(|date| format!(", {date}")).unwrap_or_default();
        let change = tags.change_number.map(|number| format!(", change number {number}")).unwrap_or_default();
        format!("service tags of {cloud}{date}{change}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Inputs, InternetSource};
    use crate::model::assumptions::Assumptions;
    use crate::model::network::Network;
    use crate::model::observed::ObservedInternet;

    /// The inputs of a result about a network whose exports bring this list of `Internet`, or none.
    fn made_with(source: Option<&str>) -> Inputs {
        let observed = |source: &str| ObservedInternet {
            prefixes: Vec::new(),
            source: source.to_owned(),
            date: Some("2026-11-20".to_owned()),
        };
        let network = Network { observed_internet: source.map(observed), ..Network::default() };
        let assumed = Assumptions::default().with("NSG-10=ignored".parse().unwrap());
        Inputs::new(None, None).of(&network, assumed)
    }

    #[test]
    fn the_list_of_internet_is_named_with_its_day_and_what_was_assumed_by_clause() {
        let named = |source: &str, date: &str| {
            Some(InternetSource { source: source.to_owned(), date: Some(date.to_owned()) })
        };
        assert_eq!(made_with(None).internet, named("TAG-20", "2017-06"));
        assert_eq!(made_with(Some("a.json#/0")).internet, named("a.json#/0", "2026-11-20"));
        assert_eq!(made_with(None).assumptions.into_iter().collect::<Vec<_>>(), [("NSG-10", "ignored")]);
    }

    #[test]
    fn the_candidates_list_is_named_only_where_it_is_another() {
        let beside = |candidate| made_with(None).with_candidate(made_with(candidate)).candidate_internet;
        assert_eq!(beside(None), None);
        assert_eq!(beside(Some("b.json#/0")).map(|internet| internet.source), Some("b.json#/0".to_owned()));
    }
}
