//! Which side of a conflict wins without asking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::Oid;

use crate::git::command::{bytes_of, path_of, zero_split};
use crate::git::error::GitError;
use crate::git::managed::ManagedClone;
use crate::git::rescue::{blobs, parse_oid};

/// Prefixes of paths whose conflicts are decided (`auto`: the local version wins) or not (`none`). The longest one that a
/// path begins with counts; of two equally long ones `none`; without one nothing is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolveRules {
    /// Prefixes under which the local version wins.
    pub auto: Vec<String>,
    /// Prefixes under which a person decides.
    pub none: Vec<String>,
}

impl ResolveRules {
    /// Whether a conflict in this path is decided in favour of the local version.
    pub fn is_auto(&self, path: &Path) -> bool {
        let longest = |rules: &[String]| {
            let hits = rules.iter().filter(|r| bytes_of(path).starts_with(r.as_bytes()));
            hits.map(String::len).max()
        };
        match (longest(&self.auto), longest(&self.none)) {
            (Some(auto), Some(none)) => auto > none,
            (auto, _) => auto.is_some(),
        }
    }
}

/// The three versions of an unmerged path: what both began with, the branch that is rebased onto (the remote's), and the
/// commit that is replayed (ours).
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::git) struct Stages {
    pub(in crate::git) base: Option<(u32, Oid)>,
    pub(in crate::git) remote: Option<(u32, Oid)>,
    pub(in crate::git) local: Option<(u32, Oid)>,
}

impl ManagedClone<'_> {
    pub(in crate::git) fn unmerged(&self) -> Result<BTreeMap<PathBuf, Stages>, GitError> {
        let out = self.local("ls-files").args(["-u", "-z"]).run(&self.cancel)?;
        let mut found: BTreeMap<PathBuf, Stages> = BTreeMap::new();
        for line in zero_split(&out.stdout) {
            let Some(tab) = line.iter().position(|b| *b == b'\t') else { continue };
            let (about, path) =
                (line.get(..tab).unwrap_or_default(), line.get(tab + 1..).unwrap_or_default());
            let about = String::from_utf8_lossy(about).into_owned();
            let mut words = about.split(' ');
            let mode = words.next().and_then(|m| u32::from_str_radix(m, 8).ok()).unwrap_or_default();
            let version = Some((mode, parse_oid(words.next().unwrap_or_default())?));
            let stages = found.entry(path_of(path)).or_default();
            match words.next() {
                Some("1") => stages.base = version,
                Some("2") => stages.remote = version,
                _ => stages.local = version,
            }
        }
        Ok(found)
    }

    /// Decides all unmerged paths, or touches nothing and names those that no rule decides.
    pub(in crate::git) fn resolve(
        &self,
        rules: &ResolveRules,
        unmerged: &BTreeMap<PathBuf, Stages>,
    ) -> Result<(), GitError> {
        let undecided: Vec<PathBuf> = unmerged.keys().filter(|p| !rules.is_auto(p)).cloned().collect();
        if !undecided.is_empty() {
            return Err(GitError::Conflict { paths: undecided });
        }
        // Whether a version is a pointer is told by its content.
        self.ensure_objects(&blobs(unmerged.values().flat_map(|s| [s.remote, s.local])))?;
        let winners: BTreeMap<PathBuf, Option<(u32, Oid)>> =
            unmerged.iter().map(|(p, s)| (p.clone(), self.winner(s))).collect();
        // What is in the work tree of a path without a winner is git's mixture of both.
        for (path, _) in winners.iter().filter(|(_, w)| w.is_none()) {
            let full = self.path.join(path);
            match std::fs::remove_file(&full) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(GitError::io("removing", &full)(e));
                }
                _ => {}
            }
        }
        self.restore(&winners)
    }

    /// The local version whole, or the only one there is. A complete pointer of the large file store beats what it points
    /// to, whichever side has it.
    fn winner(&self, s: &Stages) -> Option<(u32, Oid)> {
        if let (Some(remote), Some(local)) = (s.remote, s.local)
            && self.is_pointer(remote.1)
            && !self.is_pointer(local.1)
        {
            return s.remote;
        }
        s.local.or(s.remote)
    }

    fn is_pointer(&self, id: Oid) -> bool {
        let Ok(reader) = self.reader() else { return false };
        reader.repo().find_blob(id).is_ok_and(|b| is_lfs_pointer(b.content()))
    }
}

/// Bytes of the largest pointer.
const POINTER_MAX: usize = 200;

/// A complete Git LFS pointer: version line, SHA-256, a size above zero.
fn is_lfs_pointer(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let lines: Vec<&str> = text.lines().collect();
    let oid = |l: &&str| {
        let hex = l.strip_prefix("oid sha256:");
        hex.is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let size = |l: &&str| l.strip_prefix("size ").is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n > 0));
    bytes.len() <= POINTER_MAX
        && lines.first().is_some_and(|l| l.starts_with("version https://git-lfs.github.com/spec/"))
        && lines.iter().any(oid)
        && lines.iter().any(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides_and_none_wins_a_tie() {
        let rules = ResolveRules {
            auto: vec!["data/".into(), "x".into()],
            none: vec!["data/proprietary/".into(), "x".into()],
        };
        let check = |path: &str, expected| assert_eq!(rules.is_auto(Path::new(path)), expected, "{path}");
        check("data/a.json", true);
        check("data/proprietary/a", false);
        check("x", false);
        check("sessions/a", false);
        assert!(!ResolveRules::default().is_auto(Path::new("data/a")));
    }

    #[test]
    fn pointers_are_told_from_what_looks_like_one() {
        let head = "version https://git-lfs.github.com/spec/v1\n";
        let oid = format!("oid sha256:{}\n", "a".repeat(64));
        let check = |text: String, expected| assert_eq!(is_lfs_pointer(text.as_bytes()), expected, "{text}");
        check(format!("{head}{oid}size 12\n"), true);
        check(format!("{head}{oid}size 0\n"), false);
        check(format!("{head}{oid}"), false);
        check(format!("{head}oid sha256:abc\nsize 1\n"), false);
        check(format!("{head}{oid}size 12\n{}", " ".repeat(200)), false);
        check(format!("<<<<<<< HEAD\n{head}{oid}size 12\n"), false);
    }
}
