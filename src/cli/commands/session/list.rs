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

/// A recording may begin so long before its program writes anything down.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);

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
enum Listed<'f> {
    Recorded(&'f Found),
    Archived(Box<Version>),
}

impl Listed<'_> {
    /// When it began, as far as that is known without reading it.
    fn began(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Listed::Recorded(found) => found.name.began(zone),
            Listed::Archived(version) => Some(version.began.unwrap_or(version.modified)),
        }
    }
}

/// What programs call the sessions that were recorded, read off their notes as far back as is asked for.
struct NativeIds<'f> {
    /// Those that were not read yet, newest first.
    left: std::slice::Iter<'f, Found>,
    ids: BTreeSet<String>,
}

impl<'f> NativeIds<'f> {
    fn of(recorded: &'f [Found]) -> NativeIds<'f> {
        NativeIds { left: recorded.iter(), ids: BTreeSet::new() }
    }

    /// Whether there is a recording of a session in the archive.
    fn have(&mut self, version: &Version, zone: &TimeZone) -> bool {
        self.have_one_of([&version.session, &version.thread], version.began, zone)
    }

    fn have_one_of(&mut self, known: [&str; 2], began: Option<Timestamp>, zone: &TimeZone) -> bool {
        let since = began.and_then(|began| began.checked_sub(AHEAD).ok());
        loop {
            let mut ahead = self.left.clone();
            let Some(found) = ahead.next() else { break };
            let began = since.and_then(|_| found.name.began(zone));
            if began.zip(since).is_some_and(|(began, since)| began < since) {
                break;
            }
            self.ids.insert(Info::native_id(found));
            self.left = ahead;
        }
        known.iter().any(|id| !id.is_empty() && self.ids.contains(*id))
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
    let (recorded, unread) = super::places(cx, &project).all();
    for (dir, e) in unread {
        cx.ui.warn(&format!("cannot look for sessions: {}: {e}", dir.display()));
    }
    let zone = TimeZone::system();
    let first = cx.now().checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let (archive, versions) = in_archive(cx, &project);
    let mut ids = NativeIds::of(&recorded);
    let archived = versions.into_iter().map(|version| Listed::Archived(Box::new(version)));
    let listed = recorded.iter().map(Listed::Recorded).chain(archived);
    let mut all: Vec<_> = listed.map(|one| (one.began(&zone), one)).collect();
    // Names tell the minute; what is equal stays in their order.
    all.sort_by_key(|(began, _)| Reverse(*began));
    let is_any = !all.is_empty();
    let (mut count, mut rows) = (0, Vec::new());
    for (began, one) in all {
        let is_wanted = rows.len() < args.limit && (args.all || began.is_none_or(|began| began >= first));
        // Only the document says how many there are, for which all have to be looked at.
        if !is_wanted && !cx.ui.json() {
            continue;
        }
        if matches!(&one, Listed::Archived(version) if ids.have(version, &zone)) {
            continue;
        }
        count += 1;
        match one {
            _ if !is_wanted => {}
            Listed::Archived(version) => rows.push((None, Row::archived(*version, archive.dir().to_owned()))),
            Listed::Recorded(found) => match Info::of(found) {
                Ok(info) => rows.push((Some(info.status), Row::new(found, info))),
                Err(e) => cx.ui.warn(&format!("cannot read session {}: {e}", found.name)),
            },
        }
    }
    // Of those of a minute the one that began last comes first.
    rows.sort_by_key(|(_, row)| Reverse(row.started_at));
    if cx.ui.json() {
        let rows: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
        return cx.ui.document(&json!({ "sessions": rows, "total": count }));
    }
    if rows.is_empty() {
        cx.ui.note(if is_any {
            "no sessions in the last 7 days"
        } else {
            "no session was recorded on this machine, and the ledger has none"
        });
        if is_any {
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

/// The archive of the project, and all sessions in it.
fn in_archive(cx: &Cx, project: &Project) -> (Archive, Vec<Version>) {
    let archive = super::archive::of(cx, project);
    let sessions = archive.sessions().unwrap_or_else(|e| {
        cx.ui.warn(&format!("sessions in the archive are left out: {e}"));
        Vec::new()
    });
    (archive, sessions)
}

/// The archive of the project, and the sessions in it of which there is no recording. `recorded` are the recordings, newest first.
pub(super) fn archived(cx: &Cx, project: &Project, recorded: &[Found]) -> (Archive, Vec<Version>) {
    let (archive, mut sessions) = in_archive(cx, project);
    let (mut ids, zone) = (NativeIds::of(recorded), TimeZone::system());
    sessions.retain(|version| !ids.have(version, &zone));
    (archive, sessions)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sessions::{Name, Place};

    #[test]
    fn notes_are_read_as_far_back_as_a_session_of_the_archive_may_have_been_recorded() {
        let tmp = tempfile::tempdir().unwrap();
        let recorded: Vec<Found> = (1..=28)
            .rev()
            .map(|day| {
                let name = Name::parse(&format!("2026-03-{day:02}T11-09-dana-OxTndR")).unwrap();
                let dir = tmp.path().join(&*name);
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("meta.json"), format!("{{\"native_session\":\"s{day}\"}}")).unwrap();
                Found { dir, place: Place::Local, name, in_ledger: false }
            })
            .collect();
        let mut ids = NativeIds::of(&recorded);
        let mut check = |session: &str, began: Option<&str>, has: bool, left: usize| {
            let began = began.map(|day| format!("2026-03-{day}T11:09:00Z").parse().unwrap());
            let found = ids.have_one_of(["", session], began, &TimeZone::UTC);
            assert_eq!((found, ids.left.len()), (has, left), "{session}");
        };
        check("s28", Some("28"), true, 20);
        check("other", Some("28"), false, 20);
        check("s27", Some("26"), true, 18);
        check("s1", Some("26"), false, 18);
        check("s1", None, true, 0);
    }
}
