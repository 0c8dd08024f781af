//! A moment as people write it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The moment that a text means: a day (`2026-11-01`, from its beginning in `zone`), a time (`2026-11-01T09:00:00Z`), or how long before
/// `now` (`36h`, `7d`, `2 weeks`).
///
/// # Errors
/// A text that says what it may be.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is neither a day (2026-11-01), nor a time (2026-11-01T09:00:00Z), nor a length (36h, 7d)"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<Date>() {
        return day.to_zoned(zone.clone()).map(|at| at.timestamp()).map_err(|_| wrong());
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    let back = now.to_zoned(zone.clone()).checked_sub(span).map_err(|_| wrong())?;
    if back.timestamp() > now { Err(wrong()) } else { Ok(back.timestamp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_lengths_are_moments() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text, now, &zone), Ok(expected.parse().unwrap()), "{text}");
        };
        check("2026-11-01", "2026-10-31T23:00:00Z");
        check("2026-11-01T09:00:00Z", "2026-11-01T09:00:00Z");
        check("36h", "2026-11-29T00:00:00Z");
        check("7d", "2026-11-23T12:00:00Z");
        check("2 weeks", "2026-11-16T12:00:00Z");
        check("2mo", "2026-09-30T11:00:00Z");
        for wrong in ["", "soon", "-3d", "7", "2026-13-01"] {
            assert!(parse(wrong, now, &zone).unwrap_err().contains("36h"), "{wrong}");
        }
    }
}
