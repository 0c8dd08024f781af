//! The client's side of the daemon's life: finding it, starting it, stopping it. Prints nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::others::is_foreign;
use crate::daemon::run::{self, Holder, STARTED_BY};
use crate::git::way_to_remotes;
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire::{Attached, ProjectInfo};
use crate::kit::Class;
use crate::kit::child::{self, Cmd};
use crate::kit::clock::{self, Clock, SystemClock, wait_until};
use crate::kit::file::is_gone;
use crate::kit::lock::{self, FileLock};
use crate::project::settings::Settings;
use crate::project::{Dirs, Env, PROJECT_DIR, Project};

/// A daemon that has started answers within this.
pub const START_MAX: Duration = Duration::from_secs(5);
/// A daemon that does not answer a ping in this time is there but does not answer.
pub const PING: Duration = Duration::from_secs(2);
/// After this long without an answer a starting daemon is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3 * 60);
/// A daemon that is found ending is waited for and followed by a new one so many times.
const START_TRIES: usize = 3;
/// Reaching a daemon that is just ending or starting is tried for this long.
const REACH_MAX: Duration = Duration::from_secs(12);
/// A daemon that was asked to stop is gone after this.
const STOP_MAX: Duration = Duration::from_secs(12);

/// What the instance lock and a ping say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Nobody holds the lock.
    Stopped,
    /// It holds the lock and does not answer yet.
    Starting {
        /// Its process; 0 if not known yet.
        pid: u32,
    },
    /// It answers.
    Running {
        /// Its process.
        pid: u32,
    },
    /// It has held the lock for long and its socket is not there.
    Stuck {
        /// Its process; 0 if not known.
        pid: u32,
    },
    /// Its socket takes calls and nobody answers them.
    Unresponsive {
        /// Its process; 0 if not known.
        pid: u32,
    },
    /// It could not be looked at.
    Unknown(String),
}

/// Why the daemon could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// Nobody holds the instance lock.
    #[error("daemon not running")]
    NotRunning,
    /// A setting forbids starting it.
    #[error("daemon not running, and {by} forbids starting it")]
    Disabled {
        /// Name of the variable or key.
        by: &'static str,
    },
    /// It is there and does not answer.
    #[error("daemon (pid {pid}) does not answer")]
    Unresponsive {
        /// Its process.
        pid: u32,
    },
    /// It could not be started.
    #[error("daemon could not be started: {text}")]
    StartFailed {
        /// In its own words.
        text: String,
    },
    /// It does not serve the project.
    #[error("{text}")]
    Refused {
        /// In its own words.
        text: String,
    },
    /// A call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ReachError {
    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            ReachError::NotRunning | ReachError::Disabled { .. } | ReachError::Refused { .. } => Class::Usage,
            ReachError::Unresponsive { .. } => Class::Busy,
            ReachError::StartFailed { .. } => Class::Disk,
            ReachError::Client(e) => e.class(),
        }
    }
}

/// What [`start`] found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The daemon's process.
    pub pid: u32,
    /// It was running before.
    pub already: bool,
}

/// What a stop found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// It was there and has let go.
    pub was_running: bool,
}

/// The host's client: at the socket that the lock's holder wrote down, so that a caller with other runtime directories finds it too.
fn host(dirs: &Dirs) -> (Client, u32) {
    let Holder { pid, socket } = run::holder(dirs).unwrap_or_default();
    let socket = if socket.as_os_str().is_empty() { dirs.host_socket() } else { socket };
    let client = Client::new(socket);
    // Who deleted the lock file deleted what it said.
    let pid = if pid == 0 { client.peer_pid().unwrap_or(0) } else { pid };
    (client, pid)
}

/// The process of the user's daemon, as its lock or its socket tells; 0 if neither does.
pub fn pid(dirs: &Dirs) -> u32 {
    host(dirs).1
}

/// The client of whoever serves the project, without looking whether anybody does: at the project's socket, or where the host says it is,
/// which may have been started with other runtime directories.
pub fn client_of(dirs: &Dirs, project: &Project) -> Client {
    let own = dirs.project_socket(&project.workspace_id);
    let told = || {
        let served = projects(dirs).unwrap_or_default();
        let ours = served.into_iter().find(|p| p.workspace_id == project.workspace_id);
        ours.map(|p| PathBuf::from(p.socket_path))
    };
    let socket = if own.exists() { own } else { told().unwrap_or(own) };
    named(Client::new(socket), project)
}

