//! What a program says of its flags, asked once for each program as it lies there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::agents::limits::{HELP_MAX, HELPS};
use crate::kit::cancel::Cancel;
use crate::kit::child::{self, ChildError, Cmd};

/// A program as it lies there: its true path, size and time. Another version has another.
type Key = (PathBuf, u64, i64, i64);

static KNOWN: Mutex<Vec<(Key, Arc<str>)>> = Mutex::new(Vec::new());

/// The text that lists the flags of `program`, which `cmd` prints.
///
/// # Errors
/// It cannot be run.
pub(super) fn of(program: &Path, cmd: Cmd, cancel: &Cancel) -> Result<Arc<str>, ChildError> {
    let key = key(program);
    let known =
        |key: &Key| KNOWN.lock().iter().find(|(known, _)| known == key).map(|(_, text)| Arc::clone(text));
    if let Some(text) = key.as_ref().and_then(known) {
        return Ok(text);
    }
    let (deadline, most) = HELP_MAX;
    let output = child::run(cmd.deadline(deadline).stdout_cap(most).stderr_cap(most), cancel)?;
    let text = [output.stdout, output.stderr].concat();
    let text: Arc<str> = String::from_utf8_lossy(&text).into();
    if let Some(key) = key.filter(|_| output.status.success()) {
        let mut known = KNOWN.lock();
        known.retain(|(other, _)| other.0 != key.0);
        if known.len() >= HELPS {
            known.remove(0);
        }
        known.push((key, Arc::clone(&text)));
    }
    Ok(text)
}

fn key(program: &Path) -> Option<Key> {
    let path = program.canonicalize().ok()?;
    let meta = fs::metadata(&path).ok()?;
    Some((path, meta.len(), meta.mtime(), meta.mtime_nsec()))
}
