//! Logging in: to relay servers and to servers of the vendor's API, by a code that a person confirms in a browser.
//!
//! Threads: none of its own; every function runs on its caller's, and whoever sleeps looks at the cancel flag four times a second.
//! Files: `relay-auth.json` and `auth.json`, through `project`.
//! Locks: that of `relay-auth.json`, from before a token is read until the new one is written; that of `auth.json` likewise.
//! Promises: no server but the one that was named; a token goes to the origin that gave it and is never shown; nothing is written before
//! the login is whole; of many that want a new token at once one asks for it.

mod access;
mod calls;

pub use access::{
    AccessError, RelayAccess, RelayIdentity, RelayState, TOKEN_VAR, Want, relay_access, relay_identity,
};
pub use calls::{CallError, Calls, RELAY_TIMEOUTS, Timeouts, VENDOR_TIMEOUTS};
