//! What the daemon leaves to a person.

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "sync-issues",
    name: "sync issues",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return Outcome::skipped("nobody syncs this project now") };
    if status.issues.is_empty() {
        return Outcome::passed("none");
    }
    let lines = status.issues.iter().map(|i| format!("{}: {} ({})", i.severity, i.summary, i.kind));
    let message = format!("{} open", status.issues.len());
    let blocked = status.issues.iter().any(|i| i.severity != "warning");
    let outcome = if blocked { Outcome::failed(message) } else { Outcome::warning(message) };
    outcome.detail(lines).remedy(Remedy::Ox(Command::Sync))
}
