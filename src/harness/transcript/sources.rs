//! All transcripts of a user that are files, whichever program wrote them and wherever it worked. What else programs keep, of one project,
//! `kept` finds.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, unbounded};
use jiff::Timestamp;

use super::packed::{self, is_packed};
use super::places::{DEPTH_MAX, LISTED_MAX, Listed, Writer, below, gemini_home, join};
use super::{Reader, gemini};
use crate::harness::answer::is_named_after;
use crate::kit::thread;

/// At most so many threads list directories.
const THREADS_MAX: usize = 8;

/// A file in which a program writes down a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The program, as recordings call it.
    pub kind: &'static str,
    /// The file.
    pub path: PathBuf,
    /// When it was written to last.
    pub modified: Timestamp,
    /// Its size in bytes.
    pub size: u64,
    /// The session to whose sub-agent it belongs, where only its place says so; else empty.
    pub parent: String,
    /// The directory that its session works in, where only its place says so; else empty.
    pub cwd: String,
}

impl Source {
    /// A reader for it, from its beginning.
    pub fn reader(&self) -> Option<Reader> {
        match Reader::of(self.kind)? {
            Reader::Gemini(_) => Some(Reader::Gemini(Box::new(gemini::Gemini::new(&self.parent, &self.cwd)))),
            other => Some(other),
        }
    }

    /// Whether it is one object that is written anew each turn, and not a file of lines.
    pub fn is_whole(&self) -> bool {
        self.kind == "gemini" && has_ending(&self.path, ".json")
    }

    /// Whether it is compressed, and so written to no more.
    pub fn is_compressed(&self) -> bool {
        is_packed(&self.path)
    }
}

/// A place that could not be looked at, or not to its end.
pub type Unread = (PathBuf, io::Error);

/// All of them, of every program, in no order. `get` gives variables. What cannot be read is told beside: what is not told is all there is.
pub fn all(home: &Path, get: impl Fn(&str) -> Option<String>) -> (Vec<Source>, Vec<Unread>) {
    begin(home, get).all()
}

/// A listing that goes on while whoever began it does something else.
#[derive(Debug)]
pub struct Listing {
    waiting: Receiver<Job>,
    threads: Vec<JoinHandle<Vec<Done>>>,
    unread: Vec<Unread>,
}

/// A part of what is to be listed.
#[derive(Debug)]
enum Job {
    /// What lies in a directory below a root.
    Below { writer: Writer, kind: &'static str, root: PathBuf, dir: PathBuf, depth: usize },
    /// All of Gemini CLI.
    Gemini { root: PathBuf },
}

/// What a job came to: what was found, and what could not be looked at, or not to its end.
type Done = (Vec<Source>, Option<Unread>);

/// Begins what [`all`] does.
pub fn begin(home: &Path, get: impl Fn(&str) -> Option<String>) -> Listing {
    let (to_do, waiting) = unbounded();
    let mut unread = Vec::new();
    for (writer, kind) in [(Writer::Claude, "claude-code"), (Writer::Codex, "codex")] {
        for root in writer.roots(home, &get) {
            let below = |(dir, depth)| Job::Below { writer, kind, root: root.clone(), dir, depth };
            match parts(&root) {
                // The other end is held here.
                Ok(parts) => parts.into_iter().map(below).for_each(|job| drop(to_do.send(job))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => unread.push((root, e)),
            }
        }
    }
    drop(to_do.send(Job::Gemini { root: gemini::root(&gemini_home(home, get)) }));
    drop(to_do);
    // Whoever waits for the end of it works off jobs, too.
    let others = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX) - 1;
    let start = |_| {
        let waiting = waiting.clone();
        thread::spawn("transcripts", thread::STACK_LARGE, move || work_off(&waiting)).ok()
    };
    let threads = (0..others).filter_map(start).collect();
    Listing { waiting, threads, unread }
}

impl Listing {
    /// What [`all`] tells.
    pub fn all(self) -> (Vec<Source>, Vec<Unread>) {
        let Listing { waiting, threads, mut unread } = self;
        let mut done = work_off(&waiting);
        done.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()));
        let mut sources = Vec::with_capacity(done.iter().map(|(found, _)| found.len()).sum());
        for (found, of_it) in done {
            sources.extend(found);
            unread.extend(of_it);
        }
        (sources, unread)
    }
}

/// The directories of a root with how deep they are looked into, and the root itself for the files that lie in it.
fn parts(root: &Path) -> io::Result<Vec<(PathBuf, usize)>> {
    let mut parts = vec![(PathBuf::new(), 0)];
    for entry in fs::read_dir(root)?.filter_map(Result::ok) {
        // What our own runs for an answer left is nobody's.
        let is_ours = entry.file_name().to_str().is_some_and(is_named_after);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_ours {
            parts.push((PathBuf::from(entry.file_name()), DEPTH_MAX - 1));
        }
    }
    Ok(parts)
}

fn work_off(waiting: &Receiver<Job>) -> Vec<Done> {
    let run = |job: Job| {
        let root = job.root().to_owned();
        let broken = |why| (Vec::new(), Some((root, io::Error::other(why))));
        thread::contain(|| job.run()).unwrap_or_else(broken)
    };
    waiting.iter().map(run).collect()
}

impl Job {
    fn root(&self) -> &Path {
        let (Job::Below { root, .. } | Job::Gemini { root }) = self;
        root
    }

