//! Watching: how soon a change is told after its settle period, a branch switch beside `git status`, a large tree, and watchman
//! beside it where that is installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    dead_code,
    missing_docs
)]

mod common;
#[path = "../tests/watch/driver.rs"]
mod driver;
#[path = "../tests/watch/model.rs"]
mod model;
#[path = "../tests/watch/random.rs"]
mod random;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::support::{self, TestEnv, run, until, until_or};
use common::{Times, fixed, note, ratio, resident, rounds, time, title};
use driver::{Driver, Setup};
use ox::kit::clock::{Clock, SystemClock, pause};
use ox::kit::rng::Rng;
use ox::watch::limits::{EARLY, SETTLE};
use rustix::process::Signal;

fn main() {
    title("watch");
    let env = TestEnv::new();
    latency(&env);
    work("random work to the view, longest", Setup::default(), 2.0);
    work("random work to the view, polled, longest", Setup { blind: true, ..Setup::default() }, 10.0);
    switch(&env);
    let large = large(&env);
    watchman(&env, &large);
}

/// From a save to its subscribers, beyond the time that they wait for quiet.
fn latency(env: &TestEnv) {
    let root = env.repo("small");
    let driver = Driver::start(&root);
    let (mut early, mut settled) = (Times::default(), Times::default());
    for n in 0..rounds(20) {
        driver.forget();
        fs::write(root.join("README.md"), format!("{n}")).unwrap();
        let saved = SystemClock.now().mono;
        until(|| !driver.told.lock().settled.is_empty());
        let told = driver.told.lock();
        early.push((told.early[0].0 - saved).saturating_sub(EARLY));
        settled.push((told.settled[0].0 - saved).saturating_sub(SETTLE));
    }
    fixed("save to settled batch, beyond 3 s, p50", settled.p50(), "ms", 20.0);
    fixed("save to settled batch, beyond 3 s, p99", settled.p99(), "ms", 20.0);
    fixed("save to early batch, beyond 0.5 s, p99", early.p99(), "ms", 20.0);
    let turns = driver.told.lock().turns;
    pause(Duration::from_secs(if common::quick() { 2 } else { 20 }));
    fixed("wake-ups while idle", (driver.told.lock().turns - turns) as f64, "", 0.0);
}

/// From the end of random work to the moment when the view is the tree.
fn work(what: &str, setup: Setup, budget: f64) {
    let repo = random::repo();
    let driver = Driver::with(&repo.root, setup);
    let mut rng = Rng::new(1);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(30) {
        for _ in 0..=rng.below(30) {
            random::operate(&repo, &mut rng, false);
        }
        let tree = repo.tree();
        longest = longest.max(time(|| until(|| driver.view() == tree)));
    }
    fixed(what, longest.as_secs_f64(), "s", budget);
}

/// A repository made by git itself from a stream: `files` files in `dirs` directories, on `branches` branches that differ in all.
fn repository(env: &TestEnv, name: &str, files: usize, dirs: usize, branches: &[&str]) -> PathBuf {
    let root = env.repo(name);
    let mut stream = String::new();
    for branch in branches {
        let _ = write!(
            stream,
            "commit refs/heads/{branch}\ncommitter T <t@example.invalid> 1700000000 +0000\ndata 1\nx\n"
        );
        for n in 0..files {
            let dir = n % dirs;
            let text = format!("{branch} {n}\n");
            let _ = write!(
                stream,
                "M 100644 inline s{}/d{dir}/f{n}.rs\ndata {}\n{text}\n",
                dir % 100,
                text.len()
            );
        }
    }
    let import = env.cmd("git").args(["fast-import", "--quiet"]).dir(&root).stdin_bytes(stream.into_bytes());
    run(import.deadline(Duration::from_secs(600)), "git fast-import".into()).ok();
    env.git(&root, ["checkout", "-qf", branches[0]]);
    root
}

fn switch(env: &TestEnv) {
    let root = repository(env, "switch", 10_000, 500, &["one", "two"]);
    let driver = Driver::start(&root);
    let (mut looks, mut status) = (Times::default(), Times::default());
    let mut peak: f64 = 0.0;
    for n in 0..rounds(10).max(2) {
        driver.forget();
        driver.told.lock().jobs.clear();
        // The peak counts from here.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = resident(std::process::id());
        env.git(&root, ["checkout", "-q", if n % 2 == 0 { "two" } else { "one" }]);
        let batches = driver.settled();
        assert_eq!((batches.len(), batches[0].changes.len()), (1, 10_000));
        let told = driver.told.lock();
        looks.push(told.jobs.iter().map(|(_, took)| *took).sum());
        drop(told);
        peak = peak.max(peak_resident() - before);
        for _ in 0..3 {
            status.push(time(|| env.git(&root, ["--no-optional-locks", "status", "--porcelain"])));
        }
    }
    ratio("switch of 10,000 files / git status, p50", looks.p50(), status.p50(), "ms", 2.0);
    fixed("memory more at the peak of a switch", peak, "MiB", 32.0);
}

