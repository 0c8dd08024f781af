//! How an agent program is told to run a command at its events, as data. What each row says was seen when the programs were run
//! (agents-observed; relay and hooks, B.1 to B.3).

/// Where a program's hooks stand and what it makes of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Hooks {
    /// The word that stands behind `ox hook` in the commands that are installed; never changed once released.
    pub word: &'static str,
    /// The variable that moves the program's directory.
    pub moved_by: Option<&'static str>,
    /// The variable that names a home directory other than the user's.
    pub home_by: Option<&'static str>,
    /// The program's directory, below the home directory.
    pub dir: &'static str,
    /// The file, below that directory.
    pub file: &'static str,
    /// What stands in it.
    pub form: Form,
    /// The events that are asked for, in the order in which they are written.
    pub events: &'static [Event],
}

/// The form of a file of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON with `hooks.<event>[] = { matcher?, hooks: [{ type, command, timeout }] }`.
    Settings {
        /// Keys beside `hooks` that the program takes; with another one it rejects the whole file. Empty: it takes any.
        only_keys: &'static [&'static str],
        /// It reads a file with comments, rather than rejecting it.
        comments: bool,
        /// One value of a wrong type makes it reject the whole file.
        strict_values: bool,
    },
    /// A plug-in in JavaScript, which is ours alone.
    Plugin,
}

/// An event that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// What the program calls it.
    pub name: &'static str,
    /// What ours and the relay call it.
    pub canonical: &'static str,
    /// The matcher that is written; none writes no key.
    pub matcher: Option<&'static str>,
    /// How long the program waits for the command, in the program's unit: seconds, milliseconds for Gemini CLI.
    pub timeout: u32,
    /// What the command prints then.
    pub says: Says,
}

/// What a command may say at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nothing: it is thrown away, or an error.
    Nothing,
    /// Plain text, which becomes the model's context.
    Text,
    /// A JSON object whose `hookSpecificOutput.additionalContext` becomes the model's context.
    Context,
}

impl Event {
    const fn of(name: &'static str, timeout: u32) -> Event {
        Event { name, canonical: name, matcher: None, timeout, says: Says::Nothing }
    }

    const fn tool(name: &'static str, canonical: &'static str, timeout: u32, says: Says) -> Event {
        Event { name, canonical, matcher: Some("*"), timeout, says }
    }

    const fn as_called(name: &'static str, canonical: &'static str, timeout: u32) -> Event {
        Event { name, canonical, matcher: None, timeout, says: Says::Nothing }
    }

    const fn text(name: &'static str, timeout: u32) -> Event {
        Event { name, canonical: name, matcher: None, timeout, says: Says::Text }
    }
}

/// Claude Code 2.1.332. A comment in its file switches off all hooks of it.
pub const CLAUDE: Hooks = Hooks {
    word: "claude",
    moved_by: Some("CLAUDE_CONFIG_DIR"),
    home_by: None,
    dir: ".claude",
    file: "settings.json",
    form: Form::Settings { only_keys: &[], comments: false, strict_values: false },
    events: &[
        Event::text("SessionStart", 5),
        Event::of("SessionEnd", 5),
        Event::text("UserPromptSubmit", 5),
        Event::tool("PreToolUse", "PreToolUse", 5, Says::Context),
        Event::tool("PostToolUse", "PostToolUse", 5, Says::Nothing),
        Event::tool("PostToolUseFailure", "PostToolUseFailure", 5, Says::Nothing),
        Event::of("Notification", 5),
        Event::of("PreCompact", 5),
        Event::of("SubagentStop", 5),
        Event::of("Stop", 5),
    ],
};

/// codex 0.171.0. It gives SessionEnd and Interrupt no more than three seconds, and warns at every start about more.
pub const CODEX: Hooks = Hooks {
    word: "codex",
    moved_by: Some("CODEX_HOME"),
    home_by: None,
    dir: ".codex",
    file: "hooks.json",
    form: Form::Settings { only_keys: &["description"], comments: false, strict_values: true },
    events: &[
        Event::text("SessionStart", 5),
        Event::of("SessionEnd", 3),
        Event::text("UserPromptSubmit", 5),
        Event::tool("PreToolUse", "PreToolUse", 5, Says::Context),
        Event::tool("PostToolUse", "PostToolUse", 5, Says::Nothing),
        Event::of("PreCompact", 5),
        Event::of("SubagentStop", 5),
        Event::of("Stop", 5),
        Event::of("Interrupt", 3),
    ],
};

/// Gemini CLI 0.61.0. Its times are milliseconds.
pub const GEMINI: Hooks = Hooks {
    word: "gemini",
    moved_by: None,
    home_by: Some("GEMINI_CLI_HOME"),
    dir: ".gemini",
    file: "settings.json",
    form: Form::Settings { only_keys: &[], comments: true, strict_values: false },
    events: &[
        Event::of("SessionStart", 5000),
        Event::of("SessionEnd", 5000),
        Event::as_called("BeforeAgent", "UserPromptSubmit", 5000),
        Event::tool("BeforeTool", "PreToolUse", 5000, Says::Nothing),
        Event::tool("AfterTool", "PostToolUse", 5000, Says::Nothing),
        Event::of("Notification", 5000),
        Event::as_called("PreCompress", "PreCompact", 5000),
        Event::as_called("AfterAgent", "Stop", 5000),
    ],
};

/// opencode 1.18.33: a plug-in, which is loaded unasked. It waits for nothing, so it has no times.
pub const OPENCODE: Hooks = Hooks {
    word: "opencode",
    moved_by: Some("OPENCODE_CONFIG_DIR"),
    home_by: None,
    dir: ".config/opencode",
    file: "plugin/ox.js",
    form: Form::Plugin,
    events: &[
        Event::as_called("session.created", "SessionStart", 0),
        Event::as_called("chat.message", "UserPromptSubmit", 0),
        Event::as_called("tool.execute.before", "PreToolUse", 0),
        Event::as_called("tool.execute.after", "PostToolUse", 0),
        Event::as_called("session.idle", "Stop", 0),
    ],
};
