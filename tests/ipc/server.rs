//! The server between peers that misbehave.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ox::ipc::client::ClientError;
use ox::ipc::limits::{
    CONNECTIONS_PER_LISTENER, CONNECTIONS_TOTAL, IDLE_CLOSE, LINE_MAX, LINGER, READ_DEADLINE,
    SYNC_HISTORY_MAX,
};
use ox::ipc::listen::SocketState;
use ox::ipc::wire::{
    ActivityEntry, ActivitySummary, Attach, Attached, Kind, Message, Progress, Projects, Response, Served,
    StatusData, SyncEvent,
};
use ox::ipc::{Config, Inbound, Published, Request, Server, Snapshot};
use ox::kit::clock::{Clock, SimClock, SystemClock};
use ox::kit::gotime::GoTime;

use super::peers::*;

const UNKNOWN: &str = "{\"success\":false,\"error\":\"unknown message type\"}\n";
const INVALID: &str = "{\"success\":false,\"error\":\"invalid message format\"}\n";

#[test]
fn ipc_server_answers_what_it_can_and_refuses_the_rest() {
    let server = server();
    let check = |line: &str, answer: &str| assert_eq!(ask(&server.peer(), line), answer, "{line}");
    check(PING, PONG);
    check("{\"type\":\"ping\",\"workspace_id\":\"00000000\"}", PONG);
    check("{\"type\":\"ping\",\"payload\":{\"a\":[null]},\"later\":1,\"type\":\"ping\"}\r", PONG);
    check("{\"type\":\"version\"}", "{\"success\":true,\"data\":\"1.0.0\"}\n");
    check("{\"type\":\"status\"}", "{\"success\":true,\"data\":{}}\n");
    check("{\"type\":\"sync_history\"}", "{\"success\":true,\"data\":[]}\n");
    check("{}", UNKNOWN);
    check("{\"type\":\"settings_get\"}", UNKNOWN);
    check("{\"type\":\"projects\"}", UNKNOWN);
    for bad in [
        "",
        "7",
        "null",
        "[]",
        "\"ping\"",
        "{",
        "ping",
        "{\"type\":5}",
        "{\"type\":\"a\u{1}\"}",
        "\u{0}\u{7f}",
    ] {
        let peer = server.peer();
        assert_eq!(ask(&peer, bad), INVALID, "{bad:?}");
        assert_eq!(read_all(&peer), "", "closed after {bad:?}");
    }
}

#[test]
fn ipc_server_one_way_types_never_get_a_byte() {
    for served in [Served::default(), PROJECT] {
        let server = server_with(served, 4, Arc::new(SystemClock));
        for message in Message::ALL.iter().filter(|m| m.kind() == Kind::OneWay) {
            for payload in ["", ",\"payload\":{}", ",\"payload\":7"] {
                let mut peer = server.peer();
                peer.write_all(format!("{{\"type\":\"{}\"{payload}}}\n", message.name()).as_bytes()).unwrap();
                assert_eq!(read_all(&peer), "", "{} {payload}", message.name());
            }
        }
        for message in Message::ALL.iter().filter(|m| m.kind() != Kind::OneWay && !served.has(**m)) {
            if !matches!(message, Message::Ping | Message::Version) {
                assert_eq!(ask(&server.peer(), &format!("{{\"type\":\"{}\"}}", message.name())), UNKNOWN);
            }
        }
    }
}

fn beat(server: &Fixture, agent: &str) {
    let mut peer = server.peer();
    let line = format!("{{\"type\":\"heartbeat\",\"payload\":{{\"agent_id\":\"{agent}\"}}}}\n");
    peer.write_all(line.as_bytes()).unwrap();
    assert_eq!(read_all(&peer), "");
}

#[test]
fn ipc_server_one_way_messages_reach_the_core_in_order_and_before_the_request_that_follows() {
    let served = Served::of(&[Message::Heartbeat, Message::Stop]);
    let server = server_with(served, 1024, Arc::new(SystemClock));
    let agent = |inbound: Inbound| match inbound.request {
        Request::Heartbeat(beat) => beat.agent_id,
        other => panic!("{other:?}"),
    };
    // One alone, with nothing after it.
    beat(&server, "alone");
    assert_eq!(agent(server.asked()), "alone");
    for n in 0..200 {
        beat(&server, &n.to_string());
    }
    let client = server.client();
    let stop = std::thread::spawn(move || client.stop());
    for n in 0..200 {
        assert_eq!(agent(server.asked()), n.to_string());
    }
    let asked = server.asked();
    assert_eq!(asked.request, Request::Stop);
    server.handle.reply(asked.conn, Response::ok());
    stop.join().unwrap().unwrap();
}

