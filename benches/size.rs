//! A ledger with a million objects beside one with a thousand: no step of a cycle with nothing new grows with history.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::support::{TestEnv, run};
use common::{Daemon, Times, note, project, ratio, rounds, time, title};
use ox::ipc::client::Client;

/// Objects that one commit of the generated history adds: itself, three trees, a file.
const PER_COMMIT: usize = 5;
/// So many folders, with so many files each.
const SPREAD: usize = 71;

fn main() {
    title("size");
    let env = TestEnv::new();
    let (small, large) = if common::quick() { (1_000, 100_000) } else { (1_000, 1_000_000) };
    let remotes = [history(&env, "small.git", small), history(&env, "large.git", large)];
    let projects = ["small", "large"].map(String::from).into_iter().zip(&remotes);
    let projects: Vec<_> =
        projects.map(|(name, url)| project(&env, &name, Some(url.to_str().unwrap()))).collect();
    let daemon = Daemon::start(&env);
    let clients: Vec<Client> = projects.iter().map(|p| daemon.attach(p)).collect();
    let (mut little, mut much) = (Times::default(), Times::default());
    for _ in 0..rounds(200) {
        little.push(time(|| clients[0].sync(|_| ()).unwrap()));
        much.push(time(|| clients[1].sync(|_| ()).unwrap()));
    }
    note("objects in the large ledger", large as f64, "");
    ratio("nothing new, large / small ledger", much.p50(), little.p50(), "ms", 1.3);
}

/// A bare repository with so many objects, in the layout of a ledger.
fn history(env: &TestEnv, name: &str, objects: usize) -> PathBuf {
    let bare = env.bare(name);
    let mut stream = String::new();
    for n in 0..objects / PER_COMMIT {
        // Small trees, as a ledger has them: large ones would take the bench hours.
        let (text, folder, file) = (format!("note {n}\n"), n % SPREAD, n / SPREAD % SPREAD);
        let time = 1_700_000_000 + n;
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter T <t@example.invalid> {time} +0000\ndata 1\nx\nM 100644 inline sessions/s{folder}/n{file}.md\ndata {}\n{text}\n",
            text.len()
        );
    }
    import(env, &bare, stream);
    env.git(&bare, ["repack", "-adq", "--window=1", "--depth=1"]);
    bare
}

fn import(env: &TestEnv, bare: &Path, stream: String) {
    let cmd = env
        .cmd("git")
        .args(["fast-import", "--quiet", "--depth=1"])
        .dir(bare)
        .stdin_bytes(stream.into_bytes());
    run(cmd.deadline(std::time::Duration::from_secs(600)), "git fast-import".into()).ok();
}
