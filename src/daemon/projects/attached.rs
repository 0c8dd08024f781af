//! The file that remembers which projects are served, for the next start after an unclean end.

use std::path::{Path, PathBuf};

use crate::kit::file;

/// What `attached.json` holds.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AttachedFile {
    /// The process ended in order.
    pub clean: bool,
    /// Directories of the served projects.
    pub projects: Vec<PathBuf>,
}

impl AttachedFile {
    /// Reads the file; a missing or broken one remembers nothing.
    pub fn load(path: &Path) -> AttachedFile {
        const FILE_MAX: usize = 4 << 20;
        let bytes = file::read_capped(path, FILE_MAX).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(AttachedFile { clean: true, projects: Vec::new() })
    }

    /// Replaces the file.
    pub fn save(&self, path: &Path) {
        let written =
            serde_json::to_vec(self).map_err(Into::into).and_then(|b| file::write_atomic(path, &b, 0o600));
        if let Err(e) = written {
            log::warn!("{}: {e}", path.display());
        }
    }
}
