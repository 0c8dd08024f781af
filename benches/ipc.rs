//! `ping` and `status` beside a bare epoll server that echoes, or returns the same bytes, with the same client in the same
//! run: 1, 8 and 64 clients, a new connection for each request and a kept one. Prints times, ratios and the budgets.
//!
//! `cargo bench --bench ipc` measures; without `--bench` (as `cargo test --benches` runs it) it only tries everything once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

#[cfg(target_os = "linux")]
fn main() {
    bench::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "common/floor.rs"]
mod floor;

#[cfg(target_os = "linux")]
mod bench {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::{Arc, Barrier, OnceLock};
    use std::time::{Duration, Instant};

    use ox::ipc::client::{Client, NO_PAYLOAD};
    use ox::ipc::listen::bind;
    use ox::ipc::wire::{
        ActivityEntry, ActivitySummary, Message, Served, StatusData, SyncEvent, WorkspaceSyncStatus,
    };
    use ox::ipc::{Config, Inbound, ListenerSpec, Published, Server, Snapshot};
    use ox::kit::clock::{Clock, SystemClock};
    use ox::kit::gotime::GoTime;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::floor;

    /// p50, p99 and throughput of ours against the floor's.
    const PING_BUDGET: (f64, f64, f64) = (1.2, 1.5, 0.85);
    /// Time of ours against the floor's: the median, and from many kept connections the mean, which is what their throughput says. There the
    /// median only tells in which order they are served: the floor serves some twice while others wait (its p99 is higher at the same rate).
    const STATUS_BUDGET: f64 = 1.3;
    /// Statuses that each client asks for at least. With four of them, as it was, a round was over before all clients had begun.
    const STATUS_PER_CLIENT: usize = 32;
    /// Rounds of each; ours and the floor take turns, so that a disturbance meets both.
    const ROUNDS: usize = 10;
    /// The processors this process may use.
    static ALL: OnceLock<CpuSet> = OnceLock::new();

    pub fn main() {
        let measure = std::env::args().any(|arg| arg == "--bench");
        let dir = tempfile::Builder::new().prefix("ox").tempdir().unwrap();
        // Both servers on one processor, a single client on another: else the scheduler's choice decides, by a factor of two.
        hold_to(Some(0));
        let ours = dir.path().join("ours.sock");
        let (tx, _rx) = crossbeam_channel::bounded::<Inbound>(1);
        let server = Server::start(Config { clock: Arc::new(SystemClock) }, tx).unwrap();
        let published = Arc::new(Published::new(SystemClock.now().mono));
        published.publish(Snapshot::new(full_status(), vec![SyncEvent::default(); 100]));
        server.add_listener(ListenerSpec {
            socket: bind(&ours, true).unwrap(),
            workspace_id: "ab405cfd".into(),
            served: Served::of(&[Message::Status, Message::SyncHistory]),
            published,
        });
        let client = Client::new(&ours);
        let status = client.call(Message::Status, NO_PAYLOAD, Duration::from_secs(10)).unwrap().unwrap();
        let reply = format!("{{\"success\":true,\"data\":{}}}\n", status.get()).into_bytes();

        let echo = dir.path().join("echo.sock");
        floor::start(&echo, None);
        let same = dir.path().join("same.sock");
        floor::start(&same, Some(reply.clone()));

        println!("status: {} bytes", reply.len());
        println!(
            "{:<8} {:<5} {:>7} | {:>10} {:>10} {:>9} | {:>10} {:>10} {:>9} | {:>6} {:>6} {:>6}",
            "request",
            "conn",
            "clients",
            "p50 µs",
            "p99 µs",
            "req/s",
            "floor p50",
            "floor p99",
            "req/s",
            "p50",
            "p99",
            "rate"
        );
        let mut over = 0;
        for clients in [1, 8, 64] {
            for kept in [false, true] {
                let requests = if measure { 2_000 } else { 5 };
                over += compare("ping", &ours, &echo, clients, kept, requests, |r| {
                    // The budget speaks of new connections.
                    kept || (r.0 <= PING_BUDGET.0 && r.1 <= PING_BUDGET.1 && r.2 >= PING_BUDGET.2)
                });
                let requests = if measure { 200.max(clients * STATUS_PER_CLIENT) } else { 5 };
                over += compare("status", &ours, &same, clients, kept, requests, |r| {
                    let time = if kept && clients > 1 { 1.0 / r.2 } else { r.0 };
                    time <= STATUS_BUDGET
                });
            }
        }
        println!("{}", if over == 0 { "PASS".to_owned() } else { format!("over budget: {over}") });
        assert!(server.close());
    }

