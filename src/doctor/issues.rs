//! What the daemon leaves to a person.

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::health::IssueKind;
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
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    // What a clone's last error says stands with the sync errors, once.
    let is_said = |i: &&DaemonIssue| status.clone_of(i).is_some_and(|clone| !clone.last_error.is_empty());
    let is_ours = |i: &&DaemonIssue| !super::team_clean::is_ours(i) && !is_said(i);
    let issues: Vec<&DaemonIssue> = status.issues.iter().filter(is_ours).collect();
    if issues.is_empty() {
        return Outcome::passed("none");
    }
    let lines = issues.iter().map(|i| format!("{}: {}{} ({})", i.severity, of_team(i), i.summary, i.kind));
    let message = format!("{} open", issues.len());
    let blocked = issues.iter().any(|i| i.severity != "warning");
    let beside = issues.iter().any(|i| i.kind == IssueKind::DirtyWorkspace.name());
    let of_work = [IssueKind::AgentStuck.name(), IssueKind::SessionStuck.name()];
    let is_work = issues.iter().all(|i| of_work.contains(&i.kind.as_str()));
    let remedy = match beside {
        true => Command::RescueList,
        false if is_work => Command::AgentsStatus,
        false if issues.iter().all(|i| of_team(i).is_empty()) => Command::Sync,
        false => Command::SyncTeams,
    };
    let remedy = Remedy::Ox(remedy);
    let outcome = if blocked { Outcome::failed(message) } else { Outcome::warning(message) };
    outcome.detail(lines).remedy(remedy)
}
