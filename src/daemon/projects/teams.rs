//! Which teams a project uses, by what its files and its server say.

use crate::daemon::cx::Cx;
use crate::daemon::fact::Fact;
use crate::daemon::names::Id;
use crate::daemon::shared::Project;
use crate::sync::{Loaded, Source, TeamRef};

/// The project's files have been read. True if what is shown of it has changed.
pub(super) fn take_in(project: &mut Project, loaded: &Loaded) -> bool {
    if project.problems != loaded.problems {
        for problem in &loaded.problems {
            log::warn!("[{}] {problem}", project.label());
        }
        project.problems.clone_from(&loaded.problems);
    }
    let mut changed = project.primary != loaded.primary;
    project.primary.clone_from(&loaded.primary);
    project.slug.clone_from(&loaded.slug);
    project.endpoint.clone_from(&loaded.endpoint);
    for (source, teams) in &loaded.teams {
        changed |= project.teams.replace(*source, teams.iter().cloned());
    }
    changed
}

/// The teams that the server names now. One that it names no longer is taken away, unless somebody else names it, its clone holds
/// anything of its own, or it is not known what else the user may see.
pub(super) fn named(cx: &mut Cx, id: &Id, teams: &[TeamRef]) {
    let Some(project) = cx.shared.projects_mut().get_mut(id) else { return };
    let mut named: Vec<TeamRef> = teams.to_vec();
    let lost: Vec<TeamRef> = project
        .teams
        .teams()
        .into_iter()
        .filter(|t| project.teams.sources(&t.id) == [Source::Api] && !teams.iter().any(|n| n.id == t.id))
        .collect();
    // Kept until it is known what becomes of their clones.
    named.extend(lost.iter().cloned());
    let knows_membership = project.teams.has(Source::Credentials);
    if project.teams.replace(Source::Api, named) {
        cx.stale(id);
        cx.tell(Fact::TeamsChanged(id.clone()));
    }
    if knows_membership && !lost.is_empty() {
        cx.tell(Fact::TeamsLost { id: id.clone(), teams: lost });
    }
}

/// A project's server names a team no longer, and its clone is not needed here.
pub(super) fn gone(cx: &mut Cx, id: &Id, team: &str) {
    let Some(project) = cx.shared.projects_mut().get_mut(id) else { return };
    if project.teams.sources(team) == [Source::Api] && project.teams.forget(Source::Api, team) {
        log::info!("[{}] team {team} is gone: its server names it no longer", project.label());
        cx.stale(id);
        cx.tell(Fact::TeamsChanged(id.clone()));
        // Its link goes, too.
        cx.tell(Fact::FilesChanged(id.clone()));
    }
}
