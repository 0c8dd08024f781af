//! What changes on disk under our eyes: for now the directories of ledgers, one level deep.
//!
//! Threads: one of the library's, in which the callback runs; it only looks at names and hands on.
//! Files: none; one watch descriptor a directory, one descriptor in all.
//! Locks: the table of directories, for a few instructions.
//! Promises: a hint comes at most ten times a second for each directory; no hint is a promise that nothing changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use crate::kit::clock::{Clock, Mono};

/// However much happens in a directory, hints about it are at least this far apart.
pub const HINT_EVERY: Duration = Duration::from_millis(100);

/// The directory of ours in clones: what happens to it counts, though its name begins with a dot.
const OURS: &str = ".sageox";

/// Watches directories, not what is below them.
pub struct DirWatcher {
    watcher: RecommendedWatcher,
    watched: Arc<Mutex<BTreeMap<PathBuf, Watched>>>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    hinted: Option<Mono>,
}

impl DirWatcher {
    /// A watcher that calls `hint` with the name of a directory in which something changed. `hint` must not block.
    ///
    /// # Errors
    /// The system has no room for a watcher.
    pub fn new(
        clock: Arc<dyn Clock>,
        hint: impl Fn(&str) + Send + 'static,
    ) -> Result<DirWatcher, notify::Error> {
        let watched: Arc<Mutex<BTreeMap<PathBuf, Watched>>> = Arc::default();
        let table = Arc::clone(&watched);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) => {
                let now = clock.now().mono;
                for name in touched(&mut table.lock(), &event, now) {
                    hint(&name);
                }
            }
            Err(e) => log::debug!("watching: {e}"),
        })?;
        Ok(DirWatcher { watcher, watched })
    }

    /// Watches `dir` under `name`, also if it was watched before: a directory may have been replaced by another at its path.
    ///
    /// # Errors
    /// It is gone, or the system has no room for a further watch.
    pub fn watch(&mut self, name: &str, dir: &Path) -> Result<(), notify::Error> {
        self.unwatch(name);
        self.watcher.watch(dir, RecursiveMode::NonRecursive)?;
        self.watched.lock().insert(dir.to_path_buf(), Watched { name: name.to_string(), hinted: None });
        Ok(())
    }

    /// Watches the directory of that name no longer.
    pub fn unwatch(&mut self, name: &str) {
        let dir = self.watched.lock().iter().find(|(_, w)| w.name == name).map(|(dir, _)| dir.clone());
        if let Some(dir) = dir {
            self.watched.lock().remove(&dir);
            // One that is gone has no watch any more.
            drop(self.watcher.unwatch(&dir));
        }
    }
}

/// Names of the directories in which the event tells of a change that counts, and whose last hint is not too fresh.
fn touched(table: &mut BTreeMap<PathBuf, Watched>, event: &Event, now: Mono) -> Vec<String> {
    let counts = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        // The queue ran over: anything may have happened.
        EventKind::Other | EventKind::Any => true,
        EventKind::Access(_) => false,
    };
    if !counts {
        return Vec::new();
    }
    let fresh = |w: &Watched| w.hinted.is_some_and(|at| now.since(at) < HINT_EVERY);
    let mut names = Vec::new();
    for (dir, watched) in table.iter_mut() {
        let here = event.need_rescan() || event.paths.iter().any(|path| is_change_in(dir, path));
        if here && !fresh(watched) {
            watched.hinted = Some(now);
            names.push(watched.name.clone());
        }
    }
    names
}

/// Whether a change of `path` is one in the directory that people see.
fn is_change_in(dir: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(dir) else { return false };
    let Some(first) = inside.components().next() else { return false };
    let name = first.as_os_str();
    // Temporary files of programs at work, and git's own business.
    name == OURS || !name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;
    use crate::kit::clock::SystemClock;

    fn watcher() -> (DirWatcher, Receiver<String>) {
        let (tell, told) = unbounded();
        let hint = move |name: &str| drop(tell.send(name.to_string()));
        (DirWatcher::new(Arc::new(SystemClock), hint).unwrap(), told)
    }

    fn next(told: &Receiver<String>) -> Option<String> {
        told.recv_timeout(Duration::from_secs(10)).ok()
    }

    #[test]
    fn changes_that_people_make_are_told_and_gits_own_are_not() {
        let check = |path: &str, expected: bool| {
            assert_eq!(is_change_in(Path::new("/l"), Path::new(path)), expected, "{path}");
        };
        for path in ["/l/a", "/l/data", "/l/.sageox", "/l/foo.git-x", "/l/a/b"] {
            check(path, true);
        }
        for path in ["/l", "/l/.git", "/l/.git/index.lock", "/l/.a.swp", "/other/a", "/la"] {
            check(path, false);
        }
    }

    #[test]
    fn hints_come_from_real_files_and_stop_when_asked() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut w, told) = watcher();
        w.watch("a", a.path()).unwrap();
        w.watch("b", b.path()).unwrap();
        fs::create_dir(a.path().join(".git")).unwrap();
        fs::write(b.path().join("x"), "1").unwrap();
        assert_eq!(next(&told).as_deref(), Some("b"));
        w.unwatch("b");
        fs::write(b.path().join("y"), "1").unwrap();
        fs::write(a.path().join("z"), "1").unwrap();
        assert_eq!(next(&told).as_deref(), Some("a"));
    }

    #[test]
    fn a_directory_that_was_replaced_is_watched_again() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("l");
        fs::create_dir(&dir).unwrap();
        let (mut w, told) = watcher();
        w.watch("l", &dir).unwrap();
        fs::rename(&dir, tmp.path().join("old")).unwrap();
        fs::create_dir(&dir).unwrap();
        w.watch("l", &dir).unwrap();
        while told.try_recv().is_ok() {}
        fs::write(dir.join("new"), "1").unwrap();
        assert_eq!(next(&told).as_deref(), Some("l"));
        assert!(w.watch("gone", &tmp.path().join("gone")).is_err());
    }

    #[test]
    fn a_storm_is_a_few_hints() {
        let mut table = BTreeMap::new();
        table.insert(PathBuf::from("/l"), Watched { name: "l".into(), hinted: None });
        let event = Event::new(EventKind::Create(notify::event::CreateKind::File)).add_path("/l/x".into());
        let at = |ms: u64| Mono::ZERO + Duration::from_millis(ms);
        let hints: usize = (0..1000).map(|ms| touched(&mut table, &event, at(ms)).len()).sum();
        assert_eq!(hints, 10);
        let read = Event::new(EventKind::Access(notify::event::AccessKind::Any)).add_path("/l/x".into());
        assert!(touched(&mut table, &read, at(5000)).is_empty());
    }
}
