//! Sub-agents of a recorded session: what each did is kept apart, in `subagents/<id>/` of the session's directory, in the same form as the
//! session itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::import::{ImportError, Imported, of_transcript};
use super::raw::{self, Header, Kind, Line, Writer};
use super::{Recording, usage};
use crate::harness::transcript::kept::{PROGRAMS, Part, Source, sources};
use crate::kit::file;
use crate::redact::Redactor;

/// The directory's name.
const DIR: &str = "subagents";
/// Of more, those that were written to last are kept.
const SUBAGENTS_MAX: usize = 256;
/// Bytes of an id in a directory's name.
const ID_MAX: usize = 100;

/// A sub-agent of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subagent {
    /// What its program calls it.
    pub id: String,
    /// Its entries.
    pub entries: u64,
    /// What it was asked; may be empty.
    pub task: String,
    /// Its directory.
    pub dir: PathBuf,
}

/// What the sub-agents of a recording came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attached {
    /// How many are kept.
    pub kept: usize,
    /// What the answers of all of them cost, those included that are not kept.
    pub spent: Vec<usage::Line>,
}

/// Keeps what the sub-agents did that the program of `recording` has written down since it began, beside the transcript in `dir`; what was
/// kept before is made anew. One whose transcript cannot be read is passed over and told in the log.
///
/// # Errors
/// The program's files cannot be listed, or the disk refuses.
pub fn attach(
    dir: &Path,
    recording: &Recording,
    header: &Header,
    home: &Path,
    get: &dyn Fn(&str) -> Option<String>,
    redactor: &Redactor,
) -> io::Result<Attached> {
    let Some(program) = PROGRAMS.into_iter().find(|program| *program == recording.adapter_name) else {
        return Ok(Attached::default());
    };
    let transcript = Path::new(&recording.session_file);
    let began = recording.started_at.0.unwrap_or(Timestamp::UNIX_EPOCH);
    let all = sources(program, home, get, &[PathBuf::from(&recording.workspace_path)])?;
    let own = all.iter().find(|source| source.place() == transcript);
    let session = session_of(own, recording);
    let mut meant: Vec<&Source> = all
        .iter()
        .filter(|source| source.stat.modified() >= began && source.place() != transcript)
        .filter(|source| is_of(source, own, &session))
        .collect();
    meant.sort_by_key(|source| std::cmp::Reverse(source.stat.modified));
    let mut all = Attached::default();
    for source in meant {
        let read = read(source, began, &session).and_then(|imported| {
            let is_kept = all.kept < SUBAGENTS_MAX && keep(dir, source, &imported, header, redactor)?;
            Ok((is_kept, imported.spent))
        });
        match read {
            Ok((is_kept, spent)) => {
                all.kept += usize::from(is_kept);
                all.spent.extend(spent);
            }
            Err(ImportError::NoEntry) => {}
            Err(ImportError::Io(e)) if e.kind() == io::ErrorKind::StorageFull => return Err(e),
            Err(e) => log::warn!("{}: {e}", source.place().display()),
        }
    }
    Ok(all)
}

/// What one has written down since the recording of `session` began.
fn read(source: &Source, began: Timestamp, session: &str) -> Result<Imported, ImportError> {
    let mut imported = of_transcript(source.text()?, source.is_lines(), source.program)?;
    let is_since = |at: Option<Timestamp>| at.is_none_or(|at| at >= began);
    imported.entries.retain(|entry| is_since(entry.timestamp));
    imported.spent.retain(|line| is_since(line.timestamp));
    imported.spent = imported.spent.into_iter().map(|line| line.of_helper(session)).collect();
    Ok(imported)
}

/// What its program calls the session.
fn session_of(own: Option<&Source>, recording: &Recording) -> String {
    if !recording.native_session.is_empty() {
        return recording.native_session.clone();
    }
    own.and_then(|own| own.thread(&own.path)).map(|thread| thread.session).unwrap_or_default()
}

/// Whether a file is the transcript of a sub-agent of the session.
fn is_of(source: &Source, own: Option<&Source>, session: &str) -> bool {
    match (source.part, &source.owner) {
        (Part::Companion, _) => false,
        // It lies in the session's directory.
        (Part::SubAgent, Some(owner)) => own.is_some_and(|own| own.root == source.root && own.path == *owner),
        (Part::SubAgent, None) if source.cwd.is_some() => {
            !session.is_empty() && source.name.split('/').next() == Some(session)
        }
        // Only it itself says whose it is.
        (Part::SubAgent | Part::Session, _) => {
            !session.is_empty()
                && source
                    .thread(&source.path)
                    .is_some_and(|thread| thread.session == session && thread.id != session)
        }
    }
}

