//! Every configuration key in one table, each value with where it comes from.
//!
//! What speaks first counts: the environment, the user's file, the repository's, the default. One exception: a project whose
//! configuration says `endpoint: local` stays without a server whatever the environment says.

mod table;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::relay::event_names;

use super::{
    AgentWorker, Config, Dirs, ENDPOINT_VAR, Endpoint, Env, Error, Marker, Project, Relay, UserConfig,
    format_duration, parse_duration,
};
pub use table::SETTINGS;

/// `false` in any case: no command starts the daemon by itself. Any other value says nothing.
pub const DAEMON_VAR: &str = "SAGEOX_DAEMON";

/// Between two reminders of an agent.
const NUDGE_INTERVAL: &str = "daemon.murmur_nudge_interval";
/// Whether agents murmur by themselves.
const MURMUR_SEND: &str = "murmur_send";
/// Its name in older files.
const MURMURING: &str = "murmuring";
/// Whether agents are given murmurs.
const MURMUR_RECEIVE: &str = "murmur_receive";

/// Whether sessions of agents are recorded by themselves.
const RECORDING: &str = "sessions.mode";
/// Its name in a repository's file.
const RECORDING_OF_REPOSITORY: &str = "session_recording";
/// Overrides it for one command: programs that run agents by themselves have their sessions left alone with `disabled`.
pub const RECORDING_VAR: &str = "OX_SESSION_RECORDING";
/// Set in what we start ourselves: its events are nobody's (relay and hooks, C.3), and it is never recorded.
pub const DEPTH_VAR: &str = "OX_HOOK_DEPTH";

/// Whether what agent programs write down of sessions is kept.
const SESSION_ARCHIVE: &str = "sessions.archive";

/// Whether agents' hooks are used at all; without it none of the keys for one agent counts.
const HOOKS: &str = "hooks.enabled";
/// Where events are taken in.
const HOOKS_SCOPE: &str = "hooks.scope";
/// What is kept of an event.
const HOOKS_PAYLOAD: &str = "hooks.payload";
/// Whether agents are told of uncommitted changes of others.
const HOOKS_COLLISIONS: &str = "hooks.collisions";
/// Whether events are read from transcripts too.
const HOOKS_TRANSCRIPTS: &str = "hooks.import_transcripts";

/// Which agent works in the background.
const WORKER: &str = "agent_worker.agent";
/// What said so before: whether one does, and which.
const WORKER_OLD: [&str; 2] = ["agent_worker.enabled", "agent_worker.agent_type"];
/// The variable that has the key of a model server.
const CHAT_KEY: &str = "agent_worker.chat_key_env";
/// Where a model server is.
const CHAT_URL: &str = "agent_worker.chat_url";

/// Overrides whether the relay is used: `0` or `1`.
pub const RELAY_VAR: &str = "OX_RELAY";
/// Overrides where the relay's server is.
pub const RELAY_URL_VAR: &str = "OX_RELAY_URL";
/// Overrides whose certificates the relay trusts.
pub const RELAY_CA_FILE_VAR: &str = "OX_RELAY_CA_FILE";
/// Whether events are sent to a server.
const RELAY: &str = "relay.enabled";
/// Where the relay's server is.
const RELAY_URL: &str = "relay.url";
/// Which events are sent.
const RELAY_EVENTS: &str = "relay.events";
/// Where a collector is.
const OTLP_URL: &str = "relay.otlp_url";
/// The header of its key.
const OTLP_HEADER: &str = "relay.otlp_header";
/// The variable that has its key.
const OTLP_KEY: &str = "relay.otlp_key_env";

/// Keys and blocks of the user's file that the Go program reads and this one does not (sync-and-workspaces, agentwork-and-sessions).
const FOREIGN: [&str; 11] = [
    "agent_summarizer",
    "attribution",
    "badge",
    "context_git",
    "daemon.gc_check_interval",
    "display_name",
    "session_terms_shown",
    "sessions.enabled",
    "telemetry_enabled",
    "tips_enabled",
    "view_format",
];

/// What older files call the modes of recording. One of them, for infrastructure alone, has no like here: who has it asks for each.
const OLDER_RECORDING: [(&str, &str); 3] = [("none", "disabled"), ("all", "auto"), ("infra", "manual")];

