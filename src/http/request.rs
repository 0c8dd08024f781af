//! One request and its answer.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use jiff::Timestamp;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, LOCATION, RANGE,
    RETRY_AFTER, USER_AGENT,
};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::{Agent, AsSendBody, Body, SendBody};

use super::client::Client;
use super::error::{HttpError, is_hangup};
use super::limits::{ANSWER_STALLS, BODY_CAP, DEADLINE, IDLE, PIECE, REDIRECTS, RETRY_AFTER_MAX};
use super::target::Target;
use super::transport::{Limits, Traffic, watch};
use crate::kit::cancel::Cancel;
use crate::kit::clock::Mono;
use crate::kit::contact::{self, Contact, End, Peer, Purpose};
use crate::kit::secret::Secret;

/// A request about to be sent. Without more it has 30 s and accepts 8 MiB.
#[must_use]
pub struct Request {
    client: Client,
    url: String,
    body: Payload,
    headers: Vec<(String, Secret)>,
    authorization: Option<Secret>,
    deadline: Duration,
    cap: usize,
    stall: Option<Duration>,
    range: Option<String>,
    bare: bool,
    stays: bool,
    moved: Option<Arc<AtomicU64>>,
    cancel: Option<Cancel>,
    repeatable: bool,
}

/// What a request brings.
enum Payload {
    None,
    Bytes(Vec<u8>),
    File(File, u64),
}

/// Where the body of an answer goes.
#[derive(Clone, Copy)]
enum Take<'f> {
    /// Into memory, up to the cap.
    All,
    /// Nowhere beyond the cap.
    Head,
    /// Into a file from a position on, so that it has no more than so many bytes.
    File { file: &'f File, from: u64, most: u64 },
}

impl Request {
    pub(super) fn get(client: Client, url: &str) -> Request {
        Request {
            client,
            url: url.to_owned(),
            body: Payload::None,
            headers: Vec::new(),
            authorization: None,
            deadline: DEADLINE,
            cap: BODY_CAP,
            stall: None,
            range: None,
            bare: false,
            stays: false,
            moved: None,
            cancel: None,
            repeatable: true,
        }
    }

    pub(super) fn post(client: Client, url: &str, content_type: &str, body: Vec<u8>) -> Request {
        let request = Request { body: Payload::Bytes(body), repeatable: false, ..Request::get(client, url) };
        request.header(CONTENT_TYPE.as_str(), content_type)
    }