    fn run(self) -> Done {
        match self {
            Job::Below { writer, kind, root, dir, depth } => {
                let mut listed = Vec::new();
                below(&root, &dir, depth, &mut listed);
                let is_full = listed.len() >= LISTED_MAX;
                let unread = is_full.then(|| (root.join(&dir), io::Error::other("there are too many files")));
                listed.retain(|one| is_transcript(writer, &one.path));
                let of = |one: Listed| Source {
                    kind,
                    path: join(&root, &one.path),
                    modified: one.modified,
                    size: one.size,
                    parent: String::new(),
                    cwd: String::new(),
                };
                (listed.into_iter().map(of).collect(), unread)
            }
            Job::Gemini { root } => match gemini::projects(&root) {
                Ok(all) => (all.into_iter().flat_map(|project| of_gemini(&root, project)).collect(), None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
                Err(e) => (Vec::new(), Some((root, e))),
            },
        }
    }
}

fn of_gemini(root: &Path, project: gemini::Project) -> impl Iterator<Item = Source> {
    let cwd = project.root.as_deref().map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default();
    project.chats.into_iter().map(move |chat| Source {
        kind: "gemini",
        path: root.join(&chat.path),
        modified: chat.modified,
        size: chat.size,
        parent: chat.parent,
        cwd: cwd.clone(),
    })
}

/// Whether a path below a root is a transcript's, of a session or of a sub-agent.
fn is_transcript(writer: Writer, path: &Path) -> bool {
    match writer {
        Writer::Claude => has_ending(path, ".jsonl"),
        Writer::Codex => {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            name.starts_with("rollout-") && packed::stem(name).is_some()
        }
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn agt_02_what_our_own_runs_left_is_nobodys_session() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path();
        let files = [
            ".claude/projects/-run-user-0-sageox-daemon-agents-1-ox-agent-work-1/s.jsonl",
            ".gemini/tmp/ox-agent-work-1/chats/session-1.jsonl",
            ".gemini/tmp/ox-agent-work-12-3/chats/session-1.jsonl",
            ".gemini/tmp/by-another-name/chats/session-1.jsonl",
        ];
        for file in files {
            fs::create_dir_all(home.join(file).parent().unwrap()).unwrap();
            fs::write(home.join(file), "{}\n").unwrap();
        }
        let root = |name: &str, path: &str| {
            fs::write(home.join(".gemini/tmp").join(name).join(".project_root"), path).unwrap();
        };
        root("by-another-name", "/run/user/0/sageox/daemon/agents/2/ox-agent-work-2");
        root("ox-agent-work-12-3", "/w/ox-agent-work-12-3");
        let (found, unread) = all(home, |_| None);
        assert!(unread.is_empty(), "{unread:?}");
        let cwds: Vec<&str> = found.iter().map(|source| &*source.cwd).collect();
        assert_eq!(cwds, ["/w/ox-agent-work-12-3"]);
        assert!(super::super::places::list(&home.join(".claude/projects")).unwrap().is_empty());
    }

    #[test]
    fn transcripts_of_all_programs_are_found_with_those_of_sub_agents() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path();
        let files = [
            ".claude/projects/-p/s.jsonl",
            ".claude/projects/-p/s/subagents/agent-1.jsonl",
            ".claude/projects/-p/s/subagents/agent-1.meta.json",
            ".claude/projects/-p/s/tool-results/hook-1.txt",
            ".codex/sessions/2026/01/02/rollout-1.jsonl",
            ".codex/archived_sessions/rollout-2.jsonl.zst",
            ".codex/sessions/2026/01/02/other.jsonl",
            ".gemini/tmp/p/chats/session-1.jsonl",
            ".gemini/tmp/p/chats/parent/child.jsonl",
            ".gemini/tmp/p/chats/session-0.json",
            ".gemini/tmp/p/logs.json",
        ];
        for file in files {
            fs::create_dir_all(home.join(file).parent().unwrap()).unwrap();
            fs::write(home.join(file), "{}\n").unwrap();
        }
        fs::write(home.join(".gemini/tmp/p/.project_root"), "/w/p\n").unwrap();
        let (mut found, unread) = all(home, |_| None);
        assert!(unread.is_empty(), "{unread:?}");
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let told: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|s| (s.path.strip_prefix(home).unwrap().to_str().unwrap(), &*s.parent, &*s.cwd))
            .collect();
        let expected = [
            (".claude/projects/-p/s/subagents/agent-1.jsonl", "", ""),
            (".claude/projects/-p/s.jsonl", "", ""),
            (".codex/archived_sessions/rollout-2.jsonl.zst", "", ""),
            (".codex/sessions/2026/01/02/rollout-1.jsonl", "", ""),
            (".gemini/tmp/p/chats/parent/child.jsonl", "parent", "/w/p"),
            (".gemini/tmp/p/chats/session-0.json", "", "/w/p"),
            (".gemini/tmp/p/chats/session-1.jsonl", "", "/w/p"),
        ];
        assert_eq!(told, expected);
        assert!(found.iter().all(|s| s.size == 3 && s.reader().is_some()));
        assert_eq!(found.iter().filter(|s| s.is_whole()).count(), 1);
        assert_eq!(found.iter().filter(|s| s.is_compressed()).count(), 1);
        fs::remove_dir_all(home.join(".codex")).unwrap();
        fs::write(home.join(".codex"), "").unwrap();
        let (rest, unread) = all(home, |_| None);
        assert_eq!((rest.len(), unread.len()), (5, 2), "{unread:?}");
    }
}
