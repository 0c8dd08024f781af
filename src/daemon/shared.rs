//! What parts share: one row a project, one a clone, and the agents of each project. Every part reads all of it, and each table has one
//! part that writes it: `projects_mut` is for `projects`, `clones_mut` for `clones`, `agents_mut` for `presence` (a test reads who calls
//! them).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::names::{Id, Key};
use crate::health::Agents;
use crate::ipc::Published;
use crate::kit::clock::{Mono, Now};
use crate::sync::{CloneInfo, Registry, Target, Timing};

/// An agent counts as at work so long after its last heartbeat (whispers and watching, 7.2).
const AT_WORK: Duration = Duration::from_secs(15 * 60);

/// A served project.
#[derive(Debug)]
pub(super) struct Project {
    /// Its repository; empty if it has none.
    pub(super) repo_id: String,
    /// Directory that holds `.sageox`.
    pub(super) root: PathBuf,
    pub(super) socket: PathBuf,
    /// Directory name of its endpoint.
    pub(super) slug: String,
    /// Host of its endpoint; `None` where it names its remotes itself.
    pub(super) endpoint: Option<String>,
    /// The team the project belongs to; may be empty.
    pub(super) primary: String,
    pub(super) timing: Timing,
    /// Time between two syncs of a team's context, unless the team asks for more.
    pub(super) team_interval: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) attached: Now,
    /// What its queries are answered from.
    pub(super) published: Arc<Published>,
    /// Its teams, and who names them.
    pub(super) teams: Registry,
    /// Its files are being read.
    pub(super) loading: bool,
    /// What was wrong with its files when they were last read.
    pub(super) problems: Vec<String>,
}

impl Project {
    /// What log lines call it.
    pub(super) fn label(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A clone that is kept up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CloneRow {
    pub(super) target: Target,
    /// Projects that use it.
    pub(super) users: BTreeSet<Id>,
    /// `None` until it has been located.
    pub(super) place: Option<CloneInfo>,
    pub(super) last_sync: Option<Timestamp>,
    /// Its commit, in hex; empty if unknown.
    pub(super) head: String,
    /// Neither is it being made nor replaced by a smaller one.
    pub(super) whole: bool,
}

/// The three tables.
#[derive(Debug, Default)]
pub(super) struct Shared {
    projects: BTreeMap<Id, Project>,
    clones: BTreeMap<Key, CloneRow>,
    agents: BTreeMap<Id, Agents>,
}

impl Shared {
    pub(super) fn project(&self, id: &Id) -> Option<&Project> {
        self.projects.get(id)
    }

    pub(super) fn projects(&self) -> &BTreeMap<Id, Project> {
        &self.projects
    }

    pub(super) fn projects_mut(&mut self) -> &mut BTreeMap<Id, Project> {
        &mut self.projects
    }

    pub(super) fn clone_row(&self, key: &Key) -> Option<&CloneRow> {
        self.clones.get(key)
    }

    pub(super) fn clones(&self) -> &BTreeMap<Key, CloneRow> {
        &self.clones
    }

    pub(super) fn clones_mut(&mut self) -> &mut BTreeMap<Key, CloneRow> {
        &mut self.clones
    }

    pub(super) fn agents(&self) -> &BTreeMap<Id, Agents> {
        &self.agents
    }

    pub(super) fn agents_mut(&mut self) -> &mut BTreeMap<Id, Agents> {
        &mut self.agents
    }

    /// The agents at work in a project, the newest heartbeat first.
    pub(super) fn at_work(&self, id: &Id, now: Mono) -> Vec<String> {
        let present = self.agents.get(id).map(|agents| agents.present(now)).unwrap_or_default();
        let at_work = present.iter().filter(|(_, agent, _)| agent.silent(now) <= AT_WORK);
        at_work.map(|(agent, ..)| (*agent).to_string()).collect()
    }

    /// The state directory of a project's ledger.
    pub(super) fn ledger_state(&self, id: &Id) -> Option<PathBuf> {
        let place = self.clones.get(&Key::Ledger(id.clone()))?.place.as_ref()?;
        Some(place.state.clone())
    }

    /// The clones that a project uses.
    pub(super) fn clones_of(&self, id: &Id) -> impl Iterator<Item = (&Key, &CloneRow)> {
        self.clones.iter().filter(move |(_, row)| row.users.contains(id))
    }

    /// How many entries there are in all.
    pub(super) fn len(&self) -> usize {
        self.projects.len() + self.clones.len() + self.agents.values().map(Agents::len).sum::<usize>()
    }
}
