//! The life of the daemon process, from its first step to its exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, bounded};
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::core::Core;
use super::cx::Identity;
use super::event::Event;
use super::host::lanes::{Lanes, Wake};
use super::host::{Host, INBOX};
use super::names::VERSION;
use super::projects::{self, AttachedFile, Instance};
use super::upkeep::event::{Handover, Periods};
use super::{log_file, throttle, whispers};
use crate::ipc::wire::{On, Served};
use crate::ipc::{Config, ListenerSpec, Published, Server, ServerHandle, listen};
use crate::kit::clock::{Clock, Mono, SystemClock, pause};
use crate::kit::lock::FileLock;
use crate::kit::thread::{self, STACK_LARGE, STACK_SMALL};
use crate::kit::{child, file};
use crate::project::{Dirs, Env, find_root, keep_receipts};
use crate::sync::{PendingCommits, Site};

/// A starter sets this variable to be told on standard output when the daemon answers, and to have it leave the starter's session.
pub const STARTED_BY: &str = "OX_DAEMON_STARTER";
/// In this variable a process that makes way for a newer program leaves it what that must know.
const HANDOVER: &str = "OX_DAEMON_PASSED";
/// Format of the log: `json`, or anything else for text.
pub const LOG_FORMAT: &str = "OX_LOG_FORMAT";
/// How much is logged: `error`, `warn`, `info` (default), `debug`.
pub const LOG_LEVEL: &str = "OX_LOG";

/// Whoever only looks at the instance lock holds it for a moment.
const LOCK_WAIT: Duration = Duration::from_millis(300);
/// A signal that finds the core's inbox full is sent again after this, as long as there is a core.
const SIGNAL_RETRY: Duration = Duration::from_millis(100);
/// The whole end takes no longer than this.
const END_MAX: Duration = Duration::from_secs(10);

/// What the instance lock says: who holds it, and where it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The host's socket.
    pub socket: std::path::PathBuf,
}

/// Runs the daemon in this process until it ends. Exit code 0 after an orderly end and also if a daemon is running already, 1 if it could not start
/// or end in order, 2 after a bug in its core.
pub fn foreground(dirs: &Dirs, env: &Env) -> ExitCode {
    let start = SystemClock.now().mono;
    let mut starter = Starter::new(env);
    match start_up(dirs, env, start, &mut starter) {
        Ok(Some(running)) => running.until_end(),
        Ok(None) => ExitCode::SUCCESS,
        Err(text) => {
            starter.say(&format!("error {text}"));
            log::logger().flush();
            ExitCode::from(1)
        }
    }
}

/// Whoever started us and waits for a word.
struct Starter {
    waits: bool,
}

impl Starter {
    fn new(env: &Env) -> Starter {
        let waits = env.get(STARTED_BY).is_some();
        if waits && let Err(e) = rustix::process::setsid() {
            // Already a group's leader: then there is no terminal's session to leave.
            log::debug!("setsid: {e}");
        }
        Starter { waits }
    }

    /// One line on standard output: to the starter, or to the person at the terminal.
    fn say(&mut self, line: &str) {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// It has heard all: our outputs no longer hold its pipe open.
    fn let_go(&mut self) {
        if !self.waits {
            return;
        }
        match std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
            Ok(null) => {
                let _ = rustix::stdio::dup2_stdout(&null).and_then(|()| rustix::stdio::dup2_stderr(&null));
            }
            Err(e) => log::warn!("/dev/null: {e}"),
        }
    }
}

struct Running {
    host: Host,
    to_core: Sender<Wake>,
    signals: Signals,
    /// Where our program is: asked for at the start, for what runs may be replaced there.
    program: Option<PathBuf>,
}

