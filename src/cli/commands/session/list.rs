//! `ox session list`.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, relative, short};
use crate::project::Project;
use crate::sessions::archive::{Archive, Version};
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

/// A session in one of the places, or in the archive.
enum Listed {
    Recorded(Found),
    Archived(Box<Version>),
}

impl Listed {
    /// When it began, as far as that is known without reading it.
    fn began(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Listed::Recorded(found) => found.name.began(zone),
            Listed::Archived(version) => Some(version.began.unwrap_or(version.modified)),
        }
    }
}

impl Row {
    fn archived(version: Version, path: PathBuf) -> Row {
        Row {
            session_name: super::id_of(&version).to_owned(),
            session_id: String::new(),
            status: super::ARCHIVED,
            title: version.title,
            agent_id: String::new(),
            agent_type: version.program,
            model: String::new(),
            username: String::new(),
            started_at: version.began,
            last_at: Some(version.modified),
            duration_seconds: version.began.map(|began| version.modified.duration_since(began).as_secs()),
            entry_count: None,
            path,
        }
    }

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
    let (archive, archived) = archived(cx, &project, &all);
    let mut all: Vec<Listed> = all.into_iter().map(Listed::Recorded).collect();
    all.extend(archived.into_iter().map(|version| Listed::Archived(Box::new(version))));
    // Names tell the minute; what is equal stays in their order.
    all.sort_by_cached_key(|one| Reverse(one.began(&zone)));
    let is_recent = |one: &Listed| one.began(&zone).is_none_or(|began| began >= first);
    let (count, mut rows) = (all.len(), Vec::new());
    for one in all.into_iter().filter(|one| args.all || is_recent(one)).take(args.limit) {
        match one {
            Listed::Archived(version) => rows.push((None, Row::archived(*version, archive.dir().to_owned()))),
            Listed::Recorded(found) => match Info::of(&found) {
                Ok(info) => rows.push((Some(info.status), Row::new(&found, info))),
                Err(e) => cx.ui.warn(&format!("cannot read session {}: {e}", found.name)),
            },
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
        if status == Some(Status::Orphaned) {
            table.tone(1, Tone::Warn);
        }
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

/// The archive of the project, and the sessions in it of which there is no recording.
pub(super) fn archived(cx: &Cx, project: &Project, recorded: &[Found]) -> (Archive, Vec<Version>) {
    let archive = super::archive::of(cx, project);
    let mut sessions = archive.sessions().unwrap_or_else(|e| {
        cx.ui.warn(&format!("sessions in the archive are left out: {e}"));
        Vec::new()
    });
    if !sessions.is_empty() {
        let recorded: BTreeSet<String> = recorded.iter().map(Info::native_id).collect();
        let is_recorded =
            |v: &Version| [&v.session, &v.thread].iter().any(|id| !id.is_empty() && recorded.contains(*id));
        sessions.retain(|version| !is_recorded(version));
    }
    (archive, sessions)
}