#[test]
fn ipc_server_one_way_messages_that_find_the_core_busy_are_lost_without_harm() {
    let served = Served::of(&[Message::Heartbeat, Message::Stop]);
    let server = server_with(served, 4, Arc::new(SystemClock));
    for n in 0..300 {
        beat(&server, &n.to_string());
    }
    server.assert_alive();
    let lost = || server.handle.counters().busy.load(Ordering::Relaxed);
    until_or(|| lost() == 296, lost);
    assert_eq!(server.inbox.len(), 4);
}

#[test]
fn ipc_server_host_messages_reach_the_core_with_their_payload() {
    let server = server_with(HOST, 4, Arc::new(SystemClock));
    let attach = server.client().named("ab405cfd", "bb97ae4c");
    let caller = std::thread::spawn(move || attach.attach("/home/a/proj"));
    let inbound = server.asked();
    assert_eq!(
        inbound.request,
        Request::Attach(Attach { project_root: "/home/a/proj".into(), ..Attach::default() })
    );
    assert_eq!((inbound.caller_id.as_str(), inbound.listener), ("bb97ae4c", server.listener));
    let attached = Attached { workspace_id: "ab405cfd".into(), socket_path: "/s".into() };
    server.handle.reply(inbound.conn, Response::data(&attached));
    assert_eq!(caller.join().unwrap().unwrap(), attached);

    let client = server.client();
    let caller = std::thread::spawn(move || client.projects());
    server.handle.reply(server.asked().conn, Response::data(&Projects::default()));
    assert!(caller.join().unwrap().unwrap().is_empty());
    assert!(
        ask(&server.peer(), "{\"type\":\"attach\",\"payload\":{\"project_root\":1}}")
            .contains("invalid payload: ")
    );
}

#[test]
fn ipc_13_a_line_may_have_one_mib_and_not_a_byte_more() {
    let server = server();
    for (len, fits) in [(LINE_MAX - 1, true), (LINE_MAX, true), (LINE_MAX + 1, false)] {
        let pad = " ".repeat(len - PING.len() - 1);
        let peer = server.peer();
        let mut writer = peer.try_clone().unwrap();
        let sender = std::thread::spawn(move || drop(writer.write_all(format!("{PING}{pad}\n").as_bytes())));
        let answer = read_line(&peer);
        if fits {
            assert_eq!(answer, PONG, "{len}");
        } else {
            assert_eq!(answer, "{\"success\":false,\"error\":\"message too long: at most 1048576 bytes\"}\n");
            assert_eq!(read_all(&peer), "", "closed");
        }
        sender.join().unwrap();
    }
    server.assert_alive();
}

#[test]
fn ipc_13_connection_101_is_refused_at_once_and_the_others_are_not() {
    let server = server();
    let kept: Vec<UnixStream> = (0..CONNECTIONS_PER_LISTENER).map(|_| server.peer()).collect();
    for peer in &kept {
        assert_eq!(ask(peer, PING), PONG);
    }
    assert_eq!(server.handle.counters().open.load(Ordering::Relaxed), 100);
    let refused = server.peer();
    assert_eq!(read_all(&refused), "{\"success\":false,\"error\":\"busy: too many connections\"}\n");
    assert_eq!(server.client().ping(HANG).unwrap_err().to_string(), "busy: too many connections");
    for peer in &kept {
        assert_eq!(ask(peer, PING), PONG);
    }
    drop(kept);
    until(|| server.client().ping(HANG).is_ok());
}

