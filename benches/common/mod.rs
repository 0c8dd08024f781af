//! What the benches share: a daemon on a machine of its own, times with their middle, and one line a result.
#![allow(dead_code)]

#[path = "../../tests/support/mod.rs"]
pub mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ox::daemon::reach::ARENAS;
use ox::ipc::client::Client;
use ox::project::{Dirs, Env, Project, RemoteUrl};
use ox::sync::{InitOptions, Site, init_project};
use rustix::process::Signal;
use support::{Background, TestEnv, until_or};

/// Whether the short form is wanted: fewer rounds, the same lines.
pub fn quick() -> bool {
    std::env::var_os("OX_BENCH_QUICK").is_some()
}

/// `full` rounds, or a tenth of them in the short form.
pub fn rounds(full: usize) -> usize {
    if quick() { full.div_ceil(10) } else { full }
}

/// A daemon in the foreground of a machine. It ends with this value; the machine must be dropped after it.
pub struct Daemon {
    process: Background,
    dirs: Dirs,
    killed: bool,
}

impl Daemon {
    /// Starts it and waits for its first answer.
    pub fn start(env: &TestEnv) -> Daemon {
        // As a command starts it, but as our child.
        let arenas = format!("{}={}", ARENAS.0, ARENAS.1);
        let process = env.start("env", env.work(), [&arenas, support::OX, "daemon", "start", "--foreground"]);
        let daemon = Daemon { process, dirs: dirs(env), killed: false };
        until_or(|| daemon.host().is_reachable(), || "the daemon does not answer");
        daemon
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it, without any chance to tidy up.
    pub fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.ended();
        self.killed = true;
    }

    /// The client of its host socket.
    pub fn host(&self) -> Client {
        Client::new(self.dirs.host_socket())
    }

    /// Attaches a project and waits for its first sync.
    pub fn attach(&self, project: &Project) -> Client {
        let attached = self.host().attach(project.root.to_str().unwrap()).unwrap();
        let client =
            Client::new(attached.socket_path).named(&project.workspace_id, &project.legacy_workspace_id);
        client.sync(|_| ()).unwrap();
        client
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        self.process.signal(Signal::TERM);
        let ended = self.process.ended();
        assert!(std::thread::panicking() || ended.success(), "the daemon ended with {ended}");
    }
}

/// The directories of a machine.
pub fn dirs(env: &TestEnv) -> Dirs {
    Dirs::from_env(&lib_env(env)).unwrap()
}

fn lib_env(env: &TestEnv) -> Env {
    Env::of(env.vars(), env.work())
}

/// A repository with a project in it. Its ledger is `ledger`, or a repository on this machine.
pub fn project(env: &TestEnv, name: &str, ledger: Option<&str>) -> Project {
    let root = env.repo(name);
    let site = Site::new(dirs(env), lib_env(env));
    let ledger = ledger.map(|url| RemoteUrl::parse(url).unwrap());
    init_project(&site, &root, &InitOptions { ledger, force: false }).unwrap();
    Project::load(&root, &lib_env(env)).unwrap()
}

/// A bare repository with one commit, and a clone of it to write with.
pub fn remote(env: &TestEnv, name: &str) -> (PathBuf, PathBuf) {
    let bare = env.bare(name);
    let writer = env.repo(&format!("{name}.writer"));
    env.git(&writer, ["remote", "add", "origin", bare.to_str().unwrap()]);
    env.git(&writer, ["push", "-q", "-u", "origin", "main"]);
    (bare, writer)
}

/// Commits a small file and pushes it.
pub fn push_one(env: &TestEnv, writer: &Path, n: usize) -> String {
    std::fs::write(writer.join(format!("note-{n}.md")), format!("note {n}\n")).unwrap();
    env.git(writer, ["add", "."]);
    env.git(writer, ["commit", "-qm", "Note"]);
    env.git(writer, ["push", "-q"]);
    env.git(writer, ["rev-parse", "HEAD"])
}

/// Puts a git that notes each call before the real one; answers the file it notes them in.
pub fn count_git(env: &mut TestEnv) -> PathBuf {
    let log = env.work().join("git.log");
    let path = std::env::var("PATH").unwrap();
    let real = path.split(':').map(|d| Path::new(d).join("git")).find(|p| p.exists()).unwrap();
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\nexec '{}' \"$@\"\n", log.display(), real.display());
    let dir = env.work().join("counted");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("git"), script).unwrap();
    std::fs::set_permissions(dir.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    env.set("PATH", format!("{}:{path}", dir.display()));
    log
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

/// The times of many rounds.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The one in the middle, in milliseconds.
    pub fn p50(&self) -> f64 {
        self.at(0.5)
    }

    /// The one that 99 of 100 do not exceed, in milliseconds.
    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted[((sorted.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3
    }
}

/// Prints the heads of the columns.
pub fn title(bench: &str) {
    println!("{bench:<44} {:>12} {:>12} {:>8} {:>10}", "ours", "floor", "ratio", "budget");
}

/// Prints what was measured against a floor of the same run, and whether their ratio is within `budget`.
pub fn ratio(what: &str, ours: f64, floor: f64, unit: &str, budget: f64) {
    let ratio = ours / floor;
    let (ours, floor) = (format!("{ours:.2} {unit}"), format!("{floor:.2} {unit}"));
    println!(
        "{what:<44} {ours:>12} {floor:>12} {ratio:>8.2} {:>10} {}",
        format!("<= {budget}"),
        verdict(ratio <= budget)
    );
}

/// As [`ratio`], of what is better the more it is.
pub fn at_least(what: &str, ours: f64, floor: f64, budget: f64) {
    let ratio = ours / floor;
    let limit = format!(">= {budget}");
    println!("{what:<44} {ours:>12.0} {floor:>12.0} {ratio:>8.2} {limit:>10} {}", verdict(ratio >= budget));
}

/// Resident memory of a process in MiB.
pub fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The most resident memory of this process, in KiB, counted anew from here on.
pub fn peak_anew() -> f64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

/// The most resident memory of this process since then, in KiB.
pub fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Prints a number that is nobody's budget.
pub fn note(what: &str, number: f64, unit: &str) {
    println!("{what:<44} {:>12}", format!("{number:.3} {unit}"));
}

/// Prints what was measured against a fixed `budget`.
pub fn fixed(what: &str, ours: f64, unit: &str, budget: f64) {
    let limit = format!("<= {budget}");
    println!(
        "{what:<44} {:>12} {:>12} {:>8} {limit:>10} {}",
        format!("{ours:.3} {unit}"),
        "-",
        "-",
        verdict(ours <= budget)
    );
}

fn verdict(within: bool) -> &'static str {
    if within { "ok" } else { "OVER" }
}
