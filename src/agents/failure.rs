//! What an agent's failure was about, as far as its words tell. Pure.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::manager::End;

/// What is looked at of what an agent said, in bytes from the end.
const TAIL: usize = 16 << 10;

/// Words of a server that has had enough, in lower case (agentwork and sessions, 3.6).
const QUOTA: &[&str] = &[
    "usage limit",
    "rate limit",
    "rate_limit",
    "limit reached",
    "hit your limit",
    "weekly limit",
    "insufficient_quota",
    "quota exceeded",
    "exceeded your current quota",
    "resource exhausted",
    "resource_exhausted",
    "too many requests",
];
/// Words of a login that is not taken.
const AUTH: &[&str] = &[
    "not logged in",
    "invalid api key",
    "invalid x-api-key",
    "incorrect api key",
    "authentication_error",
    "authentication failed",
    "please run /login",
    "unauthorized",
    "oauth token has expired",
    "api key not valid",
    "unauthenticated",
];
/// Gemini CLI ends with it where its login is not taken.
const GEMINI_AUTH: i32 = 41;

/// Whether a piece of what a program says while it runs is that of one which stands at a wall of its model's server, and would go on trying for
/// minutes: Gemini CLI (0.61.0).
pub fn is_at_a_wall(piece: &[u8]) -> bool {
    memchr::memmem::find(piece, b"Attempt 3 failed with status 429").is_some()
}

/// How a run ended that did not go well: by its exit code, and the end of what it said.
pub fn class(exit_code: i32, said: &str, now: Timestamp) -> End {
    let said = &said[said.ceil_char_boundary(said.len().saturating_sub(TAIL))..];
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(QUOTA) || has_status(&lower, "429") {
        return End::Quota(resets(said, now));
    }
    if exit_code == GEMINI_AUTH || has(AUTH) || has_status(&lower, "401") {
        return End::Auth;
    }
    End::Failed
}

/// Whether a status of HTTP is named: the number alone may be anything.
fn has_status(lower: &str, status: &str) -> bool {
    lower.match_indices(status).any(|(at, _)| {
        let (before, after) = (&lower[..at], &lower[at + status.len()..]);
        let is_number = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
            || after.starts_with(|c: char| c.is_ascii_alphanumeric());
        // `HTTP/1.1 429`, `status=429`.
        let word = before.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
        let is_near = before.len() - word.len() <= 8;
        let words = ["http", "status", "error", "code"];
        !is_number && is_near && words.iter().any(|end| word.ends_with(end))
    })
}

/// When the limit ends, where it says so as Claude Code does: `resets 5am (America/Los_Angeles)`, `resets Oct 12 at 7:30pm (…)`: the next
/// such moment in that zone.
fn resets(said: &str, now: Timestamp) -> Option<Timestamp> {
    let at = said.find("resets ")? + "resets ".len();
    let (when, zone) = said[at..].split_once('(')?;
    let zone = TimeZone::get(zone.split_once(')')?.0.trim()).ok()?;
    let when = when.trim().trim_end_matches(',');
    let local = now.to_zoned(zone.clone()).datetime();
    let (date, time) = match when.rsplit_once(" at ") {
        Some((date, time)) => (Some(date), time),
        // A month and a day may also stand without the word between.
        None => when.rsplit_once(' ').map_or((None, when), |(date, time)| (Some(date), time)),
    };
    let (hour, minute) = clock(time)?;
    let on = |day: Date| -> Option<Timestamp> {
        let moment = DateTime::from_parts(day, jiff::civil::Time::new(hour, minute, 0, 0).ok()?);
        Some(moment.to_zoned(zone.clone()).ok()?.timestamp())
    };
    let next = match date {
        None => [local.date(), local.date().tomorrow().ok()?].into_iter().filter_map(on).find(|at| *at > now),
        Some(date) => {
            let (month, day) = date.trim().trim_end_matches(',').split_once(' ')?;
            let month = month_of(month)?;
            let day: i8 = day.trim_end_matches(',').parse().ok()?;
            let years = [local.year(), local.year() + 1].into_iter();
            years.filter_map(|year| Date::new(year, month, day).ok()).filter_map(on).find(|at| *at > now)
        }
    }?;
    (next.duration_since(now) <= SignedDuration::from_hours(366 * 24)).then_some(next)
}