/// Whether sessions of agents are recorded by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// From the moment an agent introduces itself.
    Auto,
    /// When an agent asks for it.
    Manual,
    /// Never.
    Disabled,
}

impl RecordingMode {
    /// In one word, as files have it.
    pub fn name(self) -> &'static str {
        match self {
            RecordingMode::Auto => "auto",
            RecordingMode::Manual => "manual",
            RecordingMode::Disabled => "disabled",
        }
    }
}

/// The agents whose hooks can be used, by the word in their keys.
const HOOKS_AGENTS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

/// What the user wants of agents' hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HooksIntent {
    /// Hooks are used at all.
    pub enabled: bool,
    /// The agents whose own key says so, by the word in it, whatever `enabled` says.
    pub agents: Vec<&'static str>,
    /// `initialized` or `all`.
    pub scope: String,
    /// `none`, `meta` or `full`.
    pub payload: String,
    /// Events are read from transcripts too.
    pub transcripts: bool,
}

impl HooksIntent {
    /// Whether the agent's hooks are used.
    pub fn uses(&self, word: &str) -> bool {
        self.enabled && self.agents.contains(&word)
    }
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A length of time as in Go, at least `floor`.
    Duration {
        /// The smallest value but zero; what is below counts as it. Zero does too where it does not mean "never".
        floor: Duration,
        /// Zero means "never".
        never: bool,
    },
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number {
        /// What is below is refused.
        least: u32,
        /// What is above counts as it.
        most: u32,
    },
    /// A number with decimals, not below zero.
    Decimal {
        /// What is above counts as it.
        most: u32,
        /// Nothing means "no limit".
        none: bool,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
}

/// Which file a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The user's `config.yaml`.
    User,
    /// The repository's `.sageox/config.json`.
    Repository,
    /// The user's file, and where that says nothing the repository's.
    UserOrRepository,
}

/// One configuration key.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name; in a file of blocks the block, a dot and the key.
    pub key: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What it is when nobody says anything; empty for "none".
    pub default: &'static str,
    /// The environment variable that overrides it.
    pub env: Option<&'static str>,
    /// The file it stands in.
    pub place: Place,
    /// For a key that is only shown: what changes it.
    pub instead: Option<&'static str>,
    /// What it does, for the manual.
    pub doc: &'static str,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Environment(&'static str),
    /// The user's file.
    User {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
    },
    /// A file of the repository.
    Repository {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is known.
        line: Option<u32>,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::User { path, line } => write!(f, "user {}:{line}", path.display()),
            Origin::Repository { path, line: Some(line) } => {
                write!(f, "repository {}:{line}", path.display())
            }
            Origin::Repository { path, line: None } => write!(f, "repository {}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// What a key is now, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The key.
    pub setting: &'static Setting,
    /// Its value; durations in the form a file has them in; empty for "none".
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The daemon's settings, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// How often a ledger's remote is asked for news.
    pub sync_interval_read: Duration,
    /// How often a team context's remote is asked for news.
    pub team_context_sync_interval: Duration,
    /// How long changes of a ledger are collected.
    pub debounce_window: Duration,
    /// Whether commands start the daemon.
    pub auto_start: bool,
    /// How long an unused project stays attached; `None` for ever.
    pub inactivity_timeout: Option<Duration>,
}

/// Everything that values come from, read once.
#[derive(Debug)]
pub struct Settings<'a> {
    env: &'a Env,
    project: Option<&'a Project>,
    user: UserConfig,
    user_path: PathBuf,
}

impl<'a> Settings<'a> {
    /// Reads the user's file. If it is damaged everything in it counts as unset, and the error is to be shown.
    pub fn load(env: &'a Env, dirs: &Dirs, project: Option<&'a Project>) -> (Settings<'a>, Option<Error>) {
        let (user, error) = UserConfig::load(dirs);
        (Settings { env, project, user, user_path: dirs.user_config() }, error)
    }

    /// All values in the table's order, and what is wrong with those that could not be used.
    pub fn list(&self) -> (Vec<SettingValue>, Vec<Error>) {
        let (values, errors): (Vec<_>, Vec<_>) = SETTINGS.iter().map(|s| self.value(s)).unzip();
        (values, errors.into_iter().flatten().chain(self.unknown()).collect())
    }

