//! A connection that is no request: to the server of a URL, through the proxy if there is one, TLS done.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::{Proxy, ProxyProtocol};

use super::client::Client;
use super::error::HttpError;
use super::limits::PROXY_HEAD;
use super::target::Target;
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock, Mono};
use crate::kit::secret::Secret;

/// A connection. While it has a deadline its calls wait, up to that; without one they answer at once, with
/// [`io::ErrorKind::WouldBlock`] where there is nothing to be read or no room for what is written.
pub struct Stream(Kind);

enum Kind {
    Plain(Tcp),
    Tls(Box<StreamOwned<ClientConnection, Tcp>>),
}

impl Client {
    /// Connects to the server of `url`, by TLS if that says so. The connection has `deadline` from now on for all that is done with it
    /// until [`Stream::at_once`].
    ///
    /// # Errors
    /// That there is no connection, and why.
    pub fn open(&self, url: &str, deadline: Duration, cancel: &Cancel) -> Result<Stream, HttpError> {
        let target = self.target(url)?;
        let clock = Arc::clone(&self.shared.clock);
        let until = clock.now().mono + deadline;
        let open = Open { client: self, target: &target, clock, until, deadline, cancel };
        let opened = open.run();
        if opened.is_err() {
            self.shared.names.forget(target.uri.host().unwrap_or_default());
        }
        opened
    }
}

/// A connection on its way.
struct Open<'a> {
    client: &'a Client,
    target: &'a Target,
    clock: Arc<dyn Clock>,
    until: Mono,
    deadline: Duration,
    cancel: &'a Cancel,
}

impl Open<'_> {
    fn run(&self) -> Result<Stream, HttpError> {
        let host = self.target.uri.host().unwrap_or_default();
        let port = self.target.uri.port_u16().unwrap_or(if self.target.tls { 443 } else { 80 });
        let proxy = self.client.proxy(self.target)?.filter(|proxy| !proxy.is_no_proxy(&self.target.uri));
        let tcp = match proxy {
            None => self.connect(host, port)?,
            Some(proxy) => {
                let mut tcp = self.connect(proxy.host(), proxy.port())?;
                self.ask(&mut tcp, proxy, host, port)?;
                tcp
            }
        };
        if !self.target.tls {
            return Ok(Stream(Kind::Plain(tcp)));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| HttpError::BadRequest {
            why: "the URL's host has no name that a certificate can have",
        })?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| self.tls(&e))?
            .with_root_certificates(self.client.trusted()?)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| self.tls(&e))?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| self.failed(&e))?;
        }
        Ok(Stream(Kind::Tls(Box::new(stream))))
    }

    fn left(&self) -> Duration {
        self.until.since(self.clock.now().mono)
    }

    fn tls(&self, e: &rustls::Error) -> HttpError {
        HttpError::Unreachable { host: self.target.host.clone(), reason: format!("TLS: {e}") }
    }

    fn failed(&self, e: &io::Error) -> HttpError {
        let host = self.target.host.clone();
        if self.cancel.is_cancelled() {
            return HttpError::Cancelled { host };
        }
        match e.kind() {
            io::ErrorKind::TimedOut => HttpError::Timeout { host, after: self.deadline },
            io::ErrorKind::UnexpectedEof => {
                HttpError::Unreachable { host, reason: "the connection ended at once".to_owned() }
            }
            io::ErrorKind::ConnectionRefused => {
                HttpError::Unreachable { host, reason: "connection refused".to_owned() }
            }
            _ => HttpError::Unreachable { host, reason: e.to_string() },
        }
    }

    /// The first address that takes a connection.
    fn connect(&self, host: &str, port: u16) -> Result<Tcp, HttpError> {
        let names = &self.client.shared.names;
        let found = names
            .find(&host.to_ascii_lowercase(), port, self.left(), Some(self.cancel))
            .map_err(|e| HttpError::of(e, &self.target.host, self.deadline))?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let many = u32::try_from(found.len()).unwrap_or(u32::MAX);
        for (n, address) in found.into_iter().enumerate() {
            // A dead address must not take the time of those behind it.
            let share = self.left() / (many - u32::try_from(n).unwrap_or(0)).max(1);
            match self.connect_to(address, self.clock.now().mono + share) {
                Ok(tcp) => return Ok(tcp),
                Err(e) if self.cancel.is_cancelled() => return Err(self.failed(&e)),
                Err(e) => last = e,
            }
        }
        Err(self.failed(&last))
    }

    fn connect_to(&self, address: SocketAddr, until: Mono) -> io::Result<Tcp> {
        let socket = TcpStream::from(mio::net::TcpStream::connect(address)?);
        let mut tcp =
            Tcp { socket, until: Some(until), clock: Arc::clone(&self.clock), cancel: self.cancel.clone() };
        tcp.wait(PollFlags::OUT)?;
        if let Some(e) = tcp.socket.take_error()? {
            return Err(e);
        }
        tcp.socket.set_nodelay(true)?;
        tcp.until = Some(self.until);
        Ok(tcp)
    }

    /// Asks a proxy for a connection (RFC 9110, 9.3.6).
    fn ask(&self, tcp: &mut Tcp, proxy: &Proxy, host: &str, port: u16) -> Result<(), HttpError> {
        if proxy.protocol() != ProxyProtocol::Http {
            return Err(HttpError::BadRequest {
                why: "the environment names a proxy that itself wants TLS, through which only requests can go",
            });
        }
        let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(user) = proxy.username() {
            let login = Secret::new(format!("{user}:{}", proxy.password().unwrap_or_default()));
            let coded = base64::prelude::BASE64_STANDARD.encode(login.expose());
            head += &format!("Proxy-Authorization: Basic {coded}\r\n");
        }
        head += "\r\n";
        tcp.write_all(head.as_bytes()).map_err(|e| self.failed(&e))?;
        let mut answer = Vec::new();
        // What follows the head is the server's, so not a byte more is taken.
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < PROXY_HEAD {
            let mut byte = [0];
            tcp.read_exact(&mut byte).map_err(|e| self.failed(&e))?;
            answer.extend(byte);
        }
        let status = answer.split(|b| *b == b' ').nth(1).unwrap_or_default();
        if status.len() == 3 && status.starts_with(b"2") {
            return Ok(());
        }
        // Its own words may repeat what it was sent.
        let reason = "the proxy refused to connect".to_owned();
        Err(HttpError::Unreachable { host: self.target.host.clone(), reason })
    }
}

