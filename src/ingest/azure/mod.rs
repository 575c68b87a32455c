//! Exports of Azure networks, and the service tag file.

pub mod tags;
