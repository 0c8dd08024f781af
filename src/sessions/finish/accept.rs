//! What is made of an agent's answer.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::artifacts::{self, Made};
use super::look::lacks;
use super::notes::{self, ATTEMPTS, ATTEMPTS_MAX, BEFORE, DISPOSITION, ERROR, Notes, OF, STATUS, Status};
use super::prepare::{Prepared, Stamp};
use super::{FinishError, NEEDS_SUMMARY, TO_SHARE, discard, own};
use crate::redact::Redactor;
use crate::sessions::raw;
use crate::sessions::summary::{Disposition, Summary, Thresholds, check, disposition, parse};
use crate::sessions::{meta, name_of};

/// By what an answer is judged.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// From which score on a session is shared, and kept.
    pub thresholds: Thresholds,
    /// The rules for secrets.
    pub redactor: &'a Redactor,
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// What becomes of the session.
    pub disposition: Disposition,
    /// The answer is a summary of it, or it has one all the same.
    pub valid: bool,
    /// What it is called where it is shown; never empty.
    pub title: String,
    /// How often an agent was asked about the transcript without getting a summary of it.
    pub attempts: u32,
    /// That was the last time.
    pub given_up: bool,
    /// What is wrong with the answer.
    pub error: Option<String>,
}

/// Makes of what an agent `said` about the session in `dir` its summary, and decides what becomes of it; one that is to go is moved away.
/// Where nobody was to be asked, what was said counts for nothing.
///
/// # Errors
/// See [`FinishError`]; then the same call, or one on what a new look finds, completes it.
pub fn accept(dir: &Path, prepared: &Prepared, said: &str, by: By<'_>) -> Result<Accepted, FinishError> {
    own(dir)?;
    if Stamp::of(&dir.join(raw::FILE))? != prepared.transcript {
        return Err(FinishError::Changed);
    }
    if let Some(done) = by_another(dir, prepared)? {
        return Ok(done);
    }
    let judged = match &prepared.known {
        Some(known) => Ok(known.clone()),
        None => parse(said).map_err(|e| e.to_string()).and_then(|summary| {
            check(&summary, prepared.entries).map_err(|e| e.to_string())?;
            Ok(summary)
        }),
    };
    match judged {
        Ok(summary) => good(dir, prepared, summary, by),
        Err(why) => bad(dir, prepared, &why, by.redactor),
    }
}

/// The lock of `meta.json`, where the transcript is the one that was read: one that went from here meanwhile is not made anew.
fn still(dir: &Path, prepared: &Prepared) -> Result<meta::Locked, FinishError> {
    let locked = meta::lock(dir)?;
    if Stamp::of(&dir.join(raw::FILE))? != prepared.transcript {
        return Err(FinishError::Changed);
    }
    Ok(locked)
}

/// The same, with the summary of an agent noted as owed: until it is there the session goes nowhere.
fn owed(dir: &Path, prepared: &Prepared) -> Result<meta::Locked, FinishError> {
    let locked = still(dir, prepared)?;
    notes::owe(dir)?;
    Ok(locked)
}

/// Counts that an agent is asked about the session in `dir`: before it is, for whoever is killed has asked all the same.
///
/// # Errors
/// See [`FinishError`]; then nobody may be asked, for nobody would know of it.
pub fn count(dir: &Path, prepared: &mut Prepared, redactor: &Redactor) -> Result<(), FinishError> {
    own(dir)?;
    let locked = owed(dir, prepared)?;
    let before = if prepared.forced { 0 } else { Notes::read(dir)?.attempts(prepared.bytes) };
    let bytes = prepared.bytes;
    meta::change(&locked, redactor, |all| {
        all.insert(OF.into(), bytes.into());
        all.insert(ATTEMPTS.into(), (before + 1).min(ATTEMPTS_MAX).into());
    })
    .map_err(FinishError::Meta)?;
    prepared.counted = true;
    Ok(())
}

