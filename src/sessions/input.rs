//! `input.jsonl`: what an agent writes down itself whose transcript nobody can read. It may write lines of `raw.jsonl` there at any time;
//! they are taken over when the recording is finished, and the file goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::raw::{self, Entry, Line, Writer};
use crate::kit::file;

/// The file's name.
const FILE: &str = "input.jsonl";
/// What a recording calls the program whose transcript nobody can read.
pub const GENERIC: &str = "generic";

/// Where it lies, in the session directory `dir`.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Whether anything is in it.
pub fn is_there(dir: &Path) -> bool {
    fs::symlink_metadata(path(dir)).is_ok_and(|meta| meta.is_file() && meta.len() > 0)
}

/// Appends what is in it to the transcript, each line once, and returns how many lines are none of an entry. Nothing where it is not there.
///
/// # Errors
/// It cannot be read, or the transcript not written.
pub(super) fn take_over(dir: &Path, writer: &mut Writer<'_>) -> io::Result<u64> {
    // Without it nobody reads the whole transcript.
    if !is_there(dir) {
        return Ok(0);
    }
    let written = writer.ids_behind(dir, 0)?;
    let (mut entries, mut damaged) = (Vec::new(), 0);
    let done = raw::read(&path(dir), &mut |line| match line {
        Line::Entry(entry) => entries.push(*entry),
        Line::Header(_) | Line::Footer(_) => {}
        Line::Damaged => damaged += 1,
    });
    file::found(done)?;
    for (n, entry) in entries.into_iter().enumerate() {
        let source_id = format!("input-{n}");
        if !written.contains(&source_id) {
            writer.append(&Entry { source_id, ..entry })?;
        }
    }
    Ok(damaged)
}

/// Removes it.
///
/// # Errors
/// The disk refuses.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    file::found(fs::remove_file(path(dir))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Redactor;
    use crate::sessions::raw::Header;

    #[test]
    fn each_line_is_taken_over_once_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        let line = |text: &str| {
            format!(
                "{{\"type\":\"user\",\"content\":\"{text}\",\"timestamp\":\"2026-03-12T09:10:00Z\",\"seq\":7}}\n"
            )
        };
        fs::write(path(dir), [line("one"), "no entry\n".into(), line(&token), line("one")].concat()).unwrap();
        assert!(is_there(dir));
        let redactor = Redactor::new();
        for _ in 0..2 {
            let mut writer = Writer::open(dir, &Header::default(), &redactor).unwrap();
            assert_eq!(take_over(dir, &mut writer).unwrap(), 1);
            writer.commit().unwrap();
        }
        let mut told = Vec::new();
        let keep = &mut |line| {
            if let Line::Entry(entry) = line {
                told.push((entry.seq.unwrap(), entry.content));
            }
        };
        raw::read(&dir.join(raw::FILE), keep).unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!((told[0].clone(), told[2].clone()), ((0, "one".into()), (2, "one".into())));
        assert!(told[1].1.contains("REDACTED"));
        remove(dir).unwrap();
        remove(dir).unwrap();
        assert!(!is_there(dir));
    }
}
