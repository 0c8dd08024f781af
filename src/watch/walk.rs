//! Walks directories: watches each, then lists it, so that nothing is missed in between, and compares what is there with what was
//! known. Never goes into what git ignores, into other repositories, or through links.

use std::collections::{BTreeSet, VecDeque};

use rustix::fs::{AtFlags, FileType, Mode as Perm, OFlags};
use rustix::io::Errno;

use super::change::{Kind, Reason};
use super::files::{Entry, is_below};
use super::hints::join;
use super::limits::{DEPTH_MAX, DIRS_MAX};
use super::view::{Job, View};

/// What a walk came through.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Directories that were listed.
    pub(super) dirs: BTreeSet<Box<[u8]>>,
    /// Directories that could not be listed: what is below stays as it was known.
    pub(super) unread: Vec<Box<[u8]>>,
}

/// What a listing came to.
enum Listed {
    /// Its directories, to be walked.
    Dirs(Vec<Box<[u8]>>),
    /// It is not there, or is not to be looked into.
    Nothing,
    /// It could not be read.
    Unread,
}

impl View {
    /// Walks `dir` and everything below it, and tells what differs.
    pub(super) fn walk(&mut self, job: &mut Job<'_>, dir: &[u8]) -> Walked {
        self.walk += 1;
        let mut seen = Seen { start: self.tracked.below(dir).start, bits: Vec::new() };
        seen.bits.resize(self.tracked.below(dir).len(), false);
        let mut walked = Walked::default();
        let mut todo = VecDeque::new();
        if depth(dir) <= DEPTH_MAX {
            todo.push_back(Box::<[u8]>::from(dir));
        }
        while let Some(dir) = todo.pop_front() {
            self.watch_dir(job, &dir);
            match self.list(job, &dir, &mut seen) {
                Listed::Dirs(below) => {
                    todo.extend(below.into_iter().filter(|dir| depth(dir) <= DEPTH_MAX));
                    walked.dirs.insert(dir);
                }
                Listed::Nothing => {
                    if let Some(watches) = job.watches {
                        watches.forget_below(job.id, &dir);
                    }
                }
                Listed::Unread => walked.unread.push(dir),
            }
        }
        self.tell_absent(job, dir, &seen, &walked.unread);
        walked
    }

    fn watch_dir(&mut self, job: &mut Job<'_>, dir: &[u8]) {
        let Some(watches) = job.watches.filter(|_| job.add) else { return };
        let result = if watches.count(job.id) >= DIRS_MAX && !watches.is_watched(job.id, dir) {
            Err(Reason::TooManyDirs)
        } else {
            match watches.add(job.id, dir, &job.at(dir)) {
                Ok(()) => Ok(()),
                // It is not there any more, or not ours to read: the listing will show.
                Err(e) if e.is_of_the_path() => Ok(()),
                Err(e) => Err(e.reason()),
            }
        };
        if let Err(reason) = result {
            self.short = Some(reason);
            job.add = false;
        }
    }

    /// Lists a directory and compares its files.
    fn list(&mut self, job: &mut Job<'_>, dir: &[u8], seen: &mut Seen) -> Listed {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(job.at(dir), flags, Perm::empty());
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Listed::Nothing,
            Err(_) => return Listed::Unread,
        };
        let own = rustix::fs::fstat(&fd).is_ok_and(|s| job.excluded.contains(&(s.st_dev, s.st_ino)));
        let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return Listed::Unread };
        let mut found = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else { return Listed::Unread };
            let name = entry.file_name().to_bytes();
            match name {
                b"." | b".." => {}
                // Another repository; its work tree is its own affair.
                b".git" if !dir.is_empty() && !self.tracked.has_dir(dir) => return Listed::Nothing,
                b".git" => {}
                _ => found.push((Box::<[u8]>::from(name), entry.file_type())),
            }
        }
        if own {
            return Listed::Nothing;
        }
        let mut below = Vec::new();
        for (name, kind) in found {
            let path = join(dir, &name);
            if self.entry(job, &fd, &name, &path, kind, seen) {
                below.push(path);
            }
        }
        Listed::Dirs(below)
    }

    /// Compares what is at a path; true for a directory to be walked. What git leaves out is not even looked at.
    fn entry(
        &mut self,
        job: &mut Job<'_>,
        dir: &std::os::fd::OwnedFd,
        name: &[u8],
        path: &[u8],
        kind: FileType,
        seen: &mut Seen,
    ) -> bool {
        let stat = || match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Entry::of(&stat),
            Err(Errno::NOENT) => Entry::Nothing,
            Err(_) => Entry::Unknown,
        };
        let is_dir = match kind {
            FileType::Directory => true,
            FileType::Unknown => matches!(stat(), Entry::Dir(..)),
            _ => false,
        };
        if is_dir {
            return !self.gitlinks.contains(path)
                && (self.tracked.has_dir(path) || !job.is_ignored(path, true));
        }
        let tracked = self.tracked.find(path);
        if tracked.is_none() && job.is_ignored(path, false) {
            return false;
        }
        match stat() {
            Entry::File(stat) => {
                if let Some(at) = tracked {
                    seen.mark(at);
                    self.file(job, path, stat);
                } else {
                    self.other(job, path, stat);
                }
            }
            // Nothing follows from not being able to look.
            Entry::Unknown => match (tracked, self.others.get(path)) {
                (Some(at), _) => seen.mark(at),
                (None, Some(stat)) => self.others.insert(path, stat, self.walk),
                (None, None) => {}
            },
            Entry::Dir(..) | Entry::Nothing => {}
        }
        false
    }

    /// What was known below `dir` and has not been seen is gone; what git now leaves out is forgotten in silence.
    fn tell_absent(&mut self, job: &mut Job<'_>, dir: &[u8], seen: &Seen, unread: &[Box<[u8]>]) {
        let unknown = |path: &[u8]| unread.iter().any(|dir| is_below(path, dir));
        for at in self.tracked.below(dir) {
            if !seen.has(at) && self.tracked.stat(at).is_some() && !unknown(self.tracked.path(at)) {
                let path = Box::<[u8]>::from(self.tracked.path(at));
                self.gone_here(job, &path, Kind::Deleted);
            }
        }
        for path in self.others.below(dir, self.walk) {
            if unknown(&path) {
                continue;
            }
            if job.scan_entry(&path) == Entry::Nothing {
                self.gone_here(job, &path, Kind::Deleted);
            } else {
                self.others.remove(&path);
            }
        }
    }
}

/// How many directories down one is; the root is none.
fn depth(dir: &[u8]) -> usize {
    if dir.is_empty() { 0 } else { 1 + dir.iter().filter(|b| **b == b'/').count() }
}

/// The tracked files that a walk has come to.
struct Seen {
    start: usize,
    bits: Vec<bool>,
}

impl Seen {
    fn mark(&mut self, at: usize) {
        if let Some(bit) = at.checked_sub(self.start).and_then(|at| self.bits.get_mut(at)) {
            *bit = true;
        }
    }

    fn has(&self, at: usize) -> bool {
        at.checked_sub(self.start).and_then(|at| self.bits.get(at)).copied().unwrap_or(false)
    }
}
