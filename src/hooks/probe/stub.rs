//! A model server for one run of an agent program, on loopback: it has the program call one command that does nothing, and answers with a
//! word. It is what a run is shown instead of a model, so nothing is spent; what goes elsewhere by it is refused.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::speech::{self, Api, Item, Says, Tokens};
use crate::kit::thread;

/// Connections at a time; more are closed.
const CONNECTIONS_MAX: usize = 16;
/// A longer head of a request ends its connection, in bytes.
const HEAD_MAX: u64 = 64 << 10;
/// A longer body does, in bytes: a program sends what it knows, its tools and its system prompt.
const BODY_MAX: usize = 16 << 20;
/// Who says nothing for so long is cut off.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The command that is asked for: it does nothing.
pub const COMMAND: &str = "true";
/// What every answer is said to cost.
const TOKENS: Tokens = Tokens { input: 10, cached: 0, output: 5, reasoning: 0 };

/// What was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Answers.
    pub answers: u64,
    /// One of them was to call the command.
    pub called: bool,
    /// One of them came after the command had been run, and not refused.
    pub ran: bool,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    served: Mutex<Served>,
}

impl Stub {
    /// Starts it on a port that is free.
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> io::Result<Stub> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mine = Arc::clone(&shared);
        let thread = thread::spawn("stub", thread::STACK_SMALL, move || accept(&listener, &mine))?;
        Ok(Stub { address, shared, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub fn served(&self) -> Served {
        *self.shared.served.lock()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes who accepts; whoever reads is woken by the end of its connection.
        let woken = TcpStream::connect(self.address);
        if let (Some(thread), Ok(_)) = (self.thread.take(), woken) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut open: Vec<(JoinHandle<()>, TcpStream)> = Vec::new();
    for stream in listener.incoming().flatten() {
        if shared.ended.load(Ordering::Acquire) {
            break;
        }
        open.retain(|(thread, _)| !thread.is_finished());
        let Some(kept) = stream.try_clone().ok().filter(|_| open.len() < CONNECTIONS_MAX) else { continue };
        let mine = Arc::clone(shared);
        let serve = move || {
            let _ = serve(&mine, &stream);
            let _ = stream.shutdown(Shutdown::Both);
        };
        let thread = thread::spawn("stub-request", thread::STACK_LARGE, serve);
        open.extend(thread.ok().map(|thread| (thread, kept)));
    }
    for (thread, stream) in open {
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

/// Answers what comes on a connection until it ends.
fn serve(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    while let Some(request) = read(&mut reader)? {
        let (status, kind, body) = answer(shared, &request);
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        out.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            out.write_all(body.as_bytes())?;
        }
        if !request.is_ours() {
            break;
        }
    }
    Ok(())
}

/// A request.
#[derive(Debug, Default, PartialEq)]
struct Request {
    method: String,
    path: String,
    body: Value,
}

impl Request {
    /// It is for this server, and not to be handed on.
    fn is_ours(&self) -> bool {
        self.method != "CONNECT" && self.path.starts_with('/')
    }
}

/// The next request; none at the end, or where it is none.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(HEAD_MAX);
    let mut first = String::new();
    if head.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(usize::MAX);
        }
    }
    if length > BODY_MAX {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Request { method, path, body: serde_json::from_slice(&body).unwrap_or_default() }))
}

/// Status, type and body of the answer.
fn answer(shared: &Shared, request: &Request) -> (&'static str, &'static str, String) {
    const JSON: &str = "application/json";
    if !request.is_ours() {
        return ("403 Forbidden", "text/plain", "nothing is handed on\n".to_owned());
    }
    let (path, body) = (&request.path, &request.body);
    let document = |value: Value| ("200 OK", JSON, value.to_string());
    if path.ends_with("/count_tokens") || path.ends_with(":countTokens") {
        return document(json!({ "input_tokens": 10, "totalTokens": 10 }));
    }
    let Some(api) = Api::of(path).filter(|_| request.method == "POST") else {
        return document(json!({ "object": "list", "data": [], "models": [] }));
    };
    let mut served = shared.served.lock();
    served.answers += 1;
    let says = match (speech::is_turn(body), command(api, body)) {
        (false, _) => Says::Text(speech::aside(body)),
        (true, _) if api.items(body).iter().any(|item| matches!(item, Item::Result(_))) => {
            served.ran = !is_refused(api, body);
            Says::Text("ok".to_owned())
        }
        (true, None) => Says::Text("ok".to_owned()),
        (true, Some(call)) => {
            served.called = true;
            call
        }
    };
    let events = api.answer(served.answers, api.model(path, body), TOKENS, &says);
    match speech::is_streamed(path, body) {
        true => ("200 OK", "text/event-stream", speech::stream(&events)),
        false => document(events.into_iter().last().map(|(_, data)| data).unwrap_or_default()),
    }
}

