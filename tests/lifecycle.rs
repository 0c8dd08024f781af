//! The daemon against a hostile machine: killed, stopped, replaced, without its files, its directories or its disk.
//!
//! Everything here goes through the real program. `OX_TEST_LONG=1` makes the loops as long as they should be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "lifecycle/beat.rs"]
mod beat;
#[path = "lifecycle/damage.rs"]
mod damage;
#[path = "lifecycle/disk.rs"]
mod disk;
#[path = "lifecycle/ends.rs"]
mod ends;
#[path = "lifecycle/machine.rs"]
mod machine;
#[path = "lifecycle/starts.rs"]
mod starts;
#[path = "lifecycle/takeover.rs"]
mod takeover;
