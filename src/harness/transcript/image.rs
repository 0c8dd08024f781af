//! Images, which stand in a text as their type, size and hash.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::kit::hex::hex;
use crate::kit::text;

/// At most so much of what a program says of an image's type or address is told.
const SAID_MAX: usize = 200;
/// Characters decoded at a time: whole groups of four.
const PIECE: usize = 16 * 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An image in base64, as text: type, size and hash of the image itself.
pub(super) fn embedded(kind: &str, data: &str) -> String {
    let kind = text::plain(text::cut(kind, SAID_MAX), false);
    let kept: Vec<u8>;
    let data = if data.bytes().any(|b| b.is_ascii_whitespace()) {
        kept = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        &kept
    } else {
        data.as_bytes()
    };
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut bytes = [0; PIECE];
    for piece in data.chunks(PIECE) {
        let Ok(n) = BASE64.decode_slice(piece, &mut bytes) else {
            return format!("[image {kind}, damaged]");
        };
        hash.update(&bytes[..n]);
        size += n;
    }
    format!("[image {kind}, {size} bytes, sha256:{}]", hex(&hash.finalize()))
}

/// An image by its address, as text; one that the address itself holds like an embedded one.
pub(super) fn addressed(url: &str) -> String {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((kind, data)) => embedded(kind, data),
        None => format!("[image {}]", text::plain(text::cut(url, SAID_MAX), false)),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn an_image_is_told_by_what_it_is() {
        let abc = "[image image/png, 3 bytes, sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad]";
        assert_eq!(embedded("image/png", "YWJj"), abc);
        assert_eq!(embedded("image/png", "YW\nJj "), abc);
        assert_eq!(addressed("data:image/png;base64,YWJj"), abc);
        assert_eq!(embedded("image/png", "=YWJ"), "[image image/png, damaged]");
        assert_eq!(addressed("https://example.com/a.png"), "[image https://example.com/a.png]");
    }

    #[test]
    fn an_image_of_any_size_is_hashed_whole() {
        for size in [0, 1, PIECE / 4 * 3 - 1, PIECE / 4 * 3, PIECE / 4 * 3 + 1, 100_000] {
            let bytes = vec![7; size];
            let told = embedded("", &STANDARD.encode(&bytes));
            assert_eq!(told, format!("[image , {size} bytes, sha256:{}]", hex(&Sha256::digest(&bytes))));
        }
    }
}
