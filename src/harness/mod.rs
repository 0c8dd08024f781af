//! The agent programs as data, and which of them runs this process.
//!
//! Threads: some that list directories of transcripts, which end with the listing.
//! Files: transcripts are read, in `transcript::places`; no link leads out of their roots.
//! Locks: none.
//! Promises: nothing else names an agent program; a program that is not in the table is told as what it calls itself; variables that an
//! outer agent hands down never count against the nearest process.
//!
//! Rows say what was seen when the programs were run (codex 0.171.0, claude 2.1.332, gemini 0.61.0, opencode 1.18.33, copilot 1.0.102, qwen
//! 0.24.4, pi 1.6.0); what was not run has its names only.

pub mod answer;
pub mod headless;
pub mod hooks;
pub mod login;
pub mod tool;
pub mod transcript;
mod who;

pub use who::Running;

/// An agent program.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// What recordings, heartbeats and murmurs call it.
    pub kind: &'static str,
    /// Other names by which people and older programs call it, in lower case.
    pub aliases: &'static [&'static str],
    /// Names of its executables, or of the scripts that an interpreter runs, without their extension.
    pub images: &'static [&'static str],
    /// Variables that its commands find set.
    pub marks: &'static [&'static str],
    /// Variables whose value is the id of its session, the first that is set.
    pub session: &'static [&'static str],
    /// The word behind its name in a process that serves many sessions, and so is no sign of life of one.
    pub server: Option<&'static str>,
    /// How it is told to run commands at its events; none where we do not ask it to.
    pub hooks: Option<&'static hooks::Hooks>,
}

impl Program {
    const fn named(
        kind: &'static str,
        aliases: &'static [&'static str],
        images: &'static [&'static str],
    ) -> Program {
        Program { kind, aliases, images, marks: &[], session: &[], server: None, hooks: None }
    }
}

/// All of them. The one that more likely runs another comes last: its variables are handed down.
pub const PROGRAMS: &[Program] = &[
    Program {
        // A sub-agent has the root's session and a thread of its own; older versions name the thread only.
        marks: &["CODEX_THREAD_ID"],
        session: &["CODEX_SESSION_ID", "CODEX_THREAD_ID"],
        server: Some("app-server"),
        hooks: Some(&hooks::CODEX),
        ..Program::named("codex", &["codex cli", "openai codex"], &["codex"])
    },
    Program {
        marks: &["GEMINI_CLI"],
        hooks: Some(&hooks::GEMINI),
        ..Program::named("gemini", &["gemini-cli", "gemini cli"], &["gemini"])
    },
    Program {
        marks: &["OPENCODE"],
        hooks: Some(&hooks::OPENCODE),
        ..Program::named("opencode", &[], &["opencode"])
    },
    Program {
        marks: &["COPILOT_CLI"],
        session: &["COPILOT_AGENT_SESSION_ID"],
        ..Program::named("copilot", &["copilot-cli", "github copilot"], &["copilot"])
    },
    Program {
        marks: &["QWEN_CODE"],
        session: &["QWEN_CODE_SESSION_ID"],
        ..Program::named("qwen", &["qwen-code", "qwen code"], &["qwen"])
    },
    Program {
        marks: &["PI_CODING_AGENT"],
        session: &["PI_SESSION_ID"],
        ..Program::named("pi", &["pi-coding-agent"], &["pi"])
    },
    Program::named("cursor", &["cursor-cli"], &["cursor-agent"]),
    Program::named("droid", &["factory"], &["droid"]),
    Program {
        marks: &["CLAUDECODE"],
        session: &["CLAUDE_CODE_SESSION_ID"],
        hooks: Some(&hooks::CLAUDE),
        ..Program::named("claude-code", &["claude", "claude code"], &["claude"])
    },
];

/// What recordings call the program that somebody calls `name`, in whatever case; `name` itself where no program is known by it.
pub fn kind(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let is_called = |p: &&Program| p.kind == lower || p.aliases.contains(&lower.as_str());
    PROGRAMS.iter().find(is_called).map_or(name, |program| program.kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_and_no_variable_means_two_programs() {
        let mut names = BTreeSet::new();
        let mut variables = BTreeSet::new();
        for program in PROGRAMS {
            for name in [&[program.kind][..], program.aliases].concat() {
                assert_eq!(name, name.to_ascii_lowercase());
                assert!(names.insert(name), "{name}");
            }
            let own: BTreeSet<&str> = program.marks.iter().chain(program.session).copied().collect();
            for name in own {
                assert!(variables.insert(name), "{name}");
            }
        }
    }

    #[test]
    fn a_program_has_one_name_whatever_it_is_called() {
        let check = |name: &str, expected: &str| assert_eq!(kind(name), expected, "{name}");
        check("claude-code", "claude-code");
        check("Claude", "claude-code");
        check("Gemini CLI", "gemini");
        check("codex", "codex");
        check("", "");
        check("Vim", "Vim");
    }
}
