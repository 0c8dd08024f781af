//! The library's watcher, and what it may be watching.
//!
//! The library knows a watch by its path: told to watch a path anew it does nothing, though another directory may be there by now. And
//! whatever it is told to unwatch it compares with all it watches (notify 9, `remove_watch`). So a path is unwatched only where another
//! directory may be there, and where many are let go of at once, a new watcher takes up the rest instead.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use notify::event::EventKindMask;
use notify::{Config, PathOp, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::watches::{EACH, Shared};
use crate::watch::limits::UNWATCH_MAX;

/// What is asked of the system: everything that changes a directory's entries or a file's content or mode, and the end of writing, which
/// alone tells of writes through a mapping. No opens, no reads: our own listings raise no event.
const MASK: EventKindMask = EventKindMask::CORE.union(EventKindMask::ACCESS_CLOSE);

/// Tells one directory from another that comes to the same path: the device, the number, and when it was made, for numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, Option<SystemTime>);

impl Identity {
    /// That of the directory at a path; a link is none.
    pub(super) fn of(path: &Path) -> io::Result<Identity> {
        let what = std::fs::symlink_metadata(path)?;
        match what.is_dir() {
            true => Ok(Identity(what.dev(), what.ino(), what.created().ok())),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

/// What became of a watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The library watches it no longer, nor what is below: it has taken that out, or will before it answers the next call.
    Gone,
    /// It has another path, by its own word, and the library may go on with it under this one.
    Moved,
}

/// One watcher, and one thread in it that calls [`Shared`]. That thread answers calls between two events, so nobody calls it with a lock
/// that it takes for an event.
pub(super) struct SystemWatcher {
    watcher: RecommendedWatcher,
    shared: Arc<Shared>,
    /// All it may watch, and which directory is known to be watched there. What ended since is in `shared.ends`.
    watched: BTreeMap<PathBuf, Option<Identity>>,
}

impl SystemWatcher {
    /// A watcher that watches nothing.
    pub(super) fn new(shared: Arc<Shared>) -> notify::Result<SystemWatcher> {
        let watcher = watcher_of(&shared)?;
        Ok(SystemWatcher { watcher, shared, watched: BTreeMap::new() })
    }

    /// Watches the directory at a path from now on. `anew`: also if the same one is watched by all that is known.
    pub(super) fn watch(
        &mut self,
        path: &Path,
        is: Identity,
        mode: RecursiveMode,
        anew: bool,
    ) -> notify::Result<()> {
        self.hear_of_ends();
        match self.watched.get(path) {
            Some(known) if *known == Some(is) && !anew => return Ok(()),
            Some(_) => drop(self.watcher.unwatch(path)),
            None => {}
        }
        let watched = self.watcher.watch(path, mode);
        // An end may have been heard before the call was answered, or after: then it is not known whether it is watched.
        let ended = self.hear_of_ends().keys().any(|ended| path.starts_with(ended));
        if watched.is_ok() {
            self.watched.insert(path.to_path_buf(), (!ended).then_some(is));
        } else {
            self.watched.remove(path);
        }
        watched
    }

    /// Watches these paths no longer.
    pub(super) fn unwatch(&mut self, paths: Vec<PathBuf>) {
        self.hear_of_ends();
        // One that is gone has no watch any more, and where a root has one for all, its directories have none.
        let mut paths = paths;
        paths.retain(|path| self.watched.remove(path).is_some());
        if EACH && paths.len() > UNWATCH_MAX {
            match self.move_on() {
                Ok(()) => return,
                Err(e) => log::warn!("no second file watcher, so unwatching takes its time: {e}"),
            }
        }
        paths.iter().for_each(|path| drop(self.watcher.unwatch(path)));
    }

    /// A new watcher takes up all that is to be watched still. No event is missed: both watch until the old one's queue has been read.
    fn move_on(&mut self) -> notify::Result<()> {
        let mut watcher = watcher_of(&self.shared)?;
        let found = self.watched.keys().map(|path| (path.clone(), Identity::of(path).ok())).collect();
        let mut rest: Vec<PathOp> = self.watched.keys().map(PathOp::watch_non_recursive).collect();
        while let Err(e) = watcher.update_paths(std::mem::take(&mut rest)) {
            // One that is gone meanwhile is told of by the old one; for the rest there may be no room.
            if !matches!(e.source.kind, notify::ErrorKind::PathNotFound) {
                return Err(e.source);
            }
            rest = e.remaining;
        }
        // A batch reads the queue to its end, and hands the events on after its answer: before that of the next one.
        for _ in 0..2 {
            drop(self.watcher.update_paths(Vec::new()));
        }
        (self.watcher, self.watched) = (watcher, found);
        Ok(())
    }

    /// Takes over which watches ended, with all below them. Where the library goes on, it is not known for what.
    fn hear_of_ends(&mut self) -> BTreeMap<PathBuf, End> {
        let ends = std::mem::take(&mut *self.shared.ends.lock());
        for (ended, end) in &ends {
            let below = self.watched.range(ended.clone()..).map(|(path, _)| path);
            let below: Vec<PathBuf> = below.take_while(|path| path.starts_with(ended)).cloned().collect();
            for path in below {
                match end {
                    End::Gone => self.watched.remove(&path),
                    End::Moved => self.watched.insert(path, None),
                };
            }
        }
        ends
    }
}

fn watcher_of(shared: &Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    let shared = Arc::clone(shared);
    let config = Config::default().with_follow_symlinks(false).with_event_kinds(MASK);
    RecommendedWatcher::new(move |event| shared.hear(event), config)
}