fn start_up(dirs: &Dirs, env: &Env, start: Mono, starter: &mut Starter) -> Result<Option<Running>, String> {
    child::private_umask();
    child::keep_descriptors_private();
    let home = |what: &str, path: &Path, e: std::io::Error| format!("{what} {}: {e}", path.display());
    file::private_dir(dirs.data()).map_err(|e| home("data directory", dirs.data(), e))?;
    let lock_path = dirs.daemon_lock();
    let Some(lock) =
        FileLock::acquire(&lock_path, LOCK_WAIT).map_err(|e| home("instance lock", &lock_path, e))?
    else {
        let pid = holder(dirs).map_or(0, |h| h.pid);
        starter.say(&format!("running {pid}"));
        return Ok(None);
    };
    let level = env.get(LOG_LEVEL).and_then(|l| l.parse().ok()).unwrap_or(LevelFilter::Info);
    let json = env.get(LOG_FORMAT) == Some("json");
    log_file::start(&dirs.log(), level, json).map_err(|e| home("log", &dirs.log(), e))?;
    log_panics();
    keep_receipts(dirs, "daemon");
    // A directory that stays: the one we were started in may be deleted any time.
    std::env::set_current_dir(dirs.data()).map_err(|e| home("data directory", dirs.data(), e))?;
    dirs.make_runtime_dirs().map_err(|e| home("runtime directory", &dirs.daemon_dir(), e))?;
    for dir in [dirs.data(), dirs.config(), &dirs.daemon_dir()] {
        file::remove_leftovers(dir);
    }
    let holder = Holder { pid: std::process::id(), socket: dirs.host_socket() };
    let text = serde_json::to_vec(&holder).unwrap_or_default();
    let instance =
        Instance::of(lock, lock_path.clone(), text).map_err(|e| home("instance lock", &lock_path, e))?;

    let waiting = PendingCommits {
        is_any: whispers::is_waiting,
        commit: whispers::commit_waiting,
        stuck: whispers::stuck,
    };
    let site = Site::new(dirs.clone(), env.clone()).for_daemon().committing(waiting);
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| format!("signals: {e}"))?;
    let (to_core, inbox) = bounded(INBOX);
    let server = Server::start(Config { clock: Arc::clone(&site.clock) }, to_core.clone())
        .map_err(|e| format!("socket loop: {e}"))?;
    let listener = serve_host(dirs, &site, &server)?;
    let before = AttachedFile::load(&dirs.attached());
    // A process that made way has ended in order, and left what is to be served.
    let failed = !before.clean && env.get(HANDOVER).is_none();
    let throttle = throttle::note_start(&dirs.restarts(), site.clock.now().wall, failed);
    let startup = site.clock.now().mono - start;
    let identity = Identity {
        pid: holder.pid,
        data: dirs.real_data(),
        version: VERSION.to_string(),
        startup,
        throttle,
        service: false,
        periods: Periods::default(),
        handover: env.get(HANDOVER).map(Handover::read).unwrap_or_default(),
    };
    let seed = u64::from(holder.pid) ^ start.as_nanos();
    let core = Core::new(identity, site.clock.now(), seed);
    let lanes = Lanes::new(site, server, to_core.clone()).map_err(|e| format!("workers: {e}"))?;
    let host = Host::new(core, lanes, inbox, (listener, instance));
    log::info!("started: ox {VERSION}, {} ms", startup.as_millis());
    if !throttle.is_zero() {
        log::warn!("several starts failed; background work waits {} s", throttle.as_secs());
    }
    starter.say(&format!("ready {}", holder.pid));
    starter.let_go();
    if !starter.waits
        && let Some(root) = find_root(env)
    {
        // A starter attaches what it wants; a person in a project's directory means that project.
        drop(to_core.try_send(reattach(root)));
    }
    if !before.clean {
        for root in before.projects {
            drop(to_core.try_send(reattach(root)));
        }
    }
    let program = std::env::current_exe().ok();
    Ok(Some(Running { host, to_core, signals, program }))
}

fn reattach(root: PathBuf) -> Wake {
    Wake::Event(Box::new(projects::event::Event::Reattach(root).into()))
}

fn serve_host(dirs: &Dirs, site: &Site, server: &ServerHandle) -> Result<crate::ipc::ListenerId, String> {
    let socket = listen::bind(&dirs.host_socket(), true).map_err(|e| e.to_string())?;
    let published = Arc::new(Published::new(site.clock.now().mono));
    let spec = ListenerSpec { socket, workspace_id: String::new(), served: Served::on(On::Host), published };
    Ok(server.add_listener(spec))
}

/// Who the instance lock says holds it. The content alone proves nothing: only the lock itself does.
pub fn holder(dirs: &Dirs) -> Option<Holder> {
    const CONTENT_MAX: usize = 64 << 10;
    let bytes = file::read_capped(&dirs.daemon_lock(), CONTENT_MAX).ok()?;
    let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Holder>();
    values.next()?.ok()
}

/// A panic anywhere is one line in the log, with where it happened; what it stops is up to the thread it happened in.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        log::error!("panic in thread {}: {panic}; {trace}", std::thread::current().name().unwrap_or("?"));
    }));
}

impl Running {
    fn until_end(mut self) -> ExitCode {
        let closer = self.signals.handle();
        let mut host = self.host;
        let core = thread::spawn("core", STACK_LARGE, move || {
            // Also after a panic the main thread has to hear that this one has ended.
            let ran = thread::contain(|| host.run());
            closer.close();
            ran.map(|again| (host, again))
        });
        let core = match core {
            Ok(core) => core,
            Err(e) => {
                log::error!("no core thread: {e}");
                return ExitCode::from(1);
            }
        };
        let mut watched = false;
        for signal in self.signals.forever() {
            let name = match signal {
                SIGTERM => "SIGTERM",
                SIGINT => "SIGINT",
                _ => "SIGHUP",
            };
            // A core that hangs hears nothing.
            watched = watched || end_by_force_later();
            let mut quit = Wake::Event(Box::new(Event::Quit(name)));
            while !core.is_finished() {
                match self.to_core.send_timeout(quit, SIGNAL_RETRY) {
                    Err(SendTimeoutError::Timeout(again)) => quit = again,
                    Ok(()) | Err(SendTimeoutError::Disconnected(_)) => break,
                }
            }
        }
        let Ok(Ok((mut host, again))) = core.join() else {
            log::error!("the core has failed; the next start picks up what is left");
            log::logger().flush();
            return ExitCode::from(2);
        };
        let _ = watched || end_by_force_later();
        let in_order = host.end(again.is_some());
        log::info!("ended{}", if in_order { "" } else { "; some work did not end in time" });
        log::logger().flush();
        if let (Some(handover), Some(program)) = (again, &self.program) {
            let e = child::replace(program, &[(HANDOVER, &handover.text())]);
            log::error!("{} cannot be run anew: {e}; the next command starts it", program.display());
            log::logger().flush();
        }
        if in_order { ExitCode::SUCCESS } else { ExitCode::from(1) }
    }
}

/// Whatever hangs on the way out, the process is gone after [`END_MAX`]. False if there is no thread for that.
fn end_by_force_later() -> bool {
    let watchdog = thread::spawn("watchdog", STACK_SMALL, || {
        pause(END_MAX);
        log::error!("the end took too long");
        log::logger().flush();
        std::process::exit(1);
    });
    if let Err(e) = &watchdog {
        log::warn!("no watchdog: {e}");
    }
    watchdog.is_ok()
}
