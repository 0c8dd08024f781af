//! `ox`: one daemon per user that keeps the ledgers of projects in sync, and the command line in front of it.
//!
//! The map, outer rooms first; an arrow only ever points down:
//!
//! | room | what it is |
//! | --- | --- |
//! | [`cli`] | one file a command; the only place that prints |
//! | [`doctor`] | checks of what can be wrong, each with its remedy |
//! | [`daemon`] | the process: what is attached, what runs when, who hears of what |
//! | [`sync`] | ledgers and team contexts kept current: which, when, pull, conflicts, rescue, clone |
//! | [`whispers`] | agents hear of each other: murmurs out, whispers in |
//! | [`harness`] | the agent programs as data: names, variables, processes; which of them runs this process; their transcripts |
//! | [`hooks`] | events of agents: taken in from hooks, read from transcripts, kept as one |
//! | [`agents`] | background work of agents: what waits, when it runs, what it may cost, how an agent is run for an answer |
//! | [`sessions`] | sessions of agents: recorded, read, kept, counted |
//! | [`relay`] | events of agents on their way to a server: what is told of them, where they wait, what is sent |
//! | [`cloud`] | logging in: to relay servers and to servers of the vendor's API |
//! | [`health`] | issues, history and metrics |
//! | [`ipc`] | the wire: messages, framing, the socket loop, the client |
//! | [`watch`] | what changed on disk: tracked set, kernel watches, comparing scan, batches |
//! | [`git`] | the one place that talks to git |
//! | [`http`] | the one HTTP client |
//! | [`redact`] | secrets out of text |
//! | [`tail`] | follows files that others append to |
//! | [`project`] | who and where: ids, endpoints, directories, configuration files |
//! | [`kit`] | what any daemon needs, and nothing that knows of `ox` |

pub mod agents;
pub mod cli;
pub mod cloud;
pub mod daemon;
pub mod doctor;
pub mod git;
pub mod harness;
pub mod health;
pub mod hooks;
pub mod http;
pub mod ipc;
pub mod kit;
pub mod project;
pub mod redact;
pub mod relay;
pub mod sessions;
pub mod sync;
pub mod tail;
pub mod watch;
pub mod whispers;
