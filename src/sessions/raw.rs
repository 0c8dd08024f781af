//! `raw.jsonl`: what was said and done in a session, an entry a line between a header and a footer; written by one writer, which redacts.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::kit::file::NOFOLLOW;
use crate::kit::gotime::GoTime;
use crate::kit::lock::FileLock;
use crate::kit::pointer;
use crate::redact::{Findings, Redactor};
use crate::tail::{Cursor, Tail};

/// The file's name.
pub const FILE: &str = "raw.jsonl";
/// Whoever appends holds this lock: hooks, commands and the daemon may all have something.
const LOCK: &str = "raw.jsonl.lock";
/// A batch takes far less.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The format's version.
const VERSION: &str = "1.0";
/// Lines are written when they come to so many bytes.
const BUFFER: usize = 1 << 20;
/// A line of which nobody has to know more than that it is an entry, in bytes.
const HEAD_MAX: u64 = 1 << 20;
/// The last line of a finished one has far less, in bytes.
const FOOTER_MAX: u64 = 4096;
/// A longer line is passed over, in bytes.
const LINE_MAX: usize = 64 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person said something.
    User,
    /// The agent did.
    Assistant,
    /// Its program did.
    System,
    /// A tool was called, or came back.
    Tool,
    /// Something else; only other programs write that.
    #[default]
    Info,
}

impl Kind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Assistant => "assistant",
            Kind::System => "system",
            Kind::Tool => "tool",
            Kind::Info => "info",
        }
    }

    /// As this program and others write it.
    fn named(name: &str) -> Kind {
        match name {
            "user" | "human" => Kind::User,
            "assistant" | "message" | "ai" | "model" => Kind::Assistant,
            "system" => Kind::System,
            "tool" | "tool_use" | "tool_call" | "tool_result" | "tool_output" => Kind::Tool,
            _ => Kind::Info,
        }
    }
}

/// An entry. What there is nothing of is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// What was said; empty of a call of a tool.
    pub content: String,
    /// When.
    pub timestamp: Option<Timestamp>,
    /// Its number, from 0; the writer gives it.
    pub seq: Option<i64>,
    /// The tool that was called.
    pub tool_name: String,
    /// What it was given, as JSON or text.
    pub tool_input: String,
    /// What it gave back.
    pub tool_output: String,
    /// It failed.
    pub is_error: bool,
    /// What call and result are matched by.
    pub call_id: String,
    /// What the transcript knows it by: an entry that was written is told from one that was not, also after a crash. Ours, additive.
    pub source_id: String,
}

/// What stands before the entries. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// When recording began.
    pub created_at: Option<Timestamp>,
    /// Whose session it is.
    pub agent_id: String,
    /// What the agent is.
    pub agent_type: String,
    /// The version of its program.
    pub agent_version: String,
    /// Its model.
    pub model: String,
    /// The person's name, never an address.
    pub username: String,
    /// The repository.
    pub repo_id: String,
    /// Our version.
    pub ox_version: String,
    /// The session's id.
    pub session_id: String,
    /// It was made from the agent's own transcript afterwards.
    pub is_recovered: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// What stands before the entries.
    Header(Box<Header>),
    /// An entry.
    Entry(Box<Entry>),
    /// What stands behind them: when recording ended.
    Footer(Option<Timestamp>),
    /// None of these.
    Damaged,
}

