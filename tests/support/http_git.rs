//! A smart-HTTP git server on loopback: real `git http-backend` behind a small HTTP/1.1 front of our own, which can be told to
//! misbehave while it runs.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ox::kit::cancel::Cancel;
use ox::kit::child::{self, Cmd};

use super::TestEnv;
use super::lfs::{self, Lfs};
use super::port::Port;

/// The longest request line or header, in bytes.
const LINE_MAX: u64 = 64 << 10;
/// The largest request body and answer, in bytes.
const BODY_MAX: usize = 256 << 20;
/// So many of the last requests are remembered.
const LOG_MAX: usize = 10_000;
/// So long the end of the body is drained before closing, so that the peer gets to read the answer.
const LINGER: Duration = Duration::from_millis(200);

/// How to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Read the request, then close without an answer.
    Drop,
    /// Read the request, then reset the connection.
    Reset,
    /// Read the request, then say nothing until the fault changes.
    Stall,
    /// Send half of the right answer, then close.
    Cut,
    /// Send half of the right answer, then say nothing until the fault changes.
    StallHalfway,
    /// Answer with this status and a line of text. 401 asks for a login.
    Status(u16),
    /// Answer 429 with `Retry-After` of so many seconds.
    RetryAfter(u32),
}

/// A request that was answered or sabotaged.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The `Git-Protocol` header.
    pub protocol: Option<String>,
    /// The `User-Agent` header.
    pub agent: Option<String>,
    /// Whether a login came with it.
    pub login: bool,
    /// Whether the body came compressed.
    pub gzip: bool,
    /// Whether the body came in chunks.
    pub chunked: bool,
    /// The number of the connection it came on, from 0: equal numbers are a kept connection.
    pub connection: usize,
    /// The status it was answered with; `None` if a fault left it without.
    pub status: Option<u16>,
    /// Bytes of the right answer's body.
    pub bytes: usize,
}

