//! How the daemon ends, and what a stopped or killed one leaves.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::machine::{Machine, identity};
use crate::support::seed::rounds;
use crate::support::{Background, census, until, until_or};

#[test]
fn a_signal_ends_the_daemon_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let m = Machine::new();
        let mut daemon = m.start_ox(&m.repo, ["daemon", "start", "--foreground"]);
        until(|| m.daemon_pid() == Some(daemon.pid()));
        m.here(["sync"]).ok();
        assert!(m.socket().exists() && m.pid_file().exists());
        assert_eq!(m.registered(&m.id()), Some(daemon.pid()));
        // Nobody says so to it: it is kept for the case that nothing can be said any more.
        until(|| m.attached()["clean"] == false);
        daemon.signal(signal);
        let status = daemon.ended();
        assert!(status.success(), "{signal:?}: {status}");
        assert!(!m.socket().exists() && !m.dirs().host_socket().exists() && !m.pid_file().exists());
        assert_eq!(m.registered(&m.id()), None);
        assert_eq!((&m.attached()["clean"], m.daemon_pid()), (&true.into(), None));
    }
}

#[test]
fn ipc_02_after_a_kill_the_next_start_serves_what_was_served() {
    let mut m = Machine::up();
    for _ in 0..rounds(20, 200) {
        m.kill();
        assert!(m.socket().exists(), "a killed daemon leaves its socket");
        // From outside of the project: it is attached again without being asked for.
        let ran = m.ox(["daemon", "start"]).ok();
        assert!(ran.stdout.starts_with("started, pid"), "{ran:?}");
        until_or(|| m.served() == 1, || format!("not attached again: {}", m.log()));
        m.here(["sync"]).ok();
        assert_eq!(m.registered(&m.id()), Some(m.pid()));
    }
    m.stop_daemon();
    m.allow_leftovers();
}

#[test]
fn ipc_03_a_frozen_daemon_is_not_replaced() {
    let m = Machine::up();
    let (pid, inode) = (m.pid(), identity(&m.socket()));
    let host = identity(&m.dirs().host_socket());
    m.freeze_daemon();
    let calls: Vec<&[&str]> = [&["sync"][..], &["up"], &["daemon", "status"], &["daemon", "start"]]
        .into_iter()
        .cycle()
        .take(20)
        .collect();
    let mut clients: Vec<(&[&str], Background)> =
        calls.iter().map(|args| (*args, m.start_ox(&m.repo, *args))).collect();
    for (args, client) in &mut clients {
        let status = client.ended();
        let mut text = String::new();
        client.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        client.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(status.code(), Some(4), "{args:?}: {text}");
        assert!(text.to_lowercase().contains("not answer"), "{args:?}: {text}");
    }
    m.signal_daemon(Signal::CONT);
    m.here(["sync"]).ok();
    assert_eq!((m.pid(), m.daemons()), (pid, 1));
    assert_eq!((identity(&m.socket()), identity(&m.dirs().host_socket())), (inode, host));
}

/// A `git` that never ends whatever asks a remote, does not listen to TERM, and has a child that does neither.
fn hanging_git(m: &mut Machine) -> std::path::PathBuf {
    let (bin, pids) = (m.work().join("bin"), m.work().join("pids"));
    fs::create_dir(&bin).unwrap();
    let real =
        crate::support::run(m.cmd("sh").args(["-c", "command -v git"]), "which git".into()).ok().stdout;
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' ls-remote '*|*' fetch '*|*' clone '*)\n  trap '' TERM\n  \
         sleep 100000 & echo $! >> '{0}'; echo $$ >> '{0}'\n  exec sleep 100000 ;;\nesac\nexec {1} \"$@\"\n",
        pids.display(),
        real.trim()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    m.set("PATH", path);
    pids
}

#[test]
fn ipc_12_a_stop_ends_hanging_children_and_starts_none() {
    let mut m = Machine { env: crate::support::TestEnv::new(), repo: std::path::PathBuf::new() };
    let pids = hanging_git(&mut m);
    let read = || -> Vec<u32> {
        fs::read_to_string(&pids).unwrap_or_default().lines().map(|l| l.parse().unwrap()).collect()
    };
    let urls = ["ssh://git@a.invalid/l.git", "ssh://git@b.invalid:22/l.git", "git@c.invalid:l.git"];
    let mut clients = Vec::new();
    for (n, url) in urls.iter().enumerate() {
        m.repo = m.env.repo(&format!("p{n}"));
        m.here(["init", "--yes", "--ledger", url]).ok();
        m.here(["daemon", "start"]).ok();
        clients.push(m.start_ox(&m.repo, ["sync"]));
    }
    until_or(|| read().len() == 2 * urls.len(), || format!("{:?}\n{}", read(), m.log()));
    m.ox(["daemon", "stop", "--all"]).ok();
    assert_eq!(m.daemon_pid(), None);
    let left: Vec<u32> = read().into_iter().filter(|p| census::is_alive(*p)).collect();
    assert!(left.is_empty(), "children left: {left:?}");
    assert_eq!(read().len(), 2 * urls.len(), "nothing new was begun");
    for client in &mut clients {
        assert!(!client.ended().success(), "whoever waits is told");
    }
    assert!(m.log().contains("msg=ended\n"), "{}", m.log());
}

#[test]
fn ipc_08_the_daemon_lives_without_the_directory_it_was_started_in() {
    let m = Machine::new();
    let gone = m.work().join("gone");
    fs::create_dir(&gone).unwrap();
    m.ox_in(&gone, ["daemon", "start"]).ok();
    fs::remove_dir(&gone).unwrap();
    let cwd = fs::read_link(format!("/proc/{}/cwd", m.pid())).unwrap();
    assert_eq!(cwd, m.dirs().data());
    m.here(["sync"]).ok();
}

#[test]
fn ipc_11_the_daemon_outlives_the_terminal_it_was_started_from() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    for _ in 0..rounds(3, 20) {
        let m = Machine::new();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let tty = || fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
        // A runner that ignores SIGHUP hands that on, and the shell could not change it.
        let mut command = std::process::Command::new("env");
        let script = format!("'{}' up; while :; do sleep 1; done", crate::support::OX);
        command
            .args(["--default-signal=HUP", "setsid", "--ctty", "sh", "-c", &script])
            .env_clear()
            .envs(m.vars())
            .current_dir(&m.repo);
        let shell = command.stdin(tty()).stdout(tty()).stderr(tty()).spawn().unwrap();
        let mut shell = Background(shell);
        until_or(|| m.served() == 1, || m.log());
        let pid = m.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // State, parent, group, session, terminal.
        assert_eq!((fields[3], fields[4]), (pid.to_string().as_str(), "0"), "{stat}");
        drop(command);
        drop(master);
        // The shell of a closed terminal ends.
        shell.ended();
        m.here(["sync"]).ok();
        assert_eq!(m.daemon_pid(), Some(pid));
    }
}
