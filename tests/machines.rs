//! Four machines that share a ledger and two teams, under random edits, faults of the server and kills: nothing anyone wrote may be lost.
//!
//! `OX_TEST_LONG=1` makes the run as long as it should be, `OX_TEST_SEED` repeats one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "machines/fleet.rs"]
mod fleet;
#[path = "machines/level.rs"]
mod level;
#[path = "machines/moved.rs"]
mod moved;
#[path = "machines/person.rs"]
mod person;
#[path = "machines/torture.rs"]
mod torture;