/// `7pm`, `7:30pm`.
fn clock(text: &str) -> Option<(i8, i8)> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, noon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(digits), _) => (digits, 0),
        (_, Some(digits)) => (digits, 12),
        _ => return None,
    };
    let (hour, minute) = digits.trim().split_once(':').unwrap_or((digits.trim(), "0"));
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    let is_time = (1..=12).contains(&hour) && (0..60).contains(&minute);
    is_time.then_some((hour % 12 + noon, minute))
}

fn month_of(name: &str) -> Option<i8> {
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = name.get(..3)?.to_ascii_lowercase();
    let at = months.iter().position(|month| *month == name)?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2036-10-10T18:00:00Z";

    #[test]
    fn agt_04_what_a_failure_was_about_is_told_by_its_words() {
        let check =
            |exit: i32, said: &str, expected: End| assert_eq!(class(exit, said, at(NOW)), expected, "{said}");
        check(1, "Claude AI usage limit reached", End::Quota(None));
        check(1, "API Error: 429 {\"type\":\"error\"}", End::Quota(None));
        check(1, "HTTP/1.1 status=429", End::Quota(None));
        check(
            1,
            "You exceeded your current quota, please check your plan (insufficient_quota)",
            End::Quota(None),
        );
        check(1, "Invalid API key · Please run /login", End::Auth);
        check(1, "unexpected status 401 Unauthorized", End::Auth);
        check(41, "", End::Auth);
        // What the programs print where their model's server refuses (claude 2.1.332, codex 0.171.0, gemini 0.61.0).
        let claude = "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.";
        check(1, claude, End::Quota(None));
        check(1, "Invalid API key · Fix external API key", End::Auth);
        check(1, "Not logged in · Please run /login", End::Auth);
        check(1, "Quota exceeded. Check your plan and billing details.", End::Quota(None));
        let codex = "unexpected status 401 Unauthorized: Incorrect API key provided: fake., url: http://127.0.0.1:1/v1/responses";
        check(1, codex, End::Auth);
        let gemini = "Attempt 3 failed with status 429. Retrying with backoff... _ApiError: {\"error\":{\"code\":429,\"message\":\"x\"}}";
        check(0, gemini, End::Quota(None));
        assert!(is_at_a_wall(gemini.as_bytes()) && !is_at_a_wall(&gemini.as_bytes()[9..]));
        let gemini = "{\"error\":{\"code\":401,\"message\":\"x\",\"status\":\"UNAUTHENTICATED\"}}";
        check(145, gemini, End::Auth);
        check(1, "API key not valid. Please pass a valid API key.", End::Auth);
        check(
            41,
            "When using Gemini API, you must specify the GEMINI_API_KEY environment variable.",
            End::Auth,
        );
        check(1, "panicked at main.rs:401:429", End::Failed);
        check(1, "line 429 of error.log, 401 files", End::Failed);
        check(1, "", End::Failed);
        // Only the end of it counts: a session may be about limits.
        check(1, &format!("rate limit {}", "x".repeat(TAIL)), End::Failed);
        check(1, &format!("{}é{}", "x".repeat(9), "é".repeat(TAIL)), End::Failed);
    }

    #[test]
    fn agt_04_when_the_limit_ends_is_the_next_such_moment_in_its_zone() {
        let check = |said: &str, expected: Option<&str>| {
            let End::Quota(until) = class(1, &format!("usage limit · {said}"), at(NOW)) else {
                panic!("{said}")
            };
            assert_eq!(until, expected.map(at), "{said}");
        };
        // It is 11:00 there.
        check("resets 5am (America/Los_Angeles)", Some("2036-10-11T12:00:00Z"));
        check("resets 7:30pm (America/Los_Angeles)", Some("2036-10-11T02:30:00Z"));
        check("resets 11am (America/Los_Angeles)", Some("2036-10-11T18:00:00Z"));
        check("resets Oct 12 at 7:30pm (America/Los_Angeles)", Some("2036-10-13T02:30:00Z"));
        check("resets Oct 12, 12am (UTC)", Some("2036-10-12T00:00:00Z"));
        check("resets Jan 2 at 12pm (Europe/Berlin)", Some("2037-01-02T11:00:00Z"));
        for wrong in [
            "resets soon",
            "resets 5am (Nowhere/Else)",
            "resets 13pm (UTC)",
            "resets Feb 30 at 5am (UTC)",
            "resets 5:75am (UTC)",
        ] {
            check(wrong, None);
        }
    }
}
