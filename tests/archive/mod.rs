//! The archive: what the agent programs delete is kept, once, without secrets, and comes back byte for byte.
//!
//! The programs' own clean-up is played by removing their files. Tried on 2026-11-30 with Claude Code 2.1.332 in a private home: a transcript,
//! its sub-agents' and its tool results were given a time 31 days back, and `claude -p` was run twice, once with a command of a tool;
//! nothing was deleted. What it says of `cleanupPeriodDays` in its settings (default 30, at least 1) is that it is; its terminal UI was not
//! tried.

mod growth;
mod kept;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use ox::project::{Dirs, Env};
use ox::redact::Redactor;
use ox::sessions::archive::limits::RUN_MAX;
use ox::sessions::archive::{Agents, Archive, Done, Error, How, Run, Status, Which};

/// The directory in which the fixtures' sessions worked.
const PROJECT: &str = "/home/user/project";
/// Where Claude Code keeps its transcripts.
const CLAUDE: &str = ".claude/projects/-home-user-project";
const CODEX: &str = ".codex/sessions/2026/11/30";

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A home with transcripts, and the archive of one project.
struct Scene {
    tmp: tempfile::TempDir,
    archive: Archive,
    now: Timestamp,
    trees: Vec<PathBuf>,
    /// Bytes that a run copies.
    bytes: u64,
    redactor: Redactor,
}

impl Scene {
    fn new() -> Scene {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().join("ox").as_os_str())], "/")).unwrap();
        Scene {
            archive: Archive::of(&dirs, "local", "repo_1"),
            now: "2026-12-01T00:00:00Z".parse().unwrap(),
            trees: vec![PROJECT.into()],
            bytes: RUN_MAX,
            redactor: Redactor::new(),
            tmp,
        }
    }

    fn home(&self) -> &Path {
        self.tmp.path()
    }

    /// A program writes a file; it was last written to so many days ago.
    fn put(&self, path: &str, bytes: &[u8], days: i64) {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        self.touch(&path, days);
    }

    fn touch(&self, path: &Path, days: i64) {
        let at = self.now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap();
        let since = Duration::from_secs(u64::try_from(at.as_second()).unwrap());
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + since).unwrap();
    }

    fn append(&self, path: &str, bytes: &[u8], days: i64) {
        use std::io::Write as _;
        let path = self.home().join(path);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(bytes).unwrap();
        self.touch(&path, days);
    }

    fn remove(&self, path: &str) {
        let path = self.home().join(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    fn try_run(&self, which: Which) -> Result<Done, Error> {
        self.archive.run(Run {
            agents: self.agents(),
            which,
            bytes: self.bytes,
            redactor: &self.redactor,
            now: self.now,
            stop: &|| false,
            progress: &mut |_| (),
        })
    }

    fn agents(&self) -> Agents<'_> {
        Agents { home: self.home(), get: &|_| None, trees: &self.trees }
    }

    #[track_caller]
    fn run(&self) -> Done {
        self.try_run(Which::All).unwrap()
    }

    fn status(&self) -> Status {
        self.archive.status(self.agents()).unwrap()
    }

    /// What a run did with each file.
    fn ran(&self) -> BTreeMap<String, How> {
        let done = self.run();
        assert_eq!(done.left, [], "nothing is left");
        done.copied.into_iter().map(|copied| (copied.name, copied.how)).collect()
    }

    /// What a word brings back.
    #[track_caller]
    fn bytes_of(&self, word: &str) -> Vec<u8> {
        let version = self.archive.find(word).unwrap().unwrap_or_else(|e| panic!("{word}: {e:?}"));
        let mut bytes = Vec::new();
        self.archive.text(&version).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// How many files of frames there are.
    fn files(&self) -> usize {
        let names = fs::read_dir(self.archive.dir()).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".zst")).count()
    }
}

/// A session of Claude Code with so many prompts.
fn claude(session: &str, prompts: std::ops::Range<usize>) -> Vec<u8> {
    let line = |n: usize| {
        format!(
            "{{\"type\":\"user\",\"uuid\":\"{session}-{n}\",\"sessionId\":\"{session}\",\"timestamp\":\"2026-11-01T09:00:00Z\",\
             \"cwd\":\"{PROJECT}\",\"version\":\"2.1.332\",\"message\":{{\"role\":\"user\",\"content\":\"prompt {n}\"}}}}\n"
        )
    };
    prompts.map(line).collect::<String>().into_bytes()
}

/// A thread of codex in a directory.
fn codex(thread: &str, cwd: &str, prompts: usize) -> Vec<u8> {
    let meta = format!(
        "{{\"timestamp\":\"2026-11-01T09:00:00Z\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{thread}\",\"cwd\":\"{cwd}\"}}}}\n"
    );
    let line = |n: usize| {
        format!(
            "{{\"timestamp\":\"2026-11-01T09:00:0{n}Z\",\"type\":\"response_item\",\"payload\":{{\"type\":\"message\",\
             \"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":\"prompt {n}\"}}]}}}}\n"
        )
    };
    (meta + &(0..prompts).map(line).collect::<String>()).into_bytes()
}

fn token() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat()
}
