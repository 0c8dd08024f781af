//! `.recording.json`: that a session is being recorded, by whom and how far. Shared with the Go program, whose unknown keys stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::harness::transcript::places::Located;
use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::kit::lock::FileLock;

/// The file's name.
pub const FILE: &str = ".recording.json";
/// Whoever changes the file holds this lock.
const LOCK: &str = ".recording.json.lock";
/// Whoever changes it is done long before this.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// A larger file is no recording's, in bytes.
const FILE_MAX: usize = 1 << 20;
/// After so many entries an agent is reminded, as the Go program has it.
const REMINDER_INTERVAL: i64 = 50;

/// Who takes the agent's transcript over into the recording.
pub mod watch_mode {
    /// Commands that the agent's hooks run.
    pub const HOOK: &str = "hook";
    /// The daemon, which follows the transcript.
    pub const TAIL: &str = "tail";
}

/// A recording that was begun and has not been finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// Whose session it is.
    pub agent_id: String,
    /// When recording began.
    pub started_at: GoTime,
    /// Which program's transcript is read, such as `claude-code`; `generic` for the file that agents write themselves.
    pub adapter_name: String,
    /// The transcript, or the database that it is in; empty until it is known.
    pub session_file: String,
    /// For people only.
    pub output_file: String,
    /// The session's directory; empty for the one that this file lies in.
    pub session_path: String,
    /// What the session is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Entries that were appended.
    pub entry_count: i64,
    /// The last entry at which the agent was reminded.
    pub last_reminder_seq: i64,
    /// It is reminded after so many.
    pub reminder_interval: i64,
    /// The project's directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_path: String,
    /// Its git branch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// The agent that started this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_agent_id: String,
    /// What the agent calls itself; empty for the name in `adapter_name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// Its model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The agent's process; zero if that is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub parent_pid: u32,
    /// When that process started, in the kernel's ticks since boot; zero if that is not known. Ours, additive.
    #[serde(skip_serializing_if = "is_zero_64")]
    pub parent_start: u64,
    /// Bytes of the transcript that have been taken over.
    #[serde(skip_serializing_if = "is_zero_64")]
    pub source_offset: u64,
    /// Bytes of the transcript that were there before recording began, and are not part of it.
    #[serde(skip_serializing_if = "is_zero_64")]
    pub start_offset: u64,
    /// One of [`watch_mode`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub watch_mode: String,
    /// When it was stopped; what is left is to finish it.
    #[serde(skip_serializing_if = "GoTime::is_zero")]
    pub stopped_at: GoTime,
    /// `ses_` and a UUID of version 7: the session's id, wherever it goes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// Pauses and the like, in order: what lies between a pause and the next resume is not shared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lifecycle: Vec<Turn>,
    /// What the program calls its own session; in a database this is the one that is meant. Ours, additive.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub native_session: String,
    /// It was to be stopped while the agent had not written anything down yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stop_incomplete: bool,
    /// Keys of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A point in a recording's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// `start`, `pause`, `resume` or `stop`.
    pub action: String,
    /// When.
    pub at: GoTime,
    /// The number of the entry that comes next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// Keys of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_64(n: &u64) -> bool {
    *n == 0
}

/// What a look at a directory found.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing is being recorded there.
    None,
    /// A recording.
    Some(Box<Recording>),
    /// Something is, and it cannot be read: it must not be taken for nothing.
    Unreadable(String),
}

impl Recording {
    /// A recording by `agent` that begins at `now`.
    pub fn new(agent: &str, now: Timestamp) -> Recording {
        Recording {
            agent_id: agent.to_owned(),
            started_at: now.into(),
            reminder_interval: REMINDER_INTERVAL,
            session_id: new_session_id(),
            lifecycle: vec![Turn { action: "start".into(), at: now.into(), seq: Some(0), ..Turn::default() }],
            ..Recording::default()
        }
    }

