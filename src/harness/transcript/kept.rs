//! What agent programs keep of the sessions of a project, all of it, and for how long.
//!
//! Seen at Claude Code 2.1.332, codex 0.171.0 and Gemini CLI 0.61.0.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::packed::is_packed;
use super::places::{DEPTH_MAX, Listed, Writer, below, gemini_home, is_cut_alike, list, name_of, slug, text};
use super::{Thread, gemini};
use crate::kit::file;
use crate::kit::hex::hex;

/// The programs that keep files of lines, as recordings call them.
pub const PROGRAMS: [&str; 3] = ["claude-code", "codex", "gemini"];
/// A larger file is no settings of a program, in bytes.
const SETTINGS_MAX: usize = 1 << 20;
/// What Claude Code and Gemini CLI keep where nothing is said (told by their settings' descriptions).
const USUAL: Duration = days(30);
/// What of a program's files is deleted by their number may go at any time; it counts as kept for so long.
const COUNTED: Duration = days(1);

const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 60 * 60)
}

/// What a file is of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its transcript.
    Session,
    /// The transcript of a sub-agent.
    SubAgent,
    /// What a program laid beside, and points to in a transcript: results too large for it, notes on sub-agents.
    Companion,
}

/// A file that a program keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The program, as recordings call it.
    pub program: &'static str,
    /// The directory below which the program's transcripts lie.
    pub root: PathBuf,
    /// Its path below that.
    pub path: PathBuf,
    /// What it is.
    pub part: Part,
    /// What it is known by wherever it lies, compressed or not.
    pub name: String,
    /// Of what has no working directory of its own: the path of the transcript below the root whose directory counts.
    pub owner: Option<PathBuf>,
    /// The directory of its session, where the program keeps that beside it.
    pub cwd: Option<PathBuf>,
    /// The file as it was looked at.
    pub stat: Stat,
}

/// What tells whether a file has changed, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The number of its file system.
    pub device: u64,
    /// Its own number there.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// When it was written to last, in nanoseconds since 1970.
    pub modified: i64,
}

impl Stat {
    /// That of a file.
    pub fn of(meta: &fs::Metadata) -> Stat {
        let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Stat { device: meta.dev(), inode: meta.ino(), size: meta.len(), modified }
    }

    /// When it was written to last.
    pub fn modified(&self) -> Timestamp {
        Timestamp::from_nanosecond(self.modified.into()).unwrap_or_default()
    }
}

impl Source {
    /// Where it lies.
    pub fn place(&self) -> PathBuf {
        self.root.join(&self.path)
    }

    /// Whether it is a file of lines; others are one text, or one document.
    pub fn is_lines(&self) -> bool {
        self.name_ends(".jsonl") || is_packed(&self.path)
    }

    fn name_ends(&self, end: &str) -> bool {
        self.path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(end))
    }

    /// What the beginning of the transcript at `path` below its root says of its thread.
    pub fn thread(&self, path: &Path) -> Option<Thread> {
        let writer = match self.program {
            "claude-code" => Writer::Claude,
            "codex" => Writer::Codex,
            _ => return None,
        };
        super::places::thread(writer, &self.root, path)
    }

    /// Its text, from the beginning.
    ///
    /// # Errors
    /// It is gone, a link, or no file any more.
    pub fn text(&self) -> io::Result<super::places::Text> {
        text(&self.root, &self.path)
    }
}

/// All files of the program that recordings call `program` that may be of sessions in one of the directories `dirs` or below, by where they
/// lie. `get` gives variables. Links are not followed, and what cannot be read is left out.
///
/// # Errors
/// A directory of transcripts is there and cannot be read.
pub fn sources(
    program: &'static str,
    home: &Path,
    get: &dyn Fn(&str) -> Option<String>,
    dirs: &[PathBuf],
) -> io::Result<Vec<Source>> {
    match program {
        "claude-code" => claude(home, get, dirs),
        "codex" => codex(home, get),
        "gemini" => of_gemini(home, get, dirs),
        _ => Ok(Vec::new()),
    }
}

fn source(program: &'static str, root: &Path, path: PathBuf, part: Part, name: String) -> Option<Source> {
    let meta = fs::symlink_metadata(root.join(&path)).ok().filter(fs::Metadata::is_file)?;
    let (root, stat) = (root.to_owned(), Stat::of(&meta));
    Some(Source { program, root, path, part, name, owner: None, cwd: None, stat })
}

