//! Events of agents: taken in from the programs' hooks, read from their transcripts, and kept as one.
//!
//! Threads: while the way of events is tested, one that watches spool and store, and those of a model server.
//! Files: `<data>/hooks/`: `enabled.<word>` while an agent's entry takes events in, `spool` with what was taken in and not stored yet,
//! `installed.json` with what was asked for and done in agents' settings; `told`, of which files
//! sessions were told that others work on them; `<data>/events/events.db`; agents' own settings files.
//! Locks: those of the spool; `<settings>.ox-lock` while a settings file is changed.
//! Promises: the entry exits 0 within its deadline whatever happens; nothing that the payload mode drops reaches a disk; in a foreign
//! settings file only what is ours changes; each event is stored once.

pub mod entry;
pub mod event;
pub mod flag;
pub mod happening;
pub mod identity;
pub mod import;
pub mod install;
pub mod probe;
pub mod record;
pub mod spool;
pub mod store;
pub mod told;
