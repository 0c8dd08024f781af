//! The daemon as a command finds it: serving the project, or why there is nothing to ask.

use serde_json::{Value, json};

use super::context::Cx;
use super::errors::of_client;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::ui::{Paint, Tone};
use crate::daemon::reach::{self, HostState};
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire::{InstanceInfo, StatusData};
use crate::project::Project;

/// The daemon as seen from the project around the current directory; starts nothing and attaches nothing.
pub enum Seen {
    /// It does not answer, or not for this project.
    Absent(Absent),
    /// It serves this project.
    Running {
        /// What it says of it.
        data: Box<StatusData>,
        /// The agents that it hears of there, if it tells.
        agents: Option<Vec<InstanceInfo>>,
        /// Whom to ask for more.
        client: Client,
    },
}

/// Looks at the daemon.
///
/// # Errors
/// It could not be looked at, or what answers is no daemon.
pub fn probe(cx: &Cx, project: Option<&Project>) -> Outcome<Seen> {
    // Where all is well this is the one question.
    if let Some(project) = project {
        let client = reach::client_of(&cx.dirs, project);
        match client.status_and_agents() {
            Ok((data, agents)) => {
                let (data, agents) = (Box::new(data), agents.map(|all| all.instances));
                return Ok(Seen::Running { data, agents, client });
            }
            Err(ClientError::NotRunning { .. } | ClientError::Closed { .. }) => {}
            Err(ClientError::Timeout { .. } | ClientError::Busy { .. }) => {
                let pid = reach::pid(&cx.dirs);
                return Ok(Seen::Absent(Absent::Unresponsive { pid }));
            }
            Err(e) => return Err(of_client("the daemon's answer makes no sense", &e)),
        }
    }
    Ok(Seen::Absent(match reach::host_state(&cx.dirs) {
        HostState::Stopped => Absent::NotRunning { in_project: project.is_some() },
        HostState::Starting { pid } => Absent::Starting { pid },
        HostState::Running { pid } if project.is_some() => Absent::NotServed { pid },
        HostState::Running { pid } => Absent::NoProject { pid },
        HostState::Unresponsive { pid } => Absent::Unresponsive { pid },
        HostState::Stuck { pid } => Absent::Stuck { pid },
        HostState::Unknown(why) => {
            let failure = Failure::new(Exit::Unresponsive, "cannot look for the daemon");
            return Err(failure.because_of(why).hint("ox doctor"));
        }
    }))
}

/// Why there is nothing to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No daemon.
    NotRunning {
        /// Asked from inside a project.
        in_project: bool,
    },
    /// On its way.
    Starting {
        /// Its process.
        pid: u32,
    },
    /// On its way for too long.
    Stuck {
        /// Its process.
        pid: u32,
    },
    /// Lives and does not answer.
    Unresponsive {
        /// Its process.
        pid: u32,
    },
    /// Runs, for other projects.
    NotServed {
        /// Its process.
        pid: u32,
    },
    /// Runs; asked from outside of any project.
    NoProject {
        /// Its process.
        pid: u32,
    },
}

impl Absent {
    /// The exit code of `ox daemon status`.
    pub fn exit(self) -> Exit {
        match self {
            Absent::NotRunning { .. } | Absent::NotServed { .. } => Exit::NotRunning,
            Absent::Starting { .. } | Absent::Stuck { .. } | Absent::Unresponsive { .. } => {
                Exit::Unresponsive
            }
            Absent::NoProject { .. } => Exit::Done,
        }
    }

    /// The process, if there is one.
    pub fn pid(self) -> Option<u32> {
        match self {
            Absent::NotRunning { .. } => None,
            Absent::Starting { pid }
            | Absent::Stuck { pid }
            | Absent::Unresponsive { pid }
            | Absent::NotServed { pid }
            | Absent::NoProject { pid } => Some(pid),
        }
    }

    /// The document of `ox daemon status --json`.
    pub fn to_json(self) -> Value {
        match self {
            Absent::NotRunning { .. } => json!({ "running": false }),
            Absent::Starting { pid } => json!({ "running": false, "starting": true, "pid": pid }),
            Absent::Stuck { pid } => json!({ "running": false, "stuck": true, "pid": pid }),
            Absent::Unresponsive { pid } => json!({ "running": true, "responsive": false, "pid": pid }),
            Absent::NotServed { pid } => json!({ "running": false, "host_running": true, "pid": pid }),
            Absent::NoProject { pid } => json!({ "running": true, "pid": pid }),
        }
    }

    /// The text of `ox daemon status`.
    pub fn text(self, paint: Paint) -> String {
        let line = |mean, verdict: &str, rest: &str| format!("{} — {rest}", paint.text(mean, verdict));
        match self {
            Absent::NotRunning { in_project: true } => line(
                Tone::Dim,
                "○ Not running",
                "ox up and ox sync start it when they need it\nnext: ox daemon start",
            ),
            Absent::NotRunning { in_project: false } => {
                line(Tone::Dim, "○ Not running", "and there is no project here\nnext: ox init")
            }
            Absent::Starting { pid } => line(Tone::Warn, "◐ Starting", &format!("pid {pid}")),
            Absent::Stuck { pid } => {
                line(Tone::Warn, "⚠ Stuck", &format!("pid {pid} never became ready\nnext: ox daemon restart"))
            }
            Absent::Unresponsive { pid } => {
                line(Tone::Bad, "⚠ Not answering", &format!("pid {pid}\nnext: ox daemon restart"))
            }
            Absent::NotServed { pid } => line(
                Tone::Dim,
                "○ Not running for this project",
                &format!("pid {pid} serves others\nnext: ox daemon start"),
            ),
            Absent::NoProject { pid } => line(
                Tone::Good,
                "● Running",
                &format!("pid {pid}; there is no project here\nnext: ox daemon list"),
            ),
        }
    }
}
