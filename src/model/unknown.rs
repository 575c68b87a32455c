//! What the inputs do not hold and a verdict may hang on.

use std::net::IpAddr;

use serde::Serialize;

use super::id::ResourceId;
use super::reason_code::ReasonCode;
use super::rule::Direction;
use super::tag::TagName;
use super::verdict::RulePlace;

/// One thing that the inputs do not hold and that a verdict hangs on. Each is a yes-or-no question about one packet:
/// a verdict is undetermined if the answers to such questions could make it an allow or a deny.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Unknown {
    /// Whether a tag that no loaded file has holds an address (TAG-15).
    TagHolds {
        /// The tag.
        tag: TagName,
        /// The address.
        address: IpAddr,
    },
    /// Whether a tag without a definition (TAG-15) makes up a route, or a connected range, for an address.
    ConnectedSpaceHolds {
        /// The subnet, by its ID, whose surroundings are not fully known.
        subnet: ResourceId,
        /// The missing resource or tag.
        missing: String,
        /// The address.
        address: IpAddr,
    },
    /// Whether an application security group that the inventory lacks has an address as a member.
    AsgHolds {
        /// Its ID.
        asg: ResourceId,
        /// The address.
        address: IpAddr,
    },
    /// Whether a field that Azure does not take matches.
    FieldMatches {
        /// The rule.
        rule: RulePlace,
        /// The field's text.
        text: String,
    },
    /// Whether a port range holds a port that the question did not give (NW-1).
    PortMatches {
        /// The rule.
        rule: RulePlace,
        /// It is the source port.
        source: bool,
    },
    /// Whether an NSG that the inventory lacks allows the packet.
    NsgAllows {
        /// Its ID.
        nsg: ResourceId,
        /// Which way.
        direction: Direction,
    },
    /// Whether the own NSG of an interface that the inventory does not list allows the packet.
    UnlistedNicAllows {
        /// The address of the interface.
        address: IpAddr,
    },
    /// Whether a security admin configuration is in force (ADM-6), where the export does not say.
    AdminConfigurationIsDeployed {
        /// Its ID or name.
        configuration: String,
    },
    /// Whether of two managers over one network the first named goes first (ADM-7), where their scopes do not tell.
    ManagerGoesFirst {
        /// The one.
        first: ResourceId,
        /// The other.
        second: ResourceId,
    },
    /// Whether the account that answers at an address is one that the subnet's endpoint policies name (SEP-1).
    PolicyNamesAccountAt {
        /// The subnet.
        subnet: ResourceId,
        /// The address.
        address: IpAddr,
    },
    /// Whether the client is in the account's own region (SVC-3), where the export does not say.
    SameRegion {
        /// The account.
        account: ResourceId,
    },
    /// Whether what hangs on a missing resource lets the packet through.
    ResourceAllows {
        /// The ID of the missing resource.
        resource: ResourceId,
    },
    /// Whether an owner exists for an address, in an inventory that is said to be partial.
    OwnerAllows {
        /// The address.
        address: IpAddr,
    },
    /// Whether something that nsgsim does not simulate lets the packet through.
    FeatureAllows {
        /// What it is.
        feature: Feature,
        /// The resource, where one is concerned.
        resource: Option<ResourceId>,
    },
    /// Whether the flow was let in earlier, which itself is undetermined.
    FlowIsOpen {
        /// What the first packet hung on.
        because: Box<Unknown>,
    },
    /// The source that the receiver sees after a translation that Azure picks.
    TranslatedSource {
        /// The sender's address.
        address: IpAddr,
    },
    /// Whether Azure picks this address of a Private Link service, which has several (PLS-1).
    TranslatedSourceIs {
        /// The service.
        service: ResourceId,
        /// The address.
        address: IpAddr,
    },
    /// Whether a packet that an interface forwards, and whose source is none of its addresses, gets out to the internet:
    /// no clause of OUT says by what.
    ForeignSourceLeaves {
        /// The interface, by its ID.
        nic: ResourceId,
    },
    /// Several networks hold the address, and they disagree (TOP-5).
    AmbiguousPlace {
        /// The address.
        address: IpAddr,
    },
    /// More questions are open than can be tried.
    TooManyUnknowns,
    /// More ways lead through load balancers than can be tried.
    TooManyWays,
}

impl Unknown {
    /// The address that it is about, where it is about one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::TagHolds { address, .. }
            | Self::ConnectedSpaceHolds { address, .. }
            | Self::AsgHolds { address, .. }
            | Self::UnlistedNicAllows { address }
            | Self::OwnerAllows { address }
            | Self::PolicyNamesAccountAt { address, .. }
            | Self::TranslatedSource { address }
            | Self::TranslatedSourceIs { address, .. }
            | Self::AmbiguousPlace { address } => Some(*address),
            Self::FlowIsOpen { because } => because.address(),
            Self::FieldMatches { .. }
            | Self::PortMatches { .. }
            | Self::AdminConfigurationIsDeployed { .. }
            | Self::ManagerGoesFirst { .. }
            | Self::SameRegion { .. }
            | Self::ForeignSourceLeaves { .. }
            | Self::NsgAllows { .. }
            | Self::ResourceAllows { .. }
            | Self::FeatureAllows { .. }
            | Self::TooManyUnknowns
            | Self::TooManyWays => None,
        }
    }

    /// What it comes down to: of a flow that was let in or not, what its first packet hung on.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::FlowIsOpen { because } => because.root(),
            other => other,
        }
    }

    /// The stable word for it.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::TagHolds { .. } => ReasonCode::UnknownTag,
            Self::AsgHolds { .. }
            | Self::ConnectedSpaceHolds { .. }
            | Self::NsgAllows { .. }
            | Self::ResourceAllows { .. } => ReasonCode::MissingResource,
            Self::FieldMatches { .. } => ReasonCode::InvalidField,
            Self::PortMatches { .. } => ReasonCode::PortNotGiven,
            Self::AdminConfigurationIsDeployed { .. }
            | Self::ManagerGoesFirst { .. }
            | Self::PolicyNamesAccountAt { .. }
            | Self::SameRegion { .. }
            | Self::ForeignSourceLeaves { .. } => ReasonCode::NotStated,
            Self::UnlistedNicAllows { .. } => ReasonCode::UnlistedSender,
            Self::OwnerAllows { .. } => ReasonCode::UnknownOwner,
            Self::FeatureAllows { .. } => ReasonCode::NotSimulated,
            Self::FlowIsOpen { because } => because.code(),
            Self::TranslatedSource { .. } | Self::TranslatedSourceIs { .. } => ReasonCode::UnknownTranslation,
            Self::AmbiguousPlace { .. } => ReasonCode::AmbiguousPlace,
            Self::TooManyUnknowns => ReasonCode::TooManyUnknowns,
            Self::TooManyWays => ReasonCode::TooManyWays,
        }
    }
}

/// What decides about packets in Azure and is read, but not simulated.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Protocols that a public address is not said to map (PIP-1).
    UnmappedProtocol,
    /// Public addresses of services: gateways, firewalls, Bastion (PIP-3).
    ServicePublicIp,
    /// A route whose kind or form no clause names.
    UnknownRoute,
}
