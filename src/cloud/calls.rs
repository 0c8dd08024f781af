//! Calls of a login: each with its own deadline, no redirect followed, no body shown but the words that a server means for people.

use std::time::Duration;

use serde_json::Value;

use crate::http::{Client, HttpError, Reply, Request};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock, Mono};
use crate::kit::contact::Purpose;
use crate::kit::mask::sanitise;

/// Bytes of an answer; more is an error.
const BODY_MAX: usize = 1 << 20;
/// A wait looks this often whether it was cancelled.
const SLICE: Duration = Duration::from_millis(250);

/// How long each call may take as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Asking for a code, asking whether it is confirmed, and what comes before and after.
    pub login: Duration,
    /// Asking for new tokens.
    pub refresh: Duration,
    /// Taking tokens back.
    pub logout: Duration,
}

/// Of a relay server (relay and hooks, A.1).
pub const RELAY_TIMEOUTS: Timeouts = Timeouts {
    login: Duration::from_secs(10),
    refresh: Duration::from_secs(10),
    logout: Duration::from_secs(3),
};

/// Of the vendor's API; no call there holds a thread for longer than half a minute.
pub const VENDOR_TIMEOUTS: Timeouts = Timeouts {
    login: Duration::from_secs(30),
    refresh: Duration::from_secs(30),
    logout: Duration::from_secs(10),
};

/// Why a call has no answer that can be used. Its text never holds a token.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No whole answer in time.
    #[error("{call}: {host} did not answer within {} s", limit.as_secs_f64().ceil())]
    TimedOut {
        /// Which call.
        call: &'static str,
        /// Host and port.
        host: String,
        /// Its limit.
        limit: Duration,
    },
    /// No answer for another reason.
    #[error("{call}: {source}")]
    Http {
        /// Which call.
        call: &'static str,
        /// Why.
        source: HttpError,
    },
    /// An answer that is no success.
    #[error("{call}: {host} answered with status {status}{}",
        detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    Status {
        /// Which call.
        call: &'static str,
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
        /// What it says to people, safe to show.
        detail: Option<String>,
        /// How long to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// A success that says nothing sensible, as where a network wants a login of its own first.
    #[error("{call}: the answer of {host} cannot be used: {reason}")]
    BadAnswer {
        /// Which call.
        call: &'static str,
        /// Host and port.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl CallError {
    /// The class, which decides on retry.
    pub fn class(&self) -> Class {
        match self {
            CallError::TimedOut { .. } | CallError::BadAnswer { .. } => Class::Network,
            CallError::Http { source, .. } => source.class(),
            CallError::Status { status, .. } => match status {
                401 | 403 => Class::Auth,
                429 => Class::Busy,
                500.. => Class::Network,
                _ => Class::Usage,
            },
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the caller's cancel flag ended it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, CallError::Http { source: HttpError::Cancelled { .. }, .. })
    }

    fn of(call: &'static str, source: HttpError) -> CallError {
        match source {
            HttpError::Timeout { host, after } => CallError::TimedOut { call, host, limit: after },
            source => CallError::Http { call, source },
        }
    }
}

/// What calls are made with.
#[derive(Clone, Copy)]
pub struct Calls<'a> {
    /// The client.
    pub http: &'a Client,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Lets time pass; in tests it moves the clock instead.
    pub pause: &'a dyn Fn(Duration),
    /// Ends a call or a wait when set.
    pub cancel: &'a Cancel,
    /// How long each call may take.
    pub timeouts: Timeouts,
}

impl Calls<'_> {
    /// Waits until `at`; false if it was cancelled before.
    pub fn wait_until(&self, at: Mono) -> bool {
        loop {
            if self.cancel.is_cancelled() {
                return false;
            }
            let left = at.since(self.clock.now().mono);
            if left.is_zero() {
                return true;
            }
            (self.pause)(left.min(SLICE));
        }
    }

    /// Sends a request, with what every call here has.
    pub(super) fn send(
        &self,
        call: &'static str,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, CallError> {
        let request = request.header("Accept", "application/json").no_redirects().cap(BODY_MAX);
        let request = request.meant_for(Purpose::Login);
        request.deadline(limit).cancel(self.cancel).send().map_err(|e| CallError::of(call, e))
    }

    /// A POST of a JSON document.
    pub(super) fn post(
        &self,
        call: &'static str,
        url: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Reply, CallError> {
        let request = self.client().post(url, "application/json", body.to_string().into_bytes());
        self.send(call, request, limit)
    }

    /// The client, as receipts of contacts have it.
    pub(super) fn client(&self) -> Client {
        self.http.meant_for(Purpose::Login)
    }

    /// The document of an answer that is a success.
    pub(super) fn document(&self, call: &'static str, reply: &Reply) -> Result<Value, CallError> {
        let host = host_of(reply);
        if !(200..300).contains(&reply.status) {
            return Err(CallError::Status {
                call,
                host,
                status: reply.status,
                detail: detail(&reply.body),
                retry_after: reply.retry_after(self.clock.now().wall),
            });
        }
        object(&reply.body).ok_or(CallError::BadAnswer { call, host, reason: "it is no JSON object" })
    }
}

/// The host that an answer came from.
pub(super) fn host_of(reply: &Reply) -> String {
    reply.url.split('/').nth(2).unwrap_or_default().to_owned()
}

/// The object that a body is.
pub(super) fn object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

/// What a server says to people about a failure, safe to show.
pub(super) fn detail(body: &[u8]) -> Option<String> {
    let value = object(body)?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let error = value.get("error").and_then(|e| e.get("message").and_then(Value::as_str));
    let found = text("error_description").or_else(|| text("detail")).or_else(|| text("message")).or(error);
    let found = found.or_else(|| text("error")).map(sanitise)?;
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_people_are_found_and_made_harmless() {
        let check =
            |body: &str, expected: Option<&str>| assert_eq!(detail(body.as_bytes()).as_deref(), expected);
        check(r#"{"error":"bad","error_description":"no such client"}"#, Some("no such client"));
        check(r#"{"detail":"gone"}"#, Some("gone"));
        check(r#"{"error":{"message":"broken"}}"#, Some("broken"));
        check(r#"{"error":"invalid_request"}"#, Some("invalid_request"));
        check("{\"detail\":\"a\\u001b[31mb\"}", Some("ab"));
        check("<html>", None);
        check("[]", None);
        check("{}", None);
    }
}
