//! Watching by the library, where the kernel's interface is not ours: one recursive watch a root, filtered by the directories that
//! were added. Tested on Linux; it serves macOS.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::{Condvar, Mutex};

use super::{NoCookie, WatchError};
use crate::watch::change::RootId;
use crate::watch::files::{is_below, parent};
use crate::watch::hints::{Hints, Loss, Touch};
use crate::watch::limits::COOKIES_MAX;

/// What hears of changes in plain directories: their name, and that of the entry; without one it may be anything.
pub type Listener = Box<dyn Fn(&str, Option<&[u8]>) + Send + Sync>;

/// All watches of the process.
pub struct Watches {
    watcher: Mutex<RecommendedWatcher>,
    shared: Arc<Shared>,
    cookies: Option<PathBuf>,
    number: AtomicU64,
}

struct Shared {
    hints: Arc<Hints>,
    table: Mutex<Table>,
    listener: Mutex<Option<Arc<Listener>>>,
    cookies: Mutex<Vec<(PathBuf, bool)>>,
    came: Condvar,
}

/// Directories of a root.
type Dirs = BTreeSet<Arc<[u8]>>;

#[derive(Default)]
struct Table {
    /// Paths of roots, and their directories.
    roots: BTreeMap<RootId, (PathBuf, Dirs)>,
    gits: BTreeMap<RootId, PathBuf>,
    plain: BTreeMap<Arc<str>, PathBuf>,
}

