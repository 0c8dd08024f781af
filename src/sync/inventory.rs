//! Every managed clone on this machine, whichever project it is of. Changes nothing.

use std::path::{Path, PathBuf};

use super::workspace::Kind;
use crate::project::{Dirs, check_team_id};

/// More are not looked for; the first by path count.
pub const STORED_MAX: usize = 2000;
/// Marks a clone on its way to be removed.
const REMOVED: &str = ".gc-removed-";

/// A directory in the place of a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Directory name of its endpoint.
    pub slug: String,
    /// What it holds.
    pub kind: Kind,
    /// The repository's or the team's id.
    pub id: String,
    /// The clone's directory.
    pub path: PathBuf,
    /// The clone's lock file.
    pub lock: PathBuf,
}

/// All that lie below the data directory, by path. Clones on their way in or out are none.
pub fn stored(dirs: &Dirs) -> Vec<Stored> {
    let mut found = stored_as(dirs, |name| is_one(name).then_some(name));
    found.truncate(STORED_MAX);
    found
}

/// What lies where clones do, by path, as the clones whose ids `id_of` reads off the names.
pub(super) fn stored_as(dirs: &Dirs, id_of: impl Fn(&str) -> Option<&str>) -> Vec<Stored> {
    let mut found = Vec::new();
    for slug in names(dirs.data()) {
        for (kind, place) in [(Kind::Ledger, "ledgers"), (Kind::Team, "teams")] {
            let within = dirs.data().join(&slug).join(place);
            for id in names(&within).iter().filter_map(|name| id_of(name)) {
                let (path, lock) = (within.join(id), dirs.clone_lock(&slug, kind.tag(), id));
                found.push(Stored { slug: slug.clone(), kind, id: id.to_owned(), path, lock });
            }
        }
    }
    found
}

fn is_one(id: &str) -> bool {
    check_team_id(id).is_ok() && !id.contains(REMOVED)
}

/// The directories in `dir`, links not followed, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Env;

    #[test]
    fn clones_are_found_and_what_is_on_its_way_is_not() {
        let tmp = tempfile::tempdir().unwrap();
        let env = Env::of([("HOME", tmp.path().as_os_str())], tmp.path());
        let dirs = Dirs::from_env(&env).unwrap();
        assert!(stored(&dirs).is_empty());
        for below in [
            "local/ledgers/repo_1",
            "local/teams/a",
            "local/teams/a.new",
            "local/teams/a.bak.17",
            "local/teams/a.gc-removed-4",
            "local/state/team-a",
            "h.example/teams/a",
        ] {
            std::fs::create_dir_all(dirs.data().join(below)).unwrap();
        }
        std::os::unix::fs::symlink(dirs.data(), dirs.data().join("local/teams/link")).unwrap();
        let found: Vec<(String, Kind, String)> =
            stored(&dirs).into_iter().map(|s| (s.slug, s.kind, s.id)).collect();
        let one = |slug: &str, kind, id: &str| (slug.to_owned(), kind, id.to_owned());
        assert_eq!(
            found,
            [
                one("h.example", Kind::Team, "a"),
                one("local", Kind::Ledger, "repo_1"),
                one("local", Kind::Team, "a")
            ]
        );
    }
}
