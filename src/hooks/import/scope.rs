//! In which directories agents' events are stored: those of projects, unless the user wants all.

use std::collections::HashMap;
use std::path::Path;

use crate::project::{Config, Env, recall, root_above};

/// Finds the project of a directory, each directory once: to be made anew for each import.
#[derive(Debug)]
pub struct Projects {
    env: Env,
    all: bool,
    known: HashMap<String, Option<String>>,
}

impl Projects {
    /// With `all` every directory counts.
    pub fn new(env: Env, all: bool) -> Projects {
        Projects { env, all, known: HashMap::new() }
    }

    /// The repository of the project that a directory is in, empty where it is not known; none where nothing is stored of it.
    pub fn of(&mut self, cwd: &str) -> Option<&str> {
        if !self.known.contains_key(cwd) {
            let found = self.look(Path::new(cwd));
            self.known.insert(cwd.to_owned(), found.or_else(|| self.all.then(String::new)));
        }
        self.known.get(cwd)?.as_deref()
    }

    fn look(&self, cwd: &Path) -> Option<String> {
        if !cwd.is_absolute() {
            return None;
        }
        if let Some(root) = root_above(cwd, &self.env) {
            return Some(Config::load(root).map(|config| config.repo_id()).unwrap_or_default());
        }
        // A branch without `.sageox` is known by what another work tree of its repository had.
        let root = cwd.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok())?;
        recall(root).map(|config| config.repo_id())
    }
}