    /// Keys of the user's file that no setting has and no other program either: a slip in one changes nothing, and nobody would notice.
    fn unknown(&self) -> Vec<Error> {
        let is_older = |key: &str| key == MURMURING || WORKER_OLD.contains(&key);
        let is_known = |key: &str| SETTINGS.iter().any(|s| s.key == key) || is_older(key);
        let is_foreign = |key: &str| {
            FOREIGN.contains(&key) || key.split_once('.').is_some_and(|(block, _)| FOREIGN.contains(&block))
        };
        let unknown = self.user.keys().into_iter().filter(|key| !is_known(key) && !is_foreign(key));
        let told = |key: String| {
            let near = |s: &&Setting| strsim::damerau_levenshtein(s.key, &key) <= key.len() / 4;
            let reason = match SETTINGS.iter().find(near) {
                Some(near) => format!("is no setting; did you mean {}?", near.key),
                None => "is no setting".to_owned(),
            };
            Error::BadValue { key, reason }
        };
        unknown.map(told).collect()
    }

    /// One value, and what is wrong if the one in the file could not be used.
    ///
    /// # Errors
    /// `UnknownKey`.
    pub fn get(&self, key: &str) -> Result<(SettingValue, Option<Error>), Error> {
        Ok(self.value(find(key)?))
    }

    /// The daemon's settings, and what is wrong with those that could not be used.
    pub fn daemon(&self) -> (DaemonConfig, Vec<Error>) {
        let mut errors = self.unknown();
        let mut text = |key: &str| match self.get(key) {
            Ok((value, error)) => {
                errors.extend(error);
                value.text
            }
            Err(error) => {
                errors.push(error);
                String::new()
            }
        };
        // A value that came through the table always parses.
        let mut time = |key: &str| parse_duration(&text(key)).unwrap_or_default();
        let sync_interval_read = time("daemon.sync_interval_read");
        let team_context_sync_interval = time("daemon.team_context_sync_interval");
        let debounce_window = time("daemon.debounce_window");
        let inactivity_timeout = Some(time("daemon.inactivity_timeout")).filter(|t| !t.is_zero());
        let auto_start = text("daemon.auto_start") == "true";
        let config = DaemonConfig {
            sync_interval_read,
            team_context_sync_interval,
            debounce_window,
            auto_start,
            inactivity_timeout,
        };
        (config, errors)
    }

    fn value(&self, setting: &'static Setting) -> (SettingValue, Option<Error>) {
        let value = |text: String, origin| SettingValue { setting, text, origin };
        let default = || value(setting.default.to_owned(), Origin::Default);
        match setting.place {
            Place::Repository => {
                let found = if setting.key == "endpoint" { self.endpoint() } else { self.ledger_url() };
                (found.map_or_else(default, |(text, origin)| value(text, origin)), None)
            }
            Place::User | Place::UserOrRepository => {
                if setting.env == Some(DAEMON_VAR) && !daemon_allowed(self.env) {
                    return (value("false".to_owned(), Origin::Environment(DAEMON_VAR)), None);
                }
                if setting.env == Some(RECORDING_VAR) && self.env.get_os(DEPTH_VAR).is_some() {
                    return (value("disabled".to_owned(), Origin::Environment(DEPTH_VAR)), None);
                }
                match self.in_environment(setting) {
                    Some(Ok((text, origin))) => return (value(text, origin), None),
                    Some(Err(error)) => return (default(), Some(error)),
                    None => {}
                }
                match self.in_user_file(setting) {
                    Ok(Some((text, line, error))) => {
                        (value(text, Origin::User { path: self.user_path.clone(), line }), error)
                    }
                    Ok(None) => match self.in_repository(setting) {
                        Some(Ok((text, origin))) => (value(text, origin), None),
                        Some(Err(error)) => (default(), Some(error)),
                        None => (default(), None),
                    },
                    Err(error) => (default(), Some(error)),
                }
            }
        }
    }

