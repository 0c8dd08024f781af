//! Are there clones of teams that no project names any more?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::daemon::attached_roots;
use crate::git::CloneLock;
use crate::project::Project;
use crate::sync::{self, Kind, Stored};

/// A clone that was synced within this time is somebody's, even if nobody is known.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);

pub(super) const CHECK: Check = Check {
    slug: "orphaned-team-dirs",
    name: "unused team clones",
    category: Category::Machine,
    fix_level: FixLevel::Confirm,
    run,
};

fn run(cx: &Context) -> Outcome {
    let local = crate::project::Endpoint::local().slug();
    // What servers name is not known here, so only teams that name their remotes themselves can be nobody's.
    let ours = |s: &Stored| s.kind == Kind::Team && s.slug == local;
    let stored: Vec<Stored> = sync::stored(&cx.dirs).into_iter().filter(ours).collect();
    let mut unused: Vec<Stored> = stored.into_iter().filter(|s| is_unused(cx, s)).collect();
    if !unused.is_empty() {
        let named = named(cx);
        unused.retain(|s| !named.contains(&s.id));
    }
    if unused.is_empty() {
        return Outcome::passed("none");
    }
    let lines: Vec<String> = unused.iter().map(|s| s.path.display().to_string()).collect();
    let ids = unused.into_iter().map(|s| s.id).collect();
    Outcome::warning(format!(
        "{} unused for a month, and no project that ox knows of names them",
        lines.len()
    ))
    .detail(lines)
    .remedy(Remedy::Fix(Fix::RemoveTeams(ids)))
}

/// A stamp that is old, or none at all in a directory that is there: both say that nobody syncs it.
fn is_unused(cx: &Context, stored: &Stored) -> bool {
    let last = CloneLock::peek(&stored.lock).and_then(|s| s.fetched_at);
    let changed = std::fs::metadata(&stored.path).and_then(|m| m.modified()).ok();
    let changed = changed.and_then(|t| jiff::Timestamp::try_from(t).ok());
    let age = last.max(changed).map(|t| Duration::try_from(cx.now.duration_since(t)).unwrap_or_default());
    age.is_some_and(|age| age > UNUSED)
}

/// The ids that projects name: the one here, and all that the daemon serves or served last.
fn named(cx: &Context) -> BTreeSet<String> {
    let mut roots: BTreeSet<PathBuf> = cx.registry.iter().map(|e| e.root.clone()).collect();
    roots.extend(attached_roots(&cx.dirs));
    roots.extend(cx.project.found().map(|p| p.root.clone()));
    let projects = roots.iter().filter_map(|root| Project::load(root, &cx.env).ok());
    projects.flat_map(|p| p.config.teams()).map(|t| t.team_id).collect()
}
