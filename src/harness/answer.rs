//! How an agent program is run for one answer: without tools, without its user's hooks, without a transcript where it can be told so, and with
//! the prompt on standard input.
//!
//! What the rows say was seen when the programs were run (claude 2.1.332, codex 0.171.0, gemini 0.61.0; agents-observed, "Running one for an
//! answer"). What they print of quota and login is in `agents::failure`.

use std::path::Path;

use super::PROGRAMS;

/// How one program is run for an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Its executable, and what the configuration calls it.
    pub word: &'static str,
    /// The words that have it list its flags.
    pub help: &'static [&'static str],
    /// The words that come first.
    begin: &'static [&'static str],
    /// Flags it must have: without one of them it might do more than answer.
    must: &'static [Flag],
    /// Flags that are left out where it does not list them.
    may: &'static [Flag],
    /// The words that come last.
    end: &'static [&'static str],
    /// Variables that it is given, unless they are set.
    pub set: &'static [(&'static str, &'static str)],
}

/// A flag, as its help lists it, and the words that stand for it.
#[derive(Debug, PartialEq, Eq)]
struct Flag {
    /// The name, and a word that its help has to have with it.
    listed: &'static str,
    also: &'static str,
    words: &'static [&'static str],
}

const fn flag(listed: &'static str, words: &'static [&'static str]) -> Flag {
    Flag { listed, also: "", words }
}

/// What a program is told that takes its instruction as an argument and the rest from standard input.
const INSTRUCTION: &str = "Answer what was given on standard input. Use no tools.";

/// All of them, in the order in which one is taken by itself.
pub static ROWS: [Row; 3] = [
    Row {
        word: "claude",
        help: &["--help"],
        begin: &["-p"],
        must: &[
            flag("--tools", &["--tools", ""]),
            flag("--output-format", &["--output-format", "stream-json"]),
            flag("--verbose", &["--verbose"]),
        ],
        may: &[
            flag("--no-session-persistence", &["--no-session-persistence"]),
            flag("--setting-sources", &["--setting-sources", ""]),
            flag("--strict-mcp-config", &["--strict-mcp-config"]),
        ],
        end: &[],
        set: &[
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            // A wall is told soon, and not run into ten times.
            ("CLAUDE_CODE_MAX_RETRIES", "2"),
        ],
    },
    Row {
        word: "codex",
        help: &["exec", "--help"],
        begin: &["exec"],
        must: &[
            flag("--json", &["--json"]),
            flag("--ephemeral", &["--ephemeral"]),
            flag("--sandbox", &["--sandbox", "read-only"]),
            flag("--skip-git-repo-check", &["--skip-git-repo-check"]),
            // One that it does not know costs a warning, which is none of the answer.
            flag(
                "--config",
                &[
                    "-c",
                    "features.hooks=false",
                    "-c",
                    "features.shell_tool=false",
                    "-c",
                    "features.unified_exec=false",
                    "-c",
                    "features.multi_agent=false",
                    "-c",
                    "features.apps=false",
                    "-c",
                    "notify=[]",
                ],
            ),
        ],
        may: &[flag("--color", &["--color", "never"]), flag("--ignore-rules", &["--ignore-rules"])],
        end: &["-"],
        set: &[],
    },
    Row {
        word: "gemini",
        help: &["--help"],
        begin: &["-p", INSTRUCTION],
        must: &[
            Flag { listed: "--approval-mode", also: "plan", words: &["--approval-mode", "plan"] },
            Flag { listed: "--output-format", also: "json", words: &["--output-format", "json"] },
        ],
        may: &[
            flag("--skip-trust", &["--skip-trust"]),
            // Names that nobody has: none is started.
            flag("--allowed-mcp-server-names", &["--allowed-mcp-server-names=ox-none"]),
            flag("--extensions", &["--extensions=none"]),
        ],
        end: &[],
        set: &[],
    },
];

/// The row of the program that `word` names.
pub fn row(word: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.word == word)
}

