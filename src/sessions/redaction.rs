//! Sessions looked at once more by the rules of today: secrets that an older version, another program or older rules have left in them.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::raw;
use super::recording::{Recording, State};
use crate::kit::file;
use crate::kit::pointer::is_pointer;
use crate::redact::{Findings, Redactor};

/// A larger file is not read, in bytes.
const FILE_MAX: usize = 256 << 20;
/// Files of one session that are looked at, those of its sub-agents too.
const FILES_MAX: usize = 2000;
/// So many directories deep they lie at most.
const DEPTH_MAX: usize = 2;

/// A file of a session with secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclean {
    /// Its path below the session's directory.
    pub file: String,
    /// What was found.
    pub found: Findings,
}

/// What a session is for redaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files that were looked into.
    pub files: usize,
    /// Those with secrets.
    pub unclean: Vec<Unclean>,
}

/// Looks into the files of the session directory `dir`. What only stands for a file is passed over.
///
/// # Errors
/// One cannot be read.
pub fn check(dir: &Path, redactor: &Redactor) -> io::Result<Checked> {
    look(dir, redactor, &mut |_, _| Ok(()))
}

/// The same, and writes what holds secrets anew without them: durably, a file at a time, each whole or not at all. Entries keep their numbers and
/// ids.
///
/// # Errors
/// The session is being recorded, somebody else writes to it, or the disk refuses.
pub fn mend(dir: &Path, redactor: &Redactor) -> io::Result<Checked> {
    if !matches!(Recording::load(dir), State::None) {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "it is being recorded"));
    }
    let _lock = raw::lock(dir)?;
    let mended = look(dir, redactor, &mut |path, clean| {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::symlink_metadata(path)?.permissions());
        file::write_durable(path, clean, mode & 0o777)
    });
    raw::unlock(dir);
    mended
}

fn look(
    dir: &Path,
    redactor: &Redactor,
    on_unclean: &mut dyn FnMut(&Path, &[u8]) -> io::Result<()>,
) -> io::Result<Checked> {
    let mut checked = Checked::default();
    let mut names = Vec::new();
    list(dir, "", DEPTH_MAX, &mut names)?;
    names.sort();
    for (name, path) in names {
        let bytes = file::read_capped(&path, FILE_MAX)?;
        if is_pointer(&bytes) {
            continue;
        }
        checked.files += 1;
        let mut found = Findings::default();
        if let Cow::Owned(clean) = redactor.redact_file(&name, &bytes, &mut found) {
            on_unclean(&path, &clean)?;
            checked.unclean.push(Unclean { file: name, found });
        }
    }
    Ok(checked)
}

/// The files below `dir`, by their path there; no link is followed.
fn list(dir: &Path, below: &str, depth: usize, names: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if kind.is_dir() && depth > 0 {
            list(&entry.path(), &format!("{name}/"), depth - 1, names)?;
        } else if kind.is_file() && !name.ends_with(".lock") {
            if names.len() >= FILES_MAX {
                return Err(io::Error::other("it has too many files"));
            }
            names.push((name, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_older_rules_have_left_is_found_and_goes_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        let line = |n: usize, text: &str| {
            json!({ "type": "user", "content": text, "seq": n, "source_id": format!("u{n}"), "theirs": 1.0 })
                .to_string()
                + "\n"
        };
        let raw = line(0, "a") + &line(1, &format!("use {token}")) + &line(2, &format!("{token} {token}"));
        fs::write(dir.join(raw::FILE), &raw).unwrap();
        fs::write(dir.join("meta.json"), "{\n  \"title\": \"t\"\n}").unwrap();
        fs::create_dir_all(dir.join("subagents/a1")).unwrap();
        fs::write(dir.join("subagents/a1/session.md"), format!("# {token}\n")).unwrap();
        fs::write(
            dir.join("far.jsonl"),
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        )
        .unwrap();
        let redactor = Redactor::new();
        let told = |checked: Checked| {
            let one = |u: &Unclean| format!("{} {} {}", u.file, u.found.rules()[0].rule, u.found.total());
            (checked.files, checked.unclean.iter().map(one).collect::<Vec<_>>())
        };
        let expected = (
            3,
            vec!["raw.jsonl github_token 3".to_owned(), "subagents/a1/session.md github_token 1".to_owned()],
        );
        assert_eq!(told(check(dir, &redactor).unwrap()), expected);
        assert_eq!(fs::read_to_string(dir.join(raw::FILE)).unwrap(), raw);
        assert_eq!(told(mend(dir, &redactor).unwrap()), expected);
        assert_eq!(told(check(dir, &redactor).unwrap()), (3, vec![]));
        let mended = fs::read_to_string(dir.join(raw::FILE)).unwrap();
        assert_eq!(mended, raw.replace(&token, "[REDACTED_GITHUB_TOKEN]"));
        assert!(!dir.join("raw.jsonl.lock").exists());
    }

    #[test]
    fn one_that_is_being_recorded_is_left_to_whoever_records_it() {
        let dir = tempfile::tempdir().unwrap();
        let now: jiff::Timestamp = "2026-03-12T09:00:00Z".parse().unwrap();
        Recording::new("OxTndR", now).create(dir.path()).unwrap();
        assert!(mend(dir.path(), &Redactor::new()).is_err());
        assert_eq!(check(dir.path(), &Redactor::new()).unwrap().files, 1);
    }
}
