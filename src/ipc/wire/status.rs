//! The answer to `status`: its parts, and an encoding whose two running numbers are set in afterwards.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{is_false, is_zero};
use crate::ipc::limits::{STATUS_MAX, STATUS_TIMESTAMPS};
use crate::kit::gotime::{self, GoTime};

/// Everything a status page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusData {
    /// Always true.
    pub running: bool,
    /// Process of the daemon.
    pub pid: i64,
    /// Full version.
    pub version: String,
    /// Since the project's parts were started.
    #[serde(with = "gotime::nanos")]
    pub uptime: Duration,
    /// Path of the newest caller, else the project root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_path: String,
    /// May be empty.
    pub ledger_path: String,
    /// Last successful sync.
    pub last_sync: GoTime,
    /// Time between two pulls.
    #[serde(with = "gotime::nanos")]
    pub sync_interval_read: Duration,
    /// Sync errors of the last hour, 0 to 10.
    #[serde(skip_serializing_if = "is_zero")]
    pub recent_error_count: i64,
    /// Newest kept error, whatever its age.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// RFC 3339, whole seconds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error_time: String,
    /// Ours, additive: the newest sync failure that is over; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub solved_error: String,
    /// Ours, additive: when that happened.
    #[serde(skip_serializing_if = "GoTime::is_zero")]
    pub solved_error_time: GoTime,
    /// Length of the history.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_syncs: i64,
    /// Of these, in the last hour.
    #[serde(skip_serializing_if = "is_zero")]
    pub syncs_last_hour: i64,
    /// Mean over the history.
    #[serde(with = "gotime::nanos", skip_serializing_if = "Duration::is_zero")]
    pub avg_sync_time: Duration,
    /// By kind: `ledger`, `team-context`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub workspaces: BTreeMap<String, Vec<WorkspaceSyncStatus>>,
    /// Team of the project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project_team_id: String,
    /// Older form of the teams in `workspaces`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub team_contexts: Vec<TeamContextSyncStatus>,
    /// Detached after this long without activity; zero: never.
    #[serde(with = "gotime::nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactivity_timeout: Duration,
    /// Since the last activity.
    #[serde(with = "gotime::nanos", skip_serializing_if = "Duration::is_zero")]
    pub time_since_activity: Duration,
    /// Who was active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivitySummary>,
    /// Whose credentials are in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated_user: Option<AuthenticatedUser>,
    /// There is an issue.
    pub needs_help: bool,
    /// Critical first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<DaemonIssue>,
    /// Stored errors nobody has seen.
    #[serde(skip_serializing_if = "is_zero")]
    pub unviewed_error_count: i64,
    /// Milliseconds from start to ready.
    #[serde(skip_serializing_if = "is_zero")]
    pub startup_duration_ms: i64,
    /// Milliseconds held back after failed starts.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttle_duration_ms: i64,
    /// State of the code index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_db: Option<CodeDbStats>,
    /// State of background agent work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_work: Option<AgentWorkStatus>,
    /// Ours: the relay, where somebody wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// Clones that have called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerInfo>,
    /// Ours, additive: counters of the sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_metrics: Option<Value>,
    /// Ours, additive: how the work tree is watched, while agents are at work in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watching: Option<WatchingStatus>,
}

/// How a work tree is watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchingStatus {
    /// `starting`, `watching`, `polling`: not all can be watched; `gone`: the tree is not there.
    pub mode: String,
    /// Why not all can be watched, and what helps.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Directories that are watched.
    pub dirs_watched: i64,
    /// How often events were lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub overflows: i64,
    /// Looks at the whole tree after the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub rescans: i64,
    /// Changes and files that were too many to be told or remembered.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped: i64,
    /// Changed files that agents have not been told of yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub pending: i64,
    /// When the whole tree was last looked at.
    #[serde(skip_serializing_if = "is_never")]
    pub last_rescan: GoTime,
}

/// One clone that is kept current.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSyncStatus {
    /// `ledger` or a team id.
    pub id: String,
    /// `ledger` or `team-context`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    pub path: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub clone_url: String,
    /// It is there.
    pub exists: bool,
    /// Team, if it is one's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_name: String,
    /// Its short name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_slug: String,
    /// Last successful sync.
    pub last_sync: GoTime,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// At work now.
    #[serde(skip_serializing_if = "is_false")]
    pub syncing: bool,
    /// When its last gc was.
    pub last_gc_time: GoTime,
    /// 0 = 7 days.
    #[serde(skip_serializing_if = "is_zero")]
    pub gc_interval_days: i64,
    /// Ours, additive: who names it: `config`, `credentials`, `api`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Ours, additive: HEAD of the clone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub head: String,
    /// Ours, additive: when the remote was last seen to have moved.
    #[serde(skip_serializing_if = "is_never")]
    pub remote_changed: GoTime,
    /// Ours, additive: failures in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub sync_failures: i64,
    /// Ours, additive: after failures, the time of the next attempt.
    #[serde(skip_serializing_if = "is_never")]
    pub next_sync_attempt: GoTime,
    /// Ours, additive: the time of the next run as planned.
    #[serde(skip_serializing_if = "is_never")]
    pub next_sync: GoTime,
    /// Ours, additive: nothing may be pushed there.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Ours, additive: its host did not answer the last time; that is its `last_error`.
    #[serde(skip_serializing_if = "is_false")]
    pub offline: bool,
    /// Ours, additive: its host was named by somebody else and is not trusted; nothing goes on until it is.
    #[serde(skip_serializing_if = "is_false")]
    pub untrusted: bool,
    /// Ours, additive: the class of `last_error`, by its name; what leads out of it depends on that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_class: String,
}