/// The agent was not heard, and it was no fault of the session's: what was counted is taken back.
///
/// # Errors
/// See [`FinishError`].
pub fn uncount(dir: &Path, prepared: &Prepared, redactor: &Redactor) -> Result<(), FinishError> {
    if !prepared.counted {
        return Ok(());
    }
    own(dir)?;
    let locked = still(dir, prepared)?;
    let attempts = Notes::read(dir)?.attempts(prepared.bytes).saturating_sub(1);
    let change = |all: &mut Map<String, Value>| drop(all.insert(ATTEMPTS.into(), attempts.into()));
    meta::change(&locked, redactor, change).map_err(FinishError::Meta)
}

/// Notes that the agent that was asked about the session in `dir` failed, and why: as [`accept`] does of an answer that is none.
///
/// # Errors
/// As those of [`accept`].
pub fn fail(
    dir: &Path,
    prepared: &Prepared,
    why: &str,
    redactor: &Redactor,
) -> Result<Accepted, FinishError> {
    own(dir)?;
    match by_another(dir, prepared)? {
        Some(done) => Ok(done),
        None => bad(dir, prepared, &redactor.redact(why), redactor),
    }
}

/// What somebody else made of the session since it was read.
fn by_another(dir: &Path, prepared: &Prepared) -> Result<Option<Accepted>, FinishError> {
    if Stamp::of(&dir.join(artifacts::JSON))? == prepared.summary
        || notes::is_marked(dir, NEEDS_SUMMARY)?
        || lacks(dir)?
    {
        return Ok(None);
    }
    let Some(there) = artifacts::read(dir)?.filter(|there| !there.summary.title.is_empty()) else {
        return Ok(None);
    };
    let notes = Notes::read(dir)?;
    let (disposition, attempts) = (notes.disposition(), notes.attempts(prepared.bytes));
    let title = there.summary.title;
    Ok(Some(Accepted { disposition, valid: true, title, attempts, given_up: false, error: None }))
}

fn good(dir: &Path, prepared: &Prepared, mut summary: Summary, by: By<'_>) -> Result<Accepted, FinishError> {
    let disposition = disposition(&summary, by.thresholds);
    let notes = Notes::read(dir)?;
    if summary.final_plan.is_empty() {
        summary.final_plan = artifacts::plan(dir)?;
    }
    // An answer that has the session skipped may have no title.
    let title = title(prepared, &summary.title, &notes, dir, by.redactor);
    let made = made(dir, prepared, &summary, &title, by.redactor);
    // From here on it is owed until all of it is there.
    drop(owed(dir, prepared)?);
    made.session()?;
    let locked = still(dir, prepared)?;
    if let Some(done) = by_another(dir, prepared)? {
        return Ok(done);
    }
    made.json(Status::Ok, None, prepared.bytes)?;
    made.summary()?;
    meta::change(&locked, by.redactor, |all| {
        decided(all, disposition, Status::Ok, prepared.bytes, 0);
        all.remove(ERROR);
        all.remove(BEFORE);
        told(all, &summary, &title);
    })
    .map_err(FinishError::Meta)?;
    if disposition == Disposition::Upload {
        notes::mark(dir, TO_SHARE)?;
    }
    notes::unmark(dir, NEEDS_SUMMARY)?;
    drop(locked);
    if disposition == Disposition::Discard {
        discard(dir)?;
    }
    Ok(Accepted { disposition, valid: true, title, attempts: 0, given_up: false, error: None })
}

