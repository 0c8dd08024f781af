//! Snapshots: what queries are answered from, without asking anybody.

use std::collections::BTreeMap;

use super::clones::CloneState;
use super::cx::Identity;
use super::names::{Id, Key};
use super::records::Record;
use super::shared::{Project, Shared};
use super::wiring::Parts;
use crate::health::{Issue, Metrics, SyncRecord};
use crate::ipc::Snapshot;
use crate::ipc::wire::{DaemonIssue, StatusData, SyncEvent, TeamContextSyncStatus, WorkspaceSyncStatus};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::sync::{Kind, Target, TeamRef};

/// What queries about a project are answered from.
pub(super) fn snapshot(
    parts: &Parts,
    shared: &Shared,
    identity: &Identity,
    id: &Id,
    project: &Project,
    now: Now,
) -> Snapshot {
    let nothing = Record::default();
    let Record { history, metrics: figures, errors, .. } = parts.records.of(id).unwrap_or(&nothing);
    let issues = parts.issues_of(id, project);
    let last_error = history.last_error();
    let ledger = parts.clones.states().get(&Key::Ledger(id.clone()));
    let place = ledger.and_then(|state| state.place.as_ref());
    let teams = teams_of(parts, id, project, now);
    let millis = |d: std::time::Duration| count(d.as_millis().try_into().unwrap_or(usize::MAX));
    let status = StatusData {
        running: true,
        pid: i64::from(identity.pid),
        version: identity.version.clone(),
        workspace_path: parts.presence.newest_path(id, project),
        ledger_path: place.map(|p| p.path.to_string_lossy().into_owned()).unwrap_or_default(),
        last_sync: GoTime(ledger.and_then(|state| state.last_sync)),
        sync_interval_read: project.timing.interval,
        recent_error_count: count(history.recent_errors(now.wall)),
        last_error: last_error.map(|(_, text)| text.to_string()).unwrap_or_default(),
        last_error_time: last_error
            .map(|(at, _)| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .unwrap_or_default(),
        solved_error: history.last_solved().map(|(_, text)| text.to_string()).unwrap_or_default(),
        solved_error_time: GoTime(history.last_solved().map(|(at, _)| at)),
        total_syncs: count(history.syncs().len()),
        syncs_last_hour: count(history.syncs_last_hour(now.wall)),
        avg_sync_time: history.mean(),
        team_contexts: teams.iter().map(older_form).collect(),
        workspaces: by_kind(ledger.filter(|s| s.place.is_some()).map(|s| workspace(s, now)), teams),
        project_team_id: project.primary.clone(),
        inactivity_timeout: project.idle_timeout,
        activity: Some(parts.presence.activity(id, shared)),
        authenticated_user: parts.presence.user(id, now),
        unviewed_error_count: count(errors.unviewed().count()),
        needs_help: !issues.is_empty(),
        issues: issues.into_iter().map(daemon_issue).collect(),
        startup_duration_ms: millis(identity.startup),
        throttle_duration_ms: millis(identity.throttle),
        callers: parts.presence.callers(id),
        sync_metrics: Some(metrics(figures)),
        watching: parts.trees.status(id, now),
        agent_work: parts.agents.shown(now),
        relay: parts.relay.shown(),
        ..StatusData::default()
    };
    Snapshot::new(status, history.syncs().map(sync_event).collect())
}

fn teams_of(parts: &Parts, id: &Id, project: &Project, now: Now) -> Vec<WorkspaceSyncStatus> {
    let of_team = |state: &CloneState| {
        let sources = state.target.team_id().map(|team| project.teams.sources(team)).unwrap_or_default();
        let sources = sources.into_iter().map(|s| s.name().to_string()).collect();
        WorkspaceSyncStatus { sources, ..workspace(state, now) }
    };
    let used = |(key, s): &(&Key, &CloneState)| matches!(key, Key::Team(_)) && s.users.contains(id);
    parts.clones.states().iter().filter(used).map(|(_, state)| of_team(state)).collect()
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

fn workspace(state: &CloneState, now: Now) -> WorkspaceSyncStatus {
    let place = state.place.clone().unwrap_or_default();
    let at = |mono: Mono| {
        let wait = jiff::SignedDuration::try_from(mono.since(now.mono)).unwrap_or_default();
        GoTime(now.wall.checked_add(wait).ok())
    };
    let backoff = state.schedule.backoff();
    let (team, read_only) = match &state.target {
        Target::Ledger { read_only, .. } => (TeamRef::default(), *read_only),
        Target::Team { team, .. } => (team.clone(), team.read_only),
    };
    WorkspaceSyncStatus {
        id: state.name.clone(),
        kind: state.target.kind().name().to_string(),
        path: place.path.to_string_lossy().into_owned(),
        clone_url: place.url,
        exists: place.exists,
        team_id: team.id,
        team_name: team.name,
        team_slug: team.slug,
        last_sync: GoTime(state.last_sync),
        last_error: state.last_error.clone(),
        offline: state.offline,
        untrusted: state.untrusted,
        error_class: state.error_class.map_or_else(String::new, |class| class.to_string()),
        syncing: state.is_at_work(),
        last_gc_time: GoTime(state.last_gc),
        gc_interval_days: state.facts.gc_days.map_or(0, i64::from),
        head: state.facts.head.clone(),
        remote_changed: GoTime(state.facts.remote_changed),
        sync_failures: backoff.map_or(0, |(failures, _)| i64::from(failures)),
        next_sync_attempt: backoff.map_or(GoTime(None), |(_, mono)| at(mono)),
        next_sync: state.schedule.next_run().map_or(GoTime(None), at),
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

fn metrics(m: &Metrics) -> serde_json::Value {
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
