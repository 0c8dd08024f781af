//! Does uncommitted work stand in the way of a team's sync?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::health::IssueKind;
use crate::ipc::wire::DaemonIssue;
use crate::sync::LEDGER;

pub(super) const CHECK: Check = Check {
    slug: "team-context-clean",
    name: "teams' uncommitted work",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

/// Whether this check tells of the issue, and no other does.
pub(super) fn is_ours(issue: &DaemonIssue) -> bool {
    issue.kind == IssueKind::DirtyWorkspace.name() && !issue.repo.is_empty() && issue.repo != LEDGER
}

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    let ours: Vec<&DaemonIssue> = status.issues.iter().filter(|i| is_ours(i)).collect();
    let Some(first) = ours.first() else { return Outcome::passed("nothing in the way") };
    let dir = status.workspaces.values().flatten().find(|w| w.team_id == first.repo);
    let dir = dir.map_or_else(|| format!("the clone of team {}", first.repo), |w| w.path.clone());
    let lines: Vec<String> = ours.iter().map(|i| format!("{}: {}", i.repo, i.summary)).collect();
    Outcome::warning(format!("{} open", ours.len()))
        .detail(lines)
        .remedy(Remedy::Person(format!("settle it in {dir}, then: ox sync --team {}", first.repo)))
}
