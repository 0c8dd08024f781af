//! Can the project's settings be read?

use super::{Category, Check, Command, Context, FixLevel, Outcome, ProjectView, Remedy};
use crate::project::Error;

pub(super) const CHECK: Check = Check {
    slug: "project-config",
    name: "project settings",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    match &cx.project {
        ProjectView::Found(project) if project.repo_id.is_empty() => {
            Outcome::failed("config.json names no repo_id").remedy(Remedy::Ox(Command::InitForce))
        }
        ProjectView::Found(project) => Outcome::passed(project.repo_id.clone()),
        ProjectView::None | ProjectView::Unreadable(Error::NotInitialized { .. }) => {
            Outcome::skipped("no project here")
        }
        ProjectView::Unreadable(e @ Error::Newer { .. }) => {
            Outcome::failed(e.to_string()).remedy(Remedy::Person("install the newer ox".into()))
        }
        ProjectView::Unreadable(e) => Outcome::failed(e.to_string())
            .remedy(Remedy::Person("git checkout -- .sageox/config.json, or repair it".into())),
    }
}
