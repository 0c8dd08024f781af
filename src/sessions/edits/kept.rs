//! What is known on this machine of the edits of sessions: kept beside them, or read from transcripts of which nothing is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::find::Known;
use super::limits::{COLLECTED_BYTES_MAX, COLLECTED_MAX};
use super::{collect, load_of};
use crate::kit::file;
use crate::redact::Redactor;
use crate::sessions::place::{Found, Place};
use crate::sessions::raw::{self, Line};
use crate::sessions::recording::{Recording, State};

/// A larger file beside a transcript is not read, in bytes.
const BESIDE_MAX: usize = 1 << 20;

/// The edits of sessions.
#[derive(Debug, Default)]
pub struct Kept {
    /// Those that are known.
    pub sessions: Vec<Known>,
    /// Where each of them lies.
    pub found: Vec<Found>,
    /// Sessions of which nothing is kept, and whose transcript is not here.
    pub not_here: Vec<Found>,
}

/// Reads what is known of `all`, the newest first. Transcripts are read of sessions of this machine alone: paths of another one lead nowhere;
/// and of the newest alone. `workspace` is where those worked of which that is not noted; of files that are not wanted by their paths it may only
/// be known that they were edited.
pub fn kept(
    all: Vec<Found>,
    workspace: &Path,
    redactor: &Redactor,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Kept {
    let (mut kept, mut collected) = (Kept::default(), 0);
    for found in all {
        if let Ok(Some(edits)) = load_of(&found.dir, is_wanted) {
            kept.sessions.push(Known { name: found.name.to_string(), edits });
            kept.found.push(found);
            continue;
        }
        let path = found.dir.join(raw::FILE);
        if raw::is_pointer(&path).unwrap_or(true) {
            kept.not_here.push(found);
            continue;
        }
        let size = fs::metadata(&path).map_or(u64::MAX, |meta| meta.len());
        if found.place == Place::Ledger || collected == COLLECTED_MAX || size > COLLECTED_BYTES_MAX {
            continue;
        }
        collected += 1;
        let at = match Recording::load(&found.dir) {
            State::Some(recording) if !recording.workspace_path.is_empty() => {
                PathBuf::from(recording.workspace_path)
            }
            _ => workspace.to_owned(),
        };
        // What cannot be read wrote nothing that could be told.
        if let Ok(edits) = collect(&found.dir, &at, redactor) {
            kept.sessions.push(Known { name: found.name.to_string(), edits });
            kept.found.push(found);
        }
    }
    kept
}

/// The first lines of what was said in the entries `wanted` of the session in `dir`; none where its transcript is not here.
///
/// # Errors
/// It cannot be read.
pub fn prompts(dir: &Path, wanted: &BTreeSet<i64>) -> io::Result<BTreeMap<i64, String>> {
    let (path, mut all) = (dir.join(raw::FILE), BTreeMap::new());
    if wanted.is_empty() || file::found(raw::is_pointer(&path))?.unwrap_or(true) {
        return Ok(all);
    }
    raw::read(&path, &mut |line| {
        if let Line::Entry(entry) = line
            && let Some(seq) = entry.seq.filter(|seq| wanted.contains(seq))
        {
            let first = entry.content.lines().map(str::trim).find(|line| !line.is_empty());
            all.insert(seq, first.unwrap_or_default().to_owned());
        }
    })?;
    Ok(all)
}

/// Whether what is told of the session in `dir` says that it changed the file at `path`.
pub fn says_changed(dir: &Path, path: &str) -> bool {
    let files = beside(dir, "summary.json", "files_changed");
    files.iter().any(|file| {
        let file = file.as_str().or_else(|| file.get("path")?.as_str());
        file.is_some_and(|file| Path::new(file).ends_with(path))
    })
}

/// The commits that the notes of the session in `dir` name, as the Go program writes them: hints, for commits change.
pub fn produced_commits(dir: &Path) -> Vec<String> {
    let all = beside(dir, "meta.json", "produced_commits").into_iter().filter_map(|commit| {
        let id = ["sha", "commit", "hash", "id"].into_iter().find_map(|name| commit.get(name)?.as_str());
        commit.as_str().or(id).map(str::to_owned)
    });
    all.filter(|id| id.len() >= 7 && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).collect()
}

/// A list in a file beside a transcript; other machines' data, so that anything may stand there.
fn beside(dir: &Path, name: &str, key: &str) -> Vec<Value> {
    let bytes = file::read_capped(&dir.join(name), BESIDE_MAX).ok();
    let all: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    all.and_then(|mut all| Some(all.get_mut(key)?.as_array_mut()?.split_off(0))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_of_others_are_read_in_whatever_form() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert!(!says_changed(dir, "src/a.rs") && produced_commits(dir).is_empty());
        let put = |name: &str, value: Value| fs::write(dir.join(name), value.to_string()).unwrap();
        put("summary.json", json!({"files_changed": ["/home/bo/p/src/a.rs", {"path": "b.rs"}, 3]}));
        let changed = ["src/a.rs", "a.rs", "b.rs", "rc/a.rs"].map(|path| says_changed(dir, path));
        assert_eq!(changed, [true, true, true, false]);
        put(
            "meta.json",
            json!({"produced_commits": ["0123456789", {"sha": "abcdef0123"}, "--all", {"sha": 1}, "main"]}),
        );
        assert_eq!(produced_commits(dir), ["0123456789", "abcdef0123"]);
        put("meta.json", json!({"produced_commits": "0123456789"}));
        assert!(produced_commits(dir).is_empty());
    }
}
