//! Transcripts: what agent programs write down of their sessions, as facts.
//!
//! A reader takes complete lines (or, for the program that keeps a database, rows) in the order in which they stand there, and tells each
//! fact once. It does not know where lines come from, what time it is, or what is done with facts; it keeps as little as it can, and what
//! it keeps can be saved between two lines and taken up again, so that whoever follows a file can be ended at any moment.
//! What it does not know it skips and counts; no line makes a reader fail.

pub mod claude;
pub mod codex;
pub mod gemini;
mod image;
pub mod kept;
mod lenient;
mod memory;
pub mod opencode;
mod packed;
pub mod places;
pub mod sources;
mod told;

pub use told::LINE_MAX;

use std::io::{self, BufRead as _, BufReader, Read};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One fact of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What it is known by in its thread, wherever it is written again: the record's, message's or call's own id, with what tells apart
    /// several facts of one record; where the program gives none, a hash of the content.
    pub id: String,
    /// When, as the program says.
    pub time: Option<Timestamp>,
    /// What.
    pub what: What,
}

/// What a fact tells.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Which thread this is, and what is known of it: at its beginning, and again when something changes.
    Thread(Thread),
    /// Somebody said something.
    Said {
        /// Who.
        role: Role,
        /// Text; an image in it stands there as its type, size and hash.
        text: String,
    },
    /// The agent called a tool.
    Called {
        /// What call and result are matched by.
        call: String,
        /// The tool, as the program calls it.
        tool: String,
        /// What it was given: JSON, or raw text.
        input: String,
    },
    /// A tool ended.
    Returned {
        /// What call and result are matched by.
        call: String,
        /// What it gave back, as text.
        output: String,
        /// It failed.
        failed: bool,
    },
    /// Tokens of one answer of the model. Told again, under the same id, only if the program counts more of the same answer later (it may
    /// write an answer in pieces, and count before it has ended): the last one holds.
    Spent(Spent),
    /// What went before was replaced by a summary; nothing of it is told again.
    Compacted,
    /// Where a turn stands. Told only by a reader that was asked for it ([`Reader::tell_turns`]).
    Turn(Turn),
}

/// Where a turn stands: what a program's hooks tell of beside its tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// What follows belongs to it.
    Began {
        /// Its id; empty where the program gives none.
        id: String,
        /// What the agent may do unasked, as its program's hooks call it; empty where that is not said.
        permission_mode: String,
    },
    /// The agent is asked something: what a person says, without what the program set around it; of a sub-agent of codex what its parent says.
    Asked {
        /// The words alone.
        text: String,
    },
    /// The agent has answered, and waits.
    Ended {
        /// Its last words.
        text: String,
    },
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person. Of a sub-agent nobody: what its parent asks of it is the program's.
    User,
    /// The model.
    Assistant,
    /// The program: context, commands, notices.
    System,
}

/// What is known of a thread. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// Its id: of a sub-agent its own.
    pub id: String,
    /// The session it belongs to: of a sub-agent the root's.
    pub session: String,
    /// The thread that started it, of a sub-agent.
    pub parent: String,
    /// The thread whose history it goes on from, of a fork.
    pub forked_from: String,
    /// The directory it works in.
    pub cwd: String,
    /// The git branch there.
    pub branch: String,
    /// The newest model.
    pub model: String,
    /// The program's version.
    pub version: String,
}

/// Tokens of one answer of the model, each counted in one place: all of them together is what the model was given and gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// The answer's id with the model's maker, the same wherever it is written again; a hash of what is known of it where there is none.
    pub answer: String,
    /// The thread that asked for it, as the program says; empty where it says nothing. Of what a fork writes again it may be the thread in
    /// which it was told first.
    pub thread: String,
    /// The model; empty if it is not told.
    pub model: String,
    /// Given, neither read from a cache nor written to one.
    pub input: u64,
    /// Given, read from a cache.
    pub cached: u64,
    /// Given, written to a cache.
    pub cache_written: u64,
    /// How many of those written are kept for longer than the cache keeps others, which costs more.
    pub cache_written_long: u64,
    /// Returned, reasoning included.
    pub output: u64,
    /// How many of those returned were reasoning.
    pub reasoning: u64,
}

/// What a reader passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skipped {
    /// Records of a kind that is not known.
    pub unknown: u64,
    /// Lines that are no JSON, or not of the form.
    pub damaged: u64,
}

/// The reader of a transcript that is a file of lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// Claude Code's.
    Claude(Box<claude::Claude>),
    /// That of codex.
    Codex(Box<codex::Codex>),
    /// Gemini CLI's.
    Gemini(Box<gemini::Gemini>),
}

impl Reader {
    /// A new one for the program that recordings call `kind`, if it keeps its transcript in lines.
    pub fn of(kind: &str) -> Option<Reader> {
        match kind {
            "claude-code" => Some(Reader::Claude(Box::default())),
            "codex" => Some(Reader::Codex(Box::default())),
            "gemini" => Some(Reader::Gemini(Box::default())),
            _ => None,
        }
    }

    /// Reads a complete line, without its newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<Fact>) {
        match self {
            Reader::Claude(reader) => reader.line(line, out),
            Reader::Codex(reader) => reader.line(line, out),
            Reader::Gemini(reader) => reader.line(line, out),
        }
    }

    /// Reads a transcript from its beginning to its end: lines, or one object that is written anew each turn. A longer line, or object, than
    /// [`LINE_MAX`] is passed over; how many were.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn read_all(
        &mut self,
        text: impl Read,
        is_lines: bool,
        on_fact: &mut dyn FnMut(Fact),
    ) -> io::Result<u64> {
        let (mut text, mut line, mut facts) = (BufReader::new(text), Vec::new(), Vec::new());
        let mut too_long = 0;
        loop {
            line.clear();
            let mut part = Read::by_ref(&mut text).take(LINE_MAX as u64 + 1);
            let read =
                if is_lines { part.read_until(b'\n', &mut line)? } else { part.read_to_end(&mut line)? };
            if read == 0 {
                return Ok(too_long);
            }
            if read > LINE_MAX {
                too_long += 1;
                if !is_lines {
                    return Ok(too_long);
                }
                if line.last() != Some(&b'\n') {
                    text.skip_until(b'\n')?;
                }
                continue;
            }
            self.line(line.trim_ascii_end(), &mut facts);
            facts.drain(..).for_each(&mut *on_fact);
        }
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        match self {
            Reader::Claude(reader) => reader.skipped(),
            Reader::Codex(reader) => reader.skipped(),
            Reader::Gemini(reader) => reader.skipped(),
        }
    }

    /// From now on it tells of turns, too.
    pub fn tell_turns(&mut self) {
        match self {
            Reader::Claude(reader) => reader.tell_turns(),
            Reader::Codex(reader) => reader.tell_turns(),
            Reader::Gemini(reader) => reader.tell_turns(),
        }
    }

    /// Forgets what serves only to tell each fact once, for whoever keeps facts by their ids: what is written again is told again, and no
    /// fact gets another id by that. What is left is small.
    pub fn forget_told(&mut self) {
        match self {
            Reader::Claude(reader) => reader.forget_told(),
            Reader::Codex(reader) => reader.forget_told(),
            // It tells a list that was written anew from a compaction by what it has told.
            Reader::Gemini(_) => {}
        }
    }
}
