//! Redaction of a transcript, clean and with secrets, beside a `memchr` line scan of the same bytes. In MB/s (10^6 bytes).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fmt::Write as _;

use common::{Times, at_least, note, rounds, time, title};
use ox::redact::custom::{Level, parse};
use ox::redact::{Findings, Redactor};

/// What the house promises for a transcript, in MB/s.
const BUDGET: f64 = 50.0;
/// Bytes of each text.
const SIZE: usize = 32 << 20;
/// A stream gets pieces of this size, as a file is read.
const PIECE: usize = 64 << 10;
/// Tool output and prose as they stand in transcripts. Much of it has words that rules look for, and no secret.
const LINES: &[&str] = &[
    "Now I will look at how the token is refreshed before I change the retry loop.",
    "    let response = client.get(url).header(\"accept\", \"application/json\").send()?;",
    "export const handler = async (event) => { return await next(event); };",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (HEAD -> main, origin/main)",
    "   Compiling serde v1.0.219 (/home/anna/src/crates/serde-1.0.219)",
    "test sessions::upload::tests::a_lost_connection_is_tried_again ... ok",
    "The password field stays empty until the user has chosen one; see docs/login.md for more.",
    "diff --git a/src/daemon/core.rs b/src/daemon/core.rs",
    "+        self.deadlines.push(Deadline { at: now + self.interval, what: Job::Sync });",
    "  \\\"integrity\\\": \\\"sha512-9kaR1Qm0u7kQWm1fGdYJq2cVn5zX3pLx8sT4vB6yN0hD2jK7aZ==\\\",",
    "https://example.com/docs/reference/configuration.html#timeouts",
    "0190f6e2-8a4c-7d31-9b52-3f7e6a1c0d84 INFO request done status=200 bytes=18342 ms=12",
];

fn main() {
    title("redact, MB/s");
    let redactor = Redactor::new();
    for (what, every) in [("clean", 0), ("a secret every 100 lines", 100), ("a secret every 10 lines", 10)] {
        let text = transcript(every);
        let found = measure(&redactor, what, &text);
        note(&format!("{what}: replaced"), found as f64, "");
    }
    let custom = "```redact\nliteral \"Acme Corp\" -> [CUSTOMER]\nregex \"cust-\\d{4,}\" -> [CUSTOMER]\n\
        regex \"(?i)project\\s+falcon\" -> [PROJECT]\nregex \"[a-z]+@acme\\.example\" -> [MAIL]\n```\n";
    let (rules, bad) = parse(Level::Team, custom);
    assert!(bad.is_empty(), "{bad:?}");
    measure(&Redactor::with_rules(rules), "clean, 4 custom rules", &transcript(0));
    let build = time(Redactor::new);
    note("making a redactor", build.as_secs_f64() * 1e3, "ms");
}

/// Prints the speed of both forms; answers how much was replaced.
fn measure(redactor: &Redactor, what: &str, text: &str) -> u64 {
    let (mut floor, mut whole, mut pieces) = (Times::default(), Times::default(), Times::default());
    let mut total = 0;
    for _ in 0..rounds(10) {
        floor.push(time(|| memchr::memchr_iter(b'\n', text.as_bytes()).count()));
        whole.push(time(|| redactor.redact(text).len()));
        pieces.push(time(|| total = stream(redactor, text).total()));
    }
    let speed = |times: &Times| text.len() as f64 / 1e6 / (times.p50() / 1e3);
    note(&format!("{what}: line scan"), speed(&floor), "MB/s");
    note(&format!("{what}: share of the line scan"), 100.0 * speed(&whole) / speed(&floor), "%");
    at_least(&format!("{what}: whole / promised"), speed(&whole), BUDGET, 1.0);
    at_least(&format!("{what}: in pieces / promised"), speed(&pieces), BUDGET, 1.0);
    total
}

fn stream(redactor: &Redactor, text: &str) -> Findings {
    let mut stream = redactor.stream();
    let mut out = Vec::with_capacity(2 * PIECE);
    for piece in text.as_bytes().chunks(PIECE) {
        stream.push(piece, &mut out);
        out.clear();
    }
    stream.finish(&mut out)
}

/// Lines of a transcript file: one JSON object each, its text some lines long. Every so many of these is a secret, if not zero.
fn transcript(every: usize) -> String {
    let mut text = String::with_capacity(SIZE + 4096);
    let mut n = 0_usize;
    while text.len() < SIZE {
        let _ = write!(
            text,
            "{{\"type\":\"assistant\",\"ts\":\"2026-01-02T03:04:05Z\",\"seq\":{n},\"content\":\""
        );
        for _ in 0..1 + n % 23 {
            n += 1;
            match n.checked_rem(every) {
                Some(0) => secret(&mut text, n),
                _ => text.push_str(&LINES[n * 7 % LINES.len()].replace('"', "\\\"")),
            }
            text.push_str("\\n");
        }
        text.push_str("\",\"usage\":{\"input_tokens\":1234,\"output_tokens\":56}}\n");
    }
    text
}

/// Made here so that no scanner takes this file for one that holds secrets.
fn secret(text: &mut String, n: usize) {
    let body = format!("{:x}{:x}{:x}", n * 7_919 + 0x1234_5678, n * 104_729 + 0x9abc_def0, 0xfeed_beef_u32);
    let body = format!("{body}{body}{body}");
    let (start, value) = match n % 4 {
        0 => (["GITHUB=gh", "p_"], &body[..36]),
        1 => (["export STRIPE_API_KEY=s", "k_live_"], &body[..24]),
        2 => (["Authorization: ", "Bearer "], &body[..40]),
        _ => (["postgres", "://app:x@"], &body[..12]),
    };
    let _ = write!(text, "{}{value}", start.concat());
}
