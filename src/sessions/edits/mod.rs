//! Which lines a session wrote, as hashes: what leads from a line of a file back to the session and the prompt it came from.
//!
//! [`FILE`] lies beside the transcript of a finished session, and is shared with it as a plain file. It names each file that a recorded edit
//! changed, by its path in the work tree, and holds of each edit the entry, the prompt before it, the time, and the hashes of what it
//! wrote. It has no text of a source in it. What hashes give away: whoever has the ledger can test a guess of two neighbouring lines, or of
//! one line of at least [`limits::ALONE_MIN`] characters, and see that a session wrote them; a short line is only ever hashed together with
//! its neighbour. A line in which the redactor finds a secret is not hashed at all, nor is its neighbour with it.
//!
//! What is not an edit by a tool is not seen: `sed` in a shell, a formatter, a code generator. Commits are not named here, since they
//! change: a line is found by its content, wherever a rebase, a squash, an amend, a cherry-pick or a split has brought it.

mod calls;
mod diff;
pub mod find;
mod hash;
pub mod kept;
pub mod limits;
mod paths;
mod runs;
mod stored;
pub mod why;

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::raw::{self, Kind, Line};
use super::recording::{Recording, State};
use super::subagents;
use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::redact::Redactor;

use calls::Calls;
use paths::Paths;
pub use runs::Run;

/// The file's name.
pub const FILE: &str = "edits.json";
/// The format's version; what a newer one says is not read.
const VERSION: u32 = 1;

/// What a session wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    version: u32,
    /// The session's id; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// There was more than the limits allow: what is not found may still be the session's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The files, by path.
    pub files: Vec<Edited>,
}

/// A file that a session changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edited {
    /// Relative to the root of the work tree, with `/` between names.
    pub path: String,
    /// In the order in which they were made.
    pub edits: Vec<Edit>,
}

/// One edit of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The entry of the transcript, of a sub-agent that of its own.
    pub seq: i64,
    /// The sub-agent that made it; empty for the session's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subagent: String,
    /// The entry with what a person said last before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<i64>,
    /// When.
    pub at: GoTime,
    /// The file was written anew by an agent that had read it, and what was in it is not known: lines of it may have stood there already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// How many lines it wrote.
    pub lines: u64,
    /// What it wrote, in pieces that hang together.
    pub runs: Vec<Run>,
}

impl Edits {
    /// How many lines it wrote, in all files.
    pub fn lines(&self) -> u64 {
        self.files.iter().flat_map(|file| &file.edits).map(|edit| edit.lines).sum()
    }

    /// When it made the first.
    pub fn began(&self) -> Option<Timestamp> {
        self.files.iter().flat_map(|file| &file.edits).filter_map(|edit| edit.at.0).min()
    }
}

/// Reads the transcript of the session in `dir`, which works in the work tree at `workspace`, and those of its sub-agents, and tells which
/// lines it wrote. What was said not to be shared ([`Recording::lifecycle`]) is left out.
///
/// # Errors
/// The transcript cannot be read.
pub fn collect(dir: &Path, workspace: &Path, redactor: &Redactor) -> io::Result<Edits> {
    let unshared = match Recording::load(dir) {
        State::Some(recording) => unshared(&recording),
        State::None | State::Unreadable(_) => Vec::new(),
    };
    let mut calls = Calls::new();
    let mut prompts: Vec<(Timestamp, i64)> = Vec::new();
    let (mut prompt, mut session_id, mut next) = (None, String::new(), None);
    let is_whole = each_line(dir, &mut |line| {
        let entry = match line {
            Line::Header(header) => {
                session_id = header.session_id;
                return;
            }
            Line::Entry(entry) => *entry,
            Line::Footer(_) | Line::Damaged => return,
        };
        let seq = entry.seq.unwrap_or_default();
        if unshared.iter().any(|(from, to)| (*from..*to).contains(&seq)) {
            next = Some(seq.saturating_add(1));
            return;
        }
        // What was asked for in a gap is not known.
        if next.is_some_and(|next| seq > next) {
            prompt = None;
        }
        next = Some(seq.saturating_add(1));
        if entry.kind == Kind::User {
            prompt = Some(seq);
            prompts.extend(entry.timestamp.map(|at| (at, seq)));
        }
        calls.take(entry, "", prompt);
    })?;
    for helper in subagents::list(dir) {
        // It works on what was asked for last before its edit; while nothing is to be shared, neither is what it did.
        let of = |at: Option<Timestamp>| {
            prompts.iter().rev().find(|(asked, _)| at.is_some_and(|at| *asked <= at)).map(|(_, seq)| *seq)
        };
        if unshared.is_empty() {
            each_line(&helper.dir, &mut |line| {
                if let Line::Entry(entry) = line {
                    let prompt = of(entry.timestamp);
                    calls.take(*entry, &helper.id, prompt);
                }
            })?;
        }
    }
    let mut edits = calls.edits(&mut Paths::new(workspace), redactor);
    edits.truncated |= !is_whole;
    (edits.version, edits.session_id) = (VERSION, session_id);
    Ok(edits)
}

/// As [`collect`], and keeps it in [`FILE`], as long as nothing is known better there: the recording's own file must still be beside it, or
/// what was not to be shared is taken for shared.
///
/// # Errors
/// The transcript cannot be read, or the disk refuses.
pub fn write(dir: &Path, workspace: &Path, redactor: &Redactor) -> io::Result<Edits> {
    let edits = collect(dir, workspace, redactor)?;
    file::write_durable(&dir.join(FILE), &serde_json::to_vec(&edits)?, 0o600)?;
    Ok(edits)
}

/// What was kept in the session directory `dir`; `None` where nothing was.
///
/// # Errors
/// It cannot be read, or is none.
pub fn load(dir: &Path) -> io::Result<Option<Edits>> {
    load_of(dir, &|_| true)
}

/// As [`load`], but of files whose path is not wanted it is only told when they were edited: hashes are most of what is kept.
///
/// # Errors
/// See [`load`].
pub fn load_of(dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Option<Edits>> {
    let Some(bytes) = file::found(file::read_capped(&dir.join(FILE), limits::FILE_BYTES_MAX))? else {
        return Ok(None);
    };
    stored::edits(&bytes, is_wanted)
}

/// The entries that were not to be shared: from each pause to the next resume.
fn unshared(recording: &Recording) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for turn in &recording.lifecycle {
        match (turn.action.as_str(), turn.seq, all.last_mut()) {
            ("pause", Some(seq), last) if last.as_ref().is_none_or(|last| last.1 != i64::MAX) => {
                all.push((seq, i64::MAX));
            }
            ("resume", Some(seq), Some(last)) if last.1 == i64::MAX => last.1 = seq,
            _ => {}
        }
    }
    all
}

/// Hands out the lines of a transcript that is here.
fn each_line(dir: &Path, on_line: &mut dyn FnMut(Line)) -> io::Result<bool> {
    let path = dir.join(raw::FILE);
    match file::found(raw::is_pointer(&path))? {
        Some(false) => raw::read_ends(&path, limits::READ_MAX, on_line),
        Some(true) | None => Ok(true),
    }
}

#[cfg(test)]
mod tests;
