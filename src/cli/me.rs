//! Which agent runs this command, as far as the environment and the process table tell.

use crate::cli::context::Cx;
use crate::harness::{self, Running};
use crate::kit::process::{Ancestor, ancestors};
use crate::project::{AgentSession, Env, Instance, is_agent_id};

/// Id of the agent that runs the command.
const AGENT_ID: &str = "SAGEOX_AGENT_ID";
/// Its type, such as `claude-code`.
const AGENT_TYPE: &str = "AGENT_ENV";
/// Its process, where a hook has passed it on.
const PARENT_PID: &str = "OX_PARENT_PID";

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
    /// Looks: as the prefix says, else as the session or the process has introduced itself, else as the environment says.
    pub fn of(cx: &Cx) -> Me {
        Me::known(cx, Me::detect(cx.agent.as_deref(), &cx.env, &ancestors()))
    }

    /// The same in a session that is known: what the environment says of one may be another's.
    pub fn in_session(cx: &Cx, session: &str) -> Me {
        let me = Me::detect(cx.agent.as_deref(), &cx.env, &ancestors());
        Me::known(cx, Me { session: session.to_owned(), ..me })
    }

    /// With the id under which it has introduced itself.
    fn known(cx: &Cx, me: Me) -> Me {
        if cx.agent.is_some() {
            return me;
        }
        let me = me.apart(cx);
        let of_session = AgentSession::load(&cx.env, &me.session).map(|session| session.agent_id);
        match of_session.or_else(|| me.by_process(cx)) {
            // What is handed down in the environment is then the one that started it.
            Some(id) if id != me.id => {
                let parent = if me.parent.is_empty() { me.id } else { me.parent };
                Me { id, parent, ..me }
            }
            _ => me,
        }
    }

    /// Without the id of an agent of another program, which handed it down to this one in its shell: that is who started it.
    fn apart(self, cx: &Cx) -> Me {
        if self.id.is_empty() || self.kind.is_empty() {
            return self;
        }
        let project = cx.project_if_any().ok().flatten();
        let around = project.and_then(|project| Instance::all(&project.root).remove(&self.id));
        let of = around.map(|one| one.agent_type).unwrap_or_default();
        if of.is_empty() || harness::kind(&of) == self.kind {
            return self;
        }
        let parent = if self.parent.is_empty() { self.id } else { self.parent };
        Me { id: String::new(), parent, ..self }
    }

    /// The id under which the same process has introduced itself, where its program names no session.
    fn by_process(&self, cx: &Cx) -> Option<String> {
        if !(self.session.is_empty() && self.id.is_empty()) || self.kind.is_empty() || self.pid == 0 {
            return None;
        }
        let project = cx.project_if_any().ok()??;
        let mut all = Instance::all(&project.root).into_values();
        all.find(|one| one.parent_pid == self.pid && one.agent_type == self.kind).map(|one| one.agent_id)
    }

    /// Whether this command is told at all which agent runs it; looking for more costs a look at the process table.
    pub fn is_told(cx: &Cx) -> bool {
        cx.agent.is_some()
            || cx.env.get(AGENT_ID).is_some_and(is_agent_id)
            || Running::is_told(|name| cx.env.get(name).map(str::to_owned))
    }

    /// Whether the command itself is told its agent, by the prefix or the variable, and not only runs in a session of one.
    pub fn is_named(cx: &Cx) -> bool {
        cx.agent.is_some() || cx.env.get(AGENT_ID).is_some_and(is_agent_id)
    }

    /// Whether an agent reads what this command prints, as far as the environment tells.
    pub fn reads(cx: &Cx) -> bool {
        Me::is_told(cx) || cx.env.get(AGENT_TYPE).is_some_and(|value| !value.is_empty())
    }

    fn detect(named: Option<&str>, env: &Env, above: &[Ancestor]) -> Me {
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let running = Running::detect(|name| env.get(name).map(str::to_owned), above);
        let kind = get(AGENT_TYPE).map(harness::kind).or(running.program.map(|p| p.kind)).unwrap_or_default();
        let told = get(PARENT_PID).and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
        // The first process of all is nobody's shell; and where many sessions share a process none is a sign of life.
        let shell = || above.first().map(|a| a.pid).filter(|pid| *pid > 1);
        let nearest = || running.pid.or_else(|| shell().filter(|_| !running.is_served)).unwrap_or(0);
        let around = get(AGENT_ID).filter(|id| is_agent_id(id));
        let id = named.or(around).unwrap_or_default();
        Me {
            id: id.to_owned(),
            kind: kind.to_owned(),
            pid: told.unwrap_or_else(nearest),
            parent: around.filter(|around| *around != id).unwrap_or_default().to_owned(),
            session: running.session.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(named: Option<&str>, vars: &[(&str, &str)], above: &[(u32, &[&str])]) -> Me {
        let above: Vec<Ancestor> = above
            .iter()
            .map(|(pid, args)| Ancestor { pid: *pid, args: args.iter().map(|a| (*a).to_owned()).collect() })
            .collect();
        Me::detect(named, &Env::of(vars.iter().copied(), "/"), &above)
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
        assert_eq!(detect(None, &[], &[]), Me::default());
        assert_eq!(detect(None, &[], &[shell]), me("", "", 9, "", ""));
        assert_eq!(detect(None, &[], &[shell, claude, codex]), me("", "claude-code", 8, "", ""));
        assert_eq!(detect(None, &[("AGENT_ENV", "x")], &[shell, codex]), me("", "x", 7, "", ""));
        let vars = [("SAGEOX_AGENT_ID", "OxAb12"), ("CODEX_THREAD_ID", "t-1"), ("OX_PARENT_PID", "5")];
        assert_eq!(detect(None, &vars, &[shell]), me("OxAb12", "codex", 5, "", "t-1"));
        assert_eq!(detect(None, &vars, &[shell, claude]), me("OxAb12", "claude-code", 5, "", ""));
        let nested = [("CLAUDECODE", "1"), ("CLAUDE_CODE_SESSION_ID", "s"), ("CODEX_THREAD_ID", "t")];
        assert_eq!(detect(None, &nested, &[shell, codex, claude]), me("", "codex", 7, "", "t"));
        assert_eq!(detect(None, &nested, &[(1, &["/claude"])]), me("", "claude-code", 1, "", "s"));
        assert_eq!(detect(None, &[], &[(1, &["/init"])]), Me::default());
        assert_eq!(detect(Some("OxCd34"), &vars, &[]), me("OxCd34", "codex", 5, "OxAb12", "t-1"));
        let bad = [("SAGEOX_AGENT_ID", "../x"), ("OX_PARENT_PID", "-3"), ("CODEX_THREAD_ID", "")];
        assert_eq!(detect(None, &bad, &[shell]), me("", "", 9, "", ""));
        assert_eq!(detect(None, &[], &[(6, &["vim", "codex"])]), me("", "", 6, "", ""));
    }
}
