//! Reads what is new in one transcript: which answers it tells, of which thread, and where in it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::line::{Key, Line};
use crate::harness::transcript::opencode::{Database, Opencode};
use crate::harness::transcript::places::Text;
use crate::harness::transcript::sources::Source;
use crate::harness::transcript::{Fact, Reader, Thread, What};
use crate::kit::file;
use crate::tail::{Cursor, Tail};

/// A transcript that is one object is read up to so many bytes.
const WHOLE_MAX: usize = 64 << 20;
/// A longer line of a compressed file, or of one of ours, is passed over, in bytes.
const LINE_MAX: usize = 64 << 20;

/// Names and ids in a line that others share are at most this long, in bytes.
const SHARED_TEXT_MAX: usize = 512;

/// An answer as one file tells it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub key: Key,
    /// What the program knows it by.
    pub id: String,
    pub model: String,
    pub counts: Counts,
    pub time: Timestamp,
    /// Which of the states of [`Told`] its thread was in.
    pub state: usize,
    /// The thread that asked for it, where that is another one.
    pub asked_in: Option<String>,
    /// Where its record begins, in bytes.
    pub offset: Option<u64>,
}

/// What a thread was when it told something.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub kind: String,
    pub thread: Thread,
    /// Whose it is, of what others share; empty of what is this user's own.
    pub person: String,
    /// The repository whose ledger told it; empty of what is this user's own.
    pub repo: String,
}

/// What reading a file came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub states: Vec<State>,
    pub answers: Vec<Answer>,
    /// When the thread began, as far as can be told: of two that tell an answer it is that of the one that began first.
    pub began: Timestamp,
    /// What is kept for the next time, as JSON.
    pub saved: String,
}

/// What is kept of a file between two times.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    cursor: Cursor,
    reader: Option<Reader>,
    opencode: Option<Opencode>,
    thread: Thread,
    began: Timestamp,
}

/// Takes facts in, in their order.
struct Taking {
    kind: String,
    thread: Thread,
    /// `thread` is not among the states yet.
    is_new: bool,
    /// The time of what has none.
    otherwise: Timestamp,
    began: Option<Timestamp>,
    states: Vec<State>,
    answers: Vec<Answer>,
}

