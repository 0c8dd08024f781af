//! The one HTTP client: blocking, with deadlines, caps, kept connections and the system's certificate authorities.
//!
//! Threads: every call runs on the caller's; only a name being looked up has a short one of its own (`resolve`).
//! Files: reads the system's certificate authorities, at the first `https` request.
//! Locks: small ones in memory, never held over I/O.
//! Promises: a file that is sent or received takes no memory by its size; no request outlives its deadline or cancel; no login leaves for another host; no secret is in an error; each
//! exchange with a server is told of once ([`crate::kit::contact`]).

mod client;
mod error;
pub mod limits;
mod names;
mod request;
mod stream;
mod target;
mod transport;

pub use client::{Client, Trust};
pub use error::HttpError;
pub use request::{Reply, Request, retry_after};
pub use stream::Stream;
