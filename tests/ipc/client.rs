//! The client before servers that misbehave: bounded time, a typed error, and the next call works.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ox::ipc::client::{Client, ClientError, NO_PAYLOAD, Patience};
use ox::ipc::limits::LINE_MAX;
use ox::ipc::wire::Message;
use ox::kit::Class;

use super::peers::{HANG, PONG, dir, until};

type Fault = Arc<dyn Fn(UnixStream, usize) + Send + Sync>;

/// A server that treats its connections by `fault`, which is told their number, each on a thread of its own.
struct FaultServer {
    _dir: tempfile::TempDir,
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FaultServer {
    fn start(fault: impl Fn(UnixStream, usize) + Send + Sync + 'static) -> FaultServer {
        let dir = dir();
        let path = dir.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, fault): (_, Fault) = (stop.clone(), Arc::new(fault));
        let thread = std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (fault, stream) = (fault.clone(), stream.unwrap());
                std::thread::spawn(move || fault(stream, n));
            }
        });
        FaultServer { _dir: dir, path, stop, thread: Some(thread) }
    }

    fn client(&self) -> Client {
        Client::new(&self.path)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.path);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn take_request(stream: &mut UnixStream) {
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != b'\n' {}
}

/// Waits until the peer has gone away. One that waits for us for ever fails its test when the connection is closed in the end.
fn hold(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(HANG)).unwrap();
    let mut rest = [0; 256];
    while stream.read(&mut rest).is_ok_and(|n| n > 0) {}
}

/// Answers with these bytes, then keeps the connection open.
fn saying(bytes: impl Into<Vec<u8>>) -> impl Fn(UnixStream, usize) + Send + Sync {
    let bytes = bytes.into();
    move |mut stream, _| {
        take_request(&mut stream);
        let _ = stream.write_all(&bytes);
        hold(&mut stream);
    }
}

/// Answers with these bytes, then closes.
fn saying_and_closing(bytes: impl Into<Vec<u8>>) -> impl Fn(UnixStream, usize) + Send + Sync {
    let bytes = bytes.into();
    move |mut stream, _| {
        take_request(&mut stream);
        let _ = stream.write_all(&bytes);
    }
}

/// Answers a byte at a time.
fn dripping(
    bytes: impl IntoIterator<Item = u8> + Clone + Send + Sync,
) -> impl Fn(UnixStream, usize) + Send + Sync {
    move |mut stream, _| {
        take_request(&mut stream);
        for byte in bytes.clone() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            ox::kit::clock::pause(Duration::from_millis(2));
        }
    }
}

/// Every kind of call ends by itself before this server, with an error of this class, or with success for `None`.
fn check(
    fault: impl Fn(UnixStream, usize) + Send + Sync + 'static,
    timeout: Duration,
    expected: Option<Class>,
) {
    let server = FaultServer::start(fault);
    let client = server.client();
    for message in
        [Message::Ping, Message::Status, Message::Sync, Message::SyncHistory, Message::Stop, Message::Attach]
    {
        for patience in [Patience::Whole(timeout), Patience::Idle(timeout)] {
            let result = client.stream(message, NO_PAYLOAD, patience, |_| {});
            assert_eq!(
                result.as_ref().err().map(ClientError::class),
                expected,
                "{}: {result:?}",
                message.name()
            );
        }
    }
}

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn ipc_10_silent_servers_end_in_a_timeout() {
    check(|mut stream, _| hold(&mut stream), SHORT, Some(Class::Busy)); // reads, never answers
    let kept = Mutex::new(Vec::new());
    check(move |stream, _| kept.lock().unwrap().push(stream), SHORT, Some(Class::Busy)); // never reads
    check(saying("{\"success\":tr"), SHORT, Some(Class::Busy)); // half, then hangs
    check(saying("{\"success\":true}"), SHORT, Some(Class::Busy)); // all but the newline
    check(dripping(std::iter::repeat(b' ')), SHORT, Some(Class::Busy)); // a byte at a time, and never a line
}

#[test]
fn ipc_10_late_and_slow_but_in_time_is_fine() {
    check(dripping(PONG.bytes()), HANG, None);
    check(
        |mut stream, _| {
            ox::kit::clock::pause(Duration::from_millis(30)); // waits before it reads
            take_request(&mut stream);
            ox::kit::clock::pause(Duration::from_millis(30)); // and before it answers
            let _ = stream.write_all(b"{\"success\":true}\n");
        },
        HANG,
        None,
    );
    check(saying("{\"success\":true,\"data\":{\"a\":\"x\\ny\"}}\n"), HANG, None); // an escaped newline
    check(saying_and_closing("{\"success\":true}\n{\"success\":false,\"error\":\"second\"}\n"), HANG, None);
}

