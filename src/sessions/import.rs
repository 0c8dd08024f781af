//! A session made afterwards of what somebody has in a file: an agent program's transcript, or lines of `raw.jsonl` behind a header.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::raw::{self, Entry, Header, Line, Writer};
use super::{Ending, Name, meta, usage};
use crate::harness::transcript::{Reader, Thread, What};
use crate::kit::file;
use crate::kit::lock::FileLock;
use crate::redact::Redactor;

/// The directory in which a session is made, beside the others; whoever is ended leaves it to the next.
const DRAFT: &str = ".import";
/// Whoever makes one holds this lock.
const LOCK: &str = ".import.lock";
/// A session is made within this.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is neither header, entry nor footer.
    #[error("line {0} is no entry")]
    Line(u64),
    /// An entry says nothing.
    #[error("line {0} says nothing")]
    Empty(u64),
    /// The numbers of the entries do not grow.
    #[error("line {0}: seq is not greater than that of the entry before it")]
    Seq(u64),
    /// There is no header.
    #[error(
        "there is no line with _meta, and the file is no transcript of an agent program that can be read"
    )]
    NoHeader,
    /// There is no entry.
    #[error("there is no entry in it")]
    NoEntry,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is to become a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// What is known of it.
    pub header: Header,
    /// Its entries, without numbers.
    pub entries: Vec<Entry>,
    /// What stands in the program's transcript and nobody knows.
    pub skipped: u64,
    /// What the program calls the session; may be empty.
    pub native: String,
    /// What its answers cost, as far as the program's transcript says.
    pub spent: Vec<usage::Line>,
}

/// Reads lines of `raw.jsonl` behind a header with `_meta`, as agents write them down of what went before.
///
/// # Errors
/// See [`ImportError`]; nothing of a file in which one line is wrong is taken.
pub fn of_lines(text: &[u8]) -> Result<Imported, ImportError> {
    let (mut header, mut entries, mut wrong, mut last) = (None, Vec::new(), None, i64::MIN);
    let lines = (1_u64..).zip(text.split(|byte| *byte == b'\n'));
    for (n, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let seen = match Line::parse(line) {
            Line::Header(of) => {
                header = Some(*of);
                Ok(())
            }
            Line::Footer(_) => Ok(()),
            Line::Damaged => Err(ImportError::Line(n)),
            Line::Entry(entry) if entry.content.trim().is_empty() && entry.tool_name.is_empty() => {
                Err(ImportError::Empty(n))
            }
            Line::Entry(entry) if entry.seq.is_some_and(|seq| seq <= last) => Err(ImportError::Seq(n)),
            Line::Entry(entry) => {
                last = entry.seq.unwrap_or(last);
                entries.push(*entry);
                Ok(())
            }
        };
        if let Err(e) = seen {
            wrong.get_or_insert(e);
        }
    }
    // Without a header it may be something else altogether, and that is the better thing to say.
    let header = header.ok_or(ImportError::NoHeader)?;
    match wrong {
        Some(e) => Err(e),
        None if entries.is_empty() => Err(ImportError::NoEntry),
        None => Ok(Imported { header, entries, ..Imported::default() }),
    }
}

/// Reads the transcript of the program that recordings call `kind`, from its beginning: lines, or one object.
///
/// # Errors
/// See [`ImportError`].
pub fn of_transcript(text: impl Read, is_lines: bool, kind: &str) -> Result<Imported, ImportError> {
    let mut reader = Reader::of(kind).ok_or(ImportError::NoHeader)?;
    let (mut entries, mut spent, mut thread) = (Vec::new(), Vec::new(), Thread::default());
    let too_long = reader.read_all(text, is_lines, &mut |fact| match fact.what {
        What::Thread(of) => thread = of,
        What::Spent(of) => spent.push(usage::Line::new(kind, &of, &thread, fact.time)),
        _ => entries.extend(super::follow::entry_of(fact)),
    })?;
    if entries.is_empty() {
        return Err(ImportError::NoEntry);
    }
    let header = Header {
        agent_type: kind.to_owned(),
        agent_version: thread.version,
        model: thread.model,
        ..Header::default()
    };
    let skipped = reader.skipped();
    let skipped = skipped.unknown + skipped.damaged + too_long;
    Ok(Imported { header, entries, skipped, native: thread.session, spent })
}

