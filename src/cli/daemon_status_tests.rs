//! Both forms of `ox daemon status` at a fixed time.

use std::collections::BTreeMap;

use super::super::live::Absent;
use super::*;
use serde_json::Value;

use crate::daemon::VERSION as WIRE;
use crate::ipc::wire::{ActivityEntry, ActivitySummary, AuthenticatedUser, CallerInfo};
use crate::kit::gotime::GoTime;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn ago(secs: i64) -> GoTime {
    GoTime(Some(Timestamp::from_second(now().as_second() - secs).unwrap()))
}

fn running() -> StatusData {
    let ledger = WorkspaceSyncStatus {
        id: "ledger".into(),
        kind: "ledger".into(),
        path: "/home/ann/.local/share/sageox/local/ledgers/repo_1".into(),
        exists: true,
        last_sync: ago(42),
        ..WorkspaceSyncStatus::default()
    };
    StatusData {
        running: true,
        pid: 4711,
        version: WIRE.into(),
        uptime: Duration::from_secs(7_500),
        workspace_path: "/home/ann/src/p".into(),
        ledger_path: ledger.path.clone(),
        last_sync: ago(42),
        sync_interval_read: Duration::from_secs(300),
        total_syncs: 12,
        avg_sync_time: Duration::from_millis(45),
        workspaces: BTreeMap::from([("ledger".into(), vec![ledger])]),
        startup_duration_ms: 12,
        ..StatusData::default()
    }
}

fn page(data: &StatusData, history: &[SyncEvent], verbose: bool) -> String {
    let home = Path::new("/home/ann");
    let page = Page { data, history, wire_version: WIRE, home, verbose, now: now(), paint: Paint::PLAIN };
    text(&Report::new(data, now()), &page).replace(crate::cli::commands::version::OURS, "X.Y.Z")
}

fn json(data: &StatusData) -> String {
    let text = serde_json::to_string_pretty(&Report::new(data, now())).unwrap();
    text.replace(crate::cli::commands::version::OURS, "X.Y.Z")
}

fn never_synced() -> StatusData {
    let mut data = running();
    data.last_sync = GoTime(None);
    data.total_syncs = 0;
    data.avg_sync_time = Duration::ZERO;
    data.uptime = Duration::from_millis(300);
    for w in data.workspaces.values_mut().flatten() {
        w.last_sync = GoTime(None);
    }
    data
}

fn failing() -> StatusData {
    let mut data = running();
    data.recent_error_count = 5;
    data.last_error = "fatal: unable to access 'https://h/': Could not resolve host: h".into();
    data.last_error_time = "2026-03-01T11:55:00Z".into();
    for w in data.workspaces.values_mut().flatten() {
        w.last_error = data.last_error.clone();
    }
    data
}

fn with_issues() -> StatusData {
    let issue = |kind: &str, severity: &str, summary: &str, since| DaemonIssue {
        kind: kind.into(),
        severity: severity.into(),
        repo: "ledger".into(),
        summary: summary.into(),
        since,
        requires_confirm: false,
    };
    let mut data = running();
    data.inactivity_timeout = Duration::from_secs(3_600);
    data.time_since_activity = Duration::from_secs(1_800);
    data.issues = vec![
        issue("merge_conflict", "error", "both sides changed data/x.json", ago(7_200)),
        issue("dirty_workspace", "warning", "kept in refs/ox/rescue/1", GoTime(None)),
    ];
    data
}

