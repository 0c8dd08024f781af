//! Runs the jobs that the policy asks for. Called from a pool's thread; a root's job has its view for itself while it runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::change::{Reason, RootId};
use super::files::Stat;
use super::hints::{Hints, Taken};
use super::limits::COOKIE_WAIT;
use super::os::Watches;
use super::policy::{Report, ScanStatus, Task};
use super::saved::Saved;
use super::view::{Job, View};
use crate::git::{GitError, unreadable};
use crate::kit::clock::{Clock, Mono};

/// What is watched.
#[derive(Clone, Debug)]
pub struct Root {
    /// The top of a work tree, absolute and without links.
    pub path: PathBuf,
    /// Directories of ours in it, which must never be taken for the user's work: told by what they are, not by their names.
    pub exclude: Vec<PathBuf>,
    /// What is known of it is kept in this file across restarts.
    pub saved: Option<PathBuf>,
}

/// The roots with what is known of them.
pub struct Runner {
    clock: Arc<dyn Clock>,
    hints: Arc<Hints>,
    watches: Option<Arc<Watches>>,
    roots: Mutex<HashMap<RootId, Slot>>,
}

struct Slot {
    root: Arc<Root>,
    /// Absent while a job runs; and after one that broke, so that the next begins from nothing.
    state: Option<Box<State>>,
}

/// What jobs of a root hand on to each other.
#[derive(Debug, Default)]
struct State {
    view: View,
    /// Device and inode of the root.
    identity: Option<(u64, u64)>,
}

impl Runner {
    /// A runner without roots. Without `watches` all of them are polled.
    pub fn new(clock: Arc<dyn Clock>, hints: Arc<Hints>, watches: Option<Arc<Watches>>) -> Runner {
        Runner { clock, hints, watches, roots: Mutex::default() }
    }

    /// Takes up a root.
    pub fn add_root(&self, id: RootId, root: Root) {
        let slot = Slot { root: Arc::new(root), state: Some(Box::default()) };
        self.roots.lock().insert(id, slot);
    }

    /// Lets go of a root, its watches and its hints.
    pub fn remove_root(&self, id: RootId) {
        self.roots.lock().remove(&id);
        if let Some(watches) = &self.watches {
            watches.forget(id);
        }
        self.hints.forget(id);
    }

    /// Runs a job; `None` if the root is not there (any more).
    pub fn run(&self, id: RootId, task: Task) -> Option<Report> {
        let (root, state) = {
            let mut roots = self.roots.lock();
            let slot = roots.get_mut(&id)?;
            (Arc::clone(&slot.root), slot.state.take())
        };
        let mut state = state.unwrap_or_default();
        let start = self.clock.now().mono;
        let mut report = match task {
            Task::Scan { add } => self.scan(id, &root, &mut state, add),
            Task::Verify { forced, cookie } => self.verify(id, &root, &mut state, forced, cookie),
            Task::Save => self.save(id, &root, &state),
        };
        report.took = self.clock.now().mono - start;
        report.dirs = self.watches.as_ref().map_or(0, |watches| watches.count(id));
        match self.roots.lock().get_mut(&id) {
            Some(slot) => slot.state = Some(state),
            // Removed meanwhile: what the job has added since goes as well.
            None => {
                self.watches.iter().for_each(|watches| watches.forget(id));
                self.hints.forget(id);
            }
        }
        Some(report)
    }

    /// Every file of a root as it was last seen, by path; `None` while a job runs.
    pub fn files(&self, id: RootId) -> Option<BTreeMap<Box<[u8]>, Stat>> {
        let roots = self.roots.lock();
        let view = &roots.get(&id)?.state.as_ref()?.view;
        Some(view.files().map(|(path, stat)| (Box::from(path), stat)).collect())
    }

    fn scan(&self, id: RootId, root: &Root, state: &mut State, add: bool) -> Report {
        let identity = match identity(&root.path) {
            Ok(identity) => identity,
            Err(e) => return self.missing(id, state, &e),
        };
        // What was said until now is found by looking at everything.
        drop(self.hints.take(id));
        let excluded = excluded(root);
        let mut job = Job::new(id, &root.path, self.watches.as_ref(), &excluded);
        let unfit = unfit_file_system(&root.path);
        job.add = add && unfit.is_none();
        let view = &mut state.view;
        if job.add {
            view.short = None;
        }
        view.unrecorded = 0;
        if self.watches.is_none() {
            view.short = Some(Reason::NoWatcher);
        } else if let Some(name) = unfit {
            view.short = Some(Reason::FileSystem(name));
        }
        let head = match view.refresh_git(&mut job) {
            Ok(head) => Some(head),
            Err(e) if view.complete => {
                log::warn!("{}: {e}", root.path.display());
                None
            }
            Err(e) => {
                log::warn!("{} is not watched: {e}", root.path.display());
                return self.leave(
                    id,
                    state,
                    ScanStatus::Unreadable(Reason::Unreadable(unreadable(&e.to_string()))),
                );
            }
        };
        let walked = view.walk(&mut job, b"");
        view.drop_dead_watches(&job, &walked.dirs, &walked.unread);
        let baseline = !view.complete;
        view.complete = true;
        state.identity = Some(identity);
        let saved = root.saved.as_ref().filter(|_| baseline);
        let saved = saved.and_then(|path| Saved::read(path, self.clock.now().wall));
        let mut report = report(ScanStatus::Scanned, view);
        report.baseline = baseline;
        report.head = head;
        if !baseline {
            report.changes = told(view, sorted(job.changes));
        } else if let (Some(saved), Some(head)) = (saved, head) {
            report.changes = told(view, saved.changes(view, &mut job, head, self.clock.now().wall));
            report.head_before = Some(saved.head);
        }
        report
    }

