//! Takes over into a recording what its agent's transcript has: each fact once, whoever is ended at whatever moment.
//!
//! A step reads the transcript from where the last one stopped, appends what is new to `raw.jsonl`, has that on disk, and only then notes in
//! `.tail.json` how far it is and what the reader knows. Who is ended in between leaves entries behind the noted size of `raw.jsonl`; the
//! next step, of whichever process, reads the same part of the transcript again and leaves those out by their ids. What answers cost goes
//! into `usage.jsonl` the same way; what stands behind its noted size is cut off, and written again with what else is read again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::raw::{self, Entry, Header, Kind, Writer};
use super::recording::{Recording, State};
use super::rows::Rows;
use super::usage;
use crate::harness::transcript::opencode::{Cannot, Opencode};
use crate::harness::transcript::places::is_below;
use crate::harness::transcript::{Fact, Reader, Role, Skipped, Thread, What};
use crate::kit::file;
use crate::kit::lock::FileLock;
use crate::redact::{Findings, Redactor};
use crate::tail::{Cursor, Tail};

/// How far a transcript has been taken over.
const FILE: &str = ".tail.json";
/// A larger one is none of ours, in bytes: what a reader remembers has its limits.
const FILE_MAX: usize = 8 << 20;

/// Why a recording's transcript cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// There is no recording there.
    #[error("nothing is being recorded there")]
    NotRecording,
    /// It cannot be read.
    #[error("the recording cannot be read: {0}")]
    Unreadable(String),
    /// The transcript has not been found yet.
    #[error("the agent's transcript is not known yet")]
    NoTranscript,
    /// It is none of the agent's: whoever wrote the recording would have another file taken over.
    #[error("{} is no transcript of {kind}: it lies elsewhere", path.display())]
    Elsewhere {
        /// What is named.
        path: PathBuf,
        /// The program.
        kind: String,
    },
    /// Nothing reads the transcripts of that program.
    #[error("no transcript of {0} can be read")]
    NoReader(String),
    /// The database that the transcript stands in cannot be read now.
    #[error(transparent)]
    Database(#[from] Cannot),
    /// The disk refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What `.tail.json` says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    transcript: PathBuf,
    cursor: Cursor,
    /// Bytes of the transcript that another program had taken over already when this one took it up.
    from: u64,
    /// Bytes of `raw.jsonl` that hold what the reader has passed.
    raw_size: u64,
    /// The same of `usage.jsonl`.
    usage_size: u64,
    reader: Option<Reader>,
    /// The reader of a session in a database, which knows itself how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Opencode>,
    thread: Thread,
}

/// Where a transcript is read.
#[derive(Debug)]
enum Source {
    /// In a file of lines.
    Lines(Tail),
    /// In a database.
    Rows(Rows),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Source::Lines(tail) => tail.path(),
            Source::Rows(rows) => rows.path(),
        }
    }

    /// The same, from where `saved` stands.
    fn anew(&self, saved: &Saved) -> Source {
        match self {
            Source::Lines(tail) => Source::Lines(Tail::new(tail.path(), saved.cursor)),
            Source::Rows(rows) => Source::Rows(Rows::new(rows.path())),
        }
    }
}

/// A recording that is followed.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    recording: Recording,
    saved: Saved,
    source: Source,
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Entries that were appended.
    pub entries: u64,
    /// There is more to read now.
    pub more: bool,
    /// Bytes that the transcript has got; of a database nothing is said.
    pub bytes: u64,
    /// Facts that were told of it.
    pub facts: u64,
    /// Secrets that were replaced.
    pub found: Findings,
}

