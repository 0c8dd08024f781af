//! inotify. The thread only reads the queue, maps numbers to paths and leaves hints.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::table::{Place, Table};
use super::{NoCookie, WatchError};
use crate::kit::cancel::Cancel;
use crate::kit::thread;
use crate::watch::change::RootId;
use crate::watch::hints::{Hints, Loss, Touch, join};
use crate::watch::limits::{COOKIES_MAX, READ_BUFFER};

/// What is asked of the kernel: everything that changes a directory's entries or a file's content or mode; no opens, no reads.
/// `CLOSE_WRITE` tells of writes through a mapping.
const MASK: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// Entries came, went or were replaced.
const ENTRY: ReadFlags =
    ReadFlags::CREATE.union(ReadFlags::DELETE).union(ReadFlags::MOVED_FROM).union(ReadFlags::MOVED_TO);

/// What hears of changes in plain directories: their name, and that of the entry; without one it may be anything.
pub type Listener = Box<dyn Fn(&str, Option<&[u8]>) + Send + Sync>;

/// All watches of the process: one descriptor, one thread.
pub struct Watches {
    shared: Arc<Shared>,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
    cookies: Option<PathBuf>,
    number: AtomicU64,
}

struct Shared {
    fd: OwnedFd,
    hints: Arc<Hints>,
    table: Mutex<Table>,
    listener: Mutex<Option<Arc<Listener>>>,
    /// Names of cookies that are waited for, and whether they have come.
    cookies: Mutex<Vec<(Vec<u8>, bool)>>,
    came: Condvar,
}

