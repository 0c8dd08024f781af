//! Snapshots: what queries are answered from, without asking anybody.

use std::collections::BTreeMap;

use super::attach::Project;
use super::core::Core;
use super::event::{Id, Key};
use super::presence::SHOW_WITHIN;
use super::repo::Repo;
use super::schedule::Beat;
use crate::health::{Issue, SyncRecord};
use crate::ipc::Snapshot;
use crate::ipc::wire::{
    DaemonIssue, StatusData, SyncEvent, TeamContextSyncStatus, WatchingStatus, WorkspaceSyncStatus,
};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::sync::{Kind, Target, TeamRef};
use crate::watch::Counters;

impl Core {
    /// Publishes the state of projects that changed since it was last published. What heartbeats tell waits a moment for more.
    pub(super) fn publish(&mut self, now: Now) {
        let mut dirty: Vec<Id> = Vec::new();
        for (id, project) in self.projects.iter().filter(|(_, p)| p.dirty || p.beaten) {
            let show_at = project.shown + SHOW_WITHIN;
            if project.dirty || show_at <= now.mono {
                dirty.push(id.clone());
            } else {
                self.deadlines.set(Beat::Show(id.clone()), Some(show_at));
            }
        }
        for id in dirty {
            let Some(project) = self.projects.get(&id) else { continue };
            let status = self.status(&id, project, now);
            let history = project.history.syncs().map(sync_event).collect();
            project.published.publish(Snapshot::new(status, history));
            if let Some(project) = self.projects.get_mut(&id) {
                (project.dirty, project.beaten, project.shown) = (false, false, now.mono);
            }
        }
    }

