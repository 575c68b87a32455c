//! Questions about networks, not about one packet.
//!
//! In: two networks and traffic. Out: [`flips`](whatif), which are flows that get another answer from the one than from
//! the other, and [what changed](changes) between them. Also in: one network and
//! [what Azure answered about it](check). Out: what differs. Also in: one network. Out: the [routes](mod@routes) of an
//! interface, and [how fast it is asked](mod@bench), and
//! whether both engines agree. Knows nothing of files, formats or words.

pub mod bench;
pub mod changes;
pub mod check;
pub mod routes;
pub mod whatif;