/// True for a time that an optional key leaves out.
fn is_never(time: &GoTime) -> bool {
    time.0.is_none()
}

/// A team's clone, older form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeamContextSyncStatus {
    /// Which.
    pub team_id: String,
    /// Its name.
    pub team_name: String,
    /// Where it is.
    pub path: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub clone_url: String,
    /// Last successful sync.
    pub last_sync: GoTime,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// It is there.
    pub exists: bool,
}

/// Who was active, by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivitySummary {
    /// Repositories by path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<ActivityEntry>,
    /// Teams by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<ActivityEntry>,
    /// Workspaces by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<ActivityEntry>,
    /// Agents by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<ActivityEntry>,
}

impl ActivitySummary {
    fn lists(&mut self) -> [&mut Vec<ActivityEntry>; 4] {
        [&mut self.repos, &mut self.teams, &mut self.workspaces, &mut self.agents]
    }
}

/// One key's activity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivityEntry {
    /// Path or id.
    pub key: String,
    /// Up to 100.
    pub count: i64,
    /// Newest.
    pub last: GoTime,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timestamps: Vec<GoTime>,
}

/// Whose credentials are in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthenticatedUser {
    /// E-mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
}

/// A condition that the daemon leaves to a person or an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonIssue {
    /// Such as `merge_conflict`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `warning`, `error` or `critical`.
    pub severity: String,
    /// `ledger` or a team id; empty: all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo: String,
    /// One sentence.
    pub summary: String,
    /// Since when.
    pub since: GoTime,
    /// A person decides.
    #[serde(skip_serializing_if = "is_false")]
    pub requires_confirm: bool,
}

/// A clone that has called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerInfo {
    /// Eight hex digits.
    pub id: String,
    /// May be empty.
    pub path: String,
    /// When it called last.
    pub last_seen: GoTime,
    /// Agent that called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
}

/// State of the code index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeDbStats {
    /// Commits indexed.
    pub commits: i64,
    /// Files indexed.
    pub blobs: i64,
    /// Symbols found.
    pub symbols: i64,
    /// Comments found.
    pub comments: i64,
    /// Pull requests known.
    pub prs: i64,
    /// Issues known.
    pub issues: i64,
    /// By repository.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<CodeDbRepo>,
    /// Last finished build.
    pub last_indexed: GoTime,
    /// A build runs.
    pub indexing_now: bool,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Where the index lies.
    pub data_dir: String,
    /// It is there.
    pub index_exists: bool,
    /// The ledger is there.
    pub ledger_exists: bool,
    /// Commits of the ledger indexed.
    pub ledger_commits: i64,
    /// The ledger is being indexed.
    pub ledger_indexing_now: bool,
}

/// One repository in the code index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeDbRepo {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Commits indexed.
    pub commits: i64,
    /// Files indexed.
    pub blobs: i64,
}

/// State of background agent work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkStatus {
    /// Switched on.
    pub enabled: bool,
    /// Which agent program.
    pub agent_type: String,
    /// It is installed.
    pub agent_available: bool,
    /// Work waiting.
    pub queue_depth: i64,
    /// Running now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<AgentWorkRun>,
    /// Finished lately.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<AgentWorkRun>,
    /// Counters.
    pub stats: AgentWorkStats,
    /// Ours: it can be asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub agent_usable: bool,
    /// Ours: what was found of the agent, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_detail: String,
    /// Ours: why no agent is run now: `user`, `quota`, `auth`, `failures` or `budget`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub paused: String,
    /// Ours: when that is over by itself.
    #[serde(skip_serializing_if = "GoTime::is_zero")]
    pub paused_until: GoTime,
    /// Ours, in the answer to `agent_work` alone: what waits, the next first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<AgentWorkWaiting>,
    /// Ours: what was spent, and what may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<AgentWorkBudget>,
}

