//! Which agent runs this command, as far as the environment and the process table tell.

use std::path::Path;

use crate::cli::context::Cx;
use crate::kit::process::{Ancestor, ancestors};
use crate::project::{Env, is_agent_id};

/// Id of the agent that runs the command.
const AGENT_ID: &str = "SAGEOX_AGENT_ID";
/// Its type, such as `claude-code`.
const AGENT_TYPE: &str = "AGENT_ENV";
/// Its process, where a hook has passed it on.
const PARENT_PID: &str = "OX_PARENT_PID";

/// The agent programs that are told apart: their type, the name of their program, and a variable that their commands find set.
/// The variables with a session's id come first.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("claude-code", "claude", &["CLAUDE_CODE_SESSION_ID", "CLAUDECODE"]),
    ("codex", "codex", &["CODEX_THREAD_ID"]),
    ("gemini", "gemini", &["GEMINI_CLI"]),
];
/// Of these variables the value is the id of the program's session.
const SESSIONS: &[&str] = &["CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID"];

/// The agent that runs this command. What is not known is empty or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Me {
    /// `Ox` and four characters.
    pub id: String,
    /// Such as `claude-code`.
    pub kind: String,
    /// Its process.
    pub pid: u32,
    /// The agent that started it.
    pub parent: String,
    /// What its own program calls its session.
    pub session: String,
}

impl Me {
    /// Looks.
    pub fn of(cx: &Cx) -> Me {
        Me::look(cx.agent.as_deref(), &cx.env, &ancestors())
    }

    /// Whether this command is told at all which agent runs it; looking for more costs a look at the process table.
    pub fn is_told(cx: &Cx) -> bool {
        cx.agent.is_some() || cx.env.get(AGENT_ID).is_some_and(is_agent_id)
    }

    fn look(named: Option<&str>, env: &Env, above: &[Ancestor]) -> Me {
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let program = above.iter().find_map(|a| Some((a.pid, program_of(a)?)));
        let by_variable = PROGRAMS.iter().find(|(_, _, set)| set.iter().any(|v| get(v).is_some()));
        let kind = get(AGENT_TYPE).or(by_variable.map(|p| p.0)).or(program.map(|p| p.1)).unwrap_or_default();
        let told = get(PARENT_PID).and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
        let nearest = || program.map(|p| p.0).or_else(|| above.first().map(|a| a.pid)).unwrap_or(0);
        let session = SESSIONS.iter().find_map(|v| get(v)).unwrap_or_default();
        let around = get(AGENT_ID).filter(|id| is_agent_id(id));
        let id = named.or(around).unwrap_or_default();
        Me {
            id: id.to_owned(),
            kind: kind.to_owned(),
            pid: told.unwrap_or_else(nearest),
            parent: around.filter(|around| *around != id).unwrap_or_default().to_owned(),
            session: session.to_owned(),
        }
    }
}

/// The type of the agent program that a process runs: by its own name, or by the script's that its interpreter was given.
fn program_of(process: &Ancestor) -> Option<&'static str> {
    let name = |word: &String| Path::new(word).file_stem().map(|n| n.to_string_lossy().into_owned());
    let mut names = process.args.iter().take(2).filter_map(name);
    let first = names.next()?;
    let interpreted = matches!(first.as_str(), "node" | "bun" | "deno" | "sh" | "bash" | "dash");
    let name = if interpreted { names.next()? } else { first };
    PROGRAMS.iter().find(|(_, program, _)| name == *program).map(|(kind, ..)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(named: Option<&str>, vars: &[(&str, &str)], above: &[(u32, &[&str])]) -> Me {
        let above: Vec<Ancestor> = above
            .iter()
            .map(|(pid, args)| Ancestor { pid: *pid, args: args.iter().map(|a| (*a).to_owned()).collect() })
            .collect();
        Me::look(named, &Env::of(vars.iter().copied(), "/"), &above)
    }

    fn me(id: &str, kind: &str, pid: u32, parent: &str, session: &str) -> Me {
        let own = str::to_owned;
        Me { id: own(id), kind: own(kind), pid, parent: own(parent), session: own(session) }
    }

    #[test]
    fn what_the_environment_says_comes_first_then_the_nearest_agent_program() {
        let shell: (u32, &[&str]) = (9, &["/bin/sh", "-c", "ox"]);
        let claude: (u32, &[&str]) = (8, &["node", "/usr/lib/node_modules/bin/claude.js", "-p"]);
        let codex: (u32, &[&str]) = (7, &["/opt/codex", "exec"]);
        assert_eq!(look(None, &[], &[]), Me::default());
        assert_eq!(look(None, &[], &[shell]), me("", "", 9, "", ""));
        assert_eq!(look(None, &[], &[shell, claude, codex]), me("", "claude-code", 8, "", ""));
        assert_eq!(look(None, &[("AGENT_ENV", "x")], &[shell, codex]), me("", "x", 7, "", ""));
        let vars = [("SAGEOX_AGENT_ID", "OxAb12"), ("CODEX_THREAD_ID", "t-1"), ("OX_PARENT_PID", "5")];
        assert_eq!(look(None, &vars, &[shell, claude]), me("OxAb12", "codex", 5, "", "t-1"));
        assert_eq!(look(Some("OxCd34"), &vars, &[]), me("OxCd34", "codex", 5, "OxAb12", "t-1"));
        let bad = [("SAGEOX_AGENT_ID", "../x"), ("OX_PARENT_PID", "-3"), ("CODEX_THREAD_ID", "")];
        assert_eq!(look(None, &bad, &[shell]), me("", "", 9, "", ""));
        assert_eq!(look(None, &[], &[(6, &["vim", "codex"])]), me("", "", 6, "", ""));
    }
}