fn named(client: Client, project: &Project) -> Client {
    client.named(&project.workspace_id, &project.legacy_workspace_id)
}

/// Whether a daemon lives: it holds the instance lock. Who deletes that file frees the lock, and the daemon takes it anew only with its next
/// look; meanwhile it answers at its socket.
fn lives(dirs: &Dirs) -> std::io::Result<bool> {
    Ok(lock::is_held(&dirs.daemon_lock())? || host(dirs).0.ping(PING).is_ok())
}

/// In which state the user's daemon is.
pub fn host_state(dirs: &Dirs) -> HostState {
    match lives(dirs) {
        Ok(false) => return HostState::Stopped,
        Err(e) => return HostState::Unknown(format!("{}: {e}", dirs.daemon_lock().display())),
        Ok(true) => {}
    }
    let (client, pid) = host(dirs);
    match client.ping(PING) {
        Ok(()) => return HostState::Running { pid },
        // It has listened since before it was ready: this is not the start any more.
        Err(ClientError::Timeout { .. }) => return HostState::Unresponsive { pid },
        Err(_) => {}
    }
    match lock_age(dirs) {
        Some(age) if age < STUCK_AFTER => HostState::Starting { pid },
        _ => HostState::Stuck { pid },
    }
}

/// How long ago the holder wrote itself into the lock file. Only a word for people hangs on it, never a decision.
fn lock_age(dirs: &Dirs) -> Option<Duration> {
    let written = std::fs::metadata(dirs.daemon_lock()).and_then(|m| m.modified()).ok()?;
    let written = jiff::Timestamp::try_from(written).ok()?;
    Some(SystemClock.now().wall.duration_since(written).unsigned_abs())
}

/// Starts the daemon in the background unless it runs, and waits until it answers.
///
/// # Errors
/// [`ReachError::StartFailed`] in the daemon's own words, or [`ReachError::Unresponsive`].
pub fn start(dirs: &Dirs, env: &Env) -> Result<Started, ReachError> {
    let failed = |text: String| ReachError::StartFailed { text };
    // A daemon that is there and does not answer is found so by each command by itself, not by one after another.
    if lives(dirs).unwrap_or(false) {
        match await_answer(dirs) {
            Err(ReachError::NotRunning) => {}
            known => return known,
        }
    }
    // Many commands at once make one start: the first spawns, the others find it running.
    let starting = dirs.daemon_lock().with_extension("start.lock");
    let _one = FileLock::acquire(&starting, START_MAX * 2)
        .map_err(|e| failed(format!("{}: {e}", starting.display())))?
        .ok_or_else(|| failed("another command has been starting it for too long".to_string()))?;
    for _ in 0..START_TRIES {
        let held = lives(dirs).unwrap_or(false);
        let result = if held { await_answer(dirs) } else { spawn(dirs, env) };
        // The one that held the lock was on its way out.
        if !matches!(result, Err(ReachError::NotRunning)) {
            return result;
        }
    }
    Err(ReachError::NotRunning)
}

/// glibc gives each busy thread an arena of its own, of which an idle daemon keeps 100 to 200 KiB each; four are enough for threads
/// that mostly wait. Its children do not inherit this.
pub const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "4");

