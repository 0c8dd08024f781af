//! Do files of the ledger wait for somebody to commit them?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::git::uncommitted;
use crate::kit::cancel::Cancel;
use crate::kit::shell;

/// So many are named.
const NAMED: usize = 5;

pub(super) const CHECK: Check = Check {
    slug: "uncommitted-files",
    name: "uncommitted files",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let clones = cx.clones();
    let Some(ledger) = clones.ledger.as_ref().filter(|clone| clone.at.exists()) else {
        return Outcome::skipped("no ledger is here");
    };
    match uncommitted(cx.site.git(ledger.at.self_hosted), &ledger.at.path, &Cancel::new()) {
        Err(e) => Outcome::skipped(format!("the ledger cannot be looked at: {e}")),
        Ok(files) if files.is_empty() => Outcome::passed("none"),
        Ok(files) => {
            let dir = shell::word(&ledger.at.path.to_string_lossy());
            let named = files.iter().take(NAMED).map(|file| file.display().to_string());
            Outcome::warning(format!("{} in the ledger, which stay on this machine", files.len()))
                .detail(named)
                .remedy(Remedy::Person(format!("git -C {dir} add -A && git -C {dir} commit")))
        }
    }
}
