//! What a result was made from: hashes, the tag file's state, the program's version.

use serde::Serialize;

use crate::model::tag::TagSource;

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
    /// State of the service tags; nothing for a run without them.
    pub tags: Option<TagSource>,
    /// The program's version.
    pub version: &'static str,
}

impl Inputs {
    /// The inputs of a result about one network.
    #[must_use]
    pub fn new(network: Option<String>, tags: Option<TagSource>) -> Self {
        Self { network, candidate: None, facts: None, tags, version: env!("CARGO_PKG_VERSION") }
    }

    /// The tag state in a few words.
    #[must_use]
    pub fn tags_shown(&self) -> String {
        let Some(tags) = &self.tags else { return "no service tags".to_owned() };
        let cloud = tags.cloud.as_deref().unwrap_or("unnamed cloud");
        let date = tags.date.as_deref().map(|date| format!(", {date}")).unwrap_or_default();
        let change = tags.change_number.map(|number| format!(", change number {number}")).unwrap_or_default();
        format!("service tags of {cloud}{date}{change}")
    }
}