    /// The value of the environment, for a key whose variable may say whatever the key may be.
    fn in_environment(&self, setting: &Setting) -> Option<Result<(String, Origin), Error>> {
        let name = setting.env.filter(|name| *name != DAEMON_VAR)?;
        let text = self.env.get(name).filter(|text| !text.is_empty())?;
        let text = match (setting.kind, text) {
            (Kind::Bool, "0") => "false",
            (Kind::Bool, "1") => "true",
            (_, text) => text,
        };
        Some(match accept(setting, text) {
            Ok(text) => Ok((text, Origin::Environment(name))),
            Err(reason) => Err(bad(setting, format!("{reason} (environment {name})"))),
        })
    }

    /// The value in the user's file, its line, and what had to be changed about it.
    fn in_user_file(&self, setting: &Setting) -> Result<Option<(String, u32, Option<Error>)>, Error> {
        let place = self.user_path.display();
        let mut found = None;
        for name in names(setting.key) {
            let (block, key) = name.split_once('.').unwrap_or(("", name));
            found = self.user.get(block, key).map_err(|r| bad(setting, format!("{r} ({place})")))?;
            // An empty word is no opinion (decisions, section 5).
            found = found.filter(|value| !value.text.is_empty() || !matches!(setting.kind, Kind::Word(_)));
            if found.is_some() {
                break;
            }
        }
        let Some(found) = found else { return self.in_older_keys(setting) };
        let text = accept(setting, &found.text)
            .map_err(|r| bad(setting, format!("{r} ({place}:{})", found.line)))?;
        match bound(setting, &text) {
            Some(Bound { at, word }) => {
                let reason = format!("{text} is too {word}, {at} is used ({place}:{})", found.line);
                Ok(Some((at, found.line, Some(bad(setting, reason)))))
            }
            None => Ok(Some((text, found.line, None))),
        }
    }

    /// The value that older keys of the user's file give, for a key that has such.
    fn in_older_keys(&self, setting: &Setting) -> Result<Option<(String, u32, Option<Error>)>, Error> {
        if setting.key != WORKER {
            return Ok(None);
        }
        let place = self.user_path.display();
        let [enabled, agent] = WORKER_OLD.map(|name| {
            let (block, key) = name.split_once('.').unwrap_or(("", name));
            self.user.get(block, key).map_err(|r| bad(setting, format!("{r} ({place})")))
        });
        let Some(enabled) = enabled?.filter(|value| !value.text.is_empty()) else { return Ok(None) };
        let reason = |r: String| bad(setting, format!("{}: {r} ({place}:{})", WORKER_OLD[0], enabled.line));
        if accept_bool(&enabled.text).map_err(reason)? == "false" {
            return Ok(Some(("none".to_owned(), enabled.line, None)));
        }
        let Some(agent) = agent?.filter(|value| !value.text.is_empty()) else {
            return Ok(Some(("claude".to_owned(), enabled.line, None)));
        };
        let text = accept(setting, &agent.text)
            .map_err(|r| bad(setting, format!("{r} ({place}:{})", agent.line)))?;
        Ok(Some((text, agent.line, None)))
    }

    /// The value in the repository's file, for a key that may stand there too.
    fn in_repository(&self, setting: &Setting) -> Option<Result<(String, Origin), Error>> {
        let project = self.project.filter(|_| setting.place == Place::UserOrRepository)?;
        let (name, text) = names(setting.key).find_map(|name| Some((name, project.config.word(name)?)))?;
        let origin = repository(project, name);
        Some(match accept(setting, &text) {
            Ok(text) => Ok((text, origin)),
            Err(reason) => Err(bad(setting, format!("{reason} ({origin})"))),
        })
    }

    /// Whether sessions of agents are recorded by themselves, and who says so.
    pub fn recording(&self) -> (RecordingMode, Origin) {
        match self.get(RECORDING) {
            Ok((value, _)) => {
                let mode = match value.text.as_str() {
                    "auto" => RecordingMode::Auto,
                    "disabled" => RecordingMode::Disabled,
                    _ => RecordingMode::Manual,
                };
                (mode, value.origin)
            }
            Err(_) => (RecordingMode::Manual, Origin::Default),
        }
    }

