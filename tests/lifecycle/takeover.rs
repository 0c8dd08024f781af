//! Paths, sockets and entries that others take, remove or leave behind.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use super::machine::{Machine, identity};
use crate::support::Background;
use crate::support::seed::rounds;

/// Another daemon takes the project over: its socket, pid file and entry, all naming this very process.
pub fn take_over(m: &Machine) -> UnixListener {
    let _ = fs::remove_file(m.socket());
    let listener = UnixListener::bind(m.socket()).unwrap();
    let us = std::process::id();
    fs::write(m.pid_file(), us.to_string()).unwrap();
    m.registry().register(&m.entry(us)).unwrap();
    listener
}

/// Everything of it is where it was.
#[track_caller]
pub fn assert_untouched(m: &Machine, inode: (u64, u64)) {
    assert_eq!(identity(&m.socket()), inode);
    assert_eq!(fs::read_to_string(m.pid_file()).unwrap(), std::process::id().to_string());
    assert_eq!(m.registered(&m.id()), Some(std::process::id()));
}

pub fn give_up(m: &Machine, listener: UnixListener) {
    drop(listener);
    fs::remove_file(m.socket()).unwrap();
    fs::remove_file(m.pid_file()).unwrap();
    let entry = m.registry().entries().unwrap()[&m.id()].clone();
    assert!(m.registry().unregister(&entry).unwrap());
}

#[test]
fn ipc_01_on_exit_the_successors_socket_stays() {
    let m = Machine::up();
    for round in 0..rounds(20, 1000) {
        let other = take_over(&m);
        let inode = identity(&m.socket());
        assert!(m.stop_daemon());
        assert_untouched(&m, inode);
        if round % 2 == 0 {
            give_up(&m, other);
        } else {
            // It was killed: all of its traces stay, and its pid means somebody else.
            drop(other);
        }
        m.here(["sync"]).ok();
        assert_eq!(m.registered(&m.id()), Some(m.pid()));
    }
}

#[test]
fn ipc_04_clients_work_at_once_when_a_sockets_file_is_deleted() {
    let m = Machine::up();
    let pid = m.pid();
    for command in [&["sync"][..], &["up"], &["daemon", "start"]] {
        fs::remove_file(m.socket()).unwrap();
        m.here(command.iter().copied()).ok();
        assert!(m.socket().exists(), "{command:?}");
        m.here(["daemon", "status"]).ok();
        assert_eq!(m.daemon_pid(), Some(pid));
    }
    // A connection to the project's own socket is enough for a client; the host's is bound again when the daemon looks.
    fs::remove_file(m.dirs().host_socket()).unwrap();
    m.here(["sync"]).ok();
    assert_eq!((m.daemon_pid(), m.daemons()), (Some(pid), 1));
}

/// A process that has nothing to do with us, though its command line may say so.
fn stranger(args: &[&str]) -> Background {
    let mut command = Command::new(args[0]);
    command.args(&args[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Background(command.spawn().unwrap())
}

#[test]
fn a_stale_socket_of_a_dead_process_is_cleared() {
    let m = Machine::new();
    fs::create_dir_all(m.dirs().daemon_dir()).unwrap();
    let dead = {
        let mut process = stranger(&["true"]);
        process.ended();
        process.pid()
    };
    for socket in [m.socket(), m.dirs().host_socket()] {
        drop(UnixListener::bind(socket).unwrap());
    }
    fs::write(m.pid_file(), dead.to_string()).unwrap();
    m.registry().register(&m.entry(dead)).unwrap();
    m.here(["up"]).ok();
    assert_eq!(m.registered(&m.id()), Some(m.pid()));
    assert_eq!(fs::read_to_string(m.pid_file()).unwrap(), m.pid().to_string());
}

#[test]
fn an_unrelated_process_named_by_pid_file_and_registry_is_never_signalled() {
    let mut m = Machine::up();
    m.allow_leftovers();
    let lines: [&[&str]; 3] = [
        &["sleep", "600"],
        // Reads from a pipe that nobody writes to, without a child of its own.
        &["bash", "-c", "read -r _ <> <(:); : ox daemon start --foreground"],
        &["bash", "-c", "exec -a 'ox daemon' sleep 600"],
    ];
    for args in lines {
        let mut other = stranger(args);
        m.kill();
        fs::write(m.pid_file(), other.pid().to_string()).unwrap();
        m.registry().register(&m.entry(other.pid())).unwrap();
        m.here(["sync"]).ok();
        assert_eq!(m.registered(&m.id()), Some(m.pid()));
        m.kill();
        fs::write(m.pid_file(), other.pid().to_string()).unwrap();
        m.registry().register(&m.entry(other.pid())).unwrap();
        // Also one whose socket is gone, and the commands that would end a daemon.
        fs::remove_file(m.socket()).unwrap();
        for command in ["stop", "kill"] {
            m.here(["daemon", command]).ok();
            m.here(["daemon", command, "--all"]).ok();
        }
        m.here(["sync"]).ok();
        assert!(other.0.try_wait().unwrap().is_none(), "{args:?} was ended");
    }
}

#[test]
fn a_lock_file_that_names_another_process_is_not_believed() {
    let mut m = Machine::up();
    m.allow_leftovers();
    m.kill();
    let mut other = stranger(&["sleep", "600"]);
    let socket = m.dirs().host_socket();
    let content = serde_json::json!({ "pid": other.pid(), "socket": socket });
    fs::write(m.dirs().daemon_lock(), content.to_string()).unwrap();
    m.here(["daemon", "kill", "--all"]).ok();
    m.here(["sync"]).ok();
    assert_ne!(m.pid(), other.pid());
    assert!(other.0.try_wait().unwrap().is_none());
}
