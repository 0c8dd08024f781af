//! The client: one request a connection, every wait bounded by an absolute deadline, typed errors.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::limits::{self, LINE_MAX};
use super::listen::{peer_pid, socket};
use super::wire::{
    self, AgentWorkAsk, AgentWorkStatus, Attach, Attached, Checkout, CheckoutResult, Doctor, Envelope,
    Environment, HooksSet, HooksSetDone, HooksState, Instances, Line, Message, Progress, ProjectInfo,
    Projects, RelayFlushed, RelayStatus, Response, StatusData, SyncEvent, TeamSyncAsk, TeamSyncResult,
    TriggerGc, TriggerGcAsk, text,
};
use crate::kit::Class;
use crate::kit::clock::{Clock, Mono, SystemClock, pause};

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens: no socket, or one whose owner is gone.
    #[error("daemon not running")]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket is not ours.
    #[error("no permission to connect to {path}")]
    PermissionDenied {
        /// Where it is.
        path: PathBuf,
    },
    /// The daemon lives and has no room now; try again.
    #[error("busy: {what}")]
    Busy {
        /// What is full.
        what: String,
    },
    /// No answer in time.
    #[error("no answer to {message} within {after:?}")]
    Timeout {
        /// The call.
        message: &'static str,
        /// What was waited.
        after: Duration,
    },
    /// A line longer than the wire allows.
    #[error("a line of more than {LINE_MAX} bytes")]
    TooLarge,
    /// The answer is not one.
    #[error("not an answer: {detail}")]
    Malformed {
        /// Why.
        detail: String,
    },
    /// The connection ended before the answer.
    #[error("the daemon closed the connection without an answer to {message}")]
    Closed {
        /// The call.
        message: &'static str,
    },
    /// The daemon's own words.
    #[error("{0}")]
    Remote(String),
    /// A run on a clone has failed, in the daemon's words.
    #[error("{text}")]
    Run {
        /// The words.
        text: String,
        /// Of what class it is.
        class: Class,
    },
    /// The system refused.
    #[error("talking to the daemon: {source}")]
    Io {
        /// Why.
        #[from]
        source: io::Error,
    },
}

impl ClientError {
    /// What decides about trying again.
    pub fn class(&self) -> Class {
        match self {
            ClientError::NotRunning { .. } | ClientError::Closed { .. } => Class::Network,
            ClientError::Timeout { .. } | ClientError::Busy { .. } => Class::Busy,
            ClientError::PermissionDenied { .. } => Class::Auth,
            ClientError::TooLarge | ClientError::Malformed { .. } => Class::Damage,
            ClientError::Remote(_) => Class::Usage,
            ClientError::Run { class, .. } => *class,
            ClientError::Io { source } => Class::of_io(source),
        }
    }
}

/// How long a call with progress is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Until nothing was heard for so long.
    Idle(Duration),
    /// So long in all, whatever is heard.
    Whole(Duration),
}

/// A call without a payload.
pub const NO_PAYLOAD: Option<&()> = None;

/// Knows a socket and who is calling. Holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    workspace_id: String,
    caller_id: String,
}

impl Client {
    /// Calls the socket at `path`, without naming a workspace or a caller.
    pub fn new(path: impl Into<PathBuf>) -> Client {
        Client { path: path.into(), workspace_id: String::new(), caller_id: String::new() }
    }

    /// Names the workspace that is meant and the clone the caller stands in, eight hex digits each.
    #[must_use]
    pub fn named(mut self, workspace_id: impl Into<String>, caller_id: impl Into<String>) -> Client {
        self.workspace_id = workspace_id.into();
        self.caller_id = caller_id.into();
        self
    }

