//! What is known of the files of a root: those in git's index, packed, and the others.

use std::collections::BTreeMap;
use std::ops::Range;

use rustix::fs::{FileType, Stat as RawStat};

/// What of a file's state is compared. Two equal ones mean the same content, as far as git itself believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970.
    pub mtime: i64,
    /// Inode: another one means that the file was replaced.
    pub ino: u64,
    /// Type and permissions; never zero for what is there.
    pub mode: u32,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file or a symbolic link.
    File(Stat),
    /// A directory, by device and inode.
    Dir(u64, u64),
    /// Nothing that counts.
    Nothing,
    /// It could not be looked at; nothing follows from that.
    Unknown,
}

impl Entry {
    /// What the system says about a path.
    pub fn of(stat: &RawStat) -> Entry {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Entry::Dir(stat.st_dev, stat.st_ino),
            FileType::RegularFile | FileType::Symlink => Entry::File(Stat {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mtime: nanos(stat),
                ino: stat.st_ino,
                mode: stat.st_mode,
            }),
            _ => Entry::Nothing,
        }
    }
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // the fields differ between systems
fn nanos(stat: &RawStat) -> i64 {
    (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64)
}

/// A packed, sorted list of paths with what was last seen at each: some 36 bytes and the path itself a file.
#[derive(Debug, Default)]
pub struct Tracked {
    blob: Vec<u8>,
    ends: Vec<u32>,
    stats: Vec<Stat>,
    /// The places of those that git was told to leave alone, in order.
    left_alone: Vec<usize>,
}

const ABSENT: Stat = Stat { size: 0, mtime: 0, ino: 0, mode: 0 };

impl Tracked {
    /// Adds a path; they come in the order of their bytes. `left_alone`: git was told not to look at it.
    pub fn push(&mut self, path: &[u8], stat: Option<Stat>, left_alone: bool) {
        if left_alone {
            self.left_alone.push(self.len());
        }
        self.blob.extend_from_slice(path);
        // Four gigabytes of paths do not fit an index either.
        self.ends.push(u32::try_from(self.blob.len()).unwrap_or(u32::MAX));
        self.stats.push(stat.unwrap_or(ABSENT));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The path at a place.
    pub fn path(&self, at: usize) -> &[u8] {
        let end = |at: usize| self.ends.get(at).map_or(self.blob.len(), |end| *end as usize);
        let start = if at == 0 { 0 } else { end(at - 1) };
        self.blob.get(start..end(at)).unwrap_or_default()
    }

    /// What was last seen there; `None` if the file is absent.
    pub fn stat(&self, at: usize) -> Option<Stat> {
        self.stats.get(at).copied().filter(|stat| *stat != ABSENT)
    }

    /// Notes what is there now.
    pub fn set(&mut self, at: usize, stat: Option<Stat>) {
        if let Some(slot) = self.stats.get_mut(at) {
            *slot = stat.unwrap_or(ABSENT);
        }
    }

    /// The place of a path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        let at = self.first(|p| p >= path);
        (at < self.len() && self.path(at) == path).then_some(at)
    }

    /// Whether git was told not to look at a path, so that its changes are nobody's work.
    pub fn is_left_alone(&self, path: &[u8]) -> bool {
        !self.left_alone.is_empty()
            && self.find(path).is_some_and(|at| self.left_alone.binary_search(&at).is_ok())
    }

    /// The places of all paths below a directory; of all for the empty one.
    pub fn below(&self, dir: &[u8]) -> Range<usize> {
        if dir.is_empty() {
            return 0..self.len();
        }
        let start = self.first(|p| cmp_below(p, dir).is_ge());
        let end = self.first(|p| cmp_below(p, dir).is_gt());
        start..end.max(start)
    }

    /// Whether there is a path below `dir`.
    pub fn has_dir(&self, dir: &[u8]) -> bool {
        let at = self.first(|p| cmp_below(p, dir).is_ge());
        at < self.len() && is_below(self.path(at), dir)
    }

    /// Every directory that a tracked file lies in, with its own directories, each once, parents first.
    pub fn dirs(&self) -> Vec<Box<[u8]>> {
        let mut dirs = std::collections::BTreeSet::new();
        let mut last: &[u8] = &[];
        for at in 0..self.len() {
            let dir = parent(self.path(at));
            if dir == last {
                continue;
            }
            last = dir;
            let mut up = dir;
            while !up.is_empty() && !dirs.contains(up) {
                dirs.insert(Box::from(up));
                up = parent(up);
            }
        }
        dirs.into_iter().collect()
    }

    /// The first place from which on `holds` is true.
    fn first(&self, holds: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low + (high - low) / 2;
            if holds(self.path(mid)) {
                high = mid;
            } else {
                low = mid + 1;
            }
        }
        low
    }
}

