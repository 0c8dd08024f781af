//! A login by a code that a person confirms elsewhere (RFC 8628), as a value: it is told what came of each request, and says what is next.
//!
//! Two dialects share it: that of relay servers (relay and hooks, A.2) and that of the vendor's API (cloud and github, 4.2).

use std::time::Duration;

use serde_json::Value;

use super::calls::{detail, object};
use crate::kit::backoff::Backoff;
use crate::kit::clock::Mono;
use crate::kit::mask::sanitise;
use crate::kit::secret::Secret;
use crate::project::is_token;

/// Between two questions, where the server does not say.
const INTERVAL: Duration = Duration::from_secs(5);
/// Whatever it says, no shorter ...
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// ... for the vendor's API no shorter than this ...
const INTERVAL_MIN_VENDOR: Duration = Duration::from_secs(5);
/// ... and no longer, until it asks to be asked less often.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// So much longer it is each time that it asks for that.
const SLOWER: Duration = Duration::from_secs(5);
/// How long a code is good, where the server does not say.
const LIFE: Duration = Duration::from_secs(900);
/// Whatever it says, no shorter ...
const LIFE_MIN: Duration = Duration::from_secs(30);
/// ... and no longer.
const LIFE_MAX: Duration = Duration::from_secs(3600);
/// How much longer is waited after a request without an answer that makes sense.
const HICCUP: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// How a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As a relay server.
    Relay,
    /// As the vendor's API.
    Vendor,
}

/// What came of asking whether the code is confirmed.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// The server answered.
    Reply {
        /// The status.
        status: u16,
        /// The body.
        body: &'a [u8],
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It did not, or what came is no whole answer.
    Nothing,
}

/// What is next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Wait until then, and ask [`Device::due`].
    Wait(Mono),
    /// Ask the server now.
    Poll,
    /// It is confirmed.
    Granted(Box<Grant>),
    /// It is over.
    Stop(Stop),
}

/// Why a login is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The person said no.
    Denied,
    /// Nobody said anything while the code was good.
    Expired,
    /// The server refuses it.
    Refused {
        /// With this status.
        status: u16,
        /// What it says to people.
        detail: Option<String>,
    },
    /// It is confirmed, and what comes with that cannot be used.
    BadAnswer(&'static str),
}

/// What a confirmed login gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// What a request is made with.
    pub access_token: Secret,
    /// What a new one is asked for with; empty if there is none.
    pub refresh_token: Secret,
    /// As that, of servers that have none.
    pub session_token: Secret,
    /// How long the access token is good, in seconds, as the server says it.
    pub expires_in: Option<Value>,
    /// `Bearer`, or what else the server says.
    pub token_type: String,
    /// What it may be used for.
    pub scope: String,
    /// The server's id of who logged in; empty where the server is asked for it later.
    pub user_id: String,
    /// Their address.
    pub email: String,
}

/// A login that waits to be confirmed.
#[derive(Clone, Debug)]
pub struct Device {
    dialect: Dialect,
    device_code: Secret,
    /// What the person types, safe to show.
    pub user_code: String,
    /// The page where they do, safe to show.
    pub url: String,
    /// The page with the code in it already, where the server has one.
    pub is_complete: bool,
    interval: Duration,
    first: Mono,
    deadline: Mono,
    hiccups: u32,
}

