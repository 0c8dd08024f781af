//! Starts: many at once, and with things missing.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;

use ox::kit::lock::FileLock;

use super::machine::Machine;
use crate::support::{Background, OX, TestEnv, run, until};

/// Exit code, standard output and standard error. What takes long says so on the latter.
fn output(client: &mut Background) -> (Option<i32>, String, String) {
    let status = client.ended();
    let (mut out, mut err) = (String::new(), String::new());
    client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (status.code(), out, err)
}

#[test]
fn ipc_06_many_starts_at_once_make_one_daemon() {
    let m = Machine::new();
    let mut clients: Vec<Background> =
        (0..20).map(|_| m.start_ox(&m.repo, ["daemon", "start", "--json"])).collect();
    let mut started = 0;
    for client in &mut clients {
        let (code, text, err) = output(client);
        assert_eq!(code, Some(0), "{text}{err}");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["pid"], m.pid(), "{text}");
        started += usize::from(document["already_running"] == false);
    }
    assert_eq!((started, m.daemons(), m.served()), (1, 1, 1));
    assert_eq!(m.log().matches("started: ox").count(), 1, "{}", m.log());
}

/// Also a process whose first thread has ended holds the lock for a moment, and one that ends in order for seconds.
#[test]
fn ipc_02_a_start_during_the_end_of_another_daemon_waits_for_it() {
    let m = Machine::new();
    let lock = FileLock::try_acquire(&m.dirs().daemon_lock()).unwrap().unwrap();
    let socket = m.root().join("ending.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let holder = serde_json::json!({ "pid": std::process::id(), "socket": socket });
    lock.write(holder.to_string().as_bytes()).unwrap();
    let mut client = m.start_ox(&m.repo, ["daemon", "start"]);
    drop(listener.accept().unwrap());
    drop(listener);
    fs::remove_file(&socket).unwrap();
    // It has seen a daemon that does not answer any more; now that is gone.
    drop(lock);
    let (code, text, err) = output(&mut client);
    assert_eq!(code, Some(0), "{text}{err}");
    assert!(text.contains("started, pid"), "{text}");
    assert_eq!((m.daemons(), m.served()), (1, 1));
}

#[test]
fn three_repositories_started_at_once_are_not_throttled() {
    let env = TestEnv::new();
    let repos = ["a", "b", "c"].map(|name| env.repo(name));
    let mut clients = repos.each_ref().map(|repo| env.start_ox(repo, ["up"]));
    for client in &mut clients {
        let (code, text, err) = output(client);
        assert_eq!(code, Some(0), "{text}{err}");
    }
    let m = Machine { env, repo: repos[0].clone() };
    assert_eq!((m.served(), m.daemons()), (3, 1));
    for _ in 0..5 {
        m.here(["daemon", "restart"]).ok();
    }
    assert!(!m.log().contains("background work waits"), "{}", m.log());
    until(|| m.served() == 3);
}

#[test]
fn a_daemon_needs_no_home_where_its_directories_are_named() {
    let m = Machine::new();
    let without_home = |args: &[&str]| {
        let cmd = m.cmd("env").args(["-u", "HOME", OX]).args(args).dir(&m.repo);
        run(cmd, format!("env -u HOME ox {args:?}"))
    };
    without_home(&["up"]).ok();
    let pid = m.pid();
    without_home(&["sync"]).ok();
    without_home(&["daemon", "status"]).ok();
    without_home(&["daemon", "stop", "--all"]).ok();
    assert_ne!(m.daemon_pid(), Some(pid));
}

#[test]
fn a_home_that_is_no_path_is_an_error_that_says_so() {
    let m = Machine::new();
    let mut args = vec!["HOME=rel"];
    for var in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        args.extend(["-u", var]);
    }
    // Options of `env` come before its assignments.
    args.rotate_left(1);
    let cmd = m.cmd("env").args(args).args([OX, "up"]).dir(&m.repo);
    let ran = run(cmd, "ox up with a relative HOME".into());
    assert!(ran.code != Some(0) && ran.stderr.to_lowercase().contains("home"), "{ran:?}");
    assert!(!m.repo.join("rel").exists());
    assert_eq!(m.daemons(), 0);
}

#[test]
fn a_home_that_does_not_exist_yet_is_made() {
    let mut m = Machine::new();
    m.here(["daemon", "stop", "--all"]).ok();
    let home = m.root().join("new/home");
    for (var, below) in
        [("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".local/share"), ("XDG_CACHE_HOME", ".cache")]
    {
        m.set(var, home.join(below));
    }
    m.here(["up"]).ok();
    assert!(home.join(".local/share/sageox/daemon.lock").exists());
    m.here(["daemon", "stop", "--all"]).ok();
    fs::remove_dir_all(m.root().join("new")).unwrap();
}

#[test]
fn two_homes_that_share_a_runtime_directory_are_two_daemons() {
    let mut m = Machine::up();
    let (first, data) = (m.pid(), m.env.data());
    let other = m.root().join("other");
    fs::create_dir(&other).unwrap();
    m.env.set("XDG_DATA_HOME", &other);
    let repo = m.env.repo("second");
    m.env.ox_in(&repo, ["up"]).ok();
    let started = m.env.ox_in(&repo, ["daemon", "start", "--json"]).ok().json();
    assert_ne!(started["pid"], first, "{started}");
    assert_eq!(m.daemons(), 2);
    m.env.ox(["daemon", "stop", "--all"]).ok();
    until(|| m.daemons() == 1);
    m.env.set("XDG_DATA_HOME", &data);
    m.here(["sync"]).ok();
    assert_eq!(m.daemon_pid(), Some(first));
}
