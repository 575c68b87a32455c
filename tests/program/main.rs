//! The program as users run it, and the calls behind its commands.

mod anonymize;
mod bad_input;
mod bench;
#[path = "../support/build/mod.rs"]
mod build;
#[path = "../support/capture_bytes/mod.rs"]
mod capture_bytes;
mod diff;
mod drift;
mod effective;
mod effective_check;
mod estate;
mod example;
#[path = "../support/example_data/mod.rs"]
mod example_data;
mod groups;
mod html;
mod interrupted;
mod lint;
mod logged;
mod logs_written;
#[path = "../support/packets.rs"]
mod packets;
#[path = "../support/program.rs"]
mod program;
mod required;
mod seeded;
mod split;
mod suggest;
mod threads;
#[path = "../support/tshark.rs"]
mod tshark;
mod usage;
mod whatif;
