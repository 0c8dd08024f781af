//! What the checks look at, gathered once.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Command, Outcome, Remedy};
use crate::daemon::{Entry, Registry};
use crate::ipc::wire::{InstanceInfo, StatusData};
use crate::kit::process::may_live;
use crate::project::{Dirs, Env, Project};
use crate::sync::{self, Site, Target, TeamRef, Workspace};

/// Everything the checks look at besides the disk.
pub struct Context {
    /// Environment and current directory.
    pub env: Env,
    /// Where everything lies.
    pub dirs: Dirs,
    /// The running program; unknown if the system does not say.
    pub exe: Option<PathBuf>,
    /// The project around the current directory.
    pub project: ProjectView,
    /// The daemon.
    pub daemon: DaemonView,
    /// The agents of this project that the daemon hears of; unknown if none answers for it.
    pub agents: Option<Vec<InstanceInfo>>,
    /// Which daemons the registry names.
    pub registry: Vec<RegistryEntry>,
    /// The time.
    pub now: Timestamp,
    /// This machine, as syncs see it.
    pub site: Site,
    /// The project's clones; read when they are first asked for.
    pub gathered: Gathered,
}

/// The clones of a project, once they have been read.
#[derive(Default)]
pub struct Gathered(RefCell<Option<Rc<Clones>>>);

/// The clones of a project, as far as their remotes are known.
#[derive(Debug, Default)]
pub struct Clones {
    /// Its ledger.
    pub ledger: Option<Clone>,
    /// Its teams, by id.
    pub teams: Vec<Clone>,
}

impl Clones {
    /// All of them that are there.
    pub fn existing(&self) -> impl Iterator<Item = &Clone> {
        self.ledger.iter().chain(&self.teams).filter(|clone| clone.at.exists())
    }
}

/// The project around the current directory.
#[derive(Debug)]
pub enum ProjectView {
    /// There is none.
    None,
    /// Its configuration cannot be read.
    Unreadable(crate::project::Error),
    /// There is one.
    Found(Box<Project>),
}

/// A clone of the project: its ledger, or a team's context.
#[derive(Clone, Debug)]
pub struct Clone {
    /// Where it is.
    pub at: Workspace,
    /// What a sync calls it.
    pub target: Target,
}

impl Clone {
    /// What a sentence calls it.
    pub fn label(&self) -> String {
        self.target.noun()
    }
}

impl Context {
    /// What the registry at its usual place says; empty if it cannot be read.
    pub fn registry(dirs: &Dirs) -> Vec<RegistryEntry> {
        let entry = |e: Entry| RegistryEntry {
            alive: may_live(e.pid),
            root: PathBuf::from(e.workspace_path),
            workspace_id: e.workspace_id,
            repo_id: e.repo_id,
            pid: e.pid,
            started_at: e.started_at.0,
        };
        let entries = Registry::at(dirs.registry()).entries().unwrap_or_default();
        entries.into_values().map(entry).collect()
    }

    /// What only a daemon that serves the project could tell was not looked at.
    pub fn not_served(&self) -> Outcome {
        match self.project {
            ProjectView::None => Outcome::skipped("no project here"),
            _ => Outcome::skipped("no daemon serves this project").remedy(Remedy::Ox(Command::DaemonStart)),
        }
    }

    /// The clones of the project.
    pub fn clones(&self) -> Rc<Clones> {
        let mut gathered = self.gathered.0.borrow_mut();
        Rc::clone(gathered.get_or_insert_with(|| {
            let project = self.project.found();
            Rc::new(project.map(|project| self.gather(project)).unwrap_or_default())
        }))
    }

    /// Something was mended: the clones are read anew.
    pub fn forget(&self) {
        *self.gathered.0.borrow_mut() = None;
    }

    fn gather(&self, project: &Project) -> Clones {
        let (at, loaded) = sync::load_with_ledger(&self.site, project);
        let ledger = at.ok().map(|at| {
            let target = Target::Ledger { root: project.root.clone(), url: None, read_only: at.read_only };
            Clone { at, target }
        });
        let one = |team: TeamRef| {
            let at = sync::team_of(&self.dirs, &loaded.slug, loaded.endpoint.as_deref(), &team).ok()?;
            let (slug, endpoint) = (loaded.slug.clone(), loaded.endpoint.clone());
            Some(Clone { at, target: Target::Team { slug, endpoint, team } })
        };
        Clones { ledger, teams: loaded.registry().teams().into_iter().filter_map(one).collect() }
    }
}

impl ProjectView {
    /// Looks for it.
    pub fn discover(env: &Env) -> ProjectView {
        match Project::discover(env) {
            Ok(project) => ProjectView::Found(Box::new(project)),
            Err(crate::project::Error::NoProject { .. }) => ProjectView::None,
            Err(error) => ProjectView::Unreadable(error),
        }
    }

    /// The project, if it can be read.
    pub fn found(&self) -> Option<&Project> {
        match self {
            ProjectView::Found(project) => Some(project),
            ProjectView::None | ProjectView::Unreadable(_) => None,
        }
    }
}

/// The daemon, as seen from outside.
#[derive(Clone, Debug)]
pub enum DaemonView {
    /// There is none.
    Stopped,
    /// It is on its way.
    Starting(u32),
    /// It has been on its way for too long.
    Stuck(u32),
    /// It lives and does not answer.
    Silent(u32),
    /// It answers; the status is this project's, if it serves that.
    Running(u32, Option<Box<StatusData>>),
    /// It could not be looked at.
    Unknown(String),
}

impl DaemonView {
    /// What it says of this project.
    pub fn status(&self) -> Option<&StatusData> {
        match self {
            DaemonView::Running(_, status) => status.as_deref(),
            _ => None,
        }
    }

    /// A daemon that has served this project for less than this long may simply not be through yet.
    pub const GRACE: Duration = Duration::from_secs(180);
}

/// One line of the registry of daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEntry {
    /// Its key: the workspace id.
    pub workspace_id: String,
    /// Directory of the project.
    pub root: PathBuf,
    /// The repository it serves; may be empty.
    pub repo_id: String,
    /// Its process.
    pub pid: u32,
    /// That process lives.
    pub alive: bool,
    /// When it was started.
    pub started_at: Option<Timestamp>,
}
