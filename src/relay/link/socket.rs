//! The WebSocket itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use jiff::Timestamp;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::frames::{self, SUBPROTOCOL, Said};
use super::limits::{CONNECT, INBOUND};
use super::machine::{Dialect, Failure};
use super::upgrade::{Head, Upgraded, upgrade};
use crate::http::{Client, HttpError, Stream, retry_after};
use crate::kit::cancel::Cancel;
use crate::kit::contact::{self, Contact, End, Peer};
use crate::kit::secret::Secret;

/// Bytes that are read at once; messages of the server are small.
const READ: usize = 8 << 10;

/// An open WebSocket, which never blocks.
pub(super) struct Socket {
    ws: WebSocket<Stream>,
    /// Something that was written is not out yet.
    unsent: bool,
}

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    /// A message.
    Said(Said),
    /// A ping, a pong or the like.
    Sign,
    /// The end.
    End { code: Option<u16>, reason: String },
}

/// Connects, and chooses the dialect. The token goes out with it.
pub(super) fn connect(
    client: &Client,
    url: &str,
    token: &Secret,
    now: Timestamp,
    left: Duration,
    cancel: &Cancel,
) -> Result<(Socket, Dialect), Failure> {
    let told = format!("ws{}", url.strip_prefix("http").unwrap_or_default());
    let mut stream = client.open(url, left.min(CONNECT), cancel).map_err(|e| {
        if matches!(e, HttpError::Unreachable { .. } | HttpError::Timeout { .. }) {
            tell(client, &told, End::Failed("failed"));
        }
        Failure::Other(e.to_string())
    })?;
    // The library wants this scheme; what the connection is it does not ask.
    let bad = |_| Failure::Other("the server's address or the token cannot be sent".to_owned());
    let mut request = told.as_str().into_client_request().map_err(|e| Failure::Other(e.to_string()))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(bad)?;
    bearer.set_sensitive(true);
    let agent = HeaderValue::from_str(&client.user_agent()).map_err(bad)?;
    let headers = request.headers_mut();
    headers.insert("Authorization", bearer);
    headers.insert("User-Agent", agent);
    headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(INBOUND))
        .max_frame_size(Some(INBOUND));
    let upgraded = upgrade(&mut stream, request);
    let end = match &upgraded {
        Ok(Upgraded::Open(head, _) | Upgraded::Refused(head)) => End::Status(head.status),
        Err(_) => End::Failed("failed"),
    };
    tell(client, &told, end);
    let (head, tail) = match upgraded {
        Ok(Upgraded::Open(head, tail)) => (head, tail),
        Ok(Upgraded::Refused(head)) => return Err(failure(&head, now)),
        Err(e) => return Err(Failure::Other(text(&Error::Io(e)))),
    };
    let chosen = head.get("Sec-WebSocket-Protocol");
    let dialect = if chosen == Some(SUBPROTOCOL) { Dialect::Two } else { Dialect::One };
    let ws = WebSocket::from_partially_read(stream, tail, Role::Client, Some(config));
    let mut socket = Socket { ws, unsent: false };
    if dialect == Dialect::One {
        socket.write(Message::text(token.expose())).map_err(|e| Failure::Other(text(&e)))?;
    }
    socket.ws.get_mut().at_once();
    Ok((socket, dialect))
}

/// Tells of a contact, whatever came of it.
fn tell(client: &Client, url: &str, end: End) {
    if let Some(peer) = Peer::of_url(url) {
        contact::tell(Contact::new(client.purpose(), peer, end));
    }
}

fn failure(head: &Head, now: Timestamp) -> Failure {
    match head.status {
        status @ (401 | 403) => Failure::Refused(status),
        status @ (404 | 426) => Failure::Missing(status),
        status @ (429 | 503) => {
            let retry_after = head.get("Retry-After").and_then(|value| retry_after(value, now));
            Failure::Busy { status, retry_after }
        }
        status @ 300..=399 => Failure::Other(format!(
            "the server sends its clients elsewhere (HTTP {status}), which is not followed with a login"
        )),
        status => Failure::Other(format!("the server does not open a WebSocket (HTTP {status})")),
    }
}

/// What a failure is called; never what was sent.
fn text(e: &Error) -> String {
    match e {
        Error::Io(e) if e.kind() == io::ErrorKind::TimedOut => "the server did not answer in time".to_owned(),
        Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => "it ended without a word".to_owned(),
        Error::ConnectionClosed | Error::AlreadyClosed => "it is closed".to_owned(),
        e => e.to_string(),
    }
}

impl Socket {
    /// Sends a text.
    pub(super) fn say(&mut self, text: Vec<u8>) -> Result<(), String> {
        // Records are JSON, so this holds; what does not is the queue's fault and no reason to panic.
        let text = String::from_utf8(text).map_err(|_| "a record is no text".to_owned())?;
        self.write(Message::text(text)).map_err(|e| self::text(&e))
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) -> Result<(), String> {
        self.write(Message::Ping(Vec::new().into())).map_err(|e| text(&e))
    }

    /// Ends in order. What cannot be sent within the time given is not.
    pub(super) fn close(mut self, until: crate::kit::clock::Mono) {
        self.ws.get_mut().waits_until(until);
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        drop(self.ws.close(Some(frame)).and_then(|()| self.ws.flush()));
    }

    fn write(&mut self, message: Message) -> Result<(), Error> {
        match self.ws.write(message) {
            Ok(()) => self.flush(),
            Err(e) if is_not_yet(&e) => {
                self.unsent = true;
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Sends what is not out yet, as far as that goes.
    fn flush(&mut self) -> Result<(), Error> {
        match self.ws.flush() {
            Ok(()) => {
                self.unsent = false;
                Ok(())
            }
            Err(e) if is_not_yet(&e) => {
                self.unsent = true;
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Whether it waits for room to write.
    pub(super) fn is_full(&self) -> bool {
        self.unsent
    }

    /// What came, if anything did.
    pub(super) fn read(&mut self) -> Option<Came> {
        if self.unsent
            && let Err(e) = self.flush()
        {
            return Some(Came::End { code: None, reason: text(&e) });
        }
        let came = match self.ws.read() {
            Ok(Message::Text(said)) => Came::Said(frames::read(said.as_str())),
            Ok(Message::Binary(_)) => Came::Said(Said::Other),
            Ok(Message::Close(frame)) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.map_or_else(String::new, |frame| frame.reason.as_str().to_owned());
                let reason = if reason.is_empty() { "the server closed it".to_owned() } else { reason };
                Came::End { code, reason: crate::kit::text::plain(&reason, false).into_owned() }
            }
            Ok(_) => Came::Sign,
            Err(e) if is_not_yet(&e) => return None,
            Err(e) => Came::End { code: None, reason: text(&e) },
        };
        Some(came)
    }
}

fn is_not_yet(e: &Error) -> bool {
    matches!(e, Error::Io(e) if e.kind() == io::ErrorKind::WouldBlock)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ws.get_ref().as_fd()
    }
}
