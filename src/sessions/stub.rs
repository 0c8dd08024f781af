//! Sessions in which nothing was said: what a recording leaves whose agent ended at once.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::place::Found;
use super::{Recording, follow, input, raw};
use crate::kit::file;

/// A session without an entry goes when it is this old (lesson agt-06; agent work and sessions, 4.4).
const KEPT: Duration = Duration::from_secs(48 * 60 * 60);
/// A longer transcript has something in it, in bytes.
const EMPTY_MAX: u64 = 4096;
/// What lies in the directory of one; with anything else in it, it stays.
const OWN: [&str; 4] = [raw::FILE, "raw.jsonl.lock", ".recording.json.lock", "meta.json"];

/// Removes a session that is not being recorded, if nothing was said in it and it is old enough at `now`. Returns whether it is gone.
///
/// # Errors
/// It cannot be looked at or removed.
pub fn remove_stub(found: &Found, now: Timestamp) -> io::Result<bool> {
    let began = found.name.began(&TimeZone::system()).unwrap_or(Timestamp::MAX);
    if began > now || now.duration_since(began).unsigned_abs() < KEPT {
        return Ok(false);
    }
    let path = found.dir.join(raw::FILE);
    if let Some(meta) = file::look(&path)?
        && (meta.len() > EMPTY_MAX || raw::is_pointer(&path)? || raw::is_substantive(&path)?)
    {
        return Ok(false);
    }
    for entry in fs::read_dir(&found.dir)? {
        let name = entry?.file_name();
        if !OWN.iter().any(|own| name == *own) {
            return Ok(false);
        }
    }
    fs::remove_dir_all(&found.dir)?;
    Ok(true)
}

/// Ends the recording in `dir` if nothing was said in it: a ghost (agent work and sessions, 5.4). The directory goes if nothing is left in it.
/// Answers whether it was one.
///
/// # Errors
/// It cannot be looked at, or the disk refuses.
pub fn end_ghost(dir: &Path) -> io::Result<bool> {
    let path = dir.join(raw::FILE);
    if input::is_there(dir)
        || file::look(&path)?.is_some() && (raw::is_pointer(&path)? || raw::is_substantive(&path)?)
    {
        return Ok(false);
    }
    follow::forget(dir)?;
    Recording::remove(dir)?;
    file::found(fs::remove_file(dir.join("raw.jsonl.lock")))?;
    match fs::remove_dir(dir) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Err(e),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::{Name, Place};

    #[test]
    fn agt_06_a_session_without_an_entry_goes_after_two_days_and_no_other() {
        let tmp = tempfile::tempdir().unwrap();
        let name = Name::parse("2026-03-12T11-09-dana-OxTndR").unwrap();
        let began = name.began(&TimeZone::system()).unwrap();
        let found = Found { dir: tmp.path().join(&*name), name, place: Place::Local, in_ledger: false };
        let check = |files: &[(&str, &str)], hours: i64, is_gone: bool| {
            fs::create_dir_all(&found.dir).unwrap();
            for (name, text) in files {
                fs::write(found.dir.join(name), text).unwrap();
            }
            let removed = remove_stub(&found, began + jiff::SignedDuration::from_hours(hours)).unwrap();
            assert_eq!((removed, found.dir.exists()), (is_gone, !is_gone), "{files:?}");
            let _ = fs::remove_dir_all(&found.dir);
        };
        let header = "{\"type\":\"header\",\"metadata\":{}}\n{\"type\":\"footer\"}\n";
        check(&[(raw::FILE, header), ("meta.json", "{}")], 48, true);
        check(&[], 48, true);
        check(&[(raw::FILE, header)], 47, false);
        check(&[(raw::FILE, header)], -1, false);
        check(&[(raw::FILE, header), ("plan.md", "x")], 100, false);
        check(&[(raw::FILE, "{\"type\":\"user\",\"content\":\"x\"}\n")], 100, false);
        check(&[(raw::FILE, "version https://git-lfs.github.com/spec/v1\n")], 100, false);
    }
}
