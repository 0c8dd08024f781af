//! A sync through the daemon beside what git itself needs for the same.
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
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::support::TestEnv;
use common::support::http_git::GitServer;
use common::{Daemon, Times, count_git, fixed, project, push_one, ratio, remote, rounds, time, title};
use ox::git::{self, CloneLock, Git, How, Profile, ResolveRules, discover};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;

fn main() {
    title("sync");
    path_remote();
    http_remote();
    looks();
    processes();
    diverged();
}

/// Ledger and control clone of the same repository on this machine.
fn path_remote() {
    let env = TestEnv::new();
    let (bare, writer) = remote(&env, "ledger.git");
    let url = bare.to_str().unwrap();
    env.git(env.work(), ["clone", "-q", url, "control"]);
    let control = env.work().join("control");
    let project = project(&env, "app", Some(url));
    let daemon = Daemon::start(&env);
    let client = daemon.attach(&project);
    let ledger = common::dirs(&env).ledger(&project.slug, &project.repo_id);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for _ in 0..rounds(100) {
        floor.push(time(|| env.git(&control, ["ls-remote", url])));
        ours.push(time(|| client.sync(|_| ()).unwrap()));
    }
    ratio("nothing new, path remote / git ls-remote", ours.p50(), floor.p50(), "ms", 0.5);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for n in 0..rounds(40) {
        let head = push_one(&env, &writer, n);
        floor.push(time(|| env.git(&control, ["fetch", "-q"])));
        ours.push(time(|| client.sync(|_| ()).unwrap()));
        assert_eq!(env.git(&ledger, ["rev-parse", "HEAD"]), head, "the sync did not bring the commit");
    }
    ratio("one commit, path remote / git fetch", ours.p50(), floor.p50(), "ms", 1.5);
}

fn http_remote() {
    let env = TestEnv::new();
    let (_, writer) = remote(&env, "srv/ledger.git");
    let server = GitServer::start(&env, &env.work().join("srv"));
    let url = server.url("ledger.git");
    env.git(env.work(), ["clone", "-q", &url, "control"]);
    let control = env.work().join("control");
    let project = project(&env, "app", Some(&url));
    let daemon = Daemon::start(&env);
    let client = daemon.attach(&project);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for _ in 0..rounds(50) {
        floor.push(time(|| env.git(&control, ["ls-remote", &url])));
        ours.push(time(|| client.sync(|_| ()).unwrap()));
    }
    ratio("nothing new, HTTP / git ls-remote", ours.p50(), floor.p50(), "ms", 1.0);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for n in 0..rounds(20) {
        push_one(&env, &writer, n);
        floor.push(time(|| env.git(&control, ["fetch", "-q"])));
        ours.push(time(|| client.sync(|_| ()).unwrap()));
    }
    ratio("one commit, HTTP / git fetch", ours.p50(), floor.p50(), "ms", 1.5);
}

/// Looks over HTTP without a daemon around them: one, and at 20 remotes with 4 at a time.
fn looks() {
    const REMOTES: usize = 20;
    const AT_A_TIME: usize = 4;
    let env = TestEnv::new();
    let (bare, _) = remote(&env, "srv/r0.git");
    for n in 1..REMOTES {
        env.git(env.work(), ["clone", "-q", "--bare", bare.to_str().unwrap(), &format!("srv/r{n}.git")]);
    }
    let server = GitServer::start(&env, &env.work().join("srv"));
    let urls: Vec<String> = (0..REMOTES).map(|n| server.url(&format!("r{n}.git"))).collect();
    let clock = Arc::new(SystemClock);
    let vars = git::Env::of(env.vars().map(|(n, v)| (n.to_owned(), v.to_owned())));
    let git = Git::new(Profile::SelfHosted, vars, clock.clone(), "bench").with_http(Client::new(clock));
    let look =
        |url: &String| assert!(discover(&git, url, Some("main"), &Cancel::new()).unwrap().tip.is_some());
    let ls_remote = |url: &String| drop(env.git(env.work(), ["ls-remote", url]));
    let all = |work: &(dyn Fn(&String) + Sync)| {
        std::thread::scope(|scope| {
            for some in urls.chunks(REMOTES / AT_A_TIME) {
                scope.spawn(move || some.iter().for_each(work));
            }
        });
    };
    // The first look at a remote also learns what its server can do.
    all(&look);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for _ in 0..rounds(50) {
        floor.push(time(|| ls_remote(&urls[0])));
        ours.push(time(|| look(&urls[0])));
    }
    ratio("one look, HTTP / git ls-remote", ours.p50(), floor.p50(), "ms", 1.0);

    let (mut ours, mut floor) = (Times::default(), Times::default());
    for _ in 0..rounds(20) {
        floor.push(time(|| all(&ls_remote)));
        ours.push(time(|| all(&look)));
    }
    ratio("20 looks, 4 at a time, HTTP / git ls-remote", ours.p50(), floor.p50(), "ms", 0.5);
}