    /// Whether agents are told and reminded to murmur.
    pub fn murmurs_by_itself(&self) -> bool {
        self.text(MURMUR_SEND) == "auto"
    }

    /// Whether agents are given murmurs.
    pub fn receives_murmurs(&self) -> bool {
        self.text(MURMUR_RECEIVE) == "on"
    }

    /// Whether what agent programs write down of sessions is kept; `None` if the user never said.
    pub fn archives_sessions(&self) -> Option<bool> {
        let (value, _) = self.get(SESSION_ARCHIVE).ok()?;
        (value.origin != Origin::Default).then(|| value.text == "on")
    }

    /// Whether agents' hooks are used at all; `None` if the user never said.
    pub fn hooks_enabled(&self) -> Option<bool> {
        let (value, _) = self.get(HOOKS).ok()?;
        (value.origin != Origin::Default).then(|| value.text == "true")
    }

    /// What the user wants of agents' hooks, and what is wrong with the values that could not be used.
    pub fn hooks(&self) -> (HooksIntent, Vec<Error>) {
        let mut errors = Vec::new();
        let mut text = |key: &str| match self.get(key) {
            Ok((value, error)) => {
                errors.extend(error);
                value.text
            }
            Err(error) => {
                errors.push(error);
                String::new()
            }
        };
        let enabled = text(HOOKS) == "true";
        let agents = HOOKS_AGENTS.iter().copied().filter(|word| text(&hooks_key(word)) == "true").collect();
        let (scope, payload) = (text(HOOKS_SCOPE), text(HOOKS_PAYLOAD));
        let transcripts = match text(HOOKS_TRANSCRIPTS).as_str() {
            "auto" => enabled,
            text => text == "true",
        };
        (HooksIntent { enabled, agents, scope, payload, transcripts }, errors)
    }

    /// What the user wants of background work of agents, and what is wrong with the values that could not be used.
    pub fn agent_worker(&self) -> (AgentWorker, Vec<Error>) {
        AgentWorker::read(self)
    }

    /// What the user wants of the relay, and what is wrong with the values that could not be used.
    pub fn relay(&self) -> (Relay, Vec<Error>) {
        Relay::read(self)
    }

    /// Whether an agent is told of uncommitted changes of others in a file that it is about to edit.
    pub fn warns_of_collisions(&self) -> bool {
        self.text(HOOKS_COLLISIONS) == "true"
    }

    /// The time between two reminders of an agent; zero means never.
    pub fn nudge_interval(&self) -> Duration {
        parse_duration(&self.text(NUDGE_INTERVAL)).unwrap_or_default()
    }

    /// A value as it counts.
    fn text(&self, key: &str) -> String {
        self.get(key).map(|(value, _)| value.text).unwrap_or_default()
    }

    fn endpoint(&self) -> Option<(String, Origin)> {
        let configured = self.project.and_then(|p| Some((p, p.config.endpoint()?)));
        let from_config = |(project, endpoint): (&Project, Endpoint)| {
            (endpoint.as_str().to_owned(), repository(project, "endpoint"))
        };
        if let Some((_, endpoint)) = &configured
            && endpoint.is_local()
        {
            return configured.map(from_config);
        }
        let from_env = self.env.get(ENDPOINT_VAR).and_then(Endpoint::parse);
        from_env
            .map(|e| (e.as_str().to_owned(), Origin::Environment(ENDPOINT_VAR)))
            .or_else(|| configured.map(from_config))
            .or_else(|| {
                let root = &self.project?.root;
                let marker = Marker::find(root, None).ok().flatten()?;
                let endpoint = Endpoint::parse(&marker.endpoint)?;
                let path = marker.path(root).ok()?;
                Some((endpoint.as_str().to_owned(), Origin::Repository { path, line: None }))
            })
    }

    fn ledger_url(&self) -> Option<(String, Origin)> {
        let project = self.project?;
        // Whoever wrote it, a secret in it is not shown.
        let text = match super::RemoteUrl::parse(&project.config.ledger_url()?) {
            Ok(url) => url.display(),
            Err(error) => format!("({error})"),
        };
        Some((text, repository(project, "ledger_url")))
    }
}

