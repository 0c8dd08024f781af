//! What the part of hooks hears, wants done and waits for.

use crate::health::IssueKind;
use crate::ipc::ConnId;
use crate::ipc::wire::{HooksSet, Response};

/// What a worker came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// All that there was.
    All {
        /// Something new was stored.
        new: bool,
    },
    /// A part of it; there is more.
    More,
    /// Nothing, and why.
    Failed(String),
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// How agents' hooks are.
    State,
    /// They are to be used, or no more.
    Set(HooksSet),
    /// Agents' settings are to be as the user wants them.
    Reconcile,
}

/// What keeps an agent's hooks from being as the user wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which issue it is.
    pub kind: IssueKind,
    /// The agent's word.
    pub agent: String,
    /// What is wrong, and what helps.
    pub text: String,
}

/// What it hears.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::Ask`] has ended.
    Answered {
        /// Who asked; none where the process itself did, as it began.
        conn: Option<ConnId>,
        /// The answer.
        response: Response,
        /// What is taken in may be something else now.
        changed: bool,
    },
    /// Whether events of any agent are taken in, and what keeps agents' hooks from being as they should be.
    Looked(bool, Vec<Problem>),
    /// Something was put into the spool.
    Touched,
    /// An [`Effect::Take`] has ended.
    Taken(Came),
    /// An [`Effect::Import`] has ended.
    Imported(Came),
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read or write agents' settings; ends in [`Event::Answered`].
    Ask(Option<ConnId>, Ask),
    /// See whether events are taken in, and how agents' hooks are; ends in [`Event::Looked`].
    Look,
    /// Watch the spool, or no more; what comes is [`Event::Touched`].
    Watch(bool),
    /// Store what waits in the spool; ends in [`Event::Taken`].
    Take,
    /// Store what is new in transcripts; ends in [`Event::Imported`].
    Import,
    /// Delete what is too old or too much.
    Keep,
}

/// Its deadlines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The spool is to be read.
    Take,
    /// Transcripts are to be read.
    Import,
    /// The store is to be tidied.
    Keep,
    /// Agents' hooks are to be looked at.
    Look,
}
