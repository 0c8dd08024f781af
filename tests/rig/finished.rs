//! A recorded session is finished in the background by each of the programs, and by a server of chat completions: it is in the ledger once,
//! with its summary, and others have all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::AGENTS;
use super::agents::Program;
use super::answers::model;
use crate::support::http_git::GitServer;
use crate::support::http_script::Server;
use crate::support::lfs::{Lfs, Step};
use crate::support::{TestEnv, send, until_or};

/// What every model says.
const SUMMARY: &str = r#"{"title":"Parser split into lexer and tree","summary":"The parser was split into a lexer and a tree builder, so that an error can name its token; a first try in one pass had failed at nested quotes.","key_actions":["split the parser","tested nested quotes","removed the old pass"],"outcome":"success","topics_found":["parser"],"quality_score":0.8,"score_reason":"a decision and its cause"}"#;

/// A machine whose project has a ledger behind HTTP, with Git LFS.
struct Machine {
    env: TestEnv,
    repo: PathBuf,
    ledger: PathBuf,
}

impl Machine {
    fn new(url: &str) -> Machine {
        let mut env = TestEnv::new();
        env.allow_leftovers();
        env.set("NO_COLOR", "1");
        let repo = env.repo("p");
        env.ox_in(&repo, ["up", "--yes", "--ledger", url]).ok();
        let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
        Machine { env, repo, ledger }
    }

    #[track_caller]
    fn ox(&self, words: &[&str]) -> Value {
        self.env.ox_in(&self.repo, words.iter().copied().chain(["--json"])).ok().json()
    }

    /// Records a session in which something happened; its name, and the bytes of its transcript.
    fn record(&self) -> (String, Vec<u8>) {
        let agent = self.ox(&["agent", "prime"])["agent_id"].as_str().unwrap().to_owned();
        let of = |words: &[&str]| self.ox(&[&["agent", &agent, "session"], words].concat());
        of(&["start", "--title", "Split the parser"]);
        for n in 1..6 {
            of(&["log", "--role", "user", "--content", &format!("Split the parser, step {n}")]);
            of(&[
                "log",
                "--role",
                "assistant",
                "--content",
                &format!("It is a lexer and a tree now, step {n}"),
            ]);
        }
        let stopped = of(&["stop"]);
        let raw = fs::read(stopped["raw_path"].as_str().unwrap()).unwrap();
        (stopped["session_name"].as_str().unwrap().to_owned(), raw)
    }
}

/// Everything around one run.
struct Bench {
    machine: Machine,
    git: GitServer,
    lfs: Arc<Lfs>,
    _remote: TestEnv,
    bare: PathBuf,
    url: String,
}

impl Bench {
    fn new() -> Bench {
        let remote = TestEnv::new();
        let bare = remote.bare("ledger");
        let git = GitServer::start(&remote, bare.parent().unwrap());
        let lfs = git.with_lfs();
        let url = git.url(bare.file_name().unwrap().to_str().unwrap());
        let machine = Machine::new(&url);
        Bench { machine, git, lfs, _remote: remote, bare, url }
    }

    fn head(&self) -> String {
        self.machine.env.git(&self.bare, ["rev-parse", "main"])
    }

