//! From nothing to a usable clone of a repository with much history, beside a plain `git clone` of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::support::http_git::GitServer;
use common::support::{TestEnv, run};
use common::{Times, note, ratio, rounds, time, title};
use ox::git::{CloneLock, Env, Git, PartialClone, Profile, Sparse, clone_partial, disk_size};
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::rng::Rng;

/// Commits of the generated repository.
const COMMITS: usize = 50_000;
/// Its files, a tenth of them wanted.
const FILES: usize = 2_000;
/// Directories at its top; the wanted ones come first.
const TOPS: [&str; 10] = [
    "docs",
    "memory",
    "sessions",
    "audit",
    "discussions",
    "data/github",
    "data/murmurs",
    "data/raw",
    "exports",
    "archive",
];

fn main() {
    title("clone");
    let env = TestEnv::new();
    let bare = generate(&env, rounds(COMMITS));
    note("the repository", disk_size_of(&bare), "MiB");
    let server = GitServer::start(&env, &env.work().join("srv"));
    let url = server.url("team.git");
    let vars = env.vars().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let git = Git::new(Profile::SelfHosted, Env::of(vars), Arc::new(SystemClock), "bench");

    let (mut ours, mut floor, mut deepen) = (Times::default(), Times::default(), Times::default());
    let (ox, plain) = (env.work().join("ox"), env.work().join("plain"));
    for round in 0..rounds(7).max(3) {
        floor.push(time(|| env.git(env.work(), ["clone", "-q", &url, "plain"])));
        ours.push(time(|| slim(&git, &url, &ox)));
        let wanted = fs::read_dir(ox.join("docs")).unwrap().count();
        assert_eq!(wanted, fs::read_dir(plain.join("docs")).unwrap().count());
        assert!(wanted > 0 && !ox.join("sessions").exists());
        assert_eq!(env.git(&ox, ["rev-parse", "HEAD"]), env.git(&plain, ["rev-parse", "HEAD"]));
        let mut lock = CloneLock::acquire(&env.work().join("lock"), Duration::ZERO).unwrap().unwrap();
        let mut clone = lock.open(&git, &ox, &Cancel::new()).unwrap();
        deepen.push(time(|| assert!(clone.deepen().unwrap())));
        for (name, path) in [(".git of ours, with history", &ox), (".git of git clone", &plain)] {
            if round == 0 {
                note(name, disk_size(path) as f64 / f64::from(1 << 20), "MiB");
            }
            fs::remove_dir_all(path).unwrap();
        }
    }
    ratio("usable clone, HTTP / git clone", ours.p50(), floor.p50(), "ms", 0.3);
    note("history after that", deepen.p50(), "ms");
}

/// A clone as a team context's is made: its manifest first, then what that names.
fn slim(git: &Git, url: &str, target: &Path) {
    let patterns = |lines: &[&str]| Sparse::Patterns(lines.iter().map(|l| (*l).to_owned()).collect());
    let then = |work: &Path| {
        assert!(work.join(".sageox/sync.manifest").exists());
        patterns(&["/*", "!/*/", "/docs/", "/memory/", "/.sageox/"])
    };
    let plan = PartialClone { filter: true, first: patterns(&[".sageox/"]), then: Box::new(then) };
    let made = clone_partial(git, url, target, plan, &mut |_| (), &Cancel::new()).unwrap();
    assert!(made.filtered);
}

fn disk_size_of(bare: &Path) -> f64 {
    let packs = fs::read_dir(bare.join("objects/pack")).unwrap().flatten();
    packs.map(|p| p.metadata().unwrap().len() as f64).sum::<f64>() / f64::from(1 << 20)
}

/// A bare repository on a server: files that grow line by line, one or two of them a commit, packed as a server packs.
fn generate(env: &TestEnv, commits: usize) -> PathBuf {
    let bare = env.bare("srv/team.git");
    env.git(&bare, ["config", "uploadpack.allowFilter", "true"]);
    let import =
        env.cmd("git").args(["fast-import", "--quiet"]).dir(&bare).deadline(Duration::from_secs(600));
    run(import.stdin_bytes(history(commits)), "git fast-import".into()).ok();
    let repack = env.cmd("git").args(["repack", "-adbq"]).dir(&bare).deadline(Duration::from_secs(600));
    run(repack, "git repack".into()).ok();
    bare
}

/// The input of `git fast-import`.
fn history(commits: usize) -> Vec<u8> {
    let rng = &mut Rng::new(7);
    let mut files: Vec<String> = (0..FILES).map(|f| format!("# File {f}\n")).collect();
    let mut out = String::new();
    for n in 0..commits {
        let message = format!("Change {n}");
        let when = 1_700_000_000 + n * 300;
        let who = format!("committer Writer {} <writer@example.invalid> {when} +0000", n % 9);
        writeln!(out, "commit refs/heads/main\n{who}\ndata {}\n{message}", message.len()).unwrap();
        if n == 0 {
            modify(&mut out, ".sageox/sync.manifest", "version 1\ninclude docs/\ninclude memory/\n");
            modify(&mut out, "AGENTS.md", "# Agents\n");
        }
        for file in [n % FILES, rng.below(FILES as u64) as usize] {
            let text = &mut files[file];
            // A file is a few kilobytes; an old beginning goes when it grows beyond that.
            if text.len() > 4096 {
                text.replace_range(..text.find("\n- ").unwrap() + 1 + 1024, "");
            }
            let line: Vec<String> = (0..6).map(|_| format!("{:x}", rng.below(0x0fff_ffff))).collect();
            writeln!(text, "- note {n}: {}", line.join(" ")).unwrap();
            let path = format!("{}/{:02}/file-{file}.md", TOPS[file % 20 / 2], file % 16);
            modify(&mut out, &path, text);
        }
    }
    out.into_bytes()
}

fn modify(out: &mut String, path: &str, text: &str) {
    writeln!(out, "M 100644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
}
