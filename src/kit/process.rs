//! Other processes: whether they live, and whether a number still names the same one.

use std::io::Read as _;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// From now on a write beyond the limit of a file's size is an error of that write, and not the end of the process. Children that run
/// other programs are as before.
pub fn survive_file_limit() {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    // The flag is for nobody: what counts is that the signal is handled.
    if let Err(e) = signal_hook::flag::register(signal, Arc::default()) {
        log::warn!("the limit of a file's size ends this process: {e}");
    }
}

/// Ends this process with 0 after a time, whatever it does then, but for what the kernel lets nobody interrupt. It cannot be called off.
///
/// # Errors
/// The system's, when it takes no handler or no timer.
#[allow(unsafe_code)]
pub fn end_after(time: std::time::Duration) -> std::io::Result<()> {
    keep_end()?;
    let none = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let once = libc::timeval {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(time.subsec_micros().cast_signed()),
    };
    let timer = libc::itimerval { it_interval: none, it_value: once };
    // SAFETY: it reads a value that lives here, and writes nothing where no place for the old one is given.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The end that [`end_after`] set waits from now on: for a program that takes the place of this one, and has no answer to it before it calls
/// [`keep_end`].
///
/// # Errors
/// The system's.
pub fn hold_end() -> std::io::Result<()> {
    mask(libc::SIG_BLOCK)
}

/// What [`end_after`] set, also before this program took the place of another, ends the process with 0.
///
/// # Errors
/// The system's.
pub fn keep_end() -> std::io::Result<()> {
    let always = Arc::new(std::sync::atomic::AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(libc::SIGALRM, 0, always)?;
    mask(libc::SIG_UNBLOCK)
}

/// Whether this thread, and what takes the place of this process, is told of the end.
#[allow(unsafe_code)]
fn mask(how: libc::c_int) -> std::io::Result<()> {
    // SAFETY: a set of signals is plain data, of which all zero is a value, and it lives here; the old set is not asked for.
    let failed = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGALRM);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(failed)) }
}

/// When a process started: the same number with another start is another process. In clock ticks since boot, from the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StartedAt(pub u64);

/// What a look at a process found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It lives; `None` where the system does not tell since when.
    Lives(Option<StartedAt>),
    /// There is none of this number, or only what remains of it until its parent has asked.
    Gone,
    /// It could not be looked at.
    Unknown,
}

/// Whether a process of this number may live: only a proven no is false. One that has ended does not, also while its parent has not asked
/// for it, which the first process of a container may do late or never.
pub fn may_live(pid: u32) -> bool {
    probe(pid) != Seen::Gone
}

/// Whether the system knows a process of this number, if only by what remains of it.
fn is_known(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| is_there(test_kill_process(pid)))
}

/// What the answer to signal 0 says: one that may not be asked is there, and belongs to somebody else.
fn is_there(answer: Result<(), Errno>) -> bool {
    !matches!(answer, Err(Errno::SRCH))
}

/// Looks at a process.
pub fn probe(pid: u32) -> Seen {
    if !is_known(pid) {
        return Seen::Gone;
    }
    if cfg!(not(target_os = "linux")) {
        return Seen::Lives(None);
    }
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse(&stat).unwrap_or(Seen::Unknown),
        Err(_) if !is_known(pid) => Seen::Gone,
        Err(_) => Seen::Unknown,
    }
}

/// The process that ran this one, past shells that did so for it, and when it began. None where the system does not tell.
pub fn caller() -> Option<(u32, StartedAt)> {
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..SHELLS_MAX {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let name = stat.split_once('(')?.1.rsplit_once(')')?.0;
        if !matches!(name, "sh" | "bash" | "dash" | "zsh" | "fish") {
            let Seen::Lives(Some(started)) = parse(&stat)? else { return None };
            return Some((pid, started));
        }
        pid = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    }
    None
}

/// Shells one above the other that are passed over.
const SHELLS_MAX: usize = 4;

/// A process that this one descends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Its number.
    pub pid: u32,
    /// Its program and the first words after it; empty where the system does not tell.
    pub args: Vec<String>,
}

/// More ancestors are not looked at.
const ANCESTORS_MAX: usize = 16;
/// Longer command lines are cut off, in bytes.
const ARGS_MAX: u64 = 4096;

/// The processes that this one descends from, the nearest first. Where the system has no table of
/// processes only the parent.
pub fn ancestors() -> Vec<Ancestor> {
    ancestors_from(std::os::unix::process::parent_id())
}

