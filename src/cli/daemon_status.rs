//! `ox daemon status`: one struct, from which both the JSON and the text are made. Pure.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::daemon_internals;
use super::ui::text::{age, clean, compact, count, relative, row, short, tilde, took};
use super::ui::{Paint, Tone, sparkline};
use crate::daemon::{is_ours, shown_version};
use crate::health::IssueKind;
use crate::ipc::wire::{DaemonIssue, StatusData, SyncEvent, WatchingStatus, WorkspaceSyncStatus};
use crate::kit::Class;
use crate::sync::LEDGER;
use crate::sync::reclone::INTERVAL_DAYS;

/// So many recent errors are critical.
const ERRORS_CRITICAL: i64 = 5;
/// So many intervals without a sync are a warning.
const STALE_INTERVALS: u32 = 4;

/// The document of `ox daemon status --json` while the daemon runs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    running: bool,
    health: Health,
    pub(super) pid: i64,
    version: String,
    wire_version: String,
    uptime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) ledger_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync: Option<Timestamp>,
    sync: Sync,
    project: Project,
    other_teams: Vec<TeamContext>,
    issues: Vec<Issue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watching: Option<WatchingStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_exit_in: Option<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Fine.
    Healthy,
    /// A host does not answer; nothing else is wrong, and nobody here can do anything about it.
    Offline,
    /// A host is not trusted yet; nothing else is wrong.
    Untrusted,
    /// Needs attention.
    Warning,
    /// Needs attention, and goes wrong again and again.
    Critical,
}

#[derive(Clone, Debug, Serialize)]
struct Sync {
    repos: usize,
    interval: String,
    total_syncs: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_time: Option<String>,
    errors: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
struct Project {
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<Workspace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_context: Option<TeamContext>,
}

/// The context of a team.
#[derive(Clone, Debug, Serialize)]
struct TeamContext {
    team_id: String,
    team_name: String,
    #[serde(flatten)]
    clone: Workspace,
    gc_status: String,
    #[serde(skip)]
    gc_left: Option<Duration>,
    #[serde(skip)]
    last_gc: Option<Timestamp>,
}

/// One clone that is kept current.
#[derive(Clone, Debug, Serialize)]
struct Workspace {
    status: State,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_changed: Option<Timestamp>,
}

/// How a clone stands, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is not there.
    #[default]
    NotCloned,
    /// Its last sync failed, or it is damaged.
    Error,
    /// Its host did not answer the last time.
    Offline,
    /// At work now.
    Syncing,
    /// There, and not known to have ever been level.
    NotSynced,
    /// Level when last looked at.
    Ok,
}

impl State {
    /// How it is painted, if it is not as it should be.
    pub fn tone(self) -> Option<Tone> {
        match self {
            State::Error => Some(Tone::Bad),
            State::NotCloned | State::Offline => Some(Tone::Warn),
            State::Syncing | State::NotSynced | State::Ok => None,
        }
    }

    /// The first state that fits.
    pub fn of(exists: bool, error: &str, syncing: bool, last_sync: Option<Timestamp>) -> State {
        match (exists, error.is_empty(), syncing, last_sync) {
            (false, ..) => State::NotCloned,
            (_, false, ..) => State::Error,
            (_, _, true, _) => State::Syncing,
            (.., None) => State::NotSynced,
            _ => State::Ok,
        }
    }

