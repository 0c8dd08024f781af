//! What goes, what stays, and that neither depends on how the text arrives.

mod clean;
mod customs;
mod edges;
mod forms;
mod hostile;
mod jsons;
mod keys;
mod places;
mod recall;
mod rows;
mod shapes;
mod streams;
mod table;

use std::sync::LazyLock;

use super::*;
use keys::{BASE64, HEX, UPPER, URL64, WORD};

static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::new);

/// SplitMix64, so that each run sees the same text.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// So many characters of `alphabet`.
    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

/// The text that becomes of `text`, also when it is redacted again.
fn redact(text: &str) -> String {
    let once = REDACTOR.redact(text).into_owned();
    assert_eq!(REDACTOR.redact(&once), once, "redacted twice: {text:?}");
    once
}

fn check(text: &str, expected: &str) {
    assert_eq!(redact(text), expected, "{text:?}");
}

/// Nothing is taken out of `text`.
fn stays(text: &str) {
    assert!(matches!(REDACTOR.redact(text), Cow::Borrowed(_)), "{text:?} became {:?}", REDACTOR.redact(text));
}

fn rules_of(text: &str) -> Vec<String> {
    let mut found = Findings::default();
    REDACTOR.redact_counting(text, &mut found);
    found.rules().iter().map(|f| f.rule.clone()).collect()
}