    fn compare(
        request: &str,
        ours: &Path,
        floor: &Path,
        clients: usize,
        kept: bool,
        requests: usize,
        passes: impl Fn((f64, f64, f64)) -> bool,
    ) -> u32 {
        let line = format!("{{\"type\":\"{request}\"}}\n");
        let per_client = (requests / clients).max(4);
        let (mut a, mut b) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            a.add(run(ours, &line, clients, kept, per_client));
            b.add(run(floor, &line, clients, kept, per_client));
        }
        let ((a50, a99, a_rate), (b50, b99, b_rate)) = (a.figures(), b.figures());
        let ratio = (a50 / b50, a99 / b99, a_rate / b_rate);
        let pass = passes(ratio);
        println!(
            "{:<8} {:<5} {:>7} | {:>10.1} {:>10.1} {:>9.0} | {:>10.1} {:>10.1} {:>9.0} | {:>6.2} {:>6.2} {:>6.2} {}",
            request,
            if kept { "kept" } else { "new" },
            clients,
            a50,
            a99,
            a_rate,
            b50,
            b99,
            b_rate,
            ratio.0,
            ratio.1,
            ratio.2,
            if pass { "PASS" } else { "over budget" }
        );
        u32::from(!pass)
    }

    #[derive(Default)]
    struct Samples {
        times: Vec<Duration>,
        elapsed: Duration,
    }

    impl Samples {
        fn add(&mut self, (times, elapsed): (Vec<Duration>, Duration)) {
            self.times.extend(times);
            self.elapsed += elapsed;
        }

        /// p50 and p99 in microseconds, requests a second.
        fn figures(&mut self) -> (f64, f64, f64) {
            self.times.sort_unstable();
            let at =
                |share: f64| self.times[((self.times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
            (at(0.5), at(0.99), self.times.len() as f64 / self.elapsed.as_secs_f64())
        }
    }

    /// All clients at once; each request's time, and the time of the whole.
    fn run(
        path: &Path,
        line: &str,
        clients: usize,
        kept: bool,
        per_client: usize,
    ) -> (Vec<Duration>, Duration) {
        let start = Barrier::new(clients + 1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..clients)
                .map(|_| {
                    scope.spawn(|| {
                        hold_to((clients == 1).then_some(1));
                        let mut buffer = vec![0; 256 * 1024];
                        let mut times = Vec::with_capacity(per_client);
                        start.wait();
                        let mut stream = kept.then(|| UnixStream::connect(path).unwrap());
                        for _ in 0..per_client {
                            let begin = Instant::now();
                            match stream.as_mut() {
                                Some(stream) => ask(stream, line, &mut buffer),
                                None => ask(&mut UnixStream::connect(path).unwrap(), line, &mut buffer),
                            }
                            times.push(begin.elapsed());
                        }
                        times
                    })
                })
                .collect();
            start.wait();
            let begin = Instant::now();
            let times = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
            (times, begin.elapsed())
        })
    }

    /// Holds the calling thread, and those that it starts, to one processor, if there are so many, or lets it go again.
    fn hold_to(processor: Option<usize>) {
        let all = ALL.get_or_init(|| sched_getaffinity(None).unwrap());
        let mut set = *all;
        if let Some(one) = processor.and_then(|n| (0..CpuSet::MAX_CPU).filter(|&one| all.is_set(one)).nth(n))
        {
            set.clear();
            set.set(one);
        }
        sched_setaffinity(None, &set).unwrap();
    }

    fn ask(stream: &mut UnixStream, line: &str, buffer: &mut [u8]) {
        stream.write_all(line.as_bytes()).unwrap();
        loop {
            let n = stream.read(buffer).unwrap();
            assert!(
                n > 0 && !buffer.starts_with(b"{\"success\":false"),
                "{}",
                String::from_utf8_lossy(&buffer[..n])
            );
            if buffer[n - 1] == b'\n' {
                return;
            }
        }
    }

    /// Ten workspaces, and trackers as full as a status may carry.
    fn full_status() -> StatusData {
        let time = GoTime(Some("2026-11-20T21:05:28.688417349Z".parse().unwrap()));
        let list = |prefix: &str, keys: usize| {
            let entry = |n| ActivityEntry {
                key: format!("{prefix}{n}"),
                count: 100,
                last: time,
                timestamps: vec![time; 100],
            };
            (0..keys).map(entry).collect()
        };
        let workspace = |n: usize| WorkspaceSyncStatus {
            id: format!("team_{n}"),
            kind: "team-context".into(),
            path: format!("/home/someone/.local/share/sageox/localhost/teams/team_{n}"),
            exists: true,
            last_sync: time,
            ..WorkspaceSyncStatus::default()
        };
        StatusData {
            running: true,
            version: "0.6.1".into(),
            workspaces: [("team-context".to_owned(), (0..10).map(workspace).collect())].into(),
            activity: Some(ActivitySummary {
                repos: list("/home/someone/src/project-", 100),
                teams: list("team_", 50),
                workspaces: list("ws", 50),
                agents: list("Ox", 500),
            }),
            ..StatusData::default()
        }
    }
}
