//! `ox daemon`: start, stop and look at the daemon.

pub mod errors;
pub mod logs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::daemon_status::{self, Health, Page, Report};
use crate::cli::errors::of_reach;
use crate::cli::exit::Exit;
use crate::cli::failure::Outcome;
use crate::cli::foreign;
use crate::cli::live::{Seen, probe};
use crate::cli::ui::text::{Table, age, clean, compact, count, tilde};
use crate::daemon::VERSION as WIRE;
use crate::daemon::reach::{self, HostState, ReachError};
use crate::daemon::{Entry, kill, others, shown_version};
use crate::doctor::Context;
use crate::ipc::client::Client;
use crate::ipc::wire::{ProjectInfo, StatusData};
use crate::kit::Class;
use crate::kit::clock::pause;
use crate::kit::gotime::GoTime;
use crate::project::Project;

/// A page that is watched is looked at again this often.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Flags of `ox daemon`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox daemon status\n  ox daemon logs -f")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the daemon.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start the daemon; inside a project also serve that
    #[command(after_help = "Examples:\n  ox daemon start\n  ox daemon start --foreground")]
    Start(Start),
    /// Stop serving this project; the daemon ends with its last one
    #[command(after_help = "Examples:\n  ox daemon stop\n  ox daemon stop --all")]
    Stop(All),
    /// Restart the daemon with the projects it served
    #[command(after_help = "Examples:\n  ox daemon restart")]
    Restart,
    /// Show the status of the daemon; never starts it
    #[command(
        after_help = "Examples:\n  ox daemon status\n  ox daemon status -v\n  ox daemon status --watch\n  ox daemon status --json"
    )]
    Status(Status),
    /// List the projects that the daemon serves
    #[command(after_help = "Examples:\n  ox daemon list")]
    List,
    /// List persistent failures until they are marked as read
    ///
    /// A failure that lasts is kept on disk, so that it is not missed when nobody was looking; the commands of a person mention
    /// it at most once in ten minutes.
    #[command(
        after_help = "Examples:\n  ox daemon errors\n  ox daemon errors --all\n  ox daemon errors --mark"
    )]
    Errors(errors::Args),
    /// Show the log of the daemon
    #[command(after_help = "Examples:\n  ox daemon logs -n 100\n  ox daemon logs -f --all", alias = "log")]
    Logs(logs::Args),
    /// Stop serving this project, or end the daemon, even if it does not answer
    #[command(after_help = "Examples:\n  ox daemon kill --all")]
    Kill(All),
}

/// Flags of `ox daemon status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Keep showing the status until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// Flags of `ox daemon start`.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Run in the foreground
    #[arg(long)]
    foreground: bool,
    /// Shown in process lists only
    #[arg(long, value_name = "NAME", hide = true)]
    repo: Option<String>,
}

/// Flag of the commands that mean one project or all.
#[derive(Debug, clap::Args)]
pub struct All {
    /// All projects, which ends the daemon
    #[arg(long)]
    all: bool,
}

/// Does it.
pub fn run(cx: &Cx, command: Command) -> Outcome<ExitCode> {
    let done = |()| ExitCode::from(Exit::Done);
    match command {
        Command::Start(Start { foreground: true, .. }) => {
            Ok(crate::daemon::run::foreground(&cx.dirs, &cx.env))
        }
        Command::Start(_) => start(cx).map(done),
        Command::Stop(All { all }) => stop(cx, all, false).map(done),
        Command::Kill(All { all }) => stop(cx, all, true).map(done),
        Command::Restart => restart(cx).map(done),
        Command::Status(Status { watch: true }) => watch(cx).map(done),
        Command::Status(_) => status(cx).map(ExitCode::from),
        Command::List => list(cx).map(done),
        Command::Errors(args) => errors::run(cx, &args).map(done),
        Command::Logs(args) => logs::run(cx, &args).map(done),
    }
}

