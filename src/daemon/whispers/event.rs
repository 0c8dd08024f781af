//! What whispers hear, want done and wait for.

use std::path::PathBuf;

use crossbeam_channel::Sender;

use crate::daemon::names::{Id, Key};
use crate::ipc::ConnId;
use crate::ipc::wire::{Murmur, WhisperHistoryAsk};
use crate::sync::Target;
use crate::whispers::{self, FileChanges, Scope};

/// How to take in the murmurs of a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The clone.
    pub target: Target,
    /// What comes through it.
    pub scope: Scope,
    /// HEAD at the relay before; empty for the first.
    pub since: String,
    /// HEAD from which on what was taken out since has to be taken back; older than `since` where that failed before.
    pub removed_since: String,
    /// HEAD after a run that went well: murmurs that somebody took out in between are taken back.
    pub head: Option<String>,
    /// Where to tell what files of a team's context changed since: the state directories of ledgers.
    pub tell: Vec<PathBuf>,
}

/// What became of changed files that were to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteOutcome {
    /// A murmur waits durably to be committed.
    Kept,
    /// There was nothing new to tell.
    Nothing,
    /// The configuration wants none.
    Unwanted,
    /// It could not be kept.
    Failed,
}

/// What whispers hear.
#[derive(Debug)]
pub enum Event {
    /// A murmur waits durably to be committed in this clone.
    Murmured(Key),
    /// An [`Effect::TellChanges`] has ended.
    ChangesTold {
        /// In which clone.
        key: Key,
        /// How.
        told: NoteOutcome,
        /// What was to be told.
        changes: Box<FileChanges>,
        /// Others have been told that files of the work tree are uncommitted.
        uncommitted: bool,
    },
    /// An [`Effect::Relay`] has ended.
    Relayed {
        /// Of which clone.
        key: Key,
        /// What has to be done again: [`Relay::removed_since`].
        failed: Option<String>,
    },
    /// An agent has come further in the whispers for it.
    Delivered {
        /// Of which project.
        id: Id,
        /// Which.
        agent: String,
        /// It was given some.
        any: bool,
    },
}

/// What whispers want done.
#[derive(Debug)]
pub enum Effect {
    /// Have a murmur wait to be committed in a clone, and tell it to the agents of this machine; ends in [`Event::Murmured`], or with a
    /// line in the log.
    Murmur {
        /// In which clone.
        key: Key,
        /// Of which project.
        root: PathBuf,
        /// Its state directory.
        state: PathBuf,
        /// What comes through it.
        scope: Scope,
        /// What was asked for.
        murmur: Box<Murmur>,
    },
    /// Take in the murmurs of a clone; ends in [`Event::Relayed`].
    Relay {
        /// Which.
        key: Key,
        /// How.
        relay: Box<Relay>,
    },
    /// Answer what waits for an agent.
    Pending {
        /// Whom to answer.
        conn: ConnId,
        /// Whose agent.
        id: Id,
        /// The state directories of the clones it hears through.
        states: Vec<PathBuf>,
        /// What is asked.
        ask: whispers::Ask,
    },
    /// Answer the whispers of the past.
    History {
        /// Whom to answer.
        conn: ConnId,
        /// The state directories of the clones, that of the ledger first.
        states: Vec<PathBuf>,
        /// What the agent's place is kept under.
        reader: String,
        /// What is asked.
        ask: WhisperHistoryAsk,
    },
    /// An agent wants no nudges, or wants them again.
    PauseNudges {
        /// State directory of the ledger.
        state: PathBuf,
        /// Which.
        agent: String,
        /// No more, or again.
        paused: bool,
    },
    /// Remind those agents that are due to be that they may murmur, if the configuration says so.
    Nudge {
        /// The project's directory.
        root: PathBuf,
        /// State directory of the ledger.
        state: PathBuf,
        /// What places are kept under, before the agent's id.
        prefix: String,
        /// Those at work.
        agents: Vec<whispers::nudge::Facts>,
    },
    /// Tell who is at work, unless that was told last.
    TellActivity {
        /// State directory of the ledger.
        state: PathBuf,
        /// What to tell.
        text: String,
    },
    /// Have a note about changed files wait to be committed, if the configuration wants such; ends in [`Event::ChangesTold`].
    TellChanges {
        /// In which clone.
        key: Key,
        /// Its state directory.
        state: PathBuf,
        /// The work tree.
        root: PathBuf,
        /// Who is at work, the newest heartbeat first.
        agents: Vec<String>,
        /// What changed.
        changes: Box<FileChanges>,
        /// Who waits for it on a worker: false if it could not be kept.
        receipt: Option<Sender<bool>>,
    },
    /// Write down how far agents have read.
    WritePlaces,
    /// Maintain databases.
    Maintain {
        /// State directories of all clones.
        states: Vec<PathBuf>,
    },
}

/// Deadlines of whispers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `NUDGE_EVERY`, while a project has agents at work.
    Nudge(Id),
    /// `ACTIVITY_EVERY`, while a project has agents at work.
    Activity(Id),
    /// `PLACES_AFTER`.
    Places,
    /// Databases are to be maintained.
    Maintain,
}
