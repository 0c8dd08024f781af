//! One request and its answer.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use jiff::Timestamp;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::{Agent, AsSendBody, Body};

use super::client::Client;
use super::error::{HttpError, is_hangup};
use super::limits::{BODY_CAP, DEADLINE, IDLE, REDIRECTS, RETRY_AFTER_MAX};
use super::target::Target;
use super::transport::watch;
use crate::kit::cancel::Cancel;
use crate::kit::clock::Mono;
use crate::kit::secret::Secret;

/// A request about to be sent. Without more it has 30 s and accepts 8 MiB.
#[must_use]
pub struct Request {
    client: Client,
    url: String,
    post: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    authorization: Option<Secret>,
    deadline: Duration,
    cap: usize,
    cancel: Option<Cancel>,
    repeatable: bool,
}

impl Request {
    pub(super) fn get(client: Client, url: &str) -> Request {
        Request {
            client,
            url: url.to_owned(),
            post: None,
            headers: Vec::new(),
            authorization: None,
            deadline: DEADLINE,
            cap: BODY_CAP,
            cancel: None,
            repeatable: true,
        }
    }

    pub(super) fn post(client: Client, url: &str, content_type: &str, body: Vec<u8>) -> Request {
        let request = Request { post: Some(body), repeatable: false, ..Request::get(client, url) };
        request.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Says who asks, by a token.
    pub fn bearer(self, token: &Secret) -> Request {
        let authorization = Some(Secret::new(format!("Bearer {}", token.expose())));
        Request { authorization, ..self }
    }

    /// Says who asks, by name and password.
    pub fn basic(self, user: &str, password: &Secret) -> Request {
        let login = Secret::new(format!("{user}:{}", password.expose()));
        let coded = Secret::new(base64::prelude::BASE64_STANDARD.encode(login.expose()));
        Request { authorization: Some(Secret::new(format!("Basic {}", coded.expose()))), ..self }
    }

    /// One more header; a later one of the same name wins. Not for secrets.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The time for all of it, body included.
    pub fn deadline(self, deadline: Duration) -> Request {
        Request { deadline, ..self }
    }

    /// The most bytes of a body that are accepted, after unpacking.
    pub fn cap(self, cap: usize) -> Request {
        Request { cap, ..self }
    }

    /// Ends the call when this is set.
    pub fn cancel(self, cancel: &Cancel) -> Request {
        Request { cancel: Some(cancel.clone()), ..self }
    }

    /// A POST that changes nothing: it may be sent again when a kept connection turns out to be dead. A GET always may.
    pub fn repeatable(self) -> Request {
        Request { repeatable: true, ..self }
    }

    /// Sends it and reads the whole answer. Any status is an answer. A GET follows up to 3 redirects on the same server.
    ///
    /// # Errors
    /// That there is no whole answer, and why.
    pub fn send(self) -> Result<Reply, HttpError> {
        let mut target = Target::parse(&self.url)?;
        let headers = self.headers()?;
        let start = self.client.shared.clock.now().mono;
        let mut followed = 0;
        loop {
            let reply = self.exchange(&target, &headers, start)?;
            let next = match reply.status {
                301 | 302 | 303 | 307 | 308 if self.post.is_none() && followed < REDIRECTS => {
                    reply.header(LOCATION.as_str()).and_then(|to| target.redirected(to))
                }
                _ => None,
            };
            match next {
                Some(next) => target = next,
                None => return Ok(reply),
            }
            followed += 1;
        }
    }

    fn headers(&self) -> Result<HeaderMap, HttpError> {
        let bad = |_| HttpError::BadRequest { why: "a header has characters that none may have" };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_str(&self.client.user_agent()).map_err(bad)?);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| HttpError::BadRequest { why: "a header's name is malformed" })?;
            headers.insert(name, HeaderValue::from_str(value).map_err(bad)?);
        }
        if let Some(secret) = &self.authorization {
            let mut value = HeaderValue::from_str(secret.expose()).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// One request and its answer. The far end may have closed a kept connection just now; then a new one is taken, once.
    fn exchange(&self, target: &Target, headers: &HeaderMap, start: Mono) -> Result<Reply, HttpError> {
        let (result, connected) = watch(self.cancel.as_ref(), || self.attempt(target, headers, start, IDLE));
        let result = match result {
            Err(e) if self.repeatable && !connected && is_hangup(&e) => {
                let again = || self.attempt(target, headers, start, Duration::ZERO);
                watch(self.cancel.as_ref(), again).0
            }
            other => other,
        };
        let result = result.map_err(|e| HttpError::of(e, &target.host, self.deadline)).and_then(|r| r);
        if matches!(result, Err(HttpError::Unreachable { .. } | HttpError::Timeout { .. })) {
            self.client.shared.names.forget(target.uri.host().unwrap_or_default());
        }
        result
    }

    /// Sends and reads, on a connection that has been idle for less than `idle`. The outer error is the connection's.
    fn attempt(
        &self,
        target: &Target,
        headers: &HeaderMap,
        start: Mono,
        idle: Duration,
    ) -> Result<Result<Reply, HttpError>, ureq::Error> {
        let spent = self.client.shared.clock.now().mono - start;
        let left = self.deadline.saturating_sub(spent);
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Ok(Err(HttpError::Cancelled { host: target.host.clone() }));
        }
        if left.is_zero() {
            return Err(ureq::Error::Timeout(ureq::Timeout::Global));
        }
        let agent = match self.client.agent(target) {
            Ok(agent) => agent,
            Err(e) => return Ok(Err(e)),
        };
        let response = match self.post.as_deref() {
            Some(bytes) => run(agent, http::Request::post(&target.uri).body(bytes)?, headers, left, idle),
            None => run(agent, http::Request::get(&target.uri).body(())?, headers, left, idle),
        }?;
        self.read(target, response)
    }

    fn read(
        &self,
        target: &Target,
        response: http::Response<Body>,
    ) -> Result<Result<Reply, HttpError>, ureq::Error> {
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        let most = u64::try_from(self.cap).unwrap_or(u64::MAX).saturating_add(1);
        if let Err(e) = body.into_reader().take(most).read_to_end(&mut bytes) {
            // The answer has begun: never again on another connection.
            let e = HttpError::of(ureq::Error::from(e), &target.host, self.deadline);
            return Ok(Err(e));
        }
        if bytes.len() > self.cap {
            return Ok(Err(HttpError::TooLarge { host: target.host.clone(), cap: self.cap }));
        }
        let reply =
            Reply { status: parts.status.as_u16(), url: target.url(), body: bytes, headers: parts.headers };
        Ok(Ok(reply))
    }
}

