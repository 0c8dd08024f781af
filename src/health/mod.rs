//! Who is there, what is wrong and what has been going on: agents, callers, activity, issues, sync history, recent errors, metrics.
//!
//! Threads: none; the core owns one set a project and publishes copies.
//! Files: `errors-<workspace_id>.json` and heartbeat files, read and written by whoever is told to.
//! Locks: none.
//! Promises: every kind of issue has a rule by which it goes away again; every list has a cap.

pub mod activity;
pub mod agents;
pub mod beats;
pub mod callers;
pub mod errors;
pub mod history;
pub mod issues;
pub mod metrics;

pub use activity::Tracker;
pub use agents::Agents;
pub use callers::Callers;
pub use errors::StoredErrors;
pub use history::{History, SyncKind, SyncRecord};
pub use issues::{Issue, IssueKind, Issues, Severity};
pub use metrics::Metrics;
