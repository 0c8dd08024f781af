//! From the spawn of the daemon to its first answer, and whole commands, beside the spawn of a program that does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::time::Instant;

use common::support::{self, HANG, TestEnv};
use common::{Daemon, Times, dirs, fixed, note, project, ratio, rounds, time, title};
use ox::ipc::client::Client;
use rustix::process::Signal;

fn main() {
    title("start");
    let env = TestEnv::new();
    let mut floor = Times::default();
    for _ in 0..rounds(100) {
        floor.push(time(|| support::run(env.cmd("true"), "true".into()).ok()));
    }
    note("spawn of an empty native process", floor.p50(), "ms");

    let host = Client::new(dirs(&env).host_socket());
    fixed("daemon to first answer", first_answers(&env, &host, Signal::TERM).p50(), "ms", 30.0);
    let project = project(&env, "app", None);
    let daemon = Daemon::start(&env);
    let attached = daemon.attach(&project);
    daemon.kill();
    let times = first_answers(&env, &attached, Signal::KILL);
    fixed("after kill -9, to the project's answer", times.p50(), "ms", 30.0);

    let daemon = Daemon::start(&env);
    daemon.attach(&project);
    for command in ["version", "status"] {
        let mut ours = Times::default();
        for _ in 0..rounds(100) {
            ours.push(time(|| env.ox_in(&project.root, [command]).ok()));
        }
        ratio(&format!("ox {command}, whole process / empty process"), ours.p50(), floor.p50(), "ms", 6.0);
    }
}

/// Starts a daemon again and again, each time until `client` hears it, and ends it with `signal`.
fn first_answers(env: &TestEnv, client: &Client, signal: Signal) -> Times {
    let mut times = Times::default();
    for _ in 0..rounds(30) {
        let start = Instant::now();
        let mut process = env.start_ox(env.work(), ["daemon", "start", "--foreground"]);
        // A failed connect costs microseconds: asking without a pause finds the first answer.
        while !client.is_reachable() {
            assert!(start.elapsed() < HANG, "the daemon does not answer");
            std::thread::yield_now();
        }
        times.push(start.elapsed());
        process.signal(signal);
        process.ended();
    }
    times
}
