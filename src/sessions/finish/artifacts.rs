//! What is made of a session: `summary.json` for programs, `summary.md` and `session.md` for people. Each is there whole or not at all.

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::FinishError;
use super::collect::Collected;
use super::notes::{ERROR, OF, STATUS, Status};
use super::paused::Paused;
use crate::kit::file;
use crate::kit::text::{cut, plain};
use crate::redact::Redactor;
use crate::sessions::raw::{self, Header, Line};
use crate::sessions::render::{About, Markdown, cell, fenced, line, list};
use crate::sessions::summary::{Moment, Summary};
use crate::sessions::{PLAN, summary};

/// Names of the files.
pub(super) const JSON: &str = "summary.json";
pub(super) const SUMMARY: &str = "summary.md";
pub(super) const SESSION: &str = "session.md";
/// A larger summary is none of ours, in bytes.
const JSON_MAX: usize = 4 << 20;
/// Files in the table of `summary.md`.
const FILES_SHOWN: usize = 50;

/// A `summary.json` that is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct There {
    pub(super) summary: Summary,
    pub(super) status: String,
    of: Option<u64>,
}

impl There {
    /// Whether it is such a summary of a transcript with so many bytes.
    pub(super) fn is_of(&self, status: Status, bytes: u64) -> bool {
        self.status == status.name() && self.of == Some(bytes) && !self.summary.title.is_empty()
    }
}

/// The one in `dir`; none where there is none, or what is there is none.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn read(dir: &Path) -> io::Result<Option<There>> {
    let bytes = match file::found(file::read_capped(&dir.join(JSON), JSON_MAX)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) if matches!(e.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let Ok(all) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return Ok(None) };
    let status = all.get(STATUS).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = all.get(OF).and_then(Value::as_u64);
    Ok(Some(There { summary: summary::read(all), status, of }))
}

/// What an artifact is made of.
pub(super) struct Made<'a> {
    pub(super) dir: &'a Path,
    /// The session's name.
    pub(super) name: &'a str,
    /// Its title where it is shown; never empty.
    pub(super) title: &'a str,
    pub(super) summary: &'a Summary,
    pub(super) collected: &'a Collected,
    pub(super) paused: &'a Paused,
    pub(super) redactor: &'a Redactor,
}