impl Taking {
    fn new(kind: &str, saved: &Saved, otherwise: Timestamp) -> Taking {
        Taking {
            kind: kind.to_owned(),
            thread: saved.thread.clone(),
            is_new: true,
            otherwise,
            began: Some(saved.began).filter(|began| *began != Timestamp::UNIX_EPOCH),
            states: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn fact(&mut self, fact: Fact, offset: Option<u64>) {
        let Fact { time, what, .. } = fact;
        self.began = self.began.or(time);
        match what {
            What::Thread(thread) => {
                self.thread = thread;
                self.is_new = true;
            }
            What::Spent(spent) => {
                if std::mem::take(&mut self.is_new) {
                    let state =
                        State { kind: self.kind.clone(), thread: self.thread.clone(), ..State::default() };
                    self.states.push(state);
                }
                let is_others = !spent.thread.is_empty() && spent.thread != self.thread.id;
                self.answers.push(Answer {
                    key: Key::new(&self.kind, &spent.answer),
                    counts: Counts::from(&spent),
                    id: spent.answer,
                    model: spent.model,
                    time: time.or(self.began).unwrap_or(self.otherwise),
                    state: self.states.len() - 1,
                    asked_in: is_others.then_some(spent.thread),
                    offset,
                });
            }
            What::Said { .. }
            | What::Called { .. }
            | What::Returned { .. }
            | What::Compacted
            | What::Turn(_) => {}
        }
    }

    fn done(self, mut saved: Saved) -> io::Result<Told> {
        // While nothing is known of it, the next look may know.
        saved.began = self.began.unwrap_or_default();
        saved.thread = self.thread;
        if let Some(reader) = &mut saved.reader {
            reader.forget_told();
        }
        let text = serde_json::to_string(&saved)?;
        let began = self.began.unwrap_or(self.otherwise);
        Ok(Told { states: self.states, answers: self.answers, began, saved: text })
    }
}

/// Reads what a file of lines, or a whole one, has got since `saved` was kept; all of it where nothing was, or what was kept is another
/// version's.
pub(super) fn transcript(source: &Source, saved: &str) -> io::Result<Told> {
    let mut saved: Saved = serde_json::from_str(saved).unwrap_or_default();
    let mut reader = match saved.reader.take().or_else(|| source.reader()) {
        Some(reader) => reader,
        None => return Err(io::Error::other("its program is not known")),
    };
    let is_first = saved.cursor == Cursor::default();
    let mut taking = Taking::new(source.kind, &saved, source.modified);
    let mut facts = Vec::new();
    if source.is_compressed() {
        compressed(&source.path, &mut |offset, line| {
            reader.line(line, &mut facts);
            facts.drain(..).for_each(|fact| taking.fact(fact, Some(offset)));
        })?;
    } else if let Reader::Gemini(gemini) = &mut reader
        && source.is_whole()
    {
        gemini.whole(&file::read_capped(&source.path, WHOLE_MAX)?, &mut facts);
        facts.drain(..).for_each(|fact| taking.fact(fact, Some(0)));
    } else {
        let mut tail = Tail::new(&source.path, saved.cursor);
        let mut at = saved.cursor.offset;
        loop {
            let step = tail.step(&mut |offset, line| {
                if offset < at {
                    // The file was written anew.
                    if let Some(new) = source.reader() {
                        reader = new;
                    }
                }
                at = offset;
                reader.line(line, &mut facts);
                facts.drain(..).for_each(|fact| taking.fact(fact, Some(offset)));
            })?;
            if !step.more {
                break;
            }
        }
        saved.cursor = tail.cursor();
    }
    if is_first && matches!(reader, Reader::Claude(_)) {
        // A fork begins with the records of what it forks from and their times; the file is as old as the fork.
        let made = fs::symlink_metadata(&source.path).and_then(|meta| meta.created()).ok();
        taking.began = taking.began.max(made.and_then(|time| Timestamp::try_from(time).ok()));
    }
    saved.reader = Some(reader);
    taking.done(saved)
}

/// Reads what is new in a session of opencode's database.
pub(super) fn opencode(database: &Database, session: &str, saved: &str) -> rusqlite::Result<Told> {
    let mut saved: Saved = serde_json::from_str(saved).unwrap_or_default();
    let mut reader = saved.opencode.take().unwrap_or_else(|| Opencode::new(session));
    let mut taking = Taking::new("opencode", &saved, Timestamp::UNIX_EPOCH);
    let mut facts = Vec::new();
    while database.read(&mut reader, &mut facts)? {
        facts.drain(..).for_each(|fact| taking.fact(fact, None));
    }
    facts.drain(..).for_each(|fact| taking.fact(fact, None));
    saved.opencode = Some(reader);
    taking.done(saved).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// Reads the `usage.jsonl` of a session that lies in the ledger of `repo` and is `person`'s.
pub(super) fn shared(path: &Path, person: &str, repo: &str, otherwise: Timestamp) -> io::Result<Told> {
    let mut told = Told { saved: String::new(), began: otherwise, ..Told::default() };
    let mut tail = Tail::new(path, Cursor::default()).with_line_max(LINE_MAX);
    loop {
        let step = tail.step(&mut |offset, bytes| {
            let Ok(line) = serde_json::from_slice::<Line>(bytes) else { return };
            let Some(key) = line.key().filter(|_| is_fit(&line)) else { return };
            let thread = Thread {
                id: line.thread,
                session: line.session,
                parent: line.parent,
                branch: line.branch,
                ..Thread::default()
            };
            let state =
                State { kind: line.program, thread, person: person.to_owned(), repo: repo.to_owned() };
            if told.states.last() != Some(&state) {
                told.states.push(state);
            }
            told.answers.push(Answer {
                key,
                id: line.answer,
                model: line.model,
                counts: line.counts,
                time: line.timestamp.unwrap_or(otherwise),
                state: told.states.len() - 1,
                asked_in: None,
                offset: Some(offset),
            });
        })?;
        if !step.more {
            return Ok(told);
        }
    }
}

/// Whether what somebody else wrote is of a size that the programs write.
fn is_fit(line: &Line) -> bool {
    let texts = [&line.program, &line.model, &line.thread, &line.session, &line.parent, &line.branch];
    texts.iter().all(|text| text.len() <= SHARED_TEXT_MAX)
}

/// Hands out the lines of a compressed file, each with the offset at which it begins in what was compressed.
fn compressed(path: &Path, on_line: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(file::NOFOLLOW).open(path)?;
    let mut lines = BufReader::new(Text::new(path, file)?);
    let (mut line, mut at) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = io::Read::take(&mut lines, LINE_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.pop_if(|last| *last == b'\n').is_some() {
            on_line(at, &line);
        }
        at += read as u64;
    }
}
