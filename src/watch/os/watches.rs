//! The library's watcher. Its thread maps paths to who watches them and leaves hints; nothing more.
//!
//! Where the system watches each directory by itself (inotify) there is one watch a directory, and only those that were added. Elsewhere
//! there is one a root with all that is below it, and what was not added is filtered out here.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notify::event::{ModifyKind, RenameMode};
use notify::{Event, EventKind, RecursiveMode};
use parking_lot::{Condvar, Mutex};

use super::system::{End, Identity, SystemWatcher};
use super::table::{Place, Table};
use super::{NoCookie, WatchError};
use crate::watch::change::RootId;
use crate::watch::hints::{Hints, Loss, Touch};
use crate::watch::limits::COOKIES_MAX;

/// Whether each directory has a watch of its own.
pub(super) const EACH: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Names who hears of changes in plain directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// What hears of changes in plain directories: their name, and that of the entry; without one it may be anything.
pub type Listener = Box<dyn Fn(&str, Option<&[u8]>) + Send + Sync>;

/// All watches of the process: one watcher of the system's, one thread.
pub struct Watches {
    watcher: Mutex<SystemWatcher>,
    pub(super) shared: Arc<Shared>,
    cookies: Option<PathBuf>,
    number: AtomicU64,
}

pub(super) struct Shared {
    hints: Arc<Hints>,
    table: Mutex<Table>,
    listeners: Mutex<BTreeMap<ListenerId, Arc<Listener>>>,
    /// Watched directories whose end was heard, until the watcher is called again: at most one entry for each of its watches.
    pub(super) ends: Mutex<BTreeMap<PathBuf, End>>,
    /// Names of cookies that are waited for, and whether they have come.
    pub(super) cookies: Mutex<Vec<(Vec<u8>, bool)>>,
    came: Condvar,
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
            listeners: Mutex::default(),
            ends: Mutex::default(),
            cookies: Mutex::default(),
            came: Condvar::new(),
        });
        let watcher = SystemWatcher::new(Arc::clone(&shared))
            .map_err(|e| WatchError::None(std::io::Error::other(e)))?;
        let cookies = match cookies {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|e| WatchError::Path(dir.to_path_buf(), e))?;
                // Some systems tell of the true path only.
                Some(dir.canonicalize().map_err(|e| WatchError::Path(dir.to_path_buf(), e))?)
            }
            None => None,
        };
        let watches = Watches { watcher: Mutex::new(watcher), shared, cookies, number: AtomicU64::new(0) };
        if let Some(dir) = &watches.cookies {
            watches.watch(Place::Cookies, dir, RecursiveMode::NonRecursive)?;
        }
        Ok(watches)
    }

    /// Watches a directory of a root, also if one at that path was watched before: it may be another by now. Whoever adds a watch
    /// lists the directory afterwards: what happened before is in no queue.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn add(&self, root: RootId, dir: &[u8], path: &Path) -> Result<(), WatchError> {
        let place = Place::Tree(root, dir.into());
        match (EACH, dir.is_empty()) {
            (true, _) => self.watch(place, path, RecursiveMode::NonRecursive),
            (false, true) => self.watch(place, path, RecursiveMode::Recursive),
            (false, false) => {
                self.shared.table.lock().set(place, path);
                Ok(())
            }
        }
    }

    /// Watches the git directory of a root, for its index and HEAD.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_git(&self, root: RootId, path: &Path) -> Result<(), WatchError> {
        if self.shared.table.lock().git(root) == Some(path) {
            return Ok(());
        }
        self.watch(Place::Git(root), path, RecursiveMode::NonRecursive)
    }

    /// Watches one directory for a listener, also if one was watched under that name before.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_plain(&self, listener: ListenerId, name: &str, path: &Path) -> Result<(), WatchError> {
        self.forget_plain(listener, name);
        self.watch(Place::Plain(listener, name.into()), path, RecursiveMode::NonRecursive)
    }

    /// Names somebody who hears of changes in plain directories. It must not block.
    pub fn listen(&self, listener: Listener) -> ListenerId {
        let id = ListenerId(self.number.fetch_add(1, Ordering::Relaxed));
        self.shared.listeners.lock().insert(id, Arc::new(listener));
        id
    }

    /// A listener hears nothing any more.
    pub fn unlisten(&self, listener: ListenerId) {
        self.shared.listeners.lock().remove(&listener);
    }

    fn watch(&self, place: Place, path: &Path, mode: RecursiveMode) -> Result<(), WatchError> {
        // A link at the end of the path would be followed.
        let is = Identity::of(path).map_err(|e| WatchError::Path(path.to_path_buf(), e))?;
        // Of a tree's directories the parent tells that one went, and they are looked into again; nobody tells so of the others.
        let anew = !matches!(place, Place::Tree(..));
        let mut watcher = self.watcher.lock();
        // Before the system watches, so that an end that is told at once is not missed.
        let dead = self.shared.table.lock().set(place, path);
        let watched = watcher.watch(path, is, mode, anew);
        if watched.is_err() {
            self.shared.table.lock().dropped(path);
        }
        watcher.unwatch(dead.into_iter().collect());
        watched.map_err(|e| error_of(path, e))
    }

    /// Takes places out of the table, and what then nobody watches from the system. Nobody may watch such a path anew in between.
    fn unwatch(&self, forget: impl FnOnce(&mut Table) -> Vec<PathBuf>) {
        let mut watcher = self.watcher.lock();
        let dead = forget(&mut self.shared.table.lock());
        watcher.unwatch(dead);
    }

    /// Watches a directory and what is below it no longer.
    pub fn forget_below(&self, root: RootId, dir: &[u8]) {
        self.unwatch(|table| table.forget_below(root, dir));
    }

    /// Watches one directory no longer.
    pub fn forget_one(&self, root: RootId, dir: &[u8]) {
        self.unwatch(|table| table.forget_one(root, dir));
    }

    /// Watches nothing of a root any longer.
    pub fn forget(&self, root: RootId) {
        self.unwatch(|table| table.forget(root));
    }

    /// Watches a plain directory no longer.
    pub fn forget_plain(&self, listener: ListenerId, name: &str) {
        self.unwatch(|table| table.forget_plain(listener, name).into_iter().collect());
    }

    /// Whether a directory of a root is watched.
    pub fn is_watched(&self, root: RootId, dir: &[u8]) -> bool {
        self.shared.table.lock().has(root, dir)
    }

    /// How many directories of a root are watched.
    pub fn count(&self, root: RootId) -> usize {
        self.shared.table.lock().count(root)
    }

    /// The watched directories of a root.
    pub fn dirs(&self, root: RootId) -> Vec<Arc<[u8]>> {
        self.shared.table.lock().dirs(root)
    }

    /// Returns when everything that happened before the call has become a hint: makes a file in the directory of ours and waits
    /// for its event, for all events come through one queue in their order (as far as the system keeps it).
    ///
    /// # Errors
    /// The event did not come within `limit`, or no file could be made.
    pub fn cookie(&self, limit: Duration) -> Result<(), NoCookie> {
        let dir = self.cookies.as_ref().ok_or(NoCookie)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let name = format!("ox-cookie-{}-{number}", std::process::id());
        let file = dir.join(&name);
        {
            let mut cookies = self.shared.cookies.lock();
            if cookies.len() >= COOKIES_MAX {
                return Err(NoCookie);
            }
            cookies.push((name.clone().into_bytes(), false));
        }
        let made = std::fs::write(&file, b"");
        let came = made.is_ok() && self.shared.wait_for(name.as_bytes(), limit);
        drop(std::fs::remove_file(&file));
        self.shared.cookies.lock().retain(|(known, _)| *known != name.as_bytes());
        if came { Ok(()) } else { Err(NoCookie) }
    }
}