/// How many git processes the daemon starts, counted by a git in front of the real one.
fn processes() {
    let mut env = TestEnv::new();
    let (bare, writer) = remote(&env, "ledger.git");
    let project = project(&env, "app", Some(bare.to_str().unwrap()));
    let log = count_git(&mut env);
    let daemon = Daemon::start(&env);
    let client = daemon.attach(&project);
    // The first one gives the new clone its set of files.
    client.sync(|_| ()).unwrap();
    let count = |head: bool| {
        if head {
            push_one(&env, &writer, 0);
        }
        fs::write(&log, "").unwrap();
        client.sync(|_| ()).unwrap();
        fs::read_to_string(&log).unwrap().lines().count() as f64
    };
    fixed("git processes, nothing new, path remote", count(false), "", 0.0);
    fixed("git processes, one commit, path remote", count(true), "", 2.0);
}

/// Bringing ten new commits below ten own ones.
fn diverged() {
    let mut env = TestEnv::new();
    let (bare, writer) = remote(&env, "ledger.git");
    let url = bare.to_str().unwrap();
    for name in ["control", "managed"] {
        env.git(env.work(), ["clone", "-q", url, name]);
    }
    let (control, managed) = (env.work().join("control"), env.work().join("managed"));
    let git_of = |env: &TestEnv| {
        let vars = git::Env::of(env.vars().map(|(n, v)| (n.to_owned(), v.to_owned())));
        Git::new(Profile::SelfHosted, vars, Arc::new(SystemClock), "bench")
    };
    let (lock, plain) = (env.work().join("managed.lock"), git_of(&env));
    let pull = |git: &Git| {
        let mut lock = CloneLock::acquire(&lock, Duration::ZERO).unwrap().unwrap();
        let mut clone = lock.open(git, &managed, &Cancel::new()).unwrap();
        clone.fetch("main").unwrap();
        let step = clone.integrate("main", &ResolveRules::default()).unwrap();
        assert!(matches!(step.how, How::Replayed { .. }));
    };
    let commits = |env: &TestEnv, work: &Path, what: &str| {
        for n in 0..10 {
            let name = format!("{what}-{n}.md");
            fs::write(work.join(&name), &name).unwrap();
            env.git(work, ["add", &name]);
            env.git(work, ["commit", "-q", "-m", &name]);
        }
    };
    let diverge = |env: &TestEnv, n: usize| {
        for work in [&control, &managed] {
            env.git(work, ["reset", "-q", "--hard", "origin/main"]);
            commits(env, work, &format!("own-{n}"));
        }
        commits(env, &writer, &format!("theirs-{n}"));
        env.git(&writer, ["push", "-q", "origin", "HEAD:main"]);
    };
    let (mut ours, mut floor) = (Times::default(), Times::default());
    for n in 0..rounds(20) {
        diverge(&env, n);
        floor.push(time(|| env.git(&control, ["pull", "-q", "--rebase"])));
        ours.push(time(|| pull(&plain)));
    }
    diverge(&env, usize::MAX);
    let log = count_git(&mut env);
    pull(&git_of(&env));
    let children = fs::read_to_string(&log).unwrap().lines().count();
    ratio("10 own commits over 10 new / git pull --rebase", ours.p50(), floor.p50(), "ms", 1.0);
    fixed("git processes, 10 own commits over 10 new", children as f64, "", 3.0);
}
