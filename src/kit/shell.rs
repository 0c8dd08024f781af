//! Words for a shell: what a command that is shown may be pasted with, and what git hands to one.

/// The word as a POSIX shell reads it back: as it is where that is plain, else in single quotes.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word of a POSIX shell as a program gets it, also one that is not finished: without its quotes. Nothing is expanded.
pub fn unquoted(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut quote = None;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('\\', None) => out.extend(chars.next()),
            ('\\', Some('"')) => match chars.peek() {
                Some('"' | '\\' | '$' | '`') => out.extend(chars.next()),
                _ => out.push(c),
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_go_and_what_they_held_stays() {
        for (word, expected) in [
            ("plain", "plain"),
            ("\"a b\"", "a b"),
            ("'a \"b'c", "a \"bc"),
            ("a\\ b", "a b"),
            ("\"a\\\"b\\n\"", "a\"b\\n"),
            ("\"not finis", "not finis"),
            ("\\", ""),
        ] {
            assert_eq!(unquoted(word), expected, "{word}");
        }
        assert_eq!(unquoted(&word("it's a $b")), "it's a $b");
    }

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
