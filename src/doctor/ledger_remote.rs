//! Is it known where the ledger comes from, and may that place be used?

use super::{Category, Check, Command, Context, FixLevel, Outcome, Remedy};
use crate::sync;

pub(super) const CHECK: Check = Check {
    slug: "ledger-remote",
    name: "ledger's remote",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found() else { return Outcome::skipped("no project here") };
    let place = match sync::ledger_of(&cx.env, &cx.dirs, project, None) {
        Ok(place) => place,
        Err(e) => {
            return Outcome::failed(e.to_string())
                .remedy(Remedy::Person("correct ledger_url in .sageox/config.json".into()));
        }
    };
    let url = place.remote.display();
    match (&place.untrusted_host, place.remote.local_path()) {
        (Some(host), _) => {
            Outcome::warning(format!("{url}: {host} is not trusted yet")).remedy(Remedy::Ox(Command::Up))
        }
        (None, Some(path)) if place.exists() && !path.exists() => Outcome::failed(format!("{url} is gone"))
            .remedy(Remedy::Person(format!(
                "bring {url} back, or name another place: ox ledger set-remote URL"
            ))),
        _ => Outcome::passed(url),
    }
}