fn peak_resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// 100,000 files in 10,000 directories; answers where.
fn large(env: &TestEnv) -> PathBuf {
    let (files, dirs) = if common::quick() { (10_000, 1_000) } else { (100_000, 10_000) };
    let root = repository(env, "large", files, dirs, &["one"]);
    let before = resident(std::process::id());
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let descriptors = open();
    let start = Instant::now();
    let driver = Driver::start(&root);
    note("files in the large tree", files as f64, "");
    fixed("start of watching the large tree", start.elapsed().as_secs_f64(), "s", 3.0);
    note("memory more with the large tree", resident(std::process::id()) - before, "MiB");
    fixed("descriptors more", (open() - descriptors) as f64, "", 16.0);
    note("directories watched", driver.told.lock().counters.dirs_watched as f64, "");
    driver.told.lock().jobs.clear();
    driver.jump();
    until(|| !driver.told.lock().jobs.is_empty());
    let compared = driver.told.lock().jobs[0].1;
    let status = time(|| env.git(&root, ["--no-optional-locks", "status", "--porcelain"]));
    ratio(
        "comparing the large tree / git status",
        compared.as_secs_f64() * 1e3,
        status.as_secs_f64() * 1e3,
        "ms",
        2.0,
    );
    root
}

/// Watchman on the same tree: from a save to its subscription's line, beyond its 20 ms of settling.
fn watchman(env: &TestEnv, root: &Path) {
    const SETTLE: Duration = Duration::from_millis(20);
    let path = std::env::var("OX_BENCH_WATCHMAN").unwrap_or_else(|_| "watchman".into());
    if Command::new(&path).arg("--version").output().is_err() {
        return println!("watchman is not installed: nothing beside it");
    }
    let state = env.tmp();
    let at = |name: &str| format!("{}/{name}", state.display());
    let [socket, log, saved, pid] = ["sock", "log", "state", "pid"].map(at);
    let (socket, log) = (format!("--sockname={socket}"), format!("--logfile={log}"));
    let (saved, pid) = (format!("--statefile={saved}"), format!("--pidfile={pid}"));
    let mut server = env.start(&path, env.work(), ["--foreground", &socket, &log, &saved, &pid]);
    until_or(|| state.join("sock").exists(), || "watchman does not start");
    let start = Instant::now();
    let watched = Command::new(&path).args([&socket, "--no-spawn", "watch"]).arg(root).output().unwrap();
    assert!(watched.status.success(), "{}", String::from_utf8_lossy(&watched.stderr));
    // A question is answered when the tree has been looked at.
    let ask = serde_json::json!(["query", root, { "expression": ["name", "README.md"], "fields": ["name"] }]);
    let mut query = Command::new(&path)
        .args([&socket, "--no-spawn", "--json-command"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(query.stdin.take().unwrap(), "{ask}").unwrap();
    let answer = query.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&answer.stdout).contains("clock"), "{answer:?}");
    note("watchman: start of watching", start.elapsed().as_secs_f64(), "s");
    let mut client = Command::new(&path)
        .args([&socket, "--no-spawn", "--json-command", "--persistent", "--no-pretty"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut input = client.stdin.take().unwrap();
    // It reads one command and then only answers.
    writeln!(input, "{}", serde_json::json!(["subscribe", root, "s", { "fields": ["name"] }])).unwrap();
    drop(input);
    let mut told = |name: &str| lines.by_ref().find(|line| line.contains(name)).unwrap();
    told("subscribe");
    let mut times = Times::default();
    for n in 0..rounds(50) {
        let name = format!("bench-{n}.md");
        fs::write(root.join(&name), "1").unwrap();
        let saved = Instant::now();
        told(&name);
        times.push(saved.elapsed().saturating_sub(SETTLE));
    }
    note("watchman: save to subscriber, beyond 20 ms, p50", times.p50(), "ms");
    note("watchman: save to subscriber, beyond 20 ms, p99", times.p99(), "ms");
    note("watchman: memory with the same tree", resident(server.pid()), "MiB");
    client.kill().unwrap();
    client.wait().unwrap();
    server.signal(Signal::TERM);
    server.ended();
    // It leaves it behind.
    fs::remove_file(state.join("sock")).unwrap();
}
