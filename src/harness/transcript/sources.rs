//! All transcripts of a user that are files, whichever program wrote them and wherever it worked. What else programs keep, of one project,
//! `kept` finds.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::packed::{self, is_packed};
use super::places::{LISTED_MAX, Writer, list};
use super::{Reader, gemini};

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
    let (mut sources, mut unread) = (Vec::new(), Vec::new());
    for (writer, kind) in [(Writer::Claude, "claude-code"), (Writer::Codex, "codex")] {
        for root in writer.roots(home, &get) {
            match list(&root) {
                Ok(listed) => {
                    if listed.len() >= LISTED_MAX {
                        unread.push((root.clone(), io::Error::other("there are too many files")));
                    }
                    let is_one = |path: &Path| is_transcript(writer, path);
                    sources.extend(listed.into_iter().filter(|one| is_one(&one.path)).map(|one| Source {
                        kind,
                        path: root.join(&one.path),
                        modified: one.modified,
                        size: one.size,
                        parent: String::new(),
                        cwd: String::new(),
                    }));
                }
                Err(e) => unread.push((root, e)),
            }
        }
    }
    let root = gemini::root(&super::places::gemini_home(home, get));
    match gemini::projects(&root) {
        Ok(projects) => sources.extend(projects.into_iter().flat_map(|project| of_gemini(&root, project))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => unread.push((root, e)),
    }
    (sources, unread)
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