impl Watches {
    /// Starts watching nothing. `cookies` is a directory of ours in which cookie files may be made; it is made if need be.
    ///
    /// # Errors
    /// The system has no room for a watcher or its thread.
    pub fn new(hints: Arc<Hints>, cookies: Option<&Path>) -> Result<Watches, WatchError> {
        let shared = Arc::new(Shared {
            hints,
            table: Mutex::default(),
            listener: Mutex::default(),
            cookies: Mutex::default(),
            came: Condvar::new(),
        });
        let hears = Arc::clone(&shared);
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(move |event| hears.hear(event), config)
            .map_err(|e| WatchError::None(std::io::Error::other(e)))?;
        let cookies = match cookies {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|e| WatchError::Path(dir.to_path_buf(), e))?;
                // Events come with the true path.
                Some(dir.canonicalize().map_err(|e| WatchError::Path(dir.to_path_buf(), e))?)
            }
            None => None,
        };
        let watches = Watches { watcher: Mutex::new(watcher), shared, cookies, number: AtomicU64::new(0) };
        if let Some(dir) = &watches.cookies {
            watches.watch(dir, RecursiveMode::NonRecursive)?;
        }
        Ok(watches)
    }

    fn watch(&self, path: &Path, mode: RecursiveMode) -> Result<(), WatchError> {
        self.watcher.lock().watch(path, mode).map_err(|e| match e.kind {
            notify::ErrorKind::MaxFilesWatch => WatchError::Limit(path.to_path_buf()),
            notify::ErrorKind::Io(e) => WatchError::Path(path.to_path_buf(), e),
            kind => WatchError::Path(path.to_path_buf(), std::io::Error::other(format!("{kind:?}"))),
        })
    }

    fn unwatch(&self, path: &Path) {
        // One that is gone has no watch any more.
        drop(self.watcher.lock().unwatch(path));
    }

    /// Lets events of a directory through. The first of a root, the empty one, begins the watch of all.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn add(&self, root: RootId, dir: &[u8], path: &Path) -> Result<(), WatchError> {
        if dir.is_empty() {
            self.watch(path, RecursiveMode::Recursive)?;
        }
        let mut table = self.shared.table.lock();
        let (_, dirs) = table.roots.entry(root).or_insert_with(|| (path.to_path_buf(), BTreeSet::new()));
        dirs.insert(dir.into());
        Ok(())
    }

    /// Watches the git directory of a root, for its index and HEAD.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_git(&self, root: RootId, path: &Path) -> Result<(), WatchError> {
        if self.shared.table.lock().gits.get(&root).is_some_and(|known| known == path) {
            return Ok(());
        }
        self.watch(path, RecursiveMode::NonRecursive)?;
        self.shared.table.lock().gits.insert(root, path.components().collect());
        Ok(())
    }

    /// Watches one directory for the listener.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_plain(&self, name: &str, path: &Path) -> Result<(), WatchError> {
        self.forget_plain(name);
        self.watch(path, RecursiveMode::NonRecursive)?;
        self.shared.table.lock().plain.insert(name.into(), path.to_path_buf());
        Ok(())
    }

    /// Says who hears of changes in plain directories. It must not block.
    pub fn listen(&self, listener: Option<Listener>) {
        *self.shared.listener.lock() = listener.map(Arc::new);
    }

    /// Watches a directory and what is below it no longer.
    pub fn forget_below(&self, root: RootId, dir: &[u8]) {
        if let Some((_, dirs)) = self.shared.table.lock().roots.get_mut(&root) {
            dirs.retain(|known| **known != *dir && !is_below(known, dir));
        }
    }

    /// Watches one directory no longer.
    pub fn forget_one(&self, root: RootId, dir: &[u8]) {
        if let Some((_, dirs)) = self.shared.table.lock().roots.get_mut(&root) {
            dirs.remove(dir);
        }
    }

    /// Watches nothing of a root any longer.
    pub fn forget(&self, root: RootId) {
        let (tree, git) = {
            let mut table = self.shared.table.lock();
            (table.roots.remove(&root).map(|(path, _)| path), table.gits.remove(&root))
        };
        for path in tree.into_iter().chain(git) {
            self.unwatch(&path);
        }
    }

    /// Watches a plain directory no longer.
    pub fn forget_plain(&self, name: &str) {
        let path = self.shared.table.lock().plain.remove(name);
        if let Some(path) = path {
            self.unwatch(&path);
        }
    }

    /// Whether a directory of a root is watched.
    pub fn is_watched(&self, root: RootId, dir: &[u8]) -> bool {
        self.shared.table.lock().roots.get(&root).is_some_and(|(_, dirs)| dirs.contains(dir))
    }

    /// How many directories of a root are watched.
    pub fn count(&self, root: RootId) -> usize {
        self.shared.table.lock().roots.get(&root).map_or(0, |(_, dirs)| dirs.len())
    }

    /// The watched directories of a root.
    pub fn dirs(&self, root: RootId) -> Vec<Arc<[u8]>> {
        let table = self.shared.table.lock();
        table.roots.get(&root).map_or_else(Vec::new, |(_, dirs)| dirs.iter().cloned().collect())
    }

    /// Returns when what happened before the call has become a hint, as far as the system keeps events in order.
    ///
    /// # Errors
    /// The event did not come within `limit`, or no file could be made.
    pub fn cookie(&self, limit: Duration) -> Result<(), NoCookie> {
        let dir = self.cookies.as_ref().ok_or(NoCookie)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let file = dir.join(format!("ox-cookie-{}-{number}", std::process::id()));
        {
            let mut cookies = self.shared.cookies.lock();
            if cookies.len() >= COOKIES_MAX {
                return Err(NoCookie);
            }
            cookies.push((file.clone(), false));
        }
        let made = std::fs::write(&file, b"");
        let mut cookies = self.shared.cookies.lock();
        let waits = |cookies: &mut Vec<(PathBuf, bool)>| !cookies.contains(&(file.clone(), true));
        if made.is_ok() {
            self.shared.came.wait_while_for(&mut cookies, waits, limit);
        }
        let came = cookies.contains(&(file.clone(), true));
        cookies.retain(|(known, _)| *known != file);
        drop(cookies);
        drop(std::fs::remove_file(&file));
        if came { Ok(()) } else { Err(NoCookie) }
    }
}

impl Shared {
    fn hear(&self, event: notify::Result<Event>) {
        let lost = !event.as_ref().is_ok_and(|event| !event.need_rescan());
        if lost {
            let (roots, plain): (Vec<_>, Vec<_>) = {
                let table = self.table.lock();
                (table.roots.keys().copied().collect(), table.plain.keys().cloned().collect())
            };
            roots.into_iter().for_each(|root| self.hints.lost(root, Loss::Kernel));
            plain.iter().for_each(|name| self.tell(name, None));
        }
        let Ok(event) = event else { return };
        let touch = match event.kind {
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => Touch::default(),
            _ => Touch { renamed: false, entry: true },
        };
        for path in &event.paths {
            self.place(path, touch);
        }
    }