    /// Where it calls.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One request, one answer, within `timeout` in all.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn call<P: Serialize + ?Sized>(
        &self,
        message: Message,
        payload: Option<&P>,
        timeout: Duration,
    ) -> Result<Option<Box<RawValue>>, ClientError> {
        self.stream(message, payload, Patience::Whole(timeout), |_| {})
    }

    /// As [`Client::call`], with the answer's data read; no data is the zero value.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn call_as<P: Serialize + ?Sized, T: DeserializeOwned + Default>(
        &self,
        message: Message,
        payload: Option<&P>,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        read_data(self.call(message, payload, timeout)?.as_deref())
    }

    /// One request whose progress lines are handed to `on_progress` until the answer comes. The first final line counts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stream<P: Serialize + ?Sized>(
        &self,
        message: Message,
        payload: Option<&P>,
        patience: Patience,
        on_progress: impl FnMut(Progress),
    ) -> Result<Option<Box<RawValue>>, ClientError> {
        match self.exchange(message, payload, patience, on_progress)? {
            Response { success: true, data, .. } => Ok(data),
            response => Err(refusal(response)),
        }
    }

    /// As [`Client::stream`], with the whole answer, also one that says no.
    ///
    /// # Errors
    /// That there was no answer: see [`ClientError`].
    pub fn exchange<P: Serialize + ?Sized>(
        &self,
        message: Message,
        payload: Option<&P>,
        patience: Patience,
        on_progress: impl FnMut(Progress),
    ) -> Result<Response, ClientError> {
        let (Patience::Idle(timeout) | Patience::Whole(timeout)) = patience;
        let socket = connect(&self.path, now() + limits::client::CONNECT.min(timeout))?;
        self.exchange_on(&socket, message, payload, patience, on_progress)
    }

    /// As [`Client::exchange`], on a connection that is there.
    fn exchange_on<P: Serialize + ?Sized>(
        &self,
        socket: &OwnedFd,
        message: Message,
        payload: Option<&P>,
        patience: Patience,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Response, ClientError> {
        let (Patience::Idle(timeout) | Patience::Whole(timeout)) = patience;
        let line = self.request_line(message, payload)?;
        let deadline = now() + timeout;
        let mut wire = Wire { message: message.name(), timeout, deadline, received: Vec::new() };
        wire.send(socket, &line, (now() + limits::client::WRITE).min(wire.deadline))?;
        loop {
            match wire.next_line(socket)? {
                Line::Progress(progress) => {
                    on_progress(progress);
                    if let Patience::Idle(idle) = patience {
                        wire.deadline = now() + idle;
                    }
                }
                Line::Final(response) => return Ok(response),
            }
        }
    }

    /// Sends a message that has no answer, within 50 ms, and reads nothing.
    ///
    /// # Errors
    /// See [`ClientError`]; success only means that the kernel has taken it.
    pub fn one_way<P: Serialize + ?Sized>(
        &self,
        message: Message,
        payload: Option<&P>,
    ) -> Result<(), ClientError> {
        let line = self.request_line(message, payload)?;
        let (timeout, deadline) = (limits::client::ONE_WAY, now() + limits::client::ONE_WAY);
        let socket = connect(&self.path, deadline)?;
        let mut wire = Wire { message: message.name(), timeout, deadline, received: Vec::new() };
        wire.send(&socket, &line, deadline)
    }

    fn request_line<P: Serialize + ?Sized>(
        &self,
        message: Message,
        payload: Option<&P>,
    ) -> Result<Vec<u8>, ClientError> {
        let malformed = |e: serde_json::Error| ClientError::Malformed { detail: e.to_string() };
        let payload = payload.map(serde_json::value::to_raw_value).transpose().map_err(malformed)?;
        let envelope = Envelope {
            kind: message.name(),
            workspace_id: &self.workspace_id,
            caller_id: &self.caller_id,
            payload: payload.as_deref(),
        };
        let mut line = serde_json::to_vec(&envelope).map_err(malformed)?;
        line.push(b'\n');
        if line.len() > LINE_MAX { Err(ClientError::TooLarge) } else { Ok(line) }
    }

    // ---- the calls by name ----

    /// Whether the daemon answers within `timeout`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ping(&self, timeout: Duration) -> Result<(), ClientError> {
        self.call(Message::Ping, NO_PAYLOAD, timeout).map(drop)
    }

    /// The process that listens at the socket, where the kernel tells.
    pub fn peer_pid(&self) -> Option<u32> {
        let end = now() + limits::client::DEFAULT;
        peer_pid(connect(&self.path, end).ok()?)
    }

    /// One quick ping. For callers that do without the daemon if it does not answer at once.
    pub fn is_reachable(&self) -> bool {
        self.ping(limits::client::DEFAULT).is_ok()
    }

    /// A quick ping and up to `more` further ones, after waits of `first`, twice `first`, and so on.
    pub fn is_reachable_with_retry(&self, more: u32, first: Duration) -> bool {
        let mut wait = first;
        for _ in 0..more {
            if self.is_reachable() {
                return true;
            }
            pause(wait.min(limits::client::RETRY_MAX));
            wait = wait.saturating_mul(2);
        }
        self.is_reachable()
    }

    /// Whether the daemon should be used: two quick pings, 100 ms apart.
    pub fn is_usable(&self) -> bool {
        self.is_reachable_with_retry(1, limits::client::RETRY_FIRST)
    }

    /// Whether the daemon is healthy.
    ///
    /// # Errors
    /// `NotRunning` when nothing listens, else why it did not answer.
    pub fn health(&self) -> Result<(), ClientError> {
        self.ping(limits::client::HEALTH)
    }

    /// The daemon's status, within 500 ms.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status(&self) -> Result<StatusData, ClientError> {
        self.call_as(Message::Status, NO_PAYLOAD, limits::client::STATUS)
    }

    /// The daemon's status; once more with 2 s if it did not come in time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status_patiently(&self) -> Result<StatusData, ClientError> {
        match self.status() {
            Err(e) if e.class() == Class::Busy => {
                self.call_as(Message::Status, NO_PAYLOAD, limits::client::STATUS_AGAIN)
            }
            other => other,
        }
    }

    /// The daemon's status and, on the same connection, the agents that it hears of, if it tells; once more with 2 s if the status did not
    /// come in time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status_and_agents(&self) -> Result<(StatusData, Option<Instances>), ClientError> {
        let ask = |timeout: Duration| -> Result<_, ClientError> {
            let socket = connect(&self.path, now() + limits::client::CONNECT.min(timeout))?;
            let get = |message| {
                let whole = Patience::Whole(timeout);
                match self.exchange_on(&socket, message, NO_PAYLOAD, whole, |_| {})? {
                    Response { success: true, data, .. } => Ok(data),
                    response => Err(refusal(response)),
                }
            };
            let status = read_data(get(Message::Status)?.as_deref())?;
            let agents = match get(Message::Instances).and_then(|data| read_data(data.as_deref())) {
                // The Go program's daemon takes one request a connection.
                Err(ClientError::Closed { .. }) => self.call_as(Message::Instances, NO_PAYLOAD, timeout),
                agents => agents,
            };
            Ok((status, agents.ok()))
        };
        match ask(limits::client::STATUS) {
            Err(e) if e.class() == Class::Busy => ask(limits::client::STATUS_AGAIN),
            other => other,
        }
    }

    /// The last syncs, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn sync_history(&self) -> Result<Vec<SyncEvent>, ClientError> {
        self.call_as(Message::SyncHistory, NO_PAYLOAD, limits::client::STATUS)
    }

    /// Syncs the ledger now.
    ///
    /// # Errors
    /// See [`ClientError`]; `Remote` is the sync's own message.
    pub fn sync(&self, on_progress: impl FnMut(Progress)) -> Result<(), ClientError> {
        self.stream(Message::Sync, NO_PAYLOAD, Patience::Idle(limits::client::SYNC_IDLE), on_progress)
            .map(drop)
    }

    /// Syncs the team contexts now, or only the one that `team` names. What became of each is said also when some failed.
    ///
    /// # Errors
    /// See [`ClientError`]; `Remote` if nothing was tried at all.
    pub fn team_sync(
        &self,
        team: &str,
        on_progress: impl FnMut(Progress),
    ) -> Result<Vec<TeamSyncResult>, ClientError> {
        let ask = (!team.is_empty()).then(|| TeamSyncAsk { team: team.to_owned() });
        let patience = Patience::Idle(limits::client::TEAM_SYNC_IDLE);
        let response = self.exchange(Message::TeamSync, ask.as_ref(), patience, on_progress)?;
        match (&response.data, response.success) {
            (None, false) => Err(refusal(response)),
            (data, _) => read_data(data.as_deref()),
        }
    }

    /// Makes a clone, unless it is there.
    ///
    /// # Errors
    /// See [`ClientError`]; `Remote` is the clone's own message.
    pub fn checkout(
        &self,
        checkout: &Checkout,
        on_progress: impl FnMut(Progress),
    ) -> Result<CheckoutResult, ClientError> {
        let patience = Patience::Idle(limits::client::CHECKOUT);
        let data = self.stream(Message::Checkout, Some(checkout), patience, on_progress)?;
        read_data(data.as_deref())
    }

    /// Has the daemon look for missing clones.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn doctor(&self) -> Result<Doctor, ClientError> {
        self.call_as(Message::Doctor, NO_PAYLOAD, limits::client::STATUS_AGAIN)
    }

    /// Makes the clones smaller now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn trigger_gc(&self, on_progress: impl FnMut(Progress)) -> Result<TriggerGc, ClientError> {
        let patience = Patience::Idle(limits::client::TEAM_SYNC_IDLE);
        let ask = TriggerGcAsk { progress: true };
        let data = self.stream(Message::TriggerGc, Some(&ask), patience, on_progress)?;
        read_data(data.as_deref())
    }

    /// Detaches the project; at the host socket: ends the process.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&self) -> Result<(), ClientError> {
        self.call(Message::Stop, NO_PAYLOAD, limits::client::STOP).map(drop)
    }

    /// Asks the host to serve the project at `project_root`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn attach(&self, project_root: impl Into<String>) -> Result<Attached, ClientError> {
        self.attach_with(project_root, "")
    }

    /// As [`Client::attach`], refused by a daemon whose data directory is not `data_dir`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn attach_with(
        &self,
        project_root: impl Into<String>,
        data_dir: impl Into<String>,
    ) -> Result<Attached, ClientError> {
        let payload = Attach { project_root: project_root.into(), data_dir: data_dir.into() };
        self.call_as(Message::Attach, Some(&payload), limits::client::ATTACH)
    }

    /// Tells the project's daemon what of this process's environment leads git to remotes.
    ///
    /// # Errors
    /// See [`ClientError`]; an older daemon knows no such message.
    pub fn environment(&self, vars: BTreeMap<String, String>) -> Result<(), ClientError> {
        let payload = Environment { vars };
        self.call(Message::Environment, Some(&payload), limits::client::STATUS).map(drop)
    }

    /// Asks the host how agents' hooks are.
    ///
    /// # Errors
    /// See [`ClientError`]; an older daemon knows no such message.
    pub fn hooks(&self) -> Result<HooksState, ClientError> {
        self.call_as(Message::HooksGet, NO_PAYLOAD, limits::client::HOOKS)
    }

    /// Has the host use the hooks of an agent, or of `all`, or no more.
    ///
    /// # Errors
    /// As [`hooks`](Client::hooks).
    pub fn set_hooks(&self, ask: &HooksSet) -> Result<HooksSetDone, ClientError> {
        self.call_as(Message::HooksSet, Some(ask), limits::client::HOOKS)
    }

    /// Has the host make agents' settings as the user wants them, and take their events in from then on.
    ///
    /// # Errors
    /// As [`hooks`](Client::hooks).
    pub fn reconcile_hooks(&self) -> Result<HooksState, ClientError> {
        self.call_as(Message::HooksReconcile, NO_PAYLOAD, limits::client::HOOKS)
    }

    /// Asks the host how background work of agents stands, and has it paused or gone on with.
    ///
    /// # Errors
    /// See [`ClientError`]; an older daemon knows no such message.
    pub fn agent_work(&self, ask: &AgentWorkAsk) -> Result<AgentWorkStatus, ClientError> {
        self.call_as(Message::AgentWork, Some(ask), limits::client::WORK)
    }

    /// Asks the host how the relay stands.
    ///
    /// # Errors
    /// See [`ClientError`]; an older daemon knows no such message.
    pub fn relay_status(&self) -> Result<RelayStatus, ClientError> {
        self.call_as(Message::RelayStatus, NO_PAYLOAD, limits::client::RELAY)
    }

    /// Has the host look at the relay's settings and login again, and answers how it stands then.
    ///
    /// # Errors
    /// As [`relay_status`](Client::relay_status).
    pub fn reload_relay(&self) -> Result<RelayStatus, ClientError> {
        self.call_as(Message::RelayReload, NO_PAYLOAD, limits::client::RELAY)
    }

    /// Has the host end the relay's link, until the settings are looked at again.
    ///
    /// # Errors
    /// As [`relay_status`](Client::relay_status).
    pub fn stop_relay(&self) -> Result<(), ClientError> {
        self.call(Message::RelayStop, NO_PAYLOAD, limits::client::RELAY).map(drop)
    }

    /// Has the host send all events that are stored.
    ///
    /// # Errors
    /// As [`relay_status`](Client::relay_status); the relay is off.
    pub fn flush_relay(&self) -> Result<RelayFlushed, ClientError> {
        self.call_as(Message::RelayFlush, NO_PAYLOAD, limits::client::RELAY_FLUSH)
    }

    /// Asks the host what it serves.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn projects(&self) -> Result<Vec<ProjectInfo>, ClientError> {
        self.call_as::<_, Projects>(Message::Projects, NO_PAYLOAD, limits::client::STATUS)
            .map(|reply| reply.projects)
    }
}

