//! What is known of one root, and the two ways to bring it up to date: looking into hints, and comparing everything. Both run on
//! a pool's thread; nothing in the repository is written or locked.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::Oid;

use super::change::{Change, Kind, Reason, RootId};
use super::files::{Entry, Others, Stat, Tracked, is_below, parent};
use super::hints::Touch;
use super::limits::UNTRACKED_MAX;
use super::os::Watches;
use crate::git::{GitError, WorkTree};

/// What is known of one root.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) tracked: Tracked,
    pub(super) others: Others,
    /// Paths at which the index has another repository.
    pub(super) gitlinks: BTreeSet<Box<[u8]>>,
    git_dir: Option<PathBuf>,
    index: Option<Stat>,
    /// Why directories are not watched.
    pub(super) short: Option<Reason>,
    /// Untracked files that there was no room for.
    pub(super) unrecorded: u64,
    /// Number of the present walk.
    pub(super) walk: u64,
    /// Whether the whole tree was looked at once.
    pub(super) complete: bool,
}

/// What a job works with and finds.
pub(super) struct Job<'a> {
    pub(super) id: RootId,
    pub(super) root: &'a Path,
    pub(super) watches: Option<&'a Arc<Watches>>,
    /// Whether watches may be added.
    pub(super) add: bool,
    /// Directories that are never looked into, by device and inode.
    pub(super) excluded: &'a BTreeSet<(u64, u64)>,
    pub(super) changes: Vec<Change>,
    pub(super) rescan: bool,
    repo: Option<WorkTree>,
    /// Whether a directory and all above it are real ones, not links.
    real: HashMap<Box<[u8]>, bool>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        id: RootId,
        root: &'a Path,
        watches: Option<&'a Arc<Watches>>,
        excluded: &'a BTreeSet<(u64, u64)>,
    ) -> Job<'a> {
        let (changes, real) = (Vec::new(), HashMap::new());
        Job { id, root, watches, add: true, excluded, changes, rescan: false, repo: None, real }
    }

    /// The path of a file of ours.
    pub(super) fn at(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.root.to_path_buf() } else { self.root.join(path_of(path)) }
    }

    /// What is at a path, links not followed.
    fn stat(&self, path: &[u8]) -> Entry {
        stat(&self.at(path))
    }

    /// The open repository: opened once for a job, for it remembers ignore rules.
    pub(super) fn repo(&mut self) -> Result<&WorkTree, GitError> {
        if self.repo.is_none() {
            self.repo = Some(WorkTree::open(self.root)?);
        }
        self.repo.as_ref().ok_or_else(|| unreachable_repo(self.root))
    }

    /// Whether git leaves a path out. What cannot be told is left out as well: nobody is told of what may be private.
    pub(super) fn is_ignored(&mut self, path: &[u8], dir: bool) -> bool {
        let told = self.repo().and_then(|repo| repo.is_ignored(path, dir));
        told.unwrap_or_else(|e| {
            log::debug!("{}: {e}", self.root.display());
            true
        })
    }

    /// The same, and nothing if a directory above is a link.
    pub(super) fn scan_entry(&mut self, path: &[u8]) -> Entry {
        if self.is_real_dir(parent(path)) { self.stat(path) } else { Entry::Nothing }
    }

    fn is_real_dir(&mut self, dir: &[u8]) -> bool {
        if dir.is_empty() {
            return true;
        }
        if let Some(known) = self.real.get(dir) {
            return *known;
        }
        let real = self.is_real_dir(parent(dir)) && matches!(self.stat(dir), Entry::Dir(..));
        self.real.insert(dir.into(), real);
        real
    }

    fn forget_watches(&self, dir: &[u8]) {
        if let Some(watches) = self.watches {
            watches.forget_below(self.id, dir);
        }
    }

    fn tell(&mut self, path: &[u8], kind: Kind) {
        if is_rule_file(path) {
            self.rescan = true;
        }
        self.changes.push(Change::new(path, kind));
    }
}

/// Cannot happen: the repository was opened right before.
fn unreachable_repo(root: &Path) -> GitError {
    let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
    GitError::Io { what: "opening", path: root.to_path_buf(), source: gone }
}

/// Files whose change means that others are ignored, or no longer.
fn is_rule_file(path: &[u8]) -> bool {
    path == b".gitignore" || path.ends_with(b"/.gitignore")
}

/// What is at a path, links not followed.
pub(super) fn stat(path: &Path) -> Entry {
    match rustix::fs::lstat(path) {
        Ok(stat) => Entry::of(&stat),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Entry::Nothing,
        Err(_) => Entry::Unknown,
    }
}

/// The bytes of a path inside a root as the system takes them.
pub(super) fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