fn error_of(path: &Path, e: notify::Error) -> WatchError {
    let path = path.to_path_buf();
    match e.kind {
        notify::ErrorKind::MaxFilesWatch => WatchError::Limit(path),
        notify::ErrorKind::Io(e)
            if matches!(
                e.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                Some(rustix::io::Errno::NOMEM | rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
            ) =>
        {
            WatchError::Resources(path)
        }
        notify::ErrorKind::Io(e) => WatchError::Path(path, e),
        notify::ErrorKind::PathNotFound => WatchError::Path(path, std::io::ErrorKind::NotFound.into()),
        kind => WatchError::Path(path, std::io::Error::other(format!("{kind:?}"))),
    }
}

impl Shared {
    fn wait_for(&self, name: &[u8], limit: Duration) -> bool {
        let mut cookies = self.cookies.lock();
        let waits =
            |cookies: &mut Vec<(Vec<u8>, bool)>| !cookies.iter().any(|(known, came)| known == name && *came);
        let late = self.came.wait_while_for(&mut cookies, waits, limit).timed_out();
        !late || !waits(&mut cookies)
    }

    pub(super) fn hear(&self, event: notify::Result<Event>) {
        match event {
            Err(e) => {
                log::error!("file events cannot be read: {e}");
                self.lost(Loss::Reader);
            }
            Ok(event) if event.need_rescan() => self.lost(Loss::Kernel),
            Ok(event) => self.take(&event),
        }
    }

    fn lost(&self, loss: Loss) {
        let (roots, plain) = {
            let table = self.table.lock();
            (table.roots(), table.plain())
        };
        roots.into_iter().for_each(|root| self.hints.lost(root, loss));
        plain.iter().for_each(|(listener, name)| self.tell(*listener, name, None));
    }

    fn tell(&self, listener: ListenerId, name: &str, entry: Option<&[u8]>) {
        let listener = self.listeners.lock().get(&listener).cloned();
        if let Some(listener) = listener {
            listener(name, entry);
        }
    }

    fn take(&self, event: &Event) {
        let (entry, ends) = match event.kind {
            EventKind::Remove(_) => (true, true),
            EventKind::Modify(ModifyKind::Name(mode)) => (true, mode != RenameMode::To),
            EventKind::Create(_) => (true, false),
            _ => (false, false),
        };
        if event.info() == Some("unmount") {
            return event.paths.iter().for_each(|path| self.unmounted(path));
        }
        if let (EventKind::Modify(ModifyKind::Name(RenameMode::Both)), [from, to]) =
            (event.kind, event.paths.as_slice())
        {
            return self.renamed(from, to);
        }
        let content = !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
        for path in &event.paths {
            // The directory's own word that it moved comes after those of the entries, which may have told of a rename.
            let is_own = event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::From))
                && event.tracker().is_none();
            if ends {
                self.ended(path, if is_own { End::Moved } else { End::Gone });
            }
            if !is_own {
                self.entry(path, Touch { renamed: false, entry }, content);
            }
        }
    }

    /// The two halves of a rename were told before; here it is known that they belong together.
    fn renamed(&self, from: &Path, to: &Path) {
        let root_of = |place: &Place| if let Place::Tree(root, _) = place { Some(*root) } else { None };
        let same = {
            let table = self.table.lock();
            let to: Vec<RootId> = parents(&table, to).iter().filter_map(root_of).collect();
            let from = parents(&table, from).iter().filter_map(root_of);
            from.filter(|root| to.contains(root)).collect::<Vec<RootId>>()
        };
        if !same.is_empty() {
            self.entry(from, Touch { renamed: true, entry: true }, true);
        }
    }

    /// A directory that is watched itself went or moved away: the system watches it no longer under this name.
    fn ended(&self, path: &Path, end: End) {
        let places = if EACH { self.dropped(path, end) } else { self.table.lock().at(path).to_vec() };
        for place in places {
            if let Place::Tree(root, dir) = place
                && dir.is_empty()
            {
                self.hints.lost(root, Loss::Root);
            }
        }
    }

    /// The system watches a path no longer. Answers who was there.
    fn dropped(&self, path: &Path, end: End) -> Vec<Place> {
        let mut table = self.table.lock();
        let places = table.at(path).to_vec();
        if !places.is_empty() {
            table.dropped(path);
            self.ends.lock().insert(path.to_path_buf(), end);
        }
        places
    }

    fn unmounted(&self, path: &Path) {
        let places = self.dropped(path, End::Gone);
        for place in places {
            if let Place::Tree(root, dir) = place {
                self.hints.lost(root, if dir.is_empty() { Loss::Root } else { Loss::Kernel });
            }
        }
    }

    /// Hands an entry of a directory to everybody who watches that.
    fn entry(&self, path: &Path, touch: Touch, content: bool) {
        let Some(name) = path.file_name().map(|name| name.as_bytes()) else { return };
        let places = parents(&self.table.lock(), path).to_vec();
        for place in places {
            match place {
                Place::Tree(..) if name == b".git" => {}
                Place::Tree(root, dir) => self.hints.path(root, &dir, name, touch),
                Place::Git(root) if counts_in_git(name) => self.hints.git(root),
                Place::Git(_) => {}
                Place::Plain(listener, plain) if content => self.tell(listener, &plain, Some(name)),
                Place::Plain(..) => {}
                Place::Cookies => self.cookie_came(name),
            }
        }
    }

    fn cookie_came(&self, name: &[u8]) {
        let mut cookies = self.cookies.lock();
        if let Some((_, came)) = cookies.iter_mut().find(|(known, _)| known == name) {
            *came = true;
            self.came.notify_all();
        }
    }
}

/// Who watches the directory that an entry lies in.
fn parents<'t>(table: &'t Table, entry: &Path) -> &'t [Place] {
    entry.parent().map(|dir| table.at(dir)).unwrap_or_default()
}

/// Files of a git directory that tell of another index or HEAD, or of an end of what git is at.
fn counts_in_git(name: &[u8]) -> bool {
    let known: [&[u8]; 6] =
        [b"HEAD", b"index", b"index.lock", b"ORIG_HEAD", b"packed-refs", b"COMMIT_EDITMSG"];
    known.contains(&name) || name.starts_with(b"rebase-") || name.starts_with(b"MERGE_")
}
