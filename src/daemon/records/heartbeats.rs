//! What is written into heartbeat files: a line for the project, one for its ledger, one for each of its teams.

use super::event::{Effect, HeartbeatFile};
use super::{Record, Records};
use crate::daemon::cx::Cx;
use crate::daemon::names::{Id, Key};
use crate::daemon::shared::Project;
use crate::health::beats::{Health, Line};
use crate::kit::gotime::GoTime;

impl Records {
    /// Has the lines of one project written.
    pub(super) fn write_heartbeats(&self, cx: &mut Cx, id: &Id) {
        let Some(project) = cx.shared.project(id).filter(|p| !p.repo_id.is_empty()) else { return };
        let Some(record) = self.projects.get(id) else { return };
        let ledger = cx.shared.clone_row(&Key::Ledger(id.clone()));
        let last_sync = ledger.and_then(|row| row.last_sync);
        let mut lines = vec![(HeartbeatFile::Project, line(cx, project, record, last_sync))];
        for (_, row) in cx.shared.clones_of(id).filter(|(_, r)| r.place.as_ref().is_some_and(|p| p.exists)) {
            let team = row.target.team_id().map(|team| HeartbeatFile::Team(team.to_string()));
            lines.push((team.unwrap_or(HeartbeatFile::Ledger), line(cx, project, record, row.last_sync)));
        }
        let (slug, repo_id) = (project.slug.clone(), project.repo_id.clone());
        cx.push(Effect::WriteHeartbeats { id: id.clone(), slug, repo_id, lines });
    }
}

fn line(cx: &Cx, project: &Project, record: &Record, last_sync: Option<jiff::Timestamp>) -> Line {
    let errors = record.history.recent_errors(cx.now.wall);
    let status = match errors {
        0 if record.has_synced => Health::Healthy,
        0 => Health::Starting,
        _ => Health::Error,
    };
    Line {
        ts: GoTime::from(cx.now.wall),
        pid: cx.identity.pid,
        version: cx.identity.version.split('+').next().unwrap_or_default().to_string(),
        workspace: project.root.to_string_lossy().into_owned(),
        last_sync: GoTime(last_sync),
        status,
        error_count: u32::try_from(errors).unwrap_or(u32::MAX),
    }
}
