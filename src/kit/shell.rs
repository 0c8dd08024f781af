//! Words for a shell: what a command that is shown may be pasted with, and what git hands to one.

/// The word as a POSIX shell reads it back: as it is where that is plain, else in single quotes.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        for (text, expected) in [
            ("/srv/git/a-b_1.git", "/srv/git/a-b_1.git"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("a;b", "'a;b'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
