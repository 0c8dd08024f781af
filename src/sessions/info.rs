//! What is known of a session at a glance.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::Name;
use super::finish::is_to_be_shared;
use super::place::{Found, Place};
use super::raw::{self, Header, Kind, Line};
use super::recording::{Recording, State};
use crate::kit::file::{self, NOFOLLOW};
use crate::kit::gotime::GoTime;
use crate::kit::process::{Seen, StartedAt, probe};

/// A larger file beside the transcript is not read, in bytes.
const BESIDE_MAX: usize = 1 << 20;
/// For a title alone, a transcript is read no further, in bytes.
const HEAD_MAX: u64 = 256 << 10;
/// Characters of a title that is made of what the person said first.
const TITLE_MAX: usize = 72;

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being recorded.
    Recording,
    /// It is being recorded, and its agent has said not to share what comes now.
    Paused,
    /// It is being recorded, and its agent has ended without a word.
    Orphaned,
    /// It was stopped and is not finished yet.
    Stopped,
    /// It is finished, on this machine alone.
    Local,
    /// It is in the ledger.
    Shared,
}

impl Status {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Recording => "recording",
            Status::Paused => "paused",
            Status::Orphaned => "orphaned",
            Status::Stopped => "stopped",
            Status::Local => "local",
            Status::Shared => "shared",
        }
    }
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// How it stands.
    pub status: Status,
    /// What it is about: its title, or what the person said first; may be empty.
    pub title: String,
    /// What its first line says, as far as it is known.
    pub header: Header,
    /// Its entries; none where only others have its content.
    pub entries: Option<u64>,
    /// When the last of it happened.
    pub last: Option<Timestamp>,
    /// What is being recorded.
    pub recording: Option<Box<Recording>>,
    /// Its content is on this machine.
    pub is_here: bool,
}

/// What of `meta.json` and `summary.json` is shown. Both are other machines' data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    title: String,
    username: String,
    agent_id: String,
    agent_type: String,
    model: String,
    session_id: String,
    native_session: String,
    created_at: GoTime,
    entry_count: Option<u64>,
    summary: String,
}

/// What a session was about, read off what lies beside its transcript and, where that says nothing, off its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Its title, or what the person said first; may be empty.
    pub title: String,
    /// A paragraph about it; may be empty.
    pub summary: String,
    /// Whose it is.
    pub username: String,
    /// The agent's program.
    pub agent_type: String,
}

impl Glance {
    /// Looks; what cannot be read is left empty.
    pub fn of(found: &Found) -> Glance {
        let meta: Meta = beside(&found.dir, "meta.json");
        let summary: Meta = beside(&found.dir, "summary.json");
        let (mut title, mut username, mut agent_type) = (String::new(), String::new(), String::new());
        fill(&mut title, &[&summary.title, &meta.title]);
        fill(&mut username, &[&meta.username, found.name.user()]);
        fill(&mut agent_type, &[&meta.agent_type]);
        if title.is_empty() || agent_type.is_empty() {
            let mut seen = Passed::default();
            let head = head(&found.dir.join(raw::FILE)).unwrap_or_default();
            head.split(|byte| *byte == b'\n').for_each(|line| seen.line(Line::parse(line)));
            fill(&mut title, &[&seen.first]);
            fill(&mut agent_type, &[&seen.header.unwrap_or_default().agent_type]);
        }
        Glance { title, summary: summary.summary, username, agent_type }
    }
}

/// The beginning of a file that is no link.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path)?;
    let mut head = Vec::new();
    file.take(HEAD_MAX).read_to_end(&mut head)?;
    Ok(head)
}