/// `<directory>/<session>.jsonl`, in older versions sub-agents beside it, in newer ones `<session>/subagents/` and `<session>/tool-results/`.
fn claude(home: &Path, get: &dyn Fn(&str) -> Option<String>, dirs: &[PathBuf]) -> io::Result<Vec<Source>> {
    let slugs: BTreeSet<String> = dirs.iter().filter_map(|dir| dir.to_str()).map(slug).collect();
    // A directory below has the same beginning, and so have others, whose transcripts then say that they are others.
    let may_be =
        |dir: &str| slugs.iter().any(|slug| dir.starts_with(slug.as_str()) || is_cut_alike(dir, slug));
    let mut found = Vec::new();
    for root in Writer::Claude.roots(home, get) {
        let Some(entries) = file::found(fs::read_dir(&root))? else { continue };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for dir in names.filter(|dir| may_be(dir)) {
            let mut listed = Vec::new();
            if fs::symlink_metadata(root.join(&dir)).is_ok_and(|meta| meta.is_dir()) {
                below(&root, Path::new(&dir), DEPTH_MAX - 1, &mut listed);
            }
            found.extend(listed.into_iter().filter_map(|one| claude_file(&root, one)));
        }
    }
    Ok(found)
}

fn claude_file(root: &Path, Listed { path, .. }: Listed) -> Option<Source> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    let (part, name, owner) = match parts[..] {
        [_, file] => {
            let name = file.strip_suffix(".jsonl")?;
            let part = if name.starts_with("agent-") { Part::SubAgent } else { Part::Session };
            (part, name.to_owned(), None)
        }
        [dir, session, "subagents" | "tool-results", file] => {
            let owner = Some(Path::new(dir).join(format!("{session}.jsonl")));
            let below = format!("{session}/{}/{file}", parts[2]);
            match (parts[2], below.strip_suffix(".jsonl")) {
                ("subagents", Some(name)) => (Part::SubAgent, name.to_owned(), owner),
                _ => (Part::Companion, below, owner),
            }
        }
        _ => return None,
    };
    Some(Source { owner, ..source("claude-code", root, path, part, name)? })
}

/// `<year>/<month>/<day>/rollout-….jsonl`, also compressed or moved. Whose they are stands in each.
fn codex(home: &Path, get: &dyn Fn(&str) -> Option<String>) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    for root in Writer::Codex.roots(home, get) {
        let is_rollout =
            |path: &Path| name_of(path).filter(|name| name.starts_with("rollout-")).map(str::to_owned);
        let listed = list(&root)?.into_iter();
        found.extend(listed.filter_map(|one| {
            let name = is_rollout(&one.path)?;
            source("codex", &root, one.path, Part::Session, name)
        }));
    }
    Ok(found)
}

/// `<project>/chats/session-….jsonl` or `.json`, and those of sub-agents in `<project>/chats/<session>/`.
fn of_gemini(home: &Path, get: &dyn Fn(&str) -> Option<String>, dirs: &[PathBuf]) -> io::Result<Vec<Source>> {
    let root = gemini::root(&gemini_home(home, get));
    let Some(projects) = file::found(gemini::projects(&root))? else { return Ok(Vec::new()) };
    let hash = |dir: &Path| hex(&Sha256::digest(dir.to_string_lossy().as_bytes()));
    let mut found = Vec::new();
    for project in projects {
        let cwd = project.root.or_else(|| dirs.iter().find(|dir| hash(dir) == project.name).cloned());
        let Some(cwd) = cwd.filter(|cwd| dirs.iter().any(|dir| cwd.starts_with(dir))) else { continue };
        for chat in project.chats {
            let part = if chat.parent.is_empty() { Part::Session } else { Part::SubAgent };
            let Some(stem) = chat.path.file_name().and_then(|name| name.to_str()) else { continue };
            let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
            let name =
                if chat.parent.is_empty() { stem.to_owned() } else { format!("{}/{stem}", chat.parent) };
            let made = source("gemini", &root, chat.path, part, name);
            found.extend(made.map(|made| Source { cwd: Some(cwd.clone()), ..made }));
        }
    }
    Ok(found)
}

/// How long a program keeps what it writes down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Until somebody deletes it.
    Always,
    /// So long after it was last written to; then the program deletes it when it is next started.
    For(Duration),
}

