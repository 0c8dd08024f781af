//! A line without its white space, and hashes of neighbouring lines.

use sha2::{Digest as _, Sha256};

use super::limits::{ALONE_MIN, LINE_BYTES_MAX};

/// Bytes of a hash as it is kept: among a million hashes two of different text are alike once in a thousand ledgers.
pub(super) const WIDTH: usize = 6;

/// A hash; 0 stands for none.
pub(super) type Hash = u64;

/// A line as it is compared: without white space, so that one that was only moved to another depth is the same. `git blame -w` sees it so too.
pub(super) fn normal(line: &str) -> String {
    line.chars().filter(|c| !c.is_whitespace()).collect()
}

/// How many letters and digits a line has: what tells it from a brace.
pub(super) fn letters(normal: &str) -> usize {
    normal.chars().filter(|c| c.is_alphanumeric()).count()
}

/// Of two neighbouring lines.
pub(super) fn pair(one: &str, other: &str) -> Hash {
    match one.len() > LINE_BYTES_MAX || other.len() > LINE_BYTES_MAX {
        true => 0,
        false => of("pair", one, other),
    }
}

/// Of one line that is long enough not to be guessed in passing.
pub(super) fn alone(line: &str) -> Hash {
    if line.len() > LINE_BYTES_MAX || line.chars().count() < ALONE_MIN { 0 } else { of("line", line, "") }
}

fn of(kind: &str, one: &str, other: &str) -> Hash {
    let mut sha = Sha256::new();
    for part in ["ox edits 1", kind, one, other] {
        sha.update(part);
        sha.update(b"\n");
    }
    let digest = sha.finalize();
    let hash = digest.iter().take(WIDTH).fold(0, |all, byte| all << 8 | u64::from(*byte));
    // 0 is none.
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_changes_no_hash_and_anything_else_does() {
        let of = |one: &str, other: &str| pair(&normal(one), &normal(other));
        assert_eq!(of("    let a = 1;", "}\r"), of("\tlet a=1;  ", "  }"));
        assert_ne!(of("let a = 1;", "}"), of("let a = 2;", "}"));
        assert_ne!(of("a", "b"), of("b", "a"));
        assert_ne!(of("a", ""), of("", "a"));
        assert_eq!((letters("}"), letters("leta=1;")), (0, 5));
    }

    #[test]
    fn a_short_line_and_one_that_is_no_source_have_no_hash_of_their_own() {
        let long = "x".repeat(ALONE_MIN);
        assert_eq!(alone(&long[1..]), 0);
        assert_ne!(alone(&long), 0);
        assert_eq!(alone(&"x".repeat(LINE_BYTES_MAX + 1)), 0);
        assert_eq!(pair("a", &"x".repeat(LINE_BYTES_MAX + 1)), 0);
        assert!(alone(&long) < 1 << (8 * WIDTH));
    }
}
