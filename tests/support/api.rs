//! A server of the vendor's API on loopback that answers from a script and can misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// The longest request line or header, in bytes.
const LINE_MAX: u64 = 64 << 10;
/// So many of the last requests are remembered.
const LOG_MAX: usize = 10_000;

/// What a path is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stall,
    Cut,
}

impl Answer {
    /// 200 with this document.
    pub fn json(value: Value) -> Answer {
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Answer { status: 200, headers, body: value.to_string().into_bytes(), fault: None }
    }

    /// 200 with these bytes.
    pub fn bytes(body: impl Into<Vec<u8>>) -> Answer {
        Answer { body: body.into(), ..Answer::json(Value::Null) }
    }

    /// This status, with a body that must not be seen anywhere.
    pub fn status(status: u16) -> Answer {
        Answer { status, ..Answer::json(json!({ "error": "canary-body" })) }
    }

    /// One more header.
    pub fn with(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Nothing is said until [`ApiServer::release`].
    pub fn stalled(self) -> Answer {
        Answer { fault: Some(Fault::Stall), ..self }
    }

    /// Half of it is sent, then the connection ends.
    pub fn cut(self) -> Answer {
        Answer { fault: Some(Fault::Cut), ..self }
    }

    fn head(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        out.into_bytes()
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// `GET` or another.
    pub method: String,
    /// The path.
    pub path: String,
    /// Whether it brought any token, and whether that was the right one.
    pub bearer: bool,
    /// See above.
    pub authorized: bool,
    /// What it brought.
    pub body: String,
    /// The `User-Agent` header.
    pub agent: String,
    /// The number of its connection, from 0: equal numbers are a kept connection.
    pub connection: usize,
}

/// The server. Dropping it ends its threads and connections.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bearer: String,
    answers: BTreeMap<String, Answer>,
    once: BTreeMap<String, VecDeque<Answer>>,
    released: bool,
    down: bool,
    log: VecDeque<ApiRequest>,
    open: Vec<Weak<TcpStream>>,
    threads: Vec<JoinHandle<()>>,
    connections: usize,
}

/// The path of the credentials and teams.
pub const REPOS: &str = "/api/v1/cli/repos";

/// The path of a repository's details.
pub fn detail_path(repo_id: &str) -> String {
    format!("{REPOS}/{repo_id}")
}

/// The path of a repository's ledger.
pub fn ledger_path(repo_id: &str) -> String {
    format!("/api/v1/repos/{repo_id}/ledger-status")
}

impl ApiServer {
    /// A server that knows nothing yet: it answers 404, and 401 to who does not bring this token.
    pub fn start(bearer: &str) -> ApiServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.state().bearer = format!("Bearer {bearer}");
        let mine = shared.clone();
        let accept = Some(spawn("api", move || accept_on(&listener, &mine)));
        ApiServer { address, shared, accept }
    }

    /// The base URL, as an endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on the path is answered so.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.state().answers.insert(path.into(), answer);
    }

    /// The next request of the path is answered so, before anything else.
    pub fn answer_once(&self, path: &str, answer: Answer) {
        self.shared.state().once.entry(path.into()).or_default().push_back(answer);
    }

    /// Another token is the right one from now on.
    pub fn require(&self, bearer: &str) {
        self.shared.state().bearer = format!("Bearer {bearer}");
    }

    /// Lets stalled answers go, and all later ones.
    pub fn release(&self) {
        self.shared.state().released = true;
        self.shared.changed.notify_all();
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.shared.state().log.iter().cloned().collect()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.down = true;
        let (open, threads) = (std::mem::take(&mut state.open), std::mem::take(&mut state.threads));
        drop(state);
        self.shared.changed.notify_all();
        for stream in open.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // `accept` returns for a connection; that is what this one is for.
        let _ = TcpStream::connect(self.address);
        for thread in self.accept.take().into_iter().chain(threads) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn choose(&self, request: &ApiRequest) -> Answer {
        let mut state = self.state();
        if state.log.len() == LOG_MAX {
            state.log.pop_front();
        }
        state.log.push_back(request.clone());
        if let Some(answer) = state.once.get_mut(&request.path).and_then(VecDeque::pop_front) {
            return answer;
        }
        if !request.authorized {
            return Answer::status(401);
        }
        state.answers.get(&request.path).cloned().unwrap_or_else(|| Answer::status(404))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.into()).spawn(run).unwrap()
}

fn accept_on(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        let mut state = shared.state();
        if state.down {
            return;
        }
        let (number, stream) = (state.connections, Arc::new(stream));
        state.connections += 1;
        state.open.push(Arc::downgrade(&stream));
        let mine = shared.clone();
        state.threads.push(spawn("api-conn", move || {
            // A client that goes away in the middle is everyday life.
            let _ = serve(&mine, &stream, number);
        }));
    }
}

/// Serves one connection until either side ends it.
fn serve(shared: &Shared, mut stream: &TcpStream, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read_request(&mut reader, shared)? {
        request.connection = connection;
        let answer = shared.choose(&request);
        if answer.fault == Some(Fault::Stall) {
            let stalled = |s: &mut State| !s.released && !s.down;
            drop(shared.changed.wait_while(shared.state(), stalled).unwrap());
        }
        let cut = answer.fault == Some(Fault::Cut);
        let body = if cut { &answer.body[..answer.body.len() / 2] } else { &answer.body[..] };
        stream.write_all(&[&answer.head(), body].concat())?;
        if cut {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// Reads the next request; `None` at the end of the connection.
fn read_request(reader: &mut BufReader<&TcpStream>, shared: &Shared) -> io::Result<Option<ApiRequest>> {
    let line = read_line(reader)?;
    let mut words = line.split(' ').map(str::to_string);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = read_line(reader)?.split_once(':') {
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let token = headers.get("authorization");
    Ok(Some(ApiRequest {
        method,
        path,
        bearer: token.is_some(),
        authorized: token == Some(&shared.state().bearer),
        body: String::from_utf8_lossy(&body).into_owned(),
        agent: headers.get("user-agent").cloned().unwrap_or_default(),
        connection: 0,
    }))
}

/// One line without its end; empty at the end of the stream.
fn read_line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    let text = String::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}
