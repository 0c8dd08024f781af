//! What an agent is asked about a session.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::collect::Collected;
use super::look::lacks;
use super::notes::{ATTEMPTS_MAX, Notes, Status, is_marked};
use super::paused::Paused;
use super::{FinishError, NEEDS_SUMMARY, artifacts, own, size_of};
use crate::kit::file;
use crate::redact::Redactor;
use crate::sessions::raw;
use crate::sessions::summary::{Prompt, Room, Summary, Transcript};

/// A session with fewer entries is too thin for a summary (agentwork and sessions, 6.1).
const ENTRIES_MIN: usize = 4;
/// And one in which people said fewer characters.
const SAID_MIN: usize = 20;
/// What a session that is too thin is worth.
const THIN_SCORE: f64 = 0.05;

/// How a prompt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// What it may have, in tokens.
    pub tokens: usize,
    /// Somebody wants a summary, whatever there is and however often it was tried.
    pub force: bool,
    /// The project's directory: files in it are told from there. May be empty.
    pub root: &'a Path,
}

/// How a file was when it was looked at: number, length, last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, Timestamp);

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Option<Stamp>> {
        use std::os::unix::fs::MetadataExt as _;
        let Some(meta) = file::look(path)? else { return Ok(None) };
        let changed = Timestamp::try_from(meta.modified()?).map_err(io::Error::other)?;
        Ok(Some(Stamp(meta.ino(), meta.len(), changed)))
    }
}

/// A session that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What an agent is asked; none where nobody has to be: [`accept`](super::accept) then knows itself.
    pub prompt: Option<Prompt>,
    /// Its entries, without those of a pause.
    pub entries: usize,
    /// Those of a pause.
    pub left_out: usize,
    /// Bytes of its transcript.
    pub bytes: u64,
    pub(super) known: Option<Summary>,
    pub(super) collected: Collected,
    pub(super) paused: Paused,
    /// Somebody wanted it: it is counted anew.
    pub(super) forced: bool,
    /// That an agent is asked is counted already.
    pub(super) counted: bool,
    pub(super) transcript: Option<Stamp>,
    pub(super) summary: Option<Stamp>,
}

/// Reads the finished session in `dir`, in memory that does not grow with it.
///
/// # Errors
/// See [`FinishError`].
pub fn prepare(dir: &Path, ask: Ask<'_>, redactor: &Redactor) -> Result<Prepared, FinishError> {
    own(dir)?;
    let (path, bytes) = (dir.join(raw::FILE), size_of(dir)?);
    let notes = Notes::read(dir)?;
    let is_owed = is_marked(dir, NEEDS_SUMMARY)?;
    let (transcript, summary) = (Stamp::of(&path)?, Stamp::of(&dir.join(artifacts::JSON))?);
    let mut known = None;
    if !ask.force {
        let there = artifacts::read(dir)?;
        let is_good = there.as_ref().is_some_and(|there| there.is_of(Status::Ok, bytes));
        if is_good {
            // Whoever wrote it was ended before all else was.
            known = there.map(|there| there.summary);
        }
        if !is_owed && !lacks(dir)? {
            return Err(FinishError::Finished);
        }
        if known.is_none() && notes.attempts(bytes) >= ATTEMPTS_MAX {
            return Err(FinishError::GivenUp);
        }
    }
    let paused = Paused::of_dir(dir).map_err(FinishError::Meta)?;
    let mut collected = Collected::new(ask.root);
    let mut given = Transcript::new(Room::for_tokens(ask.tokens));
    raw::read(&path, &mut |line| {
        if let Some((seq, entry)) = collected.line(line, &paused) {
            given.entry(usize::try_from(seq).unwrap_or(0), &entry);
        }
    })?;
    let collected = collected.end(false);
    if collected.entries == 0 && collected.left_out == 0 {
        return Err(FinishError::Empty);
    }
    let known = known.or_else(|| thin(&collected, &notes));
    let prompt = known.is_none().then(|| {
        let mut prompt = given.finish();
        prompt.text = redactor.redact(&prompt.text).into_owned();
        prompt
    });
    Ok(Prepared {
        prompt,
        entries: collected.entries,
        left_out: collected.left_out,
        bytes,
        known,
        collected,
        paused,
        forced: ask.force,
        counted: false,
        transcript,
        summary,
    })
}

/// The summary of a session in which too little happened to ask anybody.
fn thin(all: &Collected, notes: &Notes) -> Option<Summary> {
    let why = if all.entries < ENTRIES_MIN {
        format!("it has {} entries", all.entries)
    } else if all.answers == 0 {
        "no agent said anything in it".to_owned()
    } else if all.said < SAID_MIN {
        format!("people said {} characters in it", all.said)
    } else {
        return None;
    };
    Some(Summary {
        title: all.title(&notes.title, "A session in which little happened").to_owned(),
        summary: all.paragraph(),
        key_actions: all.actions(),
        quality_score: Some(THIN_SCORE),
        score_reason: format!("too little happened: {why}"),
        ..Summary::default()
    })
}
