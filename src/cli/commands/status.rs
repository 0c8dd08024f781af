//! `ox status`: the project, its ledger and the daemon on one page. Starts nothing, asks no network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::agent::tokens;
use super::relay;
use super::version::OURS;
use crate::cli::clones::{self, CloneFacts};
use crate::cli::context::Cx;
use crate::cli::daemon_status::{Health, State, humanised, told, way_out};
use crate::cli::failure::Outcome;
use crate::cli::foreign;
use crate::cli::live::{Absent, Seen, probe};
use crate::cli::ui::text::{self, clean, compact, count, relative, tilde};
use crate::cli::ui::{Paint, Tone};
use crate::git::{CloneLock, Verdict, is_in_repository, verify};
use crate::health::agents;
use crate::hooks::spool;
use crate::ipc::wire::{DaemonIssue, InstanceInfo, RelayStatus, StatusData};
use crate::project::{
    Config as ProjectConfig, CredentialStatus, GitCredentials, Logins, PROJECT_DIR, Project as ProjectFiles,
    SyncState,
};
use crate::sync::{self, SetupError, Workspace};

/// So many agents are on the page; all of them are in the JSON.
const AGENTS_SHOWN: usize = 5;

/// Flags of `ox status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox status\n  ox status --json")]
pub struct Args {}

/// The document of `ox status --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    auth: Auth,
    config: UserFiles,
    project: Project,
    ledger: Option<Ledger>,
    team_contexts: Vec<Team>,
    ai_coworkers: Vec<Coworker>,
    /// Events of agents that wait to be stored, longer than they should.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_waiting: Option<EventsWaiting>,
    /// The relay, where somebody wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<RelayStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Daemon>,
    version: Version,
    /// What leads out of the first failure of a clone.
    #[serde(skip)]
    way_out: Option<String>,
}

/// Whose login is there for the endpoint. Where a project names its remotes itself none is needed.
#[derive(Clone, Debug, Default, Serialize)]
struct Auth {
    authenticated: bool,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// Whether git has a password for the server; left out while there is neither a login nor a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    git_pat_valid: Option<bool>,
    /// Why it has none that works.
    #[serde(skip_serializing_if = "Option::is_none")]
    git_pat_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    is_needed: bool,
}

/// An agent that the daemon hears of.
#[derive(Clone, Debug, Serialize)]
struct Coworker {
    agent_id: String,
    context_tokens: i64,
    command_count: i64,
    status: String,
    age: String,
}

