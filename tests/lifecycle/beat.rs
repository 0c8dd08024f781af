//! The look that the daemon takes at itself every 30 s. What takes so long comes first in the run.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::machine::{Machine, identity};
use super::takeover::{assert_untouched, give_up, take_over};
use crate::support::{until, until_or};

/// The look every 30 s: one daemon, and a project for each thing that it may find.
#[test]
fn ipc_01_ipc_04_ipc_08_what_the_daemon_finds_when_it_looks_after_itself() {
    let m = Machine::up();
    let socket_lost = m.another("socket-lost");
    let deleted = m.another("deleted");
    let emptied = m.another("emptied");
    let unlisted = m.another("unlisted");
    let path_taken = m.another("path-taken");
    let socket = |repo: &Path| m.dirs().project_socket(&m.id_of(repo));
    let ids = [&deleted, &emptied, &unlisted].map(|repo| m.id_of(repo));
    assert_eq!(m.served(), 6);
    let pid = m.pid();

    let other = take_over(&m);
    let inode = identity(&m.socket());
    fs::remove_file(socket(&socket_lost)).unwrap();
    fs::remove_file(m.dirs().host_socket()).unwrap();
    let kept = socket(&deleted);
    fs::remove_dir_all(&deleted).unwrap();
    fs::remove_dir_all(emptied.join(".sageox")).unwrap();
    let entry = m.registry().entries().unwrap()[&ids[2]].clone();
    assert!(m.registry().unregister(&entry).unwrap());
    fs::remove_file(socket(&path_taken)).unwrap();
    let stranger = UnixListener::bind(socket(&path_taken)).unwrap();
    let strange = identity(&socket(&path_taken));

    let looked = || m.served() == 2 && m.registered(&ids[2]) == Some(pid) && socket(&socket_lost).exists();
    until_or(looked, || format!("{} served\n{}", m.served(), m.log()));
    assert_eq!(m.daemon_pid(), Some(pid));
    assert_untouched(&m, inode);
    assert_eq!(identity(&socket(&path_taken)), strange);
    until(|| !kept.exists() && m.registered(&ids[0]).is_none());
    until(|| m.registered(&ids[1]).is_none());
    for repo in [&socket_lost, &unlisted] {
        m.ox_in(repo, ["sync"]).ok();
    }
    // And back again.
    give_up(&m, other);
    drop(stranger);
    m.here(["sync"]).ok();
    m.ox_in(&path_taken, ["sync"]).ok();
    assert_eq!((m.served(), m.daemon_pid()), (4, Some(pid)));
}

#[test]
fn ins_04_ipc_04_a_runtime_directory_that_was_cleaned_away_is_made_again() {
    let m = Machine::up();
    let pid = m.pid();
    fs::remove_dir_all(m.dirs().state()).unwrap();
    let whole = || m.served() == 1 && m.socket().exists() && m.registered(&m.id()) == Some(pid);
    until_or(whole, || m.log());
    m.here(["sync"]).ok();
    until_or(|| m.pid_file().exists(), || "the pid file is made again");
    assert_eq!((m.daemon_pid(), m.daemons()), (Some(pid), 1));
}

#[test]
fn a_daemon_whose_lock_or_data_somebody_deletes_is_found_and_stays_the_only_one() {
    let m = Machine::up();
    let pid = m.pid();
    let lock = m.dirs().daemon_lock();
    fs::remove_file(&lock).unwrap();
    // Until it looks, commands find it at its socket.
    let started = m.here(["daemon", "start", "--json"]).ok().json();
    assert_eq!((&started["already_running"], &started["pid"]), (&true.into(), &pid.into()), "{started}");
    m.here(["sync"]).ok();
    m.here(["daemon", "status"]).ok();
    assert_eq!(m.daemons(), 1);
    until_or(|| m.daemon_pid() == Some(pid), || m.log());
    // While it writes there, not all of it goes at once.
    until(|| fs::remove_dir_all(m.dirs().data()).is_ok() || !m.dirs().data().exists());
    until_or(|| m.daemon_pid() == Some(pid), || m.log());
    until_or(|| m.here(["sync"]).code == Some(0), || m.log());
    assert_eq!(m.daemons(), 1);
    assert!(m.log().contains("it is locked anew"), "{}", m.log());
    fs::remove_file(&lock).unwrap();
    m.here(["daemon", "kill", "--all"]).ok();
    until_or(|| m.daemons() == 0, || m.log());
}

#[test]
fn a_daemon_whose_lock_another_has_taken_ends() {
    let m = Machine::up();
    let lock = m.dirs().daemon_lock();
    fs::remove_file(&lock).unwrap();
    let other = ox::kit::lock::FileLock::try_acquire(&lock).unwrap().unwrap();
    until_or(|| m.daemons() == 0, || m.log());
    assert!(m.log().contains("another daemon has the instance lock"), "{}", m.log());
    drop(other);
}
