//! A block of ours in `.git/info/exclude`: local files that git must not show, without a commit.

use std::fs;
use std::io;

use super::error::GitError;
use super::limits::EXCLUDE_CAP;
use super::managed::ManagedClone;
use crate::kit::file::{read_capped, write_atomic};

/// Between a file's name and what tells whose version the copy is.
pub const CONFLICT_MARK: &str = ".conflict-";
const CONFLICT_PATTERN: &str = "*.conflict-*-[0-9]*";
const BEGIN: &str = "# ox: begin (rewritten by ox)";
const END: &str = "# ox: end";

impl ManagedClone<'_> {
    /// Makes the block in `.git/info/exclude` say `lines`, and that conflict copies are ignored; all else in the file stays.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn ensure_excludes(&mut self, lines: &[&str]) -> Result<(), GitError> {
        self.edit_excludes(|text| with_block(text, lines))
    }

    pub(super) fn ensure_conflict_exclude(&self) -> Result<(), GitError> {
        self.edit_excludes(|text| match text.lines().any(|l| l == CONFLICT_PATTERN) {
            true => text.to_owned(),
            false => with_block(text, &[]),
        })
    }

    fn edit_excludes(&self, edit: impl FnOnce(&str) -> String) -> Result<(), GitError> {
        let path = self.git_dir().join("info/exclude");
        let old = match read_capped(&path, EXCLUDE_CAP) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e),
        };
        let old = old.map_err(GitError::io("reading", &path))?;
        let new = edit(&old);
        if new == old {
            return Ok(());
        }
        let dir = self.git_dir().join("info");
        fs::create_dir_all(&dir).map_err(GitError::io("making", &dir))?;
        write_atomic(&path, new.as_bytes(), 0o644).map_err(GitError::io("writing", &path))
    }
}

fn with_block(text: &str, lines: &[&str]) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            BEGIN => inside = true,
            END if inside => inside = false,
            _ if inside => {}
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    for line in [BEGIN, CONFLICT_PATTERN].iter().chain(lines).chain(&[END]) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_replaced_and_foreign_lines_stay() {
        let one = with_block("# mine\n*.o\n", &["a"]);
        let two = with_block(&one, &["b"]);
        assert_eq!(two, format!("# mine\n*.o\n{BEGIN}\n{CONFLICT_PATTERN}\nb\n{END}\n"));
        assert_eq!(with_block(&two, &["b"]), two);
    }
}
