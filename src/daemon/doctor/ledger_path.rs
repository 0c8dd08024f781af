//! Is the ledger's clone there and sound?

use super::context::Ledger;
use super::{Category, Check, Command, Context, Fix, FixLevel, Outcome, Remedy};
use crate::git::{CloneLock, Verdict, verify};

pub(super) const CHECK: Check = Check {
    slug: "ledger-path",
    name: "ledger",
    category: Category::Project,
    fix_level: FixLevel::Confirm,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(Ledger { clone, guard }) = cx.ledger() else {
        return Outcome::skipped("no ledger is known here");
    };
    let shown = clone.display();
    if std::fs::symlink_metadata(&clone).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        let fetched = CloneLock::peek(&guard).is_some_and(|s| s.fetched_at.is_some());
        let outcome = if fetched {
            Outcome::failed(format!("{shown} was there and is gone"))
        } else {
            Outcome::skipped("not cloned yet")
        };
        return outcome.remedy(Remedy::Ox(Command::Sync));
    }
    match verify(&clone) {
        Verdict::Sound => Outcome::passed(shown.to_string()),
        Verdict::Damaged(why) => {
            Outcome::failed(format!("{shown}: {why}")).remedy(Remedy::Fix(Fix::SetAside(clone.clone())))
        }
        Verdict::Unknown(e) => Outcome::skipped(format!("{shown} cannot be looked at: {e}")),
    }
}
