//! Whether an agent can be used, found out without asking its model anything, and which of them is to work.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits::{USABLE_FOR, USABLE_MAX};
use super::runner::{ChatServer, chat_url, there};
use crate::harness::answer::ROWS;
use crate::harness::login::{Login, is_logged_in, login};
use crate::http::{Client, HttpError};
use crate::kit::cancel::Cancel;
use crate::kit::child::{self, ChildError, Cmd};
use crate::kit::clock::{Clock as _, Mono, SystemClock};
use crate::kit::contact::Purpose;
use crate::kit::thread;
use crate::project::{AgentWorker, Env};

/// What a program that is asked has of [`USABLE_MAX`], and what it has to end then.
const ASK_MAX: Duration = Duration::from_millis(1500);
const ASK_GRACE: Duration = Duration::from_millis(100);
/// Programs taken by themselves, the first first (3.7).
const DETECTED: [&str; 2] = ["claude", "codex"];

/// What was found of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable {
    /// What the configuration calls it.
    pub agent: &'static str,
    /// Where its program lies; none of a server.
    pub program: Option<PathBuf>,
    /// It is there: the program is installed, the server is configured.
    pub installed: bool,
    /// It can ask its model, as far as can be told without doing so.
    pub authenticated: bool,
    /// How, or why not; no value of a key.
    pub detail: String,
}

impl Usable {
    /// Whether it can be run.
    pub fn is_usable(&self) -> bool {
        self.installed && self.authenticated
    }
}

/// What was found of all, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// When.
    pub at: Mono,
    /// Of each, in the order of the table; the server last, where one is configured.
    pub all: Vec<Usable>,
}

impl Looked {
    /// Whether it is still to be believed.
    pub fn is_fresh(&self, now: Mono) -> bool {
        now.since(self.at) < USABLE_FOR
    }

    /// What was found of the agent of that name.
    pub fn of(&self, agent: &str) -> Option<&Usable> {
        self.all.iter().find(|usable| usable.agent == agent)
    }
}

/// Which agent works, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// That one; none where the work is off.
    pub agent: Option<&'static str>,
    /// It can be used.
    pub usable: bool,
    /// Why it is that one, or why none or not usable, in words.
    pub why: String,
}

/// Where the program of that name lies: where `PATH` leads, or where its makers put it. A daemon may have been started with a short `PATH`.
pub fn program(word: &str, env: &Env) -> Option<PathBuf> {
    env.program(word).or_else(|| dirs(env).into_iter().find_map(|dir| there(dir.join(word))))
}

fn dirs(env: &Env) -> Vec<PathBuf> {
    const OF_HOME: [&str; 5] = [".local/bin", ".claude/local", ".npm-global/bin", ".bun/bin", ".volta/bin"];
    const OF_SYSTEM: [&str; 2] = ["/opt/homebrew/bin", "/usr/local/bin"];
    let of_home = OF_HOME.iter().filter_map(|dir| env.home().map(|home| home.join(dir)));
    of_home.chain(OF_SYSTEM.iter().map(PathBuf::from)).collect()
}

/// `PATH` for a program, with the directory that it lies in: what interprets it may lie beside it.
pub(super) fn path(program: &Path, env: &Env) -> OsString {
    let set = env.get_os("PATH").unwrap_or(OsStr::new("/usr/bin:/bin")).to_owned();
    let mut all: Vec<PathBuf> = std::env::split_paths(&set).collect();
    let more = program.parent().map(Path::to_owned).into_iter().chain(dirs(env));
    for dir in more {
        if !all.contains(&dir) {
            all.push(dir);
        }
    }
    std::env::join_paths(all).unwrap_or(set)
}