impl Keeping {
    /// When a file that was last written to at `modified` may be deleted.
    pub fn until(&self, modified: Timestamp) -> Option<Timestamp> {
        match self {
            Keeping::Always => None,
            Keeping::For(period) => Some(modified.checked_add(*period).unwrap_or(Timestamp::MAX)),
        }
    }

    /// When half of that has passed: then it is to be copied.
    pub fn half(&self, modified: Timestamp) -> Option<Timestamp> {
        match self {
            Keeping::Always => None,
            Keeping::For(period) => Some(modified.checked_add(*period / 2).unwrap_or(Timestamp::MAX)),
        }
    }
}

/// How long the program that recordings call `program` keeps transcripts of a project: by its settings for this user, and for the project in
/// `dirs` where these are shorter. Settings that cannot be read say nothing.
pub fn keeping(
    program: &str,
    home: &Path,
    get: &dyn Fn(&str) -> Option<String>,
    dirs: &[PathBuf],
) -> Keeping {
    let (settings, below, read): (_, _, fn(&Value) -> Option<Duration>) = match program {
        "claude-code" => {
            let root = |root: PathBuf| root.parent().map(|dir| dir.join("settings.json"));
            let settings: Vec<PathBuf> =
                Writer::Claude.roots(home, get).into_iter().filter_map(root).collect();
            (settings, &[".claude/settings.json", ".claude/settings.local.json"][..], claude_keeps)
        }
        "gemini" => {
            let settings = vec![gemini_home(home, get).join(".gemini/settings.json")];
            (settings, &[".gemini/settings.json"][..], gemini_keeps)
        }
        _ => return Keeping::Always,
    };
    let own = dirs.iter().flat_map(|dir| below.iter().map(|name| dir.join(name)));
    let said = settings.into_iter().chain(own).filter_map(|path| {
        let bytes = file::read_capped(&path, SETTINGS_MAX).ok()?;
        read(&serde_json::from_slice(&bytes).ok()?)
    });
    match said.min().unwrap_or(USUAL) {
        Duration::MAX => Keeping::Always,
        period => Keeping::For(period),
    }
}

/// `cleanupPeriodDays`.
fn claude_keeps(settings: &Value) -> Option<Duration> {
    let n = settings.get("cleanupPeriodDays")?.as_f64().filter(|n| *n >= 0.0)?;
    Duration::try_from_secs_f64(n * 24.0 * 60.0 * 60.0).ok()
}

/// `general.sessionRetention`: by age, by number, or not at all.
fn gemini_keeps(settings: &Value) -> Option<Duration> {
    let retention = settings.pointer("/general/sessionRetention")?;
    if retention.get("enabled") == Some(&Value::Bool(false)) {
        return Some(Duration::MAX);
    }
    let counted = retention.get("maxCount").and_then(Value::as_u64).map(|_| COUNTED);
    let aged = retention.get("maxAge").and_then(Value::as_str).and_then(age);
    counted.into_iter().chain(aged).min()
}

