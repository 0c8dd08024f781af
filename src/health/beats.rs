//! Heartbeat files: lines by which others, the Go program's doctor among them, see that somebody keeps a clone current.
//!
//! JSON lines at `<cache>/<slug>/heartbeats/<name>.jsonl`, the last five; the format is the Go program's.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::kit::file;
use crate::kit::gotime::GoTime;

/// So many lines a file has.
pub const LINES: usize = 5;
/// A longer file is none of ours.
const FILE_MAX: usize = 1 << 20;

/// How what a line is about stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No error within the last hour.
    #[default]
    Healthy,
    /// There were errors.
    Error,
    /// The first sync of this run has not ended yet.
    Starting,
    /// Something that a later version writes.
    #[serde(other)]
    Unknown,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// When it was written.
    pub ts: GoTime,
    /// By which process.
    pub pid: u32,
    /// By which version, without what stands behind a `+`.
    pub version: String,
    /// For which project: its directory.
    pub workspace: String,
    /// When what it is about was last level with its remote.
    pub last_sync: GoTime,
    /// How it stands.
    pub status: Health,
    /// Errors of the last hour.
    #[serde(skip_serializing_if = "is_zero")]
    pub error_count: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Adds a line to the file at `path`, and drops all but the last [`LINES`]. Damaged lines are dropped too: the file tells of now.
///
/// # Errors
/// It could not be written, or something else than a file is in its place.
pub fn append(path: &Path, line: &Line) -> io::Result<()> {
    // Lines of other programs stay as they are, with what only those know.
    let bytes = read_bytes(path)?;
    let new = serde_json::to_vec(line)?;
    let lines: Vec<&[u8]> = good_lines(&bytes).map(|(text, _)| text).chain([&new[..]]).collect();
    let mut text = Vec::new();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
        file::remove_leftovers(dir);
    }
    file::write_atomic(path, &text, 0o600)
}

/// The last line of the file at `path` that can be read; `None` if there is none.
///
/// # Errors
/// It could not be read.
pub fn last(path: &Path) -> io::Result<Option<Line>> {
    Ok(read(path)?.pop())
}

fn read(path: &Path) -> io::Result<Vec<Line>> {
    Ok(good_lines(&read_bytes(path)?).map(|(_, line)| line).collect())
}

/// The lines that can be read, as they stand and as what they say.
fn good_lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Line)> {
    bytes.split(|b| *b == b'\n').filter_map(|line| Some((line, serde_json::from_slice(line).ok()?)))
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match file::read_capped(path, FILE_MAX) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // What is too long is replaced; a directory or a pipe is not.
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn line(n: u32) -> Line {
        let ts = GoTime::from(Timestamp::from_second(i64::from(n)).unwrap());
        Line { ts, pid: n, version: "0.6.1".into(), workspace: "/p".into(), ..Line::default() }
    }

    #[test]
    fn the_last_five_lines_stay_in_the_documented_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heartbeats/a.jsonl");
        assert_eq!(last(&path).unwrap(), None);
        fs::create_dir(path.parent().unwrap()).unwrap();
        let left = path.with_file_name(format!(".a.jsonl.{}.3.tmp", u32::MAX));
        fs::write(&left, "what a killed daemon was writing").unwrap();
        (1..=7).for_each(|n| append(&path, &line(n)).unwrap());
        append(&path, &Line { status: Health::Error, error_count: 2, ..line(8) }).unwrap();
        assert!(!left.exists());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), LINES);
        assert_eq!(
            text.lines().last().unwrap(),
            r#"{"ts":"1970-01-01T00:00:08Z","pid":8,"version":"0.6.1","workspace":"/p","last_sync":"0001-01-01T00:00:00Z","status":"error","error_count":2}"#
        );
        assert_eq!(last(&path).unwrap().unwrap().pid, 8);
    }

    #[test]
    fn damaged_lines_are_passed_over_and_what_is_no_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, "{\"pid\":1,\"status\":\"new\"}\n\0\0{\n{\"pid\":2,\"x\":[]}\n{\"pid\":3").unwrap();
        assert_eq!(last(&path).unwrap().unwrap().pid, 2);
        append(&path, &line(4)).unwrap();
        let pids: Vec<u32> = read(&path).unwrap().iter().map(|l| l.pid).collect();
        assert_eq!(pids, [1, 2, 4]);
        assert_eq!(read(&path).unwrap()[0].status, Health::Unknown);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"pid\":1,\"status\":\"new\"}\n{\"pid\":2,\"x\":[]}\n{"), "{text}");
        fs::write(&path, "x".repeat(FILE_MAX + 1)).unwrap();
        append(&path, &line(5)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        assert!(append(dir.path(), &line(6)).is_err());
        assert!(last(dir.path()).is_err());
    }
}
