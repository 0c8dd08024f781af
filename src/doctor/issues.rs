//! What the daemon leaves to a person.

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::ipc::wire::DaemonIssue;
use crate::sync::LEDGER;

pub(super) const CHECK: Check = Check {
    slug: "sync-issues",
    name: "sync issues",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

/// Names the team, if it is one's.
fn of_team(issue: &DaemonIssue) -> String {
    match issue.repo.as_str() {
        "" | LEDGER => String::new(),
        team => format!("team {team}: "),
    }
}

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return Outcome::skipped("nobody syncs this project now") };
    let issues: Vec<&DaemonIssue> = status.issues.iter().filter(|i| !super::team_clean::is_ours(i)).collect();
    if issues.is_empty() {
        return Outcome::passed("none");
    }
    let lines = issues.iter().map(|i| format!("{}: {}{} ({})", i.severity, of_team(i), i.summary, i.kind));
    let sync = if issues.iter().all(|i| of_team(i).is_empty()) { Command::Sync } else { Command::SyncTeams };
    let message = format!("{} open", issues.len());
    let blocked = issues.iter().any(|i| i.severity != "warning");
    let outcome = if blocked { Outcome::failed(message) } else { Outcome::warning(message) };
    outcome.detail(lines).remedy(Remedy::Ox(sync))
}
