//! A machine with one served project, and what its daemon leaves on it.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ox::daemon::{Entry, Registry, reach};
use ox::project::{Dirs, Env, Project};
use serde_json::Value;

use crate::support::{Ran, TestEnv, census, until};

/// A machine of its own, and a repository on it.
pub struct Machine {
    pub env: TestEnv,
    pub repo: PathBuf,
}

impl Deref for Machine {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut TestEnv {
        &mut self.env
    }
}

impl Machine {
    /// With an initialised project and no daemon.
    pub fn new() -> Machine {
        let env = TestEnv::new();
        let repo = env.repo("p");
        env.ox_in(&repo, ["init"]).ok();
        Machine { env, repo }
    }

    /// With a daemon that serves the project, whose ledger is synced.
    pub fn up() -> Machine {
        let machine = Machine::new();
        machine.here(["up"]).ok();
        machine
    }

    /// Runs `ox` in the project.
    pub fn here<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        self.env.ox_in(&self.repo, args)
    }

    /// A further project, initialised and synced.
    pub fn another(&self, name: &str) -> PathBuf {
        let repo = self.env.repo(name);
        self.env.ox_in(&repo, ["up"]).ok();
        repo
    }

    pub fn dirs(&self) -> Dirs {
        Dirs::from_env(&self.ox_env()).unwrap()
    }

    fn ox_env(&self) -> Env {
        Env::of(self.env.vars(), self.env.work())
    }

    pub fn id_of(&self, repo: &Path) -> String {
        Project::load(repo, &self.ox_env()).unwrap().workspace_id
    }

    /// The project's id.
    pub fn id(&self) -> String {
        self.id_of(&self.repo)
    }

    /// The project's socket.
    pub fn socket(&self) -> PathBuf {
        self.dirs().project_socket(&self.id())
    }

    pub fn pid_file(&self) -> PathBuf {
        self.dirs().project_pid(&self.id())
    }

    pub fn registry(&self) -> Registry {
        Registry::at(self.dirs().registry())
    }

    /// Which process the registry names for a project.
    pub fn registered(&self, id: &str) -> Option<u32> {
        self.registry().entries().unwrap().get(id).map(|e| e.pid)
    }

    /// The entry of the project as a daemon with this pid would write it.
    pub fn entry(&self, pid: u32) -> Entry {
        Entry {
            workspace_id: self.id(),
            workspace_path: self.repo.display().to_string(),
            socket_path: self.socket().display().to_string(),
            pid,
            version: "0.6.1".into(),
            ..Entry::default()
        }
    }

    /// How many projects the daemon serves; 0 if it does not answer.
    pub fn served(&self) -> usize {
        reach::projects(&self.dirs()).map_or(0, |p| p.len())
    }

    /// The daemon; there must be one.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.env.daemon_pid().expect("no daemon is alive")
    }

    /// Kills the daemon without mercy and waits until it is gone. What it was just writing stays: its test has to allow leftovers.
    #[track_caller]
    pub fn kill(&self) {
        let pid = self.env.signal_daemon(rustix::process::Signal::KILL);
        until(|| !census::is_alive(pid));
    }

    /// How many processes are daemons.
    pub fn daemons(&self) -> usize {
        self.env.processes().iter().filter(|p| p.command.contains("--foreground")).count()
    }

    /// What the log says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dirs().log()).unwrap_or_default()
    }

    /// What the next start is to pick up.
    pub fn attached(&self) -> Value {
        serde_json::from_slice(&fs::read(self.dirs().attached()).unwrap()).unwrap()
    }
}

/// Device and inode.
pub fn identity(path: &Path) -> (u64, u64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.dev(), meta.ino())
}
