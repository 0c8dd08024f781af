//! Is there a git, and is it new enough?

use std::sync::Arc;

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::git::{Env, Git, GitError, Profile};
use crate::kit::cancel::Cancel;
use crate::kit::clock::SystemClock;

pub(super) const CHECK: Check = Check {
    slug: "git-version",
    name: "git",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let seen = ["PATH", "HOME"].into_iter().filter_map(|n| Some((n.into(), cx.env.get_os(n)?.to_owned())));
    let git = Git::new(Profile::SelfHosted, Env::of(seen), Arc::new(SystemClock), "doctor");
    let install = || Remedy::Person("install git 2.30 or newer".into());
    match git.version(&Cancel::new()) {
        Ok(version) => Outcome::passed(format!("version {}.{}", version.0, version.1)),
        Err(GitError::NotInstalled) => Outcome::failed("not found on PATH").remedy(install()),
        Err(e @ GitError::TooOld(_)) => Outcome::failed(e.to_string()).remedy(install()),
        Err(e) => Outcome::failed(e.to_string()).remedy(install()),
    }
}