    pub(super) fn put(client: Client, url: &str, file: File, size: u64) -> Request {
        // What it leads to is the same however often it is done.
        let request = Request { body: Payload::File(file, size), ..Request::get(client, url) };
        request.header(CONTENT_LENGTH.as_str(), &size.to_string())
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
    pub fn header(self, name: &str, value: &str) -> Request {
        self.secret_header(name, Secret::new(value))
    }

    /// One more header whose value nobody is to see; a later one of the same name wins.
    pub fn secret_header(mut self, name: &str, value: Secret) -> Request {
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Ends the call when not one byte has come or gone for so long; a server that has all of a file may work on it for
    /// [`ANSWER_STALLS`] times as long.
    pub fn stall(self, stall: Duration) -> Request {
        Request { stall: Some(stall), ..self }
    }

    /// Asks for the bytes from `from` on, `to` included if there is one. The answer need not heed it.
    pub fn range(self, from: u64, to: Option<u64>) -> Request {
        let to = to.map(|to| to.to_string()).unwrap_or_default();
        Request { range: Some(format!("bytes={from}-{to}")), ..self }
    }

    /// Follows a GET's redirects to other servers too, and takes none of the headers along on any.
    pub fn bare_redirects(self) -> Request {
        Request { bare: true, ..self }
    }

    /// Follows no redirect at all, not even on the same server: it is the answer.
    pub fn no_redirects(self) -> Request {
        Request { stays: true, ..self }
    }

    /// Sends the body only when the server has agreed to it, or has said nothing for a second.
    pub fn ask_first(self) -> Request {
        self.header(EXPECT.as_str(), "100-continue")
    }

    /// Adds the bytes of the file that are sent or received.
    pub fn counting(self, moved: &Arc<AtomicU64>) -> Request {
        Request { moved: Some(Arc::clone(moved)), ..self }
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

    /// What it is for, if that is something else than the client is meant for.
    pub fn meant_for(self, purpose: Purpose) -> Request {
        Request { client: self.client.meant_for(purpose), ..self }
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
        self.run(Take::All)
    }

    /// As [`Request::send`], but of the answer's body no more is read than the cap, and the rest is left.
    ///
    /// # Errors
    /// That there is no answer, and why.
    pub fn peek(self) -> Result<Reply, HttpError> {
        self.run(Take::Head)
    }

    /// As [`Request::send`] of a GET whose body goes into `file`, which has the first `from` bytes already: only those behind are asked for.
    /// An answer with all of it (200) replaces what is there. With any other status the file stays as it is, and the body is in the answer.
    /// What came before an error stays in the file, so that the next call may go on there.
    ///
    /// # Errors
    /// That there is no whole answer; [`HttpError::TooLarge`] if the file would have more than `most` bytes; [`HttpError::File`].
    pub fn download(self, file: &File, from: u64, most: u64) -> Result<Reply, HttpError> {
        // Compressed, a part of it would be another one.
        let request = self.header(ACCEPT_ENCODING.as_str(), "identity");
        let request = if from > 0 { request.range(from, None) } else { request };
        request.run(Take::File { file, from, most })
    }

    fn run(self, take: Take<'_>) -> Result<Reply, HttpError> {
        let mut target = self.client.target(&self.url)?;
        let mut headers = self.headers(false)?;
        let start = self.client.shared.clock.now().mono;
        let mut followed = 0;
        loop {
            let reply = self.exchange(&target, &headers, start, take)?;
            let may_follow = matches!(self.body, Payload::None) && !self.stays && followed < REDIRECTS;
            let to = reply.header(LOCATION.as_str()).filter(|_| may_follow);
            let next = match reply.status {
                301 | 302 | 303 | 307 | 308 if self.bare => to.and_then(|to| target.elsewhere(to)),
                301 | 302 | 303 | 307 | 308 => to.and_then(|to| target.redirected(to)),
                _ => None,
            };
            let Some(next) = next else { return Ok(reply) };
            target = next;
            if self.bare {
                headers = self.headers(true)?;
            }
            followed += 1;
        }
    }

    /// All headers; of a bare redirect only what says nothing of who asks.
    fn headers(&self, bare: bool) -> Result<HeaderMap, HttpError> {
        let bad = |_| HttpError::BadRequest { why: "a header has characters that none may have" };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_str(&self.client.user_agent()).map_err(bad)?);
        if let Some(range) = &self.range {
            headers.insert(RANGE, HeaderValue::from_str(range).map_err(bad)?);
        }
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| HttpError::BadRequest { why: "a header's name is malformed" })?;
            if bare && name != ACCEPT_ENCODING {
                continue;
            }
            let mut value = HeaderValue::from_str(value.expose()).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if bare {
            return Ok(headers);
        }
        if let Some(secret) = &self.authorization {
            let mut value = HeaderValue::from_str(secret.expose()).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// One request and its answer. The far end may have closed a kept connection just now; then a new one is taken, once.
    fn exchange(
        &self,
        target: &Target,
        headers: &HeaderMap,
        start: Mono,
        take: Take<'_>,
    ) -> Result<Reply, HttpError> {
        let within =
            |stall| if matches!(self.body, Payload::File(..)) { stall * ANSWER_STALLS } else { stall };
        let stall = self.stall.map(|stall| (stall, within(stall)));
        let limits = Limits { cancel: self.cancel.clone(), stall };
        let (result, mut traffic) = watch(&limits, || self.attempt(target, headers, start, IDLE, take));
        let result = match result {
            Err(e) if self.repeatable && !traffic.connected && is_hangup(&e) => {
                let again = || self.attempt(target, headers, start, Duration::ZERO, take);
                let (result, more) = watch(&limits, again);
                traffic = traffic.and(more);
                result
            }
            other => other,
        };
        let result = result.map_err(|e| HttpError::of(e, &target.host, self.deadline)).and_then(|r| r);
        self.tell(target, traffic, &result);
        if matches!(
            result,
            Err(HttpError::Unreachable { .. } | HttpError::Timeout { .. } | HttpError::Stalled { .. })
        ) {
            self.client.shared.names.forget(target.uri.host().unwrap_or_default());
        }
        result
    }

    /// Tells of an exchange, if there was one at all.
    fn tell(&self, target: &Target, traffic: Traffic, result: &Result<Reply, HttpError>) {
        let (end, was_tried) = match result {
            Ok(reply) => (End::Status(reply.status), true),
            Err(e) => {
                let was_tried = matches!(e, HttpError::Unreachable { .. } | HttpError::Timeout { .. });
                (End::Failed(e.word()), was_tried)
            }
        };
        if !(was_tried || traffic.connected || traffic.sent > 0) {
            return;
        }
        let Some(peer) = Peer::of_url(&target.url()) else { return };
        contact::tell(Contact {
            via: self.client.via(target),
            sent: Some(traffic.sent),
            received: Some(traffic.received),
            ..Contact::new(self.client.purpose(), peer, end)
        });
    }

    /// Sends and reads, on a connection that has been idle for less than `idle`. The outer error is the connection's.
    fn attempt(
        &self,
        target: &Target,
        headers: &HeaderMap,
        start: Mono,
        idle: Duration,
        take: Take<'_>,
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
        let response = match &self.body {
            Payload::Bytes(bytes) => {
                run(agent, http::Request::post(&target.uri).body(bytes.as_slice())?, headers, left, idle)
            }
            Payload::None => run(agent, http::Request::get(&target.uri).body(())?, headers, left, idle),
            Payload::File(file, size) => {
                let failed = RefCell::new(None);
                let mut reader = Outgoing { request: self, file, at: 0, size: *size, failed: &failed };
                let body = SendBody::from_reader(&mut reader);
                let put = http::Request::put(&target.uri).body(body)?;
                let sent = run(agent, put, headers, left, idle);
                if let Some(e) = failed.take() {
                    return Ok(Err(e));
                }
                sent
            }
        }?;
        match take {
            Take::File { file, from, most } if matches!(response.status().as_u16(), 200 | 206) => {
                Ok(self.write(target, response, file, from, most))
            }
            take => self.read(target, response, matches!(take, Take::Head)),
        }
    }

    /// Writes the body into the file.
    fn write(
        &self,
        target: &Target,
        response: http::Response<Body>,
        file: &File,
        from: u64,
        most: u64,
    ) -> Result<Reply, HttpError> {
        let (parts, body) = response.into_parts();
        let host = || target.host.clone();
        let too_large =
            || HttpError::TooLarge { host: host(), cap: usize::try_from(most).unwrap_or(usize::MAX) };
        let broken = |source| HttpError::File { what: "writing", source };
        let reply = Reply {
            status: parts.status.as_u16(),
            url: target.url(),
            body: Vec::new(),
            headers: parts.headers,
        };
        let mut at = from;
        if reply.status == 200 {
            at = 0;
            file.set_len(0).map_err(broken)?;
        } else if reply.content_range().map(|(start, _)| start) != Some(Some(from)) {
            return Err(HttpError::Malformed {
                host: host(),
                reason: "it sends another part than was asked for",
            });
        }
        if reply.number(CONTENT_LENGTH.as_str()).is_some_and(|length| at.saturating_add(length) > most) {
            return Err(too_large());
        }
        let mut body = body.into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let got = match body.read(&mut piece) {
                Ok(0) => return Ok(reply),
                Ok(got) => piece.get(..got).unwrap_or_default(),
                Err(e) => return Err(HttpError::of(ureq::Error::from(e), &target.host, self.deadline)),
            };
            if at.saturating_add(got.len() as u64) > most {
                return Err(too_large());
            }
            file.write_all_at(got, at).map_err(broken)?;
            at += got.len() as u64;
            self.count(got.len());
        }
    }

    fn count(&self, bytes: usize) {
        if let Some(moved) = &self.moved {
            moved.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn read(
        &self,
        target: &Target,
        response: http::Response<Body>,
        only_head: bool,
    ) -> Result<Result<Reply, HttpError>, ureq::Error> {
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        let most = u64::try_from(self.cap).unwrap_or(u64::MAX).saturating_add(u64::from(!only_head));
        if let Err(e) = body.into_reader().take(most).read_to_end(&mut bytes) {
            // The answer has begun: never again on another connection.
            let e = HttpError::of(ureq::Error::from(e), &target.host, self.deadline);
            return Ok(Err(e));
        }
        if only_head {
            bytes.truncate(self.cap);
        } else if bytes.len() > self.cap {
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

/// A file on its way out. What goes wrong with the file, or that the call was cancelled, is told beside: for the library it is an error like
/// the connection's.
struct Outgoing<'r> {
    request: &'r Request,
    file: &'r File,
    at: u64,
    size: u64,
    failed: &'r RefCell<Option<HttpError>>,
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fail = |e: HttpError| {
            self.failed.replace(Some(e));
            Err(io::Error::other("given up"))
        };
        if self.request.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            let host = self.request.client.target(&self.request.url).map(|t| t.host).unwrap_or_default();
            return fail(HttpError::Cancelled { host });
        }
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let got = match self.file.read_at(buffer.get_mut(..room).unwrap_or_default(), self.at) {
            Ok(0) if room > 0 => {
                return fail(HttpError::File {
                    what: "reading",
                    source: io::ErrorKind::UnexpectedEof.into(),
                });
            }
            Ok(got) => got,
            Err(source) => return fail(HttpError::File { what: "reading", source }),
        };
        self.at += got as u64;
        self.request.count(got);
        Ok(got)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.body {
            Payload::None => "GET",
            Payload::Bytes(_) => "POST",
            Payload::File(..) => "PUT",
        };
        let host = self.client.target(&self.url).map(|t| t.host).unwrap_or_default();
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

    /// How large the whole is of which this may be a part, if the server says so.
    pub fn total_size(&self) -> Option<u64> {
        match self.content_range() {
            Some((_, total)) => total,
            None => self.number(CONTENT_LENGTH.as_str()),
        }
    }

    /// The first byte of a part, and how many the whole has (RFC 9110, 14.4).
    fn content_range(&self) -> Option<(Option<u64>, Option<u64>)> {
        let (part, total) =
            self.header(CONTENT_RANGE.as_str())?.trim().strip_prefix("bytes ")?.split_once('/')?;
        let start = part.split_once('-').and_then(|(start, _)| start.parse().ok());
        Some((start, total.parse().ok()))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
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

/// What a `Retry-After` asks for.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
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
