//! Is the daemon the program that its commands are of?

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::daemon::{VERSION, is_newer, shown_version};

/// A newer command makes the daemon restart by itself when it calls, so nothing is left to be done here without a word.
pub(super) const CHECK: Check = Check {
    slug: "daemon-version",
    name: "daemon version",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(status) = cx.daemon.status() else { return cx.not_served() };
    let bare = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    let theirs = &status.version;
    if bare(theirs) != bare(VERSION) || is_newer(VERSION, theirs) {
        Outcome::warning(format!(
            "the daemon is {}, this command {}",
            shown_version(theirs),
            shown_version(VERSION)
        ))
        .remedy(Remedy::Ox(Command::DaemonRestart))
    } else {
        Outcome::passed(shown_version(theirs))
    }
}
