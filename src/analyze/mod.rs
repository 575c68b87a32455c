//! Questions about networks, not about one packet.
//!
//! In: two networks and traffic. Out: [`flips`](whatif), which are flows that get another answer from the one than from
//! the other, and [what changed](changes) between them. Also in: two networks alone. Out: [every packet](diff) that gets
//! another answer. Also in: one network and
//! [what Azure answered about it](check). Out: what differs. Also in: two states of the service tags. Out: the tags that
//! [changed](drift), and what of a network names them. Also in: one network. Out: the [routes](mod@routes) of an
//! interface, [how fast it is asked](mod@bench), and whether both engines agree, and
//! [what is wrong with it](findings), such as [rules that Azure requires](required) and that are not there, and what is
//! [odd about its NSGs](lint). Also in: two benches. Out: [what became slower](slowdown). Also in: one network and traffic. Out: [what of its rules the traffic
//! needed](usage), and [tighter rules](suggest). Knows nothing of files and formats; of words only those of a
//! [`Finding`](crate::model::finding::Finding).

pub mod assertions;
pub mod bench;
pub mod changes;
pub mod check;
mod cover;
pub mod diff;
pub mod drift;
pub mod end_set;
pub mod findings;
pub mod intent;
pub mod lint;
pub mod logging;
pub mod matrix;
pub mod reach;
pub mod regions;
pub mod required;
pub mod routes;
pub mod slowdown;
pub mod suggest;
pub mod usage;
pub mod whatif;
