//! Did syncs fail lately?

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "sync-errors",
    name: "sync errors",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return Outcome::not_served() };
    if let Some(clone) = status.workspaces.values().flatten().find(|clone| clone.offline) {
        let text = format!("offline: {}; syncs go on as soon as the host answers", clone.last_error);
        return Outcome::warning(text).remedy(Remedy::Ox(Command::DaemonLogs));
    }
    match status.recent_error_count {
        0 => Outcome::passed("none in the last hour"),
        n => Outcome::warning(format!("{n} in the last hour, the last one: {}", status.last_error))
            .remedy(Remedy::Ox(Command::DaemonLogs)),
    }
}
