//! What is written into heartbeat files: a line for the project, one for its ledger, one for each of its teams.

use super::attach::Project;
use super::core::Core;
use super::event::{Effect, Id, Key};
use super::schedule::{BEATS_EVERY, Beat};
use crate::health::beats::{Health, Line};
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;

/// Which heartbeat file of an endpoint a line goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeatFile {
    /// `<repo_id>_<workspace_id>.jsonl`.
    Project,
    /// `<repo_id>_<workspace_id>_ledger.jsonl`.
    Ledger,
    /// `<team_id>.jsonl`: of all daemons the last that writes wins.
    Team(String),
}

/// Has the lines of all projects written.
pub(super) fn due(core: &mut Core, now: Now) {
    core.deadlines.set(Beat::Beats, Some(now.mono + BEATS_EVERY));
    let ids: Vec<Id> = core.projects.keys().cloned().collect();
    ids.iter().for_each(|id| write(core, now, id));
}

/// Has the lines of one project written.
pub(super) fn write(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get(id).filter(|p| !p.repo_id.is_empty()) else { return };
    let clones =
        core.repos.iter().filter(|(_, r)| r.users.contains(id) && r.place.as_ref().is_some_and(|p| p.exists));
    let mut lines = vec![(BeatFile::Project, line(core, project, now, core.last_sync(id)))];
    for (key, repo) in clones {
        let file = match (key, repo.team_id()) {
            (Key::Team(_), Some(team)) => BeatFile::Team(team.to_string()),
            (Key::Ledger(_), _) => BeatFile::Ledger,
            _ => continue,
        };
        lines.push((file, line(core, project, now, repo.last_sync)));
    }
    let (slug, repo_id) = (project.slug.clone(), project.repo_id.clone());
    core.out.push(Effect::WriteBeats { id: id.clone(), slug, repo_id, lines });
}

fn line(core: &Core, project: &Project, now: Now, last_sync: Option<jiff::Timestamp>) -> Line {
    let errors = project.history.recent_errors(now.wall);
    let status = match errors {
        0 if project.has_synced => Health::Healthy,
        0 => Health::Starting,
        _ => Health::Error,
    };
    Line {
        ts: GoTime::from(now.wall),
        pid: core.identity.pid,
        version: core.identity.version.split('+').next().unwrap_or_default().to_string(),
        workspace: project.root.to_string_lossy().into_owned(),
        last_sync: GoTime(last_sync),
        status,
        error_count: u32::try_from(errors).unwrap_or(u32::MAX),
    }
}

/// A sync of a clone has ended, well or not. With the first one of its ledger a project is no longer starting.
pub(super) fn sync_ended(core: &mut Core, now: Now, key: &Key) {
    let Key::Ledger(id) = key else { return };
    if let Some(project) = core.projects.get_mut(id).filter(|p| !p.has_synced) {
        project.has_synced = true;
        write(core, now, id);
    }
}
