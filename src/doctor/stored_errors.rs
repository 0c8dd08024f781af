//! Have failures been stored that nobody has seen?

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "stored-errors",
    name: "stored errors",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    match status.unviewed_error_count {
        0 => Outcome::passed("no unread errors"),
        n => Outcome::warning(format!("{n} unread")).remedy(Remedy::Ox(Command::DaemonErrors)),
    }
}