#[test]
fn who_says_nothing_keeps_nobody_out() {
    const SILENT: usize = 500;
    let server = server();
    let waits = server.peer();
    assert_eq!(ask(&waits, PING), PONG);
    // Some have begun a line, most have said nothing; each that comes takes the place of the oldest of them.
    let silent: Vec<UnixStream> = (0..SILENT)
        .map(|n| {
            let mut peer = server.peer();
            if n % 3 == 0 {
                let _ = peer.write_all(b"{\"type\":"); // it may have been dropped already
            }
            peer
        })
        .collect();
    for _ in 0..SILENT {
        server.client().ping(HANG).unwrap();
    }
    assert_eq!(ask(&waits, PING), PONG, "who has asked before stays");
    // Who was dropped can read why.
    assert_eq!(read_all(&silent[1]), "{\"success\":false,\"error\":\"busy: too many connections\"}\n");
    server.assert_alive();
}

#[test]
fn ipc_13_all_listeners_together_have_a_limit_too() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let server = server();
    let mut paths = vec![server.path.clone()];
    for n in 0..CONNECTIONS_TOTAL / CONNECTIONS_PER_LISTENER {
        let path = server.dir.path().join(format!("d/{n}.sock"));
        server.handle.add_listener(spec(&path, PROJECT, &server.published));
        paths.push(path);
    }
    let mut kept = Vec::new();
    for n in 0..CONNECTIONS_TOTAL {
        let stream = peer(&paths[n / CONNECTIONS_PER_LISTENER]);
        assert_eq!(ask(&stream, PING), PONG, "connection {n}");
        kept.push(stream);
    }
    let last = peer(paths.last().unwrap());
    assert_eq!(read_all(&last), "{\"success\":false,\"error\":\"busy: too many connections\"}\n");
}

/// Runs one test of this file in a process of its own, where nothing else uses memory or descriptors.
fn alone(name: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("OX_TEST_ALONE", "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_alone() -> bool {
    std::env::var_os("OX_TEST_ALONE").is_some()
}

#[cfg(target_os = "linux")]
#[test]
fn ipc_13_an_endless_line_needs_two_mib_at_most() {
    alone("ipc::server::alone_an_endless_line_needs_two_mib_at_most");
}

#[cfg(target_os = "linux")]
#[test]
fn alone_an_endless_line_needs_two_mib_at_most() {
    if !is_alone() {
        return;
    }
    // The anonymous part: pages of the program itself that are read in meanwhile are the kernel's to give back.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
    let server = server();
    server.assert_alive();
    let before = resident();
    let mut most = 0;
    for _ in 0..4 {
        let mut peer = server.peer();
        let chunk = [b'x'; 64 * 1024];
        let mut sent = 0;
        while sent < 8 * LINE_MAX {
            match peer.write(&chunk) {
                Ok(n) => sent += n,
                Err(_) => break, // closed on us
            }
            most = most.max(resident());
        }
        assert!(sent < 2 * LINE_MAX, "cut off after {sent} bytes");
        assert!(read_all(&peer).contains("message too long"));
    }
    println!("grew by {} bytes", most.saturating_sub(before));
    assert!(most.saturating_sub(before) <= 2 * 1024 * 1024, "grew by {} bytes", most - before);
}

#[cfg(target_os = "linux")]
#[test]
fn ipc_13_without_descriptors_the_server_waits_and_comes_back() {
    alone("ipc::server::alone_without_descriptors_the_server_waits_and_comes_back");
}

#[cfg(target_os = "linux")]
#[test]
fn alone_without_descriptors_the_server_waits_and_comes_back() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if !is_alone() {
        return;
    }
    let server = server();
    server.assert_alive();
    let waiting = server.peer();
    assert_eq!(ask(&waiting, PING), PONG);
    // Made before descriptors run out, connected after.
    let next =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limit.maximum }).unwrap();
    rustix::net::connect(&next, &rustix::net::SocketAddrUnix::new(&server.path).unwrap()).unwrap();
    let next = UnixStream::from(next);
    (&next).write_all(format!("{PING}\n").as_bytes()).unwrap();
    for _ in 0..100 {
        assert_eq!(ask(&waiting, PING), PONG, "who is connected is served");
    }
    assert_eq!(server.handle.counters().accepted.load(Ordering::Relaxed), 2);
    setrlimit(Resource::Nofile, limit).unwrap();
    next.set_read_timeout(Some(HANG)).unwrap();
    assert_eq!(read_line(&next), PONG);
}

