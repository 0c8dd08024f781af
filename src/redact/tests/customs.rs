//! `REDACT.md`.

use super::custom::{BadLine, Level, parse};
use super::*;

fn redactor(lines: &str) -> Redactor {
    let (rules, bad) = parse(Level::Team, &format!("```redact\n{lines}\n```\n"));
    assert_eq!(bad, [], "{lines}");
    Redactor::with_rules(rules)
}

fn check(lines: &str, text: &str, expected: &str) {
    let redactor = redactor(lines);
    assert_eq!(redactor.redact(text), expected, "{lines}");
    assert_eq!(redactor.redact(expected), expected, "again: {lines}");
    let mut value = Value::from(text);
    redactor.redact_json(&mut value);
    assert_eq!(value, Value::from(expected), "{lines}");
}

#[test]
fn literals_and_patterns_apply() {
    check(
        r#"literal "Acme Corp" -> [CUSTOMER]"#,
        "for Acme Corp, not acme corp",
        "for [CUSTOMER], not acme corp",
    );
    check(r#"regex "cust-\d{4,}" -> [CUSTOMER]"#, "cust-12345 cust-1", "[CUSTOMER] cust-1");
    check(r#"regex "(?i)projekt\s+\pL+" -> [PROJECT]"#, "Projekt Übersee!", "[PROJECT]!");
    check(r#"literal "a\"b\\c" -> [X]"#, r#"(a"b\c)"#, "([X])");
    check(r#"regex "^host: \S+$" -> [HOST]"#, "a\nhost: x1\nhost: y z", "a\n[HOST]\nhost: y z");
    check(r#"regex "a -> b" -> [ARROW]"#, "a -> b", "[ARROW]");
}

#[test]
fn a_pattern_never_reaches_over_a_newline() {
    check(r#"regex "(?s)begin.*end" -> [X]"#, "begin\nend begin end", "begin\nend [X]");
    check(r#"regex "[^x]+z" -> [X]"#, "a\nbz\nx", "a\n[X]\nx");
}

#[test]
fn tokens_are_not_matched_again() {
    let lines = "literal \"TOM\" -> [CUSTOM_X]\nliteral \"REDACTED\" -> [R]\nregex \"[A-Z]{3,}\" -> [CAPS]";
    let redactor = redactor(lines);
    let text = ["TOM WORD [REDACTED_JWT] ", "AK", "IA", "ABCDEFGHIJKLMNOP [REDACTED"].concat();
    let once = redactor.redact(&text).into_owned();
    assert_eq!(once, "[CUSTOM_X] [CAPS] [REDACTED_JWT] [REDACTED_AWS_KEY] [[R]");
    assert_eq!(redactor.redact(&once), once);
}

#[test]
fn built_in_rules_come_first_and_stay() {
    let key = ["AK", "IA", "ABCDEFGHIJKLMNOP"].concat();
    check(r#"literal "AKI" -> [X]"#, &format!("{key} AKI"), "[REDACTED_AWS_KEY] [X]");
    check("literal \"b\" -> [B]\nliteral \"abc\" -> [ABC]", "abc", "a[B]c");
}

#[test]
fn only_fenced_blocks_count_and_bad_lines_are_told() {
    let text = "\u{FEFF}# Rules\nliteral \"a\" -> [A]\n```sh\nliteral \"b\" -> [B]\n```\r\n````redact\n\n  # comment\n\
        literal \"c\" -> [C]\n```\nliteral d -> [D]\nregex \"(\" -> [E]\nregex \"x*\" -> [F]\nregex \"y|\\b\" -> [F]\n\
        word \"x\" -> [G]\nliteral \"h\" -> H\nliteral \"i\" -> [a b]\nliteral \"\" -> [I]\nnonsense\n\
        regex \"\\w{900}{900}\" -> [J]\nliteral \"z\" -> [Z]\n````\nliteral \"l\" -> [L]\n";
    let (rules, bad) = parse(Level::Repo, text);
    let rules: Vec<_> = rules.iter().map(|r| (r.name(), r.token())).collect();
    assert_eq!(rules, [("custom_repo_L9", "[C]"), ("custom_repo_L21", "[Z]")]);
    let expected = [
        (10, "there is no `->`"),
        (11, "the text is not in quotes"),
        (12, "the pattern is no valid expression"),
        (13, "the pattern matches empty text"),
        (14, "the pattern matches empty text"),
        (15, "a rule begins with literal or regex"),
        (16, "the token is not in brackets"),
        (17, "a token has up to 64 letters, digits, `_` and `-`"),
        (18, "the text is empty"),
        (19, "there is no `->`"),
        (20, "the pattern needs too much memory"),
    ];
    assert_eq!(bad, expected.map(|(line, reason)| BadLine { line, reason }));
}

#[test]
fn limits_hold() {
    let many = format!("~~~redact\n{}~~~\n", "literal \"x\" -> [X]\n".repeat(limits::CUSTOM_RULES_MAX + 5));
    let (rules, bad) = parse(Level::User, &many);
    assert_eq!((rules.len(), bad.len()), (limits::CUSTOM_RULES_MAX, 1));
    assert_eq!(rules[0].name(), "custom_user_L2");
    let long = format!("```redact\nliteral \"{}\" -> [X]\n", "x".repeat(limits::CUSTOM_PATTERN_MAX + 1));
    assert_eq!(parse(Level::User, &long).1, [BadLine { line: 2, reason: "the text is too long" }]);
    let wrong = format!("```redact\n{}", "?\n".repeat(1000));
    assert_eq!(parse(Level::User, &wrong).1.len(), limits::CUSTOM_BAD_MAX);
    let large = format!("```redact\nliteral \"x\" -> [X]\n{}", "# ä\n".repeat(limits::CUSTOM_TEXT_MAX / 4));
    let (rules, bad) = parse(Level::User, &large);
    assert_eq!((rules.len(), bad[0].line), (1, 0));
}
