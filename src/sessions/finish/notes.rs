//! What was decided of a session, as its `meta.json` has it.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::{FinishError, NEEDS_SUMMARY};
use crate::kit::file;
use crate::sessions::meta;
use crate::sessions::raw;
use crate::sessions::summary::Disposition;

/// So often an agent is asked about a transcript (agentwork and sessions, 6.6).
pub const ATTEMPTS_MAX: u32 = 3;

/// Keys.
pub(super) const DISPOSITION: &str = "disposition";
/// What was decided before somebody wanted it summed up anew. Ours, additive, and nobody else's to know.
pub(super) const BEFORE: &str = "disposition_before";
pub(super) const STATUS: &str = "summary_status";
pub(super) const ATTEMPTS: &str = "summary_attempts";
pub(super) const ERROR: &str = "validation_error";
/// Bytes of the transcript that attempts and summary are of. Ours, additive.
pub(super) const OF: &str = "summary_of";

/// What a summary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// An agent's, and a good one; or nothing that an agent has to be asked about.
    Ok,
    /// Made without an agent.
    Local,
    /// What an agent said was none.
    Failed,
    /// The same, as often as it may be.
    Unrecoverable,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Local => "local",
            Status::Failed => "failed_validation",
            Status::Unrecoverable => "unrecoverable",
        }
    }
}

/// What stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) is_draft: bool,
    pub(super) title: String,
    disposition: String,
    before: String,
    status: String,
    attempts: u32,
    of: Option<u64>,
}

impl Notes {
    pub(super) fn of(all: &Map<String, Value>) -> Notes {
        let text = |key: &str| all.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let attempts = all.get(ATTEMPTS).and_then(Value::as_u64).unwrap_or(0);
        Notes {
            is_draft: all.get("draft").and_then(Value::as_bool).unwrap_or(false),
            title: text("title"),
            disposition: text(DISPOSITION),
            before: text(BEFORE),
            status: text(STATUS),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX).min(ATTEMPTS_MAX),
            of: all.get(OF).and_then(Value::as_u64),
        }
    }

    pub(super) fn read(dir: &Path) -> Result<Notes, FinishError> {
        meta::read(dir).map(|all| Notes::of(&all)).map_err(FinishError::Meta)
    }

    /// How often an agent was asked about a transcript of this size.
    pub(super) fn attempts(&self, size: u64) -> u32 {
        let is_of_it = self.of.is_none_or(|of| of == size);
        match is_of_it {
            true if self.status == Status::Unrecoverable.name() => ATTEMPTS_MAX,
            true => self.attempts,
            false => 0,
        }
    }

    /// Whether others may have it: also not where it was to stay, and what is to decide that anew has not been found.
    pub(super) fn may_share(&self) -> bool {
        self.disposition() == Disposition::Upload && self.before != Disposition::LocalOnly.name()
    }

    /// There is a good summary.
    pub(super) fn is_ok(&self) -> bool {
        self.status == Status::Ok.name()
    }

    /// An agent was asked, and in vain.
    pub(super) fn has_failed(&self) -> bool {
        let all = [Status::Failed, Status::Unrecoverable];
        all.iter().any(|status| self.status == status.name())
            || !self.is_ok() && self.attempts >= ATTEMPTS_MAX
    }

    /// What was decided; sharing where nobody has.
    pub(super) fn disposition(&self) -> Disposition {
        let all = [Disposition::LocalOnly, Disposition::Discard];
        all.into_iter().find(|one| one.name() == self.disposition).unwrap_or(Disposition::Upload)
    }
}

/// Notes that the summary of an agent is owed, in the Go program's form.
pub(super) fn owe(dir: &Path) -> io::Result<()> {
    owe_from(dir, dir)
}

/// The same in a directory that is to become `dir`.
pub(super) fn owe_from(draft: &Path, dir: &Path) -> io::Result<()> {
    let path = draft.join(NEEDS_SUMMARY);
    if file::look(&path)?.is_some() {
        return Ok(());
    }
    let in_ledger = match (dir.parent(), dir.file_name()) {
        (Some(sessions), Some(name)) if sessions.ends_with(".sageox/cache/sessions") => {
            sessions.ancestors().nth(3).map(|ledger| ledger.join("sessions").join(name))
        }
        _ => None,
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let all = serde_json::json!({
        "cache_dir": text(dir), "raw_path": text(&dir.join(raw::FILE)),
        "ledger_session_dir": in_ledger.as_deref().map(text).unwrap_or_default(),
    });
    file::write_durable(&path, &serde_json::to_vec_pretty(&all)?, 0o600)
}

/// Removes a marker.
pub(super) fn unmark(dir: &Path, marker: &str) -> io::Result<()> {
    file::found(std::fs::remove_file(dir.join(marker))).map(drop)
}

/// Sets a marker.
pub(super) fn mark(dir: &Path, marker: &str) -> io::Result<()> {
    let path = dir.join(marker);
    if file::look(&path)?.is_some() { Ok(()) } else { file::write_durable(&path, b"", 0o600) }
}

/// Whether a marker is set. What cannot be looked at is told.
pub(super) fn is_marked(dir: &Path, marker: &str) -> io::Result<bool> {
    Ok(file::look(&dir.join(marker))?.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn syn_06_attempts_are_of_one_transcript_and_a_terminal_state_stays() {
        let of = |value: Value| Notes::of(value.as_object().unwrap());
        assert_eq!(of(json!({})).attempts(7), 0);
        assert_eq!(of(json!({ "summary_attempts": 2, "summary_of": 7 })).attempts(7), 2);
        assert_eq!(of(json!({ "summary_attempts": 2, "summary_of": 7 })).attempts(8), 0);
        // The Go program does not say of what.
        assert_eq!(of(json!({ "summary_attempts": 99 })).attempts(8), ATTEMPTS_MAX);
        assert_eq!(of(json!({ "summary_status": "unrecoverable" })).attempts(8), ATTEMPTS_MAX);
        assert_eq!(of(json!({ "disposition": "local_only" })).disposition(), Disposition::LocalOnly);
        assert_eq!(of(json!({ "disposition": 7 })).disposition(), Disposition::Upload);
    }

    #[test]
    fn what_is_owed_is_noted_as_the_go_program_does() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("l/.sageox/cache/sessions/s");
        std::fs::create_dir_all(&dir).unwrap();
        owe(&dir).unwrap();
        let read: Value = serde_json::from_slice(&std::fs::read(dir.join(NEEDS_SUMMARY)).unwrap()).unwrap();
        let at = |path: &str| Value::from(tmp.path().join(path).to_str().unwrap());
        assert_eq!(read["cache_dir"], at("l/.sageox/cache/sessions/s"));
        assert_eq!(read["raw_path"], at("l/.sageox/cache/sessions/s/raw.jsonl"));
        assert_eq!(read["ledger_session_dir"], at("l/sessions/s"));
        unmark(&dir, NEEDS_SUMMARY).unwrap();
        unmark(&dir, NEEDS_SUMMARY).unwrap();
        assert!(!is_marked(&dir, NEEDS_SUMMARY).unwrap());
    }
}