#[test]
fn cli_09_a_running_daemon() {
    insta::assert_snapshot!(page(&running(), &[], false), @r"
    ● Healthy — ~/src/p
      ledger   synced 42s ago, every 5m
      syncs    12, 45ms on average, 0 errors
      daemon   vX.Y.Z, running for 2h 5m, pid 4711
    ");
    insta::assert_snapshot!(json(&running()), @r#"
    {
      "running": true,
      "health": "healthy",
      "pid": 4711,
      "version": "X.Y.Z",
      "wire_version": "0.6.1+rs.X.Y.Z",
      "uptime": "2h 5m",
      "ledger_path": "/home/ann/.local/share/sageox/local/ledgers/repo_1",
      "last_sync": "2026-03-01T11:59:18Z",
      "sync": {
        "repos": 1,
        "interval": "5m",
        "total_syncs": 12,
        "avg_time": "45ms",
        "errors": 0
      },
      "project": {
        "ledger": {
          "status": "ok",
          "path": "/home/ann/.local/share/sageox/local/ledgers/repo_1",
          "last_sync": "2026-03-01T11:59:18Z"
        }
      },
      "other_teams": [],
      "issues": []
    }
    "#);
}

#[test]
fn cli_09_a_daemon_that_has_never_synced() {
    insta::assert_snapshot!(page(&never_synced(), &[], false), @r"
    ● Healthy — ~/src/p
      ledger   never synced, every 5m
      syncs    0, 0 errors
      daemon   vX.Y.Z, running for <1s, pid 4711
    ");
    let json: Value = serde_json::from_str(&json(&never_synced())).unwrap();
    assert_eq!(json["project"]["ledger"]["status"], "not_synced");
    assert!(json.get("last_sync").is_none());
}

#[test]
fn cli_09_a_daemon_with_errors_says_so_once_and_in_words() {
    insta::assert_snapshot!(page(&failing(), &[], false), @r"
    ◐ Needs attention — ~/src/p
      ledger   the server's name could not be resolved
      syncs    12, 45ms on average, 5 errors
      daemon   vX.Y.Z, running for 2h 5m, pid 4711
    ");
}

#[test]
fn cli_09_a_daemon_with_issues_a_timeout_and_history() {
    let event = |secs, kind: &str| SyncEvent {
        time: ago(secs),
        kind: kind.into(),
        workspace_id: "ledger".into(),
        duration: Duration::from_millis(31),
        files_changed: 2,
    };
    let history = [event(7_000, "pull"), event(400, "push"), event(42, "pull"), event(-60, "pull")];
    insta::assert_snapshot!(page(&with_issues(), &history, true), @r"
    ◐ Needs attention — ~/src/p
      ledger   synced 42s ago, every 5m
      problem  ledger: both sides changed data/x.json (2h ago)
      problem  ledger: kept in refs/ox/rescue/1
      syncs    12, 45ms on average, 0 errors
      daemon   vX.Y.Z, running for 2h 5m, pid 4711, ends in 30m unless it is used
      clone    ~/.local/share/sageox/local/ledgers/repo_1
      started  in 12ms
      history  12:01:00  pull, 31ms, 2 files
               11:59:18  pull, 31ms, 2 files
               11:53:20  push, 31ms, 2 files
               10:03:20  pull, 31ms, 2 files
      activity ▁▁▁▁▁▁▁▁▁▁▁▁|▁▁▁▁▁▁▁▁▁▁▁▁|█▁▁▁▁▁▁▁▁▁▁▁|▁▁▁▁▁▁▁▁▁▁██
               4h ago                  2h                      now
    next: ox rescue list
    ");
}

fn with_teams() -> StatusData {
    let team = |id: &str, name: &str| WorkspaceSyncStatus {
        id: id.into(),
        kind: "team-context".into(),
        path: format!("/home/ann/.local/share/sageox/local/teams/{id}"),
        exists: true,
        team_id: id.into(),
        team_name: name.into(),
        last_sync: ago(120),
        ..WorkspaceSyncStatus::default()
    };
    let own = WorkspaceSyncStatus {
        last_gc_time: ago(86_400),
        remote_changed: ago(7_200),
        ..team("platform", "Platform")
    };
    let late = WorkspaceSyncStatus {
        last_gc_time: ago(4 * 86_400),
        gc_interval_days: 3,
        last_error: "connection refused".into(),
        ..team("design", "")
    };
    let absent = WorkspaceSyncStatus { exists: false, last_sync: GoTime(None), ..team("ops", "Operations") };
    let mut data = running();
    data.workspaces.insert("team-context".into(), vec![late, absent, own]);
    data.project_team_id = "platform".into();
    data
}

#[test]
fn cli_09_a_project_with_teams() {
    insta::assert_snapshot!(page(&with_teams(), &[], false), @r"
    ● Healthy — ~/src/p
      ledger   synced 42s ago, every 5m
      team     Platform — synced 2m ago, gc in 6d
      team     design — the server refused the connection, gc due
      team     Operations — not cloned yet
      syncs    12, 45ms on average, 0 errors
      daemon   vX.Y.Z, running for 2h 5m, pid 4711
    ");
    let verbose = page(&with_teams(), &[], true);
    let own = verbose.lines().find(|l| l.contains("Platform")).unwrap();
    assert_eq!(
        own.trim(),
        "team     Platform — synced 2m ago, gc in 6d (last 1d ago), remote changed 2h ago"
    );
    let json: Value = serde_json::from_str(&json(&with_teams())).unwrap();
    assert_eq!(json["sync"]["repos"], 4);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["project"]["team_context"]).unwrap(), @r#"
    {
      "team_id": "platform",
      "team_name": "Platform",
      "status": "ok",
      "path": "/home/ann/.local/share/sageox/local/teams/platform",
      "last_sync": "2026-03-01T11:58:00Z",
      "remote_changed": "2026-03-01T10:00:00Z",
      "gc_status": "in 144h"
    }
    "#);
    let others = json["other_teams"].as_array().unwrap();
    let told: Vec<String> =
        others.iter().map(|t| format!("{} {} {}", t["team_name"], t["status"], t["gc_status"])).collect();
    assert_eq!(
        told,
        [r#""design" "error" "due""#, r#""Operations" "not_cloned" "due""#],
        "a name is never empty"
    );
    let without_own = StatusData { project_team_id: String::new(), ..with_teams() };
    assert_eq!(page(&without_own, &[], false).matches("\n  team     ").count(), 3);
}

#[test]
fn with_more_detail_the_page_says_who_is_there_and_how_syncs_went() {
    let entry = |key: &str, ages: &[i64]| ActivityEntry {
        key: key.into(),
        count: ages.len() as i64,
        last: ago(*ages.last().unwrap()),
        timestamps: ages.iter().map(|a| ago(*a)).collect(),
    };
    let caller = |path: &str, agent: &str, age| CallerInfo {
        id: "0123abcd".into(),
        path: path.into(),
        last_seen: ago(age),
        agent_id: agent.into(),
    };
    let data = StatusData {
        unviewed_error_count: 2,
        callers: vec![caller("/home/ann/src/p", "OxAb12", 5), caller("/home/ann/tree\u{1b}[2J", "", 3_600)],
        authenticated_user: Some(AuthenticatedUser { email: "ann@example.com".into(), id: "1".into() }),
        throttle_duration_ms: 5_000,
        activity: Some(ActivitySummary {
            repos: vec![entry("/home/ann/src/p", &[70, 5])],
            agents: vec![entry("OxAb12", &[4_000, 700, 5]), entry("OxCd34", &[800])],
            ..ActivitySummary::default()
        }),
        sync_metrics: Some(serde_json::json!({
            "pull_success_count": 12, "pull_failure_count": 1, "conflict_count": 0, "divergence_count": 1,
            "avg_pull_duration": 45_000_000, "p95_pull_duration": 120_000_000,
        })),
        ..running()
    };
    insta::assert_snapshot!(page(&data, &[], true), @r"
    ● Healthy — ~/src/p
      ledger   synced 42s ago, every 5m
      unread   2 errors: ox daemon errors
      syncs    12, 45ms on average, 0 errors
      daemon   vX.Y.Z, running for 2h 5m, pid 4711
      caller   ~/src/p OxAb12, 5s ago
      caller   ~/tree, 1h ago
      clone    ~/.local/share/sageox/local/ledgers/repo_1
      login    ann@example.com
      started  in 12ms (held back 5.0s)
      pulls    12 ok, 1 failed, 45ms avg, 120ms p95; 0 conflicts, 1 divergence
      repos    1, newest ~/src/p 5s ago
      agents   2, newest OxAb12 5s ago
               ▁▁▁▁▁▁▁▁▁▁▁▁|▁▁▁▁▁▁▁▁▁▁▁▁|▁▁▁▁▁▁▁▁▁▁▄▁|▁▁▁▁▁▁▁▁▁█▁▄
               4h ago                  2h                      now
    ");
    let plain = page(&data, &[], false);
    assert!(plain.contains("unread   2 errors: ox daemon errors"), "{plain}");
    assert!(!plain.contains("started"));
}

#[test]
fn health_follows_errors_first_then_age() {
    let check = |errors, last: GoTime, expected| {
        let data = StatusData { recent_error_count: errors, last_sync: last, ..running() };
        assert_eq!(Health::of(&data, now()), expected, "{errors} {last:?}");
    };
    check(5, ago(1), Health::Critical);
    check(4, ago(1), Health::Warning);
    check(0, ago(1_201), Health::Warning);
    check(0, ago(1_200), Health::Healthy);
    check(0, GoTime(None), Health::Healthy);
    check(0, ago(-500), Health::Healthy);
    // One fact, one verdict: what is wrong with a clone counts on every page.
    let clone = |change: fn(&mut WorkspaceSyncStatus)| {
        let mut data = StatusData { last_sync: ago(1), ..running() };
        let mut w = WorkspaceSyncStatus { exists: true, last_sync: ago(1), ..WorkspaceSyncStatus::default() };
        change(&mut w);
        data.workspaces = [("ledger".to_owned(), vec![w])].into();
        data
    };
    let issue = |kind: IssueKind| DaemonIssue {
        kind: kind.name().into(),
        severity: "error".into(),
        repo: "ledger".into(),
        summary: String::new(),
        since: GoTime(None),
        requires_confirm: false,
    };
    assert_eq!(Health::of(&clone(|w| w.offline = true), now()), Health::Offline);
    let mut untrusted = clone(|w| w.untrusted = true);
    untrusted.issues = vec![issue(IssueKind::CloneFailed)];
    assert_eq!(Health::of(&untrusted, now()), Health::Untrusted);
    untrusted.issues.push(issue(IssueKind::MergeConflict));
    assert_eq!(Health::of(&untrusted, now()), Health::Warning);
}

#[test]
fn a_clone_is_in_the_first_state_that_fits() {
    let state = |change: fn(&mut WorkspaceSyncStatus)| {
        let mut w = WorkspaceSyncStatus { exists: true, last_sync: ago(1), ..WorkspaceSyncStatus::default() };
        change(&mut w);
        Workspace::of(&w).status
    };
    assert_eq!(state(|w| w.exists = false), State::NotCloned);
    assert_eq!(state(|w| (w.last_error, w.syncing) = ("x".into(), true)), State::Error);
    assert_eq!(state(|w| w.syncing = true), State::Syncing);
    assert_eq!(state(|w| w.last_sync = GoTime(None)), State::NotSynced);
    assert_eq!(state(|_| ()), State::Ok);
}

#[test]
fn another_version_is_named() {
    let data = StatusData { version: "0.3.0+2026-01-01T00:00:00Z".into(), ..running() };
    let page = page(&data, &[], false);
    assert!(page.contains("  daemon   v0.3.0, running"), "{page}");
    assert!(page.contains("  version  this program is v0.6.1: ox daemon restart"), "{page}");
}

#[test]
fn every_other_state_has_its_text_json_and_exit_code() {
    let mut all = String::new();
    for absent in [
        Absent::NotRunning { in_project: true },
        Absent::NotRunning { in_project: false },
        Absent::Starting { pid: 7 },
        Absent::Stuck { pid: 7 },
        Absent::Unresponsive { pid: 7 },
        Absent::NotServed { pid: 7 },
        Absent::NoProject { pid: 7 },
    ] {
        let (code, json) = (absent.exit().code(), absent.to_json());
        all.push_str(&format!("{code} {json}\n{}\n", absent.text(Paint::PLAIN)));
    }
    insta::assert_snapshot!(all, @r#"
    3 {"running":false}
    ○ Not running — ox up and ox sync start it when they need it
    next: ox daemon start
    3 {"running":false}
    ○ Not running — and there is no project here
    next: ox init
    4 {"running":false,"starting":true,"pid":7}
    ◐ Starting — pid 7
    4 {"running":false,"stuck":true,"pid":7}
    ⚠ Stuck — pid 7 never became ready
    next: ox daemon restart
    4 {"running":true,"responsive":false,"pid":7}
    ⚠ Not answering — pid 7
    next: ox daemon restart
    3 {"running":false,"host_running":true,"pid":7}
    ○ Not running for this project — pid 7 serves others
    next: ox daemon start
    0 {"running":true,"pid":7}
    ● Running — pid 7; there is no project here
    next: ox daemon list
    "#);
}
