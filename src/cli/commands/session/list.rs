//! `ox session list`.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, relative, short};
use crate::sessions::{Found, Info, Status};

/// Without `--all` older ones are left out.
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Flags of `ox session list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Show those of all times
    #[arg(long)]
    all: bool,
}

/// A session in the document.
#[derive(Debug, Serialize)]
struct Row {
    session_name: String,
    session_id: String,
    status: &'static str,
    title: String,
    agent_id: String,
    agent_type: String,
    model: String,
    username: String,
    started_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    duration_seconds: Option<i64>,
    entry_count: Option<u64>,
    path: PathBuf,
}

impl Row {
    fn new(found: &Found, info: Info) -> Row {
        Row {
            session_name: found.name.to_string(),
            status: info.status.name(),
            started_at: info.header.created_at.or_else(|| found.name.began(&TimeZone::system())),
            last_at: info.last,
            duration_seconds: info.took().map(|took| took.as_secs()),
            entry_count: info.entries,
            path: found.dir.clone(),
            title: info.title,
            session_id: info.header.session_id,
            agent_id: info.header.agent_id,
            agent_type: info.header.agent_type,
            model: info.header.model,
            username: info.header.username,
        }
    }
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let (all, unread) = super::places(cx, &project).all();
    for (dir, e) in unread {
        cx.ui.warn(&format!("cannot look for sessions: {}: {e}", dir.display()));
    }
    let zone = TimeZone::system();
    let first = cx.now().checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let is_recent = |found: &Found| found.name.began(&zone).is_none_or(|began| began >= first);
    let (count, mut rows) = (all.len(), Vec::new());
    for found in all.iter().filter(|found| args.all || is_recent(found)).take(args.limit) {
        match Info::of(found) {
            Ok(info) => rows.push((info.status, Row::new(found, info))),
            Err(e) => cx.ui.warn(&format!("cannot read session {}: {e}", found.name)),
        }
    }
    if cx.ui.json() {
        let rows: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
        return cx.ui.document(&json!({ "sessions": rows, "total": count }));
    }
    if rows.is_empty() {
        cx.ui.note(if count == 0 {
            "no session was recorded on this machine, and the ledger has none"
        } else {
            "no sessions in the last 7 days"
        });
        if count > 0 {
            cx.ui.next_step("ox session list --all");
        }
        return Ok(());
    }
    let mut table = Table::new(&["SESSION", "STATUS", "AGENT", "BEGAN", "TOOK", "ENTRIES", "TITLE"]);
    for (status, row) in rows {
        let began = row.started_at.map(|at| relative(at, cx.now())).unwrap_or_default();
        let took = row.duration_seconds.and_then(|secs| u64::try_from(secs).ok());
        let took = took.map(|secs| short(std::time::Duration::from_secs(secs))).unwrap_or_default();
        let entries = row.entry_count.map(|n| n.to_string()).unwrap_or_default();
        table.row([row.session_name, row.status.to_owned(), row.agent_type, began, took, entries, row.title]);
        if status == Status::Orphaned {
            table.tone(1, Tone::Warn);
        }
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}
