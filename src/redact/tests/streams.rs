//! However a text is cut, the result is the same.

use proptest::prelude::*;

use super::shapes::{KINDS, PLACES, placed, private_key, shape};
use super::*;

/// Redacts `text` in pieces that end at `cuts`.
fn in_pieces(text: &[u8], cuts: &[usize]) -> (Vec<u8>, Findings) {
    in_pieces_by(&REDACTOR, text, cuts)
}

fn in_pieces_by(redactor: &Redactor, text: &[u8], cuts: &[usize]) -> (Vec<u8>, Findings) {
    let mut stream = redactor.stream();
    let (mut out, mut done) = (Vec::new(), 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        let cut = cut.clamp(done, text.len());
        stream.push(&text[done..cut], &mut out);
        assert!(stream.held() <= limits::LINE_MAX + (cut - done));
        done = cut;
    }
    let found = stream.finish(&mut out);
    (out, found)
}

fn whole(text: &[u8]) -> (Vec<u8>, Findings) {
    let mut found = Findings::default();
    (REDACTOR.redact_bytes(text, &mut found).into_owned(), found)
}

/// Lines with secrets, blocks and what is none.
fn mixed(rng: &mut Seeded, lines: usize) -> String {
    let mut text = String::new();
    for _ in 0..lines {
        match rng.below(8) {
            0 => {
                let (length, kind) = (1 + rng.below(6), rng.pick(&["", "RSA "]));
                let (block, _) = private_key(rng, kind, length);
                let end = if rng.below(3) == 0 { block.len() / 2 } else { block.len() };
                text += &block[..end];
            }
            1 => text += "Grüße, nothing here",
            2 => text += "password=",
            _ => {
                let (kind, place) = (rng.below(KINDS), rng.below(PLACES));
                text += &placed(&shape(rng, kind), place).unwrap_or_default();
            }
        }
        text += rng.pick(&["\n", "\n", "\n", "\r\n", " ", ""]);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_cutting_gives_the_same(seed: u64, cuts in prop::collection::vec(0..4000_usize, 0..12)) {
        let text = mixed(&mut Seeded(seed), 16);
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(text.as_bytes(), &cuts), whole(text.as_bytes()));
    }

    #[test]
    fn twice_is_once(seed: u64) {
        let text = mixed(&mut Seeded(seed), 16);
        let (once, _) = whole(text.as_bytes());
        let (twice, found) = whole(&once);
        prop_assert_eq!(String::from_utf8(once).unwrap(), String::from_utf8(twice).unwrap());
        prop_assert!(found.is_empty());
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 0..2000_usize) {
        let (once, found) = whole(&bytes);
        prop_assert_eq!((once.clone(), found), in_pieces(&bytes, &[cut]));
        prop_assert_eq!(whole(&once).0, once);
    }

    /// Pieces of what rules look for, in any order: nothing panics, and a second run changes nothing.
    #[test]
    fn any_mix_of_parts_is_stable(parts in prop::collection::vec(0..PARTS.len(), 0..60), cut in 0..900_usize) {
        let text: String = parts.into_iter().map(|n| PARTS[n]).collect();
        let (once, found) = whole(text.as_bytes());
        prop_assert_eq!((once.clone(), found), in_pieces(text.as_bytes(), &[cut]));
        prop_assert_eq!(String::from_utf8(whole(&once).0).unwrap(), String::from_utf8(once).unwrap());
    }
}

/// Halves of everything.
const PARTS: &[&str] = &[
    "AKIA",
    "ABCDEFGH",
    "01234567",
    "sk-",
    "proj-",
    "abcdefgh",
    "eyJ",
    ".",
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----",
    "-----END ",
    "\n",
    " ",
    "\"",
    "'",
    "\\",
    "\\n",
    "password",
    "=",
    ": ",
    "secret",
    "_key",
    "api_key",
    "token",
    "access_",
    "authorization",
    "bearer ",
    "basic ",
    "export ",
    "postgres",
    "://",
    ":",
    "@",
    "/",
    "heroku",
    "[REDACTED",
    "_X]",
    "]",
    "01234567-89ab-cdef-0123-456789abcdef",
    "-us1",
    "SK",
    "SG.",
    "xoxb-",
    "ghp_",
    "ü",
    "\r\n",
    "aws_secret_access_key",
];

#[test]
fn every_single_cut_gives_the_same() {
    let text = mixed(&mut Seeded(77), 24);
    let expected = whole(text.as_bytes());
    for cut in 0..=text.len() {
        assert_eq!(in_pieces(text.as_bytes(), &[cut]), expected, "{cut}");
    }
    let bytes: Vec<usize> = (0..text.len()).collect();
    assert_eq!(in_pieces(text.as_bytes(), &bytes), expected);
}

