//! A transcript taken into the archive, beside a plain zstd of the same bytes in the same run. In MB/s (10^6 bytes).
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
use std::fs;
use std::path::{Path, PathBuf};

use common::{Times, at_least, note, rounds, time, title};
use jiff::Timestamp;
use ox::project::{Dirs, Env};
use ox::redact::Redactor;
use ox::sessions::archive::limits::RUN_MAX;
use ox::sessions::archive::{Agents, Archive, Done, Run, Which};

/// What the house promises for a transcript, in MB/s.
const BUDGET: f64 = 50.0;
/// Bytes of the transcript.
const SIZE: usize = 64 << 20;
/// The directory in which its session worked.
const PROJECT: &str = "/home/user/project";

fn main() {
    title("archive, MB/s");
    let text = transcript();
    let (mut floor, mut ours) = (Times::default(), Times::default());
    let redactor = Redactor::new();
    for _ in 0..rounds(5) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".claude/projects/-home-user-project");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("s.jsonl"), &text).unwrap();
        let packed = home.path().join("packed.zst");
        floor.push(time(|| {
            let file = fs::File::open(dir.join("s.jsonl")).unwrap();
            zstd::stream::copy_encode(file, fs::File::create(&packed).unwrap(), 3).unwrap();
        }));
        let dirs = Dirs::from_env(&Env::of([("HOME", home.path().as_os_str())], "/")).unwrap();
        let archive = Archive::of(&dirs, "local", "repo_1");
        ours.push(time(|| assert_eq!(run(&archive, home.path(), &redactor).added, text.len() as u64)));
        let again = run(&archive, home.path(), &redactor);
        assert_eq!((again.opened, again.read), (0, 0), "what is unchanged costs no read");
    }
    let speed = |times: &Times| text.len() as f64 / 1e6 / (times.p50() / 1e3);
    note("zstd alone", speed(&floor), "MB/s");
    note("archived", speed(&ours), "MB/s");
    note("share of zstd alone", 100.0 * speed(&ours) / speed(&floor), "%");
    at_least("archived / promised", speed(&ours), BUDGET, 1.0);
}

fn run(archive: &Archive, home: &Path, redactor: &Redactor) -> Done {
    let trees = [PathBuf::from(PROJECT)];
    let agents = Agents { home, get: &|_| None, trees: &trees };
    let (now, bytes) = (Timestamp::now(), RUN_MAX);
    let (stop, progress) = (&|| false, &mut |_: &Done| ());
    archive.run(Run { agents, which: Which::All, bytes, redactor, now, stop, progress }).unwrap()
}

/// A session of Claude Code: what a tool gave back, some lines long.
fn transcript() -> String {
    let mut text = String::with_capacity(SIZE + 4096);
    let mut n = 0_usize;
    while text.len() < SIZE {
        n += 1;
        let _ = write!(
            text,
            "{{\"type\":\"user\",\"uuid\":\"u{n}\",\"sessionId\":\"s\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"cwd\":\"{PROJECT}\",\
             \"version\":\"2.1.332\",\"message\":{{\"role\":\"user\",\"content\":\""
        );
        for line in 0..1 + n % 23 {
            let hash = (n * 7_919 + line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let _ = write!(
                text,
                "+        self.deadlines.push(Deadline {{ at: now + {hash:x}, what: Job::Sync }});\\n"
            );
        }
        text.push_str("\"}}\n");
    }
    text
}
