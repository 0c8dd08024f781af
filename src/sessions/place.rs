//! Where sessions lie, and which one is meant.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Name;
use crate::project::{Dirs, safe_component};

/// Entries of one directory that are looked at; far more than the sessions of a repository.
const ENTRIES_MAX: usize = 100_000;

/// Which of the places a session lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the ledger's clone, on this machine alone: where recordings are made.
    Local,
    /// In the ledger, shared.
    Ledger,
    /// In the user's cache: projects without a ledger, and older versions.
    Cache,
    /// In the repository, where older versions left them; nothing is written there.
    Project,
}

/// A session that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Name,
    /// Its directory.
    pub dir: PathBuf,
    /// Which place that is in.
    pub place: Place,
    /// The ledger has it too: this is a copy that was kept. Not known of what [`Places::here`] finds.
    pub in_ledger: bool,
}

/// The directories that may hold sessions of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    dirs: Vec<(Place, PathBuf)>,
}

/// Why no session is meant by a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// There is none.
    None,
    /// There are several: their names, newest first.
    Several(Vec<Name>),
}

impl Places {
    /// Those of the project at `root` with this id, whose ledger's clone is at `ledger` if there is one.
    pub fn new(dirs: &Dirs, root: &Path, repo_id: &str, ledger: Option<&Path>) -> Places {
        let mut all = Vec::new();
        if let Some(ledger) = ledger {
            all.push((Place::Local, ledger.join(".sageox/cache/sessions")));
            all.push((Place::Ledger, ledger.join("sessions")));
        }
        all.push((
            Place::Cache,
            dirs.cache().join("sessions").join(safe_component(repo_id)).join("sessions"),
        ));
        all.push((Place::Project, root.join("sessions")));
        Places { dirs: all }
    }

    /// The directory that sessions of this machine are recorded in.
    pub fn own(&self) -> &Path {
        let is_ours = |(place, _): &&(Place, PathBuf)| matches!(place, Place::Local | Place::Cache);
        // `new` puts the cache into every list.
        self.dirs.iter().find(is_ours).map_or(Path::new(""), |(_, dir)| dir)
    }

    /// The directories, those that count first before the others.
    pub fn dirs(&self) -> impl Iterator<Item = (Place, &Path)> {
        self.dirs.iter().map(|(place, dir)| (*place, dir.as_path()))
    }

    /// The sessions of this machine alone, newest first; those of others cost nothing. What cannot be read is left out.
    pub fn here(&self) -> Vec<Found> {
        let own = self.dirs().filter(|(place, _)| matches!(place, Place::Local | Place::Cache));
        let of = |(place, dir): (Place, &Path)| {
            let names = names(dir).unwrap_or_default().into_iter();
            names
                .map(|name| Found { dir: dir.join(&*name), place, name, in_ledger: false })
                .collect::<Vec<_>>()
        };
        let mut all: Vec<Found> = own.flat_map(of).collect();
        all.sort_by(|a, b| b.name.cmp(&a.name));
        all
    }

    /// All sessions, newest first; of one that lies in several places the first counts. What cannot be read is told beside.
    pub fn all(&self) -> (Vec<Found>, Vec<(PathBuf, io::Error)>) {
        let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
        for (place, dir) in self.dirs() {
            match names(dir) {
                Ok(names) => {
                    for name in names {
                        let session =
                            || Found { dir: dir.join(&*name), place, name: name.clone(), in_ledger: false };
                        let known = found.entry(name.clone()).or_insert_with(session);
                        known.in_ledger |= place == Place::Ledger;
                    }
                }
                Err(e) => unread.push((dir.to_owned(), e)),
            }
        }
        (found.into_values().rev().collect(), unread)
    }

