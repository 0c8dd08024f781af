//! Events of agents on their way to a server that the user has agreed to: what is told of them, where they wait, what exactly is sent.
//!
//! Threads: none of its own; every function runs on its caller's. `link::run` keeps it, asleep unless something happens.
//! Files: `<data>/relay/queue/<account>/`, of one account each: `account.json`, the queue, `damaged` with lines that were no records,
//! `dead/` with records that the server refused.
//! Locks: those of each account's queue, held by the one who has it open.
//! Promises: nothing leaves, nor waits, without consent for its server and kind; a queue is only ever sent for the account it was filled
//! for; an event has one id whoever tells of it and however often; what waits survives a kill at any moment and has a limit.

pub mod account;
pub mod frame;
pub mod gate;
pub mod link;
pub mod otlp;
pub mod preview;
pub mod queue;
pub mod record;
mod scrub;
pub mod settle;
