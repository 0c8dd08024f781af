//! The link to the server: what is sent when, and what is forgotten because the server has it.
//!
//! [`Machine`] decides and has no clock, socket or file; [`run`] does as it says, on its caller's thread, until it is cancelled; [`sync`]
//! sends what waits once, by HTTP alone.

mod discover;
mod driver;
mod frames;
mod machine;
mod post;
mod socket;
mod status;
mod sync;
mod upgrade;
mod wake;

use std::time::Duration;

use jiff::Timestamp;

use crate::http::Client;
use crate::kit::secret::Secret;
use crate::project::RelayTransport;

pub use discover::Endpoints;
pub use driver::run;
pub use frames::{CODES_AUTH, CODES_BUSY, SUBPROTOCOL};
pub use machine::{Action, Answer, Dialect, Failure, Input, Machine};
pub use status::{Shared, Snapshot, State};
pub use sync::{SyncError, sync};
pub use wake::Waker;

/// Every number that bounds a link.
pub mod limits {
    use std::time::Duration;

    use crate::kit::backoff::Backoff;

    /// Name, connection, TLS and upgrade together.
    pub const CONNECT: Duration = Duration::from_secs(15);
    /// A whole batch by HTTP.
    pub const REQUEST: Duration = Duration::from_secs(10);
    /// A batch without an acknowledgement for so long has failed.
    pub const ACK: Duration = Duration::from_secs(30);
    /// Between two pings.
    pub const PING: Duration = Duration::from_secs(30);
    /// A connection on which nothing came for so long is dead.
    pub const DEAD: Duration = Duration::from_secs(75);
    /// A connection that holds for so long is as good as an acknowledgement.
    pub const STABLE: Duration = Duration::from_secs(60);
    /// Between two attempts.
    pub const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    /// By so much they differ, in percent.
    pub const JITTER: u32 = 20;
    /// A server may ask for as long a wait.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);
    /// After so many connections in a row that did not come about HTTP is used.
    pub const CONNECTS: u32 = 3;
    /// And for so long, until a WebSocket is tried again.
    pub const FALLBACK: Duration = Duration::from_secs(15 * 60);
    /// Without a login, and without being told of one, so often is looked for one.
    pub const LOGIN: Duration = Duration::from_secs(30);
    /// A token that is good for less is replaced.
    pub const RENEW: Duration = Duration::from_secs(300);
    /// A token is not asked for more often than this because it ends soon.
    pub const RENEW_AGAIN: Duration = Duration::from_secs(60);
    /// A clean end waits so long for an acknowledgement.
    pub const STOP: Duration = Duration::from_secs(2);
    /// A batch that failed so often is looked into.
    pub const FAILURES: u32 = 5;
    /// Records of a batch.
    pub const BATCH_EVENTS: usize = 100;
    /// Bytes of a batch, encoded.
    pub const BATCH_BYTES: usize = 256 << 10;
    /// Bytes of a message from the server.
    pub const INBOUND: usize = 1 << 20;
    /// The same message is logged again after so long.
    pub const SAID: Duration = Duration::from_secs(600);
    /// Attempts of a one-shot run at one batch.
    pub const ATTEMPTS: u32 = 3;
    /// A one-shot run waits as long when it is asked to.
    pub const SYNC_WAIT: Duration = Duration::from_secs(30);
}

/// Which token is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The one there is, or its successor where that has less than [`limits::RENEW`] to go.
    Current,
    /// Another one than there is, which the server has refused.
    Renewed,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The token.
    pub token: Secret,
    /// When it ends; `None` for one that does not.
    pub expires_at: Option<Timestamp>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nobody is logged in, or the login has ended.
    NoLogin(String),
    /// The server could not be asked just now.
    Later(String),
}

/// Where to and how.
#[derive(Clone, Debug)]
pub struct Link {
    /// By what it connects, with the trust that the user has given.
    pub client: Client,
    /// The server.
    pub server_url: String,
    /// By WebSocket or by HTTP.
    pub transport: RelayTransport,
    /// Records of a batch, at most [`limits::BATCH_EVENTS`].
    pub batch_events: usize,
    /// Between two looks at what waits, while connected.
    pub flush: Duration,
    /// What takes the records.
    pub sink: Sink,
}

/// What takes records.
#[derive(Clone, Debug)]
pub enum Sink {
    /// A relay server.
    Relay,
    /// A collector of OTLP/HTTP. It needs no token but what its header has.
    Otlp {
        /// Name and value of the header that its key is in.
        key: Option<(String, Secret)>,
    },
}

impl Link {
    /// Whether anything but HTTP can be used.
    fn has_socket(&self) -> bool {
        matches!(self.sink, Sink::Relay) && self.transport != RelayTransport::Http
    }
}