/// Where a path lies beside all those below `dir`: before, among or after them.
fn cmp_below(path: &[u8], dir: &[u8]) -> std::cmp::Ordering {
    let head = path.get(..dir.len()).unwrap_or(path);
    head.cmp(dir).then_with(|| path.get(dir.len()).copied().unwrap_or(0).cmp(&b'/'))
}

/// Whether a path lies below `dir`; every one does below the empty one.
pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The directory of a path; empty for one at the top.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|b| *b == b'/').map_or(&[], |at| path.get(..at).unwrap_or_default())
}

/// The files that git neither tracks nor ignores, with what was last seen, and in which walk.
#[derive(Debug, Default)]
pub struct Others(BTreeMap<Box<[u8]>, (Stat, u64)>);

impl Others {
    /// What was last seen at a path.
    pub fn get(&self, path: &[u8]) -> Option<Stat> {
        self.0.get(path).map(|(stat, _)| *stat)
    }

    /// Notes what a walk has seen.
    pub fn insert(&mut self, path: &[u8], stat: Stat, walk: u64) {
        self.0.insert(path.into(), (stat, walk));
    }

    /// Forgets a path.
    pub fn remove(&mut self, path: &[u8]) -> Option<Stat> {
        self.0.remove(path).map(|(stat, _)| stat)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The paths below a directory that were not seen by `walk`; of all for the empty one. `walk` zero is none.
    pub fn below(&self, dir: &[u8], walk: u64) -> Vec<Box<[u8]>> {
        let mut start = dir.to_vec();
        if !dir.is_empty() {
            start.push(b'/');
        }
        let from = self.0.range::<[u8], _>((std::ops::Bound::Included(&*start), std::ops::Bound::Unbounded));
        from.take_while(|(path, _)| is_below(path, dir))
            .filter(|(_, (_, seen))| *seen != walk)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Every path with what was last seen.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Stat)> {
        self.0.iter().map(|(path, (stat, _))| (&**path, *stat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat { size: 1, mtime: 2, ino: 3, mode: 0o100_644 };
    const PATHS: [&[u8]; 7] = [b"a", b"a-b", b"a/b", b"a/b/c", b"a0", b"b\xff/x", b"z/y/x"];

    fn tracked() -> Tracked {
        let mut paths = PATHS;
        paths.sort_unstable();
        let mut tracked = Tracked::default();
        for path in paths {
            tracked.push(path, None, path.starts_with(b"a/"));
        }
        tracked
    }

    #[test]
    fn packed_paths_are_found_and_so_is_what_lies_below() {
        let mut t = tracked();
        for path in PATHS {
            let at = t.find(path).unwrap();
            assert_eq!(t.path(at), path);
            assert_eq!(t.stat(at), None);
            t.set(at, Some(STAT));
            assert_eq!(t.stat(at), Some(STAT));
        }
        for missing in [&b""[..], b"a/", b"zz", b"0"] {
            assert_eq!(t.find(missing), None);
        }
        let below = |dir: &[u8]| t.below(dir).map(|at| t.path(at).to_vec()).collect::<Vec<_>>();
        assert_eq!(below(b"a"), [&b"a/b"[..], b"a/b/c"]);
        assert_eq!(below(b"a/b"), [b"a/b/c"]);
        assert_eq!(below(b"").len(), 7);
        assert!(below(b"c").is_empty() && below(b"z/y/x").is_empty());
        let dirs: Vec<(&[u8], bool)> =
            vec![(b"a", true), (b"a/b", true), (b"a-b", false), (b"z", true), (b"y", false)];
        for (dir, expected) in dirs {
            assert_eq!(t.has_dir(dir), expected, "{dir:?}");
        }
        assert_eq!(t.dirs(), [&b"a"[..], b"a/b", b"b\xff", b"z", b"z/y"].map(Box::from));
        assert!(!Tracked::default().has_dir(b"a"));
        let left_alone = PATHS.into_iter().filter(|path| t.is_left_alone(path));
        assert_eq!(left_alone.collect::<Vec<_>>(), [&b"a/b"[..], b"a/b/c"]);
        assert!(!t.is_left_alone(b"a/") && !Tracked::default().is_left_alone(b"a"));
    }

    #[test]
    fn others_below_a_directory_are_told_by_the_walk_that_saw_them() {
        let mut others = Others::default();
        for (path, walk) in [("d/a", 1), ("d/b", 2), ("d-c", 1), ("e", 1)] {
            others.insert(path.as_bytes(), STAT, walk);
        }
        assert_eq!(others.below(b"d", 0), [&b"d/a"[..], b"d/b"].map(Box::from));
        assert_eq!(others.below(b"d", 2), [Box::from(&b"d/a"[..])]);
        assert_eq!((others.below(b"", 1).len(), others.len()), (1, 4));
        assert_eq!((others.remove(b"e"), others.get(b"e")), (Some(STAT), None));
    }
}
