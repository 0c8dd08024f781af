//! Checks of what can be wrong on this machine and in this project, each with its remedy.
//!
//! Threads: none; the checks run one after the other on the caller's.
//! Files: none of its own; a remedy changes only what it names.
//! Locks: the clone's, while something in it is mended.
//! Promises: every check is in [`CHECKS`] (an unlisted one does not compile); a warning always carries what was seen.

#![deny(dead_code)]

mod agent_events;
mod agent_worker;
mod binary_path;
mod clone_paths;
mod config_keys;
mod context;
mod daemon_dedup;
mod daemon_running;
mod daemon_socket;
mod daemon_uptime;
mod daemon_version;
mod directories;
mod excludes;
mod gc_blocked;
mod git_credentials;
mod git_lock;
mod git_version;
mod heartbeat_files;
mod instance_stale;
mod issues;
mod last_sync;
mod ledger_path;
mod ledger_path_mismatch;
mod ledger_remote;
mod murmurs;
mod orphaned_teams;
mod project_config;
mod project_init;
mod project_symlinks;
mod remedy;
mod report;
mod runtime_private;
mod sparse_checkout;
mod ssh_agent;
mod stored_errors;
mod sync_errors;
mod team_clean;
#[cfg(test)]
mod tests;
mod uncommitted;
mod user_config;
mod whisper_db;

pub use context::{Clones, Context, DaemonView, Gathered, ProjectView, RegistryEntry};
pub use remedy::{Command, Fix, Leftovers, Remedy};
pub use report::{Report, Row};

/// Every check, in the order in which they are run and shown.
pub const CHECKS: &[Check] = &[
    git_version::CHECK,
    ssh_agent::CHECK,
    binary_path::CHECK,
    directories::CHECK,
    runtime_private::CHECK,
    user_config::CHECK,
    agent_worker::CHECK,
    orphaned_teams::CHECK,
    project_init::CHECK,
    project_config::CHECK,
    config_keys::CHECK,
    ledger_remote::CHECK,
    ledger_path::CHECK,
    ledger_path_mismatch::CHECK,
    clone_paths::CHECK,
    git_credentials::CHECK,
    git_lock::CHECK,
    uncommitted::CHECK,
    excludes::CHECK,
    sparse_checkout::CHECK,
    project_symlinks::CHECK,
    gc_blocked::CHECK,
    whisper_db::CHECK,
    murmurs::CHECK,
    daemon_running::CHECK,
    daemon_socket::CHECK,
    daemon_uptime::CHECK,
    daemon_version::CHECK,
    last_sync::CHECK,
    sync_errors::CHECK,
    stored_errors::CHECK,
    agent_events::CHECK,
    issues::CHECK,
    team_clean::CHECK,
    heartbeat_files::CHECK,
    instance_stale::CHECK,
    daemon_dedup::CHECK,
];

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Short name for the command line; unique.
    pub slug: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Which part of the page.
    pub category: Category,
    /// When its remedy is applied.
    pub fix_level: FixLevel,
    /// Looks. Changes nothing.
    pub run: fn(&Context) -> Outcome,
}

/// A part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// This machine: programs, directories, the user's settings.
    Machine,
    /// The project and its ledger.
    Project,
    /// The daemon and what it reports.
    Daemon,
}

impl Category {
    /// All, in the order of the page.
    pub const ALL: [Category; 3] = [Category::Machine, Category::Project, Category::Daemon];

    /// Its heading.
    pub fn name(self) -> &'static str {
        match self {
            Category::Machine => "Machine",
            Category::Project => "Project",
            Category::Daemon => "Daemon",
        }
    }
}

/// When a remedy is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixLevel {
    /// Never by `ox doctor`.
    CheckOnly,
    /// With `--fix`.
    Suggested,
    /// With `--fix` and a yes.
    Confirm,
}

impl FixLevel {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            FixLevel::CheckOnly => "check-only",
            FixLevel::Suggested => "suggested",
            FixLevel::Confirm => "confirm",
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Fine.
    Passed,
    /// Works, but needs attention.
    Warning,
    /// Does not work.
    Failed,
    /// Could not be looked at, or does not apply yet; the message says why.
    Skipped,
}

impl Status {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Warning => "warning",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub status: Status,
    /// What was seen, in one line.
    pub message: String,
    /// More, one line each.
    pub detail: Vec<String>,
    /// How to mend it; at most one way.
    pub remedy: Option<Remedy>,
}

impl Outcome {
    fn new(status: Status, message: impl Into<String>) -> Outcome {
        Outcome { status, message: message.into(), detail: Vec::new(), remedy: None }
    }

    /// Fine.
    pub fn passed(message: impl Into<String>) -> Outcome {
        Outcome::new(Status::Passed, message)
    }

    /// Needs attention.
    pub fn warning(message: impl Into<String>) -> Outcome {
        Outcome::new(Status::Warning, message)
    }

    /// Does not work.
    pub fn failed(message: impl Into<String>) -> Outcome {
        Outcome::new(Status::Failed, message)
    }

    /// Not looked at, and why.
    pub fn skipped(why: impl Into<String>) -> Outcome {
        Outcome::new(Status::Skipped, why)
    }

    /// With a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Outcome {
        self.remedy = Some(remedy);
        self
    }

    /// With more lines.
    #[must_use]
    pub fn detail(mut self, lines: impl IntoIterator<Item = String>) -> Outcome {
        self.detail.extend(lines);
        self
    }
}

/// Runs every check.
pub fn run(cx: &Context) -> Report {
    Report {
        rows: CHECKS
            .iter()
            .map(|check| Row { check: *check, outcome: (check.run)(cx), fixed: None })
            .collect(),
    }
}

/// The checks whose slugs are asked for; all for none.
///
/// # Errors
/// The first slug that no check has.
pub fn select<'a>(slugs: &'a [String]) -> Result<Vec<&'static str>, &'a str> {
    if slugs.is_empty() {
        return Ok(CHECKS.iter().map(|c| c.slug).collect());
    }
    let known = |slug: &'a String| CHECKS.iter().map(|c| c.slug).find(|s| s == slug).ok_or(slug.as_str());
    slugs.iter().map(known).collect()
}
