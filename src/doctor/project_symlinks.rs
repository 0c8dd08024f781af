//! Do the links in the project lead to its clones?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::sync;

pub(super) const CHECK: Check = Check {
    slug: "project-symlinks",
    name: "links",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found() else { return Outcome::skipped("no project here") };
    let wrong = sync::wrong_links(&cx.site, project);
    if wrong.is_empty() {
        return Outcome::passed("correct");
    }
    let remedy = match wrong.iter().find(|link| link.blocked) {
        Some(blocked) => Remedy::Person(format!("move it away: {}", blocked.text)),
        None => Remedy::Fix(Fix::MakeLinks(project.root.clone())),
    };
    let lines = wrong.into_iter().map(|link| link.text);
    Outcome::warning("some do not lead to their clones").detail(lines).remedy(remedy)
}