/// Work that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkWaiting {
    /// On what.
    pub target: String,
    /// It waits for an agent; else only for its turn.
    pub needs_agent: bool,
    /// Before that it is not begun.
    #[serde(skip_serializing_if = "GoTime::is_zero")]
    pub not_before: GoTime,
    /// Why it failed the last time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What background work of agents has cost, and may cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkBudget {
    /// Runs in this hour.
    pub runs: i64,
    /// How many there may be.
    pub runs_max: i64,
    /// Input tokens of this day, with what running ones may still take.
    pub tokens: i64,
    /// How many there may be.
    pub tokens_max: i64,
    /// Dollars of this day.
    pub usd: f64,
    /// How many there may be; without a limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_max: Option<f64>,
    /// Nobody knows what was spent: all counts as spent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

/// One run of an agent program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkRun {
    /// Its process.
    pub pid: i64,
    /// Kind of work.
    pub work_type: String,
    /// On what.
    pub target: String,
    /// Since when.
    pub started_at: GoTime,
    /// `running`, `completed` or `failed`.
    pub status: String,
    /// How long it took.
    #[serde(with = "gotime::nanos", skip_serializing_if = "Duration::is_zero")]
    pub duration: Duration,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Exit code, if not 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub exit_code: i64,
}

/// What the relay does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayState {
    /// Nothing is sent.
    #[default]
    Disabled,
    /// Nothing is sent before somebody logs in.
    NeedsLogin,
    /// There is nothing to send and no connection.
    Idle,
    /// A connection is being made.
    Connecting,
    /// There is a connection.
    Connected,
    /// The next attempt waits.
    Backoff,
    /// Events go by requests, since there is no connection that stays.
    HttpFallback,
    /// What another version says.
    #[serde(other)]
    Unknown,
}

/// State of the relay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayStatus {
    /// What it does.
    pub state: RelayState,
    /// The server; empty if none is named.
    pub server_url: String,
    /// `ws` or `http`; empty if there is no link.
    pub transport: String,
    /// The process that sends.
    pub leader_pid: i64,
    /// Since when it is in this state; all times are milliseconds since 1970, 0 for never.
    pub since_ms: i64,
    /// Bytes that wait.
    pub queue_bytes: i64,
    /// Events that wait.
    pub queue_events: i64,
    /// When the oldest of them came.
    pub oldest_event_ms: i64,
    /// Events sent since the link began, those sent again included.
    pub sent_total: i64,
    /// Events that the server has confirmed since the link began.
    pub acked_total: i64,
    /// Events given up because the queue was full, over its life.
    pub dropped_total: i64,
    /// Events that the server has refused, over the life of the queue.
    pub dead_total: i64,
    /// When it confirmed something last.
    pub last_ack_ms: i64,
    /// What went wrong last.
    pub last_error: String,
    /// When the next attempt is.
    pub next_retry_ms: i64,
    /// Ours: why nothing is sent, with the command that leads out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Counters of background agent work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkStats {
    /// Runs begun.
    pub total_invocations: i64,
    /// Ended well.
    pub successes: i64,
    /// Ended badly.
    pub failures: i64,
}

impl StatusData {
    /// The clone that an issue is about, if it is one.
    pub fn clone_of(&self, issue: &DaemonIssue) -> Option<&WorkspaceSyncStatus> {
        let is_it = |w: &&WorkspaceSyncStatus| match issue.repo.as_str() {
            "" | "ledger" => w.team_id.is_empty(),
            team => w.team_id == team,
        };
        self.workspaces.values().flatten().find(is_it)
    }
}

/// An encoded status with two gaps, for `uptime` and `time_since_activity`.
#[derive(Clone, Debug)]
pub struct EncodedStatus {
    head: Vec<u8>,
    middle: Vec<u8>,
    tail: Arc<[u8]>,
}

/// Stands in the second gap while encoding; no clock runs that long.
const GAP: Duration = Duration::from_nanos(i64::MAX as u64 - 1);

impl EncodedStatus {
    /// Encodes `status`, shortened so that it stays below [`STATUS_MAX`].
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn new(status: &StatusData) -> Result<EncodedStatus, serde_json::Error> {
        let mut status = StatusData { uptime: Duration::ZERO, time_since_activity: GAP, ..status.clone() };
        let mut bytes = serde_json::to_vec(&status)?;
        for step in 0.. {
            if bytes.len() <= STATUS_MAX || !shorten(&mut status, step) {
                break;
            }
            bytes = serde_json::to_vec(&status)?;
        }
        Ok(EncodedStatus::split(bytes))
    }

