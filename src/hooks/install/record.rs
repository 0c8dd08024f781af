//! `<data>/hooks/installed.json`: which files were changed, what uninstalling has to know of each, and what all flag files have in common.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::Emptied;
use crate::hooks::flag;
use crate::kit::hex::hex;
use crate::kit::secret::Secret;
use crate::kit::{file, id};

/// A longer file is none of ours, in bytes.
const SIZE_MAX: usize = 4 << 20;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The form of the file.
    version: u32,
    /// Random, one for each data directory.
    pub(super) install_id: String,
    /// In hex.
    hash_key: Secret,
    /// `~/.sageox/bin/ox` was made from here.
    pub(super) link: bool,
    /// The user has said that a container's settings may be written: so may the daemon, from then on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) container: bool,
    /// The files that were changed, by their path.
    pub(super) files: BTreeMap<String, Changed>,
}

/// A file that was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    /// Whose it is.
    pub(super) word: String,
    /// There was none before.
    pub(super) created: bool,
    /// What held nothing before.
    pub(super) was: Emptied,
}

pub(super) fn path(data: &Path) -> PathBuf {
    flag::dir(data).join("installed.json")
}

impl Record {
    /// Reads it. One that is damaged is put aside: a new key and a new id are a loss, but no harm.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn read(data: &Path) -> io::Result<Record> {
        let path = path(data);
        let Some(bytes) = file::found(file::read_capped(&path, SIZE_MAX))? else {
            return Ok(Record::default());
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(record),
            Err(e) => {
                log::warn!("{}: damaged ({e}), put aside", path.display());
                std::fs::rename(&path, file::with_suffix(&path, ".damaged"))?;
                Ok(Record::default())
            }
        }
    }

    /// Replaces it.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn write(&mut self, data: &Path) -> io::Result<()> {
        self.version = 1;
        file::private_dir(&flag::dir(data))?;
        let text = serde_json::to_vec_pretty(self)?;
        file::write_durable(&path(data), &text, 0o600)
    }

    /// The key of digests and the id of this installation, made the first time.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn identity(&mut self) -> io::Result<([u8; 32], String)> {
        if self.install_id.is_empty() {
            self.install_id = id::new_id().to_string();
        }
        let known = flag::unhex(self.hash_key.expose());
        let key = match known {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                File::open("/dev/urandom")?.read_exact(&mut key)?;
                self.hash_key = Secret::new(hex(&key));
                key
            }
        };
        Ok((key, self.install_id.clone()))
    }

    /// The files of an agent.
    pub(super) fn of(&self, word: &str) -> Vec<PathBuf> {
        self.files.iter().filter(|(_, file)| file.word == word).map(|(path, _)| PathBuf::from(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_the_id_stay_and_a_damaged_file_is_put_aside() {
        let data = tempfile::tempdir().unwrap();
        let mut record = Record::read(data.path()).unwrap();
        let first = record.identity().unwrap();
        assert_ne!(first.0, [0; 32]);
        record.files.insert("/a".to_owned(), Changed { word: "codex".to_owned(), ..Changed::default() });
        record.write(data.path()).unwrap();
        let mut again = Record::read(data.path()).unwrap();
        assert_eq!((again.identity().unwrap(), again.of("codex")), (first, vec![PathBuf::from("/a")]));
        assert!(again.of("claude").is_empty());
        assert!(!format!("{again:?}").contains(&hex(&again.identity().unwrap().0)));
        std::fs::write(path(data.path()), "{").unwrap();
        assert_eq!(Record::read(data.path()).unwrap(), Record::default());
        assert!(file::with_suffix(&path(data.path()), ".damaged").exists());
    }
}