/// The same gone through in the text of its help.
fn lists(help: &str, flag: &Flag) -> bool {
    let is_name = |at: usize| {
        let after = help[at + flag.listed.len()..].chars().next();
        !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let mut found = help.match_indices(flag.listed).filter(|(at, _)| is_name(*at));
    // What it says of a flag stands on the same line, or soon behind it.
    found.any(|(at, _)| {
        let rest = &help[at..help.floor_char_boundary(at + ABOUT_MAX)];
        rest.contains(flag.also)
    })
}

/// What a help says of a flag is looked for so far behind it, in bytes.
const ABOUT_MAX: usize = 400;

impl Row {
    /// The words behind its name, with `help` the text that lists its flags and `more` those that [`silenced`] has; `model` is empty for its
    /// own.
    ///
    /// # Errors
    /// The flag that it does not have, and has to.
    pub fn args(&self, help: &str, more: Vec<String>, model: &str) -> Result<Vec<String>, &'static str> {
        if let Some(missing) = self.must.iter().find(|flag| !lists(help, flag)) {
            return Err(missing.listed);
        }
        let flags = self.must.iter().chain(self.may.iter().filter(|flag| lists(help, flag)));
        let words = self.begin.iter().chain(flags.flat_map(|flag| flag.words));
        let mut args: Vec<String> = words.map(|&word| word.to_owned()).collect();
        args.extend(more);
        if !model.is_empty() {
            // In one word: whatever it is called, it is no flag.
            args.push(format!("--model={model}"));
        }
        args.extend(self.end.iter().map(|&word| word.to_owned()));
        Ok(args)
    }
}

/// Words by which the program leaves out what the settings in `dir`, its own directory, have it start beside itself. codex (0.171.0) has no
/// flag for its servers of tools: without all its settings it would not know its model's server either.
pub fn silenced(word: &str, dir: &Path) -> Vec<String> {
    if word != "codex" {
        return Vec::new();
    }
    let text = super::headless::text(&dir.join("config.toml")).unwrap_or_default();
    let Ok(doc) = text.parse::<toml_edit::DocumentMut>() else { return Vec::new() };
    let servers = doc.get("mcp_servers").and_then(toml_edit::Item::as_table_like);
    let names = servers.into_iter().flat_map(|servers| servers.iter().map(|(name, _)| name.to_owned()));
    // Another name cannot be said in a word.
    let is_plain =
        |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let off = |name: String| ["-c".to_owned(), format!("mcp_servers.{name}.enabled=false")];
    names.filter(is_plain).flat_map(off).collect()
}

/// Whether a variable ties a program to another session, or makes it believe that it runs within another agent; with those of git, which say
/// where a repository is (agentwork and sessions, 3.2).
pub fn is_of_a_session(name: &str) -> bool {
    const NAMES: [&str; 23] = [
        "AGENT_ENV",
        "AI_AGENT",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_EXECPATH",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_EFFORT",
        "CLAUDE_ENV_FILE",
        "CLAUDE_PID",
        "CLAUDE_PROJECT_DIR",
        "CODEX_CI",
        "CODEX_PERMISSION_PROFILE",
        "CODEX_SANDBOX",
        "CODEX_SANDBOX_NETWORK_DISABLED",
        "CODEX_TOOL_CALL_ID",
        "COPILOT_CLI",
        "OPENCODE",
        "OPENCODE_PID",
        "OX_AGENT_SESSION",
        "OX_PARENT_PID",
        "OX_PROJECT_ROOT",
        "PI_CODING_AGENT",
        "SAGEOX_AGENT_ID",
    ];
    const PREFIXES: [&str; 6] = [
        "CLAUDE_CODE_CHILD_",
        "CLAUDE_CODE_MESSAGING_",
        "CLAUDE_CODE_SESSION_",
        "COPILOT_AGENT_",
        "PI_SESSION_",
        "QWEN_CODE",
    ];
    const OF_GIT: [&str; 2] = ["GIT_SSL_", "GIT_CONFIG_"];
    let is_git = || name.starts_with("GIT_") && !OF_GIT.iter().any(|kept| name.starts_with(kept));
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || PROGRAMS.iter().any(|program| program.marks.contains(&name) || program.session.contains(&name))
        || is_git()
}

/// The directory in which a program is run for an answer is named so, and by a number: what it writes down under that name is nobody's session.
pub const DIRECTORY: &str = "ox-agent-work-";

