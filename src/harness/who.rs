//! Which agent program runs this process, by the processes above it and by its variables. Pure.

use std::path::Path;

use super::{PROGRAMS, Program};
use crate::kit::process::Ancestor;

/// The agent program that runs this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Which; none where neither a process nor a variable tells.
    pub program: Option<&'static Program>,
    /// The process of its session; none where that is not known, or one process serves many sessions.
    pub pid: Option<u32>,
    /// One process serves many sessions of it.
    pub is_served: bool,
    /// What the program calls its session; may be empty.
    pub session: String,
}

impl Running {
    /// Looks: the nearest agent process `above` counts, and its own variables alone; where there is none, variables tell.
    pub fn detect(get: impl Fn(&str) -> Option<String>, above: &[Ancestor]) -> Running {
        let get = |name: &&str| get(name).filter(|value| !value.is_empty());
        let is_marked =
            |program: &&Program| program.marks.iter().chain(program.session).any(|name| get(name).is_some());
        let nearest = above.iter().find_map(|process| Some((process, program_of(process)?)));
        let program = nearest.map(|(_, p)| p).or_else(|| PROGRAMS.iter().find(is_marked));
        let session = program.into_iter().flat_map(|p| p.session).find_map(get);
        let is_served = nearest.is_some_and(|(process, p)| is_server(process, p));
        let pid = nearest.map(|(process, _)| process.pid).filter(|_| !is_served);
        Running { program, pid, is_served, session: session.unwrap_or_default() }
    }

    /// Whether a variable says that an agent program runs this process. Costs no look at the table of processes.
    pub fn is_told(get: impl Fn(&str) -> Option<String>) -> bool {
        PROGRAMS.iter().flat_map(|program| program.marks).any(|name| get(name).is_some_and(|v| !v.is_empty()))
    }
}

/// The agent program that a process runs: by its own name, or by the script's that its interpreter was given.
fn program_of(process: &Ancestor) -> Option<&'static Program> {
    let name = image(process)?;
    PROGRAMS.iter().find(|program| program.images.contains(&name.as_str()))
}

fn image(process: &Ancestor) -> Option<String> {
    let name = |word: &String| Path::new(word).file_stem().map(|n| n.to_string_lossy().into_owned());
    let (first, rest) = process.args.split_first()?;
    let first = name(first)?;
    match first.as_str() {
        "sh" | "bash" | "dash" => rest.first().and_then(name),
        // Gemini CLI runs itself again with options of its interpreter.
        "node" | "bun" | "deno" => rest.iter().find(|word| !word.starts_with("--")).and_then(name),
        _ => Some(first),
    }
}

fn is_server(process: &Ancestor, program: &Program) -> bool {
    program.server.is_some_and(|word| process.args.iter().any(|arg| arg == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(
        vars: &[(&str, &str)],
        above: &[(u32, &[&str])],
    ) -> (Option<&'static str>, Option<u32>, String) {
        let above: Vec<Ancestor> = above
            .iter()
            .map(|(pid, args)| Ancestor { pid: *pid, args: args.iter().map(|a| (*a).to_owned()).collect() })
            .collect();
        let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let found = Running::detect(get, &above);
        (found.program.map(|p| p.kind), found.pid, found.session)
    }

    fn is(kind: &'static str, pid: u32, session: &str) -> (Option<&'static str>, Option<u32>, String) {
        (Some(kind), (pid > 0).then_some(pid), session.to_owned())
    }

    const SHELL: (u32, &[&str]) = (9, &["/bin/sh", "-c", "ox"]);
    const CLAUDE: (u32, &[&str]) = (8, &["node", "/usr/lib/node_modules/bin/claude.js", "-p"]);
    const CODEX: (u32, &[&str]) = (7, &["/opt/codex", "exec"]);

    #[test]
    fn the_nearest_process_counts_and_its_own_variables_alone() {
        assert_eq!(detect(&[], &[]), (None, None, String::new()));
        assert_eq!(
            detect(&[], &[SHELL, (6, &["vim", "codex"]), (1, &["/init"])]),
            (None, None, String::new())
        );
        assert_eq!(detect(&[], &[SHELL, CLAUDE, CODEX]), is("claude-code", 8, ""));
        let again = (5, &["/usr/bin/node", "--max-old-space-size=12052", "/opt/bin/gemini", "-p"][..]);
        assert_eq!(detect(&[], &[SHELL, again, CLAUDE]), is("gemini", 5, ""));
        let nested = [("CLAUDECODE", "1"), ("CLAUDE_CODE_SESSION_ID", "s"), ("CODEX_THREAD_ID", "t")];
        assert_eq!(detect(&nested, &[SHELL, CODEX, CLAUDE]), is("codex", 7, "t"));
        assert_eq!(detect(&nested, &[SHELL, CLAUDE, CODEX]), is("claude-code", 8, "s"));
        // Copilot hands Claude's directory to hooks, and codex started by Claude has all of Claude's variables in its own.
        assert_eq!(detect(&nested[..2], &[SHELL, CODEX]), is("codex", 7, ""));
    }

    #[test]
    fn where_no_process_is_known_variables_tell() {
        assert_eq!(detect(&[("CODEX_THREAD_ID", "t")], &[SHELL]), is("codex", 0, "t"));
        let root = [("CODEX_THREAD_ID", "t"), ("CODEX_SESSION_ID", "root")];
        assert_eq!(detect(&root, &[SHELL]), is("codex", 0, "root"));
        assert_eq!(detect(&[("QWEN_CODE", "1"), ("GEMINI_CLI", "")], &[SHELL]), is("qwen", 0, ""));
        assert_eq!(detect(&[("OPENCODE", "1")], &[]), is("opencode", 0, ""));
    }

    #[test]
    fn a_server_of_many_sessions_is_the_sign_of_life_of_none() {
        let server: (u32, &[&str]) = (5, &["/opt/codex", "app-server", "--managed-daemon"]);
        assert_eq!(detect(&[("CODEX_SESSION_ID", "s")], &[SHELL, server, CLAUDE]), is("codex", 0, "s"));
    }
}