impl Made<'_> {
    /// Writes `summary.json`: what the agent said with what was computed, of a transcript with so many bytes.
    pub(super) fn json(&self, status: Status, why: Option<&str>, bytes: u64) -> io::Result<()> {
        let mut all = self.summary.clone();
        let other = &mut all.other;
        // What an agent made up under these names is not what was computed.
        for key in ["chapters", "files_changed", ERROR] {
            other.remove(key);
        }
        other.insert(STATUS.into(), status.name().into());
        other.insert(OF.into(), bytes.into());
        if let Some(why) = why {
            other.insert(ERROR.into(), why.into());
        }
        let (chapters, files) =
            (self.collected.chapters(&all.chapter_titles), self.collected.files_changed());
        for (key, value) in [("chapters", chapters), ("files_changed", files)] {
            if value.as_array().is_some_and(|all| !all.is_empty()) {
                all.other.insert(key.into(), value);
            }
        }
        let mut all = serde_json::to_value(&all)?;
        self.redactor.redact_json(&mut all);
        file::write_durable(&self.dir.join(JSON), &serde_json::to_vec_pretty(&all)?, 0o600)
    }

    /// Writes `summary.md`.
    pub(super) fn summary(&self) -> io::Result<()> {
        let mut text = String::new();
        // Into memory, which refuses nothing.
        self.put_summary(&mut text).map_err(io::Error::other)?;
        let text = self.redactor.redact(&text);
        file::write_durable(&self.dir.join(SUMMARY), text.as_bytes(), 0o600)
    }

    fn put_summary(&self, out: &mut String) -> fmt::Result {
        let Summary { summary, key_actions, outcome, topics_found, diagrams, final_plan, .. } = self.summary;
        let about = self.about(&self.collected.header);
        about.put_head(out)?;
        if let Some(outcome) = outcome {
            writeln!(out, "| Outcome | {} |", outcome.name())?;
        }
        if !summary.is_empty() {
            writeln!(out, "\n{}", line(summary))?;
        }
        list(out, "Key actions", key_actions)?;
        let files: Vec<_> = self.collected.files().take(FILES_SHOWN).collect();
        if !files.is_empty() {
            writeln!(out, "\n## Files changed\n\n| File | Added | Removed |\n| --- | --- | --- |")?;
            for (path, lines) in files {
                writeln!(out, "| {} | {} | {} |", cell(path), lines.added, lines.removed)?;
            }
        }
        list(out, "Topics", topics_found)?;
        for (n, diagram) in diagrams.iter().enumerate() {
            let heading = if n == 0 { "\n## Diagrams\n" } else { "" };
            writeln!(out, "{heading}\n{}", fenced("mermaid", diagram))?;
        }
        if !final_plan.is_empty() {
            writeln!(out, "\n## Plan\n\n{}", fenced("markdown", final_plan))?;
        }
        Ok(())
    }

    fn about(&self, header: &Header) -> About {
        About { title: self.title.to_owned(), name: self.name.to_owned(), header: header.clone() }
    }

    /// Writes `session.md`, an entry after the other.
    pub(super) fn session(&self) -> io::Result<()> {
        let path = self.dir.join(raw::FILE);
        file::write_filled(&self.dir.join(SESSION), 0o600, &mut |out| {
            let mut sink = Sink { out, failed: None };
            let written = self.put_session(&path, &mut sink);
            match (sink.failed.take(), written) {
                (Some(e), _) | (None, Err(e)) => Err(e),
                (None, Ok(())) => Ok(()),
            }
        })
    }

    fn put_session(&self, path: &Path, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut about = self.about(&self.collected.header);
        about.title = self.redactor.redact(&about.title).into_owned();
        let mut markdown = Markdown::new(sink, &about).map_err(io::Error::other)?;
        let moments = self.summary.aha_moments.iter().map(moment);
        let moments = moments.map(|text| self.redactor.redact(&text).into_owned()).collect::<Vec<_>>();
        markdown.list("Key moments", &moments).map_err(io::Error::other)?;
        let (mut next, mut done) = (0, Ok(()));
        raw::read(path, &mut |line| {
            let Line::Entry(mut entry) = line else { return };
            let seq = entry.seq.unwrap_or(next);
            (entry.seq, next) = (Some(seq), seq.saturating_add(1));
            if done.is_ok() && !self.paused.covers(seq, &entry) {
                done = markdown.entry(&entry.redacted(self.redactor));
            }
        })?;
        done.map_err(io::Error::other)
    }
}

/// A moment in a line, with a link to its entry.
fn moment(of: &Moment) -> String {
    let plain = |text: &str| plain(text, false).into_owned();
    let why = if of.why.is_empty() { String::new() } else { format!(" ({})", plain(&of.why)) };
    let kind = if of.kind.is_empty() { String::new() } else { format!("{}: ", plain(&of.kind)) };
    format!("[{}](#msg-{}) {kind}{}{why}", of.seq, of.seq, plain(&of.highlight))
}

/// A file as a sink of text; the error of the disk is kept.
struct Sink<'a> {
    out: &'a mut dyn io::Write,
    failed: Option<io::Error>,
}

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|e| {
            self.failed = Some(e);
            fmt::Error
        })
    }
}

/// What an agent planned, if it was kept with the session.
pub(super) fn plan(dir: &Path) -> Result<String, FinishError> {
    let bytes = file::found(file::read_capped(&dir.join(PLAN), JSON_MAX))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(cut(text.trim(), summary::TEXT_MAX).to_owned())
}