fn run<B: AsSendBody>(
    agent: &Agent,
    mut request: http::Request<B>,
    headers: &HeaderMap,
    left: Duration,
    idle: Duration,
) -> Result<http::Response<Body>, ureq::Error> {
    *request.headers_mut() = headers.clone();
    let request = agent.configure_request(request).timeout_global(Some(left)).max_idle_age(idle).build();
    agent.run(request)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.post.is_some() { "POST" } else { "GET" };
        let host = Target::parse(&self.url).map(|t| t.host).unwrap_or_default();
        f.debug_struct("Request").field("method", &method).field("host", &host).finish_non_exhaustive()
    }
}

/// A whole answer.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Where it came from, after redirects.
    pub url: String,
    /// The body, unpacked.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl Reply {
    /// A header's value; `None` if it is absent or not plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the server asks to wait (RFC 9110, 10.2.3: seconds, or a date), at most an hour.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(self.header(RETRY_AFTER.as_str())?, now)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.body.len();
        f.debug_struct("Reply").field("status", &self.status).field("bytes", &bytes).finish_non_exhaustive()
    }
}

fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large for the type is beyond the bound anyway.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        let check = |value: &str, expected: Option<u64>| {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("99999999999999999999999", Some(3600));
        check("Sun, 06 Nov 1994 08:51:37 GMT", Some(120));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 07:00:00 GMT", Some(0));
        check("Mon, 07 Nov 1994 08:49:37 GMT", Some(3600));
        check("-1", None);
        check("soon", None);
        check("", None);
    }

    proptest::proptest! {
        #[test]
        fn any_retry_after_is_bounded(value in "\\PC{0,40}") {
            let wait = retry_after(&value, Timestamp::UNIX_EPOCH);
            proptest::prop_assert!(wait.is_none_or(|w| w <= RETRY_AFTER_MAX));
        }
    }
}
