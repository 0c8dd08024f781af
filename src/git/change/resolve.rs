//! Which side of a conflict wins without asking.

use std::path::Path;

use git2::Repository;

use crate::git::entry::{Entry, bytes_of};
use crate::kit::pointer::{self, Pointer};

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
            repo.odb().and_then(|odb| odb.read_header(id)).is_ok_and(|(size, _)| size <= pointer::MAX);
        is_small && repo.find_blob(id).is_ok_and(|blob| Pointer::parse(blob.content()).is_some())
    };
    if let (Some(there), Some(here)) = (remote, local)
        && is_pointer(there.1)
        && !is_pointer(here.1)
    {
        return remote;
    }
    local.or(remote)
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
}