/// Whether a path is that of something that a run for an answer has left, by a part of it that is named after the directory of the run.
pub fn is_ours(path: &Path) -> bool {
    path.iter().filter_map(|part| part.to_str()).any(is_named_after)
}

/// Whether a name, also one made of a whole path, is that of such a directory.
pub fn is_named_after(name: &str) -> bool {
    name.rsplit_once(DIRECTORY).is_some_and(|(before, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number && !before.ends_with(|c: char| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_given_where_it_is_listed_and_one_that_must_be_is_asked_for() {
        let claude = row("claude").unwrap();
        let help =
            "  -p, --print\n  --output-format <format>\n  --tools <tools...>  \"\" for none\n  --verbose\n";
        let args = claude.args(help, Vec::new(), "").unwrap();
        assert_eq!(args, ["-p", "--tools", "", "--output-format", "stream-json", "--verbose"]);
        let more = format!("{help}  --strict-mcp-config  Only\n  --setting-sources-of-others\n");
        let args = claude.args(&more, vec!["-y".into()], "-x").unwrap();
        assert_eq!(args[6..], ["--strict-mcp-config", "-y", "--model=-x"]);
        assert_eq!(claude.args(&help.replace("--tools", "--tools-of"), Vec::new(), ""), Err("--tools"));
        let gemini = row("gemini").unwrap();
        let help =
            "--approval-mode [choices: \"default\", \"yolo\"]\n--output-format [choices: \"text\", \"json\"]";
        assert_eq!(gemini.args(help, Vec::new(), ""), Err("--approval-mode"));
        let args = gemini.args(&help.replace("yolo", "plan"), Vec::new(), "").unwrap();
        assert_eq!(args, ["-p", INSTRUCTION, "--approval-mode", "plan", "--output-format", "json"]);
        assert_eq!(row("vim"), None);
    }

    #[test]
    fn what_a_program_would_start_beside_itself_is_left_out() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(silenced("codex", tmp.path()).is_empty());
        let config = "[mcp_servers.a-b]\ncommand = \"x\"\n[mcp_servers.\"c.d\"]\ncommand = \"x\"\n[mcp_servers.e]\nurl = \"x\"\n";
        std::fs::write(tmp.path().join("config.toml"), config).unwrap();
        let words = ["-c", "mcp_servers.a-b.enabled=false", "-c", "mcp_servers.e.enabled=false"];
        assert_eq!(silenced("codex", tmp.path()), words);
        assert!(silenced("claude", tmp.path()).is_empty());
    }

    #[test]
    fn agt_02_what_ties_a_run_to_another_session_is_known() {
        for name in [
            "CLAUDECODE",
            "CLAUDE_CODE_MESSAGING_TOKEN",
            "CLAUDE_CODE_SESSION_ID",
            "CODEX_THREAD_ID",
            "GEMINI_CLI",
            "QWEN_CODE_SESSION_ID",
            "GIT_DIR",
            "SAGEOX_AGENT_ID",
            "COPILOT_AGENT_SESSION_ID",
        ] {
            assert!(is_of_a_session(name), "{name}");
        }
        for name in [
            "HOME",
            "PATH",
            "HTTPS_PROXY",
            "LANG",
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CONFIG_DIR",
            "CODEX_HOME",
            "CODEX_API_KEY",
            "GIT_SSL_CAINFO",
            "GIT_CONFIG_GLOBAL",
            "GEMINI_API_KEY",
        ] {
            assert!(!is_of_a_session(name), "{name}");
        }
        for row in &ROWS {
            assert!(row.set.iter().all(|(name, _)| !is_of_a_session(name)));
        }
    }

    #[test]
    fn what_a_run_left_is_known_by_its_directory() {
        let ours = |path: &str| is_ours(Path::new(path));
        assert!(ours("ox-agent-work-1/chats/session.jsonl"));
        assert!(ours("-run-user-0-sageox-agents-1-ox-agent-work-12/a.jsonl"));
        assert!(!ours("ox-agent-work-/a") && !ours("ox-agent-work-1b/a") && !ours("box-agent-work-1/a"));
        assert!(!ours("my-project/chats/ox-agent-work.jsonl"));
    }
}
