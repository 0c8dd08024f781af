//! A machine with a project whose ledger is behind HTTP or on the disk; the work itself is done by a process of its own, which has the
//! machine's home and can be killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ox::kit::cancel::Cancel;
use ox::kit::pointer::{Storage, Stored};
use ox::project::{Dirs, Env};
use ox::sync::share::{Parcel, fetch_content, share};
use ox::sync::{Site, Target};
use serde_json::{Value, json};

use crate::support::http_git::GitServer;
use crate::support::lfs::Lfs;
use crate::support::{TestEnv, spawn};

pub const NAME: &str = "2026-03-13T11-09-bo-OxBBBB";

/// What runs in the process of its own.
#[test]
fn role() {
    let Ok(args) = std::env::var("OX_TEST_ARGS") else { return };
    let args: Value = serde_json::from_str(&args).unwrap();
    let text = |key: &str| args[key].as_str().unwrap().to_owned();
    let env = Env::process();
    let site = Site::new(Dirs::from_env(&env).unwrap(), env);
    let read_only = args["read_only"] == true;
    let target = Target::Ledger { root: text("root").into(), url: None, read_only };
    let die_at = args["die_at"].as_str().unwrap_or_default().to_owned();
    let mut on_progress = |stage: &str, _: Option<u8>, _: &str| {
        if stage == die_at {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
    };
    let outcome = match args["op"].as_str().unwrap() {
        "share" => {
            let paths = args["content"].as_array().unwrap().iter();
            let content = paths.map(|path| path.as_str().unwrap().into()).collect();
            let plain = |stored: &[Stored]| {
                let mut files = vec![(
                    "meta.json".to_owned(),
                    json!({ "files": listed(stored) }).to_string().into_bytes(),
                )];
                for (name, text) in args["plain"].as_object().unwrap() {
                    files.push((name.clone(), text.as_str().unwrap().as_bytes().to_vec()));
                }
                Ok(files)
            };
            let name = text("name");
            let parcel =
                Parcel { name: &name, content, plain: &plain, message: format!("finalize session {name}") };
            share(&site, &target, &parcel, &mut on_progress, &Cancel::new()).map(
                |shared| json!({ "commit": shared.commit.to_string(), "stored": listed(&shared.stored) }),
            )
        }
        _ => {
            let wanted: Vec<Stored> =
                args["wanted"].as_object().unwrap().iter().map(|(n, s)| read(n, s)).collect();
            fetch_content(
                &site,
                &target,
                &text("name"),
                &wanted,
                Path::new(&text("into")),
                &mut on_progress,
                &Cancel::new(),
            )
            .map(|paths| json!({ "paths": paths }))
        }
    };
    let outcome = match outcome {
        Ok(done) => json!({ "ok": done }),
        Err(e) => json!({ "class": e.class.to_string(), "text": e.text, "secrets": e.blocked.is_some() }),
    };
    fs::write(text("out"), outcome.to_string()).unwrap();
}

fn listed(stored: &[Stored]) -> Value {
    let one =
        |s: &Stored| (s.name.clone(), json!({ "oid": s.oid, "size": s.size, "storage": s.storage.name() }));
    stored.iter().map(one).collect::<BTreeMap<_, _>>().into_iter().collect::<serde_json::Map<_, _>>().into()
}

fn read(name: &str, stored: &Value) -> Stored {
    Stored {
        name: name.to_owned(),
        oid: stored["oid"].as_str().unwrap().to_owned(),
        size: stored["size"].as_u64().unwrap(),
        storage: Storage::named(stored["storage"].as_str().unwrap()).unwrap(),
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended(pub Value);

impl Ended {
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.0["ok"].is_object(), "{self:?}");
        self.0["ok"].clone()
    }

    /// Class and text.
    #[track_caller]
    pub fn err(self) -> (String, String) {
        let text = |key: &str| self.0[key].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (text("class"), text("text"))
    }

    pub fn was_killed(&self) -> bool {
        self.0.is_null()
    }
}

pub struct Machine {
    pub env: TestEnv,
    pub repo: PathBuf,
    pub ledger: PathBuf,
}

impl Machine {
    fn new(url: &str) -> Machine {
        let env = TestEnv::new();
        let repo = env.repo("p");
        let up = env.ox_in(&repo, ["up", "--yes", "--ledger", url]);
        let ledger = fs::read_link(repo.join(".sageox/ledger"));
        let ledger = ledger.unwrap_or_else(|e| panic!("{e}: {up:?}"));
        // From here on nobody else works on the clone.
        env.ox(["daemon", "stop", "--all"]).ok();
        Machine { env, repo, ledger }
    }

    /// Files of a session, as recording leaves them.
    pub fn session(&self, files: &[(&str, &[u8])]) -> Vec<PathBuf> {
        let dir = self.ledger.join(".sageox/cache/sessions").join(NAME);
        fs::create_dir_all(&dir).unwrap();
        files
            .iter()
            .map(|(name, bytes)| {
                fs::write(dir.join(name), bytes).unwrap();
                dir.join(name)
            })
            .collect()
    }

    pub fn share(&self, content: &[PathBuf]) -> Ended {
        self.run(
            json!({ "op": "share", "content": content, "plain": { "summary.json": "{\"title\":\"T\"}" } }),
        )
    }

    /// Runs it in a process of its own; what is not said is as it is mostly.
    pub fn run(&self, args: Value) -> Ended {
        spawn::output(self.command(args)).unwrap();
        self.outcome()
    }

    /// Starts it, to be killed.
    pub fn start(&self, args: Value) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// What the last one left.
    pub fn outcome(&self) -> Ended {
        let out = fs::read(self.env.work().join("outcome.json"));
        Ended(out.ok().map(|text| serde_json::from_slice(&text).unwrap()).unwrap_or_default())
    }

    fn command(&self, mut args: Value) -> Command {
        let out = self.env.work().join("outcome.json");
        let _ = fs::remove_file(&out);
        for (key, value) in
            [("root", json!(self.repo)), ("name", json!(NAME)), ("out", json!(out)), ("plain", json!({}))]
        {
            if args[key].is_null() {
                args[key] = value;
            }
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "share::bench::role", "--nocapture", "--test-threads=1"]);
        child.env_clear().envs(self.env.vars()).env("OX_TEST_ARGS", args.to_string());
        let show = std::env::var_os("OX_TEST_SHOW").is_some();
        let to = || if show { Stdio::inherit() } else { Stdio::null() };
        child.stdin(Stdio::null()).stdout(to()).stderr(to());
        child
    }

    /// What git calls changed in the clone.
    pub fn status(&self) -> String {
        self.env.git(&self.ledger, ["status", "--porcelain", "-uall"])
    }

    pub fn head(&self) -> String {
        self.env.git(&self.ledger, ["rev-parse", "HEAD"])
    }
}

