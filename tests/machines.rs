//! Machines that share a ledger over HTTP: nothing anyone wrote may be lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "machines/moved.rs"]
mod moved;
