//! The stable words of ledgers and answers for records without a verdict of their own.

use std::fmt;

use serde::{Serialize, Serializer};

/// Declares the reason codes with their words and meanings.
macro_rules! reason_codes {
    ($($name:ident $word:literal $meaning:literal),+ $(,)?) => {
        /// Why a record has no verdict of its own: the stable words of ledgers and answers.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum ReasonCode { $(#[doc = $meaning] $name),+ }

        impl ReasonCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

reason_codes! {
    UnknownTag "UNKNOWN_TAG" "undetermined: a rule names a service tag that no loaded file has",
    MissingResource "MISSING_RESOURCE" "undetermined: a resource that the export refers to is not in it",
    AmbiguousPlace "AMBIGUOUS_PLACE" "undetermined: several networks hold the address and disagree; --vnet says which",
    InvalidField "INVALID_FIELD" "undetermined: a rule holds a value that Azure does not take",
    PortNotGiven "PORT_NOT_GIVEN" "undetermined: the question names no port and a rule looks at it",
    UnlistedSender "UNLISTED_SENDER" "undetermined: the sender's interface is not in the export, so its own NSG is unknown",
    UnknownOwner "UNKNOWN_OWNER" "undetermined: nobody in the export has the address, and the export is said to be partial",
    NotSimulated "NOT_SIMULATED" "undetermined: something decides that nsgsim reads but does not simulate",
    NotStated "NOT_STATED" "undetermined: something decides that the export does not state",
    UnknownTranslation "UNKNOWN_TRANSLATION" "undetermined: Azure picks the translated source address and a rule looks at it",
    TooManyUnknowns "TOO_MANY_UNKNOWNS" "undetermined: more open questions at once than are tried",
    TooManyWays "TOO_MANY_WAYS" "undetermined: more ways through load balancers than are tried",
    NotIp "NOT_IP" "out of scope: the packet is neither IPv4 nor IPv6",
    UnsupportedLinkType "UNSUPPORTED_LINK_TYPE" "out of scope: packets of this link type are not read",
    NoEndInNetwork "NO_END_IN_NETWORK" "out of scope: neither end of the packet is in the network",
    NotAtNic "NOT_AT_NIC" "out of scope: neither end of the packet is the interface given with --at",
    NicNotInNetwork "NIC_NOT_IN_NETWORK" "out of scope: the network has no interface with the MAC address that logged the flow",
    NoFlow "NO_FLOW" "out of scope: a row of a flow table that tells of no flow, such as a time without traffic",
    DamagedHeader "DAMAGED_HEADER" "skipped: the packet's headers contradict themselves",
    CutShort "CUT_SHORT" "skipped: the capture holds too little of the packet to tell its ports",
    DamagedEntry "DAMAGED_ENTRY" "skipped: a tuple of a flow log or a row of a table that cannot be read",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
