//! Spend that adds up: the tokens of every answer of a model, counted once, and what they cost.
//!
//! Threads: a look reads files on some of its own, which end with it.
//! Files: `<data>/usage.db` with its log and `usage.db.lock`, of all projects of the user; `usage.jsonl` of sessions and the transcripts of
//! agent programs are read; `<config>/prices.json` is read.
//! Locks: `usage.db.lock` while sources are looked at; then the database's own.
//! Promises: an answer is one row, whichever files tell it (a resumed session, a fork, a sub-agent, a list that is written again), and
//! however often whoever counts is killed; rows outlive the files; a file that has not changed costs a look at it; each figure is the sum
//! of rows that can be shown; a price that is not known is never 0. Nothing leaves the machine.
//!
//! Not counted is what no program writes down: the titles that opencode has a model make, what Gemini CLI asks models to choose a model and
//! to summarise, `/compact` of Claude Code, and all of codex 0.20 and older, whose transcripts have no tokens. Nor, in no transcript
//! either, what an answer cost that was cut off before the program heard of its tokens.

mod counts;
mod error;
mod line;
mod prices;
mod read;
mod report;
mod scan;
mod schema;
mod store;
mod whose;

pub use counts::{BANDS, Counts};
pub use error::UsageError;
pub use line::{FILE, Key, Line, add, append};
pub use prices::{ModelPrices, Money, Price, Prices};
pub use report::{By, Group, Question, Record, Report, Spend};
pub use scan::{Scanned, Shared, Sources, scan};
pub use store::Store;
