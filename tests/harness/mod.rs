//! The tests' own tools do what the other tests rely on.

use std::fs;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use crate::support::http_git::{Fault, GitServer};
use crate::support::{Census, Ran, TestEnv, own_process, until};
use ox::kit::lock::FileLock;

/// Drops the environment and returns the text it fails with.
fn failure(env: TestEnv) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(env))).expect_err("nothing was noticed");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn programs_see_only_the_private_machine() {
    let env = TestEnv::new();
    let seen = crate::support::run(env.cmd("env"), "env".into()).ok().stdout;
    for name in
        ["HOME=", "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_CACHE_HOME=", "XDG_RUNTIME_DIR=", "TMPDIR="]
    {
        let line = seen.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        assert!(line[name.len()..].starts_with(env.root().to_str().unwrap()), "{line}");
    }
    let repo = env.repo("one");
    assert_eq!(env.git(&repo, ["log", "--format=%an <%ae> %s"]), "Test User <test@example.invalid> First");
    env.ox(["version"]);
}

#[test]
fn a_variable_that_leads_out_is_refused() {
    let mut env = TestEnv::new();
    env.set("XDG_DATA_HOME", "/var/lib");
    assert!(catch_unwind(AssertUnwindSafe(|| env.ox(["version"]))).is_err());
}

#[test]
fn a_process_left_behind_fails_the_test_and_is_ended() {
    let mut env = TestEnv::new();
    env.hurry();
    let mut left =
        Command::new("sleep").arg("600").env("OX_TEST_ENV", env.root()).stdin(Stdio::null()).spawn().unwrap();
    until(|| env.processes().len() == 1);
    let text = failure(env);
    assert!(text.contains(&format!("process {} is still there: sleep 600", left.id())), "{text}");
    assert!(!left.wait().unwrap().success());
}

