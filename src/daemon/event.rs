//! What can wake the core, and what it wants done. Closed lists: whoever reads them knows the whole program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::beats::BeatFile;
use super::restart::Passed;
use crate::health::StoredErrors;
use crate::health::beats::Line;
use crate::ipc::wire::{Checkout, CheckoutResult, Murmur, Progress, Response, WhisperHistoryAsk};
use crate::ipc::{ConnId, Published, Request};
use crate::kit::process::Seen;
use crate::sync::account::{Account, Called};
use crate::sync::reclone::Reclone;
use crate::sync::{Ask, Failure, Loaded, Outcome, Saved, Target, TeamRef, Timing};
use crate::watch::{Pulse, Report, RootId, Task};
use crate::whispers::{self, FileChanges, Scope};

/// Names an attached project: its workspace id.
pub type Id = Arc<str>;

/// Names one piece of work on a clone, so that the end of an earlier one is not taken for that of the present one.
pub type RunId = u64;

/// Names a clone that the daemon works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The ledger of a project.
    Ledger(Id),
    /// A team's context, `<slug>/<team_id>`: one for all projects that use it.
    Team(Id),
    /// A path that somebody wants a clone at.
    Checkout(Id),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Ledger(id) => write!(f, "ledger of {id}"),
            Key::Team(id) => write!(f, "team {id}"),
            Key::Checkout(path) => write!(f, "checkout of {path}"),
        }
    }
}

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
    /// When its ledger is synced.
    pub timing: Timing,
    /// Time between two looks at a team's context, unless the team asks for more.
    pub team_interval: Duration,
    /// It is detached after this long without a request; zero means never.
    pub idle_timeout: Duration,
    /// Its ledger and teams, and what earlier processes knew of them.
    pub loaded: Loaded,
    /// Its stored errors.
    pub errors: StoredErrors,
}

/// When the clones of one project were last level with their remotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncedAt {
    /// The ledger.
    pub ledger: Option<jiff::Timestamp>,
    /// Teams.
    pub teams: Vec<(TeamRef, PathBuf, jiff::Timestamp)>,
}

impl SyncedAt {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ledger.is_none() && self.teams.is_empty()
    }
}

