//! What the user may do with a clone's remote, remembered: while the server cannot be asked, its last word counts.

use std::io;
use std::path::Path;

use crate::kit::file;

/// File below the clone's state directory; there only where nothing may be pushed.
const NAME: &str = "read-only";

/// Whether the server's last word was that nothing may be pushed.
pub(super) fn is_read_only(state: &Path) -> bool {
    state.join(NAME).exists()
}

/// Notes the server's word for the clone whose state lies in `state`.
pub(super) fn note(state: &Path, read_only: bool) -> io::Result<()> {
    let path = state.join(NAME);
    match (read_only, path.exists()) {
        (true, false) => {
            file::make_dirs(state, 0o700)?;
            file::write_durable(&path, b"", 0o600)
        }
        (false, true) => std::fs::remove_file(&path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let tmp = tempfile::tempdir().unwrap();
        let state = tmp.path().join("s");
        for read_only in [false, true, true, false] {
            note(&state, read_only).unwrap();
            assert_eq!(is_read_only(&state), read_only);
        }
    }
}
