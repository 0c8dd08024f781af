//! What the daemon leaves to a person.

use std::path::Path;

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::health::IssueKind;
use crate::ipc::wire::DaemonIssue;
use crate::sync::{LEDGER, way_out_of_conflict};

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
    let Some(status) = cx.daemon.status() else { return Outcome::not_served() };
    let issues: Vec<&DaemonIssue> = status.issues.iter().filter(|i| !super::team_clean::is_ours(i)).collect();
    if issues.is_empty() {
        return Outcome::passed("none");
    }
    let lines = issues.iter().map(|i| format!("{}: {}{} ({})", i.severity, of_team(i), i.summary, i.kind));
    let sync = if issues.iter().all(|i| of_team(i).is_empty()) { Command::Sync } else { Command::SyncTeams };
    let message = format!("{} open", issues.len());
    let blocked = issues.iter().any(|i| i.severity != "warning");
    // Which sync would settle a conflict? None: it takes somebody's decision first.
    let conflict = issues.iter().find(|i| i.kind == IssueKind::MergeConflict.name());
    let clones = || status.workspaces.values().flatten();
    let place = conflict
        .and_then(|i| clones().find(|clone| clone.id == i.repo || (i.repo.is_empty() && clone.id == LEDGER)));
    let remedy = match place {
        Some(clone) => Remedy::Person(way_out_of_conflict(Path::new(&clone.path))),
        None => Remedy::Ox(sync),
    };
    let outcome = if blocked { Outcome::failed(message) } else { Outcome::warning(message) };
    outcome.detail(lines).remedy(remedy)
}