#[test]
fn ipc_10_closing_at_any_stage_is_an_error_at_once() {
    check(|stream, _| drop(stream), HANG, Some(Class::Network));
    check(saying_and_closing(""), HANG, Some(Class::Network));
    check(saying_and_closing("{\"success\":tr"), HANG, Some(Class::Network));
    check(saying_and_closing("{\"success\":true}"), HANG, Some(Class::Network)); // no newline
    check(
        saying_and_closing("{\"progress\":{\"stage\":\"a\"},\"success\":false}\n"),
        HANG,
        Some(Class::Network),
    );
    check(
        |mut stream, _| {
            take_request(&mut stream);
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _stream = stream;
                std::panic::resume_unwind(Box::new("a handler that panics"));
            }));
        },
        HANG,
        Some(Class::Network),
    );
}

#[test]
fn ipc_10_garbage_is_malformed() {
    for garbage in [
        &b"\n"[..],
        b"\x00\xff\xfe garbage\n",
        b"[]\n",
        b"null\n",
        b"{\"success\":tr\n",
        b"{\"success\":1}\n",
        b"{\"success\":true,\"error\":\"a\x01b\"}\n", // a raw control character
        b"{\"progress\":7,\"success\":false}\n",
    ] {
        check(saying(garbage), HANG, Some(Class::Damage));
    }
}

#[test]
fn ipc_10_an_answer_without_end_is_cut_off() {
    check(saying(vec![b'x'; 2 * LINE_MAX]), HANG, Some(Class::Damage));
    let mut endless = b"{\"success\":true,\"data\":\"".to_vec();
    endless.resize(LINE_MAX + 1, b'x');
    endless.extend_from_slice(b"\"}\n");
    check(saying(endless.clone()), HANG, Some(Class::Damage));
    endless.truncate(LINE_MAX - 3);
    endless.extend_from_slice(b"\"}\n");
    assert_eq!(endless.len(), LINE_MAX);
    check(saying(endless), HANG, None);
}

#[test]
fn ipc_10_progress_prolongs_an_idle_limit_and_not_a_whole_one() {
    let talk = |lines: usize, every: Duration| {
        FaultServer::start(move |mut stream: UnixStream, _| {
            take_request(&mut stream);
            for _ in 0..lines {
                ox::kit::clock::pause(every);
                let line = b"{\"progress\":{\"stage\":\"s\",\"message\":\"\"},\"success\":false}\n";
                if stream.write_all(line).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"{\"success\":true}\n");
        })
    };
    // All of it takes longer than the limit, and no step nearly as long, also where others need the processor.
    let (idle, server) = (Duration::from_secs(4), talk(12, Duration::from_millis(400)));
    let mut lines = 0;
    server.client().stream(Message::Sync, NO_PAYLOAD, Patience::Idle(idle), |_| lines += 1).unwrap();
    assert_eq!(lines, 12);
    let whole = Patience::Whole(Duration::from_millis(150));
    let server = talk(usize::MAX, Duration::from_millis(25));
    let error = server.client().stream(Message::Checkout, NO_PAYLOAD, whole, |_| {}).unwrap_err();
    assert!(matches!(error, ClientError::Timeout { message: "checkout", .. }), "{error}");
}

#[test]
fn ipc_10_every_third_connection_dropped_hits_only_that_call() {
    let server = FaultServer::start(|mut stream, n| {
        if n % 3 != 2 {
            take_request(&mut stream);
            let _ = stream.write_all(PONG.as_bytes());
        }
    });
    let results: Vec<bool> = (0..9).map(|_| server.client().ping(HANG).is_ok()).collect();
    assert_eq!(results, [true, true, false, true, true, false, true, true, false]);
}

#[test]
fn ipc_10_once_the_fault_is_gone_the_next_call_works() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    let server = FaultServer::start(move |mut stream, _| {
        if state.load(Ordering::Relaxed) {
            return hold(&mut stream);
        }
        take_request(&mut stream);
        let _ = stream.write_all(PONG.as_bytes());
    });
    assert!(server.client().ping(SHORT).is_err());
    broken.store(false, Ordering::Relaxed);
    server.client().ping(HANG).unwrap();
}

#[test]
fn ipc_10_a_fault_of_one_message_type_leaves_the_others() {
    let server = FaultServer::start(|mut stream, _| {
        let mut line = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        if !String::from_utf8_lossy(&line).contains("status") {
            let _ = stream.write_all(b"{\"success\":true}\n");
        } else {
            hold(&mut stream);
        }
    });
    assert!(matches!(
        server.client().call(Message::Status, NO_PAYLOAD, SHORT),
        Err(ClientError::Timeout { message: "status", .. })
    ));
    server.client().stop().unwrap();
}

