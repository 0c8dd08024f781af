//! Text made to be slow costs no more than in proportion to its length.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// The longer of the two texts.
fn long() -> usize {
    if std::env::var_os("OX_TEST_LONG").is_some_and(|v| v == "1") { 1 << 20 } else { 1 << 17 }
}

/// What this thread has had of a processor: what others do meanwhile does not count.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// The work for `part` repeated to `length`, the best of three.
fn cost(part: &str, length: usize) -> Duration {
    let text = part.repeat(length / part.len());
    let run = || {
        let start = worked();
        std::hint::black_box(REDACTOR.redact(&text).len());
        worked() - start
    };
    (0..3).map(|_| run()).min().unwrap()
}

#[test]
fn repeated_beginnings_take_linear_time() {
    let begin = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
    let block = [&begin, "-----END ", "PRIVATE KEY-----"].concat();
    let parts = [
        ["AK", "IA"].concat(),
        "eyJ".into(),
        "eyJaaaa.".into(),
        "-----BEGIN".into(),
        begin.clone(),
        format!("{begin}\n"),
        block.clone(),
        format!("{block}\n"),
        "password=".into(),
        "password=\"".into(),
        "password=\"hunter22\"".into(),
        "password:'\\".into(),
        "export ".into(),
        "export A_API_KEY=".into(),
        "postgres://a:".into(),
        "postgres://a".into(),
        "https://a:b".into(),
        "://:".into(),
        "heroku".into(),
        "sk-proj-".into(),
        "asksk-abcdefghij0123456789".into(),
        "api_key=secret_key=token=".into(),
        "api_key=\\\\\\".into(),
        "secret = : = ".into(),
        "[REDACTED".into(),
        "[REDACTED_X]password=\"".into(),
        "authorization: bearer ".into(),
        "authorization: bearer aaaaaaaaaaaaaaaaaaaaa, ".into(),
        "0123456789abcdef".into(),
        "eyJ".repeat(20_000) + " ",
        "https://a:b".repeat(6_000) + " ",
        format!("{}AzCaaaaaa=", "a".repeat(120)),
        format!("{}AzCaaaaaa", "a".repeat(120)),
        "1/1200123456789012:".into(),
        "pataB3dE6gH9jK2mN.".into(),
        "sk.eyJabcdefghij0123456789.".into(),
        "perm:aaaa.aaaa.".into(),
        "LS0tLS1CRUdJTiBS".into(),
        format!("AccountKey={};a=", "a1".repeat(20)),
        "\\".into(),
        "\n".into(),
        "aaaa".into(),
    ];
    for part in parts {
        let (small, large) = (cost(&part, long() / 4), cost(&part, long()));
        let part = &part[..part.len().min(60)];
        println!("{part:?}: {small:?} {large:?}");
        // Four times the text; a quadratic search would take sixteen times as long. Very short times are only noise.
        let allowed = small * 10 + Duration::from_millis(40);
        assert!(large < allowed, "{part:?}: {small:?} for a quarter, {large:?} for all of it");
    }
}

#[test]
fn tiny_pieces_of_a_long_line_take_linear_time() {
    let run = |length: usize| {
        let start = worked();
        let (mut stream, mut out) = (REDACTOR.stream(), Vec::new());
        for _ in 0..length {
            stream.push(b"a", &mut out);
        }
        stream.finish(&mut out);
        assert_eq!(out.len(), length);
        worked() - start
    };
    let (small, large) = (run(long() / 4), run(long()));
    assert!(large < small * 10 + Duration::from_millis(50), "{small:?} {large:?}");
}
