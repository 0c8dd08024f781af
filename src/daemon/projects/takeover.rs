//! Ending a daemon of the Go program that serves a project of ours. Never touches a process that is not proven to be one.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::registry::{Entry, Registry};
use crate::ipc::client::Client;
use crate::kit::clock::wait_until;
use crate::kit::process::may_live;
use crate::project::Dirs;

/// It is asked to stop and waited for.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// Between TERM and KILL.
const TERM_WAIT: Duration = Duration::from_secs(3);
/// A daemon that does not answer a ping in this time does not answer.
const PING: Duration = Duration::from_secs(2);

/// Makes sure that no other daemon serves the workspace.
///
/// # Errors
/// A text naming the process that could not be ended.
pub fn clear_way(dirs: &Dirs, registry: &Registry, workspace_id: &str) -> Result<(), String> {
    let client = Client::new(dirs.project_socket(workspace_id));
    // Without a registry nobody is signalled; a socket that is still listened on is not taken from its owner by `bind` either.
    let entries = registry.entries().unwrap_or_else(|e| {
        log::warn!("the registry cannot be read: {e}");
        BTreeMap::new()
    });
    let entry = entries.get(workspace_id);
    if entry.is_some_and(|e| e.pid == std::process::id()) {
        return Ok(());
    }
    if client.ping(PING).is_ok() {
        log::info!("another daemon serves {workspace_id}; asking it to stop");
        if let Err(e) = client.stop() {
            log::warn!("it does not stop: {e}");
        }
        // A daemon of ours that serves other projects too stays alive; what counts is that it has let go of this one.
        let gone = || {
            !client.is_reachable()
                && entry.is_none_or(|e| !may_live(e.pid) || !has_entry(registry, workspace_id))
        };
        if wait_until(STOP_WAIT, gone) {
            return Ok(());
        }
    }
    match entry {
        Some(entry) if may_live(entry.pid) => end(entry),
        _ => Ok(()),
    }
}

fn has_entry(registry: &Registry, workspace_id: &str) -> bool {
    registry.entries().map_or(true, |entries| entries.contains_key(workspace_id))
}

/// Signals a daemon that does not answer, if it is one.
pub(in crate::daemon) fn end(entry: &Entry) -> Result<(), String> {
    if !is_daemon(entry) {
        // The number now belongs to somebody else.
        return Ok(());
    }
    log::warn!("the daemon with pid {} does not answer; ending it", entry.pid);
    for (signal, wait) in [(Signal::TERM, TERM_WAIT), (Signal::KILL, TERM_WAIT)] {
        // Looked at anew before each signal: the number may have changed hands meanwhile.
        if !is_daemon(entry) {
            return Ok(());
        }
        if let Some(pid) = pid(entry.pid)
            && let Err(e) = kill_process(pid, signal)
        {
            log::warn!("signal to {}: {e}", entry.pid);
        }
        if wait_until(wait, || !may_live(entry.pid)) {
            return Ok(());
        }
    }
    Err(format!("another daemon (pid {}) serves this project and could not be ended", entry.pid))
}

fn pid(n: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(n).ok()?)
}

/// Whether the entry's process is an `ox` daemon, and not one that got the number later.
fn is_daemon(entry: &Entry) -> bool {
    match command_line(entry.pid) {
        Ok(args) => is_daemon_line(&args) && !started_after(entry),
        Err(_) => false,
    }
}

/// Whether a command line is that of a daemon: the program is `ox`, and a later argument is exactly `daemon`.
fn is_daemon_line(args: &[String]) -> bool {
    let Some((program, rest)) = args.split_first() else { return false };
    let name = program.rsplit('/').next().unwrap_or(program);
    let own =
        std::env::current_exe().ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()));
    (name == "ox" || own.as_deref() == Some(name)) && rest.iter().any(|a| a == "daemon")
}

fn command_line(pid: u32) -> io::Result<Vec<String>> {
    const LINE_MAX: usize = 1 << 20;
    let bytes =
        crate::kit::file::read_capped(std::path::Path::new(&format!("/proc/{pid}/cmdline")), LINE_MAX)?;
    let args = bytes.split(|b| *b == 0).filter(|a| !a.is_empty());
    Ok(args.map(|a| String::from_utf8_lossy(a).into_owned()).collect())
}

/// Whether the process began clearly after the entry says its daemon did: then it is another one.
fn started_after(entry: &Entry) -> bool {
    /// Both times are rounded, by different clocks.
    const SLACK: i64 = 30;
    let Some(registered) = entry.started_at.0 else { return false };
    let made = std::fs::metadata(format!("/proc/{}", entry.pid)).and_then(|m| m.modified()).ok();
    let made = made.and_then(|t| jiff::Timestamp::try_from(t).ok());
    made.is_some_and(|made| made.as_second() > registered.as_second() + SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: bool) {
        let args: Vec<String> = line.split(' ').map(str::to_string).collect();
        assert_eq!(is_daemon_line(&args), expected, "{line}");
    }

    #[test]
    fn only_an_exact_command_line_is_a_daemon() {
        check("/usr/local/bin/ox daemon start --foreground", true);
        check("ox --json daemon start", true);
        check("/usr/bin/vim ox daemon", false);
        check("fox daemon", false);
        check("ox status", false);
        check("ox daemons", false);
        check("/opt/ox/bin/python daemon", false);
        check("", false);
    }

    #[test]
    fn an_unrelated_process_with_the_number_is_left_alone() {
        let entry = Entry { pid: std::process::id(), ..Entry::default() };
        assert!(may_live(entry.pid));
        assert!(!is_daemon(&entry));
        assert_eq!(end(&entry), Ok(()));
        assert!(!may_live(0));
    }
}