impl Watches {
    /// Starts watching nothing. `cookies` is a directory of ours in which cookie files may be made; it is made if need be.
    ///
    /// # Errors
    /// The system has no room for a watcher or its thread.
    pub fn new(hints: Arc<Hints>, cookies: Option<&Path>) -> Result<Watches, WatchError> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|e| WatchError::None(e.into()))?;
        let shared = Arc::new(Shared {
            fd,
            hints,
            table: Mutex::default(),
            listener: Mutex::default(),
            cookies: Mutex::default(),
            came: Condvar::new(),
        });
        let cancel = Cancel::new();
        let (reads, stop) = (Arc::clone(&shared), cancel.clone());
        let thread = thread::spawn("watch", thread::STACK_SMALL, move || reads.run(&stop))
            .map_err(WatchError::None)?;
        let cookies = cookies.map(Path::to_path_buf);
        let watches = Watches { shared, cancel, thread: Some(thread), cookies, number: AtomicU64::new(0) };
        if let Some(dir) = &watches.cookies {
            std::fs::create_dir_all(dir).map_err(|e| WatchError::Path(dir.clone(), e))?;
            watches.watch(Place::Cookies, dir)?;
        }
        Ok(watches)
    }

    /// Watches a directory of a root, also if one at that path was watched before: it may be another by now. Whoever adds a watch
    /// lists the directory afterwards: what happened before is in no queue.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn add(&self, root: RootId, dir: &[u8], path: &Path) -> Result<(), WatchError> {
        self.watch(Place::Tree(root, dir.into()), path)
    }

    /// Watches the git directory of a root, for its index and HEAD.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_git(&self, root: RootId, path: &Path) -> Result<(), WatchError> {
        self.watch(Place::Git(root), path)
    }

    /// Watches one directory for the listener.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch_plain(&self, name: &str, path: &Path) -> Result<(), WatchError> {
        self.forget_plain(name);
        self.watch(Place::Plain(name.into()), path)
    }

    /// Says who hears of changes in plain directories. It must not block.
    pub fn listen(&self, listener: Option<Listener>) {
        *self.shared.listener.lock() = listener.map(Arc::new);
    }

    fn watch(&self, place: Place, path: &Path) -> Result<(), WatchError> {
        let wd = inotify::add_watch(&self.shared.fd, path, MASK).map_err(|e| match e {
            Errno::NOSPC => WatchError::Limit(path.to_path_buf()),
            Errno::NOMEM | Errno::MFILE | Errno::NFILE => WatchError::Resources(path.to_path_buf()),
            e => WatchError::Path(path.to_path_buf(), e.into()),
        })?;
        let dead = self.shared.table.lock().set(place, wd);
        self.remove(&dead);
        Ok(())
    }

    fn remove(&self, dead: &[i32]) {
        for wd in dead {
            // One whose directory is gone was removed by the kernel.
            inotify::remove_watch(&self.shared.fd, *wd).ok();
        }
    }

    /// Watches a directory and what is below it no longer.
    pub fn forget_below(&self, root: RootId, dir: &[u8]) {
        let dead = self.shared.table.lock().forget_below(root, dir);
        self.remove(&dead);
    }

    /// Watches one directory no longer.
    pub fn forget_one(&self, root: RootId, dir: &[u8]) {
        let dead = self.shared.table.lock().forget_one(root, dir);
        self.remove(&dead);
    }

    /// Watches nothing of a root any longer.
    pub fn forget(&self, root: RootId) {
        let dead = self.shared.table.lock().forget(root);
        self.remove(&dead);
    }

    /// Watches a plain directory no longer.
    pub fn forget_plain(&self, name: &str) {
        let dead = self.shared.table.lock().forget_plain(name);
        self.remove(&dead);
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
    /// for its event, for all events come through one queue in their order.
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

impl Drop for Watches {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
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

    fn run(&self, stop: &Cancel) {
        let mut buffer = vec![MaybeUninit::uninit(); READ_BUFFER];
        let mut moved = None;
        while !stop.is_cancelled() {
            let mut fds = vec![PollFd::new(&self.fd, PollFlags::IN)];
            fds.extend(stop.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return self.broken(e),
            }
            if stop.is_cancelled() {
                return;
            }
            let mut reader = Reader::new(&self.fd, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        self.hear(event.wd(), event.events(), event.cookie(), event.file_name(), &mut moved);
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(e) => return self.broken(e),
                }
            }
        }
    }

    /// The queue cannot be read: nothing that is watched can be relied on.
    fn broken(&self, e: Errno) {
        log::error!("file events cannot be read any more: {e}");
        self.lost(Loss::Reader);
    }

    fn lost(&self, loss: Loss) {
        let (roots, plain) = {
            let table = self.table.lock();
            (table.roots(), table.plain())
        };
        for root in roots {
            self.hints.lost(root, loss);
        }
        for name in plain {
            self.tell(&name, None);
        }
    }

    fn tell(&self, name: &str, entry: Option<&[u8]>) {
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(name, entry);
        }
    }

    fn hear(&self, wd: i32, flags: ReadFlags, cookie: u32, name: Option<&CStr>, moved: &mut Moved) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            *moved = None;
            return self.lost(Loss::Kernel);
        }
        let places = {
            let mut table = self.table.lock();
            let places = table.at(wd).to_vec();
            if flags.contains(ReadFlags::IGNORED) {
                table.dropped(wd);
            }
            places
        };
        let name = name.map(CStr::to_bytes).unwrap_or_default();
        for place in places {
            match place {
                Place::Tree(root, dir) => self.in_tree(root, &dir, flags, cookie, name, moved),
                Place::Git(root) if counts_in_git(name) => self.hints.git(root),
                Place::Git(_) => {}
                Place::Plain(plain) => {
                    if !name.is_empty() && !flags.contains(ReadFlags::ATTRIB) {
                        self.tell(&plain, Some(name));
                    }
                }
                Place::Cookies => self.cookie_came(name),
            }
        }
    }

    fn in_tree(
        &self,
        root: RootId,
        dir: &[u8],
        flags: ReadFlags,
        cookie: u32,
        name: &[u8],
        moved: &mut Moved,
    ) {
        let own = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
        if flags.intersects(own) {
            if dir.is_empty() {
                self.hints.lost(root, Loss::Root);
            } else if flags.contains(ReadFlags::UNMOUNT) {
                self.hints.lost(root, Loss::Kernel);
            }
            return;
        }
        if name.is_empty() || name == b".git" {
            return;
        }
        let entry = flags.intersects(ENTRY);
        if flags.contains(ReadFlags::MOVED_FROM) {
            *moved = Some((cookie, root, join(dir, name)));
        }
        if flags.contains(ReadFlags::MOVED_TO)
            && let Some((_, _, from)) = moved.take_if(|(known, at, _)| *known == cookie && *at == root)
        {
            self.hints.path(root, &from, b"", Touch { renamed: true, entry: true });
        }
        self.hints.path(root, dir, name, Touch { renamed: false, entry });
    }

    fn cookie_came(&self, name: &[u8]) {
        let mut cookies = self.cookies.lock();
        if let Some((_, came)) = cookies.iter_mut().find(|(known, _)| known == name) {
            *came = true;
            self.came.notify_all();
        }
    }
}

/// The first half of a rename: its cookie, where, what.
type Moved = Option<(u32, RootId, Box<[u8]>)>;

/// Files of a git directory that tell of another index or HEAD, or of an end of what git is at.
fn counts_in_git(name: &[u8]) -> bool {
    let known: [&[u8]; 6] =
        [b"HEAD", b"index", b"index.lock", b"ORIG_HEAD", b"packed-refs", b"COMMIT_EDITMSG"];
    known.contains(&name) || name.starts_with(b"rebase-") || name.starts_with(b"MERGE_")
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
