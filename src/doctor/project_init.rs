//! Is there a project here?

use super::{Category, Check, Command, Context, FixLevel, Outcome, ProjectView, Remedy};
use crate::git::is_in_repository;
use crate::project::Error;

pub(super) const CHECK: Check = Check {
    slug: "project-init",
    name: "project",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    match &cx.project {
        ProjectView::Found(project) => Outcome::passed(project.root.display().to_string()),
        ProjectView::None => Outcome::skipped("no project here").remedy(match cx.env.cwd() {
            Some(here) if is_in_repository(here) => Remedy::Ox(Command::Up),
            _ => Remedy::Person("git init, then: ox up".into()),
        }),
        ProjectView::Unreadable(Error::NotInitialized { root }) => {
            Outcome::failed(format!("{} has a .sageox without config.json", root.display()))
                .remedy(Remedy::Ox(Command::Up))
        }
        ProjectView::Unreadable(_) => Outcome::skipped("its settings cannot be read"),
    }
}
