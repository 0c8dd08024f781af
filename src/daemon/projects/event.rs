//! What projects hear, want done and wait for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::names::{Id, Via};
use crate::health::StoredErrors;
use crate::ipc::{ConnId, Published};
use crate::sync::{Loaded, TeamRef, Timing};

/// What a project is, as read from disk when it was attached.
#[derive(Clone, Debug)]
pub struct Attachable {
    /// Workspace id.
    pub id: Id,
    /// Empty if the project has none.
    pub repo_id: String,
    /// Directory that holds `.sageox`.
    pub root: PathBuf,
    /// Where it is served.
    pub socket: PathBuf,
    /// When its ledger is synced.
    pub timing: Timing,
    /// Time between two syncs of a team's context, unless the team asks for more.
    pub team_interval: Duration,
    /// It is detached after this long without a request; zero means never.
    pub idle_timeout: Duration,
    /// Its ledger and teams, and what earlier processes knew of them.
    pub loaded: Loaded,
    /// Its stored errors.
    pub errors: StoredErrors,
}

/// How an attach ended.
#[derive(Clone, Debug)]
pub enum AttachEnd {
    /// The socket is bound and recorded; it waits to be served.
    Ready(Box<Attachable>),
    /// The project is served already, under this id.
    Served(Id),
    /// It is served from a directory that is gone.
    Moved(Id),
    /// It cannot be served.
    Failed(String),
}

/// One project's part of a periodic check of what others may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Another daemon has taken the project over.
    Superseded,
    /// The project's `.sageox` is gone.
    Gone,
    /// The path of the ledger's clone is gone.
    LedgerGone,
}

/// A project as others must find it.
#[derive(Clone, Debug)]
pub struct Findable {
    /// Which.
    pub id: Id,
    /// Its directory.
    pub root: PathBuf,
    /// Its ledger's clone, where that is there and whole.
    pub ledger: Option<PathBuf>,
    /// The directory that called last; the registry names it.
    pub caller: String,
}

/// A project whose files are to be read.
#[derive(Clone, Debug)]
pub struct ToLoad {
    /// Which.
    pub id: Id,
    /// Its directory.
    pub root: PathBuf,
    /// The teams that its server has told of; `None` while it has told nothing.
    pub told: Option<Vec<TeamRef>>,
}

/// What projects hear.
#[derive(Debug)]
pub enum Event {
    /// A project to be served again after an unclean end.
    Reattach(PathBuf),
    /// An [`Effect::Attach`] has ended.
    AttachEnded {
        /// As asked for.
        root: PathBuf,
        /// How.
        end: AttachEnd,
    },
    /// An [`Effect::Load`] has ended: what the files of each project say now; `None` if they could not be read: then what they said before
    /// counts.
    Loaded(Vec<(Id, Option<Box<Loaded>>)>),
    /// An [`Effect::Check`] has ended.
    Checked(Vec<(Id, Finding)>),
    /// The answer to a `stop` has been written, or its connection is gone.
    StopAnswered(Via),
}

/// What projects want done.
#[derive(Debug)]
pub enum Effect {
    /// Answer a `stop`, then raise [`Event::StopAnswered`].
    ReplyStop(ConnId, Via),
    /// Find out what a project is, and bind and record its socket; ends in [`Event::AttachEnded`].
    Attach {
        /// The directory that holds `.sageox`.
        root: PathBuf,
        /// Projects that are served already, and from where.
        served: BTreeMap<Id, PathBuf>,
    },
    /// Serve the bound socket of an attached project.
    Serve {
        /// Whose.
        id: Id,
        /// What its queries are answered from.
        published: Arc<Published>,
    },
    /// Serve a project no longer.
    Detach {
        /// Whose.
        id: Id,
        /// Whether its files now belong to another daemon and stay.
        superseded: bool,
    },
    /// Remember which projects are served, for the next start after an unclean end.
    Remember(Vec<PathBuf>),
    /// Read which ledger and teams projects have; ends in [`Event::Loaded`] for all of them.
    Load(Vec<ToLoad>),
    /// Check whether sockets, registry entries and projects are still what they were; ends in [`Event::Checked`].
    Check(Vec<Findable>),
    /// Check at once whether a project's socket is still at its path; what is said after it is heard after it.
    CheckSocket(Id),
}

/// Deadlines of projects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A project may have been idle for long enough.
    Idle(Id),
    /// [`crate::daemon::CHECK_EVERY`].
    Check,
    /// [`super::EMPTY_MAX`].
    Empty,
}