    /// From a recorded session to what others see, twice.
    fn finishes(self, agent: &str) {
        let Bench { machine, lfs, bare, .. } = &self;
        machine.env.ox(["config", "set", "agent_worker.agent", agent]).ok();
        // With what its environment says now.
        machine.env.ox(["daemon", "stop", "--all"]).ok();
        machine.env.ox_in(&machine.repo, ["up"]).ok();
        let (name, raw) = machine.record();
        let done = machine.ox(&["session", "finalize", &name]);
        // What was told that it has ended may have been finished before anybody asked for it.
        let status = done["sessions"][0]["status"].as_str().unwrap();
        assert!(["completed", "nothing to do"].contains(&status), "{done}");
        let there = |file: &str| machine.env.git(bare, ["show", &format!("main:sessions/{name}/{file}")]);
        let meta: Value = serde_json::from_str(&there("meta.json")).unwrap();
        assert_eq!(meta["title"], "Parser split into lexer and tree");
        let oid = meta["files"]["raw.jsonl"]["oid"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert_eq!(lfs.get(oid).unwrap(), raw, "what was recorded, byte for byte");
        assert!(
            there("raw.jsonl").contains(oid) && there("raw.jsonl").starts_with("version https://git-lfs")
        );
        let summary: Value = serde_json::from_str(&there("summary.json")).unwrap();
        assert_eq!(summary["outcome"], "success");
        let own = machine.ledger.join(".sageox/cache/sessions").join(&name);
        assert!(!own.exists(), "the remote has it");
        let status = machine.ox(&["agents", "status"]);
        let work = &status["work"];
        assert_eq!(
            (&status["effective"], &work["stats"]["successes"]),
            (&agent.into(), &json!(1)),
            "{status}"
        );
        assert_eq!(work["budget"]["runs"], 1);
        // Once more: nothing changes, nobody is asked.
        let (head, puts) = (self.head(), lfs.count(Step::Put));
        let again = machine.ox(&["session", "finalize", &name]);
        assert_eq!(again["sessions"][0]["status"], "nothing to do", "{again}");
        assert_eq!((self.head(), lfs.count(Step::Put)), (head.clone(), puts));
        assert_eq!(machine.ox(&["agents", "status"])["work"]["stats"]["total_invocations"], 1);
        // It was nobody's session.
        assert_eq!(machine.ox(&["events", "list"])["events"], json!([]));
        assert_eq!(machine.ox(&["session", "list"])["sessions"].as_array().unwrap().len(), 1);
        self.others_have(&name, &raw, oid);
        // Who recorded it fetches it as their own: it is no other's, and the ledger has it still.
        machine.ox(&["session", "download", &name]);
        assert_eq!(fs::read(own.join("raw.jsonl")).unwrap(), raw);
        assert!(!own.join(".downloaded").exists());
        assert_eq!(machine.ox(&["session", "regenerate", &name, "--dry-run"])["sessions"], json!([name]));
        assert_eq!(machine.ox(&["session", "list"])["sessions"][0]["status"], "shared");
        machine.ox(&["session", "finalize", &name]);
        assert_eq!(self.head(), head);
        self.ends();
    }

    /// What a teammate sees.
    fn others_have(&self, name: &str, raw: &[u8], oid: &str) {
        let mate = Machine::new(&self.url);
        let listed = mate.ox(&["session", "list", "--all"]);
        let row = &listed["sessions"][0];
        assert_eq!(
            (&row["session_name"], &row["title"]),
            (&name.into(), &"Parser split into lexer and tree".into())
        );
        let view = mate.ox(&["session", "view", name]);
        assert!(view["summary"]["summary"].as_str().unwrap().contains("nested quotes"), "{view}");
        assert_eq!(view["entries"], json!([]));
        let fetched = mate.ox(&["session", "download", name]);
        let dir = Path::new(fetched["path"].as_str().unwrap());
        assert_eq!(fs::read(dir.join("raw.jsonl")).unwrap(), raw);
        assert_eq!(mate.ox(&["session", "view", name])["entries"].as_array().unwrap().len(), 10);
        // Theirs is nobody's to finish here.
        mate.env.ox(["config", "set", "agent_worker.agent", "claude"]).ok();
        let again = mate.ox(&["agents", "status"]);
        assert_eq!(again["work"]["queue_depth"], 0, "{again}");
        self.with_their_program(&mate, raw, oid);
        mate.env.stop_daemon();
    }

    /// The program of Git LFS gets the same bytes.
    fn with_their_program(&self, mate: &Machine, raw: &[u8], oid: &str) {
        let Some(tools) = std::env::var_os("OX_TEST_LFS").map(PathBuf::from) else { return };
        let program = tools.join("program");
        if !program.join("git-lfs").exists() {
            return;
        }
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let fetch =
            mate.env.cmd("git").env("PATH", path).dir(&mate.ledger).args(["lfs", "fetch", "origin", "main"]);
        let ran = ox::kit::child::run(fetch, &ox::kit::cancel::Cancel::new()).unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let object = mate.ledger.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid);
        assert_eq!(fs::read(object).unwrap(), raw);
    }

    fn ends(&self) {
        let env = &self.machine.env;
        for name in ["daemon.pid", "daemon-updater.pid"] {
            let pid = fs::read_to_string(env.home().join(".codex/app-server-daemon").join(name));
            let pid = pid.ok().and_then(|pid| pid.trim().parse().ok());
            pid.into_iter().for_each(|pid| send(pid, rustix::process::Signal::TERM));
        }
        let daemon = env.daemon_pid();
        let others = || {
            let mut all = env.processes();
            all.retain(|process| Some(process.pid) != daemon);
            all
        };
        until_or(|| others().is_empty(), || format!("still there: {:?}", others()));
        env.stop_daemon();
        assert!(self.git.requests() > 0);
    }
}

fn finished_by(program: Program) {
    let Some(dir) = std::env::var_os(AGENTS).map(PathBuf::from) else {
        println!("skipped: {AGENTS} names no directory with agent programs");
        return;
    };
    let mut bench = Bench::new();
    let server = model(200, SUMMARY);
    let env = &mut bench.machine.env;
    program.set_up(env, &dir, &server.url(""));
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    env.set("PATH", path);
    let url = server.url("");
    for (name, value) in [
        ("ANTHROPIC_BASE_URL", url.as_str()),
        ("ANTHROPIC_API_KEY", "fake"),
        ("FAKE_KEY", "x"),
        ("GOOGLE_GEMINI_BASE_URL", url.as_str()),
        ("GEMINI_API_KEY", "fake"),
    ] {
        env.set(name, value);
    }
    bench.finishes(program.name());
}

#[test]
fn claude_finishes_a_session_once_and_others_have_all_of_it() {
    finished_by(Program::Claude);
}

#[test]
fn codex_finishes_a_session_once_and_others_have_all_of_it() {
    finished_by(Program::Codex);
}

#[test]
fn gemini_finishes_a_session_once_and_others_have_all_of_it() {
    finished_by(Program::Gemini);
}

#[test]
fn a_server_of_chat_completions_finishes_a_session_once_and_others_have_all_of_it() {
    let bench = Bench::new();
    let server: Server = model(200, SUMMARY);
    bench.machine.env.ox(["config", "set", "agent_worker.chat_url", &server.url("/v1")]).ok();
    bench.machine.env.ox(["config", "set", "agent_worker.chat_model", "small"]).ok();
    bench.finishes("chat");
}