/// A process and those that it descends from, the nearest first.
pub fn ancestors_from(pid: u32) -> Vec<Ancestor> {
    let up = |pid: &u32| parent_of(*pid).filter(|pid| *pid > 0);
    let pids = std::iter::successors((pid > 0).then_some(pid), up);
    pids.take(ANCESTORS_MAX).map(|pid| Ancestor { pid, args: args_of(pid).unwrap_or_default() }).collect()
}

pub(super) fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn args_of(pid: u32) -> Option<Vec<String>> {
    let file = std::fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    let mut bytes = Vec::new();
    std::io::Read::take(file, ARGS_MAX).read_to_end(&mut bytes).ok()?;
    let words = bytes.split(|b| *b == 0).filter(|word| !word.is_empty());
    Some(words.take(4).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// Reads a line of proc_pid_stat(5): state and start are the third and the twenty-second field. The second is a name in parentheses
/// that may hold anything.
fn parse(stat: &str) -> Option<Seen> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let started = StartedAt(fields.nth(1)?.parse().ok()?);
    // What is left of the first thread says nothing of the others.
    let has_ended = matches!(state, "Z" | "X") && threads <= 1;
    Some(if has_ended { Seen::Gone } else { Seen::Lives(Some(started)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::cancel::Cancel;
    use crate::kit::child::{Cmd, run};

    #[test]
    fn a9_10_rly_10_a_process_of_somebody_else_is_alive() {
        assert!(is_there(Ok(())));
        assert!(is_there(Err(Errno::PERM)));
        assert!(!is_there(Err(Errno::SRCH)));
        // Could not look: nothing is cleared or started because of it.
        assert!(is_there(Err(Errno::INVAL)));
        // Everybody's first process, whoever we are.
        assert!(may_live(1));
    }

    #[test]
    fn the_kernels_line_is_read_whatever_the_name() {
        let line = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 2 3")
        };
        let lives = Some(Seen::Lives(Some(StartedAt(12345))));
        for name in ["sh", "a b) Z 1 (", "", ")))"] {
            assert_eq!(parse(&line(name, "S")), lives, "{name}");
        }
        assert_eq!(parse(&line("sh", "Z")), Some(Seen::Gone));
        // Its first thread has ended, and another one still writes.
        assert_eq!(parse(&line("sh", "Z").replace("20 0 1 0", "20 0 2 0")), lives);
        for bad in ["", "7", "7 (sh)", "7 (sh) S 1 2", "7 (sh) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 x 1"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn our_ancestors_are_told_from_near_to_far() {
        let all = ancestors();
        let parent = Some(std::os::unix::process::parent_id()).filter(|pid| *pid > 0);
        assert_eq!(all.first().map(|a| a.pid), parent);
        assert!(all.len() <= ANCESTORS_MAX && all.iter().all(|a| a.pid > 0), "{all:?}");
        if cfg!(target_os = "linux") {
            let parents: Vec<u32> = all.iter().skip(1).map(|a| a.pid).collect();
            let told: Vec<u32> = all.iter().filter_map(|a| parent_of(a.pid)).filter(|p| *p > 0).collect();
            assert_eq!(told[..parents.len()], parents);
            assert_eq!(args_of(std::process::id()).unwrap()[0], std::env::args().next().unwrap());
        }
    }

    #[test]
    fn who_ran_us_is_found_past_shells() {
        if cfg!(target_os = "linux") {
            let (pid, started) = caller().unwrap();
            assert_eq!(probe(pid), Seen::Lives(Some(started)));
            assert!(ancestors().iter().any(|above| above.pid == pid));
        }
    }

    #[test]
    fn we_live_and_who_has_ended_does_not() {
        let us = std::process::id();
        let Seen::Lives(started) = probe(us) else { panic!("we live") };
        assert_eq!(probe(us), Seen::Lives(started));
        assert_eq!(probe(0), Seen::Gone);
        assert_eq!(probe(u32::MAX), Seen::Gone);
        let out = run(Cmd::new("/bin/sh").args(["-c", "echo $$"]), &Cancel::new()).unwrap();
        let ended: u32 = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
        assert_eq!(probe(ended), Seen::Gone);
        assert!(matches!(probe(1), Seen::Lives(_)));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a child that nobody asks for is what is looked at
    fn who_has_ended_does_not_live_though_nobody_has_asked_for_it() {
        let mut child =
            std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        assert!(may_live(pid));
        child.kill().unwrap();
        // Until its parent asks, which is us, it keeps its number.
        while cfg!(target_os = "linux") && may_live(pid) {
            std::thread::yield_now();
        }
        assert!(is_known(pid));
        child.wait().unwrap();
        assert!(!may_live(pid) && !is_known(pid));
    }
}
