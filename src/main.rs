//! The `nsgsim` command.

fn main() {}
