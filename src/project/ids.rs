//! Names of repositories and workspaces, and names made safe to be one component of a path.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Error, limits};
use crate::kit::hex::hex;
use crate::kit::id::new_id;

/// What every repository id begins with.
pub const REPO_PREFIX: &str = "repo_";

/// A new repository id: `repo_` and a UUID version 7.
pub fn new_repo_id() -> String {
    format!("{REPO_PREFIX}{}", new_id())
}

/// The workspace id (8 lower-case hex digits) of a directory: from its absolute path with symbolic links resolved, or from the
/// absolute path as it is if that fails.
pub fn workspace_id_of_path(path: &Path) -> String {
    let absolute: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = absolute.canonicalize().unwrap_or(absolute);
    hash8(real.as_os_str().as_encoded_bytes())
}

/// The workspace id (8 lower-case hex digits) that all clones and worktrees of a repository share.
pub fn workspace_id_of_repo(repo_id: &str) -> String {
    hash8(repo_id.as_bytes())
}

/// The workspace id of a project: from its repository id, from its path if that is empty.
pub fn workspace_id(root: &Path, repo_id: &str) -> String {
    if repo_id.is_empty() { workspace_id_of_path(root) } else { workspace_id_of_repo(repo_id) }
}

/// The first 8 hex digits of the SHA-256 of `bytes`.
pub(super) fn hash8(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..4])
}

/// `name` made safe to be one component of a path: separators and other special characters become `_`, so does the pair
/// `..`; then `_` and `.` are trimmed from both ends, and nothing left is `unknown`.
pub fn safe_component(name: &str) -> String {
    let replaced: String = name
        .replace("..", "_")
        .chars()
        .map(|c| match c {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | ' ' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    match replaced.trim_matches(['_', '.']) {
        "" => "unknown".to_owned(),
        safe => safe.to_owned(),
    }
}

/// Checks that a team id may become a directory: letters, digits, `_`, `-` and single dots, a letter or digit at both ends. No two
/// such ids share a directory, and none has the name of something that is only on its way.
///
/// # Errors
/// `BadTeamId`.
pub fn check_team_id(id: &str) -> Result<(), Error> {
    let refuse = |reason| {
        let id = id.chars().take(limits::TEAM_ID_MAX).collect();
        Err(Error::BadTeamId { id, reason })
    };
    if id.is_empty() || id.len() > limits::TEAM_ID_MAX {
        return refuse("it is empty or too long");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let bytes = id.as_bytes();
    if !id.bytes().all(plain)
        || !end(bytes.first().copied())
        || !end(bytes.last().copied())
        || id.contains("..")
    {
        return refuse("only letters, digits, `_`, `-` and single dots, a letter or digit at both ends");
    }
    if is_staging_name(id) {
        return refuse("it is the name of a clone on its way in or out");
    }
    Ok(())
}

/// Whether a directory beside clones is one on its way in or out: `*.new`, `*.old`, `*.gc-*`, `*.bak.*`, `*.revoked.*`.
pub fn is_staging_name(name: &str) -> bool {
    name.ends_with(".new")
        || name.ends_with(".old")
        || [".gc-", ".bak.", ".revoked."].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn workspace_ids_match_the_vectors() {
        assert_eq!(workspace_id_of_repo("repo_abc123"), "2adde374");
        assert_eq!(workspace_id_of_path(Path::new("/home/dev/proj")), "bb97ae4c");
        assert_eq!(workspace_id(Path::new("/home/dev/proj"), "repo_abc123"), "2adde374");
        assert_eq!(workspace_id(Path::new("/home/dev/proj"), ""), "bb97ae4c");
    }

    #[test]
    fn a_path_and_a_link_to_it_have_one_id() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(workspace_id_of_path(&real), workspace_id_of_path(&link));
    }

    #[test]
    fn repository_ids_are_new_ordered_uuids() {
        let (a, b) = (new_repo_id(), new_repo_id());
        assert_ne!(a, b);
        let uuid = uuid::Uuid::parse_str(a.strip_prefix(REPO_PREFIX).unwrap()).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
    }

    #[test]
    fn names_become_one_safe_component() {
        let check = |input: &str, expected: &str| assert_eq!(safe_component(input), expected, "{input}");
        check("repo_0190-ab", "repo_0190-ab");
        check("../../etc/passwd", "etc_passwd");
        check("a..b", "a_b");
        check("a b:c", "a_b_c");
        check("...", "unknown");
        check("", "unknown");
        check("_.x._", "x");
        check("a\0b\n", "a_b");
    }

    #[test]
    fn team_ids_are_plain_words() {
        let check = |id: &str, expected: bool| assert_eq!(check_team_id(id).is_ok(), expected, "{id:?}");
        for id in ["team_a1", "a", "Team-1", "acme.core", "01900000-0000-7000-8000-000000000000"] {
            check(id, true);
        }
        for id in [
            "", ".", "..", "a..b", "../x", "a/b", "a b", "-a", "_a", "a_", ".a", "a.", "ü", "a\0", "a\n", "~",
        ] {
            check(id, false);
        }
        check(&"a".repeat(limits::TEAM_ID_MAX), true);
        check(&"a".repeat(limits::TEAM_ID_MAX + 1), false);
        for id in ["a.new", "a.old", "a.gc-1", "a.gc-x.new", "a.bak.1700000000", "a.revoked.17"] {
            assert!(is_staging_name(id), "{id}");
            check(id, false);
        }
        for id in ["new", "a.newer", "bak.1", "gc-1", "a.revoked"] {
            assert!(!is_staging_name(id), "{id}");
            check(id, true);
        }
    }

    proptest! {
        #[test]
        fn sec_02_a_good_team_id_is_its_directorys_name(id in "[-a-c._/ ]{1,8}") {
            if check_team_id(&id).is_ok() {
                prop_assert_eq!(safe_component(&id), id);
            }
        }

        #[test]
        fn sec_02_no_name_leaves_its_directory(name in any::<String>()) {
            let safe = safe_component(&name);
            let path = Path::new(&safe);
            prop_assert_eq!(path.components().count(), 1);
            prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
        }
    }
}
