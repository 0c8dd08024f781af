//! Machines with one project, and the server that has all they share.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::http_git::GitServer;
use crate::support::{Background, Ran, TestEnv, census, send, until_or};

/// What is shared: the ledger first, then the teams.
pub const REPOS: [&str; 3] = ["ledger", "team_a", "team_b"];

/// A team context with a directory whose conflicts are decided by rule.
const TEAM_A: [(&str, &str); 2] = [
    (
        ".sageox/sync.manifest",
        "version 1\ninclude .sageox/\ninclude TEAM.md\ninclude docs/\ninclude memory/\ninclude data/\nresolve auto data/\n",
    ),
    ("TEAM.md", "# a\n"),
];

/// Dropped in this order: the server's children end before the machines are looked over.
pub struct Fleet {
    pub server: GitServer,
    pub machines: Vec<Machine>,
    pub host: TestEnv,
}

pub struct Machine {
    pub env: TestEnv,
    pub project: PathBuf,
    /// In the order of [`REPOS`].
    pub clones: Vec<PathBuf>,
}

impl Fleet {
    /// `count` machines with clones of the same project, all level.
    pub fn new(count: usize) -> Fleet {
        let host = TestEnv::new();
        let remotes = host.work().join("remotes");
        fs::create_dir_all(&remotes).unwrap();
        for name in REPOS.iter().chain(&["code"]) {
            let bare = remotes.join(format!("{name}.git"));
            host.git(&remotes, ["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
            host.git(&bare, ["config", "uploadpack.allowFilter", "true"]);
            host.git(&bare, ["config", "uploadpack.allowAnySHA1InWant", "true"]);
        }
        fill(&host, &remotes.join("team_a.git"));
        let server = GitServer::start(&host, &remotes);
        let mut fleet = Fleet { server, machines: Vec::new(), host };
        for n in 0..count {
            let machine = fleet.machine(n);
            fleet.machines.push(machine);
        }
        fleet
    }

    fn machine(&self, n: usize) -> Machine {
        let env = TestEnv::new();
        let code = self.server.url("code.git");
        let project = if n == 0 {
            let project = env.repo("proj");
            let team = |name: &str| format!("{name}={}", self.server.url(&format!("{name}.git")));
            let ledger = self.server.url("ledger.git");
            env.ox_in(&project, ["init", "--yes", "--ledger", &ledger]).ok();
            for name in &REPOS[1..] {
                env.ox_in(&project, ["team", "add", "--yes", &team(name)]).ok();
            }
            env.git(&project, ["add", ".sageox"]);
            env.git(&project, ["commit", "-q", "-m", "ox"]);
            env.git(&project, ["push", "-q", &code, "HEAD:main"]);
            project
        } else {
            env.git(env.work(), ["clone", "-q", &code, "proj"]);
            env.work().join("proj")
        };
        env.ox_in(&project, ["up", "--yes"]).ok();
        env.ox_in(&project, ["sync", "--yes", "--all-teams"]).ok();
        let status = env.ox_in(&project, ["status", "--json"]).ok().json();
        let mut clones = vec![PathBuf::from(status["ledger"]["path"].as_str().unwrap())];
        let teams = env.ox_in(&project, ["team", "list", "--json"]).ok().json();
        for name in &REPOS[1..] {
            let teams = teams["teams"].as_array().unwrap();
            let team = teams.iter().find(|t| t["id"] == *name).unwrap_or_else(|| panic!("{teams:?}"));
            clones.push(PathBuf::from(team["path"].as_str().unwrap()));
        }
        assert!(clones.iter().all(|c| c.join(".git").is_dir()), "{clones:?}");
        Machine { env, project, clones }
    }

    /// The bare repository that everybody shares.
    pub fn bare(&self, repo: usize) -> PathBuf {
        self.host.work().join("remotes").join(format!("{}.git", REPOS[repo]))
    }
}

/// Gives a team's repository its first commit, by plain git.
fn fill(host: &TestEnv, bare: &Path) {
    let work = host.work().join("fill");
    host.git(host.work(), ["clone", "-q", bare.to_str().unwrap(), "fill"]);
    for (name, text) in TEAM_A {
        fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
        fs::write(work.join(name), text).unwrap();
    }
    host.git(&work, ["add", "-A"]);
    host.git(&work, ["commit", "-q", "-m", "first"]);
    host.git(&work, ["push", "-q", "origin", "HEAD:main"]);
}

impl Machine {
    pub fn git(&self, repo: usize, args: &[&str]) -> String {
        self.env.git(&self.clones[repo], args)
    }

    pub fn try_git(&self, repo: usize, args: &[&str]) -> Ran {
        self.env.try_git(&self.clones[repo], args)
    }

    pub fn ox(&self, args: &[&str]) -> Ran {
        self.env.ox_in(&self.project, args)
    }

    pub fn start_sync(&self, teams: bool) -> Background {
        let args: &[&str] = if teams { &["sync", "--all-teams"] } else { &["sync"] };
        self.env.start_ox(&self.project, args)
    }

    /// Kills the daemon, if one lives, and waits until its children are gone as well.
    pub fn kill_daemon(&self) -> bool {
        let Some(pid) = self.env.daemon_pid() else { return false };
        if !self.env.processes().iter().any(|p| p.pid == pid) {
            return false;
        }
        send(pid, Signal::KILL);
        until_or(|| !census::is_alive(pid), || format!("{pid} outlives its kill"));
        true
    }

    /// Waits until no git works here any more.
    pub fn settle_down(&self) {
        let is_git = |p: &census::Process| p.command.contains("git");
        until_or(|| !self.env.processes().iter().any(is_git), || format!("{:?}", self.env.processes()));
    }

    /// What the daemon said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.env.cache().join("sageox/logs/daemon.log")).unwrap_or_default()
    }
}
