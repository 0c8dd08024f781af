//! What the manual says beside the command table. What stands between backquotes is to be typed.

/// What the words mean.
pub const CONCEPTS: &[(&str, &str)] = &[
    (
        "project",
        "A git checkout with a directory .sageox/. Its config.json is committed and names the ledger and the teams; all else in the \
         directory is for this machine and is ignored by git.",
    ),
    (
        "ledger",
        "The git repository in which the work on a project is recorded, murmurs among it. Every project has one. Without a remote of \
         your own it is a bare repository on this machine, which `ox ledger set-remote` moves to a server.",
    ),
    (
        "team context",
        "A git repository that a team shares with its people and agents: AGENTS.md, TEAM.md, MEMORY.md and more. A project names \
         its teams in .sageox/config.json.",
    ),
    (
        "clone",
        "A local copy of a ledger or a team context that ox makes and keeps in sync; .sageox/ledger and .sageox/teams/<team id> lead \
         there. Commits that you make in it are pushed with the next sync, uncommitted changes stay here.",
    ),
    ("daemon", "The one process of a user that keeps the clones of all projects in sync."),
    (
        "agent",
        "A coding agent at work in a project, such as claude-code, codex or gemini. `ox agent prime` gives it an id and tells \
         it where it is.",
    ),
    (
        "murmur",
        "A short note that an agent or a person writes for the team. It is committed to the ledger or the team context, pushed at \
         once, and is gone after a day.",
    ),
    (
        "whisper",
        "What an agent hears: the murmurs of others, and reminders and news from the daemon. It is delivered to each agent once, \
         behind the output of the commands that the agent runs with its id.",
    ),
    (
        "trust",
        "A git host is contacted only after you have agreed to it once, since its name may come from somebody else's commit. `ox up`, \
         `ox init`, `ox sync` and `ox team add` ask; --yes agrees beforehand. Paths on this machine need no agreement.",
    ),
    (
        "rescue",
        "Work that would have been overwritten in a clone and was kept aside before anything moved: uncommitted changes in \
         refs/ox/rescue/, or a whole clone that was replaced.",
    ),
    (
        "conflict copy",
        "Your version of a file that changed both here and remotely, kept beside it under a name with .conflict- in it and never \
         committed.",
    ),
];

/// What to do in which situation.
pub const SITUATIONS: &[(&str, &str)] = &[
    (
        "the status says that the project is not being synced",
        "`ox up` starts the daemon; it can be repeated at any time.",
    ),
    (
        "a host is not trusted yet",
        "`ox up` asks about each new host once. Without a terminal: `ox up --yes`.",
    ),
    (
        "the server does not accept the login any more",
        "`ox login`, or `ox login --relay` for the relay server. Over SSH open the address that it prints in any browser.",
    ),
    (
        "git has no password for a host",
        "Run `git ls-remote URL` once in a terminal, with a credential helper that keeps the password, then `ox up`.",
    ),
    (
        "there is a conflict copy",
        "`ox rescue list` shows what was kept, `ox rescue show 1a2b3c4d` how it differs, `ox rescue restore 1a2b3c4d` writes it \
         beside the present file. Delete the copy when you have what you need.",
    ),
    (
        "commits in the ledger conflict",
        "`git -C .sageox/ledger pull --rebase`, settle the files it names, then `ox sync`.",
    ),
    (
        "the network is gone",
        "Nothing: what was written is queued on this disk, and the daemon sends it as soon as the host answers again.",
    ),
    ("the daemon does not answer", "`ox daemon restart`; if that fails, `ox daemon kill --all`."),
    (
        "a branch has no .sageox/",
        "Take it from the branch that has it, for example `git checkout main -- .sageox`. Do not run `ox init` there: that would \
         make a second project.",
    ),
    (
        "others are to share the ledger",
        "`ox ledger set-remote URL`, then commit .sageox/. The others run `ox up` in their checkouts.",
    ),
    ("a clone takes too much room", "`ox gc` makes the clones of the project smaller."),
    (
        "an agent hears nothing",
        "See that it uses its id (`ox agent prime`) and that `ox config get murmur_receive` does not say off.",
    ),
    (
        "a project is to be left",
        "`ox daemon stop` ends the syncing; deleting .sageox/ takes the project out of ox. The clones below ~/.local/share/sageox \
         stay until you delete them.",
    ),
    ("something else is wrong", "`ox doctor`, and for a report of a fault `ox debug bundle`."),
];

/// What stands before the files.
pub const FILES_INTRO: &str =
    "The directories follow XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME and XDG_RUNTIME_DIR.";

