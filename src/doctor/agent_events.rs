//! Are agents' events stored?

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};
use crate::hooks::spool;
use crate::kit::human::count;

/// What came in this lately is being stored, in seconds.
const STORED_WITHIN: i64 = 60;

pub(super) const CHECK: Check = Check {
    slug: "agent-events",
    name: "agents' events",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let waiting = match spool::status(cx.dirs.data()) {
        Ok(waiting) => waiting,
        Err(e) => return Outcome::skipped(format!("cannot be counted: {e}")),
    };
    let is_late = waiting.since.is_some_and(|since| cx.now.as_second() - since >= STORED_WITHIN);
    if waiting.records == 0 || !is_late {
        return Outcome::passed("none waits");
    }
    let many = count(waiting.records, "event");
    match cx.daemon {
        DaemonView::Stopped => {
            Outcome::warning(format!("{many} to be stored")).remedy(Remedy::Ox(Command::DaemonStart))
        }
        _ => Outcome::warning(format!("{many} cannot be stored; the daemon's log says why"))
            .remedy(Remedy::Person("look at the end of: ox daemon logs".to_owned())),
    }
}
