//! Did git leave lock files in the ledger's clone?

use std::time::Duration;

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::git::{LockFile, lock_files};

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
    let Some(ledger) = cx.ledger() else { return Outcome::skipped("no ledger is known here") };
    let files = match lock_files(&ledger.clone, cx.now) {
        Ok(files) => files,
        Err(e) => return Outcome::skipped(format!("cannot be looked at: {e}")),
    };
    let left: Vec<&LockFile> = files.iter().filter(|f| is_leftover(f)).collect();
    if left.is_empty() {
        return Outcome::passed(if files.is_empty() { "none" } else { "a git is at work" });
    }
    let lines = left.iter().map(|f| format!("{}, {} min old", f.path.display(), f.age.as_secs() / 60));
    let message = format!("{} left behind", left.len());
    let outcome = if left.iter().any(|f| f.age > FOR_GOOD) {
        Outcome::failed(message)
    } else {
        Outcome::warning(message)
    };
    outcome.detail(lines).remedy(Remedy::Fix(Fix::RemoveGitLocks {
        files: left.iter().map(|f| f.path.clone()).collect(),
        clone: ledger.clone,
        guard: ledger.guard,
    }))
}
