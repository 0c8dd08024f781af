//! The file that lets an agent's entry take events in: `<data>/hooks/enabled.<word>`, 0600, four lines: which directories, what of a payload
//! is kept, a hash key in hex, the id of this installation. The entry reads it at each event and nothing else; without it nothing is taken in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::kit::file;
use crate::kit::hex::{self, hex};

/// No such file is longer, in bytes.
const SIZE_MAX: usize = 4096;

/// Where events are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In projects.
    Initialized,
    /// Everywhere.
    All,
}

/// What is kept of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// That there was an event.
    None,
    /// What an event is about, lengths and digests; no content.
    Meta,
    /// All of it, on this machine.
    Full,
}

/// What an entry is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// Where events are taken in.
    pub scope: Scope,
    /// What is kept of a payload.
    pub payload: Payload,
    /// Under which digests of directories are made.
    pub key: [u8; 32],
    /// Random, one for each data directory.
    pub install_id: String,
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flag({:?}, {:?}, {})", self.scope, self.payload, self.install_id)
    }
}

impl Scope {
    /// Its word, as the settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Initialized => "initialized",
            Scope::All => "all",
        }
    }

    /// The scope of that word.
    pub fn of(name: &str) -> Option<Scope> {
        [Scope::Initialized, Scope::All].into_iter().find(|scope| scope.name() == name)
    }
}

impl Payload {
    /// Its word, as the settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Payload::None => "none",
            Payload::Meta => "meta",
            Payload::Full => "full",
        }
    }

    /// The mode of that word.
    pub fn of(name: &str) -> Option<Payload> {
        [Payload::None, Payload::Meta, Payload::Full].into_iter().find(|payload| payload.name() == name)
    }
}

impl Flag {
    /// The text of the file.
    fn text(&self) -> String {
        let key = hex(&self.key);
        format!("{}\n{}\n{key}\n{}\n", self.scope.name(), self.payload.name(), self.install_id)
    }
}

/// The directory of hooks below the data directory.
pub fn dir(data: &Path) -> PathBuf {
    data.join("hooks")
}

/// The file of the agent that `word` names.
pub fn path(data: &Path, word: &str) -> PathBuf {
    dir(data).join(format!("enabled.{word}"))
}

/// What the file says; `None` if its lines are not what they should be. Further lines are for later versions.
pub fn parse(text: &[u8]) -> Option<Flag> {
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    let (scope, payload) = (Scope::of(lines.next()?)?, Payload::of(lines.next()?)?);
    let (key, install_id) = (unhex(lines.next()?)?, lines.next()?);
    let is_id = !install_id.is_empty() && install_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_id.then(|| Flag { scope, payload, key, install_id: install_id.to_owned() })
}

/// Reads the agent's file; `None` if there is none, or none that can be used: then nothing is taken in.
pub fn read(data: &Path, word: &str) -> Option<Flag> {
    parse(&file::read_capped(&path(data, word), SIZE_MAX).ok()?)
}

/// Since when the agent's file says what it does.
///
/// # Errors
/// Those of looking at it.
pub fn since(data: &Path, word: &str) -> io::Result<SystemTime> {
    std::fs::metadata(path(data, word))?.modified()
}

/// Makes the agent's file say this. False if it does already.
///
/// # Errors
/// Those of writing; what was there stays.
pub fn write(data: &Path, word: &str, flag: &Flag) -> io::Result<bool> {
    if read(data, word).as_ref() == Some(flag) {
        return Ok(false);
    }
    file::private_dir(&dir(data))?;
    file::write_durable(&path(data, word), flag.text().as_bytes(), 0o600).map(|()| true)
}

/// Removes the agent's file. False if there is none.
///
/// # Errors
/// Those of removing.
pub fn remove(data: &Path, word: &str) -> io::Result<bool> {
    let path = path(data, word);
    let removed = file::found(std::fs::remove_file(&path))?.is_some();
    if removed {
        file::sync_dir(&path)?;
    }
    Ok(removed)
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    hex::unhex(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn flag() -> Flag {
        let key = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        Flag { scope: Scope::Initialized, payload: Payload::Meta, key, install_id: "0198-ab".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_and_written_once() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path(), "codex"), None);
        assert!(write(data.path(), "codex", &flag()).unwrap());
        assert!(!write(data.path(), "codex", &flag()).unwrap());
        assert_eq!(read(data.path(), "codex"), Some(flag()));
        assert_eq!(read(data.path(), "claude"), None);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path(data.path(), "codex")), 0o600);
        assert_eq!(mode(&dir(data.path())), 0o700);
        let all = Flag { scope: Scope::All, payload: Payload::Full, ..flag() };
        assert!(write(data.path(), "codex", &all).unwrap());
        assert_eq!(read(data.path(), "codex"), Some(all));
        assert!(remove(data.path(), "codex").unwrap());
        assert!(!remove(data.path(), "codex").unwrap());
        assert_eq!(read(data.path(), "codex"), None);
    }

    #[test]
    fn a_damaged_file_is_none_and_a_longer_one_is_read() {
        let text = flag().text();
        assert_eq!(parse(text.as_bytes()), Some(flag()));
        assert_eq!(parse(format!("{text}more\n").as_bytes()), Some(flag()));
        assert_eq!(parse(text.trim_end().as_bytes()), Some(flag()));
        let key = hex(&flag().key);
        for (n, bad) in [
            String::new(),
            text.replace("initialized", "some"),
            text.replace("meta", "Meta"),
            text.replace(&key, &key[1..]),
            text.replace(&key, &format!("+{}", &key[1..])),
            text.replace("0198-ab", ""),
            text.replace("0198-ab", "a b"),
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(parse(bad.as_bytes()), None, "{n}");
        }
        assert_eq!(parse(b"\xff\n\n\n\n"), None);
        assert!(!format!("{:?}", flag()).contains(&key));
    }
}
