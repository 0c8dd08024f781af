//! How much a clone takes, and how much is left.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::kit::file;

/// Unit of `st_blocks`, by POSIX.
const BLOCK: u64 = 512;

/// Bytes on disk of everything at or below `path`. What goes away meanwhile counts nothing.
///
/// # Errors
/// A directory that cannot be listed.
pub fn taken(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut todo = vec![path.to_path_buf()];
    while let Some(path) = todo.pop() {
        let Some(meta) = file::found(fs::symlink_metadata(&path))? else { continue };
        bytes += meta.blocks() * BLOCK;
        if meta.is_dir() {
            for entry in fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        }
    }
    Ok(bytes)
}

/// Everything written below `path` is on disk when this returns.
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(fs::File::open(path)?).map_err(io::Error::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let mut todo = vec![path.to_path_buf()];
        while let Some(path) = todo.pop() {
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&path)? {
                    todo.push(entry?.path());
                }
            }
            if kind.is_dir() || kind.is_file() {
                fs::File::open(&path)?.sync_all()?;
            }
        }
        Ok(())
    }
}