impl Follower {
    /// Takes up the recording in the session directory `dir` where it was left. `roots` gives the directories below which the transcripts of a
    /// program lie.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn open(dir: &Path, roots: impl Fn(&str) -> Vec<PathBuf>) -> Result<Follower, FollowError> {
        let recording = match Recording::load(dir) {
            State::Some(recording) => *recording,
            State::None => return Err(FollowError::NotRecording),
            State::Unreadable(why) => return Err(FollowError::Unreadable(why)),
        };
        if recording.session_file.is_empty() {
            return Err(FollowError::NoTranscript);
        }
        let is_rows = Opencode::of(&recording.adapter_name, "").is_some();
        if !is_rows && Reader::of(&recording.adapter_name).is_none() {
            return Err(FollowError::NoReader(recording.adapter_name));
        }
        if is_rows && recording.native_session.is_empty() {
            return Err(FollowError::NoTranscript);
        }
        let transcript = PathBuf::from(&recording.session_file);
        if !is_below(&transcript, &roots(&recording.adapter_name)) {
            return Err(FollowError::Elsewhere { path: transcript, kind: recording.adapter_name });
        }
        // Whoever was ended in the middle of writing down how far it was.
        file::remove_leftovers(dir);
        let saved = load(dir, &transcript, &recording)?;
        let source = if is_rows {
            Source::Rows(Rows::new(&transcript))
        } else {
            Source::Lines(Tail::new(&transcript, saved.cursor))
        };
        Ok(Follower { dir: dir.to_owned(), recording, saved, source })
    }

    /// The recording, as it was when it was taken up.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// What the transcript says of its thread, as far as it was read.
    pub fn thread(&self) -> &Thread {
        &self.saved.thread
    }

    /// What the reader passed over.
    pub fn skipped(&self) -> Skipped {
        let of_rows = self.saved.rows.as_ref().map(Opencode::skipped);
        self.saved.reader.as_ref().map(Reader::skipped).or(of_rows).unwrap_or_default()
    }

    /// Whether the transcript is as it was after the last step: its length is what was read, and it is the same file; or nobody has written
    /// to the database that it is in. Costs a look.
    pub fn is_level(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let tail = match &self.source {
            Source::Lines(tail) => tail,
            Source::Rows(rows) => return rows.is_level(),
        };
        let cursor = tail.cursor();
        fs::symlink_metadata(tail.path()).is_ok_and(|meta| {
            let read = cursor.offset + tail.rest().len() as u64;
            meta.ino() == cursor.inode && meta.dev() == cursor.device && meta.len() == read
        })
    }

    /// Takes over what is new, at most as much as a step of [`Tail`]. `header` stands before the first entry.
    ///
    /// # Errors
    /// The transcript cannot be read, or the recording not written; the next step goes on from the same place.
    pub fn step(&mut self, header: &Header, redactor: &Redactor) -> Result<Step, FollowError> {
        let done = self.take_over(header, redactor);
        if done.is_err() {
            // What was read and not written is read again, from what is on disk.
            self.saved = Saved { raw_size: u64::MAX, ..Saved::default() };
            self.source = self.source.anew(&self.saved);
        }
        done
    }

    fn take_over(&mut self, header: &Header, redactor: &Redactor) -> Result<Step, FollowError> {
        // Whoever finished it has written its end.
        if matches!(Recording::load(&self.dir), State::None) {
            return Err(FollowError::NotRecording);
        }
        let mut writer = Writer::with(self.locked()?, &self.dir, header, redactor)?;
        // Somebody else may have gone on meanwhile; what is on disk counts.
        if writer.size() != self.saved.raw_size {
            let saved = load(&self.dir, self.source.path(), &self.recording)?;
            if saved.cursor != self.saved.cursor || saved.rows != self.saved.rows {
                self.source = self.source.anew(&saved);
            }
            self.saved = saved;
        }
        let written = writer.ids_behind(&self.dir, self.saved.raw_size)?;
        let mut taken = Taken { written, entries: Vec::new(), spent: Vec::new(), facts: 0 };
        let before = self.saved.cursor.offset;
        let more = self.read(&mut taken)?;
        let bytes = self.saved.cursor.offset.saturating_sub(before);
        for entry in &taken.entries {
            writer.append(entry)?;
        }
        self.saved.usage_size = usage::append(&self.dir, self.saved.usage_size, &taken.spent, redactor)?;
        let done = writer.commit()?;
        self.saved.raw_size = done.size;
        self.saved.transcript = self.source.path().to_owned();
        file::write_atomic(
            &self.dir.join(FILE),
            &serde_json::to_vec(&self.saved).map_err(io::Error::from)?,
            0o600,
        )?;
        Ok(Step { entries: done.entries, more, bytes, facts: taken.facts, found: done.found })
    }

    /// The lock of a session that is being recorded still; where it has ended meanwhile, nothing of the lock stays.
    fn locked(&self) -> Result<FileLock, FollowError> {
        let lock = raw::lock(&self.dir)?;
        if matches!(Recording::load(&self.dir), State::None) {
            raw::unlock(&self.dir);
            return Err(FollowError::NotRecording);
        }
        Ok(lock)
    }

    /// Reads what is new, at most a step of it; whether there is more now.
    fn read(&mut self, taken: &mut Taken) -> Result<bool, FollowError> {
        let Saved { cursor, reader, rows, thread, from, .. } = &mut self.saved;
        let Recording { adapter_name: kind, native_session, start_offset, .. } = &self.recording;
        let start = (*start_offset).max(*from);
        let began = self.recording.started_at.0;
        // What was said before recording began is read, since what follows builds on it, and not taken over.
        let mut take = |fact: Fact, is_behind: Option<bool>| {
            taken.facts += 1;
            let is_earlier = !is_behind.unwrap_or(fact.time >= began || fact.time.is_none());
            match fact.what {
                What::Thread(of) => *thread = of,
                _ if is_earlier => {}
                What::Spent(spent) => taken.spent.push(usage::Line::new(kind, &spent, thread, fact.time)),
                _ => taken.add(fact),
            }
        };
        let mut facts = Vec::new();
        match &mut self.source {
            Source::Lines(tail) => {
                let no_reader = || FollowError::NoReader(kind.clone());
                let reader = match reader {
                    Some(reader) => reader,
                    None => reader.insert(Reader::of(kind).ok_or_else(no_reader)?),
                };
                let step = tail.step(&mut |offset, line| {
                    reader.line(line, &mut facts);
                    facts.drain(..).for_each(|fact| take(fact, (start > 0).then_some(offset >= start)));
                })?;
                *cursor = tail.cursor();
                Ok(step.more)
            }
            Source::Rows(source) => {
                let reader = rows.get_or_insert_with(|| Opencode::new(native_session));
                let more = source.step(reader, &mut facts)?;
                facts.into_iter().for_each(|fact| take(fact, None));
                Ok(more)
            }
        }
    }

    /// Takes over everything that is there.
    ///
    /// # Errors
    /// As [`step`](Follower::step).
    pub fn drain(&mut self, header: &Header, redactor: &Redactor) -> Result<Step, FollowError> {
        let mut all = Step::default();
        loop {
            let step = self.step(header, redactor)?;
            all.entries += step.entries;
            all.found.merge(&step.found);
            if !step.more {
                return Ok(all);
            }
        }
    }

    /// Notes in `.recording.json` how far it is, for whoever reads only that.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, entries: u64) -> io::Result<()> {
        let (offset, thread) = (self.saved.cursor.offset, &self.saved.thread);
        Recording::update(&self.dir, |recording| {
            recording.source_offset = offset;
            recording.entry_count += i64::try_from(entries).unwrap_or(0);
            if !thread.model.is_empty() {
                recording.model.clone_from(&thread.model);
            }
        })
        .map(drop)
    }
}

