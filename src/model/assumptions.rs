//! The decisions of this project: what is taken for true where Azure's documentation is silent or contradicts itself.
//!
//! Each is a clause of confidence `L` with the decision first and what else Azure may do behind it. A user who has
//! measured Azure takes another choice; a verdict that differs under another choice says so (SIM-5).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Declares the clauses: the field, the clause, its number, what is open, and the choices with their words and what
/// Azure does under each. The first choice is the decision.
macro_rules! decisions {
    ($($field:ident $clause:ident $number:literal $open:literal $type:ident {
        $decided:ident $decided_word:literal $decided_meaning:literal,
        $($choice:ident $word:literal $meaning:literal),+ $(,)?
    })+) => {
        $(
            #[doc = concat!($number, ": ", $open, ".")]
            #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
            pub enum $type {
                #[doc = concat!("`", $decided_word, "`, the decision: ", $decided_meaning, ".")]
                #[default]
                $decided,
                $(#[doc = concat!("`", $word, "`: ", $meaning, ".")] $choice),+
            }

            impl $type {
                const ALL: &'static [Self] = &[Self::$decided, $(Self::$choice),+];
            }
        )+

        /// A choice for each clause that leaves one.
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        pub struct Assumptions {
            $(#[doc = concat!($number, ".")] pub $field: $type),+
        }

        /// A clause that leaves a choice.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Clause {
            $(#[doc = concat!($number, ": ", $open, ".")] $clause),+
        }

        impl Clause {
            /// All of them, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$clause),+];

            /// Its number: `NSG-10`.
            #[must_use]
            pub fn number(self) -> &'static str {
                match self { $(Self::$clause => $number),+ }
            }

            /// What it leaves open, in lower case and without a full stop.
            #[must_use]
            pub fn open(self) -> &'static str {
                match self { $(Self::$clause => $open),+ }
            }

            /// Word and meaning of each choice.
            fn words(self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Self::$clause => &[($decided_word, $decided_meaning), $(($word, $meaning)),+]),+
                }
            }
        }

        impl Assumptions {
            /// The choice for a clause.
            ///
            /// # Panics
            ///
            /// Never: every choice is one of its clause's.
            #[must_use]
            pub fn of(self, clause: Clause) -> Choice {
                let position = match clause {
                    $(Clause::$clause => $type::ALL.iter().position(|choice| *choice == self.$field)),+
                };
                Choice { clause, position: position.expect("every choice is one of its clause's") }
            }

            /// These with another choice for one clause.
            #[must_use]
            pub fn with(mut self, choice: Choice) -> Self {
                match choice.clause {
                    $(Clause::$clause => self.$field = $type::ALL[choice.position]),+
                }
                self
            }
        }
    };
}