/// The answer is none: that is counted, and what there is stays, or gets what can be told without anybody.
fn bad(dir: &Path, prepared: &Prepared, why: &str, redactor: &Redactor) -> Result<Accepted, FinishError> {
    let notes = Notes::read(dir)?;
    let there = artifacts::read(dir)?;
    let has_one = there.as_ref().is_some_and(|there| !there.summary.title.is_empty());
    let is_good = has_one
        && there.as_ref().is_some_and(|there| there.status == Status::Ok.name() || there.status.is_empty());
    if is_good && !notes::is_marked(dir, NEEDS_SUMMARY)? && !lacks(dir)? {
        // Somebody wanted another one; the one that is there stays.
        let there = there.map(|there| there.summary.title).unwrap_or_default();
        let (disposition, error) = (notes.disposition(), Some(why.to_owned()));
        let attempts = notes.attempts(prepared.bytes);
        return Ok(Accepted { disposition, valid: false, title: there, attempts, given_up: false, error });
    }
    let locked = owed(dir, prepared)?;
    // Somebody else may have counted meanwhile.
    let before = Notes::read(dir)?.attempts(prepared.bytes);
    let before = if prepared.forced && !prepared.counted { 0 } else { before };
    let attempts = if prepared.counted { before } else { (before + 1).min(ATTEMPTS_MAX) };
    let given_up = attempts >= ATTEMPTS_MAX;
    let status = if given_up { Status::Unrecoverable } else { Status::Failed };
    let mut summary = match there {
        Some(there) if has_one => there.summary,
        _ => Summary { score_reason: why.to_owned(), ..Summary::default() },
    };
    let title = title(prepared, &summary.title, &notes, dir, redactor);
    // Counted before anything else: whoever is killed has asked all the same.
    meta::change(&locked, redactor, |all| {
        decided(all, Disposition::Upload, status, prepared.bytes, attempts);
        all.insert(ERROR.into(), why.into());
        let is_empty = |all: &Map<String, Value>| {
            all.get("title").and_then(Value::as_str).is_none_or(|title| title.trim().is_empty())
        };
        if is_empty(all) {
            all.insert("title".into(), title.as_str().into());
        }
    })
    .map_err(FinishError::Meta)?;
    if !has_one {
        summary.title.clear();
    }
    let made = made(dir, prepared, &summary, &title, redactor);
    made.json(status, Some(why), prepared.bytes)?;
    made.summary()?;
    if crate::kit::file::look(&dir.join(artifacts::SESSION))?.is_none() {
        made.session()?;
    }
    notes::mark(dir, TO_SHARE)?;
    if given_up {
        notes::unmark(dir, NEEDS_SUMMARY)?;
    }
    let (disposition, error) = (Disposition::Upload, Some(why.to_owned()));
    Ok(Accepted { disposition, valid: false, title, attempts, given_up, error })
}

fn made<'a>(
    dir: &'a Path,
    prepared: &'a Prepared,
    summary: &'a Summary,
    title: &'a str,
    redactor: &'a Redactor,
) -> Made<'a> {
    let (collected, paused) = (&prepared.collected, &prepared.paused);
    Made { dir, name: name_of(dir), title, summary, collected, paused, redactor }
}

/// The title that is shown.
fn title(prepared: &Prepared, given: &str, notes: &Notes, dir: &Path, redactor: &Redactor) -> String {
    let given = if given.trim().is_empty() { &notes.title } else { given };
    redactor.redact(prepared.collected.title(given, name_of(dir))).into_owned()
}

/// Notes what was decided.
pub(super) fn decided(
    all: &mut Map<String, Value>,
    what: Disposition,
    status: Status,
    bytes: u64,
    attempts: u32,
) {
    all.insert(DISPOSITION.into(), what.name().into());
    all.insert(STATUS.into(), status.name().into());
    all.insert(OF.into(), bytes.into());
    all.insert(ATTEMPTS.into(), attempts.into());
}

/// What of a summary stands in `meta.json`, for who does not read it.
pub(super) fn told(all: &mut Map<String, Value>, summary: &Summary, title: &str) {
    all.insert("title".into(), title.into());
    let score = summary.quality_score.map(Value::from);
    let category = summary.quality_category.map(|category| json!(category));
    let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Value::from);
    let each = [
        ("summary", text(&summary.summary)),
        ("sageox_score", score),
        ("sageox_score_category", category),
        ("sageox_score_reason", text(&summary.score_reason)),
    ];
    for (key, value) in each {
        match value {
            Some(value) => drop(all.insert(key.into(), value)),
            None => drop(all.remove(key)),
        }
    }
}
