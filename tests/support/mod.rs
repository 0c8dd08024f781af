//! What the integration tests share: a machine of their own for each test, and a look at what is left when it ends.
//!
//! Each test binary uses its own part of this, so what one of them leaves unused is no finding.
#![allow(dead_code, unused_imports)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ox::kit::cancel::Cancel;
use ox::kit::child::{self, Cmd};
use ox::kit::clock::wait_until;
use ox::kit::lock;
use rustix::process::{Pid, Signal, kill_process};

pub mod api;
pub mod census;
pub mod git;
pub mod http_git;
pub mod http_script;
pub mod lfs;
pub mod port;
pub mod seed;
pub mod spawn;
pub mod temp;
pub mod transcript;
pub mod wait;

pub use census::{Census, own_process};
pub use wait::{HANG, comes, until, until_or};

/// The program under test.
pub const OX: &str = env!("CARGO_BIN_EXE_ox");
/// What a daemon gives itself to end after TERM, and as much again for a machine that is busy with other tests.
pub const STOP_GRACE: Duration = Duration::from_secs(20);
/// The variable every process of an environment carries.
const MARKER: &str = "OX_TEST_ENV";
/// Longer temporary directories leave too little of a socket's path; then `/tmp` is used.
const TEMP_PATH_MAX: usize = 32;

/// A machine of its own: home, directories, git configuration. Dropping it stops its daemon and fails the test if anything is left.
pub struct TestEnv {
    root: tempfile::TempDir,
    base: PathBuf,
    vars: BTreeMap<OsString, OsString>,
    real_home: Vec<(PathBuf, bool)>,
    leftovers_allowed: bool,
    grace: Duration,
}

/// How a program ended and what it said.
#[derive(Clone)]
pub struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// The last of standard error.
    pub stderr: String,
    what: String,
}

impl Default for TestEnv {
    fn default() -> TestEnv {
        TestEnv::new()
    }
}

impl TestEnv {
    /// A fresh machine: no configuration but a git name and e-mail.
    pub fn new() -> TestEnv {
        let env = TestEnv::without_git_config();
        let config =
            "[user]\n\tname = Test User\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n";
        fs::write(env.home().join(".gitconfig"), config).unwrap();
        env
    }

    /// As [`TestEnv::new`] without any git configuration.
    pub fn without_git_config() -> TestEnv {
        git::no_real_home();
        let temp = temp::place();
        let parent = if temp.as_os_str().len() <= TEMP_PATH_MAX { temp } else { PathBuf::from("/tmp") };
        let root = tempfile::Builder::new().prefix("oxt-").tempdir_in(parent).unwrap();
        let base = fs::canonicalize(root.path()).unwrap();
        let mut env = TestEnv {
            root,
            base,
            vars: BTreeMap::new(),
            real_home: real_homes().into_iter().map(|p| (p.clone(), p.exists())).collect(),
            leftovers_allowed: false,
            grace: STOP_GRACE,
        };
        for dir in [env.home(), env.config(), env.data(), env.cache(), env.runtime(), env.tmp(), env.work()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
        }
        for (name, value) in [
            ("HOME", env.home()),
            ("XDG_CONFIG_HOME", env.config()),
            ("XDG_DATA_HOME", env.data()),
            ("XDG_CACHE_HOME", env.cache()),
            ("XDG_RUNTIME_DIR", env.runtime()),
            ("TMPDIR", env.tmp()),
        ] {
            env.set(name, value);
        }
        for (name, value) in [
            ("TZ", "UTC"),
            ("LANG", "C.UTF-8"),
            ("USER", "tester"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ] {
            env.set(name, value);
        }
        env.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        env.set(MARKER, env.base.clone());
        env
    }

    /// The directory all of it lies in.
    pub fn root(&self) -> &Path {
        &self.base
    }

    /// `HOME`.
    pub fn home(&self) -> PathBuf {
        self.base.join("h")
    }

    /// `XDG_CONFIG_HOME`.
    pub fn config(&self) -> PathBuf {
        self.home().join(".config")
    }

    /// `XDG_DATA_HOME`.
    pub fn data(&self) -> PathBuf {
        self.home().join(".local/share")
    }

    /// `XDG_CACHE_HOME`.
    pub fn cache(&self) -> PathBuf {
        self.home().join(".cache")
    }

    /// `XDG_RUNTIME_DIR`; short, sockets lie in it.
    pub fn runtime(&self) -> PathBuf {
        self.base.join("r")
    }

    /// `TMPDIR`.
    pub fn tmp(&self) -> PathBuf {
        self.base.join("t")
    }

    /// Where repositories and anything else of a test lie.
    pub fn work(&self) -> PathBuf {
        self.base.join("w")
    }

    /// Sets a variable for everything run from now on.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.vars.insert(name.as_ref().into(), value.as_ref().into());
    }