/// Whether the program of that name can be used; within [`USABLE_MAX`].
pub fn usable(word: &str, env: &Env) -> Usable {
    let Some(row) = ROWS.iter().find(|row| row.word == word) else {
        let detail = "unknown agent".to_owned();
        return Usable { agent: "", program: None, installed: false, authenticated: false, detail };
    };
    let program = program(word, env);
    let home = env.home().unwrap_or(Path::new("/nonexistent"));
    let get = |name: &str| env.get(name).map(str::to_owned);
    let (authenticated, detail) = match (login(word, home, get), &program) {
        (Login::Yes(what), _) => (true, what),
        (Login::No(why) | Login::Ask(_, why), None) | (Login::No(why), _) => (false, why),
        (Login::Ask(args, why), Some(program)) => asked(program, args, why, env),
    };
    Usable { agent: row.word, installed: program.is_some(), program, authenticated, detail }
}

/// Has the program itself say whether it is logged in.
fn asked(program: &Path, args: &[&str], why: String, env: &Env) -> (bool, String) {
    let mut cmd = Cmd::new(program).args(args).deadline(ASK_MAX).grace(ASK_GRACE).stdout_cap(4096);
    for (name, value) in env.vars() {
        cmd = cmd.env(name, value);
    }
    match child::run(cmd.env("PATH", path(program, env)), &Cancel::new()) {
        // Versions differ in which of both they use.
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            match is_logged_in(output.status.code(), &String::from_utf8_lossy(&said)) {
                true => (true, "logged in".to_owned()),
                false => (false, why),
            }
        }
        Err(ChildError::Timeout { .. }) => (false, format!("does not say within {} s", USABLE_MAX.as_secs())),
        Err(e) => (false, format!("cannot be asked: {e}")),
    }
}

/// Whether a server can be used; within [`USABLE_MAX`]. What it serves is asked for, and no answer.
pub fn usable_chat(server: &Result<ChatServer, String>, client: &Client) -> Usable {
    let found = |installed: bool, authenticated: bool, detail: String| Usable {
        agent: "chat",
        program: None,
        installed,
        authenticated,
        detail,
    };
    let server = match server {
        Ok(server) => server,
        Err(why) => return found(false, false, why.clone()),
    };
    let url = chat_url(server, "models");
    if !client.accepts(&url) {
        return found(false, false, "asked by https only, or on this machine".to_owned());
    }
    let mut request = client.meant_for(Purpose::Chat).get(&url);
    if let Some(key) = &server.key {
        request = request.bearer(key);
    }
    match request.deadline(USABLE_MAX).send().map(|reply| reply.status) {
        Ok(401 | 403) => found(true, false, "its key was refused".to_owned()),
        Ok(200..300) => found(true, true, "answers".to_owned()),
        Ok(status @ 500..) => found(true, false, format!("answers with status {status}")),
        // Not every server lists its models.
        Ok(_) => found(true, true, "answers".to_owned()),
        Err(e @ HttpError::TooLarge { .. }) => found(true, true, e.to_string()),
        Err(e) => found(true, false, e.to_string()),
    }
}

/// Looks at all of them side by side; within [`USABLE_MAX`].
pub fn look(config: &AgentWorker, env: &Env, client: &Client) -> Looked {
    let at = SystemClock.now().mono;
    let mut threads = Vec::new();
    let mut all = Vec::new();
    for row in &ROWS {
        let env = env.clone();
        match thread::spawn("usable", thread::STACK_LARGE, move || usable(row.word, &env)) {
            Ok(thread) => threads.push(thread),
            Err(e) => log::warn!("{}: no thread to look at it: {e}", row.word),
        }
    }
    let chat = (!config.chat_url.is_empty() || config.agent == "chat")
        .then(|| usable_chat(&ChatServer::configured(config, env), client));
    all.extend(threads.into_iter().filter_map(|thread| thread.join().ok()));
    all.extend(chat);
    Looked { at, all }
}