fn start(cx: &Cx) -> Outcome {
    let project = cx.project_if_any()?;
    let progress = cx.ui.progress("starting the daemon");
    let started = reach::start(&cx.dirs, &cx.env).map_err(|e| of_reach(&e))?;
    let client = project.as_ref().map(|project| reach::connect(&cx.dirs, project)).transpose();
    let client = client.map_err(|e| of_reach(&e))?;
    drop(progress);
    client.iter().for_each(|client| foreign::warn(cx, client));
    let log = cx.dirs.log();
    if cx.ui.json() {
        let root = project.as_ref().map(|p| &p.root);
        return cx.ui.document(&json!({
            "success": true, "pid": started.pid, "already_running": started.already, "log": log, "project": root,
        }));
    }
    let word = if started.already { "already running" } else { "started" };
    cx.ui.done(&format!("{word}, pid {}", started.pid))?;
    cx.ui.note(&format!("log: {}", tilde(&log.to_string_lossy(), &cx.home())));
    Ok(())
}

/// Stops serving the project around the current directory, or everything outside of one or with `all`.
fn stop(cx: &Cx, all: bool, force: bool) -> Outcome {
    let project = if all { None } else { cx.project_if_any().map_err(|f| f.hint("ox daemon stop --all"))? };
    let progress = cx.ui.progress("stopping");
    let stopped = match (&project, force) {
        (Some(project), false) => reach::stop_project(&cx.dirs, project),
        (Some(project), true) => match reach::stop_project(&cx.dirs, project) {
            Err(ReachError::Unresponsive { .. }) => kill(&cx.dirs),
            other => other,
        },
        (None, false) => reach::stop_all(&cx.dirs),
        (None, true) => kill(&cx.dirs),
    };
    drop(progress);
    let stopped = stopped.map_err(|e| match e {
        // Who wants it gone is not helped by a restart.
        ReachError::Unresponsive { .. } if !force => {
            of_reach(&e).hint(if all { "ox daemon kill --all" } else { "ox daemon kill" })
        }
        e => of_reach(&e),
    })?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "was_running": stopped.was_running }));
    }
    cx.ui.done(match (stopped.was_running, &project) {
        (false, Some(_)) => "not running for this project",
        (false, None) => "not running",
        (true, Some(_)) => "stopped for this project",
        (true, None) => "stopped",
    })
}

fn restart(cx: &Cx) -> Outcome {
    let here = cx.project_or_warn().map(|p| p.root);
    let mut roots: Vec<PathBuf> = match reach::projects(&cx.dirs) {
        Ok(projects) => projects.into_iter().map(|p| p.project_root.into()).collect(),
        // One that does not answer has written down whom it serves.
        Err(e) if e.class() == Class::Busy => {
            Context::registry(&cx.dirs).into_iter().map(|e| e.root).collect()
        }
        Err(ReachError::NotRunning) => Vec::new(),
        Err(e) => return Err(of_reach(&e)),
    };
    roots.extend(here);
    roots.sort();
    roots.dedup();
    let progress = cx.ui.progress("stopping the daemon");
    match reach::stop_all(&cx.dirs) {
        Err(ReachError::Unresponsive { .. }) => kill(&cx.dirs),
        other => other,
    }
    .map_err(|e| of_reach(&e))?;
    progress.phase("starting the daemon", None);
    let started = reach::start(&cx.dirs, &cx.env).map_err(|e| of_reach(&e))?;
    let mut served = 0;
    for root in &roots {
        let attached = Project::load(root, &cx.env)
            .map_err(|e| e.to_string())
            .and_then(|p| reach::connect(&cx.dirs, &p).map_err(|e| e.to_string()));
        match attached {
            Ok(client) => {
                served += 1;
                foreign::warn(cx, &client);
            }
            Err(e) => cx.ui.warn(&format!("{} is not served any more: {e}", root.display())),
        }
    }
    drop(progress);
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "pid": started.pid, "projects": served }));
    }
    cx.ui.done(&format!("restarted, pid {}, serves {}", started.pid, count(served, "project")))
}

/// Shows the page anew whenever it says something else: in the same place on a terminal, below each other elsewhere.
fn watch(cx: &Cx) -> Outcome {
    let project = cx.project_if_any()?;
    let on_terminal = cx.ui.width().is_some();
    let mut shown = None;
    loop {
        let (page, said) = match probe(cx, project.as_ref())? {
            Seen::Running { data, client, .. } => {
                let page = page(cx, &data, &client, &Report::new(&data, cx.now()));
                (page, without_clocks(&data, cx.now()))
            }
            Seen::Absent(absent) => (absent.text(cx.ui.paint()), absent.to_json().to_string()),
        };
        // Where nobody looks on, that time has passed is no news.
        let said = if on_terminal { page.clone() } else { said };
        if shown.as_ref() != Some(&said) {
            cx.ui.show(&page, shown.is_none())?;
            shown = Some(said);
        }
        pause(WATCH_EVERY);
    }
}