#[test]
fn long_lines_are_cut_without_a_leak() {
    let mut rng = Seeded(12);
    let secrets: Vec<_> = (0..KINDS - 1).map(|kind| shape(&mut rng, kind)).collect();
    let border = limits::LINE_MAX - limits::SECRET_MAX;
    for (n, shape) in secrets.iter().enumerate() {
        let planted = placed(shape, if n % 2 == 0 { 5 } else { 6 }).unwrap();
        // Before, on and after the place where the first part of the line ends.
        for shift in [0, 1, 17, 40, planted.len() - 1, planted.len()] {
            let text =
                format!("{}{planted}{}\nnext", "ab, ".repeat((border - shift) / 4), " cd".repeat(30_000));
            let (out, found) = whole(text.as_bytes());
            assert!(found.total() >= 1, "{}: {shift}", shape.rule);
            assert_eq!(out, whole(&out).0, "{}: {shift}", shape.rule);
            let cuts: Vec<usize> = (0..text.len()).step_by(33_301).collect();
            assert_eq!(in_pieces(text.as_bytes(), &cuts).0, out, "{}: {shift}", shape.rule);
        }
    }
}

/// What is said of secrets that are longer than what is held back: nothing of them stays, up to the next blank or quote.
#[test]
fn secrets_beyond_every_limit_do_not_stay() {
    let mut rng = Seeded(13);
    let body = rng.text(WORD, 400_000);
    for (head, tail) in [
        (["gh", "p_"].concat(), ""),
        (["ey", "Jabcd.", "ey", "J"].concat(), ""),
        (["ey", "J"].concat(), "."),
        ("api_key=".into(), ""),
        ("password=\"".into(), "\""),
        ("postgres://app:".into(), "@h"),
        ("https://app:".into(), "@h"),
        ("{\"secret\":\"".into(), "\"}"),
    ] {
        for before in
            [0, 1000, limits::LINE_MAX - limits::SECRET_MAX - 3, limits::LINE_MAX - 5000, limits::LINE_MAX]
        {
            let text = format!("{} {head}{body}{tail} after\nnext line", ".".repeat(before));
            let (out, _) = whole(text.as_bytes());
            let cuts: Vec<usize> = (0..text.len()).step_by(70_001).collect();
            assert_eq!(in_pieces(text.as_bytes(), &cuts).0, out);
            let out = String::from_utf8(out).unwrap();
            let leak = (0..body.len() - 40).step_by(5000).find(|n| out.contains(&body[*n..*n + 24]));
            assert_eq!(leak, None, "{head} after {before}: {} left", out.len());
            assert!(out.ends_with("next line"), "{head}");
        }
    }
}

#[test]
fn blocks_beyond_their_limit_are_the_same_in_pieces() {
    let begin = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
    let half = &begin[..begin.len() / 2];
    for filler in ["ü", "aB3+", "a b ", "\\n", "-", half, "aB3aB3aB3aB3aB3aB3\n"] {
        for shift in 0..4 {
            let filler = filler.repeat(200_000 / filler.len());
            let text = format!("{}{begin}{filler}{begin}{filler} after", ".".repeat(shift));
            let (out, _) = whole(text.as_bytes());
            assert_eq!(whole(&out).0, out);
            for step in [7_001, 65_536, 99_991] {
                let cuts: Vec<usize> = (0..text.len()).step_by(step).collect();
                assert_eq!(in_pieces(text.as_bytes(), &cuts).0, out, "{step}");
            }
            assert!(!REDACTOR.redact(&text).contains('\u{FFFD}'));
        }
    }
}

#[test]
fn custom_rules_see_the_same_in_pieces() {
    let lines =
        "```redact\nregex \"[A-Z]{3,}\" -> [CAPS]\nliteral \"b c\" -> [BC]\nregex \"^x|x$\" -> [EDGE]\n```";
    let (rules, bad) = custom::parse(custom::Level::Repo, lines);
    assert_eq!(bad, []);
    let redactor = Redactor::with_rules(rules);
    let mut rng = Seeded(14);
    for (alphabet, length) in [("ABC abc\n", 5_000), ("ABC abcx", 700_000), ("aBc[]\nx ", 300_000)] {
        let text = rng.text(alphabet, length);
        let out = redactor.redact_bytes(text.as_bytes(), &mut Findings::default()).into_owned();
        assert!(out.windows(6).any(|w| w == b"[CAPS]") || alphabet.starts_with('a'));
        for step in [997, 65_536, 300_001] {
            let cuts: Vec<usize> = (0..text.len()).step_by(step).collect();
            assert_eq!(in_pieces_by(&redactor, text.as_bytes(), &cuts).0, out, "{alphabet:?} {step}");
        }
    }
}