#[derive(Clone, Debug, Serialize)]
struct EventsWaiting {
    events: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
struct UserFiles {
    user_config_dir: PathBuf,
    auth_file: PathBuf,
    auth_file_exists: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Project {
    initialized: bool,
    #[serde(skip)]
    in_repository: bool,
    directory: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_path: Option<PathBuf>,
    /// What its configuration has lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Ledger {
    configured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_changed: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why its last sync failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The link in the project that leads to it.
    #[serde(skip)]
    link: Option<String>,
    /// Its remote is a repository that ox made on this machine.
    #[serde(skip)]
    is_own: bool,
}

/// A team's context.
#[derive(Clone, Debug, Default, Serialize)]
struct Team {
    team_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    team_name: String,
    path: PathBuf,
    exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_changed: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    untrusted_host: Option<String>,
    #[serde(skip)]
    state: State,
    /// The link in the project that leads to it.
    #[serde(skip)]
    link: Option<String>,
}

impl From<CloneFacts> for Team {
    fn from(c: CloneFacts) -> Team {
        Team {
            status: match c.status {
                State::NotCloned => "not_cloned",
                State::Error => "error",
                State::Offline => "offline",
                State::Syncing => "syncing",
                State::NotSynced => "not_synced",
                State::Ok => "synced",
            },
            state: c.status,
            team_id: c.id,
            team_name: c.name,
            path: c.path,
            exists: c.exists,
            branch: c.branch,
            error: c.error,
            last_sync: c.last_sync,
            stale: c.stale,
            remote_changed: c.remote_changed,
            untrusted_host: c.untrusted_host,
            link: None,
        }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
struct Daemon {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_syncs: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    syncs_last_hour: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// The newest failure that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    solved_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    solved_error_time: Option<Timestamp>,
    issues: Vec<String>,
    /// Those that the page shows, since no row says them already.
    #[serde(skip)]
    told: Vec<String>,
    /// It keeps the ledger; said of one that is not there too.
    #[serde(skip)]
    is_kept: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Version {
    current: &'static str,
}

/// Looks and tells.
pub fn run(cx: &Cx, _: &Args) -> Outcome {
    let project = cx.project_if_any()?;
    let document = document(cx, project.as_ref())?;
    if cx.ui.json() {
        return cx.ui.document(&document);
    }
    cx.ui.print(&page(&document, &cx.home(), cx.now(), cx.ui.paint(), cx.ui.verbose()))
}

fn document(cx: &Cx, project: Option<&ProjectFiles>) -> Outcome<Document> {
    let directory = project.map_or_else(|| cx.env.cwd().unwrap_or("/".as_ref()).into(), |p| p.root.clone());
    let seen = project.map(|p| probe(cx, Some(p))).transpose()?;
    let (live, agents) = match &seen {
        Some(Seen::Running { data, agents, .. }) => (Some(&**data), agents.as_deref().unwrap_or_default()),
        _ => (None, &[][..]),
    };
    let ai_coworkers = agents.iter().map(|agent| coworker(agent, cx.now())).collect();
    let found = project.map(|p| clones::teams_of_project(cx, p, live));
    let place = found.as_ref().and_then(|(at, _)| at.as_ref().ok());
    let is_kept = live.zip(place).is_none_or(|(data, place)| !foreign::leaves_out(data, place));
    let daemon = seen.as_ref().map(|seen| match seen {
        Seen::Running { data, .. } => running(data, is_kept, cx.now()),
        Seen::Absent(absent) => absent_daemon(*absent),
    });
    let (ledger, teams) =
        found.map_or((None, Vec::new()), |(at, found)| (Some(ledger(at, live, &directory)), found.teams));
    let mut teams: Vec<Team> = teams.into_iter().map(Team::from).collect();
    for team in &mut teams {
        team.link = link_to(&team.path, &directory, format!("{PROJECT_DIR}/teams/{}", team.team_id));
    }
    let auth_file = cx.dirs.auth_file();
    Ok(Document {
        auth: project.map(|p| auth(cx, p)).unwrap_or_default(),
        config: UserFiles {
            user_config_dir: cx.dirs.config().into(),
            auth_file_exists: auth_file.exists(),
            auth_file,
        },
        project: Project {
            initialized: project.is_some(),
            in_repository: is_in_repository(&directory),
            config_path: project.map(|p| ProjectConfig::path(&p.root)),
            lost: project
                .map(|p| sync::lost(&cx.dirs, p))
                .filter(|lost| !lost.is_empty())
                .map(|lost| lost.text()),
            directory,
        },
        ledger,
        team_contexts: teams,
        ai_coworkers,
        events_waiting: events_waiting(cx),
        relay: live.and_then(|data| data.relay.clone()),
        daemon,
        way_out: live.and_then(way_out),
        version: Version { current: OURS },
    })
}

/// What cannot be counted is not told here; the doctor tells why.
fn events_waiting(cx: &Cx) -> Option<EventsWaiting> {
    let waiting = spool::late(cx.dirs.data(), cx.now()).ok()??;
    let since = waiting.since.and_then(|second| Timestamp::from_second(second).ok());
    Some(EventsWaiting { events: waiting.records, bytes: waiting.bytes, since })
}

fn auth(cx: &Cx, project: &ProjectFiles) -> Auth {
    let auth =
        Auth { endpoint: project.slug.clone(), is_needed: !project.endpoint.is_local(), ..Auth::default() };
    if !auth.is_needed {
        return auth;
    }
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let auth = match Logins::load(&cx.dirs, &project.endpoint) {
        Err(e) => Auth { error: Some(e.to_string()), ..auth },
        Ok(logins) => match logins.get(&project.endpoint) {
            None => auth,
            Some(login) => Auth {
                authenticated: login.is_valid(cx.now()),
                user: told(&login.user_info.name),
                email: told(&login.user_info.email),
                expires_at: login.expires_at.0,
                ..auth
            },
        },
    };
    let password = CredentialStatus::of(&GitCredentials::load(&cx.dirs, &project.slug), cx.now());
    let valid = matches!(password, CredentialStatus::Valid | CredentialStatus::ExpiringSoon);
    if password == CredentialStatus::Missing && !auth.authenticated {
        return auth;
    }
    Auth { git_pat_valid: Some(valid), git_pat_reason: (!valid).then(|| password.to_string()), ..auth }
}

fn coworker(agent: &InstanceInfo, now: Timestamp) -> Coworker {
    Coworker {
        agent_id: agent.agent_id.clone(),
        context_tokens: agent.cumulative_context_tokens,
        command_count: agent.command_count,
        status: agent.status.clone(),
        age: agent.last_heartbeat.0.map(|t| relative(t, now)).unwrap_or_default(),
    }
}

/// `link` below `root`, if it leads to `clone`.
fn link_to(clone: &Path, root: &Path, link: String) -> Option<String> {
    let leads_to = std::fs::read_link(root.join(&link)).ok()?;
    (leads_to == clone).then_some(link)
}

/// The ledger as its files are, and as the daemon's last sync of it ended.
fn ledger(at: Result<Workspace, SetupError>, live: Option<&StatusData>, root: &Path) -> Ledger {
    let place = match at {
        Ok(place) => place,
        Err(e) => return Ledger { error: Some(e.to_string()), ..Ledger::default() },
    };
    let exists = place.exists();
    let (head, error) = match exists.then(|| verify(&place.path)) {
        Some(Verdict::Sound(reader)) => (reader.head().ok(), None),
        Some(Verdict::Damaged(why)) => (None, Some(why)),
        Some(Verdict::Unknown(e)) => (None, Some(e.to_string())),
        None => (None, None),
    };
    let stamp = CloneLock::peek(&place.lock).unwrap_or_default();
    let clones = live.and_then(|data| data.workspaces.get(sync::LEDGER)).into_iter().flatten();
    let failed = clones.into_iter().find(|clone| !clone.last_error.is_empty());
    // A look at the remote is no sync where what it found could not be brought in.
    Ledger {
        problem: failed.map(|clone| clone.last_error.clone()),
        configured: true,
        remote: Some(place.remote.display()),
        exists,
        branch: head.and_then(|h| h.branch).map(|b| b.trim_start_matches("refs/heads/").to_owned()),
        last_sync: match failed {
            Some(clone) => clone.last_sync.0.or(SyncState::load(&place.path).last_sync.0),
            None => stamp.fetched_at,
        },
        remote_changed: stamp.remote_changed_at,
        error,
        link: link_to(&place.path, root, format!("{PROJECT_DIR}/ledger")),
        is_own: place.own_remote().is_some(),
        untrusted_host: place.untrusted_host,
        path: Some(place.path),
    }
}

fn running(data: &StatusData, is_kept: bool, now: Timestamp) -> Daemon {
    let not_kept = (!is_kept).then(|| foreign::NOT_KEPT.to_owned());
    let issues = not_kept.iter().cloned().chain(data.issues.iter().map(issue)).collect();
    Daemon {
        running: true,
        state: None,
        pid: u32::try_from(data.pid).ok(),
        health: Some(Health::of(data, now)),
        uptime_seconds: Some(data.uptime.as_secs()),
        total_syncs: Some(data.total_syncs),
        syncs_last_hour: Some(data.syncs_last_hour),
        last_error: (!data.last_error.is_empty()).then(|| data.last_error.clone()),
        solved_error: (!data.solved_error.is_empty()).then(|| data.solved_error.clone()),
        solved_error_time: data.solved_error_time.0,
        issues,
        told: not_kept.into_iter().chain(told(data).map(issue)).collect(),
        is_kept,
    }
}

fn issue(issue: &DaemonIssue) -> String {
    match issue.repo.as_str() {
        "" | sync::LEDGER => issue.summary.clone(),
        team => format!("team {team}: {}", issue.summary),
    }
}

fn absent_daemon(absent: Absent) -> Daemon {
    let state = match absent {
        Absent::NotRunning { .. } => "not running",
        Absent::Starting { .. } => "starting",
        Absent::Stuck { .. } => "stuck",
        Absent::Unresponsive { .. } => "not answering",
        Absent::NotServed { .. } | Absent::NoProject { .. } => "not serving this project",
    };
    Daemon { running: false, state: Some(state), pid: absent.pid(), is_kept: true, ..Daemon::default() }
}

/// The page. Its first line says whether all is fine.
fn page(document: &Document, home: &Path, now: Timestamp, paint: Paint, verbose: bool) -> String {
    let directory = tilde(&document.project.directory.to_string_lossy(), home);
    if !document.project.initialized {
        let next = match document.project.in_repository {
            true => "ox up",
            false => "git init, then: ox up",
        };
        return format!("{} — {directory}\nnext: {next}", paint.text(Tone::Dim, "○ No project here"));
    }
    let (mean, verdict) = verdict(document);
    let mut lines = vec![format!("{} — {directory}", paint.text(mean, verdict))];
    let mut row = |name: &str, value: String| lines.push(text::row(name, &value));
    if let Some(ledger) = &document.ledger {
        row("ledger", ledger_text(ledger, home, now, verbose));
        match &ledger.remote {
            Some(_) if ledger.is_own && !verbose => {
                row("remote", "none but on this machine; to share it: ox ledger set-remote <URL>".into());
            }
            Some(remote) => row("remote", tilde(remote, home)),
            None => {}
        }
        if let Some(changed) = ledger.remote_changed.filter(|_| verbose) {
            row("", format!("remote changed {}", relative(changed, now)));
        }
    }
    for team in &document.team_contexts {
        row("team", team_text(team, home, now, verbose));
        if let Some(changed) = team.remote_changed.filter(|_| verbose) {
            row("", format!("remote changed {}", relative(changed, now)));
        }
    }
    if let Some(lost) = &document.project.lost {
        row("issue", lost.clone());
    }
    if document.auth.is_needed {
        row("login", login_text(&document.auth));
    }
    let at_work: Vec<&Coworker> =
        document.ai_coworkers.iter().filter(|a| a.status != agents::Status::Exited.name()).collect();
    for agent in at_work.iter().take(AGENTS_SHOWN) {
        let Coworker { agent_id, status, age, .. } = agent;
        let cost = match agent.command_count.unsigned_abs() {
            0 => String::new(),
            n => format!(", {} tokens in {}", tokens(agent.context_tokens), count(n, "command")),
        };
        row("agent", clean(&format!("{agent_id} {status}, {age}{cost}")));
    }
    if let Some(more) = at_work.len().checked_sub(AGENTS_SHOWN).filter(|n| *n > 0) {
        row("", format!("and {}: ox agent list", count(more as u64, "more agent")));
    }
    if let Some(waiting) = &document.events_waiting {
        let since = waiting.since.map(|since| format!(", the oldest from {}", relative(since, now)));
        let many = count(waiting.events, "agent event");
        row("events", format!("{many} waiting to be stored{}", since.unwrap_or_default()));
    }
    if let Some(status) = &document.relay {
        row("relay", relay::line(status, now));
    }
    if let Some(daemon) = &document.daemon {
        row("daemon", daemon_text(daemon));
        for issue in &daemon.told {
            row("problem", clean(issue));
        }
        // Once is enough.
        let problem = document.ledger.as_ref().and_then(|ledger| ledger.problem.as_ref());
        if let Some(error) = daemon.last_error.as_ref().filter(|error| Some(*error) != problem) {
            row("problem", clean(&humanised(error)));
        }
        if let Some((error, at)) = daemon.solved_error.as_ref().zip(daemon.solved_error_time)
            && verbose
        {
            row("solved", format!("{}, {}", clean(&humanised(error)), relative(at, now)));
        }
    }
    lines.extend(next(document).map(|command| format!("next: {command}")));
    lines.join("\n")
}

fn verdict(document: &Document) -> (Tone, &'static str) {
    let broken = document.ledger.as_ref().is_some_and(|l| l.error.is_some());
    let untrusted = document.ledger.as_ref().is_some_and(|l| l.untrusted_host.is_some())
        || document.team_contexts.iter().any(|t| t.untrusted_host.is_some());
    match document.daemon.as_ref().and_then(|d| d.health) {
        _ if broken => (Tone::Bad, "◐ Needs attention"),
        Some(_)
            if document.project.lost.is_some() || document.daemon.as_ref().is_some_and(|d| !d.is_kept) =>
        {
            (Health::Warning.tone(), Health::Warning.words())
        }
        Some(health @ (Health::Critical | Health::Warning)) => (health.tone(), health.words()),
        // The files know it before the daemon has looked, and without one.
        _ if untrusted => (Health::Untrusted.tone(), Health::Untrusted.words()),
        Some(health) => (health.tone(), health.words()),
        None => (Tone::Dim, "○ Not being synced"),
    }
}

fn login_text(auth: &Auth) -> String {
    let who = auth.email.as_ref().or(auth.user.as_ref()).map_or("somebody", String::as_str);
    match (&auth.error, auth.authenticated, auth.expires_at) {
        (Some(error), ..) => clean(error),
        (None, true, _) => match &auth.git_pat_reason {
            None => format!("{} at {}", clean(who), auth.endpoint),
            Some(reason) => format!("{} at {} (git password: {})", clean(who), auth.endpoint, clean(reason)),
        },
        (None, false, Some(_)) => format!("that of {} at {} has ended", clean(who), auth.endpoint),
        (None, false, None) => format!("none at {}", auth.endpoint),
    }
}

/// Where a clone is: by the short way that leads there, or in whole.
fn place_text(path: &Path, link: Option<&String>, home: &Path, verbose: bool) -> String {
    let link = link.filter(|_| !verbose);
    link.map_or_else(|| tilde(&path.to_string_lossy(), home), |link| clean(link))
}

fn ledger_text(ledger: &Ledger, home: &Path, now: Timestamp, verbose: bool) -> String {
    let path = ledger.path.as_ref().map(|p| place_text(p, ledger.link.as_ref(), home, verbose));
    let path = path.unwrap_or_default();
    let state = match (&ledger.error, ledger.exists, ledger.last_sync) {
        (Some(error), ..) => clean(error),
        (None, false, _) => "not cloned yet".into(),
        (None, true, None) => "never synced".into(),
        (None, true, Some(last)) => format!("synced {}", relative(last, now)),
    };
    let state = match &ledger.problem {
        Some(problem) => format!("{} — last {state}", clean(&humanised(problem))),
        None => state,
    };
    if path.is_empty() { state } else { format!("{state}, {path}") }
}

fn team_text(team: &Team, home: &Path, now: Timestamp, verbose: bool) -> String {
    let name = if team.team_name.is_empty() { &team.team_id } else { &team.team_name };
    let state = match (&team.untrusted_host, team.state) {
        (Some(host), _) => format!("{} is not trusted yet", clean(host)),
        (None, State::Error) => clean(&humanised(&team.error)),
        (None, State::Offline) => format!("offline: {}", clean(&humanised(&team.error))),
        (None, State::NotCloned) => "not cloned yet".into(),
        (None, State::NotSynced) => "never synced".into(),
        (None, State::Syncing) => "syncing".into(),
        (None, State::Ok) => {
            team.last_sync.map(|t| format!("synced {}", relative(t, now))).unwrap_or_default()
        }
    };
    format!("{} — {state}, {}", clean(name), place_text(&team.path, team.link.as_ref(), home, verbose))
}

fn daemon_text(daemon: &Daemon) -> String {
    if let Some(state) = daemon.state {
        return daemon.pid.map_or_else(|| state.to_owned(), |pid| format!("{state}, pid {pid}"));
    }
    let uptime = Duration::from_secs(daemon.uptime_seconds.unwrap_or(0));
    let pid = daemon.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    format!("running for {}{pid}", compact(uptime))
}

/// The one next command, if there is one.
fn next(document: &Document) -> Option<String> {
    let ledger = document.ledger.as_ref()?;
    let daemon = document.daemon.as_ref()?;
    // Where a host does not answer, nothing here is to be done.
    let unwell = daemon.health.is_some_and(|h| matches!(h, Health::Warning | Health::Critical));
    let way_out = if matches!(daemon.health, Some(Health::Offline)) { &None } else { &document.way_out };
    let command = match (ledger.error.is_some(), daemon.state) {
        (true, _) => Some("ox doctor"),
        _ if !daemon.is_kept => Some(foreign::WAY_OUT),
        _ if ledger.untrusted_host.is_some() => Some("ox up"),
        _ if document.team_contexts.iter().any(|t| t.untrusted_host.is_some()) => Some("ox up"),
        (_, Some("stuck" | "not answering")) => Some("ox daemon restart"),
        (_, Some("not running" | "not serving this project")) => Some("ox up"),
        _ if document.project.lost.is_some() => Some("ox doctor --fix"),
        _ if way_out.is_some() => way_out.as_deref(),
        _ if unwell => Some("ox doctor"),
        _ => None,
    };
    command.map(str::to_owned)
}
