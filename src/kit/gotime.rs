//! Go's JSON encodings of times and durations, in one place.
//!
//! A time is RFC 3339 with up to nine fraction digits, trailing zeros trimmed; "never" is the year 1. A duration is an integer
//! number of nanoseconds.

use std::fmt;

use jiff::Timestamp;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Go's zero time as it stands in files and messages.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// A time as Go writes it. `None` is Go's zero time: never, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoTime(pub Option<Timestamp>);

impl GoTime {
    /// Whether it is the zero time.
    pub fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    /// Reads RFC 3339 with any offset and any number of fraction digits.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<GoTime, String> {
        if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
            return Ok(GoTime(None));
        }
        // More than nine fraction digits are below the clock's grain.
        let text = trim_fraction(text);
        text.parse::<Timestamp>().map(|t| GoTime(Some(t))).map_err(|e| format!("time {text:?}: {e}"))
    }
}

/// Cuts the fraction of a second after its ninth digit.
fn trim_fraction(text: &str) -> std::borrow::Cow<'_, str> {
    if let Some(dot) = text.find('.') {
        let digits = text[dot + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 9 {
            return format!("{}{}", &text[..dot + 10], &text[dot + 1 + digits..]).into();
        }
    }
    text.into()
}

impl From<Timestamp> for GoTime {
    fn from(t: Timestamp) -> GoTime {
        GoTime(Some(t))
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(t) => t.fmt(f),
            None => f.write_str(ZERO),
        }
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<GoTime, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = GoTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time or null")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoTime, E> {
                GoTime::parse(text).map_err(E::custom)
            }
            fn visit_none<E: de::Error>(self) -> Result<GoTime, E> {
                Ok(GoTime(None))
            }
            fn visit_unit<E: de::Error>(self) -> Result<GoTime, E> {
                Ok(GoTime(None))
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<GoTime, D::Error> {
                d.deserialize_any(self)
            }
        }
        d.deserialize_option(V)
    }
}

/// Durations as integer nanoseconds, for `#[serde(with = "nanos")]`.
pub mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole nanoseconds, saturating at Go's largest duration.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Reads whole nanoseconds; null and negative numbers are zero.
    ///
    /// # Errors
    /// When it is no integer.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let n = Option::<i64>::deserialize(d)?.unwrap_or(0);
        Ok(Duration::from_nanos(u64::try_from(n).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, again: &str) {
        let t: GoTime = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&t).unwrap(), again, "{json}");
    }

    #[test]
    fn times_are_read_leniently_and_written_as_go_does() {
        check("null", "\"0001-01-01T00:00:00Z\"");
        check("\"0001-01-01T00:00:00Z\"", "\"0001-01-01T00:00:00Z\"");
        check("\"2026-03-01T10:00:00.5Z\"", "\"2026-03-01T10:00:00.5Z\"");
        check("\"2026-03-01T10:00:00.500000000Z\"", "\"2026-03-01T10:00:00.5Z\"");
        check("\"2026-03-01T12:00:00.1234567891234+02:00\"", "\"2026-03-01T10:00:00.123456789Z\"");
        check("\"2026-11-20T21:05:26.640426554Z\"", "\"2026-11-20T21:05:26.640426554Z\"");
        assert!(serde_json::from_str::<GoTime>("\"yesterday\"").is_err());
        assert!(serde_json::from_str::<GoTime>("12").is_err());
    }

    #[test]
    fn durations_are_whole_nanoseconds() {
        #[derive(Serialize, Deserialize, Default)]
        struct D(#[serde(with = "nanos")] std::time::Duration);
        assert_eq!(serde_json::to_string(&D(std::time::Duration::from_secs(600))).unwrap(), "600000000000");
        assert_eq!(serde_json::from_str::<D>("-5").unwrap().0, std::time::Duration::ZERO);
        assert_eq!(serde_json::from_str::<D>("null").unwrap().0, std::time::Duration::ZERO);
    }
}