    /// Its name for people.
    pub fn words(self) -> &'static str {
        match self {
            State::NotCloned => "not cloned",
            State::Error => "error",
            State::Offline => "offline",
            State::Syncing => "syncing",
            State::NotSynced => "not synced",
            State::Ok => "ok",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct Issue {
    #[serde(rename = "type")]
    kind: String,
    severity: String,
    summary: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    repo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

/// The issues that a page tells: that a clone's sync is tried again later is part of its error, which stands there already, and so is that
/// its host is not trusted.
pub fn told(data: &StatusData) -> impl Iterator<Item = &DaemonIssue> {
    let said = |issue: &&DaemonIssue| {
        let clone = data.clone_of(issue);
        let has_error = clone.is_some_and(|c| !c.last_error.is_empty());
        let is = |kind: IssueKind| issue.kind == kind.name();
        let is_same = clone.is_some_and(|c| c.last_error == issue.summary);
        has_error && (is_same || is(IssueKind::SyncBackoff) || is(IssueKind::CloneFailed))
    };
    data.issues.iter().filter(move |issue| !said(issue))
}

/// What leads out of the first failure of a clone, or out of what was put beside.
pub fn way_out(data: &StatusData) -> Option<String> {
    let failed = data.workspaces.values().flatten().filter(|c| !c.last_error.is_empty());
    let of = |c: &WorkspaceSyncStatus| {
        let class = Class::named(&c.error_class)?;
        let team = (!c.team_id.is_empty()).then_some(c.team_id.as_str());
        crate::sync::way_out(class, &c.last_error, Path::new(&c.path), &c.clone_url, team)
    };
    let beside = || {
        let is = |issue: &DaemonIssue| issue.kind == IssueKind::DirtyWorkspace.name() && issue.repo == LEDGER;
        data.issues.iter().any(is).then(|| "ox rescue list".to_owned())
    };
    failed.into_iter().find_map(of).or_else(beside)
}

impl Health {
    /// The verdict on `data` at `now`, for every page. Never synced is no fault by itself.
    pub fn of(data: &StatusData, now: Timestamp) -> Health {
        let stale = |last| age(last, now) > data.sync_interval_read * STALE_INTERVALS;
        let clones: Vec<&WorkspaceSyncStatus> = data.workspaces.values().flatten().collect();
        let repo = |c: &WorkspaceSyncStatus| {
            if c.team_id.is_empty() { LEDGER.to_owned() } else { c.team_id.clone() }
        };
        // That a host is not trusted is said by the verdict itself.
        let says_trust = |issue: &DaemonIssue| {
            issue.kind == IssueKind::CloneFailed.name()
                && clones.iter().any(|c| c.untrusted && issue.repo == repo(c))
        };
        let has_issue = data.issues.iter().any(|issue| !says_trust(issue));
        if data.recent_error_count >= ERRORS_CRITICAL {
            Health::Critical
        } else if has_issue || data.recent_error_count > 0 {
            Health::Warning
        } else if clones.iter().any(|clone| clone.untrusted) {
            Health::Untrusted
        } else if clones.iter().any(|clone| clone.offline) {
            Health::Offline
        } else if data.last_sync.0.is_some_and(stale) {
            Health::Warning
        } else {
            Health::Healthy
        }
    }

    /// For people, with its glyph.
    pub fn words(self) -> &'static str {
        match self {
            Health::Healthy => "● Healthy",
            Health::Offline => "◐ Offline",
            Health::Untrusted => "◐ Waiting for trust",
            Health::Warning | Health::Critical => "◐ Needs attention",
        }
    }

    /// Its colour.
    pub fn tone(self) -> Tone {
        match self {
            Health::Healthy => Tone::Good,
            Health::Warning | Health::Offline | Health::Untrusted => Tone::Warn,
            Health::Critical => Tone::Bad,
        }
    }
}

impl Workspace {
    fn of(w: &WorkspaceSyncStatus) -> Workspace {
        let status = match State::of(w.exists, &w.last_error, w.syncing, w.last_sync.0) {
            State::Error if w.offline => State::Offline,
            state => state,
        };
        Workspace {
            status,
            path: w.path.clone(),
            last_sync: w.last_sync.0,
            error: w.last_error.clone(),
            remote_changed: w.remote_changed.0,
        }
    }

    fn text(&self, page: &Page<'_>) -> String {
        let paint = page.paint;
        let error = || clean(&humanised(&self.error));
        match self.status {
            State::NotCloned => paint.text(Tone::Warn, "not cloned yet"),
            State::Error => paint.text(Tone::Bad, &error()),
            State::Offline => paint.text(Tone::Warn, &format!("offline: {}", error())),
            State::Syncing => "syncing".into(),
            State::NotSynced => "never synced".into(),
            State::Ok => {
                format!("synced {}", self.last_sync.map(|t| relative(t, page.now)).unwrap_or_default())
            }
        }
    }

    /// When its remote was last seen to have moved, for the verbose page.
    fn changed_text(&self, page: &Page<'_>) -> String {
        let changed = self.remote_changed.filter(|_| page.verbose);
        changed.map(|t| format!(", remote changed {}", relative(t, page.now))).unwrap_or_default()
    }
}

impl TeamContext {
    fn of(w: &WorkspaceSyncStatus, now: Timestamp) -> TeamContext {
        let days = u64::try_from(w.gc_interval_days).ok().filter(|d| *d > 0);
        let interval = Duration::from_secs(days.unwrap_or(u64::from(INTERVAL_DAYS)) * 86_400);
        let left = w.last_gc_time.0.and_then(|last| interval.checked_sub(age(last, now)));
        TeamContext {
            team_id: w.team_id.clone(),
            team_name: if w.team_name.is_empty() { w.team_id.clone() } else { w.team_name.clone() },
            clone: Workspace::of(w),
            gc_status: left.map_or_else(|| "due".to_owned(), |left| format!("in {}", compact(left))),
            gc_left: left,
            last_gc: w.last_gc_time.0,
        }
    }

    fn text(&self, page: &Page<'_>) -> String {
        let mut text = format!("{} — {}", clean(&self.team_name), self.clone.text(page));
        if self.clone.status != State::NotCloned {
            let gc = self.gc_left.map_or_else(|| "due".to_owned(), |left| format!("in {}", short(left)));
            text.push_str(&format!(", gc {gc}"));
        }
        if let Some(last) = self.last_gc.filter(|_| page.verbose) {
            text.push_str(&format!(" (last {})", relative(last, page.now)));
        }
        text + &self.clone.changed_text(page)
    }
}

impl From<&DaemonIssue> for Issue {
    fn from(i: &DaemonIssue) -> Issue {
        Issue {
            kind: i.kind.clone(),
            severity: i.severity.clone(),
            summary: i.summary.clone(),
            repo: i.repo.clone(),
            since: i.since.0,
        }
    }
}

impl Report {
    /// What `data` says at `now`.
    pub fn new(data: &StatusData, now: Timestamp) -> Report {
        let ledger = data.workspaces.get("ledger").and_then(|list| list.first()).map(Workspace::of);
        let teams = data.workspaces.get("team-context").into_iter().flatten();
        let is_own = |t: &TeamContext| !t.team_id.is_empty() && t.team_id == data.project_team_id;
        let (own, other_teams): (Vec<_>, Vec<_>) = teams.map(|w| TeamContext::of(w, now)).partition(is_own);
        let team_context = own.into_iter().next();
        let left = data.inactivity_timeout.saturating_sub(data.time_since_activity);
        Report {
            running: true,
            health: Health::of(data, now),
            pid: data.pid,
            version: shown_version(&data.version).to_owned(),
            wire_version: data.version.clone(),
            uptime: compact(data.uptime),
            ledger_path: ledger.as_ref().map_or_else(|| data.ledger_path.clone(), |l| l.path.clone()),
            last_sync: ledger.as_ref().map_or(data.last_sync.0, |l| l.last_sync),
            sync: Sync {
                repos: data.workspaces.values().map(Vec::len).sum(),
                interval: none_if_zero(data.sync_interval_read).map(compact).unwrap_or_default(),
                total_syncs: data.total_syncs,
                avg_time: none_if_zero(data.avg_sync_time).map(took),
                errors: data.recent_error_count,
                last_error: data.last_error.clone(),
                last_error_time: data.last_error_time.parse().ok(),
            },
            project: Project { ledger, team_context },
            other_teams,
            issues: data.issues.iter().map(Issue::from).collect(),
            watching: data.watching.clone(),
            auto_exit_in: none_if_zero(data.inactivity_timeout).map(|_| compact(left)),
        }
    }
}

fn none_if_zero(span: Duration) -> Option<Duration> {
    (!span.is_zero()).then_some(span)
}

/// What the text shows besides the [`Report`].
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The same answer the report was made of.
    pub data: &'a StatusData,
    /// The last syncs; empty if they could not be had.
    pub history: &'a [SyncEvent],
    /// The version this program names on the wire.
    pub wire_version: &'a str,
    /// Written as `~`.
    pub home: &'a Path,
    /// More detail.
    pub verbose: bool,
    /// The time that ages are counted from.
    pub now: Timestamp,
    /// Colour.
    pub paint: Paint,
}

/// The text of `ox daemon status` while the daemon runs.
pub fn text(report: &Report, page: &Page<'_>) -> String {
    let verdict = page.paint.text(report.health.tone(), report.health.words());
    let mut lines = vec![format!("{verdict} — {}", clean(&tilde(&page.data.workspace_path, page.home)))];
    lines.extend(clones(report, page));
    lines.extend(problems(report, page));
    if let Some(n) = u64::try_from(page.data.unviewed_error_count).ok().filter(|n| *n > 0) {
        lines.push(row("unread", &format!("{}: ox daemon errors", count(n, "error"))));
    }
    lines.push(row("syncs", &syncs(report)));
    lines.extend(daemon(report, page));
    if page.verbose {
        lines.extend(daemon_internals::lines(report, page));
        lines.extend(activity(page));
    }
    // Where a host does not answer, nothing here is to be done.
    if report.health != Health::Offline {
        lines.extend(way_out(page.data).map(|command| format!("next: {command}")));
    }
    lines.join("\n")
}

/// The clones: the ledger, the project's own team, other teams.
fn clones(report: &Report, page: &Page<'_>) -> Vec<String> {
    let every = match report.sync.interval.as_str() {
        "" => String::new(),
        interval => format!(", every {interval}"),
    };
    let ledger = |l: &Workspace| {
        let is_well = !matches!(l.status, State::Error | State::Offline | State::NotCloned);
        let every = if is_well { every.as_str() } else { "" };
        row("ledger", &(l.text(page) + every + &l.changed_text(page)))
    };
    let teams = report.project.team_context.iter().chain(&report.other_teams);
    let mut lines: Vec<String> = report.project.ledger.iter().map(ledger).collect();
    lines.extend(teams.map(|team| row("team", &team.text(page))));
    lines
}

/// The daemon itself.
fn daemon(report: &Report, page: &Page<'_>) -> Vec<String> {
    let theirs = &page.data.version;
    // To another program's daemon we are the version that we speak like.
    let bare = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    let spoken = bare(page.wire_version);
    let ours = if is_ours(theirs) { page.wire_version } else { &spoken };
    let end = report.auto_exit_in.as_ref().map(|left| format!(", ends in {left} unless it is used"));
    let version = clean(shown_version(theirs));
    let state =
        format!("v{version}, running for {}, pid {}{}", report.uptime, report.pid, end.unwrap_or_default());
    let mut lines = vec![row("daemon", &state)];
    if theirs != ours && (is_ours(theirs) || bare(theirs) != ours) {
        let other = format!("this program is v{}: ox daemon restart", shown_version(ours));
        lines.push(row("version", &page.paint.text(Tone::Warn, &other)));
    }
    lines
}

fn syncs(report: &Report) -> String {
    let sync = &report.sync;
    let n = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut parts = vec![n(sync.total_syncs).to_string()];
    parts.extend(sync.avg_time.as_ref().map(|avg| format!("{avg} on average")));
    parts.push(count(n(sync.errors), "error"));
    parts.join(", ")
}

/// What is wrong and said by no clone's row.
fn problems(report: &Report, page: &Page<'_>) -> Vec<String> {
    let line = |issue: &DaemonIssue| {
        let mean = if issue.severity == "warning" { Tone::Warn } else { Tone::Bad };
        let repo = if issue.repo.is_empty() { String::new() } else { format!("{}: ", clean(&issue.repo)) };
        let since = issue.since.0.map(|t| format!(" ({})", relative(t, page.now))).unwrap_or_default();
        row("problem", &format!("{repo}{}{since}", page.paint.text(mean, &clean(&issue.summary))))
    };
    let mut lines: Vec<String> = told(page.data).map(line).collect();
    let sync = &report.sync;
    // What a clone suffers from now stands with the clone.
    let stands = page.data.workspaces.values().flatten().any(|clone| clone.last_error == sync.last_error);
    if !sync.last_error.is_empty() && !stands {
        let when = sync.last_error_time.map(|t| format!(" ({})", relative(t, page.now))).unwrap_or_default();
        lines.push(row("problem", &format!("{}{when}", clean(&humanised(&sync.last_error)))));
    }
    lines
}

/// Syncs of the last hours as a chart.
fn activity(page: &Page<'_>) -> Vec<String> {
    if page.history.is_empty() {
        return Vec::new();
    }
    let past = |t: &Timestamp| *t <= page.now;
    let ages: Vec<Duration> =
        page.history.iter().filter_map(|e| e.time.0).filter(past).map(|t| age(t, page.now)).collect();
    vec![row("activity", &sparkline::line(&ages)), row("", &page.paint.text(Tone::Dim, sparkline::SCALE))]
}

/// Words of an error in capitals-insensitive form, and what a person is told instead.
const HUMANISED: &[(&[&str], &str)] = &[
    (&["could not resolve host"], "the server's name could not be resolved"),
    (&["no such host"], "the server's name could not be resolved"),
    (&["lookup", "timeout"], "the server's name could not be resolved in time"),
    (&["connection refused"], "the server refused the connection"),
    (&["unable to access", "timed out"], "the server did not answer in time"),
    (&["cannot access", "timed out"], "the server did not answer in time"),
    (&["connection timed out"], "the server did not answer in time"),
    (&["operation timed out"], "the server did not answer in time"),
];

/// The error in plain words where they are known, else as it is.
pub fn humanised(error: &str) -> String {
    let lower = error.to_lowercase();
    let known = HUMANISED.iter().find(|(words, _)| words.iter().all(|w| lower.contains(w)));
    known.map_or_else(|| error.to_owned(), |(_, text)| (*text).to_owned())
}

#[cfg(test)]
#[path = "daemon_status_tests.rs"]
mod tests;
