//! Is the daemon there?

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "daemon-running",
    name: "daemon",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    match &cx.daemon {
        DaemonView::Running(pid, _) | DaemonView::Silent(pid) => {
            Outcome::passed(format!("running, pid {pid}"))
        }
        DaemonView::Starting(pid) => Outcome::skipped(format!("starting, pid {pid}")),
        DaemonView::Stopped => Outcome::skipped("not running").remedy(Remedy::Ox(Command::DaemonStart)),
        DaemonView::Stuck(pid) => Outcome::failed(format!("pid {pid} holds the lock and never became ready"))
            .remedy(Remedy::Ox(Command::DaemonRestart)),
        DaemonView::Unknown(why) => {
            Outcome::failed(format!("cannot be looked at: {why}")).remedy(Remedy::Ox(Command::DaemonRestart))
        }
    }
}
