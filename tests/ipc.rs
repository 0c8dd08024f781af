//! The wire over real sockets: a server between peers that misbehave, a client before servers that do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

#[path = "ipc/client.rs"]
mod client;
#[path = "ipc/golden.rs"]
mod golden;
#[path = "ipc/server.rs"]
mod server;
#[path = "ipc/support.rs"]
mod support;
#[path = "support/wait.rs"]
mod wait;