    /// The one that `word` means: its whole name, or the agent that it ends with.
    ///
    /// # Errors
    /// None or several are meant.
    pub fn find(&self, word: &str) -> Result<Found, Unclear> {
        let (all, _) = self.all();
        if let Some(found) = all.iter().find(|found| *found.name == *word) {
            return Ok(found.clone());
        }
        let mut meant: Vec<Found> = all.into_iter().filter(|found| found.name.agent() == word).collect();
        match meant.len() {
            0 => Err(Unclear::None),
            1 => Ok(meant.remove(0)),
            _ => Err(Unclear::Several(meant.into_iter().map(|found| found.name).collect())),
        }
    }
}

/// The names of sessions in a directory: real directories whose names are of the form. A directory that is not there has none.
fn names(dir: &Path) -> io::Result<Vec<Name>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries.take(ENTRIES_MAX) {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(Name::parse);
        // A link in a clone would lead to what somebody else chose.
        names.extend(name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Env;

    fn places(tmp: &Path) -> Places {
        let env = Env::of([("HOME", tmp.join("home").as_os_str())], "/");
        let dirs = Dirs::from_env(&env).unwrap();
        Places::new(&dirs, &tmp.join("p"), "repo_1", Some(&tmp.join("ledger")))
    }

    #[test]
    fn sessions_are_found_in_every_place_and_the_first_counts() {
        let tmp = tempfile::tempdir().unwrap();
        let places = places(tmp.path());
        assert_eq!(places.own(), tmp.path().join("ledger/.sageox/cache/sessions"));
        assert!(places.all().0.is_empty() && places.all().1.is_empty());
        let make = |dir: &str, name: &str| fs::create_dir_all(tmp.path().join(dir).join(name)).unwrap();
        make("ledger/.sageox/cache/sessions", "2026-03-12T11-09-dana-OxAAAA");
        make("ledger/sessions", "2026-03-12T11-09-dana-OxAAAA");
        make("ledger/sessions", "2026-03-13T11-09-bo-OxBBBB");
        make("ledger/sessions", "raw");
        make("home/.cache/sageox/sessions/repo_1/sessions", "2026-03-11T11-09-dana-OxAAAA");
        make("p/sessions", "2026-03-10T11-09-dana-OxCCCC");
        std::os::unix::fs::symlink("/", tmp.path().join("ledger/sessions/2026-03-14T11-09-x-OxDDDD"))
            .unwrap();
        let (all, unread) = places.all();
        let told: Vec<(&str, Place)> = all.iter().map(|f| (&*f.name, f.place)).collect();
        assert_eq!(
            told,
            [
                ("2026-03-13T11-09-bo-OxBBBB", Place::Ledger),
                ("2026-03-12T11-09-dana-OxAAAA", Place::Local),
                ("2026-03-11T11-09-dana-OxAAAA", Place::Cache),
                ("2026-03-10T11-09-dana-OxCCCC", Place::Project),
            ]
        );
        assert!(unread.is_empty());
        let here: Vec<(Name, Place)> = places.here().into_iter().map(|f| (f.name, f.place)).collect();
        assert_eq!(here, [(all[1].name.clone(), Place::Local), (all[2].name.clone(), Place::Cache)]);
        assert_eq!(places.find("OxBBBB").unwrap().place, Place::Ledger);
        assert_eq!(places.find("2026-03-12T11-09-dana-OxAAAA").unwrap().place, Place::Local);
        assert_eq!(places.find("OxZZZZ"), Err(Unclear::None));
        assert!(matches!(places.find("OxAAAA"), Err(Unclear::Several(names)) if names.len() == 2));
    }

    #[test]
    fn a_place_that_cannot_be_read_is_told_and_hides_no_other() {
        let tmp = tempfile::tempdir().unwrap();
        let places = places(tmp.path());
        fs::create_dir_all(tmp.path().join("ledger")).unwrap();
        fs::write(tmp.path().join("ledger/sessions"), "").unwrap();
        fs::create_dir_all(tmp.path().join("p/sessions/2026-03-10T11-09-dana-OxCCCC")).unwrap();
        let (all, unread) = places.all();
        assert_eq!((all.len(), unread.len()), (1, 1));
    }
}
