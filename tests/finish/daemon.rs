//! The daemon finishes sessions, and is killed again and again in the middle of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ox::kit::clock::pause;
use ox::kit::rng::Rng;
use rustix::process::Signal;
use serde_json::Value;

use crate::rig::answers::model;
use crate::support::http_script::Server;
use crate::support::seed::{named, rounds};
use crate::support::{TestEnv, census, send, until, until_or};

/// What the model says.
pub(super) const SUMMARY: &str = r#"{"title":"Parser split into lexer and tree","summary":"The parser was split into a lexer and a tree builder, so that an error can name its token.","key_actions":["split the parser","tested it","removed the old pass"],"outcome":"success","quality_score":0.8}"#;

pub(super) struct Scene {
    pub(super) env: TestEnv,
    pub(super) repo: PathBuf,
    ledger: PathBuf,
    bare: PathBuf,
    model: Server,
    sessions: Vec<(String, String)>,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(model(200, SUMMARY))
    }

    pub(super) fn with(model: Server) -> Scene {
        let env = TestEnv::new();
        let (repo, bare) = (env.repo("p"), env.bare("ledger"));
        for (key, value) in [
            ("agent", "chat"),
            ("chat_url", &model.url("/v1")),
            ("chat_model", "small"),
            ("max_invocations_per_hour", "1000"),
            ("max_input_tokens_per_day", "1000000000"),
        ] {
            env.ox(["config", "set", &format!("agent_worker.{key}"), value]).ok();
        }
        env.ox_in(&repo, ["up", "--yes", "--ledger", bare.to_str().unwrap()]).ok();
        let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
        Scene { env, repo, ledger, bare, model, sessions: Vec::new() }
    }

    pub(super) fn local(&self, name: &str) -> PathBuf {
        self.ledger.join(".sageox/cache/sessions").join(name)
    }

    /// One more session that has ended.
    pub(super) fn session(&mut self, n: usize) -> String {
        self.session_of(n, "OxTndR")
    }

    /// The same, of this agent.
    pub(super) fn session_of(&mut self, n: usize, agent: &str) -> String {
        let name = format!("2026-03-12T{:02}-{:02}-dana-{agent}", n / 60, n % 60);
        let line = |at: usize| {
            let kind = if at.is_multiple_of(2) { "user" } else { "assistant" };
            format!("{{\"type\":\"{kind}\",\"content\":\"Split parser {n}, step {at}\",\"seq\":{at}}}\n")
        };
        let raw: String = (0..8).map(line).collect();
        let dir = self.local(&name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("raw.jsonl"), &raw).unwrap();
        self.sessions.push((name.clone(), raw));
        name
    }

    /// What the remote has of a file.
    pub(super) fn there(&self, name: &str, file: &str) -> Option<String> {
        let path = format!("main:sessions/{name}/{file}");
        let show = self.env.cmd("git").dir(&self.bare).args(["show", &path]);
        let ran = ox::kit::child::run(show, &ox::kit::cancel::Cancel::new()).unwrap();
        ran.status.success().then(|| String::from_utf8(ran.stdout).unwrap())
    }

    /// Every session is here or there, with every byte that was said in it.
    fn nothing_is_lost(&self) {
        for (name, raw) in &self.sessions {
            let here = fs::read_to_string(self.local(name).join("raw.jsonl")).unwrap_or_default();
            if here != *raw {
                let there = self.there(name, "raw.jsonl");
                assert_eq!(there.as_deref(), Some(raw.as_str()), "{name} is lost");
            }
        }
    }
}

#[test]
fn syn_14_a_daemon_that_is_killed_in_the_middle_of_it_loses_no_session_and_finishes_each_once() {
    let mut scene = Scene::new();
    let mut rng = Rng::new(named().unwrap_or(0x18));
    for n in 0..rounds(8, 200) {
        let name = scene.session(n);
        scene.env.ox_in(&scene.repo, ["session", "finalize", &name, "--no-wait"]).ok();
        pause(Duration::from_millis(rng.below(350)));
        let pid = scene.env.daemon_pid().unwrap();
        send(pid, Signal::KILL);
        until(|| !census::is_alive(pid));
        scene.nothing_is_lost();
    }
    scene.env.ox_in(&scene.repo, ["daemon", "start"]).ok();
    for (name, _) in &scene.sessions {
        scene.env.ox_in(&scene.repo, ["session", "finalize", name]).ok();
    }
    scene.nothing_is_lost();
    for (name, raw) in &scene.sessions {
        assert_eq!(scene.there(name, "raw.jsonl").as_ref(), Some(raw));
        let meta: Value = serde_json::from_str(&scene.there(name, "meta.json").unwrap()).unwrap();
        assert_eq!(meta["title"], "Parser split into lexer and tree", "{meta}");
        until_or(|| !scene.local(name).exists(), || format!("{name} is still here"));
    }
    let log = scene.env.git(&scene.bare, ["log", "--format=%s", "main"]);
    for (name, _) in &scene.sessions {
        let commits = log.lines().filter(|line| line.contains(name.as_str())).count();
        assert!((1..=2).contains(&commits), "{commits} commits of {name}");
    }
    let asked = scene.model.requests().iter().filter(|text| text.contains("chat/completions")).count();
    assert!(asked >= scene.sessions.len());
}
