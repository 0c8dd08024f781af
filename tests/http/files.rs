//! Files that are sent and received: whatever their size, as far as they come, and never by standing still.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ox::http::HttpError;
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::secret::Secret;

use crate::http::client;
use crate::support::http_script::{Act, Server, answer, ok, say};
use crate::support::temp;

const SOON: Duration = Duration::from_millis(100);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir_in(temp::place()).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("f")
    }

    fn with(bytes: &[u8]) -> (Place, File) {
        let place = Place::new();
        fs::write(place.path(), bytes).unwrap();
        let file = File::options().read(true).write(true).open(place.path()).unwrap();
        (place, file)
    }
}

#[test]
fn a_file_is_put_with_its_length_and_counted() {
    let server = Server::start(|_, _| ok(b"done"));
    let text = "content ".repeat(50_000);
    let (_place, file) = Place::with(text.as_bytes());
    let moved = Arc::new(AtomicU64::new(0));
    let size = text.len() as u64;
    let put = client().put(&server.url("/x"), file, size).counting(&moved).header("Content-Type", "a/b");
    let reply = put.secret_header("X-Ticket", Secret::new("T")).stall(SOON * 600).send().unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice(), moved.load(Ordering::Relaxed)),
        (200, &b"done"[..], size)
    );
    let request = &server.requests()[0];
    assert!(request.starts_with("PUT /x HTTP/1.1\r\n") && request.ends_with(&format!("\r\n\r\n{text}")));
    for line in [&*format!("content-length: {size}\r\n"), "content-type: a/b\r\n", "x-ticket: T\r\n"] {
        assert!(request.contains(line), "{line}");
    }
    assert!(!request.to_ascii_lowercase().contains("transfer-encoding"));
}

#[test]
fn a_file_that_is_shorter_than_was_said_is_a_failure_of_the_file() {
    let server = Server::start(|_, _| ok(b""));
    let (_place, file) = Place::with(b"short");
    let e = client().put(&server.url("/x"), file, 1000).send().unwrap_err();
    assert!(matches!(e, HttpError::File { what: "reading", .. }), "{e}");
    assert_eq!(e.class(), Class::Disk);
}

#[test]
fn a_server_that_takes_nothing_is_left() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (_place, file) = Place::with(b"");
    file.set_len(1 << 30).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let e = client().put(&url, file, 1 << 30).stall(SOON).send().unwrap_err();
    assert!(matches!(e, HttpError::Stalled { after, .. } if after == SOON), "{e}");
    assert_eq!(e.class(), Class::Network);
}

#[test]
fn a_server_that_says_nothing_is_left_and_one_that_says_little_is_not() {
    let silent = Server::start(|_, _| vec![Act::Wait]);
    let (_place, file) = Place::with(b"x");
    let e = client().put(&silent.url("/"), file, 1).stall(SOON).send().unwrap_err();
    assert!(matches!(e, HttpError::Stalled { after, .. } if after == SOON * 5), "{e}");
    let e = client().get(&silent.url("/")).stall(SOON).send().unwrap_err();
    assert!(matches!(e, HttpError::Stalled { after, .. } if after == SOON), "{e}");
    // A byte now and then is no stall; what ends it is the time for all of it.
    let slow = Server::start(|_, _| {
        vec![say("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), Act::Every(SOON / 20, b"x".to_vec())]
    });
    let (_place, file) = Place::with(b"");
    let get = client().get(&slow.url("/")).stall(SOON * 100).deadline(SOON * 5);
    let e = get.download(&file, 0, 99_999).unwrap_err();
    assert!(matches!(e, HttpError::Timeout { .. }), "{e}");
    assert!(file.metadata().unwrap().len() > 0, "what came stays");
}

#[test]
fn what_came_before_the_end_stays_and_the_rest_is_asked_for() {
    let server = Server::start(|_, request| {
        if request.contains("range: bytes=4-\r\n") {
            return vec![answer(206, "Content-Range: bytes 4-9/10\r\n", b"456789")];
        }
        vec![say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"), Act::Close]
    });
    let (place, file) = Place::with(b"");
    let get = || client().get(&server.url("/x"));
    assert_eq!(get().download(&file, 0, 10).unwrap_err().class(), Class::Network);
    assert_eq!(fs::read(place.path()).unwrap(), b"0123");
    let moved = Arc::new(AtomicU64::new(0));
    let reply = get().counting(&moved).download(&file, 4, 10).unwrap();
    assert_eq!((reply.status, reply.total_size(), moved.load(Ordering::Relaxed)), (206, Some(10), 6));
    assert_eq!(fs::read(place.path()).unwrap(), b"0123456789");
    assert!(server.requests()[1].contains("accept-encoding: identity\r\n"));
}

#[test]
fn all_of_it_replaces_what_is_there_and_other_answers_leave_it() {
    let server = Server::start(|_, request| match request.contains("/all") {
        true => ok(b"new"),
        false => vec![answer(404, "", b"nothing here")],
    });
    let (place, file) = Place::with(b"old and longer");
    let reply = client().get(&server.url("/gone")).download(&file, 3, 99).unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (404, &b"nothing here"[..]));
    assert_eq!(fs::read(place.path()).unwrap(), b"old and longer");
    client().get(&server.url("/all")).download(&file, 3, 99).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), b"new");
}

