//! [`FILE`](super::FILE) as it is read: of files that are not wanted no hash is decoded. It may be another machine's.

use std::borrow::Cow;
use std::io;

use serde::Deserialize;

use super::{Edit, Edited, Edits, Run, VERSION};
use crate::kit::gotime::GoTime;

#[derive(Default, Deserialize)]
#[serde(default)]
struct All<'a> {
    version: u32,
    session_id: String,
    truncated: bool,
    #[serde(borrow)]
    files: Vec<OfFile<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OfFile<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    edits: Vec<One<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct One<'a> {
    seq: i64,
    subagent: String,
    prompt: Option<i64>,
    at: GoTime,
    whole: bool,
    lines: u64,
    // Hexadecimal digits are never escaped.
    #[serde(borrow)]
    runs: Vec<&'a str>,
}

/// What `bytes` say; `None` of a version that is not known.
pub(super) fn edits(bytes: &[u8], is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Option<Edits>> {
    let all: All<'_> = serde_json::from_slice(bytes)?;
    if all.version != VERSION {
        return Ok(None);
    }
    let file = |file: OfFile<'_>| {
        let wanted = is_wanted(&file.path);
        let edit = |one: One<'_>| {
            let runs = if wanted { one.runs.into_iter().map(Run::read).collect() } else { Some(Vec::new()) };
            Some(Edit {
                seq: one.seq,
                subagent: one.subagent,
                prompt: one.prompt,
                at: one.at,
                whole: one.whole,
                lines: one.lines,
                runs: runs?,
            })
        };
        let edits = file.edits.into_iter().map(edit).collect::<Option<_>>()?;
        Some(Edited { path: file.path.into_owned(), edits })
    };
    let files = all.files.into_iter().map(file).collect::<Option<_>>();
    let files =
        files.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the hashes of an edit"))?;
    Ok(Some(Edits { version: all.version, session_id: all.session_id, truncated: all.truncated, files }))
}
