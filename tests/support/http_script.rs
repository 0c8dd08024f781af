//! An HTTP server on loopback that answers each request with what it is told, bytes, silence or the end of the connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the server does after a request, in order.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this.
    Say(Vec<u8>),
    /// Says it again and again until the client hangs up.
    Repeat(Vec<u8>),
    /// The same with a pause before each time, which hardly anybody notices who waits for bytes.
    Every(Duration, Vec<u8>),
    /// Ends the connection in order.
    Close,
    /// Ends it with a reset.
    Reset,
    /// Says nothing until the server ends.
    Wait,
}

/// The server. Dropping it ends what waits.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

type Answer = dyn Fn(usize, &str) -> Vec<Act> + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Server {
    /// Starts one. `answer` gets the number of the request on its connection, from 0, and the request.
    pub fn start(answer: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
            ended: Mutex::new(false),
            changed: Condvar::new(),
        });
        let mine = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *mine.ended.lock().unwrap() {
                    return;
                }
                mine.connections.fetch_add(1, Ordering::SeqCst);
                let mine = mine.clone();
                std::thread::spawn(move || serve(&mine, &stream));
            }
        });
        Server { address, shared }
    }

    /// Its URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// All requests so far, heads and bodies.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap() = true;
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, stream: &TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    for n in 0.. {
        let Some(request) = read_request(&mut reader) else { return };
        shared.requests.lock().unwrap().push(request.clone());
        for act in (shared.answer)(n, &request) {
            match act {
                Act::Say(bytes) => out.write_all(&bytes).unwrap_or_default(),
                Act::Repeat(bytes) => while out.write_all(&bytes).is_ok() {},
                Act::Every(pause, bytes) => {
                    while !*shared.ended.lock().unwrap() && out.write_all(&bytes).is_ok() {
                        ox::kit::clock::pause(pause);
                    }
                }
                Act::Close => return stream.shutdown(Shutdown::Both).unwrap_or_default(),
                Act::Reset => {
                    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
                    return;
                }
                Act::Wait => {
                    let ended = shared.ended.lock().unwrap();
                    drop(shared.changed.wait_while(ended, |e| !*e).unwrap());
                    return;
                }
            }
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}

/// A whole answer.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Act {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    Act::Say([head.as_bytes(), body].concat())
}

/// An answer without anything special.
pub fn ok(body: &[u8]) -> Vec<Act> {
    vec![answer(200, "", body)]
}

/// These very words.
pub fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}