/// Keeps one; `false` if it has no entry.
fn keep(
    dir: &Path,
    source: &Source,
    imported: &Imported,
    header: &Header,
    redactor: &Redactor,
) -> io::Result<bool> {
    let id = source.name.rsplit('/').next().unwrap_or(&source.name);
    let plain: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    let plain = plain.get(plain.len().saturating_sub(ID_MAX)..).unwrap_or_default();
    if plain.is_empty() || imported.entries.is_empty() {
        return Ok(false);
    }
    let target = dir.join(DIR).join(plain);
    file::found(fs::remove_dir_all(&target))?;
    file::make_dirs(&target, 0o700)?;
    let Header { model, agent_version, .. } = imported.header.clone();
    let header = Header { model, agent_version, ..header.clone() };
    let mut writer = Writer::open(&target, &header, redactor)?;
    for entry in &imported.entries {
        writer.append(entry)?;
    }
    writer.commit()?;
    Ok(true)
}

/// The sub-agents of the session in `dir`, by id; of what cannot be read nothing.
pub fn list(dir: &Path) -> Vec<Subagent> {
    let Ok(entries) = fs::read_dir(dir.join(DIR)) else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let (mut entries, mut task) = (0, String::new());
        raw::read(&entry.path().join(raw::FILE), &mut |line| {
            if let Line::Entry(entry) = line {
                entries += 1;
                if task.is_empty() && matches!(entry.kind, Kind::User | Kind::System) {
                    task = entry.content.lines().next().unwrap_or_default().to_owned();
                }
            }
        })
        .ok()?;
        let id = entry.file_name().into_string().ok()?;
        Some(Subagent { id, entries, task, dir: entry.path() })
    };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut all: Vec<Subagent> = entries.flatten().filter(is_dir).filter_map(of).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, at: &str, text: &str, sidechain: bool) -> String {
        serde_json::json!({
            "type": "user", "uuid": id, "sessionId": "s", "isSidechain": sidechain, "agentId": "a1", "cwd": "/p", "version": "2",
            "timestamp": at, "message": { "role": "user", "content": text },
        })
        .to_string()
            + "\n"
    }

    fn answer(at: &str, output: u64) -> String {
        serde_json::json!({
            "type": "assistant", "uuid": at, "sessionId": "s", "isSidechain": true, "agentId": "a1", "cwd": "/p", "version": "2",
            "timestamp": at, "message": {
                "id": format!("m{output}"), "role": "assistant", "model": "claude-opus-5-5", "content": [],
                "usage": { "input_tokens": 1, "output_tokens": output },
            },
        })
        .to_string()
            + "\n"
    }

    #[test]
    fn each_sub_agent_of_the_session_is_kept_apart_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join(".claude/projects/-p");
        let (late, early) = ("2026-03-12T09:10:00Z", "2026-03-12T09:00:00Z");
        fs::create_dir_all(root.join("s/subagents")).unwrap();
        fs::create_dir_all(root.join("other/subagents")).unwrap();
        let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        fs::write(root.join("s.jsonl"), record("u", late, "do it", false)).unwrap();
        let helped = record("h0", early, "before", true)
            + &answer(early, 1)
            + &record("h1", late, &format!("look for {token}"), true)
            + &answer(late, 7);
        fs::write(root.join("s/subagents/agent-a1.jsonl"), helped).unwrap();
        fs::write(root.join("s/subagents/agent-a2.jsonl"), record("h2", early, "before", true)).unwrap();
        fs::write(root.join("other/subagents/agent-a3.jsonl"), record("h3", late, "of another", true))
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let recording = Recording {
            adapter_name: "claude-code".into(),
            session_file: root.join("s.jsonl").to_str().unwrap().into(),
            workspace_path: "/p".into(),
            ..Recording::new("OxTndR", "2026-03-12T09:05:00Z".parse().unwrap())
        };
        let attach = || {
            attach(dir.path(), &recording, &Header::default(), home.path(), &|_| None, &Redactor::new())
                .unwrap()
        };
        assert_eq!((attach().kept, attach().kept), (1, 1));
        // What it cost since then, as what it is.
        let [line] = &attach().spent[..] else { panic!("{:?}", attach().spent) };
        assert_eq!((&*line.thread, &*line.session, &*line.parent, line.counts.output), ("a1", "s", "s", 7));
        let all = list(dir.path());
        assert_eq!((all.len(), all[0].id.as_str(), all[0].entries), (1, "agent-a1", 1));
        assert!(all[0].task.starts_with("look for [REDACTED"), "{all:?}");
    }
}
