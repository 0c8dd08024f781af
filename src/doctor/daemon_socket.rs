//! Does the daemon answer, and does it serve this project?

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "daemon-socket",
    name: "daemon answers",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    match &cx.daemon {
        DaemonView::Running(_, Some(_)) => Outcome::passed("serves this project"),
        DaemonView::Running(_, None) if cx.project.found().is_some() => {
            Outcome::skipped("answers, and does not serve this project yet")
                .remedy(Remedy::Ox(Command::DaemonStart))
        }
        DaemonView::Running(_, None) => Outcome::passed("answers"),
        DaemonView::Silent(pid) => {
            Outcome::failed(format!("pid {pid} does not answer")).remedy(Remedy::Ox(Command::DaemonRestart))
        }
        _ => Outcome::skipped("not running"),
    }
}