decisions! {
    nsg_10 Nsg10 "NSG-10" "the ports of a rule against packets that carry none" PortlessPackets {
        FullRangeOnly "full-range-only" "a rule matches them only where both its port fields hold every port",
        Ignored "ignored" "a rule matches them whatever its port fields hold",
    }
    nsg_12 Nsg12 "NSG-12" "a user's 0.0.0.0/0 against IPv6" AllOfIpv4 {
        Ipv4 "ipv4" "it holds IPv4 addresses alone",
        Any "any" "it is another spelling of `*`, which holds both families",
    }
    tag_9 Tag9 "TAG-9" "which user-defined routes add their prefix to VirtualNetwork" RoutesAround {
        AsDecided "as-decided" "those to an appliance, a gateway or the network itself",
        ApplianceOnly "appliance-only" "those to an appliance",
        None "none" "none",
    }
    tag_20 Tag20 "TAG-20" "which of the known lists of Internet counts" InternetList {
        June2017 "2017-06" "the list of TAG-10",
        September2017 "2017-09" "25.25.0.0/16 belongs to it too",
        Year2020 "2020" "25.25.0.0/16 belongs to it too, 21.0.0.0/8, 22.0.0.0/8, 20.176.0.0/13, 52.132.0.0/14 and 129.75.0.0/16 do not",
    }
    eval_11 Eval11 "EVAL-11" "flows to an internal Standard load balancer's member without an NSG" InternalBalancer {
        Open "open" "they pass, as without a load balancer",
        Closed "closed" "they are denied, as behind a Standard public address",
    }
    state_5 State5 "STATE-5" "replies of a flow that a change of rules took back" RevokedReplies {
        Denied "denied" "they are denied like the flow's other packets",
        Allowed "allowed" "they pass until the record idles out",
    }
    state_6 State6 "STATE-6" "the idle time of a network that sets none" IdleTime {
        FourMinutes "4min" "a record lives 4 minutes without a packet",
        ThirtyMinutes "30min" "a record lives 30 minutes without a packet",
    }
    route_4 Route4 "ROUTE-4" "the reserved routes under a default route that a gateway learned" LearnedDefault {
        Removes "yes" "it removes them, as the user's own does",
        Keeps "no" "they stay, and private destinations are dropped",
    }
    route_8 Route8 "ROUTE-8" "a user-defined route that is longer than a service endpoint's" LongerUserRoute {
        EndpointWins "endpoint-wins" "the service endpoint's route wins",
        UserWins "user-wins" "the longer route wins",
    }
    peer_3 Peer3 "PEER-3" "a peering one of whose sides has allowVirtualNetworkAccess off" AccessFlag {
        TagOnly "tag-only" "the flag changes VirtualNetwork, and packets pass",
        Drops "drops" "no packet passes the peering, either way",
    }
    peer_4 Peer4 "PEER-4" "a peering whose receiving side has allowForwardedTraffic off" ForwardedFlag {
        NoEffect "no-effect" "every packet passes",
        DropsForwarded "drops-forwarded" "what a machine sends whose source is not of its network is dropped",
    }
    out_1 Out1 "OUT-1" "a NAT gateway and a public address of the sender's own" FirstWayOut {
        NatGateway "nat-gateway-first" "new flows leave by the NAT gateway",
        Instance "instance-first" "new flows leave by the address",
    }
    lb_5 Lb5 "LB-5" "the destination that rules see under floating IP" FloatingDestination {
        Frontend "frontend-address" "the frontend's address",
        Backend "backend-address" "the member's own address",
    }
    pe_7 Pe7 "PE-7" "how long a user-defined route must be to take a private endpoint's route away" EndpointOverride {
        AtLeastAsLong "at-least-as-long" "at least as long as the address-space range that holds the endpoint",
        AtMostAsLong "at-most-as-long" "at most as long as that range",
    }
    adm_7 Adm7 "ADM-7" "the admin rules of several managers over one network" SeveralManagers {
        Both "both" "the lists follow each other, that of the higher scope first",
        HighestOnly "highest-only" "the list of the highest scope that has one counts alone",
    }
    adm_10 Adm10 "ADM-10" "admin rules and private endpoints" EndpointAdminRules {
        ClientSideOnly "client-side-only" "they are asked at the client alone",
        EndpointToo "endpoint-too" "the rules of the endpoint's network are asked at the endpoint too",
    }
}

/// One of a clause's choices.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Choice {
    clause: Clause,
    position: usize,
}

impl Choice {
    /// The clause.
    #[must_use]
    pub fn clause(self) -> Clause {
        self.clause
    }

    /// The word for it: `ignored`.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.clause.words()[self.position].0
    }

    /// What Azure does under it, in lower case and without a full stop.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.clause.words()[self.position].1
    }
}

impl Clause {
    /// Its choices, the decision first.
    pub fn choices(self) -> impl Iterator<Item = Choice> {
        (0..self.words().len()).map(move |position| Choice { clause: self, position })
    }
}

impl Assumptions {
    /// The choices that are not the decision.
    pub fn overridden(self) -> impl Iterator<Item = Choice> {
        let decided = Self::default();
        Clause::ALL
            .iter()
            .map(move |clause| self.of(*clause))
            .filter(move |own| decided.of(own.clause) != *own)
    }

