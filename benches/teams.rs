//! Many team contexts over HTTP: what a cycle with nothing new costs, in time, processes and memory, and how little it matters how many
//! projects share them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::support::TestEnv;
use common::support::http_git::GitServer;
use common::{Daemon, Times, count_git, dirs, fixed, note, project, ratio, remote, rounds, time, title};
use ox::ipc::client::{Client, NO_PAYLOAD};
use ox::ipc::wire::Message;
use ox::kit::clock::wait_until;
use ox::project::{Config, Project, Team};

const TEAMS: usize = 20;
const AT_A_TIME: usize = 4;
const WINDOW: Duration = Duration::from_secs(120);

fn main() {
    title("teams");
    let mut env = TestEnv::new();
    let (bare, _) = remote(&env, "srv/t0.git");
    for n in 1..TEAMS {
        env.git(env.work(), ["clone", "-q", "--bare", bare.to_str().unwrap(), &format!("srv/t{n}.git")]);
    }
    let server = GitServer::start(&env, &env.work().join("srv"));
    let urls: Vec<String> = (0..TEAMS).map(|n| server.url(&format!("t{n}.git"))).collect();
    let log = count_git(&mut env);
    let projects: Vec<Project> = (0..10).map(|n| project(&env, &format!("app{n}"), None)).collect();
    let daemon = Daemon::start(&env);
    let first = daemon.attach(&projects[0]);
    let alone = memory(daemon.pid());

    name_teams(&env, &projects[0], &urls);
    answers_while("clones are made", &first, || cloned(&first));
    cycle(&env, &first, &urls, &log);
    let with = memory(daemon.pid());
    fixed("own memory that 20 teams add", (with.0 - alone.0).max(0.0), "MiB", 2.0);
    note("pages of the program and of packs, mapped meanwhile", (with.1 - alone.1).max(0.0), "MiB");

    answers_while("20 clones are synced", &first, || {
        for _ in 0..rounds(20) {
            first.team_sync("", |_| ()).unwrap();
        }
    });
    let one = requests(&server);
    for project in &projects[1..] {
        name_teams(&env, project, &urls);
        cloned(&daemon.attach(project));
    }
    let ten = requests(&server);
    note("requests in two minutes, 1 project", one, "");
    ratio("requests in two minutes, 10 projects / 1 project", ten, one, "", 1.1);
}

fn name_teams(env: &TestEnv, project: &Project, urls: &[String]) {
    Config::update(&project.root, &dirs(env), |config| {
        for (n, url) in urls.iter().enumerate() {
            config.add_team(&Team { team_id: format!("team{n}"), name: String::new(), url: url.clone() });
        }
    })
    .unwrap();
}

/// Waits until all teams are there, with all of their history.
fn cloned(client: &Client) {
    for _ in 0..3 {
        let results = client.team_sync("", |_| ()).unwrap();
        assert!(results.iter().all(|r| r.error.is_empty()), "{results:?}");
        assert_eq!(results.len(), TEAMS);
    }
}

/// How fast `status` is answered on a new connection while `work` goes on.
fn answers_while(what: &str, client: &Client, work: impl FnOnce() + Send) {
    let mut times = Times::default();
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            times.push(time(|| client.call(Message::Status, NO_PAYLOAD, Duration::from_secs(10)).unwrap()));
            let pause = Instant::now();
            wait_until(Duration::from_secs(1), || pause.elapsed() >= Duration::from_millis(1));
        }
    });
    note(&format!("status while {what}: p50"), times.p50(), "ms");
    fixed(&format!("status while {what}: p99"), times.p99(), "ms", 10.0);
}

fn cycle(env: &TestEnv, client: &Client, urls: &[String], log: &std::path::Path) {
    let ls_remote = |url: &String| drop(env.git(env.work(), ["ls-remote", url]));
    let floor_of = || {
        std::thread::scope(|scope| {
            for some in urls.chunks(TEAMS / AT_A_TIME) {
                scope.spawn(move || some.iter().for_each(ls_remote));
            }
        });
    };
    let (mut ours, mut floor) = (Times::default(), Times::default());
    for _ in 0..rounds(20) {
        floor.push(time(floor_of));
        ours.push(time(|| client.team_sync("", |_| ()).unwrap()));
    }
    ratio("cycle of 20, nothing new / 20 git ls-remote", ours.p50(), floor.p50(), "ms", 0.5);
    fs::write(log, "").unwrap();
    client.team_sync("", |_| ()).unwrap();
    fixed("git processes in such a cycle", fs::read_to_string(log).unwrap().lines().count() as f64, "", 0.0);
}

/// Requests at the server in a time of several beats in which nobody asks for anything.
fn requests(server: &GitServer) -> f64 {
    let (start, before) = (Instant::now(), server.requests());
    wait_until(WINDOW, || start.elapsed() >= WINDOW);
    (server.requests() - before) as f64
}

/// What a process has for itself, and what of files it has mapped, in MiB.
fn memory(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    (field("RssAnon:"), field("RssFile:"))
}