/// Which agent works, of those that were looked at.
pub fn resolve(config: &AgentWorker, looked: &[Usable]) -> Effective {
    let is_usable = |agent: &str| looked.iter().find(|found| found.agent == agent && found.is_usable());
    let named = ROWS.iter().map(|row| row.word).chain(["chat"]).find(|word| *word == config.agent);
    match named {
        Some(agent) => {
            let found = looked.iter().find(|found| found.agent == agent);
            let why = match found {
                Some(found) if found.is_usable() => "named in the configuration".to_owned(),
                Some(found) if !found.installed && found.program.is_none() && agent != "chat" => {
                    "named in the configuration, but not installed".to_owned()
                }
                Some(found) => format!("named in the configuration, but {}", found.detail),
                None => "named in the configuration".to_owned(),
            };
            Effective { agent: Some(agent), usable: is_usable(agent).is_some(), why }
        }
        None if config.agent == "none" => {
            Effective { agent: None, usable: false, why: "switched off (agent_worker.agent)".to_owned() }
        }
        None if !config.auto_detect => {
            Effective { agent: None, usable: false, why: "no agent is named (agent_worker.agent)".to_owned() }
        }
        None => match DETECTED.iter().find_map(|agent| is_usable(agent)) {
            Some(found) => {
                Effective { agent: Some(found.agent), usable: true, why: format!("found ({})", found.detail) }
            }
            None => Effective {
                agent: None,
                usable: false,
                why: format!("neither {} is installed and logged in", DETECTED.join(" nor ")),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(agent: &'static str, installed: bool, authenticated: bool) -> Usable {
        let program = installed.then(|| PathBuf::from("/bin").join(agent));
        Usable { agent, program, installed, authenticated, detail: "API key".into() }
    }

    fn config(agent: &str, auto_detect: bool) -> AgentWorker {
        let env = Env::of([("HOME", "/nonexistent")], "/");
        let dirs = crate::project::Dirs::from_env(&env).unwrap();
        let (config, _) = crate::project::settings::Settings::load(&env, &dirs, None).0.agent_worker();
        AgentWorker { agent: agent.into(), auto_detect, ..config }
    }

    #[test]
    fn a_named_agent_stays_that_one_and_one_is_found_only_where_that_is_wanted() {
        let all = [found("claude", true, false), found("codex", true, true), found("gemini", true, true)];
        let check = |agent: &str, auto: bool, expected: Option<&str>, usable: bool, why: &str| {
            let effective = resolve(&config(agent, auto), &all);
            assert_eq!((effective.agent, effective.usable), (expected, usable), "{agent} {auto}");
            assert!(effective.why.contains(why), "{effective:?}");
        };
        check("", false, None, false, "no agent is named");
        check("none", true, None, false, "switched off");
        check("", true, Some("codex"), true, "found (API key)");
        check("claude", true, Some("claude"), false, "named in the configuration, but API key");
        check("gemini", false, Some("gemini"), true, "named in the configuration");
        check("chat", false, Some("chat"), false, "named");
        let effective =
            resolve(&config("", true), &[found("claude", false, true), found("gemini", true, true)]);
        assert_eq!(effective.agent, None, "gemini has to be named");
        let looked = Looked { at: Mono::ZERO, all: all.into() };
        assert!(looked.is_fresh(Mono::ZERO + Duration::from_secs(59)));
        assert!(!looked.is_fresh(Mono::ZERO + Duration::from_secs(60)));
    }

    #[test]
    fn a_program_is_found_where_its_makers_put_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let tmp = tempfile::tempdir().unwrap();
        let env = Env::of([("HOME", tmp.path()), ("PATH", Path::new("/nonexistent"))], "/");
        for dir in [".claude/local", ".volta/bin"] {
            let dir = tmp.path().join(dir);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("claude"), "").unwrap();
        }
        assert_eq!(program("claude", &env), None, "nobody may run it");
        let at = tmp.path().join(".volta/bin/claude");
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program("claude", &env), Some(at.clone()));
        let path = path(&at, &env).into_string().unwrap();
        assert!(path.starts_with("/nonexistent:") && path.contains("/.volta/bin"), "{path}");
    }
}
