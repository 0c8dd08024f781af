//! The directories of ledgers that are watched, so that what somebody writes there is synced soon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::event::Id;
use crate::sync::Site;
use crate::watch::{DirWatcher, Watches};

/// The watched ledgers. Without a watcher ledgers are synced at their beat all the same.
#[derive(Default)]
pub(super) struct Ledgers {
    watcher: Option<DirWatcher>,
    dirs: BTreeMap<Id, PathBuf>,
}

impl Ledgers {
    /// Watches a project's ledger, or no longer. `hint` is used when the first is watched.
    pub(super) fn set(
        &mut self,
        watches: Option<&Arc<Watches>>,
        site: &Site,
        id: &Id,
        path: Option<PathBuf>,
        hint: impl Fn(&str) + Send + Sync + 'static,
    ) {
        let Some(path) = path else {
            self.dirs.remove(id);
            if let Some(watcher) = &mut self.watcher {
                watcher.unwatch(id);
            }
            return;
        };
        if self.watcher.is_none() {
            let Some(watches) = watches else { return };
            self.watcher = Some(DirWatcher::on(watches, Arc::clone(&site.clock), hint));
        }
        self.dirs.insert(id.clone(), path);
        self.hold(id, true);
    }

    /// Lets go of a directory that is about to be replaced, or takes up the one that is now in its place.
    pub(super) fn hold(&mut self, id: &Id, on: bool) {
        let (Some(watcher), Some(dir)) = (&mut self.watcher, self.dirs.get(id)) else { return };
        if !on {
            watcher.unwatch(id);
        } else if let Err(e) = watcher.watch(id, dir) {
            log::error!("{} is not watched, only synced at its beat: {e}", dir.display());
        }
    }
}
