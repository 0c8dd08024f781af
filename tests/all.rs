//! The integration tests, an area a module. One binary: areas wait beside each other instead of after each other, and what they share is
//! compiled once. `tests/README.md` says what each area proves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

mod agents;
mod archive;
mod cli;
mod cloud;
mod daemon;
mod finish;
mod git;
mod harness;
mod hooks;
mod http;
mod ipc;
mod lfs;
mod lifecycle;
mod login;
mod machines;
mod net;
mod queue;
mod reclone;
mod recordings;
mod relay;
mod rig;
mod share;
mod sim;
mod tidy;
mod transcripts;
mod usage;
mod vendor;
mod watch;
mod whispers;
mod why;
