//! The wire over real sockets: a server between peers that misbehave, a client before servers that do.

mod client;
mod golden;
mod peers;
mod server;
