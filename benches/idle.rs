//! What a daemon with nothing to do takes: memory, processor, wake-ups, threads, descriptors, read from `/proc`.
//!
//! `OX_BENCH_IDLE_SECONDS` sets how long is looked (60, twice), `OX_BENCH_QUICK` shortens all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use common::support::{HANG, TestEnv, census};
use common::{Daemon, dirs, fixed, note, project, quick, rounds, title};
use ox::kit::clock::{pause, wait_until};

/// So many pings before memory is looked at again.
const REQUESTS: usize = 150_000;
/// So often the threads are looked at in the minute.
const LOOKS: u32 = 12;
/// A daemon that was not switched to for this long has done its start.
const QUIET: Duration = Duration::from_secs(4);

fn main() {
    let seconds = std::env::var("OX_BENCH_IDLE_SECONDS").ok().and_then(|s| s.parse().ok());
    let minute = Duration::from_secs(seconds.unwrap_or(if quick() { 5 } else { 60 }));
    for projects in [1, 20] {
        title(&format!("idle, {projects} project(s), {} s", minute.as_secs()));
        look(projects, minute);
    }
}

fn look(projects: usize, minute: Duration) {
    let env = TestEnv::new();
    let daemon = Daemon::start(&env);
    for n in 0..projects {
        daemon.attach(&project(&env, &format!("app-{n}"), None));
    }
    settle(daemon.pid());
    // What is done once after a start, such as each clone's first run at its beat, is no part of being idle.
    let (cpu, wakes, _) = spent(daemon.pid(), minute);
    note("processor, of one core, after the start", cpu, "%");
    note("wake-ups a second, after the start", wakes, "");
    let (cpu, wakes, after) = spent(daemon.pid(), minute);
    let more = (projects - 1) as f64;
    fixed("anonymous memory", after.anonymous, "MiB", 3.0 + 0.5 * more);
    note("file-backed pages", after.file_backed, "MiB");
    fixed("processor, of one core", cpu, "%", if projects == 1 { 0.02 } else { 0.1 });
    fixed("wake-ups a second, all threads", wakes, "", if projects == 1 { 1.0 } else { 2.0 });
    fixed("threads", after.threads.len() as f64, "", 12.0);
    fixed("descriptors", after.descriptors as f64, "", 32.0 + 3.0 * projects as f64);
    let children = census::processes_of(env.root()).iter().filter(|p| p.parent == daemon.pid()).count();
    fixed("children", children as f64, "", 0.0);

    ping(&dirs(&env).host_socket(), rounds(REQUESTS));
    settle(daemon.pid());
    let busy = Sample::take(daemon.pid());
    fixed(
        &format!("anonymous memory after {} requests", rounds(REQUESTS)),
        busy.anonymous,
        "MiB",
        5.0 + 0.5 * more,
    );
    note("file-backed pages then", busy.file_backed, "MiB");
}

/// What all threads take in that time: per cent of a core, wake-ups a second; and a sample at its end.
fn spent(pid: u32, minute: Duration) -> (f64, f64, Sample) {
    let mut spent = Spent::default();
    spent.note(&Sample::take(pid));
    let start = spent.total();
    // Threads on demand end when idle and take their figures with them; so they are noted on the way.
    for _ in 0..LOOKS {
        pause(minute / LOOKS);
        spent.note(&Sample::take(pid));
    }
    let after = Sample::take(pid);
    let end = spent.total();
    let cpu = (end.0 - start.0).as_secs_f64() / minute.as_secs_f64() * 100.0;
    (cpu, (end.1 - start.1) as f64 / minute.as_secs_f64(), after)
}

/// Waits until nothing more happens by itself.
fn settle(pid: u32) {
    let quiet = wait_until(HANG, || {
        let before = Sample::take(pid).switches();
        pause(QUIET);
        Sample::take(pid).switches().abs_diff(before) <= 2
    });
    if !quiet {
        println!("(it never was quiet for {} s)", QUIET.as_secs());
    }
}

struct Sample {
    /// Its own memory, in MiB.
    anonymous: f64,
    /// Pages of the program and its files that are mapped, in MiB; the kernel takes them when it needs them.
    file_backed: f64,
    threads: BTreeMap<String, (Duration, u64)>,
    descriptors: usize,
}

impl Sample {
    fn take(pid: u32) -> Sample {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mut sample = Sample {
            anonymous: field(&status, "RssAnon:") as f64 / 1024.0,
            file_backed: field(&status, "RssFile:") as f64 / 1024.0,
            threads: BTreeMap::new(),
            descriptors: census::descriptors(pid).len(),
        };
        for thread in census::threads(pid).keys() {
            let dir = format!("/proc/{pid}/task/{thread}");
            // A thread may end between the listing and here.
            let Ok(status) = fs::read_to_string(format!("{dir}/status")) else { continue };
            let Ok(schedule) = fs::read_to_string(format!("{dir}/schedstat")) else { continue };
            let switches =
                field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:");
            let cpu = Duration::from_nanos(schedule.split(' ').next().unwrap().parse().unwrap());
            sample.threads.insert(thread.clone(), (cpu, switches));
        }
        sample
    }

    fn switches(&self) -> u64 {
        self.threads.values().map(|(_, switches)| switches).sum()
    }
}

/// Processor time, and times a thread gave up or lost its processor (each time it was woken before), of all threads ever seen.
#[derive(Default)]
struct Spent(BTreeMap<String, (Duration, u64)>);

impl Spent {
    fn note(&mut self, sample: &Sample) {
        self.0.extend(sample.threads.iter().map(|(thread, spent)| (thread.clone(), *spent)));
    }

    fn total(&self) -> (Duration, u64) {
        self.0.values().fold((Duration::ZERO, 0), |(cpu, n), (c, m)| (cpu + *c, n + m))
    }
}

/// The number behind a name in a `status` file of `/proc`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends pings over one kept connection, each after the answer to the one before.
fn ping(socket: &Path, count: usize) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    for _ in 0..count {
        stream.write_all(b"{\"type\":\"ping\"}\n").unwrap();
        line.clear();
        answers.read_line(&mut line).unwrap();
        assert!(line.contains("pong"), "{line}");
    }
}
