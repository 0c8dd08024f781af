//! Text of others, made harmless for eyes, terminals and models. Pure.

use std::borrow::Cow;

/// Without what nobody sees: whole escape sequences, control characters, those that turn the direction of writing, those without width,
/// tags. With `lines` newlines and tabs stay, else they become spaces.
pub fn plain(text: &str, lines: bool) -> Cow<'_, str> {
    let is_line = |c: char| c == '\n' || c == '\t';
    if !text.chars().any(|c| is_hidden(c) && !(lines && is_line(c))) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[escape_len(rest).max(c.len_utf8())..];
        match c {
            c if is_line(c) => out.push(if lines { c } else { ' ' }),
            c if is_hidden(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// How many tokens a text has, as an estimate that is rather too high: a token for three bytes of Latin script, one for each character of
/// another.
pub fn tokens(text: &str) -> usize {
    let (latin, others) = text.chars().fold((0, 0), |(latin, others), c| match c {
        '\0'..='\u{24f}' | '\u{2000}'..='\u{206f}' => (latin + c.len_utf8(), others),
        _ => (latin, others + 1),
    });
    usize::div_ceil(latin, 3) + others
}

/// Characters that a reader does not see and a terminal or a model may obey. What only chooses a form of the sign before it (U+FE0F of an
/// emoji) is none.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// How many bytes of `text` are the escape sequence that it begins with (ECMA-48); zero if it begins with none. One without an end is only
/// its introducer and what belongs to that.
pub fn escape_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |from: usize, of: std::ops::RangeInclusive<u8>| {
        from + bytes.iter().skip(from).take_while(|b| of.contains(b)).count()
    };
    let with_final = |at: usize, of: std::ops::RangeInclusive<u8>| {
        at + usize::from(bytes.get(at).is_some_and(|b| of.contains(b)))
    };
    match bytes {
        [0x1b, b'[', ..] | [0xc2, 0x9b, ..] => with_final(run(2, 0x20..=0x3f), 0x40..=0x7e),
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] | [0xc2, 0x90 | 0x98 | 0x9d..=0x9f, ..] => {
            string_len(bytes).unwrap_or(2)
        }
        [0x1b, ..] => with_final(run(1, 0x20..=0x2f), 0x30..=0x7e),
        _ => 0,
    }
}

/// The same of one that carries a string up to BEL, ESC `\` or ST; `None` if that does not come in this line.
fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        match bytes.get(at..)? {
            [0x07, ..] => return Some(at + 1),
            [0x1b, b'\\', ..] | [0xc2, 0x9c, ..] => return Some(at + 2),
            [b'\n', ..] | [] => return None,
            _ => at += 1,
        }
    }
}

/// A JSON text with the hidden characters in its strings written as escapes; what it says stays the same.
pub fn plain_json(text: &str) -> Cow<'_, str> {
    // Nearly every document is of these alone, and some are long.
    let is_plain = |b: u8| matches!(b, b' '..=b'~' | b'\n');
    // By pieces, each looked at whole: so many bytes are compared at once.
    if text.as_bytes().chunks(1024).all(|piece| piece.iter().fold(true, |all, b| all & is_plain(*b))) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| c != '\n' && is_hidden(c);
    if !text.chars().any(escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if escaped(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// At most so many bytes, and no part of a character.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max { text } else { &text[..text.floor_char_boundary(max)] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        let check =
            |text: &str, lines: bool, expected: &str| assert_eq!(plain(text, lines), expected, "{text:?}");
        check("a b", false, "a b");
        check("a\nb\tc", true, "a\nb\tc");
        check("a\nb\tc", false, "a b c");
        check("\u{1b}[31mred\u{7}\r\u{9b}", true, "red");
        check("ab\u{202e}cd\u{200b}\u{feff}\u{e0041}\u{ad}é", true, "abcdé");
        check("❤\u{fe0f}", true, "❤\u{fe0f}");
    }

    #[test]
    fn escape_sequences_go_whole() {
        let check = |text: &str, expected: &str| assert_eq!(plain(text, true), expected, "{text:?}");
        check("a\u{1b}[1;31mb\u{1b}[0mc", "abc");
        check("a\u{9b}2Jb", "ab");
        check("a\u{1b}]0;title\u{7}b", "ab");
        check("\u{1b}]8;;https://host/\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link");
        check("a\u{1b}Pq#0\u{9c}b", "ab");
        check("a\u{1b}(Bb\u{1b}7c", "abc");
        // Without an end nothing more goes than what surely belongs to it.
        check("a\u{1b}]0;title\nb", "a0;title\nb");
        check("a\u{1b}[31", "a");
        check("a\u{1b}[é", "aé");
        check("a\u{1b}", "a");
    }

    #[test]
    fn json_says_the_same_with_escapes() {
        let text = serde_json::to_string_pretty(&["a\u{202e}b", "\u{e0041}", "\u{1b}[31m\n", "é"]).unwrap();
        let safe = plain_json(&text);
        assert!(safe.chars().all(|c| c == '\n' || !is_hidden(c)), "{safe}");
        let back: Vec<String> = serde_json::from_str(&safe).unwrap();
        assert_eq!(back, ["a\u{202e}b", "\u{e0041}", "\u{1b}[31m\n", "é"]);
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        let check = |text: &str, max: usize, expected: &str| assert_eq!(cut(text, max), expected);
        check("abc", 3, "abc");
        check("aé", 2, "a");
        check("é", 1, "");
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_hidden_stays(text in "(\\PC|[\u{0}-\u{20}\u{1b}\u{7f}-\u{9f}\\[\\]P;m]){0,60}") {
            let clean = plain(&text, true);
            prop_assert!(clean.chars().all(|c| c == '\n' || c == '\t' || !is_hidden(c)));
            prop_assert_eq!(plain(&clean, true), clean.as_ref());
        }
    }
}