impl Device {
    /// Reads what the server gave when it was asked for a code.
    ///
    /// # Errors
    /// What is missing.
    pub fn begin(dialect: Dialect, now: Mono, answer: &Value) -> Result<Device, &'static str> {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let device_code = text("device_code").ok_or("it has no device_code")?;
        let complete = text("verification_uri_complete");
        let url = complete.or_else(|| text("verification_uri")).or_else(|| text("verification_url"));
        let url = sanitise(url.ok_or("it has no verification_uri")?);
        let user_code = sanitise(text("user_code").ok_or("it has no user_code")?);
        if user_code.is_empty() || url.is_empty() {
            return Err("nothing of its code can be shown");
        }
        let seconds = |key: &str| answer.get(key).and_then(Value::as_f64).filter(|s| *s > 0.0);
        let min = match dialect {
            Dialect::Relay => INTERVAL_MIN,
            Dialect::Vendor => INTERVAL_MIN_VENDOR,
        };
        let interval = seconds("interval").map_or(INTERVAL, |s| clamped(s, min, INTERVAL_MAX));
        let life = seconds("expires_in").map_or(LIFE, |s| clamped(s, LIFE_MIN, LIFE_MAX));
        Ok(Device {
            dialect,
            device_code: Secret::new(device_code),
            user_code,
            url,
            is_complete: complete.is_some(),
            interval,
            // However short its life is, it is asked for once.
            first: now + interval.min(life / 2),
            deadline: now + life,
            hiccups: 0,
        })
    }

    /// What the server knows it by.
    pub fn device_code(&self) -> &Secret {
        &self.device_code
    }

    /// When the server is asked for the first time.
    pub fn first(&self) -> Next {
        Next::Wait(self.first)
    }

    /// What is next when a wait is over.
    pub fn due(&self, now: Mono) -> Next {
        if now >= self.deadline { Next::Stop(Stop::Expired) } else { Next::Poll }
    }

    /// What is next after an answer.
    pub fn handle(&mut self, now: Mono, answer: Answer<'_>) -> Next {
        let Answer::Reply { status, body, retry_after } = answer else { return self.hiccup(now, None) };
        let document = object(body);
        match (status, document) {
            (200..=299, Some(document)) => match self.grant(&document) {
                Some(Ok(grant)) => Next::Granted(Box::new(grant)),
                Some(Err(reason)) => Next::Stop(Stop::BadAnswer(reason)),
                None => self.pending(now, None),
            },
            (429, _) => self.slower(now, retry_after),
            (400..=499, document) => {
                let error = document.as_ref().and_then(|d| d.get("error")).and_then(Value::as_str);
                match error {
                    Some("authorization_pending") => self.pending(now, None),
                    Some("slow_down") => self.slower(now, retry_after),
                    Some("access_denied") => Next::Stop(Stop::Denied),
                    Some("expired_token") => Next::Stop(Stop::Expired),
                    _ => Next::Stop(Stop::Refused { status, detail: detail(body) }),
                }
            }
            // A page instead of an answer, a redirect, a server that is down: none of it says anything about the login.
            _ => self.hiccup(now, retry_after),
        }
    }

    /// Not confirmed yet: that is an answer.
    fn pending(&mut self, now: Mono, at_least: Option<Duration>) -> Next {
        self.hiccups = 0;
        self.wait(now, self.interval.max(at_least.unwrap_or_default()))
    }

    /// From now on it is asked less often.
    fn slower(&mut self, now: Mono, retry_after: Option<Duration>) -> Next {
        self.interval = self.interval.saturating_add(SLOWER);
        self.pending(now, retry_after)
    }

    fn hiccup(&mut self, now: Mono, retry_after: Option<Duration>) -> Next {
        self.hiccups = self.hiccups.saturating_add(1);
        let wait = self.interval + HICCUP.delay(self.hiccups);
        self.wait(now, wait.max(retry_after.unwrap_or_default()))
    }

    fn wait(&self, now: Mono, wait: Duration) -> Next {
        Next::Wait((now + wait).min(self.deadline))
    }

    /// The tokens of an answer; `None` if there are none in it.
    fn grant(&self, answer: &Value) -> Option<Result<Grant, &'static str>> {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let access = text("access_token")?;
        let token = |key: &str| text(key).map_or_else(Secret::default, Secret::new);
        let (mut refresh_token, session_token) = (token("refresh_token"), token("session_token"));
        if refresh_token.is_empty() {
            refresh_token = session_token.clone();
        }
        let fits = |secret: &Secret| secret.is_empty() || is_token(secret.expose());
        if !is_token(access) || !fits(&refresh_token) || !fits(&session_token) {
            return Some(Err("its tokens are none"));
        }
        let mut grant = Grant {
            access_token: Secret::new(access),
            refresh_token,
            session_token,
            expires_in: answer.get("expires_in").cloned(),
            token_type: text("token_type").unwrap_or_default().to_owned(),
            scope: text("scope").unwrap_or_default().to_owned(),
            ..Grant::default()
        };
        if self.dialect == Dialect::Relay {
            let user = answer.get("user");
            let of_user = |key: &str| user.and_then(|u| u.get(key));
            // Some servers count their users.
            grant.user_id = match of_user("id") {
                Some(Value::String(id)) if !id.is_empty() => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => return Some(Err("it does not say who logged in")),
            };
            grant.email = of_user("email").and_then(Value::as_str).map(sanitise).unwrap_or_default();
        }
        Some(Ok(grant))
    }
}

/// Seconds as a server gave them, within bounds.
fn clamped(seconds: f64, min: Duration, max: Duration) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(max).clamp(min, max)
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
