//! Snapshots: what queries are answered from, without asking anybody.

use std::collections::BTreeMap;

use super::attach::Project;
use super::core::Core;
use crate::health::{Issue, SyncRecord};
use crate::ipc::Snapshot;
use crate::ipc::wire::{ActivitySummary, DaemonIssue, StatusData, SyncEvent, WorkspaceSyncStatus};
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;
use crate::sync::LEDGER;

impl Core {
    /// Publishes the state of projects that changed since it was last published.
    pub(super) fn publish(&mut self, now: Now) {
        let Core { projects, identity, .. } = self;
        for project in projects.values_mut().filter(|p| p.dirty) {
            project.dirty = false;
            let status = status(project, identity, now);
            let history = project.history.syncs().map(sync_event).collect();
            project.published.publish(Snapshot::new(status, history));
        }
    }
}

fn status(project: &Project, identity: &super::core::Identity, now: Now) -> StatusData {
    let issues = project.issues.sorted();
    let last_error = project.history.last_error();
    StatusData {
        running: true,
        pid: i64::from(identity.pid),
        version: identity.version.clone(),
        workspace_path: project.root.to_string_lossy().into_owned(),
        ledger_path: project
            .place
            .as_ref()
            .map(|p| p.path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        last_sync: GoTime(project.last_sync),
        sync_interval_read: project.interval,
        recent_error_count: count(project.history.recent_errors(now.wall)),
        last_error: last_error.map(|(_, text)| text.to_string()).unwrap_or_default(),
        last_error_time: last_error
            .map(|(at, _)| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .unwrap_or_default(),
        total_syncs: count(project.history.syncs().len()),
        syncs_last_hour: count(project.history.syncs_last_hour(now.wall)),
        avg_sync_time: project.history.mean(),
        workspaces: workspaces(project),
        project_team_id: project.team_id.clone(),
        inactivity_timeout: project.idle_timeout,
        activity: Some(ActivitySummary::default()),
        needs_help: !issues.is_empty(),
        issues: issues.into_iter().map(daemon_issue).collect(),
        startup_duration_ms: count(identity.startup.as_millis().try_into().unwrap_or(usize::MAX)),
        throttle_duration_ms: count(identity.throttle.as_millis().try_into().unwrap_or(usize::MAX)),
        sync_metrics: Some(metrics(project)),
        ..StatusData::default()
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn workspaces(project: &Project) -> BTreeMap<String, Vec<WorkspaceSyncStatus>> {
    let Some(place) = &project.place else { return BTreeMap::new() };
    let ledger = WorkspaceSyncStatus {
        id: LEDGER.to_string(),
        kind: LEDGER.to_string(),
        path: place.path.to_string_lossy().into_owned(),
        clone_url: place.url.clone(),
        exists: place.exists,
        last_sync: GoTime(project.last_sync),
        last_error: project.last_error.clone(),
        syncing: project.cloning || project.schedule.running().is_some(),
        ..WorkspaceSyncStatus::default()
    };
    BTreeMap::from([(LEDGER.to_string(), vec![ledger])])
}

fn daemon_issue(issue: Issue) -> DaemonIssue {
    DaemonIssue {
        kind: issue.kind.name().to_string(),
        severity: issue.kind.severity().name().to_string(),
        repo: issue.repo,
        summary: issue.summary,
        since: GoTime::from(issue.since),
        requires_confirm: issue.kind.requires_confirm(),
    }
}

fn sync_event(record: &SyncRecord) -> SyncEvent {
    SyncEvent {
        time: GoTime::from(record.time),
        kind: record.kind.name().to_string(),
        workspace_id: record.workspace.clone(),
        duration: record.took,
        files_changed: i64::try_from(record.files_changed).unwrap_or(i64::MAX),
    }
}

fn metrics(project: &Project) -> serde_json::Value {
    let m = &project.metrics;
    let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    serde_json::json!({
        "pull_success_count": m.pulls,
        "pull_failure_count": m.failures,
        "conflict_count": m.conflicts,
        "divergence_count": m.divergences,
        "last_pull_success": GoTime(m.last_success),
        "last_pull_failure": GoTime(m.last_failure),
        "last_conflict": GoTime(m.last_conflict),
        "avg_pull_duration": nanos(m.mean()),
        "p95_pull_duration": nanos(m.p95()),
    })
}