/// The files of the program. `$XDG_…` stands for the variable or its default.
pub const FILES: &[(&str, &str)] = &[
    (".sageox/config.json", "settings of the project, committed with it"),
    (".sageox/ledger, .sageox/teams/<team id>", "links to the clones; never committed"),
    (".sageox/config.local.toml", "where this machine keeps the ledger; never committed"),
    (
        ".sageox/REDACT.md, <team context>/docs/REDACT.md, ~/.config/sageox/REDACT.md",
        "more that counts as a secret: in blocks fenced as redact, lines of the form literal \"text\" -> [TOKEN] or regex \"pattern\" -> [TOKEN]",
    ),
    ("~/.config/sageox/config.yaml", "settings of the user; see ox-config(5)"),
    ("~/.config/sageox/auth.json", "logins at servers of ledgers and teams; for the user alone"),
    ("~/.config/sageox/relay-auth.json", "logins at relay servers; for the user alone"),
    ("~/.config/sageox/trusted-hosts.json", "git hosts the user trusts"),
    ("~/.local/share/sageox/<endpoint>/ledgers/<repo id>/", "the clone of a project's ledger"),
    ("~/.local/share/sageox/<endpoint>/teams/<team id>/", "the clone of a team context, for all projects"),
    ("~/.local/share/sageox/local/remotes/<repo id>.git", "the ledger's remote when no other is named"),
    ("~/.config/sageox/prices.json", "own prices of tokens; see ox-session-usage(1)"),
    ("~/.local/share/sageox/usage.db", "what the answers of models cost, also when the transcripts are gone"),
    ("~/.local/share/sageox/events/events.db", "what agents did in the last 30 days; see ox-events(1)"),
    ("~/.local/share/sageox/daemon.lock", "held by the one daemon of the user"),
    ("$XDG_RUNTIME_DIR/sageox/daemon/", "sockets, pid files and the registry"),
    ("~/.local/share/sageox/net/receipts.jsonl", "a receipt of each contact over a network (ox net)"),
    ("~/.cache/sageox/logs/daemon.log", "the log of the daemon"),
    ("~/.cache/sageox/logs/crash.log", "report of the last fault in ox itself"),
];

/// The variables that change what the program does.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("SAGEOX_DAEMON", "false: no command but daemon start and restart starts the daemon"),
    ("OX_NO_DAEMON", "1: as SAGEOX_DAEMON=false"),
    ("SAGEOX_AGENT_ID", "the agent that runs the command, where no id is given before it"),
    (
        "OX_SESSION_RECORDING",
        "auto, manual or disabled: whether agents' sessions are recorded, whatever sessions.mode says",
    ),
    ("OX_PROJECT_ROOT", "the project, instead of the one around the current directory"),
    ("SAGEOX_ENDPOINT", "the server of a project that does not say local; see ox-config(5)"),
    ("OX_RELAY, OX_RELAY_URL, OX_RELAY_CA_FILE", "settings of the relay; see ox-config(5)"),
    (
        "OX_RELAY_TOKEN",
        "a token for the server of relay.url, instead of a login; it is not renewed and never written down. One that is no token is an error (exit code 5)",
    ),
    ("SKIP_BROWSER", "1: ox login opens no browser"),
    ("OX_LOG", "how much the daemon logs: error, warn, info, debug"),
    ("OX_LOG_FORMAT", "json: the daemon logs one JSON object a line"),
    ("OX_USER_CONFIG", "the user's configuration file"),
    (
        "OX_COMPLETION_MS",
        "how many milliseconds a shell waits at most for what may be completed; 200 if not set",
    ),
    ("OX_XDG_DISABLE", "not empty: everything lies below ~/.sageox"),
    ("XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR", "base directories"),
    ("NO_COLOR", "not empty: no colour, unless --color says otherwise"),
    (
        "CLICOLOR_FORCE, FORCE_COLOR",
        "neither empty nor 0: colour also where there is no terminal; NO_COLOR and --color count before it",
    ),
    ("TERM", "dumb: no colour"),
];

/// Exit codes that mean something particular with a command.
pub const EXITS: &[(&str, &str)] = &[
    ("ox up", "6 if only some of the team contexts were synced."),
    ("ox sync", "6 if only some of the team contexts were synced."),
    ("ox doctor", "1 if a check failed."),
    ("ox hooks test", "1 if the events of an agent that was tested do not get through."),
    (
        "ox login",
        "1 if it was denied, refused or not confirmed in time; 7 if the server could not be reached; 130 if it was interrupted, and nothing is written then.",
    ),
    ("ox whoami", "1 if nobody is logged in; 5 if OX_RELAY_TOKEN is set and is no token."),
    ("ox daemon status", "3 if the daemon is not running, 4 if it does not answer."),
];

/// What a script should know.
pub const NOTES: &str = "Results are on stdout, notes, warnings and errors on stderr. An error names what failed and why; the line \
                         `hint:` holds the command that leads out, `next:` the one that usually follows.\n\n\
                         With --json stdout holds one document. A failure is one as well, with `success`, `error`, `causes`, `hint` and \
                         `exit_code`.\n\n\
                         Without a terminal nothing is asked: a command that needs a confirmation fails with exit code 2 and names --yes.";
