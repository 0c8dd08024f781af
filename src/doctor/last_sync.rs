//! Was the ledger synced lately?

use std::time::Duration;

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};
use crate::kit::human::{compact, short};

/// A sync older than this deserves attention.
const OLD: Duration = Duration::from_secs(3600);

pub(super) const CHECK: Check = Check {
    slug: "last-sync",
    name: "last sync",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    let sync = Remedy::Ox(Command::Sync);
    match status.last_sync.0 {
        None if status.uptime < DaemonView::GRACE => Outcome::skipped("not yet"),
        None => Outcome::warning(format!("none in {} of uptime", compact(status.uptime))).remedy(sync),
        Some(last) => {
            let age = Duration::try_from(cx.now.duration_since(last)).unwrap_or_default();
            let text = format!("{} ago", short(age));
            if age > OLD { Outcome::warning(text).remedy(sync) } else { Outcome::passed(text) }
        }
    }
}