fn repository(project: &Project, key: &str) -> Origin {
    Origin::Repository { path: Config::path(&project.root), line: Config::line_of(&project.root, key) }
}

/// Whether the environment lets commands start the daemon by themselves.
fn daemon_allowed(env: &Env) -> bool {
    !env.get(DAEMON_VAR).is_some_and(|v| v.eq_ignore_ascii_case("false"))
}

/// Sets a key in the user's file. All other bytes of the file stay.
///
/// # Errors
/// `UnknownKey`, `NotSettable`, `BadValue`, or what [`UserConfig::set`] says.
pub fn set(dirs: &Dirs, key: &str, value: &str) -> Result<(), Error> {
    let setting = find(key)?;
    if let Some(instead) = setting.instead {
        return Err(Error::NotSettable { key: key.to_owned(), instead });
    }
    let text = accept(setting, value).map_err(|reason| bad(setting, reason))?;
    if let Some(Bound { at, word }) = bound(setting, &text) {
        let least = if word == SMALL { "least" } else { "most" };
        return Err(bad(setting, format!("must be at {least} {at}, not {text}")));
    }
    let (block, name) = key.split_once('.').unwrap_or(("", key));
    if text.is_empty() {
        // Nothing is what it is when nobody says anything.
        return UserConfig::unset(dirs, block, name).map(drop);
    }
    UserConfig::set(dirs, block, name, &text)?;
    if key == WORKER {
        for (block, name) in WORKER_OLD.into_iter().filter_map(|name| name.split_once('.')) {
            UserConfig::unset(dirs, block, name)?;
        }
    }
    Ok(())
}

/// Says in the user's file whether what agent programs write down of sessions is kept.
///
/// # Errors
/// What [`UserConfig::set`] says.
pub fn archive_sessions(dirs: &Dirs, on: bool) -> Result<(), Error> {
    set(dirs, SESSION_ARCHIVE, if on { "on" } else { "off" })
}

/// Says in the user's file whether events are sent to a server, and to which if that is to be said.
///
/// # Errors
/// What [`UserConfig::set`] says, or `BadValue` if it is no address of a server.
pub fn use_relay(dirs: &Dirs, url: Option<&str>, on: bool) -> Result<(), Error> {
    if let Some(url) = url {
        set(dirs, RELAY_URL, url)?;
    }
    set(dirs, RELAY, if on { "true" } else { "false" })
}

/// Says in the user's file whether the hooks of one agent, or of all of them, are used. To use those of one is to use hooks at all.
///
/// # Errors
/// What [`UserConfig::set`] says.
pub fn use_hooks(dirs: &Dirs, agents: &[&str], on: bool, all: bool) -> Result<(), Error> {
    let text = if on { "true" } else { "false" };
    agents.iter().try_for_each(|word| set(dirs, &hooks_key(word), text))?;
    if on || all { set(dirs, HOOKS, text) } else { Ok(()) }
}

/// Says in the user's file whether the hooks of one agent are used, where hooks are used at all.
///
/// # Errors
/// What [`UserConfig::set`] says.
pub fn use_hook(dirs: &Dirs, agent: &str, on: bool) -> Result<(), Error> {
    set(dirs, &hooks_key(agent), if on { "true" } else { "false" })
}

fn hooks_key(word: &str) -> String {
    format!("hooks.{word}")
}

/// Removes a key from the user's file, so that its default counts again. Returns whether it was there.
///
/// # Errors
/// `UnknownKey`, `NotSettable`, or what [`UserConfig::unset`] says.
pub fn unset(dirs: &Dirs, key: &str) -> Result<bool, Error> {
    let setting = find(key)?;
    if let Some(instead) = setting.instead {
        return Err(Error::NotSettable { key: key.to_owned(), instead });
    }
    let (block, key) = key.split_once('.').unwrap_or(("", key));
    UserConfig::unset(dirs, block, key)
}

/// The key of that name.
///
/// # Errors
/// `UnknownKey`.
pub fn find(key: &str) -> Result<&'static Setting, Error> {
    SETTINGS.iter().find(|s| s.key == key).ok_or_else(|| Error::UnknownKey { key: key.to_owned() })
}

fn bad(setting: &Setting, reason: String) -> Error {
    Error::BadValue { key: setting.key.to_owned(), reason }
}