impl View {
    /// What was last seen at a path.
    pub(super) fn stat(&self, path: &[u8]) -> Option<Stat> {
        match self.tracked.find(path) {
            Some(at) => self.tracked.stat(at),
            None => self.others.get(path),
        }
    }

    /// Every file with what was last seen there: those of the index, then the others.
    pub(super) fn files(&self) -> impl Iterator<Item = (&[u8], Stat)> {
        let tracked =
            (0..self.tracked.len()).filter_map(|at| Some((self.tracked.path(at), self.tracked.stat(at)?)));
        tracked.chain(self.others.iter())
    }

    /// Whether git is changing its index right now.
    pub(super) fn is_git_busy(&self) -> bool {
        self.git_dir.as_ref().is_some_and(|dir| stat(&dir.join("index.lock")) != Entry::Nothing)
    }

    /// Opens the repository, watches its git directory, reads the index if it is another than before. Answers HEAD.
    pub(super) fn refresh_git(&mut self, job: &mut Job<'_>) -> Result<Option<Oid>, GitError> {
        let (git_dir, head) = {
            let repo = job.repo()?;
            (repo.git_dir(), repo.head()?)
        };
        if let Some(watches) = job.watches
            && job.add
            && let Err(e) = watches.watch_git(job.id, &git_dir)
        {
            self.short = Some(e.reason());
        }
        let index = match stat(&git_dir.join("index")) {
            Entry::File(stat) => Some(stat),
            _ => None,
        };
        self.git_dir = Some(git_dir);
        if index != self.index || index.is_none() {
            let listed = job.repo()?.tracked()?;
            self.set_tracked(job, &listed);
            self.index = index;
        }
        Ok(head)
    }

    /// Takes up another set of tracked files. What is known of files stays known; the rest is looked at.
    fn set_tracked(&mut self, job: &mut Job<'_>, listed: &[crate::git::Tracked]) {
        let old = std::mem::take(&mut self.tracked);
        self.gitlinks = listed.iter().filter(|t| t.gitlink).map(|t| Box::from(&*t.path)).collect();
        let mut recheck: Vec<Box<[u8]>> = Vec::new();
        let mut at = 0;
        for file in listed.iter().filter(|t| !t.gitlink) {
            while at < old.len() && old.path(at) < &*file.path {
                recheck.push(old.path(at).into());
                at += 1;
            }
            let same = at < old.len() && old.path(at) == &*file.path;
            let known = if same { old.stat(at) } else { self.others.remove(&file.path) };
            at += usize::from(same);
            self.tracked.push(&file.path, known, file.left_alone);
            if !same && known.is_none() {
                recheck.push(Box::from(&*file.path));
            }
        }
        recheck.extend((at..old.len()).map(|at| Box::from(old.path(at))));
        if !self.complete {
            return;
        }
        for path in recheck {
            self.recheck(job, &path, &old);
        }
        self.adopt_new_dirs(job);
    }

    /// A path that git has begun or ceased to track.
    fn recheck(&mut self, job: &mut Job<'_>, path: &[u8], old: &Tracked) {
        let was = old.find(path).and_then(|at| old.stat(at));
        let is = job.scan_entry(path);
        match is {
            Entry::File(is) if self.tracked.find(path).is_some() => self.file(job, path, is),
            // Not tracked any more, but still there; what git leaves out from now on is forgotten in silence.
            Entry::File(is) => match was {
                _ if job.is_ignored(path, false) => {}
                Some(was) => {
                    if self.record(path, is) && was != is {
                        job.tell(path, Kind::Modified);
                    }
                }
                None => self.other(job, path, is),
            },
            Entry::Nothing | Entry::Dir(..) if was.is_some() => job.tell(path, Kind::Deleted),
            _ => {}
        }
    }

    /// Directories in which files are tracked now may have been ignored until now.
    fn adopt_new_dirs(&mut self, job: &mut Job<'_>) {
        let Some(watches) = job.watches.filter(|_| self.short.is_none()) else { return };
        for dir in self.tracked.dirs() {
            if !watches.is_watched(job.id, &dir) && job.is_real_dir(&dir) {
                self.walk(job, &dir);
            }
        }
    }