/// The error behind an answer that says no.
fn refusal(response: Response) -> ClientError {
    let said = response.error;
    match (said.strip_prefix(text::BUSY), response.class) {
        (Some(what), _) => ClientError::Busy { what: what.to_owned() },
        (None, Some(class)) => ClientError::Run { text: said, class },
        (None, None) => ClientError::Remote(said),
    }
}

fn read_data<T: DeserializeOwned + Default>(data: Option<&RawValue>) -> Result<T, ClientError> {
    wire::decode(data.map(|data| data.get().as_bytes()))
        .map_err(|e| ClientError::Malformed { detail: e.to_string() })
}

fn now() -> Mono {
    SystemClock.now().mono
}

/// Connects without ever blocking. The kernel's queue being full means busy, and is waited out until `deadline`.
fn connect(path: &Path, deadline: Mono) -> Result<OwnedFd, ClientError> {
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    let socket = socket()?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::CONNREFUSED) => {
                return Err(ClientError::NotRunning { path: path.to_path_buf() });
            }
            Err(Errno::ACCESS | Errno::PERM) => {
                return Err(ClientError::PermissionDenied { path: path.to_path_buf() });
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.since(now());
                if left.is_zero() {
                    return Err(ClientError::Busy { what: "too many connections wait".into() });
                }
                pause(left.min(limits::client::BACKLOG_PAUSE));
            }
            Err(e) => return Err(io::Error::from(e).into()),
        }
    }
}

