//! Remotes that a clone has been moved away from, so that a checkout which still names one of them does not move it back.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record;
use crate::kit::file;

/// File below the clone's state directory.
const NAME: &str = "former.json";
/// More are not remembered; the oldest names go.
const FORMER_MAX: usize = 32;

/// Where a clone's remote was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PreviousRemotes {
    remotes: BTreeSet<String>,
}

impl PreviousRemotes {
    /// Reads what is remembered below `state`; a missing or broken file knows nothing.
    pub(super) fn load(state: &Path) -> PreviousRemotes {
        record::load(&state.join(NAME))
    }

    /// Notes that the clone has been moved from `old` to `new`.
    pub(super) fn note(state: &Path, old: &str, new: &str) -> io::Result<()> {
        let mut former = PreviousRemotes::load(state);
        former.remotes.insert(old.to_string());
        former.remotes.remove(new);
        while former.remotes.len() > FORMER_MAX {
            former.remotes.pop_first();
        }
        file::make_dirs(state, 0o700)?;
        file::write_durable(&state.join(NAME), &serde_json::to_vec_pretty(&former)?, 0o600)
    }

    /// Whether the clone has been moved away from `url`.
    pub(super) fn has(&self, url: &str) -> bool {
        self.remotes.contains(url)
    }
}
