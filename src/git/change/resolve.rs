//! Which side of a conflict wins without asking.

use std::path::Path;

use git2::Repository;

use crate::git::entry::{Entry, bytes_of};

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

/// Of a path that both sides have changed the local version whole, or the only one there is. A complete pointer of the large file store
/// beats what it points to, whichever side has it.
pub(in crate::git) fn winner(repo: &Repository, remote: Entry, local: Entry) -> Entry {
    let is_pointer = |id| {
        let is_small =
            repo.odb().and_then(|odb| odb.read_header(id)).is_ok_and(|(size, _)| size <= POINTER_MAX);
        is_small && repo.find_blob(id).is_ok_and(|blob| is_lfs_pointer(blob.content()))
    };
    if let (Some(there), Some(here)) = (remote, local)
        && is_pointer(there.1)
        && !is_pointer(here.1)
    {
        return remote;
    }
    local.or(remote)
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