/// What a server says about a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The remote of its ledger, judged; `None` while that is being made.
    pub ledger: Option<String>,
    /// Nothing may be pushed to it.
    pub read_only: bool,
    /// Its teams; `None` if the server does not tell.
    pub teams: Option<Vec<TeamRef>>,
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
        /// Eight hex digits of the clone that the caller stands in; may be empty.
        caller: String,
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
    /// An [`Effect::Load`] has ended.
    Loaded {
        /// Whose.
        id: Id,
        /// What the project's files say now; `None` if they could not be read: then what they said before counts.
        loaded: Option<Box<Loaded>>,
    },
    /// A piece of work has come so far.
    Progress {
        /// On which clone.
        key: Key,
        /// Which one.
        run: RunId,
        /// How far.
        progress: Progress,
    },
    /// An [`Effect::Sync`] has ended.
    Synced {
        /// Of which clone.
        key: Key,
        /// Which one.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
    /// An [`Effect::Clone`] has ended.
    Cloned {
        /// Which clone.
        key: Key,
        /// Which one.
        run: RunId,
        /// How: [`crate::sync::End::Level`] when the clone is there.
        outcome: Outcome,
    },
    /// No worker was free for an [`Effect::Sync`] or [`Effect::Clone`].
    NoWorker {
        /// For which clone.
        key: Key,
        /// Which piece of work.
        run: RunId,
    },
    /// An [`Effect::CheckPath`] has ended: the clone is there already, or may be made.
    PathChecked {
        /// Which checkout.
        key: Key,
        /// Why not, as the wire says it.
        result: Result<CheckoutResult, String>,
    },
    /// An [`Effect::Checkout`] has ended.
    CheckedOut {
        /// Which checkout.
        key: Key,
        /// Why not, as the wire says it.
        result: Result<CheckoutResult, String>,
    },
    /// An [`Effect::AskRepos`] has ended.
    ReposAsked {
        /// Which server.
        endpoint: String,
        /// How.
        called: Called,
        /// What is stored has changed.
        changed: bool,
    },
    /// An [`Effect::AskLedger`] has ended.
    LedgerAsked {
        /// Which server.
        endpoint: String,
        /// Whose ledger.
        repo_id: String,
        /// How.
        called: Called,
        /// What the server says about the project; `None` if it did not.
        said: Option<Said>,
    },
    /// An [`Effect::Revoke`] has ended.
    Revoked {
        /// Which team.
        key: Key,
        /// Why its clone was kept; `None` if it is gone.
        kept: Option<String>,
    },
    /// An [`Effect::Slim`] has ended.
    Slimmed {
        /// Which clone.
        key: Key,
        /// Which piece of work.
        run: RunId,
        /// How; `None` if it was not time yet.
        result: Result<Option<Reclone>, Failure>,
    },
    /// Somebody changed something in a project's ledger.
    LedgerTouched(Id),
    /// An [`Effect::Look`] has ended.
    Looked {
        /// Whose agents'.
        id: Id,
        /// What became of each process, by number.
        seen: Vec<(u32, Seen)>,
    },
    /// A murmur waits durably to be committed in this clone.
    Murmured(Key),
    /// An [`Effect::Relay`] has ended; `false` if it has to be done again.
    Relayed {
        /// Of which clone.
        key: Key,
        /// Whether all was taken in.
        done: bool,
    },
    /// Something may have happened in a watched work tree: the pulses tell.
    Hinted,
    /// Something happened in a watched work tree.
    Pulse(RootId, Pulse),
    /// An [`Effect::LookAtTree`] has ended; without a report if it did not run.
    TreeLooked(RootId, Option<Box<Report>>),
    /// An agent has come further in the whispers for it.
    Whispered {
        /// Of which project.
        id: Id,
        /// Which.
        agent: String,
        /// It was given some.
        any: bool,
    },
    /// An [`Effect::Check`] has ended.
    Checked(Vec<(Id, Finding)>),
    /// The answer to a `stop` has been written, or its connection is gone.
    StopAnswered(Door),
    /// The process is asked to end, with the name of the reason.
    Quit(&'static str),
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

/// A look at the murmurs of a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The clone.
    pub target: Target,
    /// What comes through it.
    pub scope: Scope,
    /// HEAD at the relay before; empty for the first.
    pub since: String,
    /// HEAD after a run that went well: murmurs that somebody took out in between are taken back.
    pub head: Option<String>,
    /// Where to tell what files of a team's context changed since: the state directories of ledgers.
    pub tell: Vec<PathBuf>,
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
        /// When its ledger and teams were last level, where that is not written down yet.
        synced: SyncedAt,
    },
    /// Remember which projects are served, for the next start after an unclean end.
    Remember(Vec<PathBuf>),
    /// Read which ledger and teams a project has; ends in [`Event::Loaded`].
    Load {
        /// Whose.
        id: Id,
        /// The project's directory.
        root: PathBuf,
        /// The teams that its server has told of; `None` while it has told nothing.
        told: Option<Vec<TeamRef>>,
    },
    /// Sync a clone; ends in [`Event::Synced`] or [`Event::NoWorker`].
    Sync {
        /// Which.
        key: Key,
        /// Which piece of work.
        run: RunId,
        /// What it is.
        target: Target,
        /// What may be left out.
        ask: Ask,
    },
    /// Make a clone; ends in [`Event::Cloned`] or [`Event::NoWorker`].
    Clone {
        /// Which.
        key: Key,
        /// The run that found that there is no clone.
        run: RunId,
        /// What it is.
        target: Target,
    },
    /// Nobody needs this clone kept level any more: what runs for it ends.
    Drop(Key),
    /// Look whether a clone may be made where somebody wants one; ends in [`Event::PathChecked`].
    CheckPath {
        /// Which checkout.
        key: Key,
        /// What is wanted.
        checkout: Checkout,
    },
    /// Make a clone where somebody wants one; ends in [`Event::CheckedOut`].
    Checkout {
        /// Which checkout.
        key: Key,
        /// Which piece of work.
        run: RunId,
        /// For whom.
        root: PathBuf,
        /// What is wanted.
        checkout: Checkout,
    },
    /// Ask a server for credentials and teams; ends in [`Event::ReposAsked`].
    AskRepos {
        /// Which.
        endpoint: String,
    },
    /// Ask a server where a ledger is; ends in [`Event::LedgerAsked`].
    AskLedger {
        /// Which server.
        endpoint: String,
        /// Whose ledger.
        repo_id: String,
    },
    /// Remember what a restart must not forget of asking a server.
    SaveAccount {
        /// Which server.
        endpoint: String,
        /// What.
        account: Box<Account>,
    },
    /// Put the clone of a team away that nobody names any more, if all of it is at its remote; ends in [`Event::Revoked`].
    Revoke {
        /// Which team.
        key: Key,
        /// What it is.
        target: Target,
    },
    /// Slim a clone; ends in [`Event::Slimmed`] or [`Event::NoWorker`].
    Slim {
        /// Which.
        key: Key,
        /// Which piece of work.
        run: RunId,
        /// What it is.
        target: Target,
        /// Somebody asked for it: by a fresh clone, and now.
        asked: bool,
    },
    /// Add lines to the heartbeat files of a project.
    WriteBeats {
        /// Whose.
        id: Id,
        /// Directory name of its endpoint.
        slug: String,
        /// Its repository.
        repo_id: String,
        /// The lines.
        lines: Vec<(BeatFile, Line)>,
    },
    /// Write down a project's stored errors.
    SaveErrors {
        /// Whose.
        id: Id,
        /// All of them.
        errors: StoredErrors,
    },
    /// Look at the processes of a project's agents; ends in [`Event::Looked`].
    Look {
        /// Whose agents'.
        id: Id,
        /// Their numbers, ascending.
        pids: Vec<u32>,
    },
    /// Have a murmur wait to be committed in a clone, and tell it to the agents of this machine; ends in [`Event::Murmured`], or with a
    /// word in the log.
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
        /// What to look at.
        relay: Box<Relay>,
    },
    /// Answer what waits for an agent.
    Whispers {
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
    WhisperHistory {
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
    /// Say who is at work, unless that was said last.
    SayActivity {
        /// State directory of the ledger.
        state: PathBuf,
        /// What to say.
        text: String,
    },
    /// Watch a work tree.
    WatchTree {
        /// What it is called from now on.
        root: RootId,
        /// Where it is.
        path: PathBuf,
    },
    /// Watch it no longer.
    ForgetTree {
        /// Which.
        root: RootId,
        /// All that was seen there was told: what is known is kept for the next time.
        told: bool,
    },
    /// Look into a work tree; ends in [`Event::TreeLooked`].
    LookAtTree {
        /// Which.
        root: RootId,
        /// How.
        task: Task,
    },
    /// Have a note about changed files wait to be committed, if the configuration wants such; ends in [`Event::Murmured`].
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
    },
    /// Write down how far agents have read.
    WriteMarks,
    /// Look after databases.
    MaintainStores {
        /// State directories of all clones.
        states: Vec<PathBuf>,
    },
    /// Look after what earlier processes left beside the clones.
    TidyUp,
    /// Give back what memory is not needed now.
    Rest,
    /// Watch the directory of a project's ledger, or no longer.
    Watch(Id, Option<PathBuf>),
    /// Remember a clone's failures for the next start, or that there are none.
    SaveBackoff {
        /// The clone's state directory.
        state: PathBuf,
        /// What to remember.
        saved: Option<Saved>,
    },
    /// Look whether sockets, registry entries and projects are still what they were.
    Check(Vec<Findable>),
    /// Look at once whether a project's socket is still at its path; what is said after it is heard after it.
    CheckSocket(Id),
    /// Write down in a project when its ledger and teams were last level with their remotes.
    Flush {
        /// The project's directory.
        root: PathBuf,
        /// When which was.
        synced: SyncedAt,
    },
    /// End the process in order.
    Exit {
        /// Run the program anew, and leave this to it.
        again: Option<Passed>,
    },
}