pub struct Bench {
    pub host: TestEnv,
    pub server: GitServer,
    pub lfs: Arc<Lfs>,
    pub bare: PathBuf,
    pub m: Machine,
}

impl Bench {
    /// A ledger behind HTTP, with a server of large files.
    pub fn new() -> Bench {
        let bench = Bench::start(true);
        bench.server.with_lfs_of(&bench.lfs);
        bench
    }

    /// The same without one.
    pub fn without_lfs() -> Bench {
        Bench::start(true)
    }

    /// A ledger on the disk.
    pub fn on_disk() -> Bench {
        Bench::start(false)
    }

    fn start(http: bool) -> Bench {
        let host = TestEnv::new();
        let bare = host.bare("ledger.git");
        host.git(&bare, ["config", "uploadpack.allowFilter", "true"]);
        let server = GitServer::start(&host, &host.work());
        let url = if http { server.url("ledger.git") } else { bare.to_str().unwrap().to_owned() };
        let m = Machine::new(&url);
        Bench { host, server, lfs: Arc::default(), bare, m }
    }

    /// One more machine with the same ledger.
    pub fn other(&self) -> Machine {
        Machine::new(&self.server.url("ledger.git"))
    }

    pub fn tip(&self) -> String {
        self.host.git(&self.bare, ["rev-parse", "main"])
    }

    /// A file of the session at the remote.
    pub fn shared(&self, file: &str) -> String {
        self.host.git(&self.bare, ["show", &format!("main:sessions/{NAME}/{file}")])
    }

    pub fn listing(&self) -> Vec<String> {
        let list = self.host.git(&self.bare, ["ls-tree", "-r", "--name-only", "main", "sessions"]);
        list.lines().map(str::to_owned).collect()
    }

    /// Everything that the remote's repository has, of whatever age.
    pub fn objects(&self) -> String {
        self.host.git(&self.bare, ["cat-file", "--batch", "--batch-all-objects"])
    }

    /// A program that looks at what is pushed.
    pub fn hook(&self, does: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.bare.join("hooks/pre-receive");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Somebody else commits a file of theirs and pushes it.
    pub fn somebody_pushes(&self, file: &str, text: &str) {
        let work = self.host.work().join("somebody");
        if !work.exists() {
            self.host.git(self.host.work(), ["clone", "-q", self.bare.to_str().unwrap(), "somebody"]);
        }
        self.host.git(&work, ["pull", "-q", "--rebase"]);
        let path = work.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self.host.git(&work, ["add", "-A"]);
        self.host.git(&work, ["commit", "-qm", "theirs"]);
        self.host.git(&work, ["push", "-q", "origin", "HEAD:main"]);
    }
}

/// A transcript of so many lines.
pub fn transcript(lines: usize) -> Vec<u8> {
    (0..lines)
        .map(|n| json!({ "type": "user", "content": format!("line {n}"), "seq": n }).to_string() + "\n")
        .collect::<String>()
        .into_bytes()
}
