//! `ox murmur list` and `ox murmur status`: read from the clone, without the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{ScopeName, place};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::quoted::quoted;
use crate::cli::ui::text::{Table, clean, compact, cut, relative};
use crate::project::parse_duration;
use crate::whispers::limits::GAP;
use crate::whispers::{FILE_CHANGES, Murmur, window};

/// Nothing older is looked at.
const HOURS_MAX: u64 = 24;
/// So many characters of an id are shown: the random end, since the beginning is the time.
const SHORT: usize = 8;
/// Unless asked otherwise, so far back.
const HOURS: u64 = 12;

/// Flags of `ox murmur list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Show only this topic
    #[arg(value_name = "TOPIC")]
    only: Option<String>,
    /// Show at most N; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// How far back to look, such as 30m, 2h or 1d; at most 24h
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = since)]
    since: Duration,
    /// Show only this topic
    #[arg(long, value_name = "TOPIC", conflicts_with = "only")]
    topic: Option<String>,
    /// Show only those of the ledger or of the team context [default: both]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<ScopeName>,
    /// Show only those of this agent
    #[arg(long, value_name = "AGENT_ID")]
    agent_id: Option<String>,
    /// Also show notes about changed files
    #[arg(long)]
    show_file_changes: bool,
}

/// Flags of `ox murmur status`.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// Whether to look in the ledger or in the team context
    #[arg(long, value_name = "SCOPE", default_value = "ledger")]
    scope: ScopeName,
}

/// One murmur in the document.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    /// To the second.
    timestamp: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    agent_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    principal_id: &'a str,
    topic: &'a str,
    importance: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

/// A time span, also in days.
fn since(text: &str) -> Result<Duration, String> {
    let span = match text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        Some(days) => Duration::from_secs(days.saturating_mul(86_400)),
        None => parse_duration(text)?,
    };
    match span > Duration::from_secs(HOURS_MAX * 3600) {
        true => Err(format!("murmurs are kept for {HOURS_MAX}h")),
        false => Ok(span.max(Duration::from_secs(60))),
    }
}

pub(super) fn list(cx: &Cx, args: &List) -> Outcome {
    let project = cx.project()?;
    let now = cx.now();
    let hours = i64::try_from(args.since.as_secs().div_ceil(3600)).unwrap_or(HOURS as i64);
    let topic = args.only.as_ref().or(args.topic.as_ref());
    let start =
        now.checked_sub(args.since).map_err(|e| Failure::new(Exit::Usage, "too far back").because(&e))?;
    let mut found = Vec::new();
    for at in place::all(cx, &project, args.scope)? {
        found.extend(place::recent(&at, now, hours)?);
    }
    window::newest_first(&mut found);
    found.retain(|m| {
        m.timestamp.0.is_some_and(|at| at >= start)
            && topic.is_none_or(|topic| m.topic == *topic)
            && args.agent_id.as_ref().is_none_or(|agent| m.agent_id == *agent)
            && (args.show_file_changes || topic.is_some() || m.topic != FILE_CHANGES)
    });
    let total = found.len();
    if args.last > 0 {
        found.truncate(args.last);
    }
    if cx.ui.json() {
        let rows: Vec<Row<'_>> = found.iter().map(row).collect();
        let window = crate::project::format_duration(args.since);
        let scope = match args.scope {
            None => "all",
            Some(ScopeName::Team) => "team",
            Some(ScopeName::Ledger) => "ledger",
        };
        return cx.ui.document(&json!({ "murmurs": rows, "total": total, "window": window, "scope": scope }));
    }
    if found.is_empty() {
        cx.ui.note("no murmurs");
        return Ok(());
    }
    let mut table = Table::new(&["ID", "TIME", "USER", "AGENT", "TOPIC", "CONTENT"]);
    for m in &found {
        let first = m.content.lines().next().unwrap_or_default();
        let mark = if m.importance == "critical" { "! " } else { "" };
        table.row([
            clean(short_id(&m.id)),
            m.timestamp.0.map(|at| relative(at, now)).unwrap_or_default(),
            cut(&clean(&m.principal_id), Some(10)),
            cut(&clean(&m.agent_id), Some(8)),
            cut(&clean(&m.topic), Some(16)),
            format!("{mark}{}", clean(first)),
        ]);
    }
    cx.ui.print(&quoted(cx, &table.lines(cx.ui.width(), cx.ui.paint()).join("\n")))?;
    if total > found.len() {
        cx.ui.note(&format!("{} more; --last 0 shows all", total - found.len()));
    }
    Ok(())
}