#[test]
fn ipc_10_a_full_backlog_is_busy_and_does_not_hang() {
    let dir = dir();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..5000 {
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        if rustix::net::connect(&socket, &rustix::net::SocketAddrUnix::new(&path).unwrap()).is_err() {
            break;
        }
        waiting.push(socket);
    }
    let error = Client::new(&path).ping(SHORT).unwrap_err();
    assert!(matches!(error, ClientError::Busy { .. }), "{error}");
    assert!(Client::new(&path).one_way(Message::Telemetry, NO_PAYLOAD).is_err());
    drop(listener);
}

#[test]
fn ipc_10_absent_stale_and_forbidden_are_told_apart() {
    let dir = dir();
    let path = dir.path().join("s.sock");
    let check = |class: Class, text: &str| {
        let error = Client::new(&path).health().unwrap_err();
        assert_eq!((error.class(), error.to_string().as_str()), (class, text));
    };
    check(Class::Network, "daemon not running");
    drop(UnixListener::bind(&path).unwrap());
    // A child that another test forks just now has a copy of it until its exec.
    until(|| Client::new(&path).health().unwrap_err().class() == Class::Network);
    check(Class::Network, "daemon not running");
    let live = UnixListener::bind(dir.path().join("t.sock")).unwrap();
    std::fs::rename(dir.path().join("t.sock"), &path).unwrap();
    if !rustix::process::geteuid().is_root() {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        check(Class::Auth, &format!("no permission to connect to {}", path.display()));
    }
    drop(live);
    let long = Client::new(dir.path().join("x".repeat(200)));
    assert!(matches!(long.health(), Err(ClientError::Io { .. })));
}

#[test]
fn ipc_10_a_one_way_message_waits_for_nothing_whatever_the_server_does() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let server = FaultServer::start(move |mut stream, _| {
        take_request(&mut stream);
        count.fetch_add(1, Ordering::Relaxed);
        hold(&mut stream);
    });
    server.client().one_way(Message::Heartbeat, Some(&serde_json::json!({"agent_id": "Oxa7b3"}))).unwrap();
    until(|| taken.load(Ordering::Relaxed) == 1);
    assert!(matches!(
        server.client().one_way(Message::Murmur, Some(&"x".repeat(LINE_MAX))),
        Err(ClientError::TooLarge)
    ));
}

#[test]
fn ipc_client_refusals_keep_the_daemons_words() {
    let refuse = |text: &str| {
        let server = FaultServer::start(saying(format!("{{\"success\":false,\"error\":\"{text}\"}}\n")));
        server.client().sync(|_| {}).unwrap_err()
    };
    assert!(
        matches!(refuse("unknown message type"), ClientError::Remote(text) if text == "unknown message type")
    );
    let busy = refuse("busy: daemon");
    assert_eq!((busy.class(), busy.to_string().as_str()), (Class::Busy, "busy: daemon"));
}

#[test]
fn ipc_client_tries_again_before_it_does_without_the_daemon() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let server = FaultServer::start(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert!(!server.client().is_reachable());
    until(|| calls.load(Ordering::Relaxed) == 1);
    assert!(!server.client().is_usable());
    until(|| calls.load(Ordering::Relaxed) == 3);
    // Quick pings have 50 ms, which a busy machine may take for an answer.
    let server = FaultServer::start(|mut stream, n| {
        if n % 2 == 1 {
            take_request(&mut stream);
            let _ = stream.write_all(PONG.as_bytes());
        }
    });
    until(|| server.client().is_usable());
    let absent = Client::new(server.path.with_extension("absent"));
    assert!(!absent.is_reachable_with_retry(2, Duration::from_millis(1)));
}

#[test]
fn ipc_client_names_the_workspace_and_the_caller() {
    let server = FaultServer::start(|mut stream, _| {
        let mut line = String::new();
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != b'\n' {
            line.push(byte[0] as char);
        }
        let answer = serde_json::json!({"success": true, "data": line});
        let _ = stream.write_all(format!("{answer}\n").as_bytes());
    });
    let said: String =
        server.client().named("2adde374", "bb97ae4c").call_as(Message::Stop, NO_PAYLOAD, HANG).unwrap();
    assert_eq!(said, "{\"type\":\"stop\",\"workspace_id\":\"2adde374\",\"caller_id\":\"bb97ae4c\"}");
}