    /// Every other choice, one clause at a time.
    pub fn alternatives(self) -> impl Iterator<Item = Choice> {
        let choices = Clause::ALL.iter().flat_map(|clause| clause.choices());
        choices.filter(move |choice| self.of(choice.clause) != *choice)
    }
}

/// Why a text is no choice.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ChoiceError {
    /// It is not `CLAUSE=CHOICE`.
    #[error("`{0}`: expected CLAUSE=CHOICE, such as `NSG-10=ignored`")]
    Shape(String),
    /// No clause of this number leaves a choice.
    #[error("`{clause}`: no clause of this number leaves a choice: expected {}", listed(Clause::ALL.iter().map(|clause| clause.number())))]
    Clause {
        /// The number.
        clause: String,
    },
    /// The clause has no such choice.
    #[error("`{word}` is no choice of {}: expected {}", .clause.number(), listed(.clause.choices().map(Choice::word)))]
    Word {
        /// The clause.
        clause: Clause,
        /// The word.
        word: String,
    },
}

fn listed(words: impl Iterator<Item = &'static str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    /// Reads `NSG-10=ignored`, in any letter case.
    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let (number, word) = text.split_once('=').ok_or_else(|| ChoiceError::Shape(text.to_owned()))?;
        let clause = Clause::ALL.iter().copied().find(|clause| clause.number().eq_ignore_ascii_case(number));
        let clause = clause.ok_or_else(|| ChoiceError::Clause { clause: number.to_owned() })?;
        let choice = clause.choices().find(|choice| choice.word().eq_ignore_ascii_case(word));
        choice.ok_or_else(|| ChoiceError::Word { clause, word: word.to_owned() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.clause.number(), self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::{Assumptions, Choice, Clause, InternetList, PortlessPackets};

    #[test]
    fn a_choice_is_read_as_it_is_printed_and_in_any_letter_case() {
        for choice in Clause::ALL.iter().flat_map(|clause| clause.choices()) {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_eq!(choice.to_string().to_lowercase().parse(), Ok(choice));
        }
    }

    #[test]
    fn what_is_no_choice_is_refused_with_what_could_be_one() {
        let error = |text: &str| text.parse::<Choice>().unwrap_err().to_string();
        assert_eq!(error("NSG-10"), "`NSG-10`: expected CLAUSE=CHOICE, such as `NSG-10=ignored`");
        assert_eq!(
            error("TAG-20=2021"),
            "`2021` is no choice of TAG-20: expected `2017-06`, `2017-09` or `2020`"
        );
        let expected =
            "`NSG-11`: no clause of this number leaves a choice: expected `NSG-10`, `NSG-12`, `TAG-9`";
        assert!(error("NSG-11=ignored").starts_with(expected));
    }

    #[test]
    fn one_choice_changes_one_clause() {
        let ignored: Choice = "NSG-10=ignored".parse().unwrap();
        let assumed = Assumptions::default().with(ignored);
        assert_eq!(assumed.nsg_10, PortlessPackets::Ignored);
        assert_eq!(assumed.overridden().collect::<Vec<_>>(), [ignored]);
        assert_eq!(assumed.with("NSG-10=full-range-only".parse().unwrap()), Assumptions::default());
    }

    #[test]
    fn alternatives_are_all_choices_but_those_taken() {
        let alternatives: Vec<Choice> = Assumptions::default().alternatives().collect();
        let choices: usize = Clause::ALL.iter().map(|clause| clause.choices().count()).sum();
        assert_eq!(alternatives.len(), choices - Clause::ALL.len());
        let assumed = Assumptions { tag_20: InternetList::Year2020, ..Assumptions::default() };
        let lists = assumed.alternatives().filter(|choice| choice.clause() == Clause::Tag20);
        assert_eq!(lists.map(Choice::word).collect::<Vec<_>>(), ["2017-06", "2017-09"]);
    }
}
