//! 100,000 heartbeats of 1,000 agents over new connections, 8 clients at once, beside an epoll server that echoes the same lines; what the
//! daemon holds afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    bench::main();
}

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "common/floor.rs"]
mod floor;

#[cfg(target_os = "linux")]
mod bench {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::Duration;

    use ox::ipc::client::NO_PAYLOAD;
    use ox::ipc::wire::{Heartbeat, Instances, Message};
    use ox::kit::gotime::GoTime;

    use super::common::support::TestEnv;
    use super::common::{Daemon, at_least, fixed, note, project, resident, rounds, time, title};
    use super::floor;
    use ox::daemon::CHECK_EVERY;
    use ox::kit::clock::wait_until;

    const CLIENTS: usize = 8;
    const AGENTS: usize = 1_000;
    const TREES: usize = 20;
    const HEARTBEATS: usize = 100_000;
    /// Ours and the floor take turns, so that a disturbance meets both.
    const TURNS: usize = 10;

    pub fn main() {
        title("heartbeats");
        let env = TestEnv::new();
        let daemon = Daemon::start(&env);
        let client = daemon.attach(&project(&env, "app", None));
        let echo = env.tmp().join("echo.sock");
        floor::start(&echo, None);
        note("resident before", resident(daemon.pid()), "MiB");
        let lines: Vec<String> = (0..AGENTS).map(line).collect();
        let per_turn = rounds(HEARTBEATS) / TURNS / CLIENTS;
        let (mut ours, mut beside) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..TURNS {
            ours += time(|| all(client.path(), &lines, per_turn, turn));
            beside += time(|| all(&echo, &lines, per_turn, turn));
        }
        let sent = (TURNS * CLIENTS * per_turn) as f64;
        at_least("heartbeats a second", sent / ours.as_secs_f64(), sent / beside.as_secs_f64(), 0.85);
        let seen: Instances = client.call_as(Message::Instances, NO_PAYLOAD, Duration::from_secs(5)).unwrap();
        let counted: i64 = seen.instances.iter().map(|i| i.command_count).sum();
        note("of them taken in", counted as f64, "");
        std::fs::remove_file(&echo).unwrap();
        note("resident at the last of them", resident(daemon.pid()), "MiB");
        // What the daemon needs no more it gives back when it next looks after itself.
        let settled = || resident(daemon.pid()) <= 8.0;
        wait_until(CHECK_EVERY + Duration::from_secs(5), settled);
        fixed("resident afterwards", resident(daemon.pid()), "MiB", 8.0);
    }

    /// As a command sends it.
    fn line(n: usize) -> String {
        let beat = Heartbeat {
            repo_path: "/home/someone/src/project".into(),
            workspace_id: "ab405cfd".into(),
            caller_path: format!("/home/someone/src/tree-{}", n % TREES),
            agent_id: format!("Ox{n:04}"),
            team_ids: vec!["team_a".into()],
            timestamp: GoTime(Some("2026-11-20T21:05:28.688417349Z".parse().unwrap())),
            cli_version: "0.6.1".into(),
            context_tokens: 1200,
            command_name: "prime".into(),
            agent_type: "claude-code".into(),
            ..Heartbeat::default()
        };
        let payload = serde_json::to_string(&beat).unwrap();
        format!(
            "{{\"type\":\"heartbeat\",\"workspace_id\":\"ab405cfd\",\"caller_id\":\"{:08x}\",\"payload\":{payload}}}\n",
            n % TREES
        )
    }

    /// All clients at once; each heartbeat over a connection of its own.
    fn all(path: &Path, lines: &[String], per_client: usize, turn: usize) {
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || {
                    for n in 0..per_client {
                        send(path, &lines[(turn * 7919 + client * per_client + n) % lines.len()]);
                    }
                });
            }
        });
    }

    /// Until the other side has answered, or closed.
    fn send(path: &Path, line: &str) {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).unwrap();
        assert!(n == 0 || n == line.len());
    }
}