impl Imported {
    /// When its first entry was made.
    pub fn began(&self) -> Option<Timestamp> {
        self.entries.iter().filter_map(|entry| entry.timestamp).min()
    }

    /// Writes it as the finished session `name` into `dir`, where nothing of that name is yet. Who is ended in between leaves nothing that
    /// counts.
    ///
    /// # Errors
    /// It is there already, or the disk refuses.
    pub fn write(
        &self,
        dir: &Path,
        name: &Name,
        title: &str,
        redactor: &Redactor,
        now: Timestamp,
    ) -> io::Result<(PathBuf, raw::Written)> {
        let (target, draft) = (dir.join(&**name), dir.join(DRAFT));
        let _lock = FileLock::acquire(&dir.join(LOCK), LOCK_WAIT)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "somebody else is importing"))?;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the session is there already"));
        }
        file::found(fs::remove_dir_all(&draft))?;
        file::make_dirs(&draft, 0o700)?;
        let header = Header { is_recovered: true, ..self.header.clone() };
        let mut writer = Writer::open(&draft, &header, redactor)?;
        for entry in &self.entries {
            writer.append(entry)?;
        }
        usage::add(&draft, &self.spent, redactor)?;
        let written = writer.close(now)?;
        let end = Ending { name, title, reason: "imported", native: &self.native };
        meta::write(&draft, &header, &end, written.next_seq, &[], redactor)?;
        file::rename_new(&draft, &target)?;
        file::sync_dir(&target)?;
        Ok((target, written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Imported, ImportError> {
        of_lines(lines.join("\n").as_bytes())
    }

    const META: &str = r#"{"_meta":{"schema_version":"1","agent_id":"OxTndR","agent_type":"codex","started_at":"2026-03-12T09:00:00Z"}}"#;

    #[test]
    fn lines_are_taken_whole_or_not_at_all() {
        let one = r#"{"seq":1,"type":"user","content":"Fix it","ts":"2026-03-12T09:01:00Z"}"#;
        let two = r#"{"seq":2,"type":"assistant","content":"Done"}"#;
        let imported = read(&[META, one, two]).unwrap();
        assert_eq!((imported.header.agent_id.as_str(), imported.entries.len()), ("OxTndR", 2));
        assert_eq!(imported.began().unwrap().to_string(), "2026-03-12T09:01:00Z");
        let why = |lines: &[&str]| read(lines).unwrap_err().to_string();
        assert_eq!(why(&[META, one, "{"]), "line 3 is no entry");
        assert_eq!(why(&[META, two, one]), "line 3: seq is not greater than that of the entry before it");
        assert_eq!(why(&[META, r#"{"seq":1,"type":"user","content":" "}"#]), "line 2 says nothing");
        assert_eq!(why(&[META]), "there is no entry in it");
        assert!(why(&[one]).starts_with("there is no line with _meta"));
    }

    #[test]
    fn a_session_is_there_whole_or_not_at_all_and_never_twice() {
        let dir = tempfile::tempdir().unwrap();
        let one = r#"{"type":"user","content":"Fix it","ts":"2026-03-12T09:01:00Z"}"#;
        let imported = read(&[META, one]).unwrap();
        let name = Name::parse("2026-03-12T11-09-dana-OxTndR").unwrap();
        // Somebody was ended in the middle of it.
        fs::create_dir(dir.path().join(DRAFT)).unwrap();
        let write = || imported.write(dir.path(), &name, "Old", &Redactor::new(), Timestamp::UNIX_EPOCH);
        let (path, written) = write().unwrap();
        assert_eq!((written.next_seq, path.join("meta.json").is_file()), (1, true));
        assert!(write().unwrap_err().to_string().contains("there already"));
        assert!(!dir.path().join(DRAFT).exists());
    }
}