impl Info {
    /// Looks at a session. What is missing of it is left empty.
    ///
    /// # Errors
    /// Its transcript is there and cannot be read.
    pub fn of(found: &Found) -> io::Result<Info> {
        let recording = match Recording::load(&found.dir) {
            State::Some(recording) => Some(recording),
            State::None | State::Unreadable(_) => None,
        };
        let meta: Meta = beside(&found.dir, "meta.json");
        let summary: Meta = beside(&found.dir, "summary.json");
        let path = found.dir.join(raw::FILE);
        let is_here = match raw::is_pointer(&path) {
            Ok(is_pointer) => !is_pointer,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        let mut seen = Passed::default();
        if is_here {
            raw::read(&path, &mut |line| seen.line(line))?;
        }
        let mut header = seen.header.unwrap_or_default();
        fill(&mut header.agent_id, &[&meta.agent_id, found.name.agent()]);
        fill(&mut header.agent_type, &[&meta.agent_type, recording.as_deref().map_or("", Recording::kind)]);
        fill(&mut header.username, &[&meta.username, found.name.user()]);
        fill(&mut header.model, &[&meta.model]);
        fill(&mut header.session_id, &[&meta.session_id]);
        header.created_at = header.created_at.or(meta.created_at.0);
        let mut title = recording.as_ref().map(|r| r.title.clone()).unwrap_or_default();
        fill(&mut title, &[&summary.title, &meta.title, &seen.first]);
        Ok(Info {
            status: status(found, recording.as_deref()),
            title,
            header,
            entries: if is_here { Some(seen.entries) } else { meta.entry_count },
            last: seen.last,
            recording,
            is_here,
        })
    }

    /// Whose session lies in `dir` under a name: by its notes, else by the first line of its transcript, else by the name. Reads no more.
    pub fn person(dir: &Path, name: &Name) -> String {
        let meta: Meta = beside(dir, "meta.json");
        let mut person = meta.username;
        if person.is_empty()
            && let Some(Line::Header(header)) = first_line(&dir.join(raw::FILE))
        {
            person = header.username;
        }
        fill(&mut person, &[name.user()]);
        person
    }

    /// What the program of a session's agent calls it; empty if that is not known. Reads no transcript.
    pub fn native_id(found: &Found) -> String {
        match Recording::load(&found.dir) {
            State::Some(recording) => recording.native_session,
            State::None | State::Unreadable(_) => beside(&found.dir, "meta.json").native_session,
        }
    }

    /// How long it took so far.
    pub fn took(&self) -> Option<jiff::SignedDuration> {
        Some(self.last?.duration_since(self.header.created_at?))
    }
}

fn status(found: &Found, recording: Option<&Recording>) -> Status {
    match (recording, found.place) {
        (Some(r), _) if !r.stopped_at.is_zero() => Status::Stopped,
        (Some(r), _) if !lives(r) => Status::Orphaned,
        (Some(r), _) if r.is_paused() => Status::Paused,
        (Some(_), _) => Status::Recording,
        (None, Place::Ledger) => Status::Shared,
        // A copy that was kept, because something is owed to it or somebody fetched it.
        (None, _) if found.in_ledger && !is_to_be_shared(&found.dir) => Status::Shared,
        (None, _) => Status::Local,
    }
}

/// Whether the agent of a recording may live: only what is proven to have ended has.
pub fn lives(recording: &Recording) -> bool {
    if recording.parent_pid == 0 {
        return true;
    }
    match probe(recording.parent_pid) {
        Seen::Gone => false,
        Seen::Lives(Some(start)) => recording.parent_start == 0 || start == StartedAt(recording.parent_start),
        Seen::Lives(None) | Seen::Unknown => true,
    }
}

/// What is read off a transcript on the way through it.
#[derive(Debug, Default)]
struct Passed {
    header: Option<Header>,
    entries: u64,
    first: String,
    last: Option<Timestamp>,
}

impl Passed {
    fn line(&mut self, line: Line) {
        match line {
            // A header that comes again says what has changed.
            Line::Header(header) => self.header = Some(*header),
            Line::Entry(entry) => {
                self.entries += 1;
                self.last = self.last.max(entry.timestamp);
                if self.first.is_empty() && entry.kind == Kind::User {
                    self.first = headline(&entry.content);
                }
            }
            Line::Footer(_) | Line::Damaged => {}
        }
    }
}

/// The first line of what somebody said, cut to a title.
pub(super) fn headline(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(TITLE_MAX) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line.to_owned(),
    }
}

fn fill(text: &mut String, others: &[&str]) {
    if let Some(other) = others.iter().find(|other| !other.is_empty()).filter(|_| text.is_empty()) {
        (*other).clone_into(text);
    }
}