/// What a status says, but for how long things have been so.
fn without_clocks(data: &StatusData, now: Timestamp) -> String {
    let still = StatusData {
        uptime: Duration::ZERO,
        time_since_activity: Duration::ZERO,
        callers: Vec::new(),
        activity: None,
        ..data.clone()
    };
    format!("{:?} {still:?}", Health::of(data, now))
}

fn status(cx: &Cx) -> Outcome<Exit> {
    let project = cx.project_if_any()?;
    let (data, client) = match probe(cx, project.as_ref())? {
        Seen::Running { data, client, .. } => (data, client),
        Seen::Absent(absent) => {
            if cx.ui.json() {
                cx.ui.document(&absent.to_json())?;
            } else {
                cx.ui.print(&absent.text(cx.ui.paint()))?;
            }
            return Ok(absent.exit());
        }
    };
    let report = Report::new(&data, cx.now());
    if cx.ui.json() {
        cx.ui.document(&report)?;
        return Ok(Exit::Done);
    }
    cx.ui.print(&page(cx, &data, &client, &report))?;
    Ok(Exit::Done)
}

/// The page of a daemon that runs.
fn page(cx: &Cx, data: &StatusData, client: &Client, report: &Report) -> String {
    let history = client.sync_history().unwrap_or_default(); // the page is whole without it
    let page = Page {
        data,
        history: &history,
        wire_version: WIRE,
        home: &cx.home(),
        verbose: cx.ui.verbose(),
        now: cx.now(),
        paint: cx.ui.paint(),
    };
    daemon_status::text(report, &page)
}

fn list(cx: &Cx) -> Outcome {
    let projects = match reach::projects(&cx.dirs) {
        Ok(projects) => projects,
        Err(ReachError::NotRunning) => Vec::new(),
        Err(e) => return Err(of_reach(&e)),
    };
    // All are served by the one process, but for those that another one has taken.
    let others = others::alive(&cx.dirs, reach::pid(&cx.dirs));
    let is_taken = |p: &ProjectInfo| others.iter().any(|e| e.workspace_id == p.workspace_id);
    let projects: Vec<ProjectInfo> = projects.into_iter().filter(|p| !is_taken(p)).collect();
    let pid = match reach::host_state(&cx.dirs) {
        HostState::Running { pid } => pid,
        _ => 0,
    };
    let now = cx.now();
    if cx.ui.json() {
        let row = |p: &ProjectInfo| {
            json!({
                "workspace_id": p.workspace_id, "workspace_path": p.project_root, "socket_path": p.socket_path,
                "pid": pid, "started_at": p.attached_at, "repo_id": p.repo_id, "version": WIRE,
            })
        };
        let other = |e: &Entry| {
            json!({
                "workspace_id": e.workspace_id, "workspace_path": e.workspace_path, "socket_path": e.socket_path,
                "pid": e.pid, "started_at": e.started_at, "repo_id": e.repo_id, "version": e.version,
            })
        };
        return cx.ui.document(&projects.iter().map(row).chain(others.iter().map(other)).collect::<Vec<_>>());
    }
    if projects.is_empty() && others.is_empty() {
        cx.ui.note("no projects are being served");
        cx.ui.next_step("ox daemon start, in a project");
        return Ok(());
    }
    let mut table = Table::new(&["PROJECT", "PID", "UPTIME", "VERSION"]);
    let mut row = |root: &str, pid: u32, since: GoTime, version: &str| {
        let uptime = since.0.map(|t| compact(age(t, now))).unwrap_or_default();
        table.row([clean(&tilde(root, &cx.home())), pid.to_string(), uptime, clean(shown_version(version))]);
    };
    projects.iter().for_each(|p| row(&p.project_root, pid, p.attached_at, WIRE));
    others.iter().for_each(|e| row(&e.workspace_path, e.pid, e.started_at, &e.version));
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}