    /// Unsets a variable for everything run from now on.
    pub fn unset(&mut self, name: impl AsRef<OsStr>) {
        self.vars.remove(name.as_ref());
    }

    /// The whole environment, as the programs see it.
    pub fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars.iter().map(|(k, v)| (k.as_os_str(), v.as_os_str()))
    }

    /// A call of `program` on this machine.
    pub fn cmd(&self, program: impl AsRef<OsStr>) -> Cmd {
        self.guard();
        let mut cmd = Cmd::new(program).dir(self.work()).deadline(HANG);
        for (name, value) in &self.vars {
            cmd = cmd.env(name, value);
        }
        cmd
    }

    /// Runs `ox` in the work directory.
    pub fn ox<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        self.ox_in(self.work(), args)
    }

    /// Runs `ox` in `dir`.
    pub fn ox_in<A: AsRef<OsStr>>(&self, dir: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> Ran {
        let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().into()).collect();
        let what = format!("ox {}", text(&args));
        self.run_quickly(OX, dir.as_ref(), &args, what)
    }

    /// Runs `git` in `dir`; it must succeed. Returns its trimmed standard output.
    pub fn git<A: AsRef<OsStr>>(&self, dir: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> String {
        self.try_git(dir, args).ok().stdout.trim_end().to_string()
    }

    /// Runs `git` in `dir`.
    pub fn try_git<A: AsRef<OsStr>>(&self, dir: impl AsRef<Path>, args: impl IntoIterator<Item = A>) -> Ran {
        let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().into()).collect();
        let what = format!("git {}", text(&args));
        self.run_quickly("git", dir.as_ref(), &args, what)
    }

    /// Runs another program in `dir`.
    pub fn run_in<A: AsRef<OsStr>>(
        &self,
        dir: impl AsRef<Path>,
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Ran {
        let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().into()).collect();
        let program = program.as_ref().to_str().unwrap();
        self.run_quickly(program, dir.as_ref(), &args, format!("{program} {}", text(&args)))
    }

    #[track_caller]
    fn run_quickly(&self, program: &str, dir: &Path, args: &[OsString], what: String) -> Ran {
        let mut command = self.command(program, dir, args);
        command.process_group(0);
        match spawn::output(command) {
            Ok(out) => Ran::of(out.status, &out.stdout, &out.stderr, what),
            Err(e) => panic!("`{what}`: {e}"),
        }
    }

    /// A call of a program on this machine, to be started. It reads nothing and its output is piped.
    fn command(&self, program: &str, dir: &Path, args: &[OsString]) -> Command {
        self.guard();
        let path = self.vars.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let mut command = Command::new(spawn::found(program.as_ref(), &path));
        command.args(args).env_clear().envs(&self.vars).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A started `ox` that goes on running: a daemon in the foreground, a client that waits.
    pub fn start_ox<A: AsRef<OsStr>>(
        &self,
        dir: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Background {
        self.start(OX, dir, args)
    }

    /// A started `git` that goes on running.
    pub fn start_git<A: AsRef<OsStr>>(
        &self,
        dir: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Background {
        self.start("git", dir, args)
    }

    /// Starts a program and leaves it running. It reads nothing and its output is piped to [`Background`].
    pub fn start<A: AsRef<OsStr>>(
        &self,
        program: &str,
        dir: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Background {
        let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().to_os_string()).collect();
        Background(self.command(program, dir.as_ref(), &args).spawn().unwrap())
    }

    /// A user's repository with one commit on `main`.
    pub fn repo(&self, name: &str) -> PathBuf {
        let dir = self.work().join(name);
        fs::create_dir_all(&dir).unwrap();
        self.git(&dir, ["init", "-q", "-b", "main"]);
        fs::write(dir.join("README.md"), format!("# {name}\n")).unwrap();
        self.git(&dir, ["add", "README.md"]);
        self.git(
            &dir,
            ["-c", "user.name=Test User", "-c", "user.email=test@example.invalid", "commit", "-qm", "First"],
        );
        dir
    }

    /// An empty bare repository on branch `main`.
    pub fn bare(&self, name: &str) -> PathBuf {
        let dir = self.work().join(name);
        fs::create_dir_all(&dir).unwrap();
        self.git(&dir, ["init", "-q", "--bare", "-b", "main"]);
        dir
    }

    /// The lock files a daemon of this machine may hold.
    fn host_locks(&self) -> [PathBuf; 2] {
        [self.data().join("sageox/daemon.lock"), self.home().join(".sageox/data/daemon.lock")]
    }

    /// The daemon of this machine, if one lives: somebody holds its lock, and that file names its process.
    pub fn daemon_pid(&self) -> Option<u32> {
        let held = self.host_locks().into_iter().find(|path| lock::is_held(path).unwrap_or(false))?;
        let content = fs::read_to_string(held).ok()?;
        let number = content.split_once("\"pid\":").map_or(content.as_str(), |(_, rest)| rest).trim_start();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// Stops the daemon's process, as a debugger does, and waits until each of its threads has stopped: before that it may still
    /// answer.
    pub fn freeze_daemon(&self) {
        let pid = self.signal_daemon(Signal::STOP);
        until(|| census::is_stopped(pid));
    }

    /// Sends a signal to the daemon; it must be alive.
    pub fn signal_daemon(&self, signal: Signal) -> u32 {
        let pid = self.daemon_pid().expect("no daemon is alive");
        assert!(self.processes().iter().any(|p| p.pid == pid), "process {pid} is not of this environment");
        send(pid, signal);
        pid
    }

    /// Ends the daemon, if one lives: TERM, and KILL after [`STOP_GRACE`]. True unless it had to be killed.
    pub fn stop_daemon(&self) -> bool {
        let Some(pid) = self.daemon_pid() else { return true };
        if !self.processes().iter().any(|p| p.pid == pid) {
            return true;
        }
        send(pid, Signal::TERM);
        // A stopped process does not see the TERM before it goes on.
        send(pid, Signal::CONT);
        let gone = || !census::is_alive(pid);
        if wait_until(STOP_GRACE, gone) {
            return true;
        }
        send(pid, Signal::KILL);
        wait_until(STOP_GRACE, gone);
        false
    }

    /// Every living process of this machine.
    pub fn processes(&self) -> Vec<census::Process> {
        census::processes_of(&self.base)
    }

    /// Every socket in the runtime and temporary directory.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let is_socket = |p: &Path| fs::symlink_metadata(p).is_ok_and(|m| m.file_type().is_socket());
        census::files(&self.base, &|p| is_socket(p))
    }

    /// Every temporary sibling: what a write or a clone should have renamed or removed.
    pub fn temp_siblings(&self) -> Vec<PathBuf> {
        census::files(&self.base, &|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".tmp") || name.contains(".ox-clone-")
        })
    }

    /// This test kills daemons without mercy at its end: files may stay behind, processes may not.
    pub fn allow_leftovers(&mut self) {
        self.leftovers_allowed = true;
    }

    /// What this test leaves behind on purpose is not waited for.
    pub fn hurry(&mut self) {
        self.grace = Duration::from_millis(100);
    }

    /// Whatever a test has set, nothing may reach the real home.
    fn guard(&self) {
        for name in
            ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"]
        {
            if let Some(value) = self.vars.get(OsStr::new(name)) {
                assert!(Path::new(value).starts_with(&self.base), "{name} leads out of the test: {value:?}");
            }
        }
        assert!(self.vars.contains_key(OsStr::new("HOME")), "without HOME the real one would be used");
    }

    /// Stops everything and says what should not have been there.
    fn close(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.stop_daemon() {
            found.push(format!("the daemon did not end within {} s of TERM", STOP_GRACE.as_secs()));
        }
        // A child of the daemon may be a moment behind it.
        if !wait_until(self.grace, || self.processes().is_empty()) {
            for process in self.processes() {
                found.push(format!("process {} is still there: {}", process.pid, process.command));
                send(process.pid, Signal::KILL);
            }
            wait_until(STOP_GRACE, || self.processes().is_empty());
        }
        if !self.leftovers_allowed {
            found.extend(self.sockets().iter().map(|p| format!("socket left: {}", p.display())));
            found
                .extend(self.temp_siblings().iter().map(|p| format!("temporary file left: {}", p.display())));
        }
        for (path, before) in &self.real_home {
            if !before && path.exists() {
                found.push(format!("{} was made: the real home is not for tests", path.display()));
            }
        }
        found
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let found = self.close();
        if found.is_empty() {
            return;
        }
        let text = format!("left behind by the test:\n  {}", found.join("\n  "));
        if std::thread::panicking() {
            eprintln!("{text}");
        } else {
            panic!("{text}");
        }
    }
}

