//! Background work of agents: what waits for it, when it runs, and what it may cost.
//!
//! Threads: none of its own.
//! Files: none of its own; what was spent is handed out to be kept.
//! Locks: none.
//! Promises: no cap is exceeded, whatever fails and whoever begins anew; a failing item is run three times and no more; what waits is
//! bounded; a wall of the model's server is not run into again.

pub mod answer;
pub mod budget;
pub mod failure;
pub mod kept;
pub mod limits;
pub mod manager;
pub mod queue;
