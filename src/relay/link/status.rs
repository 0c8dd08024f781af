//! What can be seen of a link from outside.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// What a link is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody wants one.
    #[default]
    Disabled,
    /// It waits for a login.
    NeedsLogin,
    /// There is nothing to send.
    Idle,
    /// A connection is being made.
    Connecting,
    /// The server is there.
    Connected,
    /// It waits until the next attempt.
    Backoff,
    /// It sends by HTTP because no WebSocket came about.
    HttpFallback,
}

/// A link as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// What it is at.
    pub state: State,
    /// The server.
    pub server_url: String,
    /// `ws` or `http`, whichever is used at the moment.
    pub transport: &'static str,
    /// Since when it is at that, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Records that were sent since the link began, each time.
    pub sent_total: u64,
    /// Records that the server has acknowledged since then.
    pub acked_total: u64,
    /// Records that the server will never take, since then.
    pub dead_total: u64,
    /// What the server sent that meant nothing: acknowledgements of unknown batches, messages that are none.
    pub ignored_total: u64,
    /// When the last acknowledgement came, in milliseconds since 1970.
    pub last_ack_ms: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When the next attempt is, in milliseconds since 1970.
    pub next_retry_ms: Option<i64>,
}

/// The newest snapshot, for whoever asks. Clones share it.
#[derive(Clone, Default)]
pub struct Shared {
    newest: Arc<Mutex<Arc<Snapshot>>>,
    tell: Option<Arc<Tell>>,
}

/// Who is told of each new one.
type Tell = dyn Fn(&Snapshot) + Send + Sync;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared").field(&self.get()).finish()
    }
}

impl Shared {
    /// The newest.
    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.lock())
    }

    /// One of which `tell` hears each new snapshot, on the link's thread.
    pub fn telling(tell: impl Fn(&Snapshot) + Send + Sync + 'static) -> Shared {
        Shared { newest: Arc::default(), tell: Some(Arc::new(tell)) }
    }

    /// Makes `snapshot` the newest. Whether it says anything new.
    pub fn set(&self, snapshot: Snapshot) -> bool {
        let snapshot = Arc::new(snapshot);
        let mut held = self.newest.lock();
        if *held == snapshot {
            return false;
        }
        *held = Arc::clone(&snapshot);
        drop(held);
        if let Some(tell) = &self.tell {
            tell(&snapshot);
        }
        true
    }
}