    /// The one in the session directory `dir`.
    pub fn load(dir: &Path) -> State {
        match file::read_capped(&dir.join(FILE), FILE_MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => State::None,
            Err(e) => State::Unreadable(e.to_string()),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(recording) => State::Some(Box::new(recording)),
                Err(e) => State::Unreadable(e.to_string()),
            },
        }
    }

    /// Writes it down in `dir`, where none is yet: 0600.
    ///
    /// # Errors
    /// One is there, or the disk refuses.
    pub fn create(&self, dir: &Path) -> io::Result<()> {
        let _lock = lock(dir)?;
        if fs::symlink_metadata(dir.join(FILE)).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the session is being recorded already",
            ));
        }
        self.write(dir)
    }

    /// Changes the one in `dir` and returns what it is then; none if there is none.
    ///
    /// # Errors
    /// It cannot be read or written; somebody else keeps it locked.
    pub fn update(dir: &Path, change: impl FnOnce(&mut Recording)) -> io::Result<Option<Recording>> {
        let _lock = lock(dir)?;
        match Recording::load(dir) {
            State::None => {
                unlock(dir);
                Ok(None)
            }
            State::Unreadable(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            State::Some(mut recording) => {
                let before = recording.clone();
                change(&mut recording);
                if recording != before {
                    recording.write(dir)?;
                }
                Ok(Some(*recording))
            }
        }
    }

    /// Notes in the one in `dir` where its transcript is, which was not known when it began.
    ///
    /// # Errors
    /// As [`update`](Recording::update).
    pub fn locate(dir: &Path, at: &Located) -> io::Result<Option<Recording>> {
        Recording::update(dir, |recording| {
            recording.session_file = at.path.to_string_lossy().into_owned();
            if !at.session.is_empty() {
                recording.native_session.clone_from(&at.session);
            }
        })
    }

    /// Removes the one in `dir`, with its lock.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(dir: &Path) -> io::Result<()> {
        let _lock = lock(dir)?;
        for name in [FILE, LOCK] {
            match fs::remove_file(dir.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        file::sync_dir(&dir.join(FILE))
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        file::write_durable(&dir.join(FILE), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// The agent's kind: what it calls itself, else whose transcript is read.
    pub fn kind(&self) -> &str {
        if self.agent_type.is_empty() { &self.adapter_name } else { &self.agent_type }
    }

    /// Whether it is paused: the newest pause has no resume behind it.
    pub fn is_paused(&self) -> bool {
        let newest = self.lifecycle.iter().rev().find(|t| matches!(t.action.as_str(), "pause" | "resume"));
        newest.is_some_and(|turn| turn.action == "pause")
    }

    /// The session's directory, of a recording whose file lies in `dir`.
    pub fn dir(&self, dir: &Path) -> PathBuf {
        if self.session_path.is_empty() { dir.to_owned() } else { PathBuf::from(&self.session_path) }
    }
}

/// A new id of a session.
pub fn new_session_id() -> String {
    format!("ses_{}", crate::kit::id::new_id())
}

fn lock(dir: &Path) -> io::Result<FileLock> {
    FileLock::acquire(&dir.join(LOCK), LOCK_WAIT)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "somebody else keeps the recording locked"))
}

/// Removes what the lock leaves where nothing is being recorded; called while it is held.
fn unlock(dir: &Path) {
    let _ = fs::remove_file(dir.join(LOCK));
    // The lock has made the directory of a session that was thrown away; one with anything in it stays.
    let _ = fs::remove_dir(dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-12T09:09:00Z".parse().unwrap()
    }

    #[test]
    fn a_recording_is_begun_once_changed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(Recording::load(dir), State::None);
        let gone = dir.join("gone");
        assert_eq!((Recording::update(&gone, |_| ()).unwrap(), gone.exists()), (None, false));
        let recording = Recording { title: "parser".into(), ..Recording::new("OxTndR", now()) };
        recording.create(dir).unwrap();
        assert!(recording.session_id.starts_with("ses_"));
        assert_eq!(recording.create(dir).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Recording::load(dir), State::Some(Box::new(recording)));
        let changed = Recording::update(dir, |r| r.entry_count = 7).unwrap().unwrap();
        assert_eq!((changed.entry_count, Recording::load(dir)), (7, State::Some(Box::new(changed))));
        Recording::remove(dir).unwrap();
        assert_eq!(Recording::load(dir), State::None);
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
        Recording::remove(dir).unwrap();
    }

    #[test]
    fn keys_of_other_versions_stay_and_what_cannot_be_read_is_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let theirs = r#"{"agent_id":"OxTndR","started_at":"0001-01-01T00:00:00Z","hook_invocations":3,
            "lifecycle":[{"action":"pause","at":"2026-03-12T09:09:00Z","seq":2,"reason":"lunch"}]}"#;
        fs::write(dir.join(FILE), theirs).unwrap();
        let read = Recording::update(dir, |r| r.title = "t".into()).unwrap().unwrap();
        assert!(read.is_paused() && read.started_at.is_zero());
        let written: Value = serde_json::from_slice(&fs::read(dir.join(FILE)).unwrap()).unwrap();
        assert_eq!(
            (&written["hook_invocations"], &written["lifecycle"][0]["reason"]),
            (&3.into(), &"lunch".into())
        );
        assert_eq!(written["reminder_interval"], 0, "what the Go program always writes is there");
        fs::write(dir.join(FILE), "{").unwrap();
        assert!(matches!(Recording::load(dir), State::Unreadable(_)));
        assert!(Recording::update(dir, |_| ()).is_err());
        assert_eq!(fs::read(dir.join(FILE)).unwrap(), b"{");
    }
}