    fn save(&self, id: RootId, root: &Root, state: &State) -> Report {
        if let Some(path) = root.saved.as_ref().filter(|_| state.view.complete) {
            let excluded = BTreeSet::new();
            let mut job = Job::new(id, &root.path, None, &excluded);
            let kept = Saved::of(&state.view, &mut job, self.clock.now().wall).map_err(|e| e.to_string());
            if let Err(e) = kept.and_then(|saved| saved.write(path).map_err(|e| e.to_string())) {
                log::warn!("{}: not kept for the next start: {e}", root.path.display());
            }
        }
        report(ScanStatus::Scanned, &state.view)
    }

    /// A root that cannot be looked at is not taken for one that is gone.
    fn missing(&self, id: RootId, state: &State, e: &io::Error) -> Report {
        let found = match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ScanStatus::Gone,
            _ => ScanStatus::Unreadable(Reason::Unreadable(format!(
                "the directory cannot be read: {}",
                e.kind()
            ))),
        };
        self.leave(id, state, found)
    }

    fn leave(&self, id: RootId, state: &State, found: ScanStatus) -> Report {
        if let Some(watches) = &self.watches {
            watches.forget(id);
        }
        drop(self.hints.take(id));
        report(found, &state.view)
    }

    fn verify(&self, id: RootId, root: &Root, state: &mut State, forced: bool, cookie: bool) -> Report {
        let same = match identity(&root.path) {
            Ok(identity) => Some(identity),
            Err(e) => return self.missing(id, state, &e),
        };
        if !forced && state.view.is_git_busy() {
            return report(ScanStatus::GitBusy, &state.view);
        }
        if cookie && !self.cookie_came() {
            return report(ScanStatus::NoCookie, &state.view);
        }
        let taken = self.hints.take(id);
        let excluded = excluded(root);
        let mut job = Job::new(id, &root.path, self.watches.as_ref(), &excluded);
        job.add = state.view.short.is_none();
        job.rescan = same != state.identity || !state.view.complete;
        let mut head = None;
        let span = taken.as_ref().map(|taken| taken.span);
        if let Some(taken) = taken.filter(|_| !job.rescan) {
            head = state.view.scan(&mut job, taken);
        }
        let mut report = report(ScanStatus::Scanned, &state.view);
        report.rescan = job.rescan;
        report.changes = told(&state.view, sorted(job.changes));
        report.head = head;
        report.span = span;
        report
    }

    fn cookie_came(&self) -> bool {
        self.watches.as_ref().is_some_and(|watches| watches.cookie(COOKIE_WAIT).is_ok())
    }
}

impl View {
    /// Looks into all hints that were taken. Answers HEAD if git was at work.
    fn scan(&mut self, job: &mut Job<'_>, taken: Taken) -> Option<Option<git2::Oid>> {
        let head = if taken.git {
            self.refresh_git(job).map_err(|e: GitError| log::debug!("{}: {e}", job.root.display())).ok()
        } else {
            None
        };
        let mut paths: Vec<_> = taken.paths.into_iter().collect();
        // Directories before what is in them.
        paths.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, touch) in paths {
            self.check(job, &path, touch);
        }
        head
    }
}

fn report(found: ScanStatus, view: &View) -> Report {
    Report {
        found,
        changes: Vec::new(),
        baseline: false,
        head: None,
        head_before: None,
        short: view.short.clone(),
        rescan: false,
        span: None::<(Mono, Mono)>,
        took: Duration::ZERO,
        dirs: 0,
        unrecorded: view.unrecorded,
    }
}

/// Those that `git status` would show as well: a file that git was told to leave alone is followed, and not told of.
fn told(view: &View, mut changes: Vec<super::Change>) -> Vec<super::Change> {
    changes.retain(|change| !view.tracked.is_left_alone(&change.path));
    changes
}

/// Each path once: a job may come to one twice, by its own hint and by that of a directory.
fn sorted(changes: Vec<super::Change>) -> Vec<super::Change> {
    let mut by_path: BTreeMap<Box<[u8]>, Option<super::Kind>> = BTreeMap::new();
    for change in changes {
        let known = by_path.entry(change.path).or_insert(None);
        *known = match *known {
            None => Some(change.kind),
            Some(before) => super::accumulate::collapse(before, change.kind),
        };
    }
    let change = |(path, kind): (_, Option<super::Kind>)| Some(super::Change { path, kind: kind? });
    by_path.into_iter().filter_map(change).collect()
}

/// Device and inode of a directory.
fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    let what = std::fs::symlink_metadata(dir)?;
    if what.is_dir() { Ok((what.dev(), what.ino())) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn excluded(root: &Root) -> BTreeSet<(u64, u64)> {
    root.exclude.iter().filter_map(|dir| identity(dir).ok()).collect()
}

/// File systems that do not tell of what others change in them, by the number that `statfs` gives (linux/magic.h).
#[cfg(target_os = "linux")]
fn unfit_file_system(path: &Path) -> Option<&'static str> {
    let known: [(u32, &str); 7] = [
        (0x0000_6969, "NFS"),
        (0x0000_517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB 2"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
    ];
    let stat = rustix::fs::statfs(path).ok()?;
    // Only the lower half is the number; the type's width and sign differ between machines.
    let magic = (stat.f_type as u64 & 0xffff_ffff) as u32;
    known.into_iter().find(|(number, _)| *number == magic).map(|(_, name)| name)
}

#[cfg(not(target_os = "linux"))]
fn unfit_file_system(_: &Path) -> Option<&'static str> {
    None
}