    fn status(&self, id: &Id, project: &Project, now: Now) -> StatusData {
        let issues = self.issues_of(id);
        let last_error = project.history.last_error();
        let ledger = self.repos.get(&Key::Ledger(id.clone()));
        let place = ledger.and_then(|r| r.place.as_ref());
        let teams = self.teams_of(id, project, now);
        StatusData {
            running: true,
            pid: i64::from(self.identity.pid),
            version: self.identity.version.clone(),
            workspace_path: project.newest_path(),
            ledger_path: place.map(|p| p.path.to_string_lossy().into_owned()).unwrap_or_default(),
            last_sync: GoTime(ledger.and_then(|r| r.last_sync)),
            sync_interval_read: project.timing.interval,
            recent_error_count: count(project.history.recent_errors(now.wall)),
            last_error: last_error.map(|(_, text)| text.to_string()).unwrap_or_default(),
            last_error_time: last_error
                .map(|(at, _)| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                .unwrap_or_default(),
            total_syncs: count(project.history.syncs().len()),
            syncs_last_hour: count(project.history.syncs_last_hour(now.wall)),
            avg_sync_time: project.history.mean(),
            team_contexts: teams.iter().map(older_form).collect(),
            workspaces: by_kind(ledger.filter(|r| r.place.is_some()).map(|r| workspace(r, now)), teams),
            project_team_id: project.primary.clone(),
            inactivity_timeout: project.idle_timeout,
            activity: Some(project.activity()),
            authenticated_user: project.user(now),
            unviewed_error_count: count(project.errors.unviewed().count()),
            needs_help: !issues.is_empty(),
            issues: issues.into_iter().map(daemon_issue).collect(),
            startup_duration_ms: count(self.identity.startup.as_millis().try_into().unwrap_or(usize::MAX)),
            throttle_duration_ms: count(self.identity.throttle.as_millis().try_into().unwrap_or(usize::MAX)),
            callers: project.callers(),
            sync_metrics: Some(metrics(project)),
            watching: self.trees.status(id, now),
            ..StatusData::default()
        }
    }

    fn teams_of(&self, id: &Id, project: &Project, now: Now) -> Vec<WorkspaceSyncStatus> {
        let of_team = |r: &Repo| {
            let sources = r.team_id().map(|team| project.teams.sources(team)).unwrap_or_default();
            let sources = sources.into_iter().map(|s| s.name().to_string()).collect();
            WorkspaceSyncStatus { sources, ..workspace(r, now) }
        };
        let used = |(key, r): &(&Key, &Repo)| matches!(key, Key::Team(_)) && r.users.contains(id);
        self.repos.iter().filter(used).map(|(_, r)| of_team(r)).collect()
    }
}

/// How a work tree is watched; `pending` files have changed and were not told of yet.
pub(super) fn watching(counters: &Counters, pending: u64, now: Now) -> WatchingStatus {
    let ago = |at: Mono| jiff::SignedDuration::try_from(now.mono.since(at)).unwrap_or_default();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    WatchingStatus {
        mode: counters.mode.name().into(),
        reason: counters.mode.reason().map(|reason| reason.advice()).unwrap_or_default(),
        dirs_watched: count(counters.dirs_watched),
        overflows: number(counters.overflows),
        rescans: number(counters.rescans),
        dropped: number(counters.dropped),
        pending: number(pending),
        last_rescan: GoTime(counters.last_rescan.and_then(|at| now.wall.checked_sub(ago(at)).ok())),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn by_kind(
    ledger: Option<WorkspaceSyncStatus>,
    teams: Vec<WorkspaceSyncStatus>,
) -> BTreeMap<String, Vec<WorkspaceSyncStatus>> {
    let all = [(Kind::Ledger, Vec::from_iter(ledger)), (Kind::Team, teams)];
    all.into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(k, list)| (k.name().to_string(), list))
        .collect()
}

fn workspace(repo: &Repo, now: Now) -> WorkspaceSyncStatus {
    let place = repo.place.clone().unwrap_or_default();
    let at = |mono: Mono| {
        let wait = jiff::SignedDuration::try_from(mono.since(now.mono)).unwrap_or_default();
        GoTime(now.wall.checked_add(wait).ok())
    };
    let backoff = repo.schedule.backoff();
    let (team, read_only) = match &repo.target {
        Target::Ledger { read_only, .. } => (TeamRef::default(), *read_only),
        Target::Team { team, .. } => (team.clone(), team.read_only),
    };
    WorkspaceSyncStatus {
        id: repo.name.clone(),
        kind: repo.target.kind().name().to_string(),
        path: place.path.to_string_lossy().into_owned(),
        clone_url: place.url,
        exists: place.exists,
        team_id: team.id,
        team_name: team.name,
        team_slug: team.slug,
        last_sync: GoTime(repo.last_sync),
        last_error: repo.last_error.clone(),
        syncing: repo.holds_slot() || repo.schedule.running().is_some(),
        last_gc_time: GoTime(repo.last_slimmed),
        gc_interval_days: repo.facts.gc_days.map_or(0, i64::from),
        head: repo.facts.head.clone(),
        remote_changed: GoTime(repo.facts.remote_changed),
        sync_failures: backoff.map_or(0, |(failures, _)| i64::from(failures)),
        next_sync_attempt: backoff.map_or(GoTime(None), |(_, mono)| at(mono)),
        next_sync: repo.schedule.next_run().map_or(GoTime(None), at),
        read_only: read_only || place.read_only,
        ..WorkspaceSyncStatus::default()
    }
}

fn older_form(team: &WorkspaceSyncStatus) -> TeamContextSyncStatus {
    TeamContextSyncStatus {
        team_id: team.team_id.clone(),
        team_name: team.team_name.clone(),
        path: team.path.clone(),
        clone_url: team.clone_url.clone(),
        last_sync: team.last_sync,
        last_error: team.last_error.clone(),
        exists: team.exists,
    }
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
        "team_sync_count": m.team_syncs,
        "team_sync_error_count": m.team_failures,
        "last_pull_success": GoTime(m.last_success),
        "last_pull_failure": GoTime(m.last_failure),
        "last_conflict": GoTime(m.last_conflict),
        "avg_pull_duration": nanos(m.mean()),
        "p95_pull_duration": nanos(m.p95()),
    })
}
