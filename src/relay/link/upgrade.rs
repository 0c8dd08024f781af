//! The upgrade of a connection to a WebSocket (RFC 6455, section 4), by hand: the library takes no server for one that leaves the
//! subprotocol out, which here only means the first dialect.

use std::io::{self, Read, Write};

use tungstenite::handshake::client::{Request, generate_request};
use tungstenite::handshake::derive_accept_key;

use super::frames::SUBPROTOCOL;

/// Bytes of the answer's head; more is none.
const HEAD_MAX: usize = 16 << 10;

/// A server's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Upgraded {
    /// The connection is one; what came behind the head already.
    Open(Head, Vec<u8>),
    /// The server does not want it to be.
    Refused(Head),
}

impl Head {
    /// A header's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a header has this word in its list.
    fn has(&self, name: &str, word: &str) -> bool {
        let mut all = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        all.any(|(_, value)| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    }

    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (version, status) = (words.next()?, words.next()?.parse().ok()?);
        if version != "HTTP/1.1" {
            return None;
        }
        let pair = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.filter(|line| !line.is_empty()).map(pair).collect::<Option<_>>()?;
        Some(Head { status, headers })
    }
}

/// Asks for the upgrade and reads the answer.
///
/// # Errors
/// The connection's, or that what came is no answer to it.
pub(super) fn upgrade(stream: &mut (impl Read + Write), request: Request) -> io::Result<Upgraded> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (bytes, key) = generate_request(request).map_err(|_| bad("the request cannot be made"))?;
    stream.write_all(&bytes)?;
    stream.flush()?;
    let (mut got, mut piece) = (Vec::new(), [0; 4096]);
    let end = loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&piece[..n]);
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if got.len() > HEAD_MAX {
            return Err(bad("the head of its answer is too long"));
        }
    };
    let tail = got.split_off(end);
    let head = std::str::from_utf8(&got).ok().and_then(Head::parse);
    let head = head.ok_or_else(|| bad("what it answers is not HTTP"))?;
    if head.status != 101 {
        return Ok(Upgraded::Refused(head));
    }
    let accept = derive_accept_key(key.as_bytes());
    let fits = head.has("Upgrade", "websocket")
        && head.has("Connection", "Upgrade")
        && head.get("Sec-WebSocket-Accept") == Some(accept.as_str())
        && head.get("Sec-WebSocket-Extensions").is_none()
        && head.get("Sec-WebSocket-Protocol").is_none_or(|chosen| chosen == SUBPROTOCOL);
    if fits { Ok(Upgraded::Open(head, tail)) } else { Err(bad("what it answers opens no WebSocket")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers with what `answer` makes of the key.
    struct Peer<F: Fn(&str) -> String> {
        answer: F,
        out: Vec<u8>,
        back: Option<Vec<u8>>,
    }

    impl<F: Fn(&str) -> String> Write for Peer<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.out.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<F: Fn(&str) -> String> Read for Peer<F> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(&self.out).into_owned();
            let key = text.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap().to_owned();
            let back = self
                .back
                .get_or_insert_with(|| (self.answer)(&derive_accept_key(key.as_bytes())).into_bytes());
            let n = back.len().min(buffer.len()).min(3);
            buffer[..n].copy_from_slice(&back[..n]);
            back.drain(..n);
            Ok(n)
        }
    }

    fn ask(answer: impl Fn(&str) -> String) -> io::Result<Upgraded> {
        use tungstenite::client::IntoClientRequest as _;
        let request = "ws://h/x".into_client_request().unwrap();
        upgrade(&mut Peer { answer, out: Vec::new(), back: None }, request)
    }

    #[test]
    fn an_answer_is_taken_only_if_it_opens_the_socket_that_was_asked_for() {
        let open = |more: &str| {
            let more = more.to_owned();
            ask(move |accept| {
                format!(
                    "HTTP/1.1 101 X\r\nupgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"
                )
            })
        };
        assert!(matches!(open("").unwrap(), Upgraded::Open(..)));
        let Upgraded::Open(head, _) = open("Sec-WebSocket-Protocol: ox-relay.v2\r\n").unwrap() else {
            panic!()
        };
        assert_eq!(head.get("sec-websocket-protocol"), Some("ox-relay.v2"));
        open("Sec-WebSocket-Protocol: other\r\n").unwrap_err();
        open("Sec-WebSocket-Extensions: permessage-deflate\r\n").unwrap_err();
        open("broken\r\n").unwrap_err();
        let say = |text: &'static str| ask(move |_| text.to_owned());
        say("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
            .unwrap_err();
        say("HTTP/1.0 101 X\r\n\r\n").unwrap_err();
        say("hello\r\n\r\n").unwrap_err();
        say("HTTP/1.1 101 X\r\n").unwrap_err();
        let Upgraded::Refused(head) = say("HTTP/1.1 429 No\r\nRetry-After: 7\r\n\r\nmore").unwrap() else {
            panic!()
        };
        assert_eq!((head.status, head.get("retry-after")), (429, Some("7")));
    }
}
