//! Are the credentials that a server handed out for git still good?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::project::{CredentialStatus, GitCredentials};

pub(super) const CHECK: Check = Check {
    slug: "git-creds-freshness",
    name: "git credentials",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found() else { return Outcome::skipped("no project here") };
    if project.endpoint.is_local() {
        return Outcome::skipped("the remotes are your own; git asks your own helpers");
    }
    let path = cx.dirs.git_credentials(&project.slug);
    let status = match GitCredentials::load(&cx.dirs, &project.slug) {
        Ok(credentials) => credentials.map_or(CredentialStatus::Missing, |c| c.status(cx.now)),
        Err(e) => CredentialStatus::LoadError(e.to_string()),
    };
    let server = project.endpoint.as_str();
    let outcome = match &status {
        CredentialStatus::Valid => return Outcome::passed("valid"),
        CredentialStatus::ExpiringSoon => Outcome::warning(format!("those for {server} end within the hour")),
        CredentialStatus::Expired => Outcome::failed(format!("those for {server} have ended")),
        CredentialStatus::Missing => Outcome::warning(format!("there are none for {server}")),
        CredentialStatus::LoadError(why) => Outcome::failed(why.clone()),
    };
    outcome.remedy(Remedy::Person(format!("have {server} write new ones into {}", path.display())))
}
