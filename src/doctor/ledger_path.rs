//! Is the ledger's clone there and sound?

use super::clone_paths::{CloneCheck, MAY_BE_CLONED, outcome, probe};
use super::{Category, Check, Context, Outcome};

pub(super) const CHECK: Check =
    Check { slug: "ledger-path", name: "ledger", category: Category::Project, fix_level: MAY_BE_CLONED, run };

fn run(cx: &Context) -> Outcome {
    let clones = cx.clones();
    let Some(ledger) = &clones.ledger else { return Outcome::skipped("no ledger is known here") };
    match probe(&ledger.at) {
        CloneCheck::Sound => Outcome::passed(ledger.at.path.display().to_string()),
        found => outcome(vec![(ledger.clone(), found)]),
    }
}