#[test]
fn ipc_13_a_dripping_peer_is_cut_off_at_its_absolute_deadline() {
    let (server, clock) = simulated();
    // One that goes on asking is kept, and tells of each turn of the loop; a new one for each question might be at its end by then.
    let other = server.peer();
    let turn = || assert_eq!(ask(&other, PING), PONG);
    turn();
    turn();
    let mut peer = server.peer();
    let step = READ_DEADLINE / 10;
    for dripped in 1..=10 {
        peer.write_all(b"x").unwrap();
        turn(); // which has read the byte
        assert!(!is_closed(&peer), "closed after {dripped} bytes");
        clock.advance(if dripped < 10 { step } else { step - Duration::from_nanos(1) });
        turn();
        assert!(!is_closed(&peer), "closed after {dripped} bytes");
    }
    clock.advance(Duration::from_nanos(1));
    turn();
    until(|| is_closed(&peer));
    assert_eq!(server.handle.counters().timed_out.load(Ordering::Relaxed), 1);
}

/// A server whose time stands still, and a way to let it notice that time has passed.
fn simulated() -> (Fixture, SimClock) {
    let clock = SimClock::new(jiff::Timestamp::UNIX_EPOCH);
    (server_with(PROJECT, 64, Arc::new(clock.clone())), clock)
}

fn is_closed(mut peer: &UnixStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    let read = peer.read(&mut [0]);
    peer.set_nonblocking(false).unwrap();
    matches!(read, Ok(0)) || matches!(read, Err(ref e) if e.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn ipc_13_deadlines_of_new_begun_and_kept_connections_are_exact() {
    let (server, clock) = simulated();
    let silent = server.peer();
    let kept = server.peer();
    let begun = server.peer();
    for peer in [&kept, &begun] {
        assert_eq!(ask(peer, PING), PONG);
        assert_eq!(ask(peer, PING), PONG);
    }
    let once = server.peer();
    assert_eq!(ask(&once, PING), PONG);
    until(|| server.handle.counters().open.load(Ordering::Relaxed) == 4);

    server.assert_alive();
    clock.advance(LINGER - Duration::from_nanos(1));
    server.assert_alive();
    assert!(!is_closed(&once));
    clock.advance(Duration::from_nanos(1));
    server.assert_alive();
    until_or(|| is_closed(&once), || "nothing more after an answer for 1 s");

    clock.advance(READ_DEADLINE - LINGER - Duration::from_nanos(1));
    server.assert_alive(); // a turn of the loop at the new time
    assert!(!is_closed(&silent) && !is_closed(&kept) && !is_closed(&begun));
    clock.advance(Duration::from_nanos(1));
    server.assert_alive();
    until_or(|| is_closed(&silent), || "no line in 5 s");
    (&begun).write_all(b"{\"type\":").unwrap();
    assert!(!is_closed(&kept) && !is_closed(&begun));

    // The half line was read in one of the turns at this time; its own 5 s end before the idle ones.
    server.assert_alive();
    clock.advance(READ_DEADLINE);
    server.assert_alive();
    until_or(|| is_closed(&begun), || "half a line for 5 s");
    clock.advance(IDLE_CLOSE - READ_DEADLINE * 2 - Duration::from_nanos(1));
    server.assert_alive();
    assert!(!is_closed(&kept));
    clock.advance(Duration::from_nanos(1));
    server.assert_alive();
    until_or(|| is_closed(&kept), || "idle for 60 s");
    assert!(server.handle.counters().timed_out.load(Ordering::Relaxed) >= 3);
}

#[test]
fn ipc_server_a_request_at_work_has_no_deadline_and_its_answer_a_fresh_one() {
    let (server, clock) = simulated();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    clock.advance(Duration::from_secs(3600));
    server.handle.progress(inbound.conn, Progress::new("pull", ""));
    assert_eq!(read_line(&peer), "{\"progress\":{\"stage\":\"pull\",\"message\":\"\"},\"success\":false}\n");
    clock.advance(Duration::from_secs(3600));
    server.handle.reply(inbound.conn, Response::ok());
    assert_eq!(read_line(&peer), "{\"success\":true}\n");
}

#[test]
fn ipc_server_an_answer_nobody_takes_is_given_up_after_its_deadline() {
    let (server, clock) = simulated();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    let (told, written) = crossbeam_channel::bounded(1);
    let long = Response::data(&"x".repeat(LINE_MAX - 64));
    server.handle.reply_then(inbound.conn, long, move |ok| told.send(ok).unwrap());
    server.assert_alive();
    assert!(written.try_recv().is_err(), "more than the kernel buffers");
    clock.advance(Duration::from_secs(5));
    server.assert_alive();
    assert_eq!(written.recv_timeout(HANG), Ok(false));
}

#[test]
fn ipc_server_kept_connections_pipelines_and_half_closed_peers_are_served() {
    let server = server();
    let kept = server.peer();
    for _ in 0..1000 {
        assert_eq!(ask(&kept, PING), PONG);
    }
    assert_eq!(server.handle.counters().accepted.load(Ordering::Relaxed), 1);

    let mut pipelined = server.peer();
    pipelined.write_all(format!("{PING}\n{{\"type\":\"version\"}}\n").repeat(200).as_bytes()).unwrap();
    pipelined.shutdown(Shutdown::Write).unwrap();
    let expected = format!("{PONG}{{\"success\":true,\"data\":\"1.0.0\"}}\n").repeat(200);
    assert_eq!(read_all(&pipelined), expected);

    // One request of a connection at a time: the second reaches the core after the first was answered.
    let mut two = server.peer();
    two.write_all(b"{\"type\":\"sync\"}\n{\"type\":\"stop\"}\n").unwrap();
    two.shutdown(Shutdown::Write).unwrap();
    let first = server.asked();
    assert_eq!(first.request, Request::Sync);
    server.assert_alive();
    assert!(server.inbox.is_empty());
    server.handle.reply(first.conn, Response::ok());
    let second = server.asked();
    assert_eq!(second.request, Request::Stop);
    server.handle.reply(first.conn, Response::error("late")); // an answer too many goes nowhere
    server.handle.reply(second.conn, Response::error("no"));
    assert_eq!(read_all(&two), "{\"success\":true}\n{\"success\":false,\"error\":\"no\"}\n");
}

#[test]
fn ipc_server_half_a_line_and_the_end_is_closed_without_a_word() {
    let server = server();
    for half in ["", "{\"type\":\"ping\"}", "\u{0}"] {
        let mut peer = server.peer();
        peer.write_all(half.as_bytes()).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&peer), "");
    }
    server.assert_alive();
}

