//! The table: every key, what it may be, and what it does.

use std::time::Duration;

use super::*;

const fn user(key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Setting {
    Setting { key, kind, default, env: None, place: Place::User, instead: None, doc }
}

/// All keys there are.
pub static SETTINGS: [Setting; 49] = [
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
    user(
        WORKER,
        Kind::Word(&["none", "claude", "codex", "gemini", "chat"]),
        "none",
        "The agent that works in the background, such as on summaries of finished sessions. none: nobody does. claude, codex, gemini: that \
         program, with your login and at your cost. chat: a server of chat completions (chat_url). The older keys enabled and agent_type \
         are read where this one says nothing, and go when it is set.",
    ),
    user(
        "agent_worker.auto_detect",
        Kind::Bool,
        "false",
        "Where agent says nothing: whether claude works in the background, or else codex, if it is installed and logged in.",
    ),
    user(
        "agent_worker.model",
        Kind::Text,
        "",
        "The model that the agent is told to ask. Empty: its own choice.",
    ),
    user(
        "agent_worker.timeout",
        Kind::Duration { floor: Duration::from_secs(10), never: false },
        "5m",
        "A run of the agent is ended after this. Not below 10s.",
    ),
    user(
        "agent_worker.max_invocations_per_hour",
        Kind::Number { least: 1, most: 1000 },
        "10",
        "So often the agent is run in an hour at most.",
    ),
    user(
        "agent_worker.max_concurrent",
        Kind::Number { least: 1, most: 2 },
        "1",
        "So many of it are run at a time. At most 2.",
    ),
    user(
        "agent_worker.max_input_tokens_per_day",
        Kind::Number { least: 1, most: u32::MAX },
        "2000000",
        "So many tokens it reads in a day at most.",
    ),
    user(
        "agent_worker.max_usd_per_day",
        Kind::Decimal { most: 100_000, none: true },
        "",
        "So many dollars its runs may cost in a day, where prices are known. Empty: no limit but the others.",
    ),
    user(
        "agent_worker.session_finalize",
        Kind::Bool,
        "true",
        "Whether the agent summarises finished sessions.",
    ),
    user(
        "agent_worker.quality_upload_threshold",
        Kind::Decimal { most: 1, none: false },
        "0.3",
        "A session whose summary is scored below this is kept on this machine.",
    ),
    user(
        "agent_worker.quality_discard_threshold",
        Kind::Decimal { most: 1, none: false },
        "0.1",
        "A session whose summary is scored below this is set aside.",
    ),
    user(
        CHAT_URL,
        Kind::Text,
        "",
        "For the agent chat: where the server of chat completions is, such as http://127.0.0.1:8080/v1. https, or http on this machine.",
    ),
    user(
        "agent_worker.chat_model",
        Kind::Text,
        "",
        "For the agent chat: the model that is asked for, if agent_worker.model says none.",
    ),
    user(
        CHAT_KEY,
        Kind::Text,
        "",
        "For the agent chat: the name of the environment variable that has the server's key. The key itself never stands in a file.",
    ),
    Setting {
        env: Some(RELAY_VAR),
        ..user(
            RELAY,
            Kind::Bool,
            "false",
            "Whether events of agents are sent to a server that you are logged in to and have agreed to. The variable may be 0 or 1.",
        )
    },
    Setting {
        env: Some(RELAY_URL_VAR),
        ..user(
            RELAY_URL,
            Kind::Text,
            "",
            "The server that events are sent to, such as https://relay.example.com. There is none unless you name one.",
        )
    },
    user(
        "relay.transport",
        Kind::Word(&["auto", "ws", "http"]),
        "auto",
        "How events are sent. auto: by WebSocket, and by HTTP while that does not work. ws, http: by that alone.",
    ),
    user(
        "relay.allow_insecure",
        Kind::Bool,
        "false",
        "Whether the server may be one without TLS. One on this machine always may.",
    ),
    Setting {
        env: Some(RELAY_CA_FILE_VAR),
        ..user(
            "relay.ca_file",
            Kind::Text,
            "",
            "A PEM file of the authorities whose certificates are trusted for the server. Empty: those of the platform.",
        )
    },
    user(
        "relay.max_queue_bytes",
        Kind::Number { least: 1 << 20, most: u32::MAX },
        "52428800",
        "So much waits on this machine at most while the server cannot be reached. Beyond it the oldest events go, and are counted. At \
         least 1048576.",
    ),
    user(
        "relay.flush_ms",
        Kind::Number { least: 100, most: 60_000 },
        "2000",
        "How often new events are sent while connected, in milliseconds. From 100 to 60000.",
    ),
    user(
        "relay.batch_events",
        Kind::Number { least: 1, most: 100 },
        "100",
        "So many events are sent at a time. At most 100.",
    ),
    user(
        "relay.cwd_hash",
        Kind::Word(&["hmac", "sha256", "none"]),
        "hmac",
        "What is sent of the path of a working directory. hmac: a digest that only this installation can make. sha256: one that is the same \
         on every machine, and that whoever guesses the path can check. none: nothing.",
    ),
    user(
        RELAY_EVENTS,
        Kind::Text,
        "",
        "The events that are sent, by name and separated by commas, such as SessionStart,Stop. Empty: all.",
    ),
    user(
        "relay.sink",
        Kind::Word(&["relay", "otlp"]),
        "relay",
        "What takes the events. relay: the server at relay.url. otlp: the OpenTelemetry collector at relay.otlp_url.",
    ),
    user(
        OTLP_URL,
        Kind::Text,
        "",
        "For the sink otlp: where the collector takes OTLP over HTTP, such as http://127.0.0.1:4318. Logs go to /v1/logs below it.",
    ),
    user(
        OTLP_HEADER,
        Kind::Text,
        "Authorization",
        "For the sink otlp: the header that the collector wants its key in.",
    ),
    user(
        OTLP_KEY,
        Kind::Text,
        "",
        "For the sink otlp: the name of the environment variable that has the header's value. The value itself never stands in a file.",
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
