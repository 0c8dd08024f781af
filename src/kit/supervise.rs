//! Runs one program and leaves nothing of it behind: a process of its own between us and what may leave its process group, fork without end
//! or outlive us.
//!
//! It is our own program, called by a word. It makes itself the one that orphans below it fall to (Linux; elsewhere only the group of the
//! program is ended), runs the program in a group of its own, and waits for its end, for its deadline, and on a pipe whose other end we hold:
//! when we are gone, however we went, that hangs up. Then it ends all that is below it, and is gone when nothing is left. It touches nothing
//! of what the program reads and writes.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait};

use super::child::{self, TERM_GRACE};
use super::clock::{self, Clock as _, Mono, SystemClock};

/// The word by which a program of ours becomes a supervisor, behind its name.
pub const WORD: &str = "supervise-child";
/// The supervisor's own deadline is so much later than that of whoever waits for it, who then knows why it ended.
const LATER: Duration = Duration::from_secs(1);
/// Between two looks where nothing wakes it, and for orphans that have ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks where the end of the program cannot be waited for.
const SLICE: Duration = Duration::from_millis(20);
/// Between two rounds of ending what is left.
const ROUND: Duration = Duration::from_millis(2);
/// What does not end by KILL within this is the kernel's.
const ROUNDS_MAX: Duration = Duration::from_secs(30);
/// Exit codes: it was called wrongly, and the program cannot be started.
const USAGE: u8 = 64;
const CANNOT_START: u8 = 126;

/// A program of ours that calls [`main`] when its first word is [`WORD`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor(PathBuf);

impl Supervisor {
    /// This process's own program, also where its file has been replaced since.
    ///
    /// # Errors
    /// The system does not say which it is.
    pub fn own() -> io::Result<Supervisor> {
        let own = Path::new("/proc/self/exe");
        if own.exists() { Ok(Supervisor::at(own)) } else { std::env::current_exe().map(Supervisor::at) }
    }

    /// `program` is that one.
    pub fn at(program: impl Into<PathBuf>) -> Supervisor {
        Supervisor(program.into())
    }

    pub(super) fn program(&self) -> &Path {
        &self.0
    }

    pub(super) fn word(&self) -> &'static str {
        WORD
    }

    /// A pipe: what we hold, and what the supervisor waits on.
    pub(super) fn lifeline(&self) -> io::Result<(PipeWriter, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        Ok((writer, reader.into()))
    }
}

/// Is a supervisor: `args` are the descriptor to wait on, the milliseconds until the deadline, the program and its arguments. Call it before
/// there is a second thread.
pub fn main(args: &[OsString]) -> ExitCode {
    let [lifeline, deadline, program, args @ ..] = args else { return USAGE.into() };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<u64>().ok());
    let (Some(lifeline), Some(deadline)) = (number(lifeline), number(deadline)) else { return USAGE.into() };
    let Some(lifeline) = take(lifeline) else { return USAGE.into() };
    let end = SystemClock.now().mono + Duration::from_millis(deadline) + LATER;
    match supervise(&lifeline, end, program, args) {
        Ok(code) => code.into(),
        Err(e) => {
            // Nobody else hears of it.
            let _ = rustix::io::write(
                rustix::stdio::stderr(),
                format!("{}: {e}\n", program.display()).as_bytes(),
            );
            CANNOT_START.into()
        }
    }
}

/// The descriptor that we were handed, which what we run is not.
#[allow(unsafe_code)]
fn take(number: u64) -> Option<OwnedFd> {
    let number = RawFd::try_from(number).ok().filter(|number| *number > 2)?;
    // SAFETY: the number is that of the descriptor that whoever started us handed on for us alone, and nothing else here knows of it; where
    // it is none, the call below fails and it is closed in vain.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC) {
        Ok(()) => Some(fd),
        Err(_) => {
            std::mem::forget(fd);
            None
        }
    }
}

