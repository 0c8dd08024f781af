//! The directories of ledgers that are watched, so that what somebody writes there is synced soon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::event::Event;
use crate::daemon::host::lanes::{Wake, hint};
use crate::daemon::host::watchers::Watchers;
use crate::daemon::names::Id;
use crate::sync::Site;
use crate::watch::DirWatcher;

/// Where a project's ledger is to be watched.
pub(super) struct WatchTo {
    /// No longer, if `None`.
    pub(super) path: Option<PathBuf>,
    pub(super) watchers: Arc<Watchers>,
}

/// The watched ledgers. Without a watcher ledgers are synced at their time all the same.
#[derive(Default)]
pub(super) struct Ledgers {
    watcher: Option<DirWatcher>,
    dirs: BTreeMap<Id, PathBuf>,
}

impl Ledgers {
    /// Watches a project's ledger, or no longer. Asks the kernel: for a worker.
    pub(super) fn set(&mut self, site: &Site, inbox: &Sender<Wake>, id: &Id, to: WatchTo) {
        let Some(path) = to.path else {
            self.dirs.remove(id);
            return self.hold(id, false);
        };
        if self.watcher.is_none()
            && let Some(watches) = &to.watchers.watches
        {
            let inbox = inbox.clone();
            // A hint that finds no room is made up for by the next sync.
            let touched = move |name: &str| hint(&inbox, Event::LedgerTouched(Id::from(name)));
            self.watcher = Some(DirWatcher::on(watches, Arc::clone(&site.clock), touched));
        }
        self.dirs.insert(id.clone(), path);
        self.hold(id, true);
    }

    /// Lets go of a directory that is about to be replaced, or takes up the one that is now in its place.
    pub(super) fn hold(&mut self, id: &Id, on: bool) {
        let Some(watcher) = &mut self.watcher else { return };
        match self.dirs.get(id).filter(|_| on) {
            None => watcher.unwatch(id),
            Some(dir) => {
                if let Err(e) = watcher.watch(id, dir) {
                    log::error!("{} is not watched, only synced at its time: {e}", dir.display());
                }
            }
        }
    }
}