    /// Cuts at the gaps. The keys are found by their text: inside a string the quotes would be escaped.
    fn split(bytes: Vec<u8>) -> EncodedStatus {
        const UPTIME: &[u8] = b"\"uptime\":0";
        let gap = format!(",\"time_since_activity\":{}", GAP.as_nanos());
        let first = find(&bytes, UPTIME).map_or(0, |at| at + UPTIME.len() - 1);
        let second = find(&bytes, gap.as_bytes()).unwrap_or(bytes.len());
        let rest = (second + gap.len()).min(bytes.len());
        let mut tail = bytes[rest..].to_vec();
        tail.extend_from_slice(b"}\n");
        EncodedStatus {
            head: [b"{\"success\":true,\"data\":", &bytes[..first]].concat(),
            middle: bytes[(first + 1).min(second)..second].to_vec(),
            tail: tail.into(),
        }
    }

    /// Appends the final line up to its long, shared rest, which is returned.
    pub fn write_line(&self, uptime: Duration, idle: Duration, out: &mut Vec<u8>) -> Arc<[u8]> {
        out.extend_from_slice(&self.head);
        let _ = write!(out, "{}", uptime.as_nanos()); // into memory: cannot fail
        out.extend_from_slice(&self.middle);
        if !idle.is_zero() {
            let _ = write!(out, ",\"time_since_activity\":{}", idle.as_nanos());
        }
        self.tail.clone()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Makes `status` shorter, more so with each step; false when there is nothing left to leave out.
fn shorten(status: &mut StatusData, step: u32) -> bool {
    let keep_times = match step {
        0 => STATUS_TIMESTAMPS,
        1 => STATUS_TIMESTAMPS / 4,
        _ => 0,
    };
    for list in status.activity.iter_mut().flat_map(ActivitySummary::lists) {
        for entry in list.iter_mut() {
            entry.timestamps.drain(..entry.timestamps.len().saturating_sub(keep_times));
        }
        if step > 2 {
            list.sort_by_key(|entry| std::cmp::Reverse(entry.last.0));
            list.truncate(list.len() / 2);
        }
    }
    if step > 2 {
        status.callers.sort_by_key(|caller| std::cmp::Reverse(caller.last_seen.0));
        status.callers.truncate(status.callers.len() / 2);
        status.issues.truncate(status.issues.len().div_ceil(2));
        status.team_contexts.truncate(status.team_contexts.len() / 2);
        for list in status.workspaces.values_mut() {
            list.truncate(list.len().div_ceil(2));
        }
    }
    step < 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::wire::{Line, decode, parse_line};

    fn line(status: &StatusData, uptime: Duration, idle: Duration) -> Vec<u8> {
        let mut line = Vec::new();
        let tail = EncodedStatus::new(status).unwrap().write_line(uptime, idle, &mut line);
        line.extend_from_slice(&tail);
        assert_eq!(line.pop(), Some(b'\n'));
        line
    }

    fn busy(keys: usize, times: usize) -> StatusData {
        let time = |n: usize| {
            GoTime(Some(jiff::Timestamp::from_nanosecond(1_700_000_000_123_456_789 + n as i128).unwrap()))
        };
        let entries = |prefix: &str| {
            (0..keys)
                .map(|k| ActivityEntry {
                    key: format!("{prefix}{k}"),
                    count: times as i64,
                    last: time(k),
                    timestamps: (0..times).map(time).collect(),
                })
                .collect::<Vec<_>>()
        };
        StatusData {
            running: true,
            version: "a\"uptime\":0\"time_since_activity\":1".into(),
            activity: Some(ActivitySummary {
                repos: entries("/home/someone/projects/number-"),
                teams: entries("team_"),
                workspaces: entries("ws"),
                agents: entries("Ox"),
            }),
            ..StatusData::default()
        }
    }

    #[test]
    fn the_gaps_give_the_same_bytes_as_encoding_anew() {
        let (up, idle) = (Duration::from_nanos(2_014_359_234), Duration::from_nanos(13_660));
        for status in [StatusData::default(), busy(2, 2)] {
            for idle in [idle, Duration::ZERO] {
                let whole = StatusData { uptime: up, time_since_activity: idle, ..status.clone() };
                let expected =
                    format!("{{\"success\":true,\"data\":{}}}", serde_json::to_string(&whole).unwrap());
                assert_eq!(String::from_utf8(line(&status, up, idle)).unwrap(), expected);
            }
        }
    }

    #[test]
    fn ipc_status_with_full_trackers_stays_below_its_limit() {
        for (keys, times) in [(100, 100), (2_000, 100), (20_000, 1)] {
            let line = line(&busy(keys, times), Duration::ZERO, Duration::ZERO);
            assert!(line.len() <= STATUS_MAX + 64, "{keys} keys: {} bytes", line.len());
            let Line::Final(response) = parse_line(&line).unwrap() else { panic!("a final line") };
            let data: StatusData = decode(response.data.as_ref().map(|d| d.get().as_bytes())).unwrap();
            let newest = data.activity.unwrap().agents.iter().map(|a| a.key.clone()).collect::<Vec<_>>();
            assert!(newest.contains(&format!("Ox{}", keys - 1)), "the newest entries are the ones kept");
        }
    }
}
