//! Blocks of ours in files of `.git/info`, without a commit: in `exclude` the local files that git must not show, in `attributes` that no
//! content chooses a program.

use std::fs;
use std::io;
use std::path::Path;

use crate::git::error::GitError;
use crate::git::limits::EXCLUDE_CAP;
use crate::git::managed::ManagedClone;
use crate::kit::file::{found, read_capped, write_atomic};

/// Between a file's name and what tells whose version the copy is.
pub const CONFLICT_MARK: &str = ".conflict-";
const CONFLICT_PATTERN: &str = "*.conflict-*-[0-9]*";
/// Attributes that make git run a program of the user's configuration or write other bytes than were committed (gitattributes(5)); a line
/// in `info/attributes` counts before all others, and `!` takes a word of any other file back.
const ATTRIBUTES: &str = "* !filter !diff !merge !ident !working-tree-encoding";
const BEGIN: &str = "# ox: begin (rewritten by ox)";
const END: &str = "# ox: end";

impl ManagedClone<'_> {
    /// Makes the block in `.git/info/exclude` say `lines`, and that conflict copies are ignored; all else in the file stays.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn ensure_excludes(&mut self, lines: &[&str]) -> Result<(), GitError> {
        let lines: Vec<&str> = [CONFLICT_PATTERN].iter().chain(lines).copied().collect();
        self.edit_excludes(|text| with_block(text, &lines))
    }

    pub(in crate::git) fn ensure_conflict_exclude(&self) -> Result<(), GitError> {
        self.edit_excludes(|text| match text.lines().any(|l| l == CONFLICT_PATTERN) {
            true => text.to_owned(),
            false => with_block(text, &[CONFLICT_PATTERN]),
        })
    }

    fn edit_excludes(&self, edit: impl FnOnce(&str) -> String) -> Result<(), GitError> {
        edit_info(&self.path.join(".git"), "exclude", edit)
    }
}

/// Makes sure that the content of the clone at `clone` chooses no program: its `.git/info/attributes` ends with a line that takes such
/// words of `.gitattributes` files back. Writes only where that is missing.
///
/// # Errors
/// The file cannot be read or written.
pub fn ensure_attributes(clone: &Path) -> Result<(), GitError> {
    edit_info(&clone.join(".git"), "attributes", |text| with_block(text, &[ATTRIBUTES]))
}

/// Makes git pass over `lines` in every work tree of the user's repository whose common directory is `common`; all else in the file stays.
///
/// # Errors
/// The file cannot be read or written.
pub fn exclude_locally(common: &Path, lines: &[String]) -> Result<(), GitError> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    edit_info(common, "exclude", |text| with_block(text, &lines))
}

/// Edits a file of `info` in a git directory; one that is not there is empty.
fn edit_info(git_dir: &Path, name: &str, edit: impl FnOnce(&str) -> String) -> Result<(), GitError> {
    let dir = git_dir.join("info");
    let path = dir.join(name);
    let old = found(read_capped(&path, EXCLUDE_CAP)).and_then(|bytes| {
        let text = String::from_utf8(bytes.unwrap_or_default());
        text.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    });
    let old = old.map_err(GitError::io("reading", &path))?;
    let new = edit(&old);
    if new == old {
        return Ok(());
    }
    // Only that one: a clone that was taken away meanwhile does not come back by it.
    match fs::create_dir(&dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(GitError::io("making", &dir)(e)),
        _ => {}
    }
    write_atomic(&path, new.as_bytes(), 0o644).map_err(GitError::io("writing", &path))
}

/// `text` with a block of `lines` at its end instead of any before.
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
    for line in [BEGIN].iter().chain(lines).chain(&[END]) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_that_is_gone_does_not_come_back() {
        let place = tempfile::tempdir().unwrap();
        let clone = place.path().join("clone");
        assert!(ensure_attributes(&clone).is_err() && !clone.exists());
        fs::create_dir_all(clone.join(".git")).unwrap();
        ensure_attributes(&clone).unwrap();
        assert!(fs::read_to_string(clone.join(".git/info/attributes")).unwrap().contains(ATTRIBUTES));
    }

    #[test]
    fn the_block_is_replaced_and_foreign_lines_stay() {
        let one = with_block("# mine\n*.o\n", &["a"]);
        let two = with_block(&format!("{one}*.a\n"), &["b"]);
        assert_eq!(two, format!("# mine\n*.o\n*.a\n{BEGIN}\nb\n{END}\n"));
        assert_eq!(with_block(&two, &["b"]), two);
    }
}
