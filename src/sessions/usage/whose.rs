//! Which project a directory belongs to, and who works there. Once known it is kept: a work tree may be gone before anybody asks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::params;

use super::error::UsageError;
use super::store::Store;
use crate::project::{Config, Env, recall, root_above};

/// A place that answers were asked for in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub own: bool,
    pub cwd: String,
    pub branch: String,
    /// The project's repository; empty where there is none.
    pub repo: String,
    /// The project's directory on this machine; empty where there is none.
    pub root: String,
    pub person: String,
}

/// Where a project is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Home {
    repo: String,
    root: String,
}

/// Finds projects, each directory once.
struct Finder<'e> {
    env: &'e Env,
    of_dir: HashMap<String, Option<Home>>,
    of_root: HashMap<PathBuf, Option<Home>>,
}

impl Finder<'_> {
    fn of(&mut self, cwd: &str) -> Option<Home> {
        if let Some(known) = self.of_dir.get(cwd) {
            return known.clone();
        }
        let found = self.look(Path::new(cwd));
        self.of_dir.insert(cwd.to_owned(), found.clone());
        found
    }

    fn look(&mut self, cwd: &Path) -> Option<Home> {
        if !cwd.is_absolute() {
            return None;
        }
        // A branch without `.sageox` is known by what another work tree of its repository had.
        let root = root_above(cwd, self.env)
            .or_else(|| cwd.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok()))?
            .to_owned();
        if let Some(known) = self.of_root.get(&root) {
            return known.clone();
        }
        let config = Config::load(&root).ok().filter(|config| !config.repo_id().is_empty());
        let found = config
            .or_else(|| recall(&root))
            .map(|config| Home { repo: config.repo_id(), root: root.to_string_lossy().into_owned() });
        self.of_root.insert(root, found.clone());
        found
    }
}

impl Store {
    /// The directories of projects in which something was spent.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn roots(&self) -> Result<Vec<PathBuf>, UsageError> {
        let roots = || -> rusqlite::Result<Vec<PathBuf>> {
            let mut rows =
                self.conn.prepare("SELECT DISTINCT root FROM places WHERE root <> '' ORDER BY root")?;
            rows.query_map([], |row| row.get::<_, String>(0).map(PathBuf::from))?.collect()
        };
        roots().map_err(|e| self.error(e))
    }

    /// All places, each with its project as it is known now. `person` says who works in a directory.
    pub(super) fn places(
        &self,
        env: &Env,
        person: &dyn Fn(&Path) -> String,
    ) -> rusqlite::Result<HashMap<i64, Place>> {
        let mut rows = self.conn.prepare("SELECT id, own, cwd, branch, repo, root, person FROM places")?;
        let rows = rows.query_map([], |row| {
            let place = Place {
                own: row.get(1)?,
                cwd: row.get(2)?,
                branch: row.get(3)?,
                repo: row.get(4)?,
                root: row.get(5)?,
                person: row.get(6)?,
            };
            Ok((row.get(0)?, place))
        })?;
        let mut places: HashMap<i64, Place> = rows.collect::<rusqlite::Result<_>>()?;
        let mut finder = Finder { env, of_dir: HashMap::new(), of_root: HashMap::new() };
        let mut people: HashMap<PathBuf, String> = HashMap::new();
        for (id, place) in &mut places {
            if !place.own {
                continue;
            }
            let before = place.clone();
            // What is around a work tree that is gone says less than it did itself.
            let is_settled = !place.repo.is_empty() && !Path::new(&place.cwd).exists();
            if !is_settled && let Some(home) = finder.of(&place.cwd) {
                (place.repo, place.root) = (home.repo, home.root);
            }
            if place.person.is_empty() {
                let dir = PathBuf::from(if place.root.is_empty() { &place.cwd } else { &place.root });
                let name = people.entry(dir).or_insert_with_key(|dir| person(dir));
                place.person.clone_from(name);
            }
            if *place != before {
                self.conn.execute(
                    "UPDATE places SET repo = ?2, root = ?3, person = ?4 WHERE id = ?1",
                    params![id, place.repo, place.root, place.person],
                )?;
            }
        }
        Ok(places)
    }
}