    /// Looks into a hint.
    pub(super) fn check(&mut self, job: &mut Job<'_>, path: &[u8], touch: Touch) {
        if path.is_empty() {
            return;
        }
        if is_rule_file(path) {
            job.rescan = true;
        }
        let entry = job.scan_entry(path);
        let gone = if touch.renamed { Kind::Renamed } else { Kind::Deleted };
        match entry {
            Entry::Unknown => {}
            Entry::Nothing => {
                self.gone_here(job, path, gone);
                self.gone_below(job, path, gone);
                job.forget_watches(path);
            }
            Entry::File(stat) => {
                self.gone_below(job, path, gone);
                self.file(job, path, stat);
            }
            Entry::Dir(..) => {
                self.gone_here(job, path, gone);
                let watched = job.watches.is_some_and(|w| w.is_watched(job.id, path));
                // One of that name may have gone and another come.
                if touch.entry || !watched {
                    self.walk_found(job, path);
                }
            }
        }
    }

    /// A directory that was found: looked into unless git leaves it out or it is another repository.
    fn walk_found(&mut self, job: &mut Job<'_>, dir: &[u8]) {
        if self.gitlinks.contains(dir) {
            return;
        }
        if !self.tracked.has_dir(dir) && job.is_ignored(dir, true) {
            return self.gone_below(job, dir, Kind::Deleted);
        }
        self.walk(job, dir);
    }

    /// A file is there.
    pub(super) fn file(&mut self, job: &mut Job<'_>, path: &[u8], stat: Stat) {
        if let Some(at) = self.tracked.find(path) {
            match self.tracked.stat(at) {
                Some(known) if known == stat => {}
                Some(_) => job.tell(path, Kind::Modified),
                None => job.tell(path, Kind::Created),
            }
            self.tracked.set(at, Some(stat));
        } else if self.others.get(path).is_some() || !job.is_ignored(path, false) {
            self.other(job, path, stat);
        }
    }

    /// A file is there that git neither tracks nor leaves out.
    pub(super) fn other(&mut self, job: &mut Job<'_>, path: &[u8], stat: Stat) {
        match self.others.get(path) {
            Some(known) => {
                self.others.insert(path, stat, self.walk);
                if known != stat {
                    job.tell(path, Kind::Modified);
                }
            }
            None => {
                if self.record(path, stat) {
                    job.tell(path, Kind::Created);
                }
            }
        }
    }

    /// Remembers an untracked file, if there is room.
    fn record(&mut self, path: &[u8], stat: Stat) -> bool {
        let room = self.others.len() < UNTRACKED_MAX;
        if room {
            self.others.insert(path, stat, self.walk);
        } else {
            self.unrecorded += 1;
        }
        room
    }

    /// No file is at a path any more.
    pub(super) fn gone_here(&mut self, job: &mut Job<'_>, path: &[u8], kind: Kind) {
        if let Some(at) = self.tracked.find(path).filter(|at| self.tracked.stat(*at).is_some()) {
            self.tracked.set(at, None);
            job.tell(path, kind);
        }
        if self.others.remove(path).is_some() {
            job.tell(path, kind);
        }
    }

    /// No file is below a path any more.
    pub(super) fn gone_below(&mut self, job: &mut Job<'_>, dir: &[u8], kind: Kind) {
        for at in self.tracked.below(dir) {
            if self.tracked.stat(at).is_some() {
                self.tracked.set(at, None);
                job.tell(self.tracked.path(at), kind);
            }
        }
        for path in self.others.below(dir, 0) {
            self.others.remove(&path);
            job.tell(&path, kind);
        }
    }

    /// Drops the watches of directories that a walk of everything has not come to.
    pub(super) fn drop_dead_watches(
        &self,
        job: &Job<'_>,
        walked: &BTreeSet<Box<[u8]>>,
        unread: &[Box<[u8]>],
    ) {
        let Some(watches) = job.watches else { return };
        for dir in watches.dirs(job.id) {
            let kept = walked.contains(&*dir) || unread.iter().any(|u| **u == *dir || is_below(&dir, u));
            if !kept {
                watches.forget_one(job.id, &dir);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untracked_files_beyond_the_cap_are_counted_and_not_told() {
        let none = BTreeSet::new();
        let mut job = Job::new(RootId(1), Path::new("/nowhere"), None, &none);
        let mut view = View::default();
        let stat = Stat { size: 1, mtime: 1, ino: 1, mode: 0o100_644 };
        for n in 0..UNTRACKED_MAX {
            view.other(&mut job, format!("{n}").as_bytes(), stat);
        }
        assert_eq!((job.changes.len(), view.unrecorded), (UNTRACKED_MAX, 0));
        view.other(&mut job, b"one more", stat);
        assert_eq!(
            (job.changes.len(), view.others.len(), view.unrecorded),
            (UNTRACKED_MAX, UNTRACKED_MAX, 1)
        );
        view.gone_here(&mut job, b"0", Kind::Deleted);
        view.other(&mut job, b"one more", stat);
        assert_eq!((view.others.len(), view.unrecorded), (UNTRACKED_MAX, 1), "there is room again");
    }
}