/// What the program ended with.
fn supervise(lifeline: &OwnedFd, end: Mono, program: &OsStr, args: &[OsString]) -> io::Result<u8> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    #[allow(clippy::disallowed_methods)] // this is a room that starts programs
    let mut command = Command::new(program);
    command.args(args).process_group(0);
    child::die_with_us(&mut command, true);
    let started = command.spawn()?;
    drop(command);
    let mut below = Below { program: Pid::from_child(&started), ended: None };
    // Its pipes end with it, and not with us.
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let wait = Wait { lifeline, end_of_program: child::end_of(below.program) };
    while below.lives() && !asked.load(Ordering::Relaxed) && SystemClock.now().mono < end {
        if wait.is_hung_up(LOOK_EVERY.min(end - SystemClock.now().mono)) {
            break;
        }
    }
    if below.lives() {
        let _ = kill_process_group(below.program, Signal::TERM);
        let grace = SystemClock.now().mono + TERM_GRACE;
        while below.lives() && SystemClock.now().mono < grace {
            wait.for_program(grace - SystemClock.now().mono);
        }
    }
    below.end_all();
    Ok(below.ended.map_or(CANNOT_START, code))
}

/// How a shell tells it.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

struct Wait<'w> {
    lifeline: &'w OwnedFd,
    end_of_program: Option<OwnedFd>,
}

impl Wait<'_> {
    /// Waits for whatever comes first, and whether whoever started us is gone.
    fn is_hung_up(&self, at_most: Duration) -> bool {
        let mut fds = vec![PollFd::from_borrowed_fd(self.lifeline.as_fd(), PollFlags::IN)];
        let at_most = self.slice(at_most);
        fds.extend(self.end_of_program.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        child::wait_for(&mut fds, at_most).is_err() || !fds[0].revents().is_empty()
    }

    fn for_program(&self, at_most: Duration) {
        let at_most = self.slice(at_most);
        match &self.end_of_program {
            Some(fd) => drop(child::wait_for(&mut [PollFd::new(fd, PollFlags::IN)], at_most)),
            None => clock::pause(at_most),
        }
    }

    fn slice(&self, at_most: Duration) -> Duration {
        if self.end_of_program.is_some() { at_most } else { at_most.min(SLICE) }
    }
}

/// All that is below us.
struct Below {
    /// The program, which has the number of its group.
    program: Pid,
    /// How it ended; its number may be another's since.
    ended: Option<WaitStatus>,
}

impl Below {
    /// Asks for all that has ended. Whether the program lives.
    fn lives(&mut self) -> bool {
        loop {
            match self.ask() {
                Ok(Some(())) => {}
                Ok(None) => return self.ended.is_none(),
                // There is nobody.
                Err(_) => return false,
            }
        }
    }

    /// Asks for one that has ended; an error where there is nobody below us.
    fn ask(&mut self) -> rustix::io::Result<Option<()>> {
        let Some((pid, status)) = wait(WaitOptions::NOHANG)? else { return Ok(None) };
        if pid == self.program {
            self.ended = Some(status);
        }
        Ok(Some(()))
    }

    /// Ends all that is left, and what that leaves, until nothing is. Only our own children are ended: their numbers stay theirs until we ask
    /// for them, and what they leave falls to us.
    fn end_all(&mut self) {
        let end = SystemClock.now().mono + ROUNDS_MAX;
        if self.ended.is_none() {
            let _ = kill_process_group(self.program, Signal::KILL);
        }
        loop {
            for pid in children() {
                let _ = kill_process(pid, Signal::KILL);
            }
            loop {
                match self.ask() {
                    Ok(Some(())) => {}
                    Ok(None) => break,
                    // There is nobody.
                    Err(_) => return,
                }
            }
            if SystemClock.now().mono >= end {
                return;
            }
            clock::pause(ROUND);
        }
    }
}

/// Our own children; none where the system does not tell.
fn children() -> Vec<Pid> {
    let us = rustix::process::getpid().as_raw_nonzero();
    let pid = |word: &str| word.parse().ok().and_then(Pid::from_raw);
    match std::fs::read_to_string(format!("/proc/self/task/{us}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(pid).collect(),
        // Not every kernel is built with that table.
        Err(_) => {
            let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
            let all = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let ours = all.filter(|pid| super::process::parent_of(*pid) == u32::try_from(us.get()).ok());
            ours.filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)).collect()
        }
    }
}
