//! What can wake the core, and what it wants done. Closed lists: whoever reads them knows the whole program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::ipc::wire::{Progress, Response};
use crate::ipc::{ConnId, Published, Request};
use crate::sync::{Outcome, Place, Timing};

/// Names an attached project: its workspace id.
pub type Id = Arc<str>;

/// Names one run of a project, so that the end of a run of an earlier attachment is not taken for that of the present one.
pub type RunId = u64;

/// What a project is, as found on disk when it was attached.
#[derive(Clone, Debug)]
pub struct Found {
    /// Workspace id.
    pub id: Id,
    /// Empty if the project has none.
    pub repo_id: String,
    /// Directory that holds `.sageox`.
    pub root: PathBuf,
    /// Where it is served.
    pub socket: PathBuf,
    /// Team the project belongs to; may be empty.
    pub team_id: String,
    /// When its ledger is synced.
    pub timing: Timing,
    /// It is detached after this long without a request; zero means never.
    pub idle_timeout: Duration,
    /// Its ledger; `None` if its remote is not known.
    pub place: Option<Place>,
    /// When the ledger was last level with its remote, from the local configuration.
    pub last_sync: Option<jiff::Timestamp>,
}

/// Where a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// The host's socket.
    Host,
    /// A project's socket.
    Project(Id),
}

/// How an attach ended.
#[derive(Clone, Debug)]
pub enum AttachEnd {
    /// The socket is bound and recorded; it waits to be served.
    Ready(Box<Found>),
    /// The project is served already, under this id.
    Served(Id),
    /// It cannot be served.
    Failed(String),
}

/// One project's part of a periodic look at what others may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Another daemon has taken the project over.
    Superseded,
    /// The project's `.sageox` is gone.
    Gone,
    /// The path of the ledger's clone is gone.
    LedgerGone,
}

/// What can wake the core.
#[derive(Debug)]
pub enum Event {
    /// A request that only the core can answer.
    Request {
        /// Whom to answer.
        conn: ConnId,
        /// Where it came in.
        door: Door,
        /// What is asked.
        request: Request,
    },
    /// A project to be served again after an unclean end.
    Reattach(PathBuf),
    /// An [`Effect::Attach`] has ended.
    AttachEnded {
        /// As asked for.
        root: PathBuf,
        /// How.
        end: AttachEnd,
    },
    /// A sync or clone has come so far.
    Progress {
        /// Whose.
        id: Id,
        /// Which run.
        run: RunId,
        /// How far.
        progress: Progress,
    },
    /// An [`Effect::Sync`] has ended.
    Synced {
        /// Whose.
        id: Id,
        /// Which run.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
    /// An [`Effect::Clone`] has ended.
    Cloned {
        /// Whose.
        id: Id,
        /// Which run.
        run: RunId,
        /// How: [`crate::sync::End::Level`] when the clone is there.
        outcome: Outcome,
    },
    /// No worker was free for an [`Effect::Sync`] or [`Effect::Clone`].
    NoWorker {
        /// Whose.
        id: Id,
        /// Which run.
        run: RunId,
    },
    /// An [`Effect::Check`] has ended.
    Checked(Vec<(Id, Finding)>),
    /// The answer to a `stop` has been written, or its connection is gone.
    StopAnswered(Door),
    /// The process is asked to end, with the name of the reason.
    Quit(&'static str),
}

/// What the core wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send the final line of a request.
    Reply(ConnId, Response),
    /// Send it, then raise [`Event::StopAnswered`].
    ReplyStop(ConnId, Door),
    /// Send a progress line.
    Progress(ConnId, Progress),
    /// Find out what a project is, and bind and record its socket.
    Attach {
        /// The directory that holds `.sageox`.
        root: PathBuf,
        /// Projects that are served already.
        served: Vec<Id>,
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
        /// When its ledger was last level with its remote.
        last_sync: Option<jiff::Timestamp>,
    },
    /// Remember which projects are served, for the next start after an unclean end.
    Remember(Vec<PathBuf>),
    /// Sync a ledger; ends in [`Event::Synced`] or [`Event::NoWorker`].
    Sync {
        /// Whose.
        id: Id,
        /// Which run.
        run: RunId,
        /// The project's directory.
        root: PathBuf,
        /// Somebody waits for it.
        forced: bool,
        /// Time between runs.
        interval: Duration,
    },
    /// Clone a ledger; ends in [`Event::Cloned`] or [`Event::NoWorker`].
    Clone {
        /// Whose.
        id: Id,
        /// The run that found that there is no clone.
        run: RunId,
        /// The project's directory.
        root: PathBuf,
    },
    /// Look whether sockets, registry entries and projects are still what they were.
    Check(Vec<(Id, PathBuf, Option<PathBuf>)>),
    /// Look at once whether a project's socket is still at its path; what is said after it is heard after it.
    CheckSocket(Id),
    /// Write down when a ledger was last level with its remote.
    Flush {
        /// The project's directory.
        root: PathBuf,
        /// When.
        last_sync: jiff::Timestamp,
    },
    /// End the process in order.
    Exit,
}
