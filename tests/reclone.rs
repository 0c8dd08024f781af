//! Replacing a clone by a fresh one: what it carries, what it refuses, and what a kill at any moment leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "reclone/asides.rs"]
mod asides;
#[path = "reclone/bench.rs"]
mod bench;
#[path = "reclone/carries.rs"]
mod carries;
#[path = "reclone/kills.rs"]
mod kills;
#[path = "reclone/refuses.rs"]
mod refuses;