#[test]
fn more_than_is_wanted_and_another_part_are_refused() {
    type Expected = fn(&HttpError) -> bool;
    let cases: [(Vec<Act>, Expected); 4] = [
        (vec![answer(206, "Content-Range: bytes 0-3/4\r\n", b"0123")], |e| {
            matches!(e, HttpError::Malformed { .. })
        }),
        (vec![answer(206, "", b"0123")], |e| matches!(e, HttpError::Malformed { .. })),
        (vec![answer(200, "", &[0; 100])], |e| matches!(e, HttpError::TooLarge { cap: 9, .. })),
        (vec![say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"), Act::Repeat(vec![0; 1 << 16])], |e| {
            matches!(e, HttpError::TooLarge { cap: 9, .. })
        }),
    ];
    for (n, (acts, expected)) in cases.into_iter().enumerate() {
        let server = Server::start(move |_, _| acts.clone());
        let (_place, file) = Place::with(b"01");
        let e = client().get(&server.url("/")).download(&file, 2, 9).unwrap_err();
        assert!(expected(&e), "{n}: {e}");
        assert!(file.metadata().unwrap().len() <= 9, "{n}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_a_failure_of_the_file() {
    let server = Server::start(|_, _| ok(b"x"));
    let (place, _) = Place::with(b"");
    let read_only = File::open(place.path()).unwrap();
    let e = client().get(&server.url("/")).download(&read_only, 0, 9).unwrap_err();
    assert!(matches!(e, HttpError::File { what: "writing", .. }), "{e}");
}

#[test]
fn bare_redirects_go_elsewhere_with_nothing() {
    let there = Server::start(|_, _| ok(b"there"));
    let to = there.url("/b?sig=1");
    let here = Server::start(move |_, _| vec![answer(302, &format!("Location: {to}\r\n"), b"")]);
    let get = || client().get(&here.url("/a")).basic("u", &Secret::new("CANARY")).header("X-Own", "CANARY");
    assert_eq!(get().send().unwrap().status, 302);
    assert_eq!(get().bare_redirects().range(3, None).send().unwrap().body, b"there");
    let request = &there.requests()[0];
    assert!(request.starts_with("GET /b?sig=1 ") && !request.contains("CANARY"), "{request}");
    assert!(request.contains("range: bytes=3-\r\n") && request.contains("user-agent: ox/"), "{request}");
    assert!(!format!("{:?}", get().secret_header("A", Secret::new("CANARY"))).contains("CANARY"));
}

#[test]
fn a_look_reads_no_more_than_it_wants() {
    let server = Server::start(|_, _| {
        vec![say("HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"), Act::Repeat(vec![0; 1 << 16])]
    });
    let reply = client().get(&server.url("/")).range(0, Some(0)).cap(3).peek().unwrap();
    assert_eq!((reply.status, reply.body.len(), reply.total_size()), (200, 3, Some(5_000_000_000)));
}

/// A server that refuses a body by its size before it has come, and hangs up.
#[test]
fn a_server_that_is_asked_first_says_why_it_does_not_want_a_file() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        (&stream).write_all(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        head
    });
    let (_place, file) = Place::with(b"");
    file.set_len(1 << 30).unwrap();
    file.write_at(b"x", 0).unwrap();
    let reply = client().put(&url, file, 1 << 30).ask_first().send().unwrap();
    assert_eq!(reply.status, 413);
    assert!(serving.join().unwrap().iter().any(|line| line.eq_ignore_ascii_case("expect: 100-continue")));
}

#[test]
fn a_cancelled_put_sends_nothing_more() {
    let server = Server::start(|_, _| ok(b""));
    let (_place, file) = Place::with(b"hello");
    let cancel = Cancel::new();
    cancel.cancel();
    let e = client().put(&server.url("/"), file, 5).cancel(&cancel).send().unwrap_err();
    assert!(matches!(e, HttpError::Cancelled { .. }), "{e}");
    assert_eq!(server.requests(), Vec::<String>::new());
}
