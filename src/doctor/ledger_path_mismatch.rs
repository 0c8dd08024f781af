//! Does the project's machine-local file name the ledger where it is?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::project::LocalConfig;

pub(super) const CHECK: Check = Check {
    slug: "ledger-path-mismatch",
    name: "ledger path in config.local.toml",
    category: Category::Project,
    fix_level: FixLevel::Confirm,
    run,
};

fn run(cx: &Context) -> Outcome {
    let clones = cx.clones();
    let (Some(project), Some(ledger)) = (cx.project.found(), &clones.ledger) else {
        return Outcome::skipped("no project here");
    };
    match LocalConfig::load(&project.root).map(|local| local.ledger()) {
        Ok(Some(named)) if named.path != ledger.at.path => Outcome::warning("names another place")
            .detail([
                format!("named: {}", named.path.display()),
                format!("used: {}", ledger.at.path.display()),
            ])
            .remedy(Remedy::Fix(Fix::NameLedger(project.root.clone(), ledger.at.path.clone()))),
        Ok(_) => Outcome::passed("as it is used"),
        Err(e) => Outcome::skipped(e.to_string()),
    }
}
