//! Which files of agent programs are the project's, and which of these have anything new: by a look at each, and a read only of what was
//! never seen or has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::index::{Index, Known, State};
use super::{Agents, Error};
use crate::harness::transcript::Thread;
use crate::harness::transcript::kept::{self, Keeping, Source};
use crate::kit::file;

/// How a file stands to what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it was when it was last looked at; nothing is to be done.
    Level,
    /// It was left, and why; it has not changed since.
    Refused(String),
    /// It is new, or has changed.
    Open,
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The project's; the directory of its session.
    Ours(String),
    /// Another project's; its directory.
    Foreign(String),
    /// It does not say.
    Unclear,
}

/// What one look at everything needs.
pub(super) struct Look<'a> {
    agents: Agents<'a>,
    trees: Vec<PathBuf>,
    known: HashMap<(String, String), Known>,
    /// What the beginnings of transcripts said of their directories.
    dirs: HashMap<PathBuf, Option<String>>,
    /// Files that were opened.
    pub(super) opened: u64,
}

impl<'a> Look<'a> {
    pub(super) fn new(agents: Agents<'a>, index: Option<&Index>) -> Result<Look<'a>, Error> {
        let mut trees = agents.trees.to_vec();
        let mut known = HashMap::new();
        if let Some(index) = index {
            known = index.known()?;
            // A linked work tree that was removed was the project's; a directory that has taken its place is not.
            let removed =
                index.trees()?.into_iter().filter(|tree| !trees.contains(tree) && file::is_gone(tree));
            trees.extend(removed.collect::<Vec<_>>());
        }
        Ok(Look { agents, trees, known, dirs: HashMap::new(), opened: 0 })
    }

    /// The files of a program that may be the project's, those that were written to longest ago first, transcripts before what lies beside
    /// them; and how long the program keeps them.
    pub(super) fn sources(&self, program: &'static str) -> (std::io::Result<Vec<Source>>, Keeping) {
        let Agents { home, get, .. } = self.agents;
        let keeping = kept::keeping(program, home, get, self.agents.trees);
        let sources = kept::sources(program, home, get, &self.trees).map(|mut sources| {
            sources.sort_by_key(|source| (source.part, source.stat.modified));
            sources
        });
        (sources, keeping)
    }

    /// What is known of a file.
    pub(super) fn known(&self, source: &Source) -> Option<&Known> {
        self.known.get(&key(source.program, &source.place()))
    }

    /// Notes what is known of a file now.
    pub(super) fn note(&mut self, known: Known) {
        self.known.insert((known.program.clone(), known.place.clone()), known);
    }

    /// How a file stands. Reads nothing.
    pub(super) fn standing(&self, source: &Source) -> Standing {
        let Some(known) = self.known(source).filter(|known| known.stat == source.stat) else {
            return Standing::Open;
        };
        match known.state {
            State::Kept if known.is_whole => Standing::Level,
            // A work tree may have been added since.
            State::Foreign if !self.has(&known.cwd) => Standing::Level,
            State::Unclear => Standing::Level,
            State::Refused => Standing::Refused(known.why.clone()),
            State::Kept | State::Foreign => Standing::Open,
        }
    }

    /// Whose a file is. Reads its beginning, where nothing is known of it.
    pub(super) fn whose(&mut self, source: &Source) -> Whose {
        if let Some(known) = self.known(source).filter(|known| known.state == State::Kept) {
            return Whose::Ours(known.cwd.clone());
        }
        let cwd = match (&source.cwd, &source.owner) {
            (Some(cwd), _) => cwd.to_str().map(str::to_owned),
            (None, Some(owner)) => self.dir_of(source, &owner.clone()),
            (None, None) => self.dir_of(source, &source.path.clone()),
        };
        match cwd {
            Some(cwd) if self.has(&cwd) => Whose::Ours(cwd),
            Some(cwd) => Whose::Foreign(cwd),
            None => Whose::Unclear,
        }
    }

    /// The directory that the transcript at `path` below the root of `source` says.
    fn dir_of(&mut self, source: &Source, path: &Path) -> Option<String> {
        let place = source.root.join(path);
        let known = self.known.get(&key(source.program, &place));
        if let Some(known) = known.filter(|known| matches!(known.state, State::Kept | State::Foreign)) {
            return Some(known.cwd.clone());
        }
        if let Some(dir) = self.dirs.get(&place) {
            return dir.clone();
        }
        self.opened += 1;
        let dir = source.thread(path).map(|Thread { cwd, .. }| cwd);
        self.dirs.insert(place, dir.clone());
        dir
    }

    /// Whether a directory is the project's.
    fn has(&self, cwd: &str) -> bool {
        self.trees.iter().any(|tree| Path::new(cwd).starts_with(tree))
    }
}

fn key(program: &str, place: &Path) -> (String, String) {
    (program.to_owned(), place.to_string_lossy().into_owned())
}

/// What is known of a file that was looked at now.
pub(super) fn known(source: &Source, state: State, cwd: &str) -> Known {
    Known {
        program: source.program.to_owned(),
        place: source.place().to_string_lossy().into_owned(),
        stat: source.stat,
        state,
        version: None,
        is_whole: false,
        cwd: cwd.to_owned(),
        why: String::new(),
    }
}
