//! Did syncs fail lately?

use std::path::Path;

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::ipc::wire::WorkspaceSyncStatus;
use crate::kit::Class;
use crate::sync::way_out;

pub(super) const CHECK: Check = Check {
    slug: "sync-errors",
    name: "sync errors",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    let failed: Vec<&WorkspaceSyncStatus> =
        status.workspaces.values().flatten().filter(|clone| !clone.last_error.is_empty()).collect();
    let Some(first) = failed.first() else {
        return match status.recent_error_count {
            0 => Outcome::passed("none in the last hour"),
            n => Outcome::warning(format!("{n} in the last hour, the last one: {}", status.last_error))
                .remedy(Remedy::Ox(Command::DaemonLogs)),
        };
    };
    if failed.iter().all(|clone| clone.offline) {
        let text = format!("offline: {}; syncs go on as soon as the host answers", first.last_error);
        return Outcome::warning(text).remedy(remedy(first));
    }
    if failed.iter().all(|clone| clone.untrusted) {
        return Outcome::warning(first.last_error.clone()).remedy(remedy(first));
    }
    let lines = failed.iter().map(|clone| match clone.team_id.as_str() {
        "" => format!("ledger: {}", clone.last_error),
        team => format!("team {team}: {}", clone.last_error),
    });
    let text = match failed.len() {
        1 => "a clone cannot be synced".to_owned(),
        n => format!("{n} clones cannot be synced"),
    };
    Outcome::failed(text).detail(lines).remedy(remedy(first))
}

/// What leads out, as every page says it.
fn remedy(clone: &WorkspaceSyncStatus) -> Remedy {
    let team = (!clone.team_id.is_empty()).then_some(clone.team_id.as_str());
    let out = Class::named(&clone.error_class)
        .and_then(|class| way_out(class, &clone.last_error, Path::new(&clone.path), &clone.clone_url, team));
    out.map_or(Remedy::Ox(Command::DaemonLogs), Remedy::Person)
}
