//! Does the committed configuration still say where the ledger and the teams are?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::kit::mask::sanitise;
use crate::project::Project;
use crate::sync;

pub(super) const CHECK: Check = Check {
    slug: "config-keys",
    name: "keys of the settings",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found() else { return Outcome::skipped("no project here") };
    // Read now: a remedy may have put the keys back since.
    let lost = match Project::load(&project.root, &cx.env) {
        Ok(project) => sync::lost(&cx.dirs, &project),
        Err(e) => return Outcome::skipped(e.to_string()),
    };
    if lost.is_empty() {
        return Outcome::passed("complete");
    }
    let ledger = lost.ledger_url.as_ref().map(|url| format!("the ledger is at {}", sanitise(url)));
    let teams = lost.teams.iter().map(|team| format!("team {} at {}", team.team_id, sanitise(&team.url)));
    let known: Vec<String> = ledger.into_iter().chain(teams).collect();
    Outcome::warning(format!("{}: {}", lost.text(), known.join(", ")))
        .remedy(Remedy::Fix(Fix::PutKeysBack(project.root.clone())))
}
