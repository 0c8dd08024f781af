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
    let Some(status) = cx.daemon.status() else { return Outcome::skipped("nobody syncs this project now") };
    match status.unviewed_error_count {
        0 => Outcome::passed("none that nobody has seen"),
        n => Outcome::warning(format!("{n} that nobody has seen")).remedy(Remedy::Ox(Command::DaemonErrors)),
    }
}
