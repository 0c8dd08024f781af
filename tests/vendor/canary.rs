//! Where tokens are, and are not: in two files of the user's, and in nothing else that anybody can look at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ox::kit::clock::pause;
use rustix::process::Signal;

use crate::support::api::{Answer, REPOS, detail_path};
use crate::support::http_git::{Fault, base64};
use crate::support::{TestEnv, census, until};
use crate::vendor::world::{REPO, World, ask, put};

/// The forms in which a token may stand somewhere.
fn forms(w: &World) -> Vec<String> {
    let login = format!("oauth2:{}", w.pat);
    let mut all = forms_of(&w.pat);
    all.extend(forms_of(&w.bearer));
    all.push(base64(login.as_bytes()));
    all
}

/// Those of one token: as it is, in a URL, and in base64, where whatever stands before it, its middle is one of three.
pub fn forms_of(token: &str) -> Vec<String> {
    let shifted = (0..3).map(|n| {
        let text = base64(format!("{}{token}", "x".repeat(n)).as_bytes());
        text[4..text.len() - 4].to_owned()
    });
    [token.to_owned(), token.replace('-', "%2D")].into_iter().chain(shifted).collect()
}

/// What of `forms` stands in `bytes`.
pub fn found<'f>(bytes: &[u8], forms: &'f [String]) -> Option<&'f String> {
    // One search for a letter, then comparisons: files may be large.
    forms.iter().find(|form| {
        let form = form.as_bytes();
        bytes.windows(form.len()).any(|w| w[0] == form[0] && w == form)
    })
}

/// The regular files below `dir` that hold any of these, with which; the ones that are for tokens are left out.
pub fn files_with(dir: &Path, forms: &[String]) -> Vec<String> {
    let mut hits = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = entry.file_name().to_string_lossy().into_owned();
            let allowed = matches!(name.as_str(), "auth.json" | "relay-auth.json")
                || (name.starts_with("git-credentials") && name.ends_with(".json"));
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).unwrap_or_default();
                hits.extend(
                    found(to.as_os_str().as_encoded_bytes(), forms)
                        .map(|f| format!("{}: {f}", path.display())),
                );
            } else if kind.is_file() && !allowed {
                let bytes = fs::read(&path).unwrap_or_default();
                hits.extend(found(&bytes, forms).map(|f| format!("{}: {f}", path.display())));
            }
            hits.extend(found(name.as_bytes(), forms).map(|f| format!("a name: {f}")));
        }
    }
    hits
}

/// What command lines and environments of the machine's processes hold, now.
fn look_at_processes(env: &Path, forms: &[String], seen: &mut BTreeSet<u32>) -> Vec<String> {
    let mut hits = Vec::new();
    for process in census::processes_of(env) {
        seen.insert(process.pid);
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            hits.extend(found(&bytes, forms).map(|_| format!("{file} of {}", process.command)));
        }
    }
    hits
}

/// The same, over and over, until told to stop; and how many processes there were.
fn watch_processes(env: &Path, forms: &[String], stop: &AtomicBool) -> (BTreeSet<String>, usize) {
    let (mut hits, mut seen) = (BTreeSet::new(), BTreeSet::new());
    while !stop.load(Ordering::Relaxed) {
        hits.extend(look_at_processes(env, forms, &mut seen));
        // A git process lives for longer; without a rest this would take one of two cores from what it looks at.
        pause(Duration::from_millis(1));
    }
    (hits, seen.len())
}

/// Everything that was said: by commands, and by the daemon over its socket.
struct Said<'w> {
    w: &'w World,
    all: String,
}

impl Said<'_> {
    fn ox(&mut self, args: &[&str]) {
        self.all += &format!("{:?}\n", self.w.env.ox_in(&self.w.repo, args));
    }

    fn ipc(&mut self, kinds: &[&str]) {
        for kind in kinds {
            let answers = ask(&self.w.socket(), &format!("{{\"type\":\"{kind}\",\"payload\":{{}}}}"));
            assert!(!answers.is_empty(), "{kind}");
            self.all += &format!("{kind}: {answers:?}\n");
        }
    }

    /// What a failure shows.
    fn failure(&mut self) {
        self.ox(&["sync"]);
        self.ipc(&["team_sync", "status"]);
    }

    fn everything(&mut self) {
        for args in [
            &["sync"][..],
            &["sync", "--all-teams"],
            &["sync", "--all-teams", "--json"],
            &["status"],
            &["status", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["daemon", "status", "--json"],
            &["daemon", "logs", "-n", "1000"],
            &["workspaces", "--json"],
            &["team", "list", "--json"],
            &["rescue", "list", "--json"],
            &["net"],
            &["net", "--json"],
            &["net", "list", "--limit", "100000", "--json"],
        ] {
            self.ox(args);
        }
        self.ipc(&[
            "status",
            "sync",
            "team_sync",
            "doctor",
            "get_errors",
            "sync_history",
            "trigger_gc",
            "ping",
            "version",
        ]);
    }
}