#[test]
fn ipc_server_a_client_that_is_gone_cancels_nothing_and_hurts_nobody() {
    let server = server();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    // A test beside this one may just be making a child, which has a copy of every descriptor until it runs its program: a closed one
    // would not be the end yet.
    peer.shutdown(Shutdown::Both).unwrap();
    drop(peer);
    server.handle.progress(inbound.conn, Progress::new("pull", "x"));
    let (told, written) = crossbeam_channel::bounded(1);
    server.handle.reply_then(inbound.conn, Response::ok(), move |ok| told.send(ok).unwrap());
    assert_eq!(written.recv_timeout(HANG), Ok(false));
    server.assert_alive();
    until(|| server.handle.counters().open.load(Ordering::Relaxed) == 0);
}

#[test]
fn ipc_server_stop_is_answered_before_anything_else_happens() {
    let server = server();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"stop\"}\n").unwrap();
    let inbound = server.asked();
    let (handle, listener) = (server.handle.clone(), server.listener);
    server.handle.reply_then(inbound.conn, Response::ok(), move |written| {
        assert!(written);
        handle.remove_listener(listener);
    });
    assert_eq!(read_all(&peer), "{\"success\":true}\n");
    until(|| !server.path.exists());
}

#[test]
fn ipc_server_a_removed_listener_still_gives_the_answers_it_owes() {
    let server = server();
    let idle = server.peer();
    assert_eq!(ask(&idle, PING), PONG);
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    server.handle.remove_listener(server.listener);
    assert_eq!(read_all(&idle), "");
    server.handle.reply(inbound.conn, Response::ok());
    assert_eq!(read_all(&peer), "{\"success\":true}\n");
}