fn spawn(dirs: &Dirs, env: &Env) -> Result<Started, ReachError> {
    let failed = |text: String| ReachError::StartFailed { text };
    let exe = std::env::current_exe().map_err(|e| failed(format!("own program: {e}")))?;
    let dir = env.cwd().filter(|d| d.is_dir()).unwrap_or(std::path::Path::new("/"));
    let cmd = Cmd::new(exe).args(["daemon", "start", "--foreground"]).keep_all_env();
    let cmd = cmd.env(STARTED_BY, "1").env(ARENAS.0, ARENAS.1).dir(dir);
    let mut detached = child::spawn_detached(&cmd).map_err(|e| failed(e.to_string()))?;
    let (told, hears) = crossbeam_channel::bounded(1);
    let output = detached.output;
    let reader = crate::kit::thread::spawn("start", crate::kit::thread::STACK_SMALL, move || {
        let mut text = String::new();
        let mut lines = BufReader::new(std::io::Read::take(output, 64 << 10)).lines().map_while(Result::ok);
        let word = lines.find(|line| {
            let is_word = ["ready ", "running ", "error "].iter().any(|w| line.starts_with(w));
            if !is_word {
                text.push_str(line);
                text.push('\n');
            }
            is_word
        });
        // The starter may have given up.
        let _ = told.send(word.ok_or(text));
    });
    reader.map_err(|e| failed(e.to_string()))?;
    match hears.recv_timeout(START_MAX) {
        Ok(Ok(word)) => match word.split_once(' ') {
            Some(("ready", pid)) => Ok(Started { pid: pid.parse().unwrap_or(0), already: false }),
            Some(("running", _)) => await_answer(dirs),
            _ => {
                let _ = detached.child.wait();
                Err(failed(word.trim_start_matches("error ").to_string()))
            }
        },
        Ok(Err(text)) => {
            let _ = detached.child.wait();
            let text = text.trim();
            Err(failed(if text.is_empty() {
                "it ended without a word".to_string()
            } else {
                text.to_string()
            }))
        }
        Err(_) => Err(failed(format!(
            "no answer after {} s; see its log: {}",
            START_MAX.as_secs(),
            dirs.log().display()
        ))),
    }
}

/// Somebody holds the lock: waits until it answers.
fn await_answer(dirs: &Dirs) -> Result<Started, ReachError> {
    let mut pid = 0;
    let start = SystemClock.now().mono;
    let (mut answers, mut ended) = (false, false);
    wait_until(REACH_MAX, || {
        let (client, holder) = host(dirs);
        pid = holder;
        let answer = client.ping(PING);
        answers = answer.is_ok();
        ended = !answers && !lives(dirs).unwrap_or(true);
        // One that is starting or ending has no socket; one that has one and is silent gets less time.
        let silent = matches!(answer, Err(ClientError::Timeout { .. }));
        answers || ended || (silent && SystemClock.now().mono - start >= START_MAX)
    });
    match (answers, ended) {
        (true, _) => Ok(Started { pid, already: true }),
        (false, true) => Err(ReachError::NotRunning),
        (false, false) => Err(ReachError::Unresponsive { pid }),
    }
}

/// A client of the project's daemon: at the project's socket, else attached through the host. Starts nothing.
///
/// # Errors
/// [`ReachError::NotRunning`], [`ReachError::Unresponsive`], or that the project is refused.
pub fn connect(dirs: &Dirs, project: &Project) -> Result<Client, ReachError> {
    let client = client_of(dirs, project);
    match client.ping(PING) {
        Ok(()) => return Ok(client),
        Err(ClientError::NotRunning { .. } | ClientError::Closed { .. }) => {}
        // A daemon of the Go program that hangs: attaching through ours ends it.
        Err(ClientError::Timeout { .. }) if is_foreign(dirs, project, host(dirs).1) => {}
        Err(ClientError::Timeout { .. }) => return Err(ReachError::Unresponsive { pid: host(dirs).1 }),
        Err(e) => return Err(e.into()),
    }
    attach(dirs, project)
}

fn attach(dirs: &Dirs, project: &Project) -> Result<Client, ReachError> {
    let (host, pid) = host(dirs);
    match host.attach_with(project.root.to_string_lossy(), dirs.real_data().to_string_lossy()) {
        Ok(Attached { socket_path, .. }) => Ok(named(Client::new(socket_path), project)),
        Err(ClientError::NotRunning { .. }) => Err(ReachError::NotRunning),
        Err(ClientError::Timeout { .. }) => Err(ReachError::Unresponsive { pid }),
        Err(ClientError::Remote(text)) => Err(ReachError::Refused { text }),
        Err(e) => Err(e.into()),
    }
}

/// As [`connect`], starting the daemon if it does not run.
///
/// # Errors
/// As [`connect`] and [`start`]; [`ReachError::Disabled`] where starting it is forbidden.
pub fn ensure(dirs: &Dirs, env: &Env, project: &Project) -> Result<Client, ReachError> {
    let end = SystemClock.now().mono + REACH_MAX;
    loop {
        let result = match connect(dirs, project) {
            Err(ReachError::NotRunning) => {
                may_start(dirs, env)?;
                start(dirs, env).and_then(|_| attach(dirs, project))
            }
            Ok(_) if is_served_from_nowhere(dirs, project) => attach(dirs, project),
            other => other,
        };
        match result {
            // It was just ending, or ended under our hands: another round starts it anew.
            Err(
                ReachError::NotRunning
                | ReachError::Client(ClientError::Busy { .. } | ClientError::Closed { .. }),
            ) if SystemClock.now().mono < end => {
                clock::pause(Duration::from_millis(50));
            }
            other => {
                if let Ok(client) = &other {
                    // An older daemon, or that of the Go program, does not know it; then its own environment counts.
                    let _ = client.environment(way_to_remotes(|name| env.get(name).map(str::to_owned)));
                }
                return other;
            }
        }
    }
}

