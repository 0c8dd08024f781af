//! What accounts hear, want done and wait for.

use crate::sync::TeamRef;
use crate::sync::account::{Account, CallOutcome};

/// What a server says about a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAnswer {
    /// The remote of its ledger, judged; `None` while that is being made.
    pub ledger: Option<String>,
    /// Nothing may be pushed to it.
    pub read_only: bool,
    /// Its teams; `None` if the server does not tell.
    pub teams: Option<Vec<TeamRef>>,
}

/// What accounts hear.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::AskRepos`] has ended.
    ReposAsked {
        /// Which server.
        endpoint: String,
        /// How.
        called: CallOutcome,
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
        called: CallOutcome,
        /// What the server says about the project; `None` if it did not.
        answer: Option<ServerAnswer>,
    },
}

/// What accounts want done.
#[derive(Debug)]
pub enum Effect {
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
    Save {
        /// Which server.
        endpoint: String,
        /// What.
        account: Box<Account>,
    },
}

/// A server is to be asked, by its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub String);
