//! Projects whose ledger and teams a server names: the real daemon, real git over HTTP with a login, and a server that may misbehave.

pub mod canary;
mod found;
mod hostile;
mod logins;
mod older;
mod revoked;
pub mod world;