/// Whether the directory that the daemon knows the project by is gone: a work tree that was removed, or renamed.
fn is_served_from_nowhere(dirs: &Dirs, project: &Project) -> bool {
    let served = projects(dirs).unwrap_or_default();
    let from =
        served.iter().find(|p| p.workspace_id == project.workspace_id).map(|p| Path::new(&p.project_root));
    from.is_some_and(|from| from != project.root && is_gone(&from.join(PROJECT_DIR)))
}

/// Whether the daemon may be started by whoever needs it, unasked.
///
/// # Errors
/// [`ReachError::Disabled`], and by what.
pub fn may_start(dirs: &Dirs, env: &Env) -> Result<(), ReachError> {
    if env.get("SAGEOX_DAEMON").is_some_and(|v| v.eq_ignore_ascii_case("false")) {
        return Err(ReachError::Disabled { by: "SAGEOX_DAEMON=false" });
    }
    if env.get("OX_NO_DAEMON") == Some("1") {
        return Err(ReachError::Disabled { by: "OX_NO_DAEMON=1" });
    }
    if !Settings::load(env, dirs, None).0.daemon().0.auto_start {
        return Err(ReachError::Disabled { by: "daemon.auto_start = false" });
    }
    Ok(())
}

/// Has the daemon let go of the project. It ends when that was its last one.
///
/// # Errors
/// It is there and does not answer, or refuses.
pub fn stop_project(dirs: &Dirs, project: &Project) -> Result<Stopped, ReachError> {
    let client = client_of(dirs, project);
    match client.stop() {
        Ok(()) => {}
        Err(ClientError::NotRunning { .. }) => return Ok(Stopped { was_running: false }),
        Err(ClientError::Timeout { .. }) => return Err(ReachError::Unresponsive { pid: host(dirs).1 }),
        Err(e) => return Err(e.into()),
    }
    // Gone is gone: nothing answers at its socket, and a process that goes with its last project has ended.
    let (host, _) = host(dirs);
    let goes_on = || host.projects().is_ok_and(|others| !others.is_empty());
    let ended = || !lives(dirs).unwrap_or(true);
    let gone = || !client.is_reachable() && (goes_on() || ended());
    if wait_until(STOP_MAX, gone) {
        Ok(Stopped { was_running: true })
    } else {
        Err(ReachError::Unresponsive { pid: 0 })
    }
}

/// Ends the daemon's process.
///
/// # Errors
/// It is there and does not answer or does not end.
pub fn stop_all(dirs: &Dirs) -> Result<Stopped, ReachError> {
    if !lives(dirs).unwrap_or(true) {
        return Ok(Stopped { was_running: false });
    }
    let (client, pid) = host(dirs);
    match client.stop() {
        Ok(()) | Err(ClientError::NotRunning { .. } | ClientError::Closed { .. }) => {}
        Err(ClientError::Timeout { .. }) => return Err(ReachError::Unresponsive { pid }),
        Err(e) => return Err(e.into()),
    }
    let ended = wait_until(STOP_MAX, || !lives(dirs).unwrap_or(true));
    if ended { Ok(Stopped { was_running: true }) } else { Err(ReachError::Unresponsive { pid }) }
}

/// The projects the daemon serves.
///
/// # Errors
/// [`ReachError::NotRunning`], or no answer.
pub fn projects(dirs: &Dirs) -> Result<Vec<ProjectInfo>, ReachError> {
    let (client, pid) = host(dirs);
    match client.projects() {
        Ok(projects) => Ok(projects),
        Err(ClientError::NotRunning { .. }) => Err(ReachError::NotRunning),
        Err(ClientError::Timeout { .. }) => Err(ReachError::Unresponsive { pid }),
        Err(e) => Err(e.into()),
    }
}