impl Header {
    fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("version".into(), VERSION.into());
        all.insert("created_at".into(), json!(GoTime(self.created_at)));
        let texts = [
            ("agent_id", &self.agent_id),
            ("agent_type", &self.agent_type),
            ("agent_version", &self.agent_version),
            ("model", &self.model),
            ("username", &self.username),
            ("repo_id", &self.repo_id),
            ("ox_version", &self.ox_version),
            ("session_id", &self.session_id),
        ];
        put_texts(&mut all, &texts);
        if self.is_recovered {
            all.insert("recovered".into(), true.into());
        }
        json!({ "type": "header", "metadata": all })
    }

    /// From either form of it: `metadata` of a header, or `_meta` with other names.
    fn of(all: &Value) -> Header {
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| all.get(name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        // In the other form a session's id is the agent's, unless that has a key of its own.
        let is_ours = all.get("agent_id").is_some();
        Header {
            created_at: time_of(all, &["created_at", "started_at"]),
            agent_id: text(&["agent_id", "session_id"]),
            agent_type: text(&["agent_type"]),
            agent_version: text(&["agent_version"]),
            model: text(&["model"]),
            username: text(&["username", "ox_username"]),
            repo_id: text(&["repo_id"]),
            ox_version: text(&["ox_version"]),
            session_id: if is_ours { text(&["session_id"]) } else { String::new() },
            is_recovered: all.get("recovered").and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

impl Entry {
    fn to_json(&self, seq: i64) -> Value {
        let mut all = Map::new();
        all.insert("type".into(), self.kind.name().into());
        all.insert("content".into(), self.content.as_str().into());
        all.insert("timestamp".into(), json!(GoTime(self.timestamp)));
        all.insert("seq".into(), seq.into());
        let texts = [
            ("tool_name", &self.tool_name),
            ("tool_input", &self.tool_input),
            ("tool_output", &self.tool_output),
            ("call_id", &self.call_id),
            ("source_id", &self.source_id),
        ];
        put_texts(&mut all, &texts);
        if self.is_error {
            all.insert("is_error".into(), true.into());
        }
        Value::Object(all)
    }

    fn of(all: &Value) -> Entry {
        let text = |name: &str| match all.get(name) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let kind = Kind::named(all.get("type").and_then(Value::as_str).unwrap_or_default());
        let places = ["/content", "/data/content", "/data/message", "/message", "/text", "/result"];
        let content = places.iter().find_map(|place| all.pointer(place)?.as_str()).unwrap_or_default();
        Entry {
            kind,
            content: content.to_owned(),
            timestamp: time_of(all, &["timestamp", "ts"]),
            seq: all.get("seq").and_then(Value::as_i64),
            tool_name: text("tool_name"),
            tool_input: text("tool_input"),
            tool_output: text("tool_output"),
            is_error: all.get("is_error").and_then(Value::as_bool).unwrap_or(false),
            call_id: text("call_id"),
            source_id: text("source_id"),
        }
    }
}

fn put_texts(all: &mut Map<String, Value>, texts: &[(&str, &String)]) {
    for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        all.insert((*name).to_owned(), text.as_str().into());
    }
}

fn time_of(all: &Value, names: &[&str]) -> Option<Timestamp> {
    names.iter().find_map(|name| GoTime::parse(all.get(name)?.as_str()?).ok()?.0)
}

impl Entry {
    /// The same without what counts as a secret by these rules.
    pub fn redacted(mut self, redactor: &Redactor) -> Entry {
        let texts = [&mut self.content, &mut self.tool_name, &mut self.tool_input, &mut self.tool_output];
        texts.into_iter().for_each(|text| drop(redactor.redact_text(text)));
        self
    }
}

impl Line {
    /// Reads a line, of this program or another.
    pub fn parse(line: &[u8]) -> Line {
        let Ok(all @ Value::Object(_)) = serde_json::from_slice::<Value>(line) else { return Line::Damaged };
        if let Some(meta) = all.get("_meta") {
            return Line::Header(Box::new(Header::of(meta)));
        }
        match all.get("type").and_then(Value::as_str) {
            Some("header") => Line::Header(Box::new(Header::of(&all["metadata"]))),
            Some("footer") => Line::Footer(time_of(&all, &["closed_at"])),
            Some(_) => Line::Entry(Box::new(Entry::of(&all))),
            None => Line::Damaged,
        }
    }
}

/// Hands out the lines of the file at `path`, those that are damaged too; what is too long is one of them.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path, on_line: &mut dyn FnMut(Line)) -> io::Result<()> {
    read_from(path, 0, on_line)
}

fn read_from(path: &Path, offset: u64, on_line: &mut dyn FnMut(Line)) -> io::Result<()> {
    let mut tail = Tail::new(path, Cursor { offset, ..Cursor::default() }).with_line_max(LINE_MAX);
    loop {
        let step = tail.step(&mut |_, line| {
            if !line.iter().all(u8::is_ascii_whitespace) {
                on_line(Line::parse(line));
            }
        })?;
        (0..step.too_long).for_each(|_| on_line(Line::Damaged));
        if !step.more {
            break;
        }
    }
    // Whoever wrote it may have left out the last newline, or was ended in the line.
    if !tail.rest().is_empty() {
        on_line(Line::parse(tail.rest()));
    }
    Ok(())
}

/// Whether a session has anything in it: an entry. What only stands for a file has not.
///
/// # Errors
/// It cannot be read.
pub fn is_substantive(path: &Path) -> io::Result<bool> {
    if is_pointer(path)? {
        return Ok(false);
    }
    let mut file = BufReader::new(open(path)?);
    let mut line = Vec::new();
    while (&mut file).take(HEAD_MAX).read_until(b'\n', &mut line)? > 0 {
        // Nothing but an entry is so long.
        if line.len() as u64 == HEAD_MAX || matches!(Line::parse(&line), Line::Entry(_)) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// Hands out the lines of the file at `path`, or where it has more than `max` bytes those at its beginning and at its end which are whole.
/// Answers whether that was all of it.
///
/// # Errors
/// It cannot be read.
pub(super) fn read_ends(path: &Path, max: u64, on_line: &mut dyn FnMut(Line)) -> io::Result<bool> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    if size <= max {
        read(path, on_line)?;
        return Ok(true);
    }
    for from in [0, size - max / 2] {
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(max / 2).read_to_end(&mut part)?;
        // What stands before the first newline of the end, or behind the last of the beginning, is no line.
        let part = match from {
            0 => memchr::memrchr(b'\n', &part).map_or(&[][..], |at| &part[..at]),
            _ => memchr::memchr(b'\n', &part).map_or(&[][..], |at| &part[at + 1..]),
        };
        part.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(|line| on_line(Line::parse(line)));
    }
    Ok(false)
}

/// Opens a file of a session to read; a link in its place is an error.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path)
}

/// Whether the file only stands for one that is kept elsewhere (git-lfs).
///
/// # Errors
/// It cannot be read.
pub fn is_pointer(path: &Path) -> io::Result<bool> {
    let file = open(path)?;
    let mut head = Vec::new();
    // One byte more than such a file has at most.
    file.take(pointer::MAX as u64 + 1).read_to_end(&mut head)?;
    Ok(pointer::is_pointer(&head))
}

/// Appends to the `raw.jsonl` of a session. Every string of a line passes the redactor; there is no other way to write one.
#[derive(Debug)]
pub struct Writer<'r> {
    file: File,
    _lock: FileLock,
    lock_path: PathBuf,
    redactor: &'r Redactor,
    next_seq: i64,
    /// Bytes of the file on disk.
    size: u64,
    buffer: Vec<u8>,
    found: Findings,
    appended: u64,
}

