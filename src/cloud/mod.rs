//! Logging in: to relay servers and to servers of the vendor's API, by a code that a person confirms in a browser.
//!
//! Threads: none of its own; every function runs on its caller's, and whoever sleeps looks at the cancel flag four times a second.
//! Files: `relay-auth.json` and `auth.json`, through `project`.
//! Locks: that of `relay-auth.json`, from before a token is read until the new one is written; that of `auth.json` likewise.
//! Promises: no server but the one that was named; a token goes to the origin that gave it and is never shown; nothing is written before
//! the login is whole; of many that want a new token at once one asks for it.

mod access;
pub mod browser;
mod calls;
pub mod device;
mod login;
mod relay;
mod vendor;

pub use access::{
    AccessError, LOCK_WAIT, REFRESH_BEFORE, REFRESH_RETRIES, REFRESH_TOTAL, RETRY_FIRST, RelayAccess,
    RelayIdentity, RelayState, TOKEN_VAR, Want, relay_access, relay_access_with, relay_identity,
};
pub use calls::{CallError, Calls, RELAY_TIMEOUTS, Timeouts, VENDOR_TIMEOUTS};
pub use login::{LoginError, Prompt};
pub use relay::{RelayLogout, relay_login, relay_logout};
pub use vendor::{vendor_access, vendor_login, vendor_revoke};
