//! The checklist of Azure Machine Learning (AML-1 to AML-20), as it is built into the program: what compute in a network of
//! one's own must reach, and be reached by.

use serde::Deserialize;

/// The file; `data/README.md` describes its format.
const AZURE_ML: &str = include_str!("../../data/aml-checklist.yaml");

/// A row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecklistRow {
    /// The clause.
    pub id: String,
    /// `inbound` or `outbound`, seen from the compute.
    pub direction: RowDirection,
    /// `tcp`, `udp`, or `any`.
    pub protocol: String,
    /// The other ends.
    pub remote: Vec<RowEnd>,
    /// `one`: any of the other ends will do.
    pub enough: Option<Enough>,
    /// This end, where it is not the compute.
    pub local: Option<RowEnd>,
    /// Destination ports and ranges; an end with ports of its own has those instead.
    #[serde(default)]
    pub ports: Vec<String>,
    /// What the traffic is for.
    pub purpose: String,
    /// Which workspaces need it.
    pub needed_when: String,
    /// The article that says so.
    pub source: String,
}

/// Which way.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum RowDirection {
    /// To the compute.
    Inbound,
    /// From it.
    Outbound,
}

/// How many of several ends are enough.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Enough {
    /// Any.
    One,
}

/// An end, by one of its members.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RowEnd {
    /// A service tag; `{region}` stands for the workspace's region.
    pub tag: Option<String>,
    /// Of what: `workspace`, `storage-blob`, `key-vault`, ...
    pub private_endpoint: Option<String>,
    /// `clients`: wherever the users are.
    pub network: Option<String>,
    /// Names on the internet, which no rule of an NSG can hold.
    pub hosts: Option<String>,
    /// Which workspaces need this one end.
    pub only_for: Option<String>,
    /// Ports of its own.
    pub ports: Vec<String>,
}

/// The rows, in the order of their clauses.
///
/// # Panics
///
/// Never: the file is read by a test.
#[must_use]
pub fn azure_ml() -> Vec<ChecklistRow> {
    serde_saphyr::from_str(AZURE_ML).expect("the built-in checklist is well-formed")
}

#[cfg(test)]
mod tests {
    use super::azure_ml;

    #[test]
    fn the_built_in_checklist_has_a_row_for_each_clause() {
        let rows = azure_ml();
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        assert_eq!(ids, (1..=20).map(|number| format!("AML-{number}")).collect::<Vec<_>>());
    }
}
