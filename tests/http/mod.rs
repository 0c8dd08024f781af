//! The HTTP client against a server that does what it is told: real sockets, kept connections, and every way to misbehave.

mod files;
mod told;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::support::http_script::{Act, Server, answer, ok, say};
use crate::support::port::Port;
use crate::support::{HANG, until};
use ox::http::{Client, HttpError, limits};
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::secret::Secret;

/// A server that is silent for so long has been given every chance, also on a machine that is busy with other tests.
const SILENT: Duration = Duration::from_secs(2);

fn client() -> Client {
    Client::new(Arc::new(SystemClock))
}

// ---- kept connections ----

#[test]
fn fifty_requests_take_one_connection() {
    let server = Server::start(|n, _| ok(format!("{n}").as_bytes()));
    let client = client();
    for n in 0..50 {
        let reply = match n % 2 {
            0 => client.get(&server.url("/")).send(),
            // A clone shares the connections, whoever it speaks for.
            _ => client.for_daemon().post(&server.url("/"), "text/plain", b"hello".to_vec()).send(),
        };
        assert_eq!(reply.unwrap().body, n.to_string().as_bytes());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn at_most_four_idle_connections_are_kept_to_a_host() {
    let both = Arc::new(Barrier::new(6));
    let server = Server::start(move |_, _| {
        both.wait();
        ok(b"")
    });
    let client = client();
    let round = || {
        std::thread::scope(|s| {
            for _ in 0..6 {
                s.spawn(|| client.get(&server.url("/")).send().unwrap());
            }
        });
    };
    round();
    assert_eq!(server.connections(), 6);
    round();
    assert_eq!(server.connections(), 6 + 2);
}

#[test]
fn a_kept_connection_that_has_died_is_replaced_where_that_is_safe() {
    for end in [Act::Close, Act::Reset] {
        let last = end.clone();
        let server = Server::start(move |n, _| if n == 0 { ok(b"ok") } else { vec![last.clone()] });
        let client = client();
        let get = || client.get(&server.url("/")).send();
        let post = || client.post(&server.url("/"), "text/plain", b"x".to_vec());
        get().unwrap();
        // The kept connection is alive until the request is sent on it.
        get().unwrap();
        assert_eq!((server.connections(), server.requests().len()), (2, 3), "{end:?}");
        post().repeatable().send().unwrap();
        assert_eq!((server.connections(), server.requests().len()), (3, 5), "{end:?}");
        let e = post().send().unwrap_err();
        assert_eq!(e.class(), Class::Network);
        assert_eq!((server.connections(), server.requests().len()), (3, 6), "a POST is sent once");
    }
}

#[test]
fn a_new_connection_that_ends_is_not_tried_again() {
    for end in [Act::Close, Act::Reset] {
        let last = end.clone();
        let server = Server::start(move |_, _| vec![last.clone()]);
        let e = client().get(&server.url("/")).send().unwrap_err();
        assert!(matches!(e, HttpError::Unreachable { .. }), "{end:?}: {e}");
        assert_eq!(server.requests().len(), 1, "{end:?}");
    }
}

// ---- what is sent ----

#[test]
fn a_request_says_who_asks() {
    let server = Server::start(|_, _| ok(b""));
    let client = client();
    client.get(&server.url("/a?b=c")).header("X-Own", "1").send().unwrap();
    client.for_daemon().get(&server.url("/")).bearer(&Secret::new("TOKEN")).send().unwrap();
    let post = client.post(&server.url("/"), "application/json", b"{}".to_vec());
    post.basic("Aladdin", &Secret::new("open sesame")).send().unwrap();
    let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let agent = format!("{} ({os}; {processor})\r\n", env!("CARGO_PKG_VERSION"));
    let has = |n: usize, line: &str| {
        let request = &server.requests()[n];
        assert!(request.to_ascii_lowercase().contains(&line.to_ascii_lowercase()), "{line} in {request}");
    };
    has(0, "GET /a?b=c HTTP/1.1\r\n");
    has(0, &format!("user-agent: ox/{agent}"));
    has(0, "x-own: 1\r\n");
    has(0, "accept-encoding: gzip");
    has(1, &format!("user-agent: ox-daemon/{agent}"));
    has(1, "authorization: Bearer TOKEN\r\n");
    has(2, "content-type: application/json\r\n");
    // The example of RFC 7617.
    has(2, "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");
    assert!(server.requests()[2].ends_with("\r\n\r\n{}"));
}

#[test]
fn a_cookie_is_not_kept() {
    let server = Server::start(|_, _| vec![answer(200, "Set-Cookie: a=b\r\n", b"")]);
    let client = client();
    client.get(&server.url("/")).send().unwrap();
    client.get(&server.url("/")).send().unwrap();
    assert!(!server.requests()[1].to_ascii_lowercase().contains("cookie"));
}

// ---- answers ----

#[test]
fn every_status_is_an_answer() {
    let server = Server::start(|_, request| {
        let status = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        vec![answer(status, "Retry-After: 7\r\n", b"why")]
    });
    let client = client();
    for status in [200, 201, 304, 400, 401, 403, 404, 418, 429, 500, 503] {
        let reply = client.get(&server.url(&format!("/{status}"))).send().unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("retry-after"), Some("7"));
        assert_eq!(reply.retry_after(jiff::Timestamp::UNIX_EPOCH), Some(Duration::from_secs(7)));
    }
}

/// One request, answered like this, fails like that.
#[track_caller]
fn check_fails(acts: Vec<Act>, expected: fn(&HttpError) -> bool) {
    check_fails_within(HANG, acts, expected);
}

#[track_caller]
fn check_fails_within(deadline: Duration, acts: Vec<Act>, expected: fn(&HttpError) -> bool) {
    let what = format!("{acts:?}").chars().take(200).collect::<String>();
    let server = Server::start(move |_, _| acts.clone());
    let request = client().get(&server.url("/x?token=CANARY")).cap(1000);
    let e = request.bearer(&Secret::new("CANARY")).deadline(deadline).send().unwrap_err();
    assert!(expected(&e), "{what}: {e:?}");
    assert_eq!(server.requests().len(), 1, "{what}");
    let text = format!("{e} {e:?}");
    assert!(!text.contains("CANARY"), "{text}");
    assert!(text.contains(&server.address.to_string()), "{text}");
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let network = |e: &HttpError| e.class() == Class::Network;
    let unreachable = |e: &HttpError| matches!(e, HttpError::Unreachable { .. });
    let timeout = |e: &HttpError| matches!(e, HttpError::Timeout { .. });
    let too_large = |e: &HttpError| matches!(e, HttpError::TooLarge { cap: 1000, .. });
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    // Broken off.
    check_fails(vec![say("HTTP/1.1 200 OK\r\nConte"), Act::Close], network);
    check_fails(vec![say(half), Act::Close], unreachable);
    check_fails(vec![say(half), Act::Reset], unreachable);
    check_fails(vec![say(chunk), Act::Close], network);
    // Silent.
    std::thread::scope(|s| {
        for said in ["", "HTTP/1.1 200 OK\r\n", half, chunk] {
            s.spawn(move || check_fails_within(SILENT, vec![say(said), Act::Wait], timeout));
        }
    });
    // Too much.
    check_fails(ok(&[b'x'; 1001]), too_large);
    check_fails(vec![say(chunk), Act::Repeat(b"4\r\nmore\r\n".to_vec())], too_large);
    let endless = say("HTTP/1.1 200 OK\r\nX: ");
    check_fails(vec![endless, Act::Repeat(vec![b'x'; 4096])], network);
    // Not HTTP.
    check_fails(vec![say("SSH-2.0-OpenSSH_9.9\r\n"), Act::Close], network);
    check_fails(
        vec![say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")],
        network,
    );
}

#[test]
fn the_cap_counts_what_is_unpacked() {
    // 100 KiB of zero bytes, packed.
    let packed = gzip(&[0; 100 << 10]);
    assert!(packed.len() < 1000);
    let server = Server::start(move |_, _| vec![answer(200, "Content-Encoding: gzip\r\n", &packed)]);
    let client = client();
    assert_eq!(client.get(&server.url("/")).send().unwrap().body.len(), 100 << 10);
    let e = client.get(&server.url("/")).cap(1000).send().unwrap_err();
    assert!(matches!(e, HttpError::TooLarge { .. }), "{e}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn a_body_of_just_the_cap_is_read_and_the_connection_kept() {
    let server = Server::start(|_, _| ok(&[b'x'; 1000]));
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.get(&server.url("/")).cap(1000).send().unwrap().body.len(), 1000);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_cancel_ends_a_call_that_waits() {
    for acts in [vec![Act::Wait], vec![say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Act::Wait]] {
        let server = Server::start(move |_, _| acts.clone());
        let (client, cancel) = (client(), Cancel::new());
        let result = std::thread::scope(|s| {
            let call = s.spawn(|| client.get(&server.url("/")).deadline(HANG).cancel(&cancel).send());
            until(|| server.requests().len() == 1);
            cancel.cancel();
            call.join().unwrap()
        });
        assert!(matches!(result, Err(HttpError::Cancelled { .. })), "{result:?}");
        // Once cancelled, nothing is sent any more.
        assert!(client.get(&server.url("/")).cancel(&cancel).send().is_err());
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn an_empty_port_is_unreachable() {
    let port = Port::refusing();
    let e = client().get(&format!("http://{}/x?CANARY", port.address())).send().unwrap_err();
    assert_eq!(e.class(), Class::Network);
    assert_eq!(e.to_string(), format!("{}: connection refused", port.address()));
}

#[test]
fn tls_is_not_spoken_with_what_has_none() {
    let server = Server::start(|_, _| ok(b""));
    let url = format!("https://{}/", server.address);
    let e = client().get(&url).deadline(HANG).send().unwrap_err();
    assert_eq!(e.class(), Class::Network, "{e}");
}

// ---- redirects ----

/// Redirects `/n` to `/n-1` and answers at `/0`.
fn chain(status: u16) -> Server {
    Server::start(move |_, request| {
        let n: usize = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        match n {
            0 => ok(b"end"),
            n => vec![answer(status, &format!("Location: /{}\r\n", n - 1), b"")],
        }
    })
}

#[test]
fn a_get_follows_three_redirects_on_its_server() {
    for status in [301, 302, 303, 307, 308] {
        let server = chain(status);
        let get = |path: &str| client().get(&server.url(path)).bearer(&Secret::new("T")).send().unwrap();
        let reply = get("/3");
        assert_eq!((reply.status, reply.url), (200, server.url("/0")));
        assert!(server.requests().iter().all(|r| r.contains("Bearer T")));
        let reply = get("/4");
        assert_eq!((reply.status, reply.header("Location")), (status, Some("/0")));
        let post = client().post(&server.url("/1"), "text/plain", b"x".to_vec()).send().unwrap();
        assert_eq!(post.status, status, "a POST is not redirected");
    }
}

#[test]
fn no_redirect_leads_to_another_server() {
    let other = Server::start(|_, _| ok(b""));
    for to in [other.url("/"), other.url("/").replace("http:", "https:"), format!("//{}/", other.address)] {
        let line = format!("Location: {to}\r\n");
        let server = Server::start(move |_, _| vec![answer(302, &line, b"")]);
        let reply = client().get(&server.url("/")).bearer(&Secret::new("T")).send().unwrap();
        assert_eq!((reply.status, reply.header("location")), (302, Some(to.as_str())));
    }
    assert_eq!(other.connections(), 0);
}

// ---- what is never sent ----

#[test]
fn sec_06_what_must_not_be_sent_is_not_and_no_error_shows_a_secret() {
    let check = |url: &str| {
        let e = client().get(url).send().unwrap_err();
        assert_eq!(e.class(), Class::Bug, "{url}");
        let text = format!("{e} {e:?}");
        assert!(!text.contains("CANARY"), "{text}");
        assert!(!client().accepts(url), "{url}");
    };
    check("http://example.org/");
    check("https://user:CANARY@example.org/");
    check("ftp://example.org/");
    check("https:///x?CANARY");
    check("https://h/\nCANARY");
    check(&format!("https://h/CANARY{}", "x".repeat(limits::URL_CAP)));
    let server = Server::start(|_, _| ok(b"CANARY"));
    let secret = Secret::new("CANARY\r\nX: y");
    let request = client().get(&server.url("/?CANARY")).bearer(&secret).header("X", "CANARY");
    assert!(!format!("{request:?}").contains("CANARY"));
    let e = request.send().unwrap_err();
    assert!(!format!("{e} {e:?}").contains("CANARY"));
    assert!(client().get(&server.url("/")).header("X", "a\nb").send().is_err());
    assert_eq!(server.connections(), 0);
    let reply = client().get(&server.url("/?CANARY")).send().unwrap();
    assert!(!format!("{reply:?}").contains("CANARY"));
}

// ---- proxies: this test binary again, with another environment ----

#[test]
fn role() {
    let Ok(url) = std::env::var("OX_TEST_URL") else { return };
    match client().get(&url).deadline(HANG).send() {
        Ok(reply) => println!("status {}", reply.status),
        Err(e) => println!("error {e}"),
    }
}

fn with_variable(name: &str, value: &str, url: &str) -> String {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "http::role", "--nocapture", "--test-threads=1"])
        .env(name, value)
        .env("OX_TEST_URL", url)
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn https_goes_through_the_environments_proxy_and_this_machine_does_not() {
    let proxy = Server::start(|_, _| vec![answer(403, "", b"CANARY")]);
    let server = Server::start(|_, _| ok(b""));
    let at = format!("http://{}", proxy.address);
    let said = with_variable("HTTPS_PROXY", &at, "https://host.invalid/x");
    assert!(said.contains("error host.invalid: the proxy refused to connect"), "{said}");
    assert!(proxy.requests()[0].starts_with("CONNECT host.invalid:443 HTTP/1.1\r\n"));
    let said = with_variable("ALL_PROXY", &at, &server.url("/"));
    assert!(said.contains("status 200"), "{said}");
    assert_eq!(proxy.requests().len(), 1);
    let said = with_variable("ALL_PROXY", &at.replace("http:", "socks5:"), "https://host.invalid/");
    assert!(said.contains("SOCKS"), "{said}");
}

// ---- certificates ----

#[test]
fn the_environments_certificate_authorities_count_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let config = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = certificate of a test\n\
                  [ext]\nsubjectAltName = IP:127.0.0.1\n";
    std::fs::write(at("config"), config).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-config", &at("config"), "-keyout", &at("key"), "-out", &at("cert")])
        .stderr(Stdio::null())
        .status();
    let Ok(made) = made else {
        println!("skipped: there is no openssl to make a certificate with");
        return;
    };
    assert!(made.success());
    let mut server = Command::new("openssl")
        .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-cert", &at("cert"), "-key", &at("key")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It says where it listens once it does.
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = said.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    let url = format!("https://{address}/");
    let trusted = with_variable("SSL_CERT_FILE", &at("cert"), &url);
    let unknown = with_variable("OX_TEST_UNUSED", "", &url);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(trusted.contains("status 200"), "{trusted}");
    assert!(unknown.contains("error 127.0.0.1") && unknown.contains("UnknownIssuer"), "{unknown}");
}
