//! What `ox daemon status --verbose` shows besides: process, callers, counters, who is there, the last syncs. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::daemon_status::{Page, Report};
use super::ui::text::{age, clean, count, relative, row, tilde, took};
use super::ui::{Tone, sparkline};
use crate::ipc::wire::{ActivitySummary, WatchingStatus};

/// Syncs listed.
const SYNCS_LISTED: usize = 10;
/// Clones that have called, listed.
const CALLERS_LISTED: usize = 10;

/// The lines behind `--verbose`.
pub(super) fn lines(report: &Report, page: &Page<'_>) -> Vec<String> {
    let data = page.data;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(row(name, &clean(&value)));
        }
    };
    for caller in data.callers.iter().take(CALLERS_LISTED) {
        let agent = if caller.agent_id.is_empty() { String::new() } else { format!(" {}", caller.agent_id) };
        let seen = caller.last_seen.0.map(|t| format!(", {}", relative(t, page.now))).unwrap_or_default();
        field("caller", format!("{}{agent}{seen}", tilde(&caller.path, page.home)));
    }
    field("clone", tilde(&report.ledger_path, page.home));
    let user = data.authenticated_user.as_ref();
    field("login", user.map(|user| user.email.clone()).unwrap_or_default());
    let millis = |ms: i64| took(Duration::from_millis(ms.unsigned_abs()));
    let throttle = match data.throttle_duration_ms {
        0 => String::new(),
        ms => format!(" (held back {})", millis(ms)),
    };
    field("started", format!("in {}{throttle}", millis(data.startup_duration_ms)));
    field("pulls", data.sync_metrics.as_ref().map(pulls).unwrap_or_default());
    field("watching", data.watching.as_ref().map(|w| watching(w, page.now)).unwrap_or_default());
    lines.extend(data.activity.as_ref().into_iter().flat_map(|all| in_use(all, page)));
    for (n, event) in page.history.iter().rev().take(SYNCS_LISTED).enumerate() {
        let time = event.time.0.map(|t| t.strftime("%H:%M:%S").to_string()).unwrap_or_default();
        let files = u64::try_from(event.files_changed).unwrap_or(0);
        let text =
            format!("{time}  {}, {}, {}", clean(&event.kind), took(event.duration), count(files, "file"));
        lines.push(row(if n == 0 { "history" } else { "" }, &text));
    }
    lines
}

/// What the counters of syncs say.
fn pulls(metrics: &Value) -> String {
    let n = |key: &str| metrics.get(key).and_then(Value::as_u64).unwrap_or(0);
    let time = |key: &str| took(Duration::from_nanos(n(key)));
    let times = match n("pull_success_count") {
        0 => String::new(),
        _ => format!(", {} avg, {} p95", time("avg_pull_duration"), time("p95_pull_duration")),
    };
    format!(
        "{} ok, {} failed{times}; {}, {}",
        n("pull_success_count"),
        n("pull_failure_count"),
        count(n("conflict_count"), "conflict"),
        count(n("divergence_count"), "divergence")
    )
}

/// How many repositories, teams and agents are in use, with the newest of each and when it was heard of.
fn in_use(all: &ActivitySummary, page: &Page<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, list) in [("repos", &all.repos), ("teams", &all.teams), ("agents", &all.agents)] {
        let Some(newest) = list.iter().max_by_key(|entry| entry.last) else { continue };
        let ages: Vec<Duration> = list
            .iter()
            .flat_map(|entry| &entry.timestamps)
            .filter_map(|t| t.0.filter(|t| *t <= page.now))
            .map(|t| age(t, page.now))
            .collect();
        let when = newest.last.0.map(|t| relative(t, page.now)).unwrap_or_default();
        let key = clean(&tilde(&newest.key, page.home));
        lines.push(row(name, &format!("{}, newest {key} {when}", list.len())));
        if name == "agents" {
            lines.push(row("", &sparkline::line(&ages)));
            lines.push(row("", &page.paint.text(Tone::Dim, sparkline::SCALE)));
        }
    }
    lines
}

/// How the work tree is watched.
fn watching(w: &WatchingStatus, now: Timestamp) -> String {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut parts = match w.mode.as_str() {
        "starting" => return "the work tree is looked at for the first time".into(),
        "gone" => return "the work tree is not there; it is looked for every 30s".into(),
        "unreadable" => return format!("not watched: {}", w.reason),
        "polling" => vec!["polling".to_string()],
        _ => Vec::new(),
    };
    parts.push(match number(w.dirs_watched) {
        1 => "1 directory".into(),
        n => format!("{n} directories"),
    });
    parts.extend(w.last_rescan.0.map(|at| format!("all looked at {}", relative(at, now))));
    for (n, thing) in [(w.rescans, "rescan"), (w.overflows, "overflow"), (w.dropped, "dropped change")] {
        parts.extend((n > 0).then(|| count(number(n), thing)));
    }
    parts.extend((w.pending > 0).then(|| format!("{} to tell", count(number(w.pending), "changed file"))));
    let reason = if w.reason.is_empty() { String::new() } else { format!(": {}", w.reason) };
    parts.join(", ") + &reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::gotime::GoTime;

    #[test]
    fn how_a_tree_is_watched_is_one_line() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let check = |w: WatchingStatus, expected: &str| assert_eq!(watching(&w, now), expected);
        let plain = WatchingStatus { mode: "watching".into(), dirs_watched: 12, ..WatchingStatus::default() };
        check(plain.clone(), "12 directories");
        let looked = GoTime("2026-03-01T11:58:00Z".parse().ok());
        check(
            WatchingStatus {
                mode: "polling".into(),
                reason: "the limit is reached".into(),
                dirs_watched: 1,
                overflows: 2,
                rescans: 1,
                last_rescan: looked,
                ..WatchingStatus::default()
            },
            "polling, 1 directory, all looked at 2m ago, 1 rescan, 2 overflows: the limit is reached",
        );
        check(WatchingStatus { dropped: 3, ..plain.clone() }, "12 directories, 3 dropped changes");
        check(WatchingStatus { pending: 1, ..plain }, "12 directories, 1 changed file to tell");
        let gone = WatchingStatus { mode: "gone".into(), ..WatchingStatus::default() };
        check(gone, "the work tree is not there; it is looked for every 30s");
    }
}
