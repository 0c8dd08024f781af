//! Background work of agents: what waits for it, when it runs, what it may cost, and how an agent is run for an answer.
//!
//! Threads: some that look whether agents can be used, which end with the look.
//! Files: a directory a run below the one that the caller names, which goes with the run; what was spent is handed out to be kept.
//! Locks: one of the kernel for each such directory, on a file beside it; a small one on what is known of programs' flags.
//! Promises: no cap is exceeded, whatever fails and whoever begins anew; a failing item is run three times and no more; what waits is
//! bounded; a wall of the model's server is not run into again; nothing of a run outlives it, nor this process.

pub mod answer;
pub mod budget;
pub mod failure;
pub mod kept;
pub mod limits;
pub mod manager;
pub mod queue;
pub mod runner;
pub mod usable;