/// What a writer wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entries.
    pub entries: u64,
    /// The number of the next entry.
    pub next_seq: i64,
    /// Bytes of the file, all of them on disk.
    pub size: u64,
    /// What was replaced.
    pub found: Findings,
}

impl<'r> Writer<'r> {
    /// Opens the file of the session directory `dir`, making it with `header` if it is not there. A last line that a crash has cut off goes.
    /// Nobody else writes until this is dropped.
    ///
    /// # Errors
    /// Somebody else is writing for too long, the file is a link or stands for one kept elsewhere, or the disk refuses.
    pub fn open(dir: &Path, header: &Header, redactor: &'r Redactor) -> io::Result<Writer<'r>> {
        Writer::with(lock(dir)?, dir, header, redactor)
    }

    /// As [`open`](Writer::open), for who has the lock of `dir`.
    pub(super) fn with(
        lock: FileLock,
        dir: &Path,
        header: &Header,
        redactor: &'r Redactor,
    ) -> io::Result<Writer<'r>> {
        let lock_path = dir.join(LOCK);
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NOFOLLOW);
        let file = options.open(&path)?;
        if is_pointer(&path)? {
            let text = "the transcript is kept elsewhere; ox session download brings it back";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let size = whole_lines(&file)?;
        file.set_len(size)?;
        let next_seq = next_seq(&file, &path, size)?;
        let (buffer, found) = (Vec::new(), Findings::default());
        let mut writer =
            Writer { file, _lock: lock, lock_path, redactor, next_seq, size, buffer, found, appended: 0 };
        if size == 0 {
            writer.put(header.to_json());
        }
        Ok(writer)
    }

