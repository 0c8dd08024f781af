//! Small files in which something is remembered of a clone or an account, as JSON, for this user alone.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kit::file;

/// A larger file is not ours.
const FILE_MAX: usize = 1 << 20;

/// Reads one; a missing or broken one knows nothing.
pub(super) fn load<T: DeserializeOwned + Default>(path: &Path) -> T {
    let bytes = file::read_capped(path, FILE_MAX).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Writes one, with the directories that it lies in.
pub(super) fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700)?;
    }
    file::write_atomic(path, &serde_json::to_vec_pretty(value)?, 0o600)
}