/// The value in the one form that is written and compared.
fn accept(setting: &Setting, text: &str) -> Result<String, String> {
    let older = OLDER_RECORDING.iter().find(|(old, _)| setting.key == RECORDING && *old == text);
    let text = older.map_or(text, |(_, new)| new);
    match setting.kind {
        Kind::Duration { .. } => {
            parse_duration(text).map(|_| text.to_owned()).map_err(|why| format!("cannot be set: {why}"))
        }
        Kind::Bool => accept_bool(text),
        Kind::Number { least, .. } => match text.parse::<u64>() {
            Ok(number) if number >= u64::from(least) => Ok(number.to_string()),
            _ => Err(format!("must be a whole number from {least} on, not {text:?}")),
        },
        Kind::Decimal { none: true, .. } if text.is_empty() => Ok(String::new()),
        Kind::Decimal { .. } => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(text.to_owned()),
            _ => Err(format!("must be a number from 0 on, not {text:?}")),
        },
        Kind::Word(_) if setting.key == MURMUR_SEND && text == "off" => Ok("manual".to_owned()),
        Kind::Word(words) if words.contains(&text) => Ok(text.to_owned()),
        Kind::Word(words) => Err(format!("must be {}, not {text:?}", words.join(" or "))),
        // What is meant to be a name may be the key itself: it is not shown.
        Kind::Text if [CHAT_KEY, OTLP_KEY].contains(&setting.key) && !is_name(text) => {
            Err("must be the name of an environment variable, not a key".to_owned())
        }
        Kind::Text if [CHAT_URL, RELAY_URL, OTLP_URL].contains(&setting.key) && !is_url(text) => {
            Err("must begin with https:// or http://, and have no login in it".to_owned())
        }
        Kind::Text if setting.key == OTLP_HEADER && !is_header(text) => {
            Err("must be the name of a header, without its value".to_owned())
        }
        Kind::Text if setting.key == RELAY_EVENTS => event_list(text),
        Kind::Text => Ok(text.to_owned()),
    }
}

fn accept_bool(text: &str) -> Result<String, String> {
    match text {
        "true" | "True" | "TRUE" => Ok("true".to_owned()),
        "false" | "False" | "FALSE" => Ok("false".to_owned()),
        _ => Err(format!("must be true or false, not {text:?}")),
    }
}

/// That of a variable, or nothing.
fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// That of a header, or nothing.
fn is_header(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The list in the one form that is written and compared.
fn event_list(text: &str) -> Result<String, String> {
    let names: Vec<_> = event_names(text).collect();
    if let Some(name) = names.iter().find(|name| !name.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(format!("must be names of events separated by commas, and {name:?} is none"));
    }
    Ok(names.join(","))
}

/// That of a server, without a login, or nothing.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.is_empty() || rest.is_some_and(|rest| !rest.split('/').next().unwrap_or_default().contains('@'))
}

/// The names of a key in files, the present one first.
fn names(key: &'static str) -> impl Iterator<Item = &'static str> {
    let other = match key {
        MURMUR_SEND => Some(MURMURING),
        RECORDING => Some(RECORDING_OF_REPOSITORY),
        _ => None,
    };
    std::iter::once(key).chain(other)
}

/// A value that counts in the place of one beyond it.
struct Bound {
    at: String,
    word: &'static str,
}

const SMALL: &str = "small";
const LARGE: &str = "large";

/// The bound that `text`, which is accepted, is beyond.
fn bound(setting: &Setting, text: &str) -> Option<Bound> {
    match setting.kind {
        Kind::Duration { floor, never }
            if parse_duration(text).is_ok_and(|d| d < floor && !(never && d.is_zero())) =>
        {
            Some(Bound { at: format_duration(floor), word: SMALL })
        }
        Kind::Number { most, .. } if text.parse::<u64>().is_ok_and(|number| number > u64::from(most)) => {
            Some(Bound { at: most.to_string(), word: LARGE })
        }
        Kind::Decimal { most, .. } if text.parse::<f64>().is_ok_and(|number| number > f64::from(most)) => {
            Some(Bound { at: most.to_string(), word: LARGE })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
