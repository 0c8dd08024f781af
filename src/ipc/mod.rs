//! The wire: message types, framing, the socket loop, the client.
//!
//! Threads: `ipc`, one loop for all listeners; `request-N`, which encode snapshots. The client has none.
//! Files: sockets, at the paths it is given.
//! Locks: the outbox, and each listener's snapshot; both held for a few instructions, never over I/O.
//! Connections: an answer is followed by the end of the connection as with the Go program's server, but a second late, so that our clients
//! may ask on; on one that did, later requests have a minute each. An end at once would take those from clients that keep connections.
//! Promises: no request, however long, slow or wrong, delays another connection's; nothing in the loop blocks.

pub mod client;
mod conn;
pub mod limits;
pub mod listen;
mod published;
mod server;
mod turn;
pub mod wire;
mod workers;

pub use published::{Published, Snapshot};
pub use server::{Config, ConnId, Counters, Inbound, ListenerId, ListenerSpec, Server, ServerHandle};
pub use wire::Request;
