//! What can wake the core, what it wants done, and its deadlines: one variant a part, each listed in that part's own `event.rs`.

use super::names::{Id, Via};
use super::upkeep::event::Handover;
use super::{accounts, clones, presence, projects, records, trees, upkeep, whispers};
use crate::ipc::wire::{Progress, Response};
use crate::ipc::{ConnId, Request};

/// What can wake the core.
#[derive(Debug)]
#[expect(missing_docs, reason = "a variant named after a part is that part's")]
#[expect(clippy::large_enum_variant, reason = "few at a time, and none is copied")]
pub enum Event {
    /// A request that only the core can answer.
    Request {
        /// Whom to answer.
        conn: ConnId,
        /// Where it came in.
        via: Via,
        /// Eight hex digits of the clone that the caller stands in; may be empty.
        caller: String,
        /// What is asked.
        request: Request,
    },
    /// The process is asked to end, with the name of the reason.
    Quit(&'static str),
    Projects(projects::event::Event),
    Clones(clones::event::Event),
    Accounts(accounts::event::Event),
    Presence(presence::event::Event),
    Whispers(whispers::event::Event),
    Trees(trees::event::Event),
}

/// What the core wants done.
#[derive(Debug)]
#[expect(missing_docs, reason = "a variant named after a part is that part's")]
pub enum Effect {
    /// Send the final line of a request.
    Reply(ConnId, Response),
    /// Send a progress line.
    Progress(ConnId, Progress),
    /// End the process in order.
    Exit {
        /// Run the program anew, and leave this to it.
        again: Option<Handover>,
    },
    Projects(projects::event::Effect),
    Clones(clones::event::Effect),
    Accounts(accounts::event::Effect),
    Presence(presence::event::Effect),
    Records(records::event::Effect),
    Whispers(whispers::event::Effect),
    Trees(trees::event::Effect),
    Upkeep(upkeep::event::Effect),
}

/// The names of deadlines in the core's one heap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// What heartbeats have told of a project is to be shown.
    Show(Id),
    Projects(projects::event::Timer),
    Clones(clones::event::Timer),
    Accounts(accounts::event::Timer),
    Presence(presence::event::Timer),
    Records(records::event::Timer),
    Whispers(whispers::event::Timer),
    Trees(trees::event::Timer),
    Upkeep(upkeep::event::Timer),
}
