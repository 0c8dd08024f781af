//! A machine with a project, a daemon and agents.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use ox::ipc::client::Client;
use ox::ipc::wire::{Message, Murmur as Payload, Whispers, WhispersAsk};
use ox::kit::clock::{Clock as _, SystemClock};
use ox::kit::gotime::GoTime;
use ox::project::{Dirs, Env, Project};
use ox::whispers::{Murmur, Outbox};

use crate::support::{HANG, Ran, TestEnv, until, until_or};

/// The shortest interval that the configuration allows.
pub const INTERVAL: Duration = Duration::from_secs(10);

pub struct Machine {
    pub env: TestEnv,
    pub repo: PathBuf,
    remote: PathBuf,
    project: Project,
    dirs: Dirs,
}

impl Machine {
    /// One with a project of its own.
    pub fn first() -> Machine {
        let env = TestEnv::new();
        let remote = env.bare("ledger.git");
        let repo = env.repo("proj");
        Machine::up(env, repo, remote)
    }

    /// Another one with the same project.
    pub fn beside(other: &Machine) -> Machine {
        let env = TestEnv::new();
        let repo = env.repo("proj");
        fs::create_dir(repo.join(".sageox")).unwrap();
        fs::copy(other.repo.join(".sageox/config.json"), repo.join(".sageox/config.json")).unwrap();
        Machine::up(env, repo, other.remote.clone())
    }

    fn up(env: TestEnv, repo: PathBuf, remote: PathBuf) -> Machine {
        let interval = format!("{}s", INTERVAL.as_secs());
        env.ox_in(&repo, ["config", "set", "daemon.sync_interval_read", &interval]).ok();
        match repo.join(".sageox").exists() {
            true => env.ox_in(&repo, ["up"]).ok(),
            false => env.ox_in(&repo, ["up", "--ledger", remote.to_str().unwrap()]).ok(),
        };
        let lib = Env::of(env.vars(), &repo);
        let (project, dirs) = (Project::discover(&lib).unwrap(), Dirs::from_env(&lib).unwrap());
        Machine { env, repo, remote, project, dirs }
    }

    pub fn ox<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.env.ox_in(&self.repo, args)
    }

    pub fn socket(&self) -> PathBuf {
        self.dirs.project_socket(&self.project.workspace_id)
    }

    pub fn client(&self) -> Client {
        Client::new(self.socket()).named(&self.project.workspace_id, &self.project.legacy_workspace_id)
    }

    pub fn ledger(&self) -> PathBuf {
        self.dirs.ledger(&self.project.slug, &self.project.repo_id)
    }

    pub fn state(&self) -> PathBuf {
        self.dirs.state_of(&self.project.slug, &format!("ledger-{}", self.project.repo_id))
    }

    pub fn remote(&self) -> &Path {
        &self.remote
    }

    /// The file of the project's stored errors.
    pub fn errors(&self) -> PathBuf {
        self.dirs.project_errors(&self.project.workspace_id)
    }

    /// Subjects of the remote's commits.
    pub fn remote_log(&self) -> String {
        self.env.git(&self.remote, ["log", "--format=%s", "main"])
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.env.cache().join("sageox/logs/daemon.log")).unwrap_or_default()
    }

    /// Whether the daemon watches a directory of the project: the kernel tells what its descriptors watch.
    pub fn watches_tree(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let Some(pid) = self.env.daemon_pid() else { return false };
        let wanted = format!("ino:{:x} ", fs::metadata(&self.repo).unwrap().ino());
        let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
        infos.filter_map(|info| fs::read_to_string(info.path()).ok()).any(|text| text.contains(&wanted))
    }

    /// What waits for an agent, taken.
    pub fn asks(&self, ask: &WhispersAsk) -> Option<Whispers> {
        self.client().call_as(Message::Whispers, Some(ask), HANG).ok()
    }

    /// Makes an agent known here, as its hooks do.
    pub fn introduce(&self, agent: &str) {
        self.ox(["agent", agent, "heartbeat"]).ok();
        let known = || self.ox(["agent", "list", "--json"]).ok().stdout.contains(agent);
        until(known);
    }

    /// What waits for an agent, taken: the texts.
    pub fn gets(&self, agent: &str) -> Vec<String> {
        let ask = WhispersAsk { agent_id: agent.into(), ..WhispersAsk::default() };
        self.asks(&ask).unwrap_or_default().entries.into_iter().map(|e| e.content).collect()
    }

    pub fn murmur(&self, agent: &str, importance: &str, content: &str) -> Murmur {
        Murmur {
            schema_version: "1".into(),
            id: uuid::Uuid::now_v7().to_string(),
            timestamp: GoTime(Some(SystemClock.now().wall)),
            agent_id: agent.into(),
            topic: "wip".into(),
            importance: importance.into(),
            content: content.into(),
            ..Murmur::default()
        }
    }

    pub fn payload(&self, murmur: &Murmur) -> Payload {
        Payload {
            target_dir: self.ledger().to_string_lossy().into_owned(),
            content: murmur.content.clone(),
            rel_path: murmur.path(),
            murmur_json: base64::engine::general_purpose::STANDARD.encode(murmur.to_json()),
        }
    }

    /// Tells the daemon of a murmur, as any client may.
    pub fn tells(&self, murmur: &Murmur) {
        self.client().one_way(Message::Murmur, Some(&self.payload(murmur))).unwrap();
    }

    /// Has a murmur published as our command does, but as often as one likes.
    pub fn says(&self, murmur: &Murmur) {
        Outbox::of(&self.state()).put(murmur).unwrap();
        let _ = self.client().one_way(Message::Murmur, Some(&self.payload(murmur)));
    }

    /// Kills the daemon and starts another.
    pub fn crashes(&self) {
        self.env.signal_daemon(rustix::process::Signal::KILL);
        self.starts();
    }

    /// Stops the daemon in order and starts another.
    pub fn restarts(&self) {
        self.ox(["daemon", "restart"]).ok();
        self.starts();
    }

    /// Starts a daemon that serves the project.
    pub fn starts(&self) {
        until_or(|| self.ox(["daemon", "start"]).code == Some(0), || self.log());
        until_or(|| self.client().is_reachable(), || self.log());
    }
}
