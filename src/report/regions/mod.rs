//! Sets of packets in the users' words.

pub(super) mod services;
pub(super) mod sets;
