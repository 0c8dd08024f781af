//! Agents run for an answer: what they are given, what becomes of them, and what is left of them. The programs here are scripts; the real ones
//! are in `rig`.

mod chat;
mod left;
mod run;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ox::agents::runner::{Ask, Failed, Ran, Runner, Which};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::supervise::Supervisor;
use ox::project::{Dirs, Env};

use crate::support::{OX, TestEnv};

/// What Claude Code says of the flags that are wanted of it.
const FLAGS: &str = "if [ \"$1\" = --help ]; then echo '--tools --output-format --verbose --no-session-persistence'; exit; fi";

/// A machine with agents of ours.
struct Bench {
    env: TestEnv,
}

impl Bench {
    fn new() -> Bench {
        let mut env = TestEnv::new();
        let bin = env.root().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        env.set("PATH", path);
        Bench { env }
    }

    /// Has `word` run this script, once it has told of its flags.
    fn program(&self, word: &str, script: &str) -> PathBuf {
        let path = self.env.root().join("bin").join(word);
        fs::write(&path, format!("#!/bin/sh\n{FLAGS}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn seen(&self) -> Env {
        Env::of(self.env.vars().map(|(name, value)| (name.to_owned(), value.to_owned())), self.env.work())
    }

    fn places(&self) -> PathBuf {
        Dirs::from_env(&self.seen()).unwrap().agent_work()
    }

    fn ask(&self, which: Which, prompt: &str, deadline: Duration, cancel: &Cancel) -> Result<Ran, Failed> {
        let (env, private) = (self.seen(), self.places());
        let ask =
            Ask { prompt, model: "", deadline, cancel, env: &env, private: &private, clock: &SystemClock };
        runner(which).run(&ask)
    }

    /// Nothing of a run is left: no process, no directory.
    #[track_caller]
    fn is_clean(&self) {
        assert!(self.env.processes().is_empty(), "{:#?}", self.env.processes());
        let left = fs::read_dir(self.places()).into_iter().flatten().flatten().map(|entry| entry.path());
        let left: Vec<PathBuf> = left.filter(|path| path.is_dir()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn runner(which: Which) -> Runner {
    Runner::new(which, Supervisor::at(OX), Client::new(Arc::new(SystemClock)))
}

/// A prompt that is longer than an argument may be, and nobody's words.
fn long_prompt() -> String {
    "What was done in this session, which nobody else may read? ".repeat(4000)
}
