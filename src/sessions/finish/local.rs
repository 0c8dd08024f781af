//! A summary without any agent: what was asked, changed and run.

use std::path::Path;

use super::accept::{decided, told};
use super::artifacts::{self, Made, SESSION, SUMMARY};
use super::collect::Collected;
use super::notes::{self, Notes, Status};
use super::paused::Paused;
use super::{FinishError, own, size_of};
use crate::kit::file;
use crate::redact::Redactor;
use crate::sessions::summary::{Disposition, Summary};
use crate::sessions::{meta, name_of, raw};

/// Of a longer transcript only so much is looked at while somebody waits, in bytes: stopping a session takes a second at most.
pub(super) const WAITED_MAX: u64 = 8 << 20;

/// Makes for the finished session in `dir` what can be told of it without an agent, of which the summary stays owed. `root` is the project's
/// directory. Whoever waits for it waits no longer for a long session than for another: of that only beginning and end are looked at, and
/// `session.md` is left to who has time. Answers whether anything was made.
///
/// # Errors
/// See [`FinishError`].
pub fn summarize_locally(dir: &Path, root: &Path, redactor: &Redactor) -> Result<bool, FinishError> {
    own(dir)?;
    if size_of(dir)? == 0 || !raw::is_substantive(&dir.join(raw::FILE))? {
        return Ok(false);
    }
    complete(dir, root, WAITED_MAX, redactor)
}

/// Makes what is not there of the artifacts. Of a transcript with more than `max` bytes beginning and end are looked at, and `session.md` is
/// not made.
pub(super) fn complete(dir: &Path, root: &Path, max: u64, redactor: &Redactor) -> Result<bool, FinishError> {
    let is_there = |name: &str| file::look(&dir.join(name)).map(|meta| meta.is_some());
    let bytes = size_of(dir)?;
    let there = artifacts::read(dir)?;
    let has_summary = there.is_some() && is_there(SUMMARY)?;
    let has_session = is_there(SESSION)? || bytes > max;
    if has_summary && has_session {
        return Ok(false);
    }
    let paused = Paused::of_dir(dir).map_err(FinishError::Meta)?;
    let mut collected = Collected::new(root);
    let is_whole =
        raw::read_ends(&dir.join(raw::FILE), max, &mut |line| drop(collected.line(line, &paused)))?;
    let collected = collected.end(!is_whole);
    let notes = Notes::read(dir)?;
    let name = name_of(dir);
    let summary = match &there {
        Some(there) => there.summary.clone(),
        None => Summary {
            title: collected.title(&notes.title, name).to_owned(),
            summary: collected.paragraph(),
            key_actions: collected.actions(),
            final_plan: artifacts::plan(dir)?,
            ..Summary::default()
        },
    };
    let title = redactor
        .redact(collected.title(if summary.title.is_empty() { &notes.title } else { &summary.title }, name))
        .into_owned();
    let made = Made {
        dir,
        name,
        title: &title,
        summary: &summary,
        collected: &collected,
        paused: &paused,
        redactor,
    };
    if there.is_none() {
        let locked = meta::lock(dir)?;
        if artifacts::read(dir)?.is_some() {
            // Somebody else has made one meanwhile, with an agent.
            drop(locked);
            return complete(dir, root, max, redactor);
        }
        if notes.attempts(bytes) < notes::ATTEMPTS_MAX {
            notes::owe(dir)?;
        }
        made.json(Status::Local, None, bytes)?;
        meta::change(&locked, redactor, |all| {
            let attempts = notes.attempts(bytes);
            if attempts == 0 {
                decided(all, Disposition::Upload, Status::Local, bytes, attempts);
            }
            told(all, &summary, &title);
        })
        .map_err(FinishError::Meta)?;
        made.summary()?;
        drop(locked);
    }
    if !is_there(SUMMARY)? {
        made.summary()?;
    }
    if !has_session {
        made.session()?;
    }
    Ok(true)
}
