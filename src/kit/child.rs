//! The only place that starts other programs.
//!
//! Every child gets its own process group, an explicit directory and environment, a deadline, and capped output; it is ended with
//! TERM, then KILL, and always reaped. On Linux it dies with us. The calling thread waits in one `poll` over its pipes, its
//! end and the cancellation. What may leave its group is run by a supervisor, which leaves nothing of it behind (`supervise`).

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, setrlimit};

use super::Class;
use super::cancel::Cancel;
use super::clock::{Clock, Mono, SystemClock};
use super::supervise::Supervisor;
use super::thread;

/// Between TERM and KILL.
pub const TERM_GRACE: Duration = Duration::from_secs(2);
/// A supervisor takes no longer than this for what does not end by itself.
const SUPERVISOR_GRACE: Duration = Duration::from_secs(3);
/// After the child's end, how long its pipes may still be open in other hands.
const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// Pieces of output taken before deadline and cancellation are looked at again: a child that never stops talking is ended all the same.
const PIECES: usize = 64;
/// Where the end of a child cannot be polled, it is asked this often.
const SLICE: Duration = Duration::from_millis(20);

/// A program to run. Nothing is inherited but what is said here.
#[derive(Clone, Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: PathBuf,
    stdin: Vec<u8>,
    deadline: Duration,
    /// Without a byte of output for this long the child counts as stuck.
    stall: Option<Duration>,
    stdout_cap: usize,
    stderr_cap: usize,
    /// More bytes of output than this end the child.
    output_max: Option<u64>,
    memory_max: Option<u64>,
    file_max: Option<u64>,
    supervisor: Option<Supervisor>,
    grace: Duration,
}

/// What a child that ran to its end left.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The first bytes of its standard output, up to the cap.
    pub stdout: Vec<u8>,
    /// The last bytes of its standard error, up to the cap.
    pub stderr: Vec<u8>,
    /// Whether it wrote more to standard output than was kept.
    pub stdout_truncated: bool,
}

/// Why there is no [`Output`].
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are named in the texts
pub enum ChildError {
    /// There is no such program.
    #[error("{program}: program not found")]
    NotFound { program: String },
    /// It could not be started.
    #[error("{program}: {source}")]
    Spawn { program: String, source: io::Error },
    /// It was ended at its deadline.
    #[error("{program}: no end after {} s, killed", after.as_secs())]
    Timeout { program: String, after: Duration },
    /// It wrote nothing for too long and was ended.
    #[error("{program}: no progress for {} s, killed", after.as_secs())]
    Stalled { program: String, after: Duration },
    /// It wrote more than it may and was ended.
    #[error("{program}: more than {most} bytes of output, killed")]
    TooMuch { program: String, most: u64 },
    /// It was ended because whoever heard it had heard enough.
    #[error("{program}: ended, enough was heard")]
    Enough { program: String },
    /// It was ended because its work was cancelled.
    #[error("{program}: cancelled")]
    Cancelled { program: String },
    /// Talking to it failed.
    #[error("{program}: {source}")]
    Io { program: String, source: io::Error },
}

impl ChildError {
    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            ChildError::NotFound { .. } | ChildError::TooMuch { .. } | ChildError::Enough { .. } => {
                Class::Usage
            }
            ChildError::Timeout { .. } | ChildError::Stalled { .. } => Class::Network,
            ChildError::Cancelled { .. } => Class::Busy,
            ChildError::Spawn { source, .. } | ChildError::Io { source, .. } => Class::of_io(source),
        }
    }
}

