//! What is remembered of background work across restarts: what was spent, and why no agent is run for a while.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::manager::Pause;
use crate::kit::file;

/// A larger file is none, in bytes.
const FILE_MAX: usize = 64 << 10;

/// What is remembered. A later one has a larger number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// What was spent.
    pub budget: Budget,
    /// Why no agent is run for a while, but for the budget, which tells that itself.
    pub pause: Option<Pause>,
    /// Failures in a row.
    pub failures: u32,
    /// Of which agent that is.
    pub agent: String,
    /// Of two, the one with the larger number is the later one. Counted anew by each process.
    #[serde(skip)]
    pub serial: u64,
}

impl Kept {
    /// Reads it; nothing is spent where there is no file.
    ///
    /// # Errors
    /// It is there and cannot be read: then nobody knows what was spent.
    pub fn load(path: &Path) -> io::Result<Kept> {
        match file::read_capped(path, FILE_MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
            read => Ok(serde_json::from_slice(&read?)?),
        }
    }

    /// Writes it down for good.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        file::write_durable(path, &serde_json::to_vec(self)?, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::agents::budget::Cost;

    #[test]
    fn what_was_spent_is_remembered_and_a_damaged_file_is_no_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent-work.json");
        assert_eq!(Kept::load(&path).unwrap(), Kept::default());
        let mut kept =
            Kept { pause: Some(Pause::User), failures: 2, agent: "codex".into(), ..Kept::default() };
        kept.budget.begin(Timestamp::UNIX_EPOCH, Cost { tokens: 7, micro_usd: 1 });
        Kept { serial: 3, ..kept.clone() }.save(&path).unwrap();
        assert_eq!(Kept::load(&path).unwrap(), kept);
        std::fs::write(&path, "{").unwrap();
        assert!(Kept::load(&path).is_err());
    }
}