/// The first line of a transcript.
fn first_line(path: &Path) -> Option<Line> {
    let file = OpenOptions::new().read(true).custom_flags(file::NOFOLLOW).open(path).ok()?;
    let mut line = Vec::new();
    BufReader::new(file.take(BESIDE_MAX as u64)).read_until(b'\n', &mut line).ok()?;
    Some(Line::parse(&line))
}

fn beside(dir: &Path, name: &str) -> Meta {
    let bytes = file::read_capped(&dir.join(name), BESIDE_MAX).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn session(dir: &Path, place: Place) -> Found {
        Found {
            name: Name::parse("2026-03-12T11-09-dana-OxTndR").unwrap(),
            dir: dir.to_owned(),
            place,
            in_ledger: false,
        }
    }

    #[test]
    fn a_session_is_told_by_what_there_is_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let bare = Info::of(&session(dir, Place::Local)).unwrap();
        assert_eq!((bare.status, bare.entries, bare.is_here), (Status::Local, None, false));
        assert_eq!((bare.header.agent_id.as_str(), bare.header.username.as_str()), ("OxTndR", "dana"));
        let lines = "{\"type\":\"header\",\"metadata\":{\"agent_type\":\"codex\",\"created_at\":\"2026-03-12T09:09:00Z\"}}\n\
                     {\"type\":\"user\",\"content\":\"\\n Fix the parser \\nplease\",\"timestamp\":\"2026-03-12T09:10:00Z\"}\n\
                     {\"type\":\"assistant\",\"content\":\"done\",\"timestamp\":\"2026-03-12T09:19:00Z\"}\n";
        fs::write(dir.join(raw::FILE), lines).unwrap();
        let info = Info::of(&session(dir, Place::Ledger)).unwrap();
        assert_eq!(
            (info.status, info.entries, info.title.as_str()),
            (Status::Shared, Some(2), "Fix the parser")
        );
        assert_eq!(info.took().unwrap().as_secs(), 600);
        fs::write(dir.join("summary.json"), r#"{"title":"Parser mended","key_actions":null}"#).unwrap();
        let session = session(dir, Place::Ledger);
        assert_eq!(Info::of(&session).unwrap().title, "Parser mended");
        let glance = Glance::of(&session);
        assert_eq!(
            (&*glance.title, &*glance.agent_type, &*glance.username),
            ("Parser mended", "codex", "dana")
        );
        fs::remove_file(dir.join("summary.json")).unwrap();
        assert_eq!(Glance::of(&session).title, "Fix the parser");
    }

    #[test]
    fn what_others_have_is_told_by_its_notes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join(raw::FILE), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
            .unwrap();
        fs::write(
            dir.join("meta.json"),
            r#"{"title":"T","entry_count":7,"agent_type":"gemini","created_at":"2026-03-12T09:09:00Z","files":{}}"#,
        )
        .unwrap();
        let info = Info::of(&session(dir, Place::Ledger)).unwrap();
        assert_eq!((info.title.as_str(), info.entries, info.is_here), ("T", Some(7), false));
        assert_eq!(info.header.agent_type, "gemini");
    }

    #[test]
    fn agt_07_a_recording_lives_while_its_agent_may() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let now: Timestamp = "2026-03-12T09:09:00Z".parse().unwrap();
        let me = std::process::id();
        let Seen::Lives(Some(StartedAt(start))) = probe(me) else { return };
        let check = |change: &dyn Fn(&mut Recording), expected| {
            let mut recording = Recording::new("OxTndR", now);
            change(&mut recording);
            fs::write(dir.join(super::super::recording::FILE), serde_json::to_vec(&recording).unwrap())
                .unwrap();
            assert_eq!(Info::of(&session(dir, Place::Local)).unwrap().status, expected);
        };
        check(&|_| (), Status::Recording);
        check(&|r| (r.parent_pid, r.parent_start) = (me, start), Status::Recording);
        check(&|r| (r.parent_pid, r.parent_start) = (me, start + 1), Status::Orphaned);
        check(&|r| r.parent_pid = u32::MAX, Status::Orphaned);
        check(&|r| (r.parent_pid, r.stopped_at) = (u32::MAX, now.into()), Status::Stopped);
    }
}