impl Cmd {
    /// A call of `program` in the root directory, with an empty environment, a deadline of 60 s, 4 MiB of standard output and the last 64 KiB
    /// of standard error.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        Cmd {
            program: program.as_ref().into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: PathBuf::from("/"),
            stdin: Vec::new(),
            deadline: Duration::from_secs(60),
            stall: None,
            stdout_cap: 4 << 20,
            stderr_cap: 64 << 10,
            output_max: None,
            memory_max: None,
            file_max: None,
            supervisor: None,
            grace: TERM_GRACE,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Cmd {
        self.args.extend(args.into_iter().map(|a| a.as_ref().into()));
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cmd {
        self.env.push((key.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Hands on all of our own environment: for ourselves as a child, and for tests.
    pub fn keep_all_env(mut self) -> Cmd {
        self.env.extend(std::env::vars_os());
        self
    }

    /// Takes variables out of what it is handed.
    pub fn without_env(mut self, names: &[&str]) -> Cmd {
        self.env.retain(|(name, _)| !names.iter().any(|taken| name == taken));
        self
    }

    /// The directory it runs in.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Cmd {
        self.dir = dir.as_ref().into();
        self
    }

    /// What it reads; nothing (an empty file) unless set.
    pub fn stdin_bytes(mut self, bytes: Vec<u8>) -> Cmd {
        self.stdin = bytes;
        self
    }

    /// It is ended after this long.
    pub fn deadline(mut self, deadline: Duration) -> Cmd {
        self.deadline = deadline;
        self
    }

    /// Between TERM and KILL it has this long, where that is not [`TERM_GRACE`]; a supervisor always gives that.
    pub fn grace(mut self, grace: Duration) -> Cmd {
        self.grace = grace;
        self
    }

    /// It is ended after this long without a byte of output.
    pub fn stall(mut self, stall: Duration) -> Cmd {
        self.stall = Some(stall);
        self
    }

    /// Keeps the first `bytes` of standard output; the rest is read and dropped.
    pub fn stdout_cap(mut self, bytes: usize) -> Cmd {
        self.stdout_cap = bytes;
        self
    }

    /// Keeps the last `bytes` of standard error.
    pub fn stderr_cap(mut self, bytes: usize) -> Cmd {
        self.stderr_cap = bytes;
        self
    }

    /// It is ended when it has written more than `bytes` to standard output and error together.
    pub fn output_max(mut self, bytes: u64) -> Cmd {
        self.output_max = Some(bytes);
        self
    }

    /// The child, and each of its children, gets no more than `bytes` of memory of its own (`RLIMIT_DATA`: on Linux heap and every private
    /// writable mapping, thread stacks included; elsewhere the heap at best, and on macOS hardly that). What asks for more is refused.
    pub fn memory_max(mut self, bytes: u64) -> Cmd {
        self.memory_max = Some(bytes);
        self
    }

    /// No file that the child or one of its children writes grows beyond `bytes` (`RLIMIT_FSIZE`): who tries is ended by `SIGXFSZ`.
    pub fn file_max(mut self, bytes: u64) -> Cmd {
        self.file_max = Some(bytes);
        self
    }

    /// It is run below a supervisor, which ends all that comes of it: with it, at its deadline, and with us, whatever group or session it has
    /// made for itself.
    pub fn supervised(mut self, by: Supervisor) -> Cmd {
        self.supervisor = Some(by);
        self
    }

    fn limits(&self) -> [Option<(Resource, Rlimit)>; 2] {
        let of = |resource, most: Option<u64>| {
            let (most, now) = (most?, getrlimit(resource));
            // A lower limit of whoever started us stays. Only a program of the user's own could raise it again, which is theirs to do.
            let current = now.current.map_or(most, |old| old.min(most));
            Some((resource, Rlimit { current: Some(current), maximum: now.maximum }))
        };
        [of(Resource::Data, self.memory_max), of(Resource::Fsize, self.file_max)]
    }

    fn name(&self) -> String {
        Path::new(&self.program).file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    /// The command, and the end of a pipe that its supervisor watches, where it has one.
    #[allow(clippy::disallowed_methods)] // the one place that makes a command
    fn command(&self) -> io::Result<(Command, Option<PipeWriter>)> {
        let (mut command, mut lifeline) = (Command::new(&self.program), None);
        if let Some(by) = &self.supervisor {
            let (ours, theirs) = by.lifeline()?;
            command = Command::new(by.program());
            command.arg(by.word()).arg(theirs.as_raw_fd().to_string());
            command.arg(self.deadline.as_millis().to_string()).arg(&self.program);
            hand_on(&mut command, theirs);
            lifeline = Some(ours);
        }
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.dir);
        Ok((command, lifeline))
    }

    fn failed(&self, source: io::Error) -> ChildError {
        // A missing directory gives the same error number as a missing program.
        if source.kind() == io::ErrorKind::NotFound && self.dir.is_dir() {
            return ChildError::NotFound { program: self.name() };
        }
        ChildError::Spawn { program: self.name(), source }
    }
}

/// Has this process run another program, with its own arguments and environment and these variables. Only returns if that fails.
pub fn replace(program: &Path, vars: &[(&str, &str)]) -> io::Error {
    use std::os::unix::process::CommandExt;
    #[allow(clippy::disallowed_methods)] // no child: this process itself
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).envs(vars.iter().copied()).exec()
}

/// Runs a program to its end.
///
/// # Errors
/// [`ChildError`]; a program that ran and failed is an [`Output`], not an error.
pub fn run(cmd: Cmd, cancel: &Cancel) -> Result<Output, ChildError> {
    run_with(cmd, cancel, &mut |_| true)
}

/// As [`run`], handing over both outputs as they come; nothing of standard output is kept. Whoever hears it answers whether it is to go on:
/// else the child is ended. `on_start` is told the number of its process; of a supervised one that is its supervisor's.
///
/// # Errors
/// As [`run`], and [`ChildError::Enough`].
pub fn run_streamed(
    cmd: Cmd,
    cancel: &Cancel,
    on_start: &mut dyn FnMut(u32),
    on_stdout: &mut dyn FnMut(&[u8]) -> bool,
    on_stderr: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Output, ChildError> {
    let enough = std::cell::Cell::new(false);
    let mut stdout = |piece: &[u8]| enough.set(enough.get() || !on_stdout(piece));
    let mut stderr = |piece: &[u8]| {
        enough.set(enough.get() || !on_stderr(piece));
        true
    };
    let mut started = |pid: u32| on_start(pid);
    let heard = &mut Heard {
        started: Some(&mut started),
        stdout: Some(&mut stdout),
        stderr: &mut stderr,
        enough: Some(&enough),
    };
    start(cmd, cancel, heard)
}

/// As [`run`], handing over pieces of standard error as they come. `on_stderr` answers whether a piece is a sign of life, which is what
/// [`Cmd::stall`] waits for; standard output always is one.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    cmd: Cmd,
    cancel: &Cancel,
    on_stderr: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Output, ChildError> {
    start(cmd, cancel, &mut Heard { started: None, stdout: None, stderr: on_stderr, enough: None })
}

/// Hears a piece.
type OnPiece<'h> = &'h mut dyn FnMut(&[u8]);

/// Who hears what a child writes, piece by piece.
struct Heard<'h> {
    /// The number of its process.
    started: Option<&'h mut dyn FnMut(u32)>,
    /// Standard output; where nobody hears it, it is kept.
    stdout: Option<OnPiece<'h>>,
    /// Standard error, and whether a piece of it is a sign of life.
    stderr: &'h mut dyn FnMut(&[u8]) -> bool,
    /// Nobody wants to hear more.
    enough: Option<&'h std::cell::Cell<bool>>,
}

fn start(cmd: Cmd, cancel: &Cancel, heard: &mut Heard<'_>) -> Result<Output, ChildError> {
    if cancel.is_cancelled() {
        return Err(ChildError::Cancelled { program: cmd.name() });
    }
    let (mut command, lifeline) = cmd.command().map_err(|e| cmd.failed(e))?;
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if cmd.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    // A supervisor has to outlive us for a moment: it sees by its lifeline that we are gone.
    die_with_us(&mut command, lifeline.is_none());
    keep_within(&mut command, cmd.limits());
    let child = command.spawn().map_err(|e| cmd.failed(e))?;
    // With it goes our copy of the supervisor's end of the lifeline.
    drop(command);
    if let Some(started) = &mut heard.started {
        started(child.id());
    }
    let mut running = Running::new(child, &cmd, lifeline);
    let ended = running.watch(&cmd, cancel, heard);
    running.finish(&cmd, ended)
}

/// Has the child keep a descriptor that else is closed in it.
fn hand_on(command: &mut Command, fd: OwnedFd) {
    let set = move || Ok(rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty())?);
    // SAFETY: between fork and exec the closure makes one fcntl call on a descriptor that it owns; it allocates nothing and touches no lock
    // and no memory shared with other threads.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set);
    }
}

