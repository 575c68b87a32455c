//! Machines, some of them instances of Flexible scale sets, and the kind of the subscription that all of it is in.

use nsgsim::model::network::Network;
use nsgsim::model::subscription::{Subscription, SubscriptionKind};

use super::tape::Tape;
use crate::build::id;

/// Interfaces with machines: one has several now and then (OUT-2), and some machines are of Flexible scale sets (TOP-7).
pub(super) fn machines(tape: &mut Tape, network: &mut Network) {
    let machines = ["vm-0", "vm-1", "vm-2"].map(|name| id("virtualMachines", name));
    for nic in &mut network.nics {
        if tape.seldom(2) {
            nic.machine = Some(tape.one_of(&machines));
        }
    }
    network.flexible_machines = machines.into_iter().filter(|_| tape.seldom(3)).collect();
}

/// The subscription of all resources, which decides about mail (EVAL-13); seldom another one alone is known.
pub(super) fn subscription(tape: &mut Tape, network: &mut Network) {
    let kind = match tape.below(5) {
        0 => return,
        1 => SubscriptionKind::EnterpriseAgreement,
        2 => SubscriptionKind::ExemptedDevTest,
        _ => SubscriptionKind::Other,
    };
    let id = if tape.seldom(8) { "1" } else { "0" };
    network.subscriptions.push(Subscription { id: id.to_owned(), kind });
}