/// The server. Dropping it ends its threads, connections and children.
pub struct GitServer {
    root: PathBuf,
    port: Port,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

struct Shared {
    backend: Cmd,
    cancel: Cancel,
    connections: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    down: bool,
    fault: Option<Fault>,
    /// After so many more sabotaged requests the fault is over; `None` = never.
    fault_left: Option<usize>,
    /// So many requests come before the fault.
    good: usize,
    login: Option<String>,
    old: bool,
    moved: Option<(String, String)>,
    lfs: Option<Arc<Lfs>>,
    behind: Option<SocketAddr>,
    log: VecDeque<Request>,
    total: usize,
    open: Vec<Weak<TcpStream>>,
    threads: Vec<JoinHandle<()>>,
}

impl GitServer {
    /// Serves every bare repository below `root`, for reading and writing, to anybody.
    pub fn start(env: &TestEnv, root: &Path) -> GitServer {
        let exec = env.git(root, ["--exec-path"]);
        let mut backend = env.cmd(Path::new(&exec).join("git-http-backend")).stdout_cap(BODY_MAX);
        for (name, value) in [
            ("GIT_PROJECT_ROOT", root.to_str().unwrap()),
            ("GIT_HTTP_EXPORT_ALL", "1"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "http.receivepack"),
            ("GIT_CONFIG_VALUE_0", "true"),
            ("REMOTE_ADDR", "127.0.0.1"),
        ] {
            backend = backend.env(name, value);
        }
        let port = Port::refusing();
        let shared = Arc::new(Shared {
            backend,
            cancel: Cancel::new(),
            connections: AtomicUsize::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accept = Some(accept_on(port.listen(), &shared));
        GitServer { root: root.into(), port, shared, accept }
    }

    /// The URL of the repository `name` below the root.
    pub fn url(&self, name: &str) -> String {
        assert!(self.root.join(name).is_dir(), "there is no repository {name}");
        format!("http://{}/{name}", self.address())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on every request is treated like this; `None` = as it should be.
    pub fn fault(&self, fault: Option<Fault>) {
        self.set_fault(fault, None, 0);
    }

    /// The next `times` requests are treated like this.
    pub fn fault_times(&self, fault: Fault, times: usize) {
        self.set_fault(Some(fault), Some(times), 0);
    }

    /// After `good` more requests, one is treated like this.
    pub fn fault_after(&self, fault: Fault, good: usize) {
        self.set_fault(Some(fault), Some(1), good);
    }

    fn set_fault(&self, fault: Option<Fault>, times: Option<usize>, good: usize) {
        let mut state = self.shared.state();
        state.fault = fault;
        state.fault_left = times;
        state.good = good;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// From now on a request needs this name and password.
    pub fn require_login(&self, name: &str, password: &str) {
        let login = format!("Basic {}", base64(format!("{name}:{password}").as_bytes()));
        self.shared.state().login = Some(login);
    }

    /// From now on it knows only protocol 0, as old servers do.
    pub fn speak_only_v0(&self) {
        self.shared.state().old = true;
    }

    /// From now on there is a server of large files beside the repositories.
    pub fn with_lfs(&self) -> Arc<Lfs> {
        let lfs = Arc::new(Lfs::default());
        self.with_lfs_of(&lfs);
        lfs
    }

    /// The same, a given one.
    pub fn with_lfs_of(&self, lfs: &Arc<Lfs>) {
        self.shared.state().lfs = Some(Arc::clone(lfs));
    }

    /// From now on what is no repository's is asked of another server.
    pub fn with_behind(&self, address: SocketAddr) {
        self.shared.state().behind = Some(address);
    }

    /// From now on whoever asks for the repository `old` is sent to `new`.
    pub fn moved(&self, old: &str, new: &str) {
        self.shared.state().moved = Some((format!("/{old}/"), format!("/{new}/")));
    }

    /// How many requests came so far, sabotaged ones too.
    pub fn requests(&self) -> usize {
        self.shared.state().total
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The last requests, oldest first.
    pub fn log(&self) -> Vec<Request> {
        self.shared.state().log.iter().cloned().collect()
    }

    /// Closes the port and all connections: from now on connecting is refused.
    pub fn down(&mut self) {
        let mut state = self.shared.state();
        state.down = true;
        let open = std::mem::take(&mut state.open);
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.changed.notify_all();
        for stream in open.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accept) = self.accept.take() {
            // `accept` returns for a connection; that is what this one is for.
            let _ = TcpStream::connect(self.address());
            accept.join().unwrap();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }

    /// Listens again on the same port.
    pub fn up(&mut self) {
        assert!(self.accept.is_none(), "it is up");
        self.shared.state().down = false;
        self.accept = Some(accept_on(self.port.listen(), &self.shared));
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.down();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes the fault for one request.
    fn take_fault(&self) -> Option<Fault> {
        let mut state = self.state();
        if state.good > 0 {
            state.good -= 1;
            return None;
        }
        match state.fault_left {
            Some(0) => None,
            Some(n) => {
                state.fault_left = Some(n - 1);
                state.fault
            }
            None => state.fault,
        }
    }

    /// Waits until the fault is another one, or the server ends.
    fn wait_while(&self, fault: Fault) {
        let same = |s: &mut State| s.fault == Some(fault) && !s.down;
        drop(self.changed.wait_while(self.state(), same).unwrap());
    }

    fn record(&self, request: Request) {
        let mut state = self.state();
        state.total += 1;
        if state.log.len() == LOG_MAX {
            state.log.pop_front();
        }
        state.log.push_back(request);
    }
}

fn accept_on(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = shared.clone();
    spawn("git-http", move || {
        for stream in listener.incoming().flatten() {
            let mut state = shared.state();
            if state.down {
                return;
            }
            let number = shared.connections.fetch_add(1, Ordering::Relaxed);
            let stream = Arc::new(stream);
            state.open.retain(|s| s.strong_count() > 0);
            state.open.push(Arc::downgrade(&stream));
            state.threads.retain(|t| !t.is_finished());
            let mine = shared.clone();
            state.threads.push(spawn("git-http-conn", move || {
                // A client that goes away in the middle is everyday life.
                let _ = serve(&mine, &stream, number);
            }));
        }
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.into()).spawn(run).unwrap()
}

/// A request as read from the wire.
struct Wire {
    head: Request,
    authorization: Option<String>,
    content_type: String,
    content_encoding: String,
    headers: Vec<(String, String)>,
    target: String,
    body: Vec<u8>,
    close: bool,
}

/// An answer as the backend gave it.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn text(status: u16) -> Answer {
        let headers = vec![("Content-Type".into(), "text/plain".into())];
        Answer { status, headers, body: format!("fault {status}\n").into_bytes() }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    fn head(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, "Status").into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        out.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
        out
    }
}

/// Serves one connection until either side ends it.
fn serve(shared: &Shared, stream: &TcpStream, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut wire) = read_request(&mut reader, stream, connection)? {
        let fault = shared.take_fault();
        let to = new_address(shared, &wire).filter(|_| fault.is_none());
        let behind = shared.state().behind.filter(|_| is_large(&wire.head.path) && fault.is_none());
        if let Some(address) = behind {
            return hand_on(&wire, address, stream);
        }
        let large = if fault.is_none() { ask_lfs(shared, &wire) } else { None };
        if let Some(said) = large {
            let kept = say_lfs(shared, stream, &mut wire, said)?;
            if kept { continue } else { break }
        }
        let answer = match fault {
            None if to.is_some() => to.map(|to| Answer::text(301).with("Location", to)),
            Some(Fault::Drop | Fault::Reset | Fault::Stall) => None,
            Some(Fault::Status(401)) => Some(ask_for_login()),
            Some(Fault::Status(status)) => Some(Answer::text(status)),
            Some(Fault::RetryAfter(seconds)) => Some(Answer::text(429).with("Retry-After", seconds)),
            Some(Fault::Cut | Fault::StallHalfway) | None if allowed(shared, &wire) => {
                Some(backend(shared, &wire))
            }
            Some(Fault::Cut | Fault::StallHalfway) | None => Some(ask_for_login()),
        };
        wire.head.status = answer.as_ref().map(|a| a.status);
        wire.head.bytes = answer.as_ref().map_or(0, |a| a.body.len());
        shared.record(wire.head);
        let mut bytes = answer.as_ref().map(Answer::head).unwrap_or_default();
        let body = answer.map(|a| a.body).unwrap_or_default();
        let whole = matches!(fault, None | Some(Fault::Status(_) | Fault::RetryAfter(_)));
        bytes.extend(if whole { &body } else { &body[..body.len() / 2] });
        (&*stream).write_all(&bytes)?;
        if let Some(fault) = fault.filter(|_| !whole) {
            if matches!(fault, Fault::Stall | Fault::StallHalfway) {
                shared.wait_while(fault);
            }
            if fault == Fault::Reset {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
            }
            return Ok(());
        }
        if wire.close {
            break;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    io::copy(&mut reader, &mut io::sink())?;
    Ok(())
}

/// What the server of large files answers, if there is one and this is for it. What it hands out by itself needs no login.
fn ask_lfs(shared: &Shared, wire: &Wire) -> Option<lfs::Said> {
    let lfs = shared.state().lfs.clone()?;
    let needs_login = wire.head.path.contains("/info/lfs/");
    if needs_login && !allowed(shared, wire) {
        let headers = vec![("WWW-Authenticate".to_owned(), "Basic realm=\"git\"".to_owned())];
        return Some(lfs::Said { status: 401, headers, body: Vec::new(), end: lfs::End::Whole });
    }
    lfs.answer(&wire.head.method, &wire.head.path, &wire.headers, &wire.body)
}

/// Says it; whether the connection goes on.
fn say_lfs(shared: &Shared, stream: &TcpStream, wire: &mut Wire, said: lfs::Said) -> io::Result<bool> {
    let lfs::Said { status, headers, body, end } = said;
    wire.head.status = Some(status).filter(|_| end != lfs::End::Nothing);
    wire.head.bytes = body.len();
    shared.record(wire.head.clone());
    let answer = Answer { status, headers, body };
    let mut bytes = if end == lfs::End::Nothing { Vec::new() } else { answer.head() };
    bytes.extend(match end {
        lfs::End::Whole => &answer.body[..],
        lfs::End::Nothing => &[],
        lfs::End::Half | lfs::End::HalfAndSilence => &answer.body[..answer.body.len() / 2],
    });
    let mut out = stream;
    out.write_all(&bytes)?;
    if end == lfs::End::HalfAndSilence {
        drop(shared.changed.wait_while(shared.state(), |s| !s.down).unwrap());
    }
    Ok(end == lfs::End::Whole && !wire.close)
}

/// Whether a path is of large files and not of git's.
fn is_large(path: &str) -> bool {
    path.contains("/info/lfs/") || path.contains("/objects/storage/")
}

/// Has another server answer, and ends the connection.
fn hand_on(wire: &Wire, address: SocketAddr, mut stream: &TcpStream) -> io::Result<()> {
    let mut to = TcpStream::connect(address)?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        wire.head.method,
        wire.target,
        wire.body.len()
    );
    let own = ["connection", "content-length", "transfer-encoding", "expect"];
    for (name, value) in wire.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        head += &format!("{name}: {value}\r\n");
    }
    to.write_all(format!("{head}\r\n").as_bytes())?;
    to.write_all(&wire.body)?;
    io::copy(&mut to, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

/// Where a repository that has moved is now.
fn new_address(shared: &Shared, wire: &Wire) -> Option<String> {
    let state = shared.state();
    let (old, new) = state.moved.as_ref()?;
    let rest = wire.head.path.strip_prefix(old.as_str())?;
    let mark = if wire.head.query.is_empty() { "" } else { "?" };
    Some(format!("{new}{rest}{mark}{}", wire.head.query))
}

fn ask_for_login() -> Answer {
    Answer::text(401).with("WWW-Authenticate", "Basic realm=\"git\"")
}

fn allowed(shared: &Shared, wire: &Wire) -> bool {
    let state = shared.state();
    state.login.is_none() || state.login == wire.authorization
}

/// Reads the next request; `None` at the end of the connection.
fn read_request(
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    connection: usize,
) -> io::Result<Option<Wire>> {
    let line = read_line(reader)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    if header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let chunked = header("transfer-encoding").is_some_and(|e| e.eq_ignore_ascii_case("chunked"));
    let body = if chunked {
        read_chunks(reader)?
    } else {
        read_exactly(reader, header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0))?
    };
    let encoding = header("content-encoding").unwrap_or_default();
    let head = Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        protocol: header("git-protocol"),
        agent: header("user-agent"),
        login: header("authorization").is_some(),
        gzip: encoding == "gzip",
        chunked,
        connection,
        status: None,
        bytes: 0,
    };
    Ok(Some(Wire {
        head,
        authorization: header("authorization"),
        content_type: header("content-type").unwrap_or_default(),
        content_encoding: encoding,
        close: header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")),
        headers,
        target: target.into(),
        body,
    }))
}

/// One line without its end; empty at the end of the stream.
fn read_line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    let text = String::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}

fn read_exactly(reader: &mut BufReader<&TcpStream>, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut BufReader<&TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length =
            usize::from_str_radix(digits, 16).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        if body.len() + length > BODY_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        body.extend(read_exactly(reader, length)?);
        // The end of a chunk; after the last one the trailers, which end with an empty line.
        while !read_line(reader)?.is_empty() {}
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Hands the request to `git http-backend` as RFC 3875 says and takes its answer apart.
fn backend(shared: &Shared, wire: &Wire) -> Answer {
    let length = wire.body.len().to_string();
    let old = shared.state().old;
    let protocol = wire.head.protocol.as_deref().filter(|_| !old).unwrap_or_default();
    let mut cmd = shared.backend.clone().stdin_bytes(wire.body.clone());
    for (name, value) in [
        ("REQUEST_METHOD", wire.head.method.as_str()),
        ("PATH_INFO", &wire.head.path),
        ("QUERY_STRING", &wire.head.query),
        ("CONTENT_TYPE", &wire.content_type),
        ("CONTENT_LENGTH", &length),
        ("HTTP_CONTENT_ENCODING", &wire.content_encoding),
        ("REMOTE_USER", "tester"),
        ("GIT_PROTOCOL", protocol),
    ] {
        cmd = cmd.env(name, value);
    }
    let Ok(out) = child::run(cmd, &shared.cancel) else { return Answer::text(500) };
    let Some(end) = out.stdout.windows(4).position(|w| w == b"\r\n\r\n") else { return Answer::text(500) };
    let head = String::from_utf8_lossy(&out.stdout[..end]).into_owned();
    let mut answer = Answer { status: 200, headers: Vec::new(), body: out.stdout[end + 4..].to_vec() };
    for (name, value) in head.lines().filter_map(|l| l.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            answer.status = value.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(500);
        } else if !name.eq_ignore_ascii_case("content-length") {
            answer = answer.with(name, value);
        }
    }
    answer
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let six = word >> (18 - 6 * i) & 63;
            out.push(if i > group.len() { '=' } else { char::from(ALPHABET[six as usize]) });
        }
    }
    out
}