/// Gives the child the umask that we were started with, and with `dies` has the kernel end it when the thread that started it is gone.
pub(super) fn die_with_us(command: &mut Command, dies: bool) {
    #[cfg(target_os = "linux")]
    {
        let us = rustix::process::getpid();
        let umask = UMASK.get().copied();
        let set = move || {
            if let Some(umask) = umask {
                rustix::process::umask(umask);
            }
            if !dies {
                return Ok(());
            }
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // We may have ended before the call above.
            if rustix::process::getppid() == Some(us) {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        };
        // SAFETY: between fork and exec the closure makes three system calls (prctl, getppid, umask) and builds an error without
        // allocating; the umask was copied before, so it touches no lock and no memory shared with other threads.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(set);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, dies);
}

/// Has the kernel hold the child to its limits.
fn keep_within(command: &mut Command, limits: [Option<(Resource, Rlimit)>; 2]) {
    if limits.iter().all(Option::is_none) {
        return;
    }
    let set = move || {
        for (resource, limit) in limits.iter().flatten() {
            setrlimit(*resource, *limit)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a setrlimit call for each limit, of numbers that were copied before; it allocates
    // nothing and touches no lock and no memory shared with other threads.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set);
    }
}

/// How the waiting ended.
enum Ended {
    Exited,
    Timeout,
    Stalled,
    TooMuch(u64),
    Enough,
    Cancelled,
    Io(io::Error),
}

/// A started child and what it has written so far.
struct Running {
    child: Child,
    group: Pid,
    pidfd: Option<OwnedFd>,
    /// What the supervisor waits on, where the child is one.
    lifeline: Option<PipeWriter>,
    stdin: Option<ChildStdin>,
    written: usize,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    out: Vec<u8>,
    err: Vec<u8>,
    truncated: bool,
    /// Bytes it has written so far.
    said: u64,
    /// When it last gave a sign of life.
    heard: Mono,
    /// It has ended and is not reaped yet; its descriptor is readable from now on and would end every wait at once.
    exited: bool,
}

impl Running {
    fn new(mut child: Child, cmd: &Cmd, lifeline: Option<PipeWriter>) -> Running {
        let group = Pid::from_child(&child);
        let pidfd = end_of(group);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for fd in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            if let Some(fd) = fd
                && let Err(e) = rustix::io::ioctl_fionbio(fd, true)
            {
                log::debug!("{}: pipe stays blocking: {e}", cmd.name());
            }
        }
        let heard = SystemClock.now().mono;
        Running {
            child,
            group,
            pidfd,
            lifeline,
            stdin,
            written: 0,
            stdout,
            stderr,
            out: Vec::new(),
            err: Vec::new(),
            truncated: false,
            said: 0,
            heard,
            exited: false,
        }
    }

    fn watch(&mut self, cmd: &Cmd, cancel: &Cancel, heard: &mut Heard<'_>) -> Ended {
        let end = SystemClock.now().mono + cmd.deadline;
        loop {
            let now = SystemClock.now().mono;
            if cancel.is_cancelled() {
                return Ended::Cancelled;
            }
            if now >= end {
                return Ended::Timeout;
            }
            if heard.enough.is_some_and(std::cell::Cell::get) {
                return Ended::Enough;
            }
            if let Some(most) = cmd.output_max.filter(|most| self.said > *most) {
                return Ended::TooMuch(most);
            }
            let mut wait = end - now;
            if let Some(stall) = cmd.stall {
                let left = (self.heard + stall) - now;
                if left.is_zero() {
                    return Ended::Stalled;
                }
                wait = wait.min(left);
            }
            if self.pidfd.is_none() {
                wait = wait.min(SLICE);
            }
            match self.turn(cmd, Some(cancel), wait, heard) {
                Ok(true) => break,
                Ok(false) => {}
                Err(e) => return Ended::Io(e),
            }
        }
        // The child is gone; what it wrote may still be in the pipes, or others may hold them open.
        let drained = SystemClock.now().mono + DRAIN_GRACE;
        self.stdin = None;
        self.exited = true;
        while self.stdout.is_some() || self.stderr.is_some() {
            let left = drained - SystemClock.now().mono;
            if left.is_zero() {
                self.signal(Signal::KILL);
                break;
            }
            if let Err(e) = self.turn(cmd, Some(cancel), left.min(SLICE), heard) {
                return Ended::Io(e);
            }
        }
        Ended::Exited
    }

    /// Waits for one event at most `wait` long and handles it. True when the child has ended.
    fn turn(
        &mut self,
        cmd: &Cmd,
        cancel: Option<&Cancel>,
        wait: Duration,
        heard: &mut Heard<'_>,
    ) -> io::Result<bool> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(5);
        if let Some(out) = &self.stdout {
            fds.push(PollFd::new(out, PollFlags::IN));
        }
        if let Some(err) = &self.stderr {
            fds.push(PollFd::new(err, PollFlags::IN));
        }
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if let Some(pidfd) = self.pidfd.as_ref().filter(|_| !self.exited) {
            fds.push(PollFd::new(pidfd, PollFlags::IN));
        }
        if let Some(fd) = cancel.and_then(Cancel::fd) {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        wait_for(&mut fds, wait)?;
        drop(fds);
        self.feed(cmd)?;
        self.read(cmd, heard)?;
        match &self.pidfd {
            _ if self.exited => Ok(true),
            Some(fd) => ready(fd.as_fd()),
            None => Ok(self.child.try_wait()?.is_some()),
        }
    }

    fn feed(&mut self, cmd: &Cmd) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        loop {
            match stdin.write(&cmd.stdin[self.written..]) {
                Ok(n) if self.written + n < cmd.stdin.len() => self.written += n,
                // All is written, or the child does not want it: both are its end of file.
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.stdin = None;
        Ok(())
    }

    fn read(&mut self, cmd: &Cmd, heard: &mut Heard<'_>) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        for _ in 0..PIECES {
            let Some(n) = read_some(&mut self.stdout, &mut piece)? else { break };
            self.heard = SystemClock.now().mono;
            self.said += n as u64;
            if let Some(on_stdout) = &mut heard.stdout {
                on_stdout(&piece[..n]);
                continue;
            }
            let room = cmd.stdout_cap.saturating_sub(self.out.len());
            self.truncated |= n > room;
            self.out.extend_from_slice(&piece[..n.min(room)]);
        }
        for _ in 0..PIECES {
            let Some(n) = read_some(&mut self.stderr, &mut piece)? else { break };
            self.said += n as u64;
            if (heard.stderr)(&piece[..n]) {
                self.heard = SystemClock.now().mono;
            }
            self.err.extend_from_slice(&piece[..n]);
            if self.err.len() > cmd.stderr_cap * 2 {
                self.err.drain(..self.err.len() - cmd.stderr_cap);
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // The child is not reaped yet, so its group's number cannot belong to anybody else.
        if let Err(e) = kill_process_group(self.group, signal)
            && e != rustix::io::Errno::SRCH
        {
            log::warn!("signal to process group {}: {e}", self.group.as_raw_nonzero());
        }
    }

    /// Ends the child if it still runs, and reaps it.
    fn finish(mut self, cmd: &Cmd, ended: Ended) -> Result<Output, ChildError> {
        let program = cmd.name();
        if !matches!(ended, Ended::Exited) {
            let grace = match self.lifeline.take() {
                // That is its word to end what it runs.
                Some(_) => TERM_GRACE + SUPERVISOR_GRACE,
                None => {
                    self.signal(Signal::TERM);
                    cmd.grace
                }
            };
            let mut gone = false;
            let end = SystemClock.now().mono + grace;
            let mut heard =
                Heard { started: None, stdout: Some(&mut |_| ()), stderr: &mut |_| true, enough: None };
            while !gone && SystemClock.now().mono < end {
                gone = self.turn(cmd, None, SLICE, &mut heard).unwrap_or(true);
            }
            self.signal(Signal::KILL);
        }
        let status =
            self.child.wait().map_err(|source| ChildError::Io { program: program.clone(), source })?;
        match ended {
            Ended::Exited => {
                let from = self.err.len().saturating_sub(cmd.stderr_cap);
                Ok(Output {
                    status,
                    stdout: self.out,
                    stderr: self.err.split_off(from),
                    stdout_truncated: self.truncated,
                })
            }
            Ended::Timeout => Err(ChildError::Timeout { program, after: cmd.deadline }),
            Ended::Stalled => Err(ChildError::Stalled { program, after: cmd.stall.unwrap_or_default() }),
            Ended::TooMuch(most) => Err(ChildError::TooMuch { program, most }),
            Ended::Enough => Err(ChildError::Enough { program }),
            Ended::Cancelled => Err(ChildError::Cancelled { program }),
            Ended::Io(source) => Err(ChildError::Io { program, source }),
        }
    }
}

/// Reads once. `None` when there is nothing now; closes the pipe at its end.
fn read_some<R: Read>(pipe: &mut Option<R>, piece: &mut [u8]) -> io::Result<Option<usize>> {
    let Some(from) = pipe else { return Ok(None) };
    loop {
        match from.read(piece) {
            Ok(0) => {
                *pipe = None;
                return Ok(None);
            }
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A descriptor that is readable once the process has ended, where there is such a thing.
pub(super) fn end_of(process: Pid) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = process;
        None
    }
}

pub(super) fn wait_for(fds: &mut [PollFd<'_>], wait: Duration) -> io::Result<()> {
    let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
    match poll(fds, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    wait_for(&mut fds, Duration::ZERO)?;
    Ok(!fds[0].revents().is_empty())
}

/// A process that is meant to outlive us.
#[derive(Debug)]
pub struct Detached {
    /// What it says on standard output and error until it closes them.
    pub output: PipeReader,
    /// For reaping it if it ends before we do.
    pub child: Child,
}

/// Starts a program that stays when we end. It has no standard input; both outputs go into one pipe. It is expected to begin a session
/// of its own.
///
/// # Errors
/// As [`run`].
pub fn spawn_detached(cmd: &Cmd) -> Result<Detached, ChildError> {
    // It would hold open for its whole life what we were started with.
    keep_descriptors_private();
    let io = |source| ChildError::Io { program: cmd.name(), source };
    let (output, writer) = io::pipe().map_err(io)?;
    let (mut command, _) = cmd.command().map_err(io)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(io)?).stderr(writer);
    let child = command.spawn().map_err(|e| cmd.failed(e))?;
    Ok(Detached { output, child })
}

/// Starts a program that nobody listens to and nobody waits for, in a group of its own: an interrupt of ours is none of its. It is reaped if it
/// ends before we do.
///
/// # Errors
/// As [`run`].
pub fn spawn_unattended(cmd: &Cmd) -> Result<(), ChildError> {
    keep_descriptors_private();
    let (mut command, _) = cmd.command().map_err(|source| ChildError::Io { program: cmd.name(), source })?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(|e| cmd.failed(e))?;
    // Without a thread it stays a zombie until we end, which is soon where none can be made.
    let _ = thread::spawn("reap", thread::STACK_SMALL, move || child.wait());
    Ok(())
}

/// Has a person read `text` in the pager that the shell command `pager` starts, on our own terminal, and waits until they leave it.
/// `env` is added to our environment. True if it ran; a reader that ends early has read enough.
pub fn page(pager: &str, env: &[(&str, &str)], text: &[u8]) -> bool {
    #[allow(clippy::disallowed_methods, reason = "the one place that starts programs")]
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(pager).envs(env.iter().copied()).stdin(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut pipe) = child.stdin.take() {
        // It may be gone already.
        let _ = pipe.write_all(text);
    }
    // 127 is the shell's word that there is no such program.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}

/// The umask we were started with, if [`private_umask`] has replaced it.
static UMASK: OnceLock<Mode> = OnceLock::new();

/// From here on files of ours are private unless they say otherwise; children go on with the umask we were started with, so that what they
/// write for others stays readable for them. Called once, before there is a second thread.
pub fn private_umask() {
    let before = rustix::process::umask(Mode::from_raw_mode(0o077));
    // A second call finds only our own.
    let _ = UMASK.set(before);
}

/// Marks every descriptor above standard error that we were started with as not to be handed on, so that a careless parent's descriptors do
/// not live on in our children.
pub fn keep_descriptors_private() {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    for n in numbers.into_iter().filter(|n| *n > 2) {
        // SAFETY: the descriptor is only borrowed for one fcntl call that sets a flag; if it was closed since the listing, the
        // call fails with EBADF, which is what is wanted.
        #[allow(unsafe_code)]
        let fd = unsafe { BorrowedFd::borrow_raw(n) };
        let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("/bin/sh").arg("-c").arg(script).env("PATH", std::env::var_os("PATH").unwrap())
    }

    #[test]
    fn output_is_kept_up_to_its_cap_and_errors_from_their_end() {
        let out =
            run(sh("printf 12345; printf abcdefgh >&2; exit 3").stdout_cap(3).stderr_cap(4), &Cancel::new())
                .unwrap();
        assert_eq!((out.status.code(), out.stdout_truncated), (Some(3), true));
        assert_eq!((&out.stdout[..], &out.stderr[..]), (&b"123"[..], &b"efgh"[..]));
    }

    #[test]
    fn input_larger_than_a_pipe_goes_in_while_output_comes_out() {
        let bytes = vec![b'x'; 1 << 20];
        let out = run(sh("cat").stdin_bytes(bytes.clone()), &Cancel::new()).unwrap();
        assert_eq!(out.stdout, bytes);
    }

    #[test]
    fn a_child_past_its_deadline_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; (trap '' TERM; echo $$ > started; while :; do sleep 1; done) & wait";
        let result = run(sh(script).dir(dir.path()).deadline(Duration::from_secs(5)), &Cancel::new());
        assert!(matches!(result, Err(ChildError::Timeout { .. })), "{result:?}");
        assert!(dir.path().join("started").exists());
    }

    #[test]
    fn cancelling_ends_it_at_once_and_a_silent_one_counts_as_stuck() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let t = crate::kit::thread::spawn("t", crate::kit::thread::STACK_SMALL, move || {
            run(sh("sleep 60"), &other)
        })
        .unwrap();
        cancel.cancel();
        assert!(matches!(t.join().unwrap(), Err(ChildError::Cancelled { .. })));
        let stuck = run(sh("echo a; sleep 60").stall(Duration::from_millis(50)), &Cancel::new());
        assert!(matches!(stuck, Err(ChildError::Stalled { .. })));
    }

    #[test]
    fn ipc_07_a_child_sees_only_its_three_descriptors() {
        keep_descriptors_private();
        let _mine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let out = run(Cmd::new("/bin/ls").arg("/proc/self/fd"), &Cancel::new()).unwrap();
        let fds: Vec<String> =
            String::from_utf8(out.stdout).unwrap().split_whitespace().map(Into::into).collect();
        // The fourth is ls's own, on the directory it lists.
        assert_eq!(fds, ["0", "1", "2", "3"]);
    }

    #[test]
    fn syn_19_a_child_that_says_nothing_is_ended_and_one_that_goes_on_is_not() {
        let stuck = run(sh("while :; do sleep 60; done").stall(Duration::from_millis(100)), &Cancel::new());
        assert!(matches!(stuck, Err(ChildError::Stalled { .. })), "{stuck:?}");
        // All of it takes longer than the limit, and no step nearly as long, also where others need the processor.
        let slow = "for i in 1 2 3 4 5 6; do echo $i >&2; sleep 1; done";
        assert!(run(sh(slow).stall(Duration::from_secs(5)), &Cancel::new()).is_ok());
    }

    #[test]
    fn a_child_that_never_stops_talking_is_ended_all_the_same() {
        let talk = "while :; do echo words; echo words >&2; done";
        let most = 1 << 20;
        let much = run(sh(talk).output_max(most), &Cancel::new());
        assert!(matches!(much, Err(ChildError::TooMuch { most: m, .. }) if m == most), "{much:?}");
        let late = run(Cmd::new("yes").deadline(Duration::from_millis(200)), &Cancel::new());
        assert!(matches!(late, Err(ChildError::Timeout { .. })), "{late:?}");
        // Whether words are a sign of life is for the caller to say.
        let quiet = sh("while :; do echo words >&2; done").stall(Duration::from_millis(200));
        let empty = run_with(quiet, &Cancel::new(), &mut |_| false);
        assert!(matches!(empty, Err(ChildError::Stalled { .. })), "{empty:?}");
    }

    #[test]
    fn limits_reach_the_child_and_its_children() {
        let limits = |cmd: Cmd| {
            let out = run(cmd, &Cancel::new()).unwrap();
            String::from_utf8(out.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let own = limits(sh("ulimit -d; ulimit -f"));
        let cmd = sh("sh -c 'ulimit -d; ulimit -f'").memory_max(96 << 20).file_max(1 << 30);
        // Kilobytes, and blocks of 512 bytes.
        assert_eq!(limits(cmd), [(96 << 10).to_string(), (1 << 21).to_string()]);
        assert_eq!(limits(sh("ulimit -d; ulimit -f")), own, "ours stay as they were");
    }

    #[test]
    fn a_missing_program_and_a_missing_directory_are_told_apart() {
        let none = Cancel::new();
        assert!(matches!(run(Cmd::new("/no/such/program"), &none), Err(ChildError::NotFound { .. })));
        assert!(matches!(run(sh(":").dir("/no/such/dir"), &none), Err(ChildError::Spawn { .. })));
    }

    #[test]
    fn a_pipe_held_open_by_somebody_else_does_not_hold_us() {
        let out = run(sh("(sleep 60) & echo done"), &Cancel::new()).unwrap();
        assert_eq!(out.stdout, b"done\n");
    }
}
