//! `meta.json`: what is known of a finished session without reading it. Shared with the Go program, whose unknown keys stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Name;
use super::raw::Header;
use super::recording::Turn;
use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::kit::lock::FileLock;
use crate::redact::Redactor;

/// The file's name.
pub(super) const FILE: &str = "meta.json";
/// Whoever changes the file holds this lock, and takes no other while it does.
pub(super) const LOCK: &str = "meta.json.lock";
/// Whoever changes it is done long before this.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// A larger file is none, in bytes.
pub(super) const FILE_MAX: usize = 1 << 20;
/// The format's version.
const VERSION: &str = "1.0";

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What it was about; may be empty.
    pub title: &'a str,
    /// `stopped`, or `recovered` where its agent had ended without a word.
    pub reason: &'a str,
    /// What its program calls it; may be empty.
    pub native: &'a str,
}

/// What the file in the session directory `dir` says; nothing where there is none.
///
/// # Errors
/// It is there and cannot be read, or is none.
pub(super) fn read(dir: &Path) -> io::Result<Map<String, Value>> {
    match file::found(file::read_capped(&dir.join(FILE), FILE_MAX))? {
        None => Ok(Map::new()),
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
    }
}

/// Nobody else changes the file in a session directory until this is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    _lock: FileLock,
    dir: PathBuf,
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.dir.join(LOCK));
        // The lock has made the directory of a session that was thrown away; one with anything in it stays.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Takes the lock of the file in `dir`.
///
/// # Errors
/// Somebody else keeps it, or the disk refuses.
pub(super) fn lock(dir: &Path) -> io::Result<Locked> {
    let lock = FileLock::acquire(&dir.join(LOCK), LOCK_WAIT)?.ok_or_else(|| {
        io::Error::new(io::ErrorKind::WouldBlock, "somebody else is changing what is known of the session")
    })?;
    Ok(Locked { _lock: lock, dir: dir.to_owned() })
}

/// Changes the file; what is not touched stays, and a file in which nothing changes is not written.
///
/// # Errors
/// One is there and cannot be read, or the disk refuses.
pub(super) fn change(
    locked: &Locked,
    redactor: &Redactor,
    change: impl FnOnce(&mut Map<String, Value>),
) -> io::Result<()> {
    let path = locked.dir.join(FILE);
    let before = read(&locked.dir)?;
    let mut all = before.clone();
    change(&mut all);
    let mut all = Value::Object(all);
    redactor.redact_json(&mut all);
    if all.as_object() == Some(&before) && !file::is_gone(&path) {
        return Ok(());
    }
    file::write_durable(&path, &serde_json::to_vec_pretty(&all)?, 0o600)
}

/// Writes it beside the transcript in `dir`; what another version has written there stays.
///
/// # Errors
/// One is there and cannot be read, or the disk refuses.
pub(super) fn write(
    dir: &Path,
    header: &Header,
    end: &Ending<'_>,
    entries: i64,
    turns: &[Turn],
    redactor: &Redactor,
) -> io::Result<()> {
    change(&lock(dir)?, redactor, |all| {
        let mut put = |key: &str, value: Value| {
            all.insert(key.to_owned(), value);
        };
        put("version", VERSION.into());
        put("session_name", (**end.name).into());
        put("username", header.username.as_str().into());
        put("agent_id", header.agent_id.as_str().into());
        put("agent_type", header.agent_type.as_str().into());
        put("created_at", json!(GoTime(header.created_at)));
        put("entry_count", entries.into());
        put("stop_reason", end.reason.into());
        let may_be_empty = [
            ("title", end.title),
            ("model", &header.model),
            ("repo_id", &header.repo_id),
            ("session_id", &header.session_id),
            ("native_session", end.native),
        ];
        for (key, text) in may_be_empty.into_iter().filter(|(_, text)| !text.is_empty()) {
            put(key, text.into());
        }
        // What was said in a pause is told apart by this when the session is shared.
        if turns.iter().any(|turn| turn.action == "pause") {
            put("lifecycle", json!(turns));
        }
        all.entry("files").or_insert_with(|| Map::new().into());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_has_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::parse("2026-03-12T11-09-dana-OxTndR").unwrap();
        let end = Ending { name: &name, title: "Parser", reason: "stopped", native: "n1" };
        let header = Header { agent_id: "OxTndR".into(), ..Header::default() };
        let read = || -> Value { serde_json::from_slice(&fs::read(dir.path().join(FILE)).unwrap()).unwrap() };
        write(dir.path(), &header, &end, 3, &[], &Redactor::new()).unwrap();
        assert_eq!(
            (&read()["title"], &read()["entry_count"], &read()["files"]),
            (&"Parser".into(), &3.into(), &json!({}))
        );
        assert_eq!(read()["native_session"], "n1");
        fs::write(
            dir.path().join(FILE),
            r#"{"linked_prs":[7],"files":{"raw.jsonl":{"size":1}},"title":"T"}"#,
        )
        .unwrap();
        write(dir.path(), &header, &Ending { title: "", ..end }, 4, &[], &Redactor::new()).unwrap();
        let all = read();
        assert_eq!(
            (&all["linked_prs"], &all["title"], &all["files"]["raw.jsonl"]["size"]),
            (&json!([7]), &"T".into(), &1.into())
        );
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(write(dir.path(), &header, &end, 4, &[], &Redactor::new()).is_err());
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"{");
    }
}