#[test]
fn ipc_server_a_full_inbox_answers_busy_at_once() {
    let server = server_with(PROJECT, 1, Arc::new(SystemClock));
    let mut first = server.peer();
    first.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    until(|| server.inbox.len() == 1);
    let second = server.peer();
    assert_eq!(ask(&second, "{\"type\":\"sync\"}"), "{\"success\":false,\"error\":\"busy: daemon\"}\n");
    assert_eq!(ask(&second, PING), PONG, "the connection stays");
    server.handle.reply(server.asked().conn, Response::ok());
    assert_eq!(read_line(&first), "{\"success\":true}\n");
}

/// Asks until there is an answer. A child that another test is just starting has copies of this process's descriptors until it becomes
/// another program, so connections that a client has closed may count as open for that long, and the hundredth is refused.
fn answered<T: std::fmt::Debug>(ask: impl Fn() -> Result<T, ClientError>) {
    loop {
        match ask() {
            Err(ClientError::Busy { .. }) => {}
            done => break drop(done.unwrap()),
        }
    }
}

#[test]
fn ipc_server_fifty_parallel_clients_are_all_answered() {
    let server = server();
    let (inbox, handle) = (server.inbox.clone(), server.handle.clone());
    let core = std::thread::spawn(move || {
        while let Ok(inbound) = inbox.recv() {
            handle.progress(inbound.conn, Progress::new("pull", "working"));
            handle.reply(inbound.conn, Response::ok());
        }
    });
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let client = server.client();
            std::thread::spawn(move || {
                for _ in 0..20 {
                    answered(|| client.ping(HANG));
                    answered(|| client.sync(|progress| assert_eq!(progress.stage, "pull")));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    drop(server);
    core.join().unwrap();
}

#[test]
fn ipc_server_a_panic_stays_with_its_connection() {
    struct Fragile;
    impl From<Inbound> for Fragile {
        fn from(inbound: Inbound) -> Fragile {
            assert_ne!(inbound.request, Request::Sync, "made to fail");
            Fragile
        }
    }
    let dir = dir();
    let path = dir.path().join("s.sock");
    let (tx, rx) = crossbeam_channel::bounded::<Fragile>(4);
    let handle = Server::start(Config { clock: Arc::new(SystemClock) }, tx).unwrap();
    let published = Arc::new(Published::new(SystemClock.now().mono));
    handle.add_listener(spec(&path, PROJECT, &published));
    let other = peer(&path);
    assert_eq!(ask(&other, PING), PONG);
    let broken = peer(&path);
    assert_eq!(ask(&broken, "{\"type\":\"sync\"}"), "");
    assert_eq!(handle.counters().panics.load(Ordering::Relaxed), 1);
    assert_eq!(ask(&other, PING), PONG);
    assert!(rx.is_empty());
    assert!(handle.close());
}

#[test]
fn ipc_server_an_answer_that_is_too_long_becomes_an_error() {
    let server = server();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    server.handle.reply(server.asked().conn, Response::data(&"x".repeat(LINE_MAX)));
    assert_eq!(
        read_line(&peer),
        "{\"success\":false,\"error\":\"the answer is longer than a line may be\"}\n"
    );
}

#[test]
fn ipc_server_a_slow_peer_loses_progress_but_not_the_answer() {
    let server = server();
    let mut peer = server.peer();
    peer.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    let message = "m".repeat(32 * 1024);
    for _ in 0..64 {
        server.handle.progress(inbound.conn, Progress::new("pull", message.clone()));
        server.assert_alive(); // the loop has taken it
    }
    server.handle.reply(inbound.conn, Response::ok());
    peer.shutdown(Shutdown::Write).unwrap();
    let got = read_all(&peer);
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines.last(), Some(&"{\"success\":true}"));
    assert!(lines.len() < 64, "some were dropped");
    assert!(lines[..lines.len() - 1].iter().all(|line| line.len() > message.len()), "none was cut");
    assert!(server.handle.counters().progress_dropped.load(Ordering::Relaxed) > 0);
}

/// Trackers at their limits: what a status may grow to.
fn full_status() -> StatusData {
    let time = GoTime(Some("2026-11-20T21:05:28.688417349Z".parse().unwrap()));
    let list = |prefix: &str, keys: usize| {
        let key = |n| format!("{prefix}{n}");
        let entry = |n| ActivityEntry { key: key(n), count: 100, last: time, timestamps: vec![time; 100] };
        (0..keys).map(entry).collect()
    };
    let activity = ActivitySummary {
        repos: list("/home/someone/src/project-", 100),
        teams: list("team_", 50),
        workspaces: list("ws", 50),
        agents: list("Ox", 500),
    };
    StatusData { running: true, activity: Some(activity), ..StatusData::default() }
}

#[test]
fn ipc_15_status_ping_and_version_answer_while_the_workers_are_busy() {
    let server = server();
    let mut syncing = server.peer();
    syncing.write_all(b"{\"type\":\"sync\"}\n").unwrap();
    let inbound = server.asked();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    server.published.publish(Snapshot::new(full_status(), Vec::new()));
                    let status =
                        server.client().call_as::<(), StatusData>(Message::Status, None, HANG).unwrap();
                    assert!(status.running && status.uptime > Duration::ZERO);
                    assert!(status.time_since_activity > Duration::ZERO);
                    assert_eq!(status.activity.unwrap().agents.len(), 500);
                }
            });
        }
        for n in 0..300 {
            let line = if n % 2 == 0 { PING } else { "{\"type\":\"version\"}" };
            assert!(ask(&server.peer(), line).contains("true"));
        }
    });
    server.handle.reply(inbound.conn, Response::ok());
    assert_eq!(read_line(&syncing), "{\"success\":true}\n");
}

