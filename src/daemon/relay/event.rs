//! What the relay hears, wants done and waits for.

use crate::ipc::ConnId;
use crate::ipc::wire::{RelayState, RelayStatus, Response};
use crate::relay::account::Account;

/// Why nothing is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Off {
    /// Nobody wants it.
    #[default]
    Disabled,
    /// It is wanted, but not to where.
    NoServer,
    /// Nobody is logged in there.
    LoggedOut,
    /// The server takes the login no longer.
    NeedsLogin,
    /// The user has not agreed to anything being sent there.
    NoConsent,
    /// Nobody could look, in words.
    Unknown(String),
}

impl Off {
    /// Whether it may change without anybody saying so.
    pub(super) fn is_looked_at_again(&self) -> bool {
        !matches!(self, Off::Disabled)
    }

    pub(super) fn state(&self) -> RelayState {
        match self {
            Off::Disabled | Off::NoServer | Off::NoConsent | Off::Unknown(_) => RelayState::Disabled,
            Off::LoggedOut | Off::NeedsLogin => RelayState::NeedsLogin,
        }
    }

    /// In words, with what leads out.
    pub(super) fn text(&self) -> String {
        match self {
            Off::Disabled => "off; ox relay start".to_owned(),
            Off::NoServer => "no server is named; ox login --relay URL".to_owned(),
            Off::LoggedOut => "not logged in; ox login --relay".to_owned(),
            Off::NeedsLogin => "the server takes the login no longer; ox login --relay".to_owned(),
            Off::NoConsent => "nobody agreed to anything being sent there; ox relay start".to_owned(),
            Off::Unknown(why) => why.clone(),
        }
    }
}

/// What came of putting stored events into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fed {
    /// So many were put in.
    pub new: u64,
    /// There are more, and others that have not settled yet.
    pub more: More,
    /// Events that wait in the queue now.
    pub queued: u64,
}

/// What is left to be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Nothing.
    None,
    /// Some that have settled.
    Settled,
    /// Only some that have not.
    Unsettled,
}

/// What it hears.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::Look`] has ended.
    Looked(Result<Account, Off>),
    /// An [`Effect::Feed`] has ended; else why it could not.
    Fed(Result<Fed, String>),
    /// How the link stands now.
    Link(u64, Box<RelayStatus>),
    /// The link is down for good, and by its own fault if there is a reason.
    Ended(u64, Option<String>),
    /// An [`Effect::Tell`] has ended.
    Told(ConnId, Response),
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Look whether anything is to be sent, and to where; ends in [`Event::Looked`].
    Look,
    /// Put stored events into the queue; ends in [`Event::Fed`].
    Feed {
        /// Whose.
        account: Account,
        /// Also those that were stored only just now.
        all: bool,
    },
    /// Have a link; ends in [`Event::Ended`].
    Open(u64, Account),
    /// Something is there to be sent.
    Wake,
    /// The login may be another one, or somebody wants all sent now: no wait goes on.
    Login,
    /// The link is to end.
    Close,
    /// The queue is somebody else's for now.
    LetGo,
    /// Answer with how it stands; ends in [`Event::Told`].
    Tell(ConnId, Box<RelayStatus>),
}

/// Its deadlines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Whether anything is to be sent is looked at once more.
    Look,
    /// Events have settled, or those that could not be put in are tried again.
    Feed,
    /// The link is opened again, after it failed by its own fault.
    Open,
    /// Who waits until all is sent has waited long enough.
    Flush,
}
