//! Lengths of time as Go writes them: `15m`, `1h30m`, `500ms`, `1.5s`.

use std::time::Duration;

const NANO: u128 = 1;
const UNITS: [(&str, u128); 8] = [
    ("ns", NANO),
    ("us", 1_000 * NANO),
    ("µs", 1_000 * NANO),
    ("μs", 1_000 * NANO),
    ("ms", 1_000_000 * NANO),
    ("s", 1_000_000_000 * NANO),
    ("m", 60_000_000_000 * NANO),
    ("h", 3_600_000_000_000 * NANO),
];

/// Go's durations are 64-bit signed nanoseconds.
const MAX: u128 = i64::MAX as u128;

/// Fraction digits beyond this make no difference to a nanosecond of the largest unit.
const FRACTION_DIGITS: usize = 18;

/// Reads a duration: numbers with a unit of `ns`, `us`, `ms`, `s`, `m`, `h`, one after the other, or `0`.
///
/// # Errors
/// A text that says what is wrong. Negative lengths are refused: none of ours can be.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| format!("{text:?} is not a duration ({why}); write it like 90s, 15m or 1h30m");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err(wrong("it is negative"));
    }
    if rest.is_empty() {
        return Err(wrong("there is nothing"));
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let size = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, size)) => *size,
            None if unit.is_empty() => return Err(wrong("a unit is missing")),
            None => return Err(wrong("its unit is unknown")),
        };
        let nanos = scaled(number, size).ok_or_else(|| wrong("its number is none"))?;
        total = total.saturating_add(nanos);
        rest = tail;
    }
    match u64::try_from(total) {
        Ok(nanos) if total <= MAX => Ok(Duration::from_nanos(nanos)),
        _ => Err(wrong("it is too long")),
    }
}

/// A decimal number times `unit`, cut below a nanosecond; `None` if it is no number.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => 0,
        // More digits than any 64-bit number has: too long in any unit.
        digits if digits.len() > 19 => u128::from(u64::MAX),
        digits => digits.parse::<u128>().ok()?,
    };
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let part = if kept.is_empty() { 0 } else { kept.parse::<u128>().ok()? };
    let scale = 10u128.pow(u32::try_from(kept.len()).ok()?);
    Some(whole * unit + part * unit / scale)
}

/// The shortest form that [`parse_duration`] reads back: `1h30m`, `500ms`, `0s`.
pub fn format_duration(d: Duration) -> String {
    let mut nanos = d.as_nanos().min(MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for unit in ["h", "m", "s", "ms", "us", "ns"] {
        let size = UNITS.iter().find(|(name, _)| *name == unit).map_or(NANO, |(_, size)| *size);
        if nanos >= size {
            out.push_str(&format!("{}{unit}", nanos / size));
            nanos %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, nanos: u64| {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        };
        check("15m", 900_000_000_000);
        check("1h30m", 5_400_000_000_000);
        check("500ms", 500_000_000);
        check("0", 0);
        check("+5s", 5_000_000_000);
        check("1.5s", 1_500_000_000);
        check(".5s", 500_000_000);
        check("1.s", 1_000_000_000);
        check("1µs2μs3us4ns", 6_004);
        check("0.100000000000000000000h", 360_000_000_000);
        check("9223372036854775807ns", 9_223_372_036_854_775_807);
        check("0000000000000000000000001s", 1_000_000_000);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "+",
            "-1s",
            "15",
            "m",
            ".",
            ".s",
            "1..5s",
            "1x",
            "1 s",
            " 1s",
            "1s ",
            "1M",
            "9223372036854775808ns",
            "99999999999999999999999999999999999999999h",
            "106752d",
            "1e3s",
            "½s",
            "--1s",
            "+-1s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_shown_short() {
        let check =
            |text: &str, shown: &str| assert_eq!(format_duration(parse_duration(text).unwrap()), shown);
        check("90m", "1h30m");
        check("60s", "1m");
        check("1h", "1h");
        check("0", "0s");
        check("1.5s", "1s500ms");
    }

    proptest! {
        #[test]
        fn every_duration_is_read_back(nanos in 0..=(i64::MAX as u64)) {
            let d = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(d)), Ok(d));
        }

        #[test]
        fn nothing_makes_the_reader_panic(text in "[-+.0-9hmsuµn ]{0,40}|.{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