/// Removes what only following needs, of a recording that is finished.
///
/// # Errors
/// The disk refuses.
pub fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What is noted of `transcript`; nothing where nothing is, it is another's, or it is damaged: then all of it is read again, and what is
/// written already left out: by its id, or where another program wrote it by where that stood.
fn load(dir: &Path, transcript: &Path, recording: &Recording) -> io::Result<Saved> {
    let bytes = file::found(file::read_capped(&dir.join(FILE), FILE_MAX))?;
    let Some(bytes) = bytes else { return Ok(Saved { from: recording.source_offset, ..Saved::default() }) };
    let saved: Saved = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(if saved.transcript == transcript { saved } else { Saved::default() })
}

/// What is made of facts.
#[derive(Debug)]
struct Taken {
    /// The ids of those that are there already.
    written: HashSet<String>,
    entries: Vec<Entry>,
    /// Those that were told, whatever became of them.
    facts: u64,
    /// What answers cost.
    spent: Vec<usage::Line>,
}

impl Taken {
    fn add(&mut self, fact: Fact) {
        if self.written.contains(&fact.id) {
            return;
        }
        if let Some(entry) = entry_of(fact) {
            self.entries.push(entry);
        }
    }
}

/// The entry that a fact is; none of what no entry holds: what a tool gave back when it worked, and tokens.
pub(super) fn entry_of(fact: Fact) -> Option<Entry> {
    let Fact { id, time, what } = fact;
    let entry = Entry { timestamp: time, source_id: id, ..Entry::default() };
    Some(match what {
        What::Said { role, text } => Entry { kind: kind_of(role), content: text, ..entry },
        What::Called { call, tool, input } => {
            Entry { kind: Kind::Tool, tool_name: tool, tool_input: input, call_id: call, ..entry }
        }
        What::Returned { call, output, failed: true } => {
            Entry { kind: Kind::Tool, tool_output: output, is_error: true, call_id: call, ..entry }
        }
        What::Returned { .. } | What::Spent(_) | What::Thread(_) | What::Compacted | What::Turn(_) => {
            return None;
        }
    })
}

fn kind_of(role: Role) -> Kind {
    match role {
        Role::User => Kind::User,
        Role::Assistant => Kind::Assistant,
        Role::System => Kind::System,
    }
}

/// What stands before the entries of a recording.
pub fn header_of(recording: &Recording, thread: &Thread, repo_id: &str, user: &str, version: &str) -> Header {
    Header {
        created_at: recording.started_at.0.or(Some(Timestamp::UNIX_EPOCH)),
        agent_id: recording.agent_id.clone(),
        agent_type: recording.kind().to_owned(),
        agent_version: thread.version.clone(),
        model: if thread.model.is_empty() { recording.model.clone() } else { thread.model.clone() },
        username: user.to_owned(),
        repo_id: repo_id.to_owned(),
        ox_version: version.to_owned(),
        session_id: recording.session_id.clone(),
        is_recovered: false,
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
