//! The shape of a file of facts.

use serde::Deserialize;
use serde_saphyr::Spanned;

/// Everything that a file states.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statements {
    /// ROUTE-15.
    #[serde(default)]
    pub appliances: Vec<Appliance>,
    /// GW-4.
    #[serde(default)]
    pub learned_routes: Vec<LearnedRoutes>,
    /// ADM-7.
    #[serde(default)]
    pub management_groups: Vec<ManagementGroup>,
    /// ADM-6.
    #[serde(default)]
    pub admin_configurations: Vec<AdminConfiguration>,
    /// EVAL-13.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// SVC-2, SVC-4.
    #[serde(default)]
    pub callers: Vec<Spanned<Caller>>,
}

/// What the machine behind an interface does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Appliance {
    /// Name or ID.
    pub nic: Spanned<String>,
    pub mode: Mode,
    /// Name or ID.
    pub egress_nic: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Forward,
    Snat,
    Drop,
}

/// What a gateway has learned by BGP.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LearnedRoutes {
    /// Name or ID.
    pub gateway: Spanned<String>,
    pub prefixes: Spanned<Vec<Spanned<String>>>,
}

/// Where a management group hangs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagementGroup {
    /// Name or ID.
    pub id: Spanned<String>,
    /// Name or ID; absent or null at the root.
    #[serde(default)]
    pub parent: Option<Spanned<String>>,
}

/// Whether a security admin configuration is in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminConfiguration {
    /// Name or ID.
    pub id: Spanned<String>,
    pub deployed: bool,
}

/// Of which kind a subscription is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    pub id: Spanned<String>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    EnterpriseAgreement,
    ExemptedDevTest,
    Other,
}

/// Whom the firewalls of services let in for what it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    /// Name or ID; or else `address`.
    pub nic: Option<Spanned<String>>,
    /// An IP address or CIDR block; or else `nic`.
    pub address: Option<Spanned<String>>,
    /// ID of the resource that it calls as.
    pub instance: Option<Spanned<String>>,
    pub trusted_service: Option<bool>,
}
