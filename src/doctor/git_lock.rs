//! Did git leave lock files in a clone?

use std::time::Duration;

use super::{Category, Check, Context, Fix, FixLevel, Leftovers, Outcome, Remedy};
use crate::git::{LockFile, lock_files};
use crate::kit::human::short;

/// A lock file younger than this may belong to a git that is at work.
const AT_WORK: Duration = Duration::from_secs(600);
/// One older than this blocks the sync for good.
const FOR_GOOD: Duration = Duration::from_secs(3600);

pub(super) const CHECK: Check = Check {
    slug: "git-lock",
    name: "git lock files",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

/// Nobody is at work with it any more.
pub(super) fn is_leftover(file: &LockFile) -> bool {
    file.age > AT_WORK && !matches!(file.owner, Some((_, true)))
}

fn run(cx: &Context) -> Outcome {
    if cx.clones().ledger.is_none() {
        return Outcome::skipped("no ledger is known here");
    }
    let (mut left, mut lines, mut at_work, mut for_good) = (Vec::new(), Vec::new(), false, false);
    for clone in cx.clones().existing() {
        let files = match lock_files(&clone.at.path, cx.now) {
            Ok(files) => files,
            Err(e) => {
                return Outcome::skipped(format!("{} cannot be looked at: {e}", clone.at.path.display()));
            }
        };
        let (old, young): (Vec<LockFile>, Vec<LockFile>) = files.into_iter().partition(is_leftover);
        at_work |= !young.is_empty();
        for_good |= old.iter().any(|f| f.age > FOR_GOOD);
        lines.extend(old.iter().map(|f| format!("{}, {} old", f.path.display(), short(f.age))));
        if !old.is_empty() {
            let files = old.into_iter().map(|f| f.path).collect();
            left.push(Leftovers { clone: clone.at.path.clone(), guard: clone.at.lock.clone(), files });
        }
    }
    if left.is_empty() {
        return Outcome::passed(if at_work { "a git is at work" } else { "none" });
    }
    let message = format!("{} left behind", lines.len());
    let outcome = if for_good { Outcome::failed(message) } else { Outcome::warning(message) };
    outcome.detail(lines).remedy(Remedy::Fix(Fix::RemoveGitLocks(left)))
}