/// A length of time as Gemini CLI writes it: a number and h, d, w or m for 30 days.
fn age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        "m" => 30 * 24,
        _ => return None,
    };
    let secs = number.parse::<u64>().ok()?.checked_mul(hours * 60 * 60)?;
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Name and part of what is found, sorted.
    fn found(program: &'static str, home: &Path, dirs: &[&str]) -> Vec<(String, Part)> {
        let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
        let all = sources(program, home, &none, &dirs).unwrap();
        assert!(all.iter().all(|one| one.stat.size == 2 && one.stat.inode > 0));
        let mut all: Vec<_> = all.into_iter().map(|one| (one.name, one.part)).collect();
        all.sort();
        all
    }

    #[test]
    fn of_claude_code_transcripts_and_what_lies_beside_them_are_found() {
        let tmp = tempfile::tempdir().unwrap();
        let projects = tmp.path().join(".claude/projects");
        for path in [
            "-w-p/s1.jsonl",
            "-w-p/agent-1.jsonl",
            "-w-p/s1/subagents/agent-2.jsonl",
            "-w-p/s1/subagents/agent-2.meta.json",
            "-w-p/s1/tool-results/r.txt",
            "-w-p/memory/MEMORY.md",
            "-w-p-sub/s2.jsonl",
            "-w/s3.jsonl",
            "-other/s4.jsonl",
        ] {
            write(&projects.join(path), "{}");
        }
        symlink(projects.join("-other"), projects.join("-w-p-link")).unwrap();
        symlink(projects.join("-other/s4.jsonl"), projects.join("-w-p/s5.jsonl")).unwrap();
        let all = found("claude-code", tmp.path(), &["/w/p"]);
        let told: Vec<(&str, Part)> = all.iter().map(|(name, part)| (name.as_str(), *part)).collect();
        assert_eq!(
            told,
            [
                ("agent-1", Part::SubAgent),
                ("s1", Part::Session),
                ("s1/subagents/agent-2", Part::SubAgent),
                ("s1/subagents/agent-2.meta.json", Part::Companion),
                ("s1/tool-results/r.txt", Part::Companion),
                ("s2", Part::Session),
            ]
        );
        assert_eq!(found("claude-code", &tmp.path().join("none"), &["/w/p"]), []);
    }

    #[test]
    fn of_codex_all_are_found_and_of_gemini_those_of_the_project() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path();
        write(&home.join(".codex/sessions/2026/01/02/rollout-a.jsonl"), "{}");
        write(&home.join(".codex/sessions/2026/01/02/rollout-b.jsonl.zst"), "{}");
        write(&home.join(".codex/sessions/2026/01/02/other.jsonl"), "{}");
        write(&home.join(".codex/archived_sessions/rollout-c.jsonl"), "{}");
        let names: Vec<String> = found("codex", home, &["/w/p"]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["rollout-a", "rollout-b", "rollout-c"]);
        let chats = home.join(".gemini/tmp");
        let old = hex(&Sha256::digest("/w/old"));
        for (project, root) in [("p", "/w/p/sub"), ("q", "/w/q")] {
            write(&chats.join(project).join("chats/session-1-a.jsonl"), "{}");
            write(&chats.join(project).join("chats/parent/b.jsonl"), "{}");
            write(&chats.join(project).join(".project_root"), root);
        }
        write(&chats.join(&old).join("chats/session-2-c.json"), "{}");
        let all = sources("gemini", home, &none, &["/w/p".into(), "/w/old".into()]).unwrap();
        let mut told: Vec<(&str, &Path)> =
            all.iter().map(|s| (&*s.name, s.cwd.as_deref().unwrap())).collect();
        told.sort();
        let (sub, old) = (Path::new("/w/p/sub"), Path::new("/w/old"));
        assert_eq!(told, [("parent/b", sub), ("session-1-a", sub), ("session-2-c.json", old)]);
        assert!(sources("vim", home, &none, &["/".into()]).unwrap().is_empty());
    }

    #[test]
    fn a_program_keeps_what_its_settings_say() {
        let tmp = tempfile::tempdir().unwrap();
        let (home, project) = (tmp.path().join("h"), tmp.path().join("p"));
        let check = |program: &str, path: &Path, text: &str, expected: Keeping| {
            write(path, text);
            let keeps = keeping(program, &home, &none, std::slice::from_ref(&project));
            assert_eq!(keeps, expected, "{program}: {text}");
        };
        let days = |n| Keeping::For(days(n));
        let user = home.join(".claude/settings.json");
        check("claude-code", &home.join("none"), "", days(30));
        check("claude-code", &user, r#"{"cleanupPeriodDays":90}"#, days(90));
        check(
            "claude-code",
            &project.join(".claude/settings.local.json"),
            r#"{"cleanupPeriodDays":7}"#,
            days(7),
        );
        check("claude-code", &user, r#"{"cleanupPeriodDays":1}"#, days(1));
        check("claude-code", &user, r#"{"cleanupPeriodDays":-1}"#, days(7));
        let user = home.join(".gemini/settings.json");
        check("gemini", &user, "// damaged", days(30));
        check("gemini", &user, r#"{"general":{"sessionRetention":{"maxAge":"2w"}}}"#, days(14));
        check("gemini", &user, r#"{"general":{"sessionRetention":{"maxAge":"2w","maxCount":5}}}"#, days(1));
        check("gemini", &user, r#"{"general":{"sessionRetention":{"enabled":false}}}"#, Keeping::Always);
        check("codex", &user, "{}", Keeping::Always);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!((days(2).half(at(0)), days(2).until(at(0))), (Some(at(86_400)), Some(at(172_800))));
        assert_eq!(Keeping::Always.half(at(0)), None);
    }
}
