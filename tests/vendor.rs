//! Projects whose ledger and teams a server names: the real daemon, real git over HTTP with a login, and a server that may misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "vendor/canary.rs"]
mod canary;
#[path = "vendor/found.rs"]
mod found;
#[path = "vendor/hostile.rs"]
mod hostile;
#[path = "vendor/logins.rs"]
mod logins;
#[path = "vendor/older.rs"]
mod older;
#[path = "vendor/revoked.rs"]
mod revoked;
#[path = "vendor/world.rs"]
mod world;
