//! What the owner of the state publishes and the loop answers from, without asking anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::limits::{LINE_MAX, SYNC_HISTORY_MAX};
use super::wire::{EncodedStatus, Response, StatusData, SyncEvent};
use crate::kit::clock::Mono;

/// One consistent picture of a project. Never changed once published; encoded at most once.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Answer to `status`; `None` until the parts exist. `uptime` and `time_since_activity` are set at each request.
    pub status: Option<StatusData>,
    /// Answer to `sync_history`, oldest first; of more than 100 the newest count.
    pub history: Vec<SyncEvent>,
    encoded_status: OnceLock<Result<EncodedStatus, String>>,
    encoded_history: OnceLock<Arc<[u8]>>,
}

impl Snapshot {
    /// A picture of this state.
    pub fn new(status: StatusData, history: Vec<SyncEvent>) -> Snapshot {
        Snapshot { status: Some(status), history, ..Snapshot::default() }
    }

    /// The encoded status, if a worker has made it already. A missing status is ready at once.
    pub(super) fn ready_status(&self) -> Option<&Result<EncodedStatus, String>> {
        self.encoded_status.get()
    }

    /// The encoded status; encodes on the first call.
    pub(super) fn encode_status(&self) -> Option<&Result<EncodedStatus, String>> {
        let status = self.status.as_ref()?;
        Some(self.encoded_status.get_or_init(|| EncodedStatus::new(status).map_err(|e| e.to_string())))
    }

    /// The whole final line of the history, if a worker has made it already.
    pub(super) fn ready_history(&self) -> Option<&Arc<[u8]>> {
        self.encoded_history.get()
    }

    /// The whole final line of the history; encodes on the first call.
    pub(super) fn encode_history(&self) -> &Arc<[u8]> {
        self.encoded_history.get_or_init(|| {
            let newest = &self.history[self.history.len().saturating_sub(SYNC_HISTORY_MAX)..];
            let mut line = Vec::new();
            Response::data(&newest).write_line(&mut line);
            if line.len() > LINE_MAX {
                line.clear();
                Response::error("sync history is longer than a line may be").write_line(&mut line);
            }
            line.into()
        })
    }
}

/// The cell between the owner of a project's state and its listener: the newest snapshot, and the last activity.
#[derive(Debug)]
pub struct Published {
    snapshot: RwLock<Arc<Snapshot>>,
    started: Mono,
    activity: AtomicU64,
}

impl Published {
    /// An empty cell; `now` is where `uptime` and the activity count from.
    pub fn new(now: Mono) -> Published {
        Published { snapshot: RwLock::default(), started: now, activity: AtomicU64::new(now.as_nanos()) }
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        let old = std::mem::replace(&mut *self.snapshot.write(), Arc::new(snapshot));
        drop(old); // outside the lock: it may be long
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    /// When the cell was made.
    pub fn started(&self) -> Mono {
        self.started
    }

    /// Something happened at `now` that shows the project is in use. Never moves back.
    pub fn touch(&self, now: Mono) {
        self.activity.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    /// When something happened last: every well-formed request counts.
    pub fn last_activity(&self) -> Mono {
        Mono::from_nanos(self.activity.load(Ordering::Relaxed))
    }
}
