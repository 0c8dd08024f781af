//! Times, sizes and numbers of things as people read them. One form for all screens, so that nobody has to learn two. Pure.

use std::time::Duration;

/// A span of time, two units at most: `<1s`, `42s`, `3m`, `3m 5s`, `2h`, `2h 30m`. Rounded to seconds.
pub fn compact(span: Duration) -> String {
    let secs = span.as_secs().saturating_add(u64::from(span.subsec_nanos() >= 500_000_000));
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => "<1s".into(),
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m {s}s"),
        (h, 0, _) => format!("{h}h"),
        (h, m, _) => format!("{h}h {m}m"),
    }
}

/// A span of time in its largest whole unit: `42s`, `5m`, `3h`, `2d`. Truncated.
pub fn short(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// How long something took, as [`compact`] has it but finer below a minute: `12ms`, `1.4s`, `3m 5s`.
pub fn took(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1000 => format!("{ms}ms"),
        ms @ 1000..60_000 => format!("{}.{}s", ms / 1000, ms / 100 % 10),
        _ => compact(span),
    }
}

/// A number of bytes in units of a thousand: `0 B`, `999 B`, `1.5 kB`, `20 MB`, `3.1 GB`. Truncated.
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(size, _)| n >= *size) {
        None => format!("{n} B"),
        Some((size, unit)) if n / size >= 10 => format!("{} {unit}", n / size),
        Some((size, unit)) => format!("{}.{} {unit}", n / size, n % size * 10 / size),
    }
}

/// `n` things: `1 commit`, `2 commits`.
pub fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// A number with its digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |n, expected: &str| assert_eq!(bytes(n), expected, "{n}");
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(1_590, "1.5 kB");
        check(20_999_999, "20 MB");
        check(3_100_000_000, "3.1 GB");
        check(u64::MAX, "18446744 TB");
    }

    #[test]
    fn compact_spans() {
        let check = |ms, expected: &str| assert_eq!(compact(Duration::from_millis(ms)), expected, "{ms}");
        check(0, "<1s");
        check(499, "<1s");
        check(500, "1s");
        check(42_000, "42s");
        check(59_600, "1m");
        check(180_000, "3m");
        check(185_000, "3m 5s");
        check(7_200_000, "2h");
        check(7_230_000, "2h");
        check(9_000_000, "2h 30m");
        check(97 * 3_600_000, "97h");
        assert_eq!(compact(Duration::MAX), format!("{}h", u64::MAX / 3600));
    }

    #[test]
    fn spans_of_work() {
        assert_eq!(took(Duration::from_millis(12)), "12ms");
        assert_eq!(took(Duration::from_millis(1_460)), "1.4s");
        assert_eq!(took(Duration::from_secs(185)), "3m 5s");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            (count(0, "file"), count(1, "file"), count(2, "file")),
            ("0 files".into(), "1 file".into(), "2 files".into())
        );
    }
}
