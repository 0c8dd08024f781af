//! Are agents' events stored?

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};
use crate::hooks::spool;
use crate::kit::human::count;

pub(super) const CHECK: Check = Check {
    slug: "agent-events",
    name: "agents' events",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let waiting = match spool::late(cx.dirs.data(), cx.now) {
        Ok(Some(waiting)) => waiting,
        Ok(None) => return Outcome::passed("none waits"),
        Err(e) => return Outcome::skipped(format!("cannot be counted: {e}")),
    };
    let many = count(waiting.records, "event");
    match cx.daemon {
        DaemonView::Stopped => {
            Outcome::warning(format!("{many} to be stored")).remedy(Remedy::Ox(Command::DaemonStart))
        }
        _ => Outcome::warning(format!("{many} cannot be stored; the daemon's log says why"))
            .remedy(Remedy::Person("look at the end of: ox daemon logs".to_owned())),
    }
}