#[test]
fn ipc_server_history_is_cut_to_the_newest() {
    let server = server();
    let event = |n: usize| SyncEvent { kind: "pull".into(), files_changed: n as i64, ..SyncEvent::default() };
    server.published.publish(Snapshot::new(StatusData::default(), (0..150).map(event).collect()));
    let history = server.client().sync_history().unwrap();
    assert_eq!(history.len(), SYNC_HISTORY_MAX);
    assert_eq!((history[0].files_changed, history[99].files_changed), (50, 149));
}

#[test]
fn ipc_server_every_well_formed_request_counts_as_activity() {
    let (server, clock) = simulated();
    for (line, counts) in [(PING, true), ("{\"type\":\"nothing\"}", true), ("nothing", false)] {
        clock.advance(Duration::from_secs(10));
        let counted = || {
            ask(&server.peer(), line);
            server.published.last_activity() == clock.now().mono
        };
        // The first may come in the turn in which the loop, woken by the end of the last connection, had read the clock before.
        assert_eq!(if counts { comes(counted) } else { counted() }, counts, "{line}");
    }
}

#[test]
fn ipc_01_taking_the_path_over_a_thousand_times_never_loses_it() {
    let dir = dir();
    let path = dir.path().join("s.sock");
    let published = Arc::new(Published::new(SystemClock.now().mono));
    let servers: Vec<_> = (0..2)
        .map(|_| {
            let (tx, rx) = crossbeam_channel::bounded::<Inbound>(1);
            (Server::start(Config { clock: Arc::new(SystemClock) }, tx).unwrap(), rx)
        })
        .collect();
    let client = ox::ipc::client::Client::new(&path);
    let mut old = servers[0].0.add_listener(spec(&path, PROJECT, &published));
    for n in 1..=1000 {
        std::fs::remove_file(&path).unwrap(); // as the Go program does
        let new = servers[n % 2].0.add_listener(spec(&path, PROJECT, &published));
        servers[(n + 1) % 2].0.remove_listener(old);
        client.ping(HANG).unwrap();
        old = new;
    }
    for (server, _) in &servers {
        assert!(server.close());
    }
    assert!(!path.exists());
}

#[test]
fn ipc_04_a_deleted_socket_is_bound_again() {
    let server = server();
    let state = || {
        let (tx, rx) = crossbeam_channel::bounded(1);
        server.handle.check_listener(server.listener, move |state| tx.send(state).unwrap());
        rx.recv_timeout(HANG).unwrap()
    };
    assert!(matches!(state(), SocketState::Ours));
    std::fs::remove_file(&server.path).unwrap();
    assert_eq!(server.client().ping(HANG).unwrap_err().to_string(), "daemon not running");
    assert!(matches!(state(), SocketState::Rebound));
    server.assert_alive();
    let kept = server.peer();
    assert_eq!(ask(&kept, PING), PONG);
    server.handle.remove_listener(server.listener);
    assert!(matches!(state(), SocketState::Unknown));
}
