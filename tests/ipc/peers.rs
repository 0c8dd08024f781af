//! A server in a directory of its own, and peers that write raw bytes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use ox::ipc::client::Client;
use ox::ipc::listen::bind;
use ox::ipc::wire::{Message, Served};
use ox::ipc::{Config, Inbound, ListenerId, ListenerSpec, Published, Server, ServerHandle};
use ox::kit::clock::{Clock, SystemClock};

pub const PROJECT: Served =
    Served::of(&[Message::Status, Message::Sync, Message::SyncHistory, Message::Stop]);
pub const HOST: Served = Served::of(&[Message::Stop, Message::Attach, Message::Projects]);

pub use crate::support::wait::{HANG, comes, until, until_or};

pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub path: PathBuf,
    pub handle: ServerHandle,
    pub inbox: Receiver<Inbound>,
    pub published: Arc<Published>,
    pub listener: ListenerId,
}

pub fn dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ox").tempdir().unwrap()
}

/// A server with one listener for workspace `ab405cfd`, and room for `inbox` requests.
pub fn server_with(served: Served, inbox: usize, clock: Arc<dyn Clock>) -> Fixture {
    let dir = dir();
    let path = dir.path().join("d/s.sock");
    let (tx, rx) = bounded::<Inbound>(inbox);
    let published = Arc::new(Published::new(clock.now().mono));
    let handle = Server::start(Config { clock }, tx).unwrap();
    let listener = handle.add_listener(spec(&path, served, &published));
    Fixture { dir, path, handle, inbox: rx, published, listener }
}

pub fn spec(path: &Path, served: Served, published: &Arc<Published>) -> ListenerSpec {
    let socket = bind(path, true).unwrap();
    ListenerSpec { socket, workspace_id: "ab405cfd".into(), served, published: published.clone() }
}

pub fn server() -> Fixture {
    server_with(PROJECT, 64, Arc::new(SystemClock))
}

impl Fixture {
    pub fn peer(&self) -> UnixStream {
        peer(&self.path)
    }

    pub fn client(&self) -> Client {
        Client::new(&self.path)
    }

    /// The next request for the core.
    pub fn asked(&self) -> Inbound {
        self.inbox.recv_timeout(HANG).expect("a request for the core")
    }

    /// The server still answers, and quickly.
    pub fn assert_alive(&self) {
        self.client().ping(HANG).expect("the server answers a ping");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        assert!(self.handle.close() || std::thread::panicking(), "the server ends in time");
        assert!(!self.path.exists() || std::thread::panicking(), "the socket is gone");
    }
}

pub fn peer(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

/// Reads one line, newline included; less at the end of the stream.
pub fn read_line(mut stream: &UnixStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!("no line: {e}"),
        }
        if byte[0] == b'\n' {
            break;
        }
    }
    String::from_utf8(line).unwrap()
}

/// Everything until the end of the stream.
pub fn read_all(mut stream: &UnixStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(e) if e.kind() != std::io::ErrorKind::ConnectionReset => panic!("no end: {e}"),
        _ => String::from_utf8(all).unwrap(),
    }
}

/// Writes a line, reads a line.
pub fn ask(mut stream: &UnixStream, line: &str) -> String {
    stream.write_all(line.as_bytes()).unwrap();
    stream.write_all(b"\n").unwrap();
    read_line(stream)
}

pub const PONG: &str = "{\"success\":true,\"data\":\"pong\"}\n";
pub const PING: &str = "{\"type\":\"ping\"}";