#[test]
fn syn_09_sec_06_no_token_is_anywhere_but_in_its_file() {
    let w = World::new();
    let (forms, stop) = (forms(&w), AtomicBool::new(false));
    let env: PathBuf = w.env.root().to_path_buf();
    let (all, watched) = std::thread::scope(|s| {
        let watcher = s.spawn(|| watch_processes(&env, &forms, &stop));
        // Stopped also when something in between fails.
        let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a_life(&w)));
        stop.store(true, Ordering::Relaxed);
        (all, watcher.join().unwrap())
    });
    let all = all.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (hits, processes) = watched;
    assert!(processes > 10, "{processes}");
    assert_eq!(hits, BTreeSet::new());
    assert!(w.git_calls().matches("CALL ").count() > 20);
    assert_eq!(found(all.as_bytes(), &forms), None);
    assert_eq!(files_with(w.env.root(), &forms), Vec::<String>::new());
}

/// Login, discovery, clones, syncs, every failure, a crash, a restart, a logout.
fn a_life(w: &World) -> String {
    let mut said = Said { w, all: String::new() };
    w.all_well();
    w.start();
    w.until_all_level();
    w.commit(&w.ledger(), "sessions/mine.md", "mine");
    said.everything();
    assert!(w.listed("ledger.git").contains("sessions/mine.md"));
    // Git's host fails.
    for fault in [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Reset,
        Fault::Drop,
        Fault::Cut,
    ] {
        w.elsewhere("ledger.git", &|work| put(work, "sessions/more.md", &format!("{fault:?}")));
        w.git.fault(Some(fault));
        said.failure();
    }
    w.git.fault_times(Fault::StallHalfway, 1);
    let before = w.git.requests();
    let mut stalled = w.env.start_ox(&w.repo, ["sync"]);
    w.until("the stall", || w.git.requests() > before);
    w.git.fault(None);
    stalled.ended();
    // The server fails, and a password is refused.
    w.git.require_login("oauth2", "else");
    for answer in [
        Answer::status(401),
        Answer::status(403),
        Answer::status(404),
        Answer::status(500),
        Answer::status(426),
        Answer::bytes("{\"token\": \"bad json"),
        Answer::bytes("<html>"),
        w.repos(&w.pat, &["own"]).cut(),
        w.repos(&w.pat, &["own"]).stalled(),
    ] {
        w.forget();
        w.api.answer(REPOS, answer.clone());
        w.api.answer(&detail_path(REPO), answer);
        let before = w.api.requests().len();
        w.start();
        w.until("the server was asked", || w.api.requests().len() > before);
        said.failure();
    }
    w.api.release();
    said.everything();
    // A crash in the middle of work, and all is well again.
    w.git.require_login("oauth2", &w.pat);
    w.all_well();
    fs::remove_dir_all(w.team("told")).unwrap();
    w.git.fault_after(Fault::Stall, 2);
    let mut syncing = w.env.start_ox(&w.repo, ["sync", "--all-teams"]);
    w.until("it is at work", || !w.env.processes().is_empty());
    let pid = w.env.signal_daemon(Signal::KILL);
    w.until("it is gone", || w.env.daemon_pid() != Some(pid));
    syncing.ended();
    w.git.fault(None);
    w.forget();
    w.start();
    // What failed before waits, but not for a person who asks.
    w.until("all is well", || {
        let asked = |args: &[&str]| w.env.ox_in(&w.repo, args).code == Some(0);
        // The one that only the server names is not among all teams of the project.
        asked(&["sync", "--all-teams"]) && asked(&["sync", "--team", "team_seen"]) && w.team("told").exists()
    });
    w.until_all_level();
    // A logout.
    fs::remove_file(w.dirs.auth_file()).unwrap();
    fs::remove_file(w.dirs.git_credentials(&w.endpoint.slug())).unwrap();
    said.everything();
    said.ox(&["daemon", "stop", "--all"]);
    said.all
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let mut env = TestEnv::new();
    let forms = ["CANARY".to_string()];
    put(&env.work(), "deep/a.txt", "xxCANARYxx");
    put(&env.work(), "deep/auth.json", "CANARY");
    assert_eq!(files_with(env.root(), &forms).len(), 1);
    let hits = || look_at_processes(env.root(), &forms, &mut BTreeSet::new()).len();
    assert_eq!(hits(), 0);
    let shown = env.start("tail", env.work(), ["-f", "/dev/null", "CANARY"]);
    until(|| hits() == 1);
    drop(shown);
    env.set("HIDDEN", "CANARY");
    let _hidden = env.start("tail", env.work(), ["-f", "/dev/null"]);
    until(|| look_at_processes(env.root(), &forms, &mut BTreeSet::new()).len() == 1);
}
