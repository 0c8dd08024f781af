//! What parts tell each other. Who hears what stands in `wiring.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::names::{Id, Key};
use super::trees::event::Told;
use crate::health::StoredErrors;
use crate::sync::{Change, Failure, Loaded, TeamRef};
use crate::watch::RootId;
use crate::whispers::FileChanges;

/// Something that happened in one part and concerns others.
#[derive(Debug)]
pub(super) enum Fact {
    /// A project is served from now on; what its files say follows as [`Fact::Loaded`].
    Attached {
        id: Id,
        /// Nobody asked: it was served when the last process ended uncleanly.
        again: bool,
        errors: StoredErrors,
    },
    /// The files of a project have been read; `None` if they could not be: then what they said before counts.
    Loaded { id: Id, loaded: Option<Arc<Loaded>> },
    /// A project is served no longer. Whoever waits for something of it is told so; its row goes last.
    Detached {
        id: Id,
        /// Its files now belong to another daemon and stay.
        superseded: bool,
        /// What the process ends of, if it was the last one.
        why: &'static str,
    },
    /// A project is served from another directory from now on.
    Moved(Id),
    /// The files of a project may say something else now.
    FilesChanged(Id),
    /// The machine slept, or the clock was set.
    Jumped,
    /// Somebody is at work in a project.
    Heard {
        id: Id,
        /// An agent, not only a command.
        agent: bool,
        /// Teams that are in use.
        teams: Vec<String>,
        /// Version of the command.
        version: String,
    },
    /// An agent's process has ended, and nothing has been heard of it for a while.
    AgentEnded {
        id: Id,
        agent: String,
        /// The process.
        pid: u32,
    },
    /// Events of agents were stored that were not before.
    EventsStored,
    /// An agent was given whispers.
    Delivered { id: Id, agent: String },
    /// A clone is up to date.
    UpToDate { key: Key, change: Change, took: Duration },
    /// A run on a clone has failed.
    Failed {
        key: Key,
        failure: Failure,
        /// How many in a row.
        failures: u32,
        /// The network's fault: its host does not answer.
        offline: bool,
        /// Its remote does not let us in, and the credentials are not newer than the run.
        refused: bool,
    },
    /// A run on a clone has ended, well or not.
    RunEnded(Key),
    /// A clone is not kept up to date any more.
    Dropped(Key),
    /// Something in a clone is to be committed, or its directory is gone: a sync is needed soon.
    Waiting(Key),
    /// A server does not take the login of these projects.
    LoginRefused { ids: Vec<Id>, text: String },
    /// A server has handed out credentials to these projects; they are new ones.
    CredentialsChanged(Vec<Id>),
    /// A server has said where the ledger of a project is.
    LedgerNamed { id: Id, url: String, read_only: bool },
    /// A server has said which teams a project has.
    TeamsNamed { id: Id, teams: Vec<TeamRef> },
    /// Which teams a project uses has changed.
    TeamsChanged(Id),
    /// A server names these teams of a project no longer.
    TeamsLost { id: Id, teams: Vec<TeamRef> },
    /// Of a team that its server names no longer the clone is gone, or not needed here.
    TeamGone { id: Id, team: String },
    /// Changes in a work tree are to be told.
    TreeChanged {
        /// The project's ledger.
        key: Key,
        /// Its state directory.
        state: PathBuf,
        /// The work tree.
        root: PathBuf,
        /// Who is at work, the newest heartbeat first.
        agents: Vec<String>,
        changes: FileChanges,
        /// What a worker waits for that is to keep them as told.
        receipt: Option<Sender<bool>>,
    },
    /// They have been told, unless that `failed`. `uncommitted`: others know of uncommitted files there, and want to hear when there are
    /// none any more.
    TreeTold { key: Key, failed: Option<FileChanges>, uncommitted: bool },
    /// A work tree is watched no longer: what was to be told of it is under way.
    TreeLeft { root: RootId, told: Told },
}
