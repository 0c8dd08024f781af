//! Text of others, made harmless.

use std::borrow::Cow;

/// Without control characters, those that turn the direction of writing included; with `lines` newlines and tabs stay, else they become
/// spaces.
pub fn plain(text: &str, lines: bool) -> Cow<'_, str> {
    let is_line = |c: char| c == '\n' || c == '\t';
    if !text.chars().any(|c| is_hidden(c) && !(lines && is_line(c))) {
        return Cow::Borrowed(text);
    }
    let kept = |c: char| match c {
        c if is_line(c) => Some(if lines { c } else { ' ' }),
        c if is_hidden(c) => None,
        c => Some(c),
    };
    Cow::Owned(text.chars().filter_map(kept).collect())
}

/// Characters that a reader does not see and a terminal or a model may obey.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
}

/// At most so many bytes, and no part of a character.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max { text } else { &text[..text.floor_char_boundary(max)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        let check =
            |text: &str, lines: bool, expected: &str| assert_eq!(plain(text, lines), expected, "{text:?}");
        check("a b", false, "a b");
        check("a\nb\tc", true, "a\nb\tc");
        check("a\nb\tc", false, "a b c");
        check("\u{1b}[31mred\u{7}\r\u{9b}", true, "[31mred");
        check("ab\u{202e}cd\u{200b}\u{feff}\u{e0041}é", true, "abcdé");
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        let check = |text: &str, max: usize, expected: &str| assert_eq!(cut(text, max), expected);
        check("abc", 3, "abc");
        check("aé", 2, "a");
        check("é", 1, "");
    }
}
