//! What can wake the core, what it wants done, and its deadlines: one variant a part, each listed in that part's own `event.rs`.

use super::accounts::event as accounts;
use super::agents::event as agents;
use super::archive::event as archive;
use super::clones::event as clones;
use super::hooks::event as hooks;
use super::names::{Id, Via};
use super::presence::event as presence;
use super::projects::event as projects;
use super::records::event as records;
use super::relay::event as relay;
use super::sessions::event as sessions;
use super::trees::event as trees;
use super::upkeep::event as upkeep;
use super::whispers::event as whispers;
use crate::ipc::wire::{Progress, Response};
use crate::ipc::{ConnId, Request};

/// What can wake the core.
#[derive(Debug)]
#[expect(missing_docs, reason = "a variant named after a part is that part's")]
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
    Projects(projects::Event),
    Clones(clones::Event),
    Accounts(accounts::Event),
    Presence(presence::Event),
    Whispers(whispers::Event),
    Trees(trees::Event),
    Sessions(sessions::Event),
    Archive(archive::Event),
    Hooks(hooks::Event),
    Agents(agents::Event),
    Relay(relay::Event),
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
        again: Option<upkeep::Handover>,
    },
    Projects(projects::Effect),
    Clones(clones::Effect),
    Accounts(accounts::Effect),
    Presence(presence::Effect),
    Records(records::Effect),
    Whispers(whispers::Effect),
    Trees(trees::Effect),
    Sessions(sessions::Effect),
    Archive(archive::Effect),
    Hooks(hooks::Effect),
    Agents(agents::Effect),
    Relay(relay::Effect),
    Upkeep(upkeep::Effect),
}

/// The names of deadlines in the core's one heap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// What heartbeats have told of a project is to be shown.
    Show(Id),
    Projects(projects::Timer),
    Clones(clones::Timer),
    Accounts(accounts::Timer),
    Presence(presence::Timer),
    Records(records::Timer),
    Whispers(whispers::Timer),
    Trees(trees::Timer),
    Sessions(sessions::Timer),
    Archive(archive::Timer),
    Hooks(hooks::Timer),
    Agents(agents::Timer),
    Relay(relay::Timer),
    Upkeep(upkeep::Timer),
}
