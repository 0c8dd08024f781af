//! The tests' own tools do what the other tests rely on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use ox::kit::lock::FileLock;
use support::{Census, TestEnv, own_process, wait_until};

/// Drops the environment and returns the text it fails with.
fn failure(env: TestEnv) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(env))).expect_err("nothing was noticed");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn programs_see_only_the_private_machine() {
    let env = TestEnv::new();
    let seen = support::run(env.cmd("env"), "env".into()).ok().stdout;
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
    let env = TestEnv::new();
    let mut left =
        Command::new("sleep").arg("600").env("OX_TEST_ENV", env.root()).stdin(Stdio::null()).spawn().unwrap();
    assert!(wait_until(Duration::from_secs(5), || env.processes().len() == 1));
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
    assert!(wait_until(Duration::from_secs(5), || env.daemon_pid() == Some(child.id())));
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
    own_process("threads_and_descriptors_left_behind_are_noticed", || {
        let before = Census::take();
        before.assert_nothing_left(Duration::ZERO);
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("extra".into()).spawn(move || wait.recv()).unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        let noticed = catch_unwind(|| before.assert_nothing_left(Duration::ZERO)).unwrap_err();
        let text = noticed.downcast_ref::<String>().unwrap();
        assert!(text.contains("extra") && text.contains("/dev/null"), "{text}");
        drop((stop, file));
        thread.join().unwrap().unwrap_err();
        before.assert_nothing_left(Duration::from_secs(5));
    });
}
