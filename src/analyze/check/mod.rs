//! What is computed for an interface, held against what Azure answered: rule by rule, prefix by prefix, packet by packet.

mod diagnostics;
mod routes;
mod rules;

use std::sync::Arc;

use thiserror::Error;

use super::routes::OpenPart;
use crate::compile::network::CompiledNetwork;
use crate::model::answered::{Answered, AnsweredView};
use crate::model::id::ResourceId;
use crate::model::index::NicIndex;
use crate::model::prefix::Prefix;
use crate::model::reason_code::ReasonCode;
use crate::model::rule::Direction;
use crate::model::tag::TagSource;
use crate::model::verdict::{Layer, RouteSource};

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// How many rules both sides have, each counted in every list that it stands in.
    pub rules: usize,
    /// How many routes both sides have, by prefix and source.
    pub routes: usize,
    /// For how many packets both sides have an answer.
    pub packets: usize,
    /// What differs, in the order of the answer; what only the network has comes last.
    pub differences: Vec<Difference>,
    /// What was not compared, each once.
    pub not_compared: Vec<NotCompared>,
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// What it is about.
    pub item: Item,
    /// In what way.
    pub kind: DifferenceKind,
}

/// In what way two sides differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DifferenceKind {
    /// The answer lacks it.
    OnlyComputed,
    /// The network lacks it.
    OnlyAnswered,
    /// One of its fields is another. Of sets only what the other side lacks is told.
    Field {
        /// Which.
        field: Field,
        /// Here.
        computed: Vec<String>,
        /// There.
        answered: Vec<String>,
    },
}

/// What a difference is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// An NSG at the interface or its subnet.
    Nsg {
        /// Which of the two; nothing where the answer does not say.
        layer: Option<Layer>,
        /// The NSG.
        nsg: String,
    },
    /// A rule.
    Rule {
        /// Of which NSG; nothing where the answer lists those of all together.
        layer: Option<Layer>,
        /// Which list.
        direction: Direction,
        /// Its own name.
        name: String,
    },
    /// A route.
    Route {
        /// Its prefix.
        prefix: Prefix,
        /// Its source.
        source: RouteSource,
    },
    /// What is said of a packet.
    Packet {
        /// Its place in the answer, counted from 1.
        number: usize,
        /// The NSG or manager, if it is what that said.
        owner: Option<String>,
    },
}

/// A field that is compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Field {
    /// The NSG that is held.
    Nsg,
    /// The subnet that holds it.
    Subnet,
    /// A rule's priority.
    Priority,
    /// A rule's access.
    Access,
    /// A rule's protocol.
    Protocol,
    /// A rule's source as it is written.
    Source,
    /// What the source's names stand for.
    ExpandedSource,
    /// A rule's source ports.
    SourcePort,
    /// A rule's destination as it is written.
    Destination,
    /// What the destination's names stand for.
    ExpandedDestination,
    /// A rule's destination ports.
    DestinationPort,
    /// Whether a route is used.
    State,
    /// Where a route leads.
    NextHop,
    /// The appliance's address.
    NextHopAddress,
    /// A user-defined route's name.
    Name,
    /// What became of a packet.
    Verdict,
    /// The rule that matched it.
    MatchedRule,
    /// Which fields of a rule matched it.
    FieldsMatched,
    /// Which NSGs and managers were asked, in order.
    Asked,
}

/// Something that was not compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotCompared {
    /// What.
    pub what: Uncompared,
    /// Why.
    pub why: Why,
}

/// What was not compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Uncompared {
    /// The rules of the NSG at this layer; of all NSGs together.
    Rules(Option<Layer>),
    /// The rules of security admin configurations.
    AdminRules,
    /// What a name stands for in rules, or which prefixes it gives routes.
    Name(String),
    /// A field of a rule.
    RuleField {
        /// Which list.
        direction: Direction,
        /// The rule.
        name: String,
        /// The field.
        field: Field,
    },
    /// Routes of this kind.
    Routes(OpenPart),
    /// A field of routes.
    RouteField(Field),
    /// The answer about a packet, by its place counted from 1.
    Packet(usize),
}

/// Why something was not compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// The network's export lacks something.
    Open {
        /// The reason code.
        code: ReasonCode,
        /// What is missing.
        name: String,
    },
    /// The answer may be by another state of the tag file than the loaded one: it does not say by which.
    TagFile {
        /// The loaded one.
        loaded: Option<TagSource>,
        /// How many prefixes are only here.
        only_computed: usize,
        /// How many prefixes are only there.
        only_answered: usize,
    },
    /// No loaded file has the tag.
    UnknownTag,
    /// The answer does not tell it.
    NotTold,
    /// The answer lists no IPv6 addresses, which the name holds here.
    Ipv4Only,
    /// No clause says how it is listed.
    NoClause,
    /// It is not computed.
    NotComputed,
    /// The answer is about more than one packet.
    SeveralPackets {
        /// What is not one, as it was written.
        text: String,
    },
}

/// Why an answer cannot be held against an interface.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum CheckError {
    /// It is about another one.
    #[error("{place}: the answer is about the interface `{answered}`: expected `{asked}`")]
    OtherNic {
        /// Where the answer says so: file and JSON pointer.
        place: String,
        /// The one that it is about.
        answered: ResourceId,
        /// The one that was asked about.
        asked: ResourceId,
    },
}

/// Holds what is computed for an interface against an answer.
///
/// # Errors
///
/// Fails where the answer is about another interface.
pub fn check(
    compiled: &Arc<CompiledNetwork>,
    nic: NicIndex,
    answered: &Answered,
) -> Result<Comparison, CheckError> {
    let mut comparison = Comparison::default();
    match answered {
        Answered::Rules(groups) => rules::whole(compiled, nic, groups, &mut comparison)?,
        Answered::Views(views) => {
            let asked = &compiled.network.nics[nic.get()].id;
            match (views.iter().find(|view| view.nic == *asked), views.first()) {
                (Some(view), _) => rules::whole(compiled, nic, &view.groups, &mut comparison)?,
                (None, Some(AnsweredView { place, nic, .. })) => {
                    let (place, answered, asked) = (place.clone(), nic.clone(), asked.clone());
                    return Err(CheckError::OtherNic { place, answered, asked });
                }
                (None, None) => {}
            }
        }
        Answered::Routes(answered) => routes::compare(compiled, nic, answered, &mut comparison),
        Answered::Diagnostics(profiles) => diagnostics::compare(compiled, nic, profiles, &mut comparison),
    }
    Ok(comparison)
}

impl Comparison {
    fn differs(&mut self, item: Item, kind: DifferenceKind) {
        self.differences.push(Difference { item, kind });
    }

    /// Notes a field if it differs.
    fn field<T: PartialEq>(
        &mut self,
        item: &Item,
        field: Field,
        (computed, answered): (T, T),
        shown: impl Fn(&T) -> String,
    ) {
        if computed != answered {
            let kind = DifferenceKind::Field {
                field,
                computed: vec![shown(&computed)],
                answered: vec![shown(&answered)],
            };
            self.differs(item.clone(), kind);
        }
    }

    fn leave_out(&mut self, what: Uncompared, why: Why) {
        let is_it = |left: &NotCompared| {
            let same_name = match (&left.what, &what) {
                (Uncompared::Name(one), Uncompared::Name(other)) => one.eq_ignore_ascii_case(other),
                _ => false,
            };
            (same_name || left.what == what) && left.why == why
        };
        if !self.not_compared.iter().any(is_it) {
            self.not_compared.push(NotCompared { what, why });
        }
    }
}
