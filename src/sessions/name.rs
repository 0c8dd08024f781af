//! Names of sessions: `<local time YYYY-MM-DDTHH-MM>-<user>-<agent id>`, which are the names of their directories. Pure.

use std::fmt;
use std::ops::Deref;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Bytes of a name.
const NAME_MAX: usize = 128;
/// Characters of a user in a name that is made here.
const USER_MAX: usize = 48;
/// The time in a name.
const TIME: &str = "%Y-%m-%dT%H-%M";
/// Characters of that.
const TIME_LENGTH: usize = 16;
/// Characters behind it, without the dash between them.
const REST_MAX: usize = 64;

/// The name of a session, of the one form there is: nothing in it leads out of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name of a session that `agent` begins at `now`, of `user` as their git identity has it.
    pub fn new(now: Timestamp, zone: &TimeZone, user: &str, agent: &str) -> Name {
        let time = now.to_zoned(zone.clone()).strftime(TIME).to_string();
        let user = slug(user, &|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let user = if user.is_empty() { "anonymous" } else { user.as_str() };
        let agent: String = agent.chars().filter(char::is_ascii_alphanumeric).take(15).collect();
        let agent = if agent.is_empty() { "unknown" } else { agent.as_str() };
        Name(format!("{time}-{user}-{agent}"))
    }

    /// Takes a name from outside: a directory's, a peer's, or a person's.
    pub fn parse(text: &str) -> Option<Name> {
        let (time, rest) = (text.get(..TIME_LENGTH)?, text.get(TIME_LENGTH..)?.strip_prefix('-')?);
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let fits = text.len() <= NAME_MAX && (1..=REST_MAX).contains(&rest.len());
        let is_name = fits && rest.bytes().all(is_plain) && DateTime::strptime(TIME, time).is_ok();
        is_name.then(|| Name(text.to_owned()))
    }

    /// When the session began, to the minute, if that minute is one in `zone`.
    pub fn began(&self, zone: &TimeZone) -> Option<Timestamp> {
        let time = DateTime::strptime(TIME, &self.0[..TIME_LENGTH]).ok()?;
        Some(time.to_zoned(zone.clone()).ok()?.timestamp())
    }

    /// The agent: what stands behind the last dash.
    pub fn agent(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or_default()
    }

    /// Whose session it is: what stands between time and agent; may be empty.
    pub fn user(&self) -> &str {
        let rest = &self.0[TIME_LENGTH + 1..];
        rest.rsplit_once('-').map_or("", |(user, _)| user)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `text` in lower case, with one dash for each run of characters that are not kept, at most [`USER_MAX`] characters.
fn slug(text: &str, keep: &dyn Fn(char) -> bool) -> String {
    let mut out = String::new();
    for c in text.to_lowercase().chars() {
        if keep(c) {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= USER_MAX {
            break;
        }
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_tells_when_who_and_which_agent() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let check = |user: &str, agent: &str, expected: &str| {
            let name = Name::new(at("2026-03-12T09:09:59Z"), &zone, user, agent);
            assert_eq!(&*name, expected);
            assert_eq!(Name::parse(&name), Some(name.clone()));
            assert_eq!(name.began(&zone), Some(at("2026-03-12T09:09:00Z")));
        };
        check("dana", "OxTndR", "2026-03-12T11-09-dana-OxTndR");
        check("Dana O'Neil <d@x.org>", "OxTndR", "2026-03-12T11-09-dana-o-neil-d-x-org-OxTndR");
        check("", "", "2026-03-12T11-09-anonymous-unknown");
        check("../..", "../x", "2026-03-12T11-09-anonymous-x");
        let name = Name::parse("2026-03-12T11-09-dana-b-OxTndR").unwrap();
        assert_eq!((name.user(), name.agent()), ("dana-b", "OxTndR"));
    }

    #[test]
    fn sec_02_what_leads_elsewhere_is_no_name() {
        let long = format!("2026-03-12T11-09-{}", "a".repeat(65));
        for bad in [
            "",
            "..",
            "2026-03-12T11-09-",
            "2026-03-12T11-09-../../x",
            "2026-03-12T11-09-a/b",
            "2026-03-12T11-09-a\0b",
            "2026-03-12T11-09-a.b",
            "2026-13-12T11-09-a",
            "2026-03-12T25-09-a",
            "x2026-03-12T11-09-a",
            "2026-03-12 11-09-a",
            "raw",
            "2026-03-12T11-09é-a",
            &long,
        ] {
            assert_eq!(Name::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_user_the_name_is_one(user in "\\PC{0,80}", agent in "\\PC{0,40}") {
            let name = Name::new(at("2026-03-12T09:09:59Z"), &TimeZone::UTC, &user, &agent);
            prop_assert_eq!(Name::parse(&name), Some(name));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
            let _ = Name::parse(&text);
        }
    }
}
