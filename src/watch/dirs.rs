//! Single directories, one level deep, of which only is told that something changed: those of ledgers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::os::{ListenerId, WatchError, Watches};
use crate::kit::clock::{Clock, Mono};

/// However much happens in a directory, hints about it are at least this far apart.
pub const HINT_EVERY: Duration = Duration::from_millis(100);

/// The directory of ours in clones: what happens to it counts, though its name begins with a dot.
const OURS: &[u8] = b".sageox";

/// When each directory was last hinted at.
type Hinted = Mutex<BTreeMap<String, Option<Mono>>>;

/// Watches directories, not what is below them.
pub struct DirWatcher {
    watches: Arc<Watches>,
    listener: ListenerId,
    hinted: Arc<Hinted>,
}

impl DirWatcher {
    /// A watcher on watches that others use too. It calls `hint` with the name of a directory in which something changed; `hint` must not
    /// block.
    pub fn on(
        watches: &Arc<Watches>,
        clock: Arc<dyn Clock>,
        hint: impl Fn(&str) + Send + Sync + 'static,
    ) -> DirWatcher {
        let hinted: Arc<Hinted> = Arc::default();
        let table = Arc::clone(&hinted);
        let listener = watches.listen(Box::new(move |name, entry| {
            if entry.is_none_or(is_seen) && is_due(&mut table.lock(), name, clock.now().mono) {
                hint(name);
            }
        }));
        DirWatcher { watches: Arc::clone(watches), listener, hinted }
    }

    /// Watches `dir` under `name`, also if it was watched before: a directory may have been replaced by another at its path.
    ///
    /// # Errors
    /// It is gone, or the system has no room for a further watch.
    pub fn watch(&mut self, name: &str, dir: &Path) -> Result<(), WatchError> {
        self.hinted.lock().insert(name.to_string(), None);
        let watched = self.watches.watch_plain(self.listener, name, dir);
        if watched.is_err() {
            self.unwatch(name);
        }
        watched
    }

    /// Watches the directory of that name no longer.
    pub fn unwatch(&mut self, name: &str) {
        self.hinted.lock().remove(name);
        self.watches.forget_plain(self.listener, name);
    }
}

impl Drop for DirWatcher {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.hinted.lock());
        for name in names.keys() {
            self.watches.forget_plain(self.listener, name);
        }
        self.watches.unlisten(self.listener);
    }
}

/// Whether the last hint about a directory is not too fresh.
fn is_due(hinted: &mut BTreeMap<String, Option<Mono>>, name: &str, now: Mono) -> bool {
    let Some(at) = hinted.get_mut(name) else { return false };
    let due = at.is_none_or(|at| now.since(at) >= HINT_EVERY);
    if due {
        *at = Some(now);
    }
    due
}

/// Whether people see an entry: not temporary files of programs at work, nor git's own business.
fn is_seen(entry: &[u8]) -> bool {
    entry == OURS || !entry.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;
    use crate::kit::clock::{HANG, SystemClock};
    use crate::watch::Hints;

    fn watcher() -> (DirWatcher, Receiver<String>) {
        let (tell, told) = unbounded();
        let hint = move |name: &str| drop(tell.send(name.to_string()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hints = Arc::new(Hints::new(Arc::clone(&clock), || ()));
        (DirWatcher::on(&Arc::new(Watches::new(hints, None).unwrap()), clock, hint), told)
    }

    fn next(told: &Receiver<String>) -> Option<String> {
        told.recv_timeout(HANG).ok()
    }

    #[test]
    fn changes_that_people_make_are_told_and_gits_own_are_not() {
        for name in ["a", "data", ".sageox", "foo.git-x"] {
            assert!(is_seen(name.as_bytes()), "{name}");
        }
        for name in [".git", ".a.swp"] {
            assert!(!is_seen(name.as_bytes()), "{name}");
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
    fn two_watchers_on_the_same_watches_hear_each_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hints = Arc::new(Hints::new(Arc::clone(&clock), || ()));
        let watches = Arc::new(Watches::new(hints, None).unwrap());
        let made = || {
            let (tell, told) = unbounded();
            let hint = move |name: &str| drop(tell.send(name.to_string()));
            (DirWatcher::on(&watches, Arc::clone(&clock), hint), told)
        };
        let ((mut one, hears), (mut other, hears_too)) = (made(), made());
        // The same name and the same directory, each for itself.
        for watcher in [&mut one, &mut other] {
            watcher.watch("l", dir.path()).unwrap();
        }
        fs::write(dir.path().join("a"), "1").unwrap();
        assert_eq!((next(&hears).as_deref(), next(&hears_too).as_deref()), (Some("l"), Some("l")));
        drop(other);
        crate::kit::clock::pause(HINT_EVERY);
        while hears.try_recv().is_ok() {}
        fs::write(dir.path().join("b"), "1").unwrap();
        assert_eq!(next(&hears).as_deref(), Some("l"), "the end of one is not the end of the other");
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
        let mut table = BTreeMap::from([("l".to_string(), None)]);
        let at = |ms: u64| Mono::ZERO + Duration::from_millis(ms);
        let hints = (0..1000).filter(|ms| is_due(&mut table, "l", at(*ms))).count();
        assert_eq!(hints, 10);
        assert!(!is_due(&mut table, "other", at(0)));
    }
}
