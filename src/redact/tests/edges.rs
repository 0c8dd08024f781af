//! What the prefilter lets through is what the patterns find; bytes that are no text; borders.

use super::super::rules::BUILT_IN;
use super::shapes::{KINDS, PLACES, placed, shape};
use super::*;

/// The prefilter only saves work: every match of a pattern has an anchor that lets it through.
#[test]
fn no_match_is_without_its_anchor() {
    let mut rng = Seeded(20);
    let rules: Vec<Rule> = BUILT_IN.iter().map(Rule::built_in).collect();
    let anchors = anchors::Anchors::of(&rules);
    for n in 0..3000 {
        let shape = shape(&mut rng, n % KINDS);
        let Some(line) = placed(&shape, rng.below(PLACES)) else { continue };
        for (number, rule) in (0u16..).zip(&rules) {
            let Some(found) = rule.find(line.as_bytes(), 0) else { continue };
            let seen = |place| match anchors.judge(line.as_bytes(), place) {
                Some(anchors::Seen::Rule { rule, at }) => {
                    rule == number && found.whole.start + limits::LOOK_BACK >= at && found.whole.end > at
                }
                _ => false,
            };
            assert!(anchors.places(line.as_bytes()).any(seen), "{}: {line}", rule.name());
        }
    }
}

#[test]
fn bytes_that_are_no_text_stay() {
    let key = ["AK", "IA", "ABCD1234EFGH5678"].concat();
    let mut text = b"\xff\xfe\x00".to_vec();
    text.extend_from_slice(key.as_bytes());
    text.extend_from_slice(b"\xc3\n\x80");
    let out = REDACTOR.redact_bytes(&text, &mut Findings::default()).into_owned();
    assert_eq!(out, b"\xff\xfe\x00[REDACTED_AWS_KEY]\xc3\n\x80");
}

#[test]
fn empty_and_unfinished_text() {
    stays("");
    stays("\n");
    stays("\n\n\r\n");
    check("password='hunter22", "[REDACTED_PASSWORD]");
    check("password='hunter22\nx'", "[REDACTED_PASSWORD]\nx'");
    let mut out = Vec::new();
    assert!(REDACTOR.stream().finish(&mut out).is_empty() && out.is_empty());
}

#[test]
fn only_blocks_hold_newlines() {
    let long = "aB3".repeat(12);
    for text in [
        format!("api_key=\n{long}"),
        format!("Authorization:\nBearer {long}"),
        "password=\"\nhunter2hunter2\n\"".into(),
        "postgres://a:b\n@host".into(),
        "heroku\n01234567-89ab-cdef-0123-456789abcdef".into(),
    ] {
        stays(&text);
    }
}

#[test]
fn what_is_looked_for_is_not_shown() {
    let (rules, _) = custom::parse(custom::Level::User, "```redact\nliteral \"Acme\" -> [X]\n```");
    let shown = format!("{:?}", Redactor::with_rules(rules));
    assert!(shown.contains("custom_user_L2 -> [X]") && !shown.contains("Acme"), "{shown}");
}

#[test]
fn a_redactor_is_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Redactor>();
    is_shared::<Findings>();
}
