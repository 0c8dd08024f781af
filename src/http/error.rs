//! What can go wrong with a request, classified and safe to show.

use std::io;
use std::time::Duration;

use super::limits::CONNECT;
use super::transport::{Cancelled, Stalled};
use crate::kit::Class;

const REFUSED: &str = "connection refused";
const UNKNOWN: &str = "the name is not known";
const TLS: &str = "TLS";

/// Why a request has no answer. Its text names the host and the reason, never a path, query, login or header.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or it ended before the answer did.
    #[error("{host}: {reason}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// No whole answer in time.
    #[error("{host} did not answer within {} s", after.as_secs_f64().ceil())]
    Timeout {
        /// Host and port.
        host: String,
        /// The deadline that was missed.
        after: Duration,
    },
    /// A transfer on which nothing moved any more.
    #[error("{host} neither took nor sent a byte for {} s", after.as_secs_f64().ceil())]
    Stalled {
        /// Host and port.
        host: String,
        /// For how long.
        after: Duration,
    },
    /// The file that is sent or written could not be read or written.
    #[error("{what} a file: {source}")]
    File {
        /// What was done with it.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// What came is not HTTP.
    #[error("{host} does not answer in HTTP: {reason}")]
    Malformed {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The body is larger than the call accepts.
    #[error("the answer of {host} is larger than {cap} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The call's cap, in bytes.
        cap: usize,
    },
    /// The caller's cancel flag ended the call.
    #[error("the request to {host} was cancelled")]
    Cancelled {
        /// Host and port.
        host: String,
    },
    /// A request that must not be sent or cannot be.
    #[error("bad request: {why}")]
    BadRequest {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl HttpError {
    /// The class, which decides on retry.
    pub fn class(&self) -> Class {
        match self {
            HttpError::Unreachable { .. }
            | HttpError::Timeout { .. }
            | HttpError::Stalled { .. }
            | HttpError::Malformed { .. } => Class::Network,
            HttpError::File { source, .. } => Class::of_io(source),
            HttpError::TooLarge { .. } => Class::Usage,
            HttpError::Cancelled { .. } => Class::Busy,
            HttpError::BadRequest { .. } => Class::Bug,
        }
    }

    /// In a word or two, without the host.
    pub fn word(&self) -> &'static str {
        match self {
            HttpError::Unreachable { reason, .. } if reason == REFUSED => "refused",
            HttpError::Unreachable { reason, .. } if reason == UNKNOWN => "unknown host",
            HttpError::Unreachable { reason, .. } if reason.starts_with(TLS) => "tls",
            HttpError::Unreachable { .. } => "unreachable",
            HttpError::Timeout { .. } => "timeout",
            HttpError::Stalled { .. } => "stalled",
            HttpError::File { .. } => "file",
            HttpError::Malformed { .. } => "not http",
            HttpError::TooLarge { .. } => "too large",
            HttpError::Cancelled { .. } => "cancelled",
            HttpError::BadRequest { .. } => "bad request",
        }
    }

    /// What the library's error means for a call to `host` that had `deadline`.
    pub(super) fn of(error: ureq::Error, host: &str, deadline: Duration) -> HttpError {
        use ureq::Error as E;
        let host = host.to_owned();
        let unreachable = |reason: String| HttpError::Unreachable { host: host.clone(), reason };
        match error {
            E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                HttpError::Timeout { host, after: CONNECT.min(deadline) }
            }
            E::Timeout(_) => HttpError::Timeout { host, after: deadline },
            E::Io(e) => unreachable(reason_of(&e)),
            E::HostNotFound => unreachable(UNKNOWN.to_owned()),
            E::ConnectionFailed => unreachable("no connection".to_owned()),
            E::Tls(e) => unreachable(format!("{TLS}: {e}")),
            E::Rustls(e) => unreachable(format!("{TLS}: {e}")),
            // The proxy's own words may repeat what it was sent.
            E::ConnectProxyFailed(_) => unreachable("the proxy refused to connect".to_owned()),
            E::LargeResponseHeader(..) => HttpError::Malformed { host, reason: "its head is too large" },
            E::Protocol(_) | E::BodyStalled => HttpError::Malformed { host, reason: "broken framing" },
            E::Decompress(..) => HttpError::Malformed { host, reason: "broken compression" },
            E::Other(e) if e.is::<Cancelled>() => HttpError::Cancelled { host },
            E::Other(e) if e.is::<Stalled>() => {
                HttpError::Stalled { host, after: e.downcast_ref::<Stalled>().map_or(deadline, |s| s.0) }
            }
            E::Other(_) => unreachable("no connection".to_owned()),
            E::BadUri(_) | E::Http(_) => HttpError::BadRequest { why: "the URL or a header is malformed" },
            E::InvalidProxyUrl => HttpError::BadRequest { why: "the proxy's URL is malformed" },
            _ => HttpError::BadRequest { why: "the request cannot be sent" },
        }
    }
}

/// Whether a connection ended in a way that an idle one does which the far end closed meanwhile.
pub(super) fn is_hangup(error: &ureq::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error, ureq::Error::Io(e) if matches!(
        e.kind(),
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected
    ))
}

fn reason_of(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => "the connection ended before the answer did".to_owned(),
        io::ErrorKind::ConnectionRefused => REFUSED.to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => e.to_string(),
    }
}
