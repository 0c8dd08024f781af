//! Projects whose ledger and teams a server names: the real daemon, real git over HTTP with a login, and a server that may misbehave.

mod canary;
mod found;
mod hostile;
mod logins;
mod older;
mod revoked;
mod world;