impl Stream {
    /// From now on no call waits.
    pub fn at_once(&mut self) {
        self.tcp().until = None;
    }

    /// From now on calls wait up to then.
    pub fn waits_until(&mut self, until: Mono) {
        self.tcp().until = Some(until);
    }

    fn tcp(&mut self) -> &mut Tcp {
        match &mut self.0 {
            Kind::Plain(tcp) => tcp,
            Kind::Tls(stream) => &mut stream.sock,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Plain(tcp) => tcp.socket.as_fd(),
            Kind::Tls(stream) => stream.sock.socket.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(tcp) => tcp.read(buffer),
            Kind::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(tcp) => tcp.write(bytes),
            Kind::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(tcp) => tcp.flush(),
            Kind::Tls(stream) => stream.flush(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.0, Kind::Tls(_)) { "Stream over TLS" } else { "Stream" })
    }
}

/// The socket itself, which never blocks: whoever waits does so in `wait`.
struct Tcp {
    socket: TcpStream,
    until: Option<Mono>,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
}

impl Tcp {
    /// Waits until the socket is ready for one of `flags`, up to the deadline.
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let Some(until) = self.until else { return Err(io::ErrorKind::WouldBlock.into()) };
        let left = until.since(self.clock.now().mono);
        let cancelled = self.cancel.is_cancelled();
        if left.is_zero() || cancelled {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let stop = self.cancel.fd();
        let mut fds = vec![PollFd::new(&self.socket, flags)];
        fds.extend(stop.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        match poll(&mut fds, Some(&wait)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn again<T>(&self, flags: PollFlags, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match call() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait(flags)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.again(PollFlags::IN, || (&self.socket).read(buffer))
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.again(PollFlags::OUT, || (&self.socket).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
