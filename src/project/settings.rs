//! Every configuration key in one table, each value with where it comes from.
//!
//! What speaks first counts: the environment, the user's file, the repository's, the default. One exception: a project whose
//! configuration says `endpoint: local` stays without a server whatever the environment says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Config, Dirs, ENDPOINT_VAR, Endpoint, Env, Error, Marker, Project, UserConfig, format_duration,
    parse_duration,
};

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

/// Keys and blocks of the user's file that the Go program reads and this one does not (sync-and-workspaces, agentwork-and-sessions).
const FOREIGN: [&str; 12] = [
    "agent_summarizer",
    "agent_worker",
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

const fn user(key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Setting {
    Setting { key, kind, default, env: None, place: Place::User, instead: None, doc }
}

/// All keys there are.
pub static SETTINGS: [Setting; 21] = [
    user(
        "daemon.sync_interval_read",
        Kind::Duration { floor: Duration::from_secs(10), never: false },
        "60s",
        "How often a ledger's remote is asked for news. Not below 10s.",
    ),
    user(
        "daemon.team_context_sync_interval",
        Kind::Duration { floor: Duration::from_secs(10), never: false },
        "15s",
        "How often a team context's remote is asked for news, unless the team asks for more. Not below 10s.",
    ),
    user(
        "daemon.debounce_window",
        Kind::Duration { floor: Duration::ZERO, never: false },
        "500ms",
        "Changes of a ledger that follow each other within this time are synced together.",
    ),
    Setting {
        env: Some(DAEMON_VAR),
        ..user(
            "daemon.auto_start",
            Kind::Bool,
            "true",
            "Whether commands that need the daemon start it. The variable counts only with the value false, in any case.",
        )
    },
    user(
        "daemon.inactivity_timeout",
        Kind::Duration { floor: Duration::ZERO, never: false },
        "1h",
        "A project nobody has used for this long, with no work pending, is let go, and with the last one the daemon ends. 0 means never.",
    ),
    user(
        NUDGE_INTERVAL,
        Kind::Duration { floor: Duration::from_secs(10 * 60), never: true },
        "15m",
        "How often an agent that is at work is reminded that it may murmur. Not below 10m; 0 means never.",
    ),
    Setting {
        place: Place::UserOrRepository,
        ..user(
            MURMUR_SEND,
            Kind::Word(&["auto", "manual"]),
            "auto",
            "auto: agents are told to murmur, and reminded of it. manual: only what somebody asks for is sent. The older name murmuring \
             is read too, and off means manual.",
        )
    },
    Setting {
        place: Place::UserOrRepository,
        ..user(
            MURMUR_RECEIVE,
            Kind::Word(&["on", "off"]),
            "on",
            "Whether agents are given the murmurs of others.",
        )
    },
    user(
        SESSION_ARCHIVE,
        Kind::Word(&["on", "off"]),
        "off",
        "on: what agent programs wrote down of sessions in projects is copied, without secrets, before the programs delete it. It stays on \
         this machine. No project can turn it on.",
    ),
    Setting {
        env: Some(RECORDING_VAR),
        place: Place::UserOrRepository,
        ..user(
            RECORDING,
            Kind::Word(&["auto", "manual", "disabled"]),
            "manual",
            "Whether sessions of agents are recorded. auto: from the moment an agent introduces itself (ox agent prime). manual: when it says \
             ox session start. disabled: never. What is recorded stays on this machine. In a repository's file the key is \
             session_recording; the words none and all of older files mean disabled and auto.",
        )
    },
    user(
        HOOKS,
        Kind::Bool,
        "false",
        "Whether agents tell of their events by their hooks. It is true of an agent where its own key is true as well. ox hooks install and \
         uninstall set both and do what follows from it. With OX_HOOKS=0 in its environment an agent's hooks do nothing.",
    ),
    user("hooks.claude", Kind::Bool, "false", "Whether Claude Code does."),
    user("hooks.codex", Kind::Bool, "false", "Whether codex does."),
    user("hooks.gemini", Kind::Bool, "false", "Whether Gemini CLI does."),
    user("hooks.opencode", Kind::Bool, "false", "Whether opencode does."),
    user(
        HOOKS_SCOPE,
        Kind::Word(&["initialized", "all"]),
        "initialized",
        "Where events are taken in. initialized: in projects. all: everywhere.",
    ),
    user(
        HOOKS_PAYLOAD,
        Kind::Word(&["none", "meta", "full"]),
        "meta",
        "What is kept of an event. none: that there was one. meta: its session, its tool, lengths and digests, no content. full: all that the \
         agent tells, on this machine alone.",
    ),
    user(
        HOOKS_TRANSCRIPTS,
        Kind::Word(&["auto", "true", "false"]),
        "auto",
        "Whether events are read from the transcripts of all agents too. auto: while hooks.enabled is true.",
    ),
    user(
        HOOKS_COLLISIONS,
        Kind::Bool,
        "true",
        "Whether an agent is told, before it edits a file, that somebody else has uncommitted changes in it: once for each file and session, \
         as the notes about changed files of other work trees say. Claude Code and codex only.",
    ),
    Setting {
        key: "endpoint",
        kind: Kind::Text,
        default: "local",
        env: Some(ENDPOINT_VAR),
        place: Place::Repository,
        instead: Some("a project gets it from `ox init`"),
        doc: "The server the project belongs to. local means none: nothing is ever sent to one, and the variable is ignored.",
    },
    Setting {
        key: "ledger_url",
        kind: Kind::Text,
        default: "",
        env: None,
        place: Place::Repository,
        instead: Some("use `ox ledger set-remote URL`"),
        doc: "The git remote of the project's ledger, for everybody who clones the repository. Without one the ledger lies on this machine only.",
    },
];

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
        let is_known = |key: &str| SETTINGS.iter().any(|s| s.key == key) || key == MURMURING;
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

    /// The value of the environment, for a key whose variable says one of its words.
    fn in_environment(&self, setting: &Setting) -> Option<Result<(String, Origin), Error>> {
        let name = setting.env.filter(|_| matches!(setting.kind, Kind::Word(_)))?;
        let text = self.env.get(name).filter(|text| !text.is_empty())?;
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
        let Some(found) = found else { return Ok(None) };
        let text = accept(setting, &found.text)
            .map_err(|r| bad(setting, format!("{r} ({place}:{})", found.line)))?;
        match raise(setting, &text) {
            Some(floor) => {
                let reason = format!("{text} is too small, {floor} is used ({place}:{})", found.line);
                Ok(Some((floor, found.line, Some(bad(setting, reason)))))
            }
            None => Ok(Some((text, found.line, None))),
        }
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
    if let Some(floor) = raise(setting, &text) {
        return Err(bad(setting, format!("must be at least {floor}, not {text}")));
    }
    let (block, key) = key.split_once('.').unwrap_or(("", key));
    UserConfig::set(dirs, block, key, &text)
}

/// Says in the user's file whether what agent programs write down of sessions is kept.
///
/// # Errors
/// What [`UserConfig::set`] says.
pub fn archive_sessions(dirs: &Dirs, on: bool) -> Result<(), Error> {
    set(dirs, SESSION_ARCHIVE, if on { "on" } else { "off" })
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
        Kind::Bool => match text {
            "true" | "True" | "TRUE" => Ok("true".to_owned()),
            "false" | "False" | "FALSE" => Ok("false".to_owned()),
            _ => Err(format!("must be true or false, not {text:?}")),
        },
        Kind::Word(_) if setting.key == MURMUR_SEND && text == "off" => Ok("manual".to_owned()),
        Kind::Word(words) if words.contains(&text) => Ok(text.to_owned()),
        Kind::Word(words) => Err(format!("must be {}, not {text:?}", words.join(" or "))),
        Kind::Text => Ok(text.to_owned()),
    }
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

/// The smallest value, if `text` is below it.
fn raise(setting: &Setting, text: &str) -> Option<String> {
    match setting.kind {
        Kind::Duration { floor, never }
            if parse_duration(text).is_ok_and(|d| d < floor && !(never && d.is_zero())) =>
        {
            Some(format_duration(floor))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_says_whether_sessions_are_kept() {
        let says = |f: &Fixture| {
            let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
            Settings::load(&env, &f.dirs(), Some(&project)).0.archives_sessions()
        };
        let f = Fixture::new(
            "",
            r#"{"sessions.archive":"on","session_archive":"on","sessions":{"archive":"on"}}"#,
        );
        assert_eq!(says(&f), None);
        archive_sessions(&f.dirs(), true).unwrap();
        assert_eq!(says(&f), Some(true));
        archive_sessions(&f.dirs(), false).unwrap();
        assert_eq!(says(&f), Some(false));
    }

    #[test]
    fn hooks_are_off_until_both_keys_of_an_agent_say_so_and_no_project_has_a_say() {
        let of = |f: &Fixture| {
            let (env, project) = (f.env(), Project::discover(&f.env()).unwrap());
            let (intent, errors) = Settings::load(&env, &f.dirs(), Some(&project)).0.hooks();
            assert!(errors.is_empty(), "{errors:?}");
            intent
        };
        let f = Fixture::new("", r#"{"hooks":{"enabled":true,"codex":true},"hooks.enabled":true}"#);
        let off = of(&f);
        assert_eq!((off.enabled, off.agents.len(), off.transcripts), (false, 0, false));
        let said = |f: &Fixture| Settings::load(&f.env(), &f.dirs(), None).0.hooks_enabled();
        assert_eq!(said(&f), None);
        assert_eq!((off.scope.as_str(), off.payload.as_str()), ("initialized", "meta"));
        set(&f.dirs(), "hooks.codex", "true").unwrap();
        set(&f.dirs(), "hooks.import_transcripts", "true").unwrap();
        let off = of(&f);
        assert!(!off.uses("codex") && off.agents == ["codex"] && off.transcripts);
        use_hooks(&f.dirs(), &["claude"], true, false).unwrap();
        unset(&f.dirs(), "hooks.import_transcripts").unwrap();
        let on = of(&f);
        assert!(on.uses("codex") && on.uses("claude") && !on.uses("gemini") && on.transcripts);
        use_hooks(&f.dirs(), &["codex"], false, false).unwrap();
        assert!(of(&f).enabled && !of(&f).uses("codex"));
        use_hooks(&f.dirs(), &["claude"], false, true).unwrap();
        assert!(!of(&f).enabled && of(&f).agents.is_empty() && said(&f) == Some(false));
        let f = Fixture::new("hooks:\n  enabled: perhaps\n  scope: here\n", "{}");
        let (env, dirs) = (f.env(), f.dirs());
        let (intent, errors) = Settings::load(&env, &dirs, None).0.hooks();
        assert_eq!((intent.enabled, intent.scope.as_str(), errors.len()), (false, "initialized", 2));
    }

    struct Fixture {
        tmp: tempfile::TempDir,
        vars: Vec<(&'static str, String)>,
    }

    impl Fixture {
        fn new(user: &str, repository: &str) -> Fixture {
            let tmp = tempfile::tempdir().unwrap();
            let f = Fixture { vars: vec![("HOME", tmp.path().to_str().unwrap().to_owned())], tmp };
            std::fs::create_dir_all(f.dirs().config()).unwrap();
            std::fs::write(f.dirs().user_config(), user).unwrap();
            std::fs::create_dir_all(f.tmp.path().join("p/.sageox")).unwrap();
            std::fs::write(Config::path(&f.tmp.path().join("p")), repository).unwrap();
            f
        }

        fn with(mut self, name: &'static str, value: &str) -> Fixture {
            self.vars.push((name, value.to_owned()));
            self
        }

        fn env(&self) -> Env {
            Env::of(self.vars.clone(), self.tmp.path().join("p"))
        }

        fn dirs(&self) -> Dirs {
            Dirs::from_env(&self.env()).unwrap()
        }

        fn values(&self) -> (Vec<SettingValue>, Vec<String>) {
            let (env, project) = (self.env(), Project::discover(&self.env()).unwrap());
            let (settings, error) = Settings::load(&env, &self.dirs(), Some(&project));
            let (values, errors) = settings.list();
            (values, errors.into_iter().chain(error).map(|e| e.to_string()).collect())
        }

        fn check(&self, key: &str, text: &str, origin: &str) {
            let (values, _) = self.values();
            let value = values.iter().find(|v| v.setting.key == key).unwrap();
            let shown = value
                .origin
                .to_string()
                .replace(self.tmp.path().canonicalize().unwrap().to_str().unwrap(), "");
            let shown = shown.replace(self.tmp.path().to_str().unwrap(), "");
            assert_eq!((value.text.as_str(), shown.as_str()), (text, origin), "{key}");
        }

        fn daemon(&self) -> DaemonConfig {
            Settings::load(&self.env(), &self.dirs(), None).0.daemon().0
        }
    }

    #[test]
    fn defaults_are_valid_and_documented() {
        for s in &SETTINGS {
            assert_eq!(accept(s, s.default).as_deref(), Ok(s.default), "{}", s.key);
            assert_eq!(raise(s, s.default), None, "{}", s.key);
            assert!(s.doc.ends_with('.'), "{}", s.key);
        }
        let f = Fixture::new("", "{}");
        let expected = DaemonConfig {
            sync_interval_read: Duration::from_secs(60),
            team_context_sync_interval: Duration::from_secs(15),
            debounce_window: Duration::from_millis(500),
            auto_start: true,
            inactivity_timeout: Some(Duration::from_secs(3600)),
        };
        assert_eq!(f.daemon(), expected);
        let (values, errors) = f.values();
        assert_eq!((values.len(), errors), (SETTINGS.len(), vec![]));
        assert!(values.iter().all(|v| v.origin == Origin::Default && v.text == v.setting.default));
    }

    #[test]
    fn each_value_says_where_it_comes_from() {
        let user = "# c\ndaemon:\n  sync_interval_read: 5m # often enough\n  auto_start: true\n  inactivity_timeout: 0\n";
        let json = "{\n  \"endpoint\": \"https://a.example\",\n  \"x\": {\"ledger_url\": 1},\n  \"ledger_url\": \"ssh://me@b.example/x\"\n}";
        let f = Fixture::new(user, json);
        f.check("daemon.sync_interval_read", "5m", "user /.config/sageox/config.yaml:3");
        f.check("daemon.auto_start", "true", "user /.config/sageox/config.yaml:4");
        f.check("daemon.debounce_window", "500ms", "default");
        f.check("endpoint", "https://a.example", "repository /p/.sageox/config.json:2");
        f.check("ledger_url", "ssh://***@b.example/x", "repository /p/.sageox/config.json:4");
        assert_eq!(f.daemon().inactivity_timeout, None);
        let f = f.with(DAEMON_VAR, "FALSE").with(ENDPOINT_VAR, "https://api.c.example/");
        f.check("daemon.auto_start", "false", "environment SAGEOX_DAEMON");
        f.check("endpoint", "https://c.example", "environment SAGEOX_ENDPOINT");
        assert!(!f.daemon().auto_start);
    }

    #[test]
    fn the_environment_has_no_say_where_the_table_says_so() {
        let f =
            Fixture::new("", r#"{"endpoint":"local"}"#).with(ENDPOINT_VAR, "https://a").with(DAEMON_VAR, "0");
        f.check("endpoint", "local", "repository /p/.sageox/config.json");
        f.check("daemon.auto_start", "true", "default");
        let f = Fixture::new("", "{}");
        std::fs::write(f.tmp.path().join("p/.sageox/.repo_1"), r#"{"endpoint":"https://m.example"}"#)
            .unwrap();
        f.check("endpoint", "https://m.example", "repository /p/.sageox/.repo_1");
    }

    #[test]
    fn the_nearest_says_whether_sessions_are_recorded() {
        let check = |f: Fixture, mode: &str, origin: &str, errors: usize| {
            f.check(RECORDING, mode, origin);
            assert_eq!(f.values().1.len(), errors, "{:?}", f.values().1);
        };
        let (user, repository) = ("user /.config/sageox/config.yaml:2", "repository /p/.sageox/config.json");
        let of_repository = r#"{"session_recording":"all"}"#;
        check(Fixture::new("", "{}"), "manual", "default", 0);
        check(Fixture::new("", of_repository), "auto", repository, 0);
        check(Fixture::new("sessions:\n  mode: \"\"\n", of_repository), "auto", repository, 0);
        check(Fixture::new("sessions:\n  mode: none\n", of_repository), "disabled", user, 0);
        check(Fixture::new("sessions:\n  mode: infra\n  enabled: true\n", "{}"), "manual", user, 0);
        check(Fixture::new("sessions:\n  mode: always\n", of_repository), "manual", "default", 1);
        let f = Fixture::new("sessions:\n  mode: auto\n", "{}").with(RECORDING_VAR, "disabled");
        check(f, "disabled", "environment OX_SESSION_RECORDING", 0);
        let f = Fixture::new("", of_repository).with(RECORDING_VAR, "auto").with(DEPTH_VAR, "1");
        check(f, "disabled", "environment OX_HOOK_DEPTH", 0);
        check(Fixture::new("", of_repository).with(RECORDING_VAR, "x"), "manual", "default", 1);
    }

    #[test]
    fn bad_values_fall_back_one_by_one_and_are_named() {
        let user = "daemon:\n  sync_interval_read: 1s\n  debounce_window: soon\n  auto_start: [1]\n  inactivity_timeout: 2h\n";
        let f = Fixture::new(user, "{}");
        f.check("daemon.sync_interval_read", "10s", "user /.config/sageox/config.yaml:2");
        f.check("daemon.debounce_window", "500ms", "default");
        f.check("daemon.auto_start", "true", "default");
        f.check("daemon.inactivity_timeout", "2h", "user /.config/sageox/config.yaml:5");
        let (_, errors) = f.values();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[1].contains("config.yaml:3"), "{errors:?}");
        let f = Fixture::new("daemon: [", "{}");
        assert_eq!(f.values().1.len(), 1);
        assert_eq!(f.daemon(), Fixture::new("", "{}").daemon());
    }

    #[test]
    fn a_secret_in_the_ledger_url_is_not_shown() {
        let f = Fixture::new("", r#"{"ledger_url":"https://me:hunter2@a.example/x"}"#);
        let (values, errors) = f.values();
        assert!(!format!("{values:?} {errors:?}").contains("hunter2"));
    }

    #[test]
    fn set_changes_one_value_or_says_why_not() {
        let f = Fixture::new("# mine\ndaemon:\n  x: 1\n", "{}");
        let dirs = f.dirs();
        set(&dirs, "daemon.sync_interval_read", "2m").unwrap();
        set(&dirs, "daemon.auto_start", "False").unwrap();
        let text = std::fs::read_to_string(dirs.user_config()).unwrap();
        assert_eq!(text, "# mine\ndaemon:\n  auto_start: false\n  sync_interval_read: 2m\n  x: 1\n");
        let refused = |key: &str, value: &str| set(&dirs, key, value).unwrap_err();
        assert!(matches!(refused("daemon.none", "1"), Error::UnknownKey { .. }));
        assert!(matches!(refused("ledger_url", "/x"), Error::NotSettable { .. }));
        assert!(matches!(refused("endpoint", "x"), Error::NotSettable { .. }));
        for (key, value) in [
            ("daemon.sync_interval_read", "9s"),
            ("daemon.sync_interval_read", "1"),
            ("daemon.auto_start", "yes"),
            ("daemon.auto_start", "true\nx: 1"),
            ("daemon.debounce_window", "-1s"),
            ("daemon.debounce_window", "1s # x"),
        ] {
            assert!(matches!(refused(key, value), Error::BadValue { .. }), "{key} {value}");
        }
        assert_eq!(std::fs::read_to_string(dirs.user_config()).unwrap(), text);
    }
}
