//! Row sec-04: hundreds of planted secrets go.

use super::shapes::{KINDS, PLACES, placed, private_key, shape};
use super::*;

/// What must not be left of a secret: long ones by any 16 characters, so that no half stays.
fn leaks(text: &str, secret: &str) -> bool {
    let core = secret.rsplit(' ').next().unwrap();
    let core = core.split_once("://").map_or(core, |(_, rest)| rest.split('@').next().unwrap());
    let core = core.strip_prefix("app:").or(core.strip_prefix("ci:")).unwrap_or(core);
    let length = core.len().min(16);
    core.as_bytes().windows(length).any(|part| memchr::memmem::find(text.as_bytes(), part).is_some())
}

#[test]
fn sec_04_planted_secrets_do_not_stay() {
    let mut rng = Seeded(4);
    let (mut planted, mut missed) = (0, Vec::new());
    for round in 0..40 {
        for kind in 0..KINDS {
            let shape = shape(&mut rng, kind);
            let Some(line) = placed(&shape, (kind + round) % PLACES) else { continue };
            planted += 1;
            let out = redact(&line);
            if leaks(&out, &shape.secret) {
                missed.push(format!("{}: {line} -> {out}", shape.rule));
            }
        }
    }
    assert!(planted >= 500, "{planted}");
    println!("{} of {planted} missed", missed.len());
    assert!(missed.len() * 100 <= planted, "{} of {planted}:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn sec_04_planted_secrets_do_not_stay_in_json() {
    let mut rng = Seeded(5);
    for kind in (0..KINDS - 1).cycle().take(600) {
        let shape = shape(&mut rng, kind);
        let name = shape.name.clone().unwrap_or("value".into());
        let inner = serde_json::json!({ "a": [1, { &name: &shape.secret }], "b": "it's \"fine\"\n" });
        let mut value = serde_json::json!({ "tool_input": inner.to_string(), "deep": inner });
        let found = REDACTOR.redact_json(&mut value);
        assert_eq!(found.total(), 2, "{}: {value}", shape.rule);
        assert!(!leaks(&value.to_string(), &shape.secret), "{}: {value}", shape.rule);
        let again = value.clone();
        assert!(REDACTOR.redact_json(&mut value).is_empty(), "{value}");
        assert_eq!(value, again);
    }
}

#[test]
fn sec_04_raw_json_stays_json() {
    let mut rng = Seeded(6);
    for kind in (0..KINDS - 1).cycle().take(600) {
        let shape = shape(&mut rng, kind);
        for place in [1, 6, 7] {
            let line = placed(&shape, place).unwrap();
            let out = redact(&line);
            let read = serde_json::from_str::<Value>(&out);
            assert!(read.is_ok(), "{line} -> {out}");
        }
    }
}

#[test]
fn a_secret_is_found_by_its_own_rule() {
    let mut rng = Seeded(7);
    for kind in (0..KINDS).cycle().take(400) {
        let shape = shape(&mut rng, kind);
        let line = match (&shape.name, shape.rule) {
            (Some(name), "export_secret") => format!("export {name}={}", shape.secret),
            (Some(name), _) => format!("{name} = \"{}\"", shape.secret),
            (None, _) => format!("({})", shape.secret),
        };
        assert_eq!(rules_of(&line), [shape.rule], "{line}");
    }
}

#[test]
fn private_keys_go_whole() {
    let mut rng = Seeded(8);
    for kind in ["", "RSA ", "DSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        let (block, body) = private_key(&mut rng, kind, 26);
        check(&format!("before {block} after"), "before [REDACTED_PRIVATE_KEY] after");
        check(&format!("a\n{block}\nb"), "a\n[REDACTED_PRIVATE_KEY]\nb");
        let escaped = Value::from(block.clone()).to_string();
        check(&escaped, "\"[REDACTED_PRIVATE_KEY]\"");
        let cut = &block[..block.len() / 2];
        check(cut, "[REDACTED_PRIVATE_KEY]");
        let numbered: String =
            block.lines().zip(1..).map(|(line, n)| format!("{n:>6}\t> {line}\n")).collect();
        let out = redact(&numbered);
        assert!(body.iter().all(|line| !out.contains(&line[..20])), "{out}");
    }
    let (block, _) = private_key(&mut rng, "PGP ", 12);
    let block = block.replace("PRIVATE KEY-----", "PRIVATE KEY BLOCK-----");
    check(&format!("{block}\n"), "[REDACTED_PRIVATE_KEY]\n");
    let (public, _) = private_key(&mut rng, "", 4);
    stays(&public.replace("PRIVATE", "PUBLIC"));
}

#[test]
fn a_block_without_end_is_bounded() {
    let mut rng = Seeded(9);
    let (block, body) = private_key(&mut rng, "", 30);
    let open = &block[..block.rfind('\n').unwrap()];
    let prose = "This is a line of prose.\n".repeat(50);
    let out = redact(&format!("{open}\n{prose}"));
    assert!(out.starts_with("[REDACTED_PRIVATE_KEY]\n") && out.len() > prose.len() - 200, "{out}");
    let endless = format!("{}\n{}", block.lines().next().unwrap(), format!("{}\n", body[0]).repeat(4000));
    let gone = endless.len() - redact(&endless).len();
    assert!((limits::PEM_MAX - 100..limits::PEM_MAX + 100).contains(&gone), "{gone}");
    // Two keys, the first without END: the second one's length counts from its own start.
    let two = format!("{open}\n{block}\nrest");
    check(&two, "[REDACTED_PRIVATE_KEY]\nrest");
    let mention =
        format!("if text.starts_with(\"{}\") {{\n    return true;\n}}\n", block.lines().next().unwrap());
    let out = redact(&format!("{mention}{prose}"));
    assert!(out.len() > prose.len() - 200, "{out}");
}