/// One call on its connection.
struct Wire {
    message: &'static str,
    timeout: Duration,
    deadline: Mono,
    received: Vec<u8>,
}

impl Wire {
    /// Writes the request. A peer that is gone already may have left an answer, so that is no error here.
    fn send(&mut self, socket: &OwnedFd, mut line: &[u8], deadline: Mono) -> Result<(), ClientError> {
        while !line.is_empty() {
            match rustix::io::write(socket, line) {
                Ok(n) => line = &line[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(socket, PollFlags::OUT, deadline)?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        Ok(())
    }

    /// Reads until there is a whole line, and takes it.
    fn next_line(&mut self, socket: &OwnedFd) -> Result<Line, ClientError> {
        let mut scanned = 0;
        loop {
            if let Some(at) = self.received[scanned..].iter().position(|&byte| byte == b'\n') {
                let end = scanned + at;
                if end >= LINE_MAX {
                    return Err(ClientError::TooLarge);
                }
                let line = wire::parse_line(&self.received[..end])
                    .map_err(|e| ClientError::Malformed { detail: e.to_string() });
                self.received.drain(..=end);
                return line;
            }
            scanned = self.received.len();
            if scanned >= LINE_MAX {
                return Err(ClientError::TooLarge);
            }
            if self.deadline.since(now()).is_zero() {
                return Err(self.timed_out());
            }
            self.read(socket)?;
        }
    }

    /// Reads once, after waiting if need be.
    fn read(&mut self, socket: &OwnedFd) -> Result<(), ClientError> {
        const FIRST: usize = 4096;
        if self.received.len() == self.received.capacity() {
            let grown = (self.received.len() * 2).clamp(FIRST, LINE_MAX + 1);
            self.received.reserve_exact(grown - self.received.len());
        }
        match rustix::io::read(socket, spare_capacity(&mut self.received)) {
            Ok(0) | Err(Errno::CONNRESET) => Err(ClientError::Closed { message: self.message }),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(Errno::AGAIN) => self.wait(socket, PollFlags::IN, self.deadline),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    /// Waits until the socket is ready or `deadline` has passed.
    fn wait(&self, socket: &OwnedFd, what: PollFlags, deadline: Mono) -> Result<(), ClientError> {
        let left = deadline.since(now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        let limit = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match rustix::event::poll(&mut [PollFd::new(socket, what)], Some(&limit)) {
            Ok(0) => Err(self.timed_out()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    fn timed_out(&self) -> ClientError {
        ClientError::Timeout { message: self.message, after: self.timeout }
    }
}