    fn tell(&self, name: &str, entry: Option<&[u8]>) {
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(name, entry);
        }
    }

    /// Hands a path to everybody whose it is.
    fn place(&self, path: &Path, touch: Touch) {
        let (mut hints, mut told) = (Vec::new(), Vec::new());
        {
            let table = self.table.lock();
            for (root, (at, dirs)) in &table.roots {
                let Ok(inside) = path.strip_prefix(at) else { continue };
                let inside = bytes_of(inside);
                // Below what is ignored, and in git's own directory, nobody has added anything.
                if inside.is_empty() || dirs.contains(parent(inside)) && !inside.ends_with(b".git") {
                    hints.push((*root, Some(inside.to_vec())));
                }
            }
            let git = |at: &&PathBuf| path.parent() == Some(at.as_path());
            hints.extend(table.gits.iter().filter(|(_, at)| git(at)).map(|(root, _)| (*root, None)));
            let plain = table.plain.iter().filter(|(_, at)| path.parent() == Some(at.as_path()));
            told.extend(plain.map(|(name, _)| Arc::clone(name)));
        }
        for (root, inside) in hints {
            match inside {
                None => self.hints.git(root),
                Some(inside) if inside.is_empty() && touch.entry => self.hints.lost(root, Loss::Root),
                Some(inside) => self.hints.path(root, &inside, b"", touch),
            }
        }
        for name in told {
            self.tell(&name, path.file_name().map(std::ffi::OsStr::as_encoded_bytes));
        }
        let mut cookies = self.cookies.lock();
        if let Some((_, came)) = cookies.iter_mut().find(|(known, _)| known == path) {
            *came = true;
            self.came.notify_all();
        }
    }
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::kit::clock::{HANG, SystemClock, wait_until};

    const ROOT: RootId = RootId(1);

    #[test]
    fn the_library_serves_roots_git_and_cookies_too() {
        let tmp = tempfile::tempdir().unwrap();
        let top = tmp.path().canonicalize().unwrap();
        let root = top.join("r");
        for dir in ["src", "target", ".git"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let hints = Arc::new(Hints::new(Arc::new(SystemClock), || ()));
        let watches = Watches::new(Arc::clone(&hints), Some(&top.join("cookies"))).unwrap();
        watches.add(ROOT, b"", &root).unwrap();
        watches.add(ROOT, b"src", &root.join("src")).unwrap();
        watches.watch_git(ROOT, &root.join(".git")).unwrap();
        assert_eq!((watches.count(ROOT), watches.is_watched(ROOT, b"src")), (2, true));
        fs::write(root.join("src/a"), "1").unwrap();
        fs::write(root.join("target/b"), "1").unwrap();
        fs::write(root.join(".git/HEAD"), "1").unwrap();
        watches.cookie(HANG).unwrap();
        let taken = hints.take(ROOT).unwrap();
        let paths: Vec<_> = taken.paths.keys().map(|p| p.to_vec()).collect();
        assert_eq!((paths, taken.git), (vec![b"src/a".to_vec()], true));
        watches.forget_below(ROOT, b"src");
        fs::write(root.join("src/c"), "1").unwrap();
        fs::rename(&root, top.join("elsewhere")).unwrap();
        let lost = || hints.pulses().first().is_some_and(|(_, pulse)| pulse.lost == Some(Loss::Root));
        assert!(wait_until(HANG, lost));
        watches.forget(ROOT);
        assert_eq!(watches.dirs(ROOT).len(), 0);
    }
    #[test]
    fn the_library_serves_single_directories_too() {
        let tmp = tempfile::tempdir().unwrap();
        let top = tmp.path().canonicalize().unwrap();
        let hints = Arc::new(Hints::new(Arc::new(SystemClock), || ()));
        let watches = Watches::new(hints, None).unwrap();
        let (tell, told) = crossbeam_channel::unbounded();
        watches.listen(Some(Box::new(move |name, entry| {
            drop(tell.send((name.to_string(), entry.map(<[u8]>::to_vec))));
        })));
        watches.watch_plain("l", &top).unwrap();
        fs::write(top.join("a"), "1").unwrap();
        let first = told.recv_timeout(HANG).unwrap();
        assert_eq!(first, ("l".to_string(), Some(b"a".to_vec())));
        watches.forget_plain("l");
        watches.forget_one(ROOT, b"");
        while told.try_recv().is_ok() {}
        fs::write(top.join("b"), "1").unwrap();
        assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
        assert!(watches.watch_plain("gone", &top.join("gone")).is_err());
    }
}