impl Ran {
    fn of(status: ExitStatus, stdout: &[u8], stderr: &[u8], what: String) -> Ran {
        Ran {
            code: status.code().or(status.signal().map(|s| -s)),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
            what,
        }
    }

    /// It must have ended with exit code 0.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert!(self.code == Some(0), "{self:?}");
        self
    }

    /// It must have ended with this exit code.
    #[track_caller]
    pub fn fails(self, code: i32) -> Ran {
        assert!(self.code == Some(code), "expected exit code {code}: {self:?}");
        self
    }

    /// Its standard output, which must be one JSON document, whatever the exit code.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(e) => panic!("no JSON on standard output ({e}): {self:?}"),
        }
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` ended with {:?}\n-- stdout\n{}\n-- stderr\n{}",
            self.what, self.code, self.stdout, self.stderr
        )
    }
}

/// A process that runs beside the test. Killed and reaped when dropped.
pub struct Background(pub Child);

impl Background {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.0.id(), signal);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end. One that does not end fails the test and is told where it hangs.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        assert!(comes(|| self.has_ended()), "it does not end: {}", self.whereabouts());
        self.0.wait().unwrap()
    }

    /// Where it is: what each of its threads waits for, and what it has open. For a test that fails because it does not end.
    pub fn whereabouts(&self) -> String {
        let base = PathBuf::from(format!("/proc/{}", self.0.id()));
        let list = |dir: &str| {
            let entries = std::fs::read_dir(base.join(dir)).into_iter().flatten().flatten();
            entries.map(|e| e.path()).collect::<Vec<_>>()
        };
        let said = |p: PathBuf| std::fs::read_to_string(p).unwrap_or_default().trim().to_owned();
        let thread = |t: &PathBuf| {
            format!("{}: {} {}", said(t.join("comm")), said(t.join("wchan")), said(t.join("syscall")))
        };
        let open = |fd: &PathBuf| std::fs::read_link(fd).unwrap_or_default().display().to_string();
        let threads: Vec<String> = list("task").iter().map(thread).collect();
        let files: Vec<String> = list("fd").iter().map(open).collect();
        format!("threads {threads:?}, open {files:?}, locks {}", said("/proc/locks".into()))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end; not finding it or passing its deadline fails the test.
#[track_caller]
pub fn run(cmd: Cmd, what: String) -> Ran {
    match child::run(cmd, &Cancel::new()) {
        Ok(out) => Ran::of(out.status, &out.stdout, &out.stderr, what),
        Err(e) => panic!("`{what}`: {e}"),
    }
}

/// Sends a signal; a process that is gone already is fine.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(i32::try_from(pid).unwrap()) {
        let _ = kill_process(pid, signal);
    }
}

fn text(args: &[OsString]) -> String {
    args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Where a program that ignores the test's environment would leave its first traces.
fn real_homes() -> Vec<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = var("HOME").unwrap_or_else(|| PathBuf::from("/"));
    let mut found = vec![home.join(".sageox")];
    for (name, default) in
        [("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".local/share"), ("XDG_CACHE_HOME", ".cache")]
    {
        found.push(var(name).unwrap_or_else(|| home.join(default)).join("sageox"));
    }
    found.push(var("XDG_RUNTIME_DIR").unwrap_or_else(std::env::temp_dir).join("sageox"));
    found
}
