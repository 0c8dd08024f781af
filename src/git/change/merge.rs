//! Merging three versions of a file in memory.

use git2::{MergeFileInput, merge_file};

use crate::git::entry::{EXEC, FILE};
use crate::git::error::GitError;
use crate::git::read::prepare_library;

/// Merges two changes of a text line by line; `None` where they meet, or where git takes one of the versions for binary. A result that is to be JSON is none
/// if it does not parse although one of the sides did: lines that merge need not make sense together.
pub(in crate::git) fn merge_lines(
    base: &[u8],
    one: &[u8],
    other: &[u8],
    json: bool,
) -> Result<Option<Vec<u8>>, GitError> {
    prepare_library();
    let input = |bytes| {
        let mut input = MergeFileInput::new();
        input.content(bytes);
        input
    };
    let merged = merge_file(&input(base), &input(one), &input(other), None);
    let merged = merged.map_err(GitError::git2("merging a file"))?;
    let parses = || is_json(merged.content()) || !(is_json(one) || is_json(other));
    Ok((merged.is_automergeable() && (!json || parses())).then(|| merged.content().to_vec()))
}

/// The mode of a file of which at most one side changed it; `None` if that is no plain file on each.
pub(in crate::git) fn merge_modes(base: u32, one: u32, other: u32) -> Option<u32> {
    let plain = [base, one, other].iter().all(|mode| matches!(*mode, FILE | EXEC));
    plain.then_some(if one == base { other } else { one })
}

pub(in crate::git) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::entry::LINK;

    fn merged(base: &str, one: &str, other: &str, json: bool) -> Option<String> {
        let bytes = merge_lines(base.as_bytes(), one.as_bytes(), other.as_bytes(), json).unwrap();
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn changes_in_different_places_merge_and_others_do_not() {
        let text = |a: &str, b: &str| format!("{a}\n1\n2\n3\n4\n{b}\n");
        let both = merged(&text("a", "b"), &text("A", "b"), &text("a", "B"), false);
        assert_eq!(both, Some(text("A", "B")));
        assert_eq!(merged("a\n", "b\n", "c\n", false), None);
        assert_eq!(merged("a\n", "b\n", "b\n", false), Some("b\n".into()));
        assert_eq!(merged("a\n1\n2\n3\n4\n\0", "b\n1\n2\n3\n4\n\0", "a\n1\n2\n3\n4\nc\0", false), None);
    }

    #[test]
    fn json_that_merges_into_something_else_is_no_result() {
        let base = "{\n \"a\": 1,\n \"b\": 2,\n \"c\": 3,\n \"d\": 4\n}\n";
        let one = "{\n \"b\": 2,\n \"c\": 3,\n \"d\": 4\n}\n";
        let other = "{\n \"a\": 1,\n \"b\": 2,\n \"c\": 3\n}\n";
        assert!(merged(base, one, other, true).is_some());
        let broken = base.replace("4\n}", "4\n},");
        assert!(merged(base, one, &broken, true).is_none());
        // What did not parse before need not parse afterwards.
        assert!(merged(&broken, &broken.replacen("1", "9", 1), &broken.replace("4", "8"), true).is_some());
    }

    #[test]
    fn a_mode_that_one_side_changed_stays_changed() {
        assert_eq!(merge_modes(FILE, EXEC, FILE), Some(EXEC));
        assert_eq!(merge_modes(FILE, FILE, EXEC), Some(EXEC));
        assert_eq!(merge_modes(EXEC, FILE, EXEC), Some(FILE));
        assert_eq!(merge_modes(FILE, LINK, FILE), None);
    }
}