    /// Bytes of the file that are on disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The ids of entries that stand behind the first `size` bytes: written by somebody who could not say so any more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn ids_behind(&self, dir: &Path, size: u64) -> io::Result<HashSet<String>> {
        let mut ids = HashSet::new();
        if size < self.size {
            let mut take = |line| {
                if let Line::Entry(entry) = line
                    && !entry.source_id.is_empty()
                {
                    ids.insert(entry.source_id);
                }
            };
            read_from(&dir.join(FILE), size, &mut take)?;
        }
        Ok(ids)
    }

    /// Appends an entry; it gets the next number.
    ///
    /// # Errors
    /// The disk refuses; what was appended since the last [`commit`](Writer::commit) is then taken back.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let line = entry.to_json(self.next_seq);
        self.put(line);
        self.next_seq += 1;
        self.appended += 1;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Has everything on disk.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn commit(&mut self) -> io::Result<Written> {
        self.flush()?;
        self.file.sync_data()?;
        self.size = self.file.metadata()?.len();
        Ok(Written {
            entries: self.appended,
            next_seq: self.next_seq,
            size: self.size,
            found: self.found.clone(),
        })
    }

    /// Writes what stands behind the entries, has it on disk, and takes the lock's file away.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub fn close(mut self, now: Timestamp) -> io::Result<Written> {
        let written = self.end(now)?;
        self.release();
        Ok(written)
    }

    /// Writes what stands behind the entries, and has it on disk.
    ///
    /// # Errors
    /// As [`append`](Writer::append).
    pub(super) fn end(&mut self, now: Timestamp) -> io::Result<Written> {
        // Whoever wrote it may have been ended before it could say so.
        if self.appended == 0 && self.is_ended()? {
            return self.commit();
        }
        self.put(json!({ "type": "footer", "closed_at": GoTime(Some(now)), "entry_count": self.next_seq }));
        self.commit()
    }

    /// Whether the last line of the file is its end.
    fn is_ended(&self) -> io::Result<bool> {
        let mut last = vec![0; usize::try_from(self.size.min(FOOTER_MAX)).unwrap_or_default()];
        self.file.read_exact_at(&mut last, self.size.saturating_sub(FOOTER_MAX))?;
        let last = last.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        Ok(last.is_some_and(|last| matches!(Line::parse(last), Line::Footer(_))))
    }

    /// Takes the lock's file away. Whoever comes for it later makes it anew; who waits for it now sees that it is gone.
    pub(super) fn release(self) {
        let _ = std::fs::remove_file(&self.lock_path);
    }

    fn put(&mut self, mut line: Value) {
        self.found.merge(&self.redactor.redact_json(&mut line));
        // Into memory: a value is always written.
        let _ = serde_json::to_writer(&mut self.buffer, &line);
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.file.seek(SeekFrom::End(0)).and_then(|_| self.file.write_all(&self.buffer));
        self.buffer.clear();
        written.inspect_err(|_| {
            // Half a batch would be taken for a whole one.
            let _ = self.file.set_len(self.size);
        })
    }
}

/// Nobody else writes to the session in `dir` until this is dropped.
pub(super) fn lock(dir: &Path) -> io::Result<FileLock> {
    FileLock::acquire(&dir.join(LOCK), LOCK_WAIT)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "somebody else is writing to the session"))
}

/// Removes what the lock leaves, of a session that is finished or thrown away; called while it is held.
pub(super) fn unlock(dir: &Path) {
    let _ = std::fs::remove_file(dir.join(LOCK));
    // Whoever threw it away took the directory along, and the lock has made it anew; one with anything in it stays.
    let _ = std::fs::remove_dir(dir);
}

/// Bytes up to the last newline.
pub(super) fn whole_lines(file: &File) -> io::Result<u64> {
    const PIECE: usize = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut piece = vec![0; PIECE];
    while end > 0 {
        let n = usize::try_from(end).map_or(PIECE, |end| end.min(PIECE));
        let start = end - n as u64;
        file.read_exact_at(&mut piece[..n], start)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece[..n]) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The number of the entry that comes next in the session directory `dir`; 0 where nothing has been written.
///
/// # Errors
/// The transcript cannot be read.
pub fn next_seq_in(dir: &Path) -> io::Result<i64> {
    let path = dir.join(FILE);
    match open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
        Ok(file) => next_seq(&file, &path, whole_lines(&file)?),
    }
}

/// The number behind that of the last entry: from the last lines, or where these have none by counting all.
fn next_seq(file: &File, path: &Path, size: u64) -> io::Result<i64> {
    // Longer ones only where the lines are.
    for last in [256 << 10, 8 << 20, LINE_MAX as u64] {
        let from = size.saturating_sub(last);
        let mut last = vec![0; usize::try_from(size - from).unwrap_or_default()];
        file.read_exact_at(&mut last, from)?;
        let numbered = last.rsplit(|b| *b == b'\n').find_map(|line| match Line::parse(line) {
            Line::Entry(entry) => entry.seq,
            _ => None,
        });
        if let Some(seq) = numbered {
            return Ok(seq + 1);
        }
        if from == 0 {
            break;
        }
    }
    let mut entries = 0;
    read(path, &mut |line| entries += i64::from(matches!(line, Line::Entry(_))))?;
    Ok(entries)
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