/// Whether a program says that the command was not run, or that it failed: its user may allow no commands.
fn is_refused(api: Api, body: &Value) -> bool {
    let any = |list: &Value, is: &dyn Fn(&Value) -> bool| list.as_array().into_iter().flatten().any(is);
    match api {
        Api::Messages => any(&body["messages"], &|message| {
            any(&message["content"], &|part| part["type"] == "tool_result" && part["is_error"] == true)
        }),
        Api::Gemini => any(&body["contents"], &|content| {
            any(&content["parts"], &|part| !part["functionResponse"]["response"]["error"].is_null())
        }),
        Api::Responses | Api::Chat => false,
    }
}

/// The command by the tool that a request offers for it; none where it offers none that is known.
fn command(api: Api, body: &Value) -> Option<Says> {
    let offered = api.tools(body);
    let known = [
        ("Bash", json!({ "command": COMMAND, "description": "do nothing" })),
        ("bash", json!({ "command": COMMAND, "description": "do nothing" })),
        ("exec_command", json!({ "cmd": COMMAND })),
        ("shell_command", json!({ "command": COMMAND })),
        ("shell", json!({ "command": [COMMAND] })),
        ("run_shell_command", json!({ "command": COMMAND })),
    ];
    let (tool, input) = known.into_iter().find(|(tool, _)| offered.contains(tool))?;
    Some(Says::Call { tool: tool.to_owned(), input })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stub: &Stub, request: &str) -> String {
        let mut stream = TcpStream::connect(stub.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn post(path: &str, body: &Value) -> String {
        let body = body.to_string();
        format!("POST {path} HTTP/1.1\r\nHost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_turn_calls_one_command_and_then_ends() {
        let stub = Stub::start().unwrap();
        let mut body = json!({ "model": "m", "stream": true, "tools": [{ "name": "Read" }, { "name": "Bash" }],
            "messages": [{ "role": "user", "content": "hi" }] });
        let first = ask(&stub, &post("/v1/messages?beta=true", &body));
        assert!(first.contains("tool_use") && first.contains("\\\"command\\\":\\\"true\\\""), "{first}");
        assert_eq!(stub.served(), Served { answers: 1, called: true, ran: false });
        body["messages"] = json!([{ "role": "user", "content": [{ "type": "tool_result", "content": "" }] }]);
        let second = ask(&stub, &post("/v1/messages", &body));
        assert!(second.contains("end_turn") && !second.contains("tool_use"), "{second}");
        assert_eq!(stub.served(), Served { answers: 2, called: true, ran: true });
        body["messages"][0]["content"][0]["is_error"] = true.into();
        ask(&stub, &post("/v1/messages", &body));
        assert_eq!(stub.served(), Served { answers: 3, called: true, ran: false });
        // A tool that nobody knows is not called.
        body = json!({ "tools": [{ "name": "Other" }], "messages": [] });
        let other = ask(&stub, &post("/v1/messages", &body));
        assert!(other.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json"), "{other}");
    }

    #[test]
    fn nothing_is_handed_on_and_nothing_is_read_without_end() {
        let stub = Stub::start().unwrap();
        let refused = ask(&stub, "CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        let refused = ask(&stub, "GET http://api.example.com/ HTTP/1.1\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        assert_eq!(ask(&stub, &format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", u64::MAX)), "");
        assert_eq!(ask(&stub, "no request"), "");
        assert!(ask(&stub, "GET /v1/models HTTP/1.1\r\n\r\n").contains("\"data\":[]"));
        // Who keeps a connection open does not keep it from its end.
        let _held = TcpStream::connect(stub.address).unwrap();
        drop(stub);
    }
}