#[test]
fn sockets_and_temporary_files_left_behind_fail_the_test() {
    let env = TestEnv::new();
    let _listener = UnixListener::bind(env.runtime().join("x.sock")).unwrap();
    fs::write(env.data().join(".a.json.1.0.tmp"), "").unwrap();
    fs::create_dir(env.data().join("ledger.ox-clone-7")).unwrap();
    let text = failure(env);
    for part in ["x.sock", ".a.json.1.0.tmp", "ledger.ox-clone-7"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn leftovers_can_be_allowed() {
    let mut env = TestEnv::new();
    env.allow_leftovers();
    fs::write(env.data().join(".a.json.1.0.tmp"), "").unwrap();
}

/// A process that holds the host lock as a daemon does, and whether it listens to TERM.
fn stand_in(env: &TestEnv, script: &str) -> std::process::Child {
    let path = env.data().join("sageox/daemon.lock");
    drop(FileLock::try_acquire(&path).unwrap());
    let script = format!("exec 9<>\"$1\"; flock -n 9 || exit 1; echo $$ >&9; {script}");
    let child = Command::new("bash")
        .args(["-c", &script, "daemon", path.to_str().unwrap()])
        .env("OX_TEST_ENV", env.root())
        .spawn()
        .unwrap();
    until(|| env.daemon_pid() == Some(child.id()));
    child
}

#[test]
fn the_daemon_is_stopped_at_the_end() {
    let env = TestEnv::new();
    // `read` on a pipe that nobody writes to waits without a child of its own.
    let mut daemon = stand_in(&env, "trap 'exit 0' TERM; read -r _ <> <(:)");
    drop(env);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn threads_and_descriptors_left_behind_are_noticed() {
    own_process("harness::threads_and_descriptors_left_behind_are_noticed", || {
        let before = Census::take();
        assert_eq!(before.left(), Vec::<String>::new());
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let (started, start) = std::sync::mpsc::channel();
        let body = move || {
            started.send(()).unwrap();
            wait.recv()
        };
        let thread = std::thread::Builder::new().name("extra".into()).spawn(body).unwrap();
        start.recv().unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        let left = before.left().concat();
        assert!(left.contains("extra") && left.contains("/dev/null"), "{left}");
        drop((stop, file));
        thread.join().unwrap().unwrap_err();
        before.assert_nothing_left();
    });
}

/// A machine with a served repository that holds one commit, and a clone of it.
fn served() -> (TestEnv, GitServer, std::path::PathBuf) {
    let env = TestEnv::new();
    env.bare("srv/team.git");
    let server = GitServer::start(&env, &env.work().join("srv"));
    let url = server.url("team.git");
    let clone = env.repo("a");
    env.git(&clone, ["remote", "add", "origin", &url]);
    env.git(&clone, ["push", "-q", "-u", "origin", "main"]);
    (env, server, clone)
}

#[test]
fn git_pushes_to_the_server_clones_and_fetches() {
    let (env, server, a) = served();
    let url = server.url("team.git");
    env.git(env.work(), ["clone", "-q", &url, "b"]);
    let b = env.work().join("b");
    // Large and not compressible: the push comes in chunks.
    let mut rng = ox::kit::rng::Rng::new(1);
    let noise: Vec<u8> = (0..400_000).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    fs::write(a.join("big"), &noise).unwrap();
    env.git(&a, ["add", "big"]);
    env.git(&a, ["commit", "-qm", "Big"]);
    env.git(&a, ["push", "-q"]);
    env.git(&b, ["pull", "-q"]);
    assert_eq!(fs::read(b.join("big")).unwrap(), noise);
    let log = server.log();
    assert_eq!(log.len(), server.requests());
    assert!(log.iter().any(|r| r.chunked && r.path.ends_with("/git-receive-pack")));
    assert!(log.iter().any(|r| r.protocol.as_deref() == Some("version=2")));
    assert!(
        log.iter().any(|r| log.iter().filter(|o| o.connection == r.connection).count() > 1),
        "no kept connection"
    );
    assert!(log.iter().all(|r| r.status == Some(200)));
}

#[test]
fn a_compressed_request_is_passed_on() {
    let (env, server, a) = served();
    // Each line of the request names one commit; past 1 KiB git compresses it.
    for n in 0..60 {
        let name = format!("refs/heads/b{n}");
        let commit = env.git(&a, ["commit-tree", "-p", "HEAD", "-m", &name, "HEAD^{tree}"]);
        env.git(&a, ["update-ref", &name, &commit]);
    }
    env.git(&a, ["push", "-q", "--all"]);
    let url = server.url("team.git");
    env.git(env.work(), ["-c", "protocol.version=0", "clone", "-q", "--mirror", &url, "m"]);
    assert_eq!(env.git(env.work().join("m"), ["for-each-ref", "--format=%(refname)"]).lines().count(), 61);
    assert!(server.log().iter().any(|r| r.gzip), "nothing came compressed");
}

#[test]
fn the_server_misbehaves_when_told_to() {
    let (mut env, mut server, a) = served();
    env.set("GIT_HTTP_LOW_SPEED_LIMIT", "1000");
    env.set("GIT_HTTP_LOW_SPEED_TIME", "1");
    let fetch = |env: &TestEnv| -> Ran { env.try_git(&a, ["ls-remote", "origin"]) };
    for (fault, text) in [
        (Fault::Drop, "Empty reply"),
        (Fault::Reset, "reset by peer"),
        (Fault::Stall, "too slow"),
        (Fault::Cut, "transfer closed"),
        (Fault::StallHalfway, "too slow"),
        (Fault::Status(401), "could not read Username"),
        (Fault::Status(403), "error: 403"),
        (Fault::Status(500), "error: 500"),
        (Fault::RetryAfter(7), "error: 429"),
    ] {
        server.fault(Some(fault));
        let ran = fetch(&env);
        assert_eq!(ran.code, Some(128), "{fault:?}: {ran:?}");
        assert!(ran.stderr.contains(text), "{fault:?}: {ran:?}");
    }
    server.fault(None);
    fetch(&env).ok();
    server.fault_times(Fault::Status(500), 1);
    fetch(&env).fails(128);
    fetch(&env).ok();
    server.down();
    assert!(fetch(&env).fails(128).stderr.contains("Failed to connect"));
    server.up();
    fetch(&env).ok();
}

#[test]
fn the_server_asks_for_a_login() {
    let (env, server, a) = served();
    server.require_login("ann", "s3cret");
    env.try_git(&a, ["ls-remote", "origin"]).fails(128);
    let url = server.url("team.git").replace("http://", "http://ann:s3cret@");
    env.git(&a, ["ls-remote", &url]);
    let url = url.replace("s3cret", "wrong");
    env.try_git(&a, ["ls-remote", &url]).fails(128);
}

#[test]
fn the_server_leaves_nothing_behind() {
    own_process("harness::the_server_leaves_nothing_behind", || {
        let before = Census::take();
        let (env, server, a) = served();
        server.fault(Some(Fault::Stall));
        let mut stuck = env.start_git(&a, ["fetch"]);
        until(|| server.log().last().is_some_and(|r| r.status.is_none()));
        drop(server);
        assert!(!stuck.ended().success());
        drop((stuck, env));
        before.assert_nothing_left();
    });
}

#[test]
fn base64_pads_as_the_rfc_says() {
    for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(crate::support::http_git::base64(plain.as_bytes()), coded);
    }
}

#[test]
fn a_real_daemon_is_found_stopped_and_leaves_nothing() {
    let env = TestEnv::new();
    let repo = env.repo("app");
    env.ox_in(&repo, ["up"]).ok();
    let pid = env.daemon_pid().expect("no daemon after `ox up`");
    assert!(env.processes().iter().any(|p| p.pid == pid));
    assert!(!env.sockets().is_empty());
    drop(env);
    assert!(crate::support::census::state(pid).is_none_or(|(state, _)| state == 'Z'));
}
