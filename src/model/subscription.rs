//! Subscriptions, whose kind the exports of their networks do not tell.

/// A subscription whose kind is known: by its own export, or because the user stated it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// Its ID, as it stands behind `/subscriptions/` in the IDs of its resources.
    pub id: String,
    /// Its kind.
    pub kind: SubscriptionKind,
}

/// The kinds of subscriptions that the platform tells apart (EVAL-13).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SubscriptionKind {
    /// Under an Enterprise Agreement.
    EnterpriseAgreement,
    /// For development and tests, and exempted from the block.
    ExemptedDevTest,
    /// Any other: pay-as-you-go, trial, sponsored, development and tests without an exemption.
    Other,
}

impl SubscriptionKind {
    /// Whether the platform blocks TCP 25 straight to the internet (EVAL-13).
    #[must_use]
    pub fn blocks_smtp(self) -> bool {
        self == Self::Other
    }
}
