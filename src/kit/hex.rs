//! Bytes as hexadecimal digits. Pure.

/// In lower case, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes that such digits stand for; `None` of anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let pair = |pair: &[u8]| <[u8; 2]>::try_from(pair).ok().map(|[high, low]| high << 4 | low);
    digits.chunks(2).map(pair).collect()
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{hex, unhex};

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hex(&[0, 9, 10, 0x7f, 0xff]), "00090a7fff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn what_is_read_is_what_was_written_and_nothing_else() {
        assert_eq!(unhex("00090a7fff"), Some(vec![0, 9, 10, 0x7f, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        for none in ["0", "0g", "0A", "é0", "000"] {
            assert_eq!(unhex(none), None, "{none}");
        }
    }
}