fn row(m: &Murmur) -> Row<'_> {
    let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at).to_string();
    Row {
        id: &m.id,
        timestamp: m.timestamp.0.map(second).unwrap_or_default(),
        agent_id: &m.agent_id,
        principal_id: &m.principal_id,
        topic: &m.topic,
        importance: &m.importance,
        content: &m.content,
        scope: &m.scope,
    }
}

/// An agent in `ox murmur status`.
#[derive(Debug, Serialize)]
struct Standing {
    agent_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    principal_id: String,
    last_murmur: Timestamp,
    /// A time, or `ready`.
    next_eligible: String,
    ready: bool,
    last_topic: String,
    last_content: String,
}

impl Standing {
    fn of(m: &Murmur, now: Timestamp) -> Standing {
        let at = m.timestamp.0.unwrap_or(now);
        let ready = wait_left(at, now).is_none();
        let next = at.checked_add(GAP).unwrap_or(at);
        Standing {
            agent_id: m.agent_id.clone(),
            principal_id: m.principal_id.clone(),
            last_murmur: at,
            next_eligible: if ready { "ready".into() } else { next.to_string() },
            ready,
            last_topic: m.topic.clone(),
            last_content: m.content.clone(),
        }
    }
}

pub(super) fn status(cx: &Cx, args: &Status) -> Outcome {
    let project = cx.project()?;
    let at = place::find(cx, &project, args.scope)?;
    let now = cx.now();
    let found = place::recent(&at, now, 1)?;
    let mut newest: BTreeMap<&str, Standing> = BTreeMap::new();
    for m in found.iter() {
        // What people say themselves stands under their name.
        let who = if m.agent_id.is_empty() { &m.principal_id } else { &m.agent_id };
        newest.entry(who).or_insert_with(|| Standing::of(m, now));
    }
    let all: Vec<Standing> = newest.into_values().collect();
    if cx.ui.json() {
        return cx.ui.document(&json!({ "agents": all }));
    }
    if all.is_empty() {
        cx.ui.note("nobody has murmured in the last hour");
        return Ok(());
    }
    let mut table = Table::new(&["AGENT", "USER", "LAST", "AGAIN", "TOPIC", "CONTENT"]);
    for s in &all {
        let left = wait_left(s.last_murmur, now)
            .map(|left| format!("in {}", compact(left.max(Duration::from_secs(1)))));
        table.row([
            clean(&s.agent_id),
            clean(&s.principal_id),
            relative(s.last_murmur, now),
            left.unwrap_or_else(|| "now".into()),
            clean(&s.last_topic),
            clean(s.last_content.lines().next().unwrap_or_default()),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

/// The end of an id, which tells it apart from those of the same minute; `ox murmur delete` takes it.
pub fn short_id(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHORT)..).unwrap_or(id)
}

/// How long whoever murmured `at` has to wait; `None` if not at all.
pub(super) fn wait_left(at: Timestamp, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    GAP.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_also_in_days_and_stay_within_a_day() {
        let check = |text: &str, seconds: u64| assert_eq!(since(text).unwrap().as_secs(), seconds, "{text}");
        check("30m", 1800);
        check("2h", 7200);
        check("1d", 86_400);
        check("1s", 60);
        assert!(since("soon").is_err());
        assert_eq!(since("9d").unwrap_err(), "murmurs are kept for 24h");
    }

    #[test]
    fn an_agent_waits_until_the_gap_is_over() {
        let at = Timestamp::from_second(1_000_000).unwrap();
        let check = |passed: Duration, left: Option<u64>| {
            assert_eq!(wait_left(at, at + passed).map(|l| l.as_secs()), left);
        };
        check(Duration::ZERO, Some(5));
        check(Duration::from_secs(2), Some(3));
        check(Duration::from_secs(5), None);
        assert_eq!(wait_left(at + Duration::from_secs(9), at), Some(GAP));
    }
}
