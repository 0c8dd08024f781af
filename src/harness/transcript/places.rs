//! Where transcripts lie, and which of them is a running session's.
//!
//! A session is found by its id, which is in the file's name. Where that is not known it is found by its directory, if there is one file
//! only that can be it: a guess would credit one agent with another's work.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags, openat};

use super::claude::Claude;
use super::codex::Codex;
use super::packed;
use super::{Fact, Thread, gemini, opencode};
use crate::harness::answer::is_named_after;
use crate::kit::openat;

pub use super::packed::{Text, UNPACKED_MAX, is_packed};

/// At most so many transcripts of a program are looked at, the last ones by name in each directory.
pub(super) const LISTED_MAX: usize = 100_000;
/// So many directories deep transcripts lie at most: year, month and day; or directory, session and its sub-agents.
pub(super) const DEPTH_MAX: usize = 3;
/// So much of a transcript's beginning is read for what is known of its thread.
const BEGINNING_MAX: u64 = 1024 * 1024;

/// An agent program that writes lines into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

/// A transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the root.
    pub path: PathBuf,
    /// When it was written to last.
    pub modified: Timestamp,
    /// Its size in bytes.
    pub size: u64,
}

/// What is known of a session whose transcript is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its id; empty if it is not known.
    pub session: &'a str,
    /// The directory in which it was started, with its links resolved.
    pub cwd: &'a str,
    /// When it began.
    pub since: Timestamp,
}

/// Where a session is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub path: PathBuf,
    /// What its program calls the session, where the file is a database of many; else empty.
    pub session: String,
}

/// Which transcript it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// This one.
    One(&'a Listed),
    /// None yet.
    None,
    /// Several may be it, the one written to last first; what tells them apart has to be looked for in them.
    Several(Vec<&'a Listed>),
}

impl Writer {
    /// The directories below which its transcripts lie, `get` giving variables: the one that a variable names, then the usual one.
    pub fn roots(self, home: &Path, get: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
        let (variable, usual, below): (_, _, &[&str]) = match self {
            Writer::Claude => ("CLAUDE_CONFIG_DIR", ".claude", &["projects"]),
            Writer::Codex => ("CODEX_HOME", ".codex", &["sessions", "archived_sessions"]),
        };
        let named = get(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let mut roots: Vec<PathBuf> = Vec::new();
        for dir in named.into_iter().chain([home.join(usual)]) {
            for root in below.iter().map(|name| dir.join(name)) {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        roots
    }

    /// Which of the transcripts `listed` is that of a session, and not of a sub-agent. `thread` reads what a transcript's beginning says of
    /// its thread, and is asked only of those that may be it; one that cannot be read is not it.
    pub fn find<'a>(
        self,
        listed: &'a [Listed],
        wanted: Wanted,
        thread: impl Fn(&Listed) -> Option<Thread>,
    ) -> Found<'a> {
        let all = listed.iter().filter(|one| self.is_session(&one.path));
        let mut may_be: Vec<&Listed> = if wanted.session.is_empty() {
            let is_in = |one: &&Listed| {
                one.modified >= wanted.since
                    && self.may_be_in(&one.path, wanted.cwd)
                    && thread(one).is_some_and(|thread| thread.parent.is_empty() && thread.cwd == wanted.cwd)
            };
            all.filter(is_in).collect()
        } else {
            all.filter(|one| self.is_named(&one.path, wanted.session)).collect()
        };
        may_be.sort_by_key(|one| (Reverse(one.modified), is_packed(&one.path), &one.path));
        // One that is being compressed lies there twice; the one that is written to counts.
        let plain: BTreeSet<&str> =
            may_be.iter().filter(|one| !is_packed(&one.path)).filter_map(|one| name_of(&one.path)).collect();
        may_be.retain(|one| {
            !is_packed(&one.path) || name_of(&one.path).is_none_or(|name| !plain.contains(name))
        });
        match may_be[..] {
            [] => Found::None,
            [one] => Found::One(one),
            _ => Found::Several(may_be),
        }
    }

    /// Whether a path's name is that of a session's transcript.
    fn is_session(self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
        match self {
            Writer::Claude => {
                // Older versions laid sub-agents beside sessions.
                path.components().count() == 2 && name.ends_with(".jsonl") && !name.starts_with("agent-")
            }
            Writer::Codex => name.starts_with("rollout-") && packed::stem(name).is_some(),
        }
    }

    fn is_named(self, path: &Path, session: &str) -> bool {
        let stem = name_of(path);
        match self {
            Writer::Claude => stem == Some(session),
            Writer::Codex => {
                stem.and_then(|stem| stem.strip_suffix(session)).is_some_and(|rest| rest.ends_with('-'))
            }
        }
    }

    /// Whether a session of the directory `cwd` can lie there, by the name of where it lies alone.
    fn may_be_in(self, path: &Path, cwd: &str) -> bool {
        match self {
            Writer::Codex => true,
            Writer::Claude => {
                let dir = path.parent().and_then(Path::to_str).unwrap_or_default();
                let slug = slug(cwd);
                dir == slug || is_cut_alike(dir, &slug)
            }
        }
    }

    /// What the beginning of a transcript says of its thread.
    fn thread(self, beginning: impl io::Read) -> Option<Thread> {
        let (mut claude, mut codex) = (Claude::default(), Codex::default());
        let mut lines = BufReader::new(beginning.take(BEGINNING_MAX));
        let (mut line, mut facts): (Vec<u8>, Vec<Fact>) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).ok()?;
            if line.pop() != Some(b'\n') {
                return None;
            }
            facts.clear();
            let thread = match self {
                Writer::Claude => {
                    claude.line(&line, &mut facts);
                    claude.thread()
                }
                Writer::Codex => {
                    codex.line(&line, &mut facts);
                    codex.thread()
                }
            };
            if !thread.id.is_empty() && !thread.cwd.is_empty() {
                return Some(thread.clone());
            }
        }
    }
}

/// What a transcript is called, compressed or not.
pub(super) fn name_of(path: &Path) -> Option<&str> {
    packed::stem(path.file_name()?.to_str()?)
}

/// The name of the directory in which Claude Code keeps the transcripts of a directory.
pub(super) fn slug(cwd: &str) -> String {
    cwd.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Whether the name of a directory of Claude Code may be made of a long `slug`: it is cut, and a hash is put behind it.
pub(super) fn is_cut_alike(dir: &str, slug: &str) -> bool {
    dir.len() >= 100 && dir.get(..100) == slug.get(..100)
}

/// All files below a root, no link followed, 100,000 at most. What cannot be read is left out; the root itself may be a link.
///
/// # Errors
/// The root is there and cannot be read. One that is not there holds nothing.
pub fn list(root: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    match fs::read_dir(root) {
        Ok(_) => below(root, Path::new(""), DEPTH_MAX, &mut listed),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(listed)
}

pub(super) fn below(root: &Path, dir: &Path, depth: usize, listed: &mut Vec<Listed>) {
    let Ok(entries) = fs::read_dir(root.join(dir)) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    // Names begin with the date or are of equal rank: the newest first.
    entries.sort_by_cached_key(|entry| Reverse(entry.file_name()));
    for entry in entries {
        // The entry's own kind, not that of what a link leads to.
        let Ok(about) = entry.metadata() else { continue };
        let path = join(dir, Path::new(&entry.file_name()));
        // What our own runs for an answer left is nobody's.
        let is_ours = || entry.file_name().to_str().is_some_and(is_named_after);
        if about.is_dir() && depth > 0 && !is_ours() {
            below(root, &path, depth - 1, listed);
        } else if about.is_file() {
            if listed.len() >= LISTED_MAX {
                return;
            }
            let modified = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
            listed.push(Listed { path, modified: modified.unwrap_or_default(), size: about.len() });
        }
    }
}

/// `name` in `dir`, in memory of the right size from the beginning: where many are made at a time, growing it is felt.
pub(super) fn join(dir: &Path, name: &Path) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.as_os_str().len());
    path.push(dir);
    path.push(name);
    path
}

/// Opens the regular file `path` below a root, no link followed.
///
/// # Errors
/// `InvalidInput` for a path that leads out and for what is no regular file, else the system's; a link is refused.
pub fn open(root: &Path, path: &Path) -> io::Result<fs::File> {
    let names: Option<Vec<&str>> = path
        .components()
        .map(|part| if let Component::Normal(name) = part { name.to_str() } else { None })
        .collect();
    let names = names.unwrap_or_default();
    let Some((name, dirs)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let dir = openat::enter(root, dirs, false)?;
    // Without NONBLOCK a FIFO in the file's place would block for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(openat(&dir, *name, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The text of the transcript `path` below a root, unpacked if it is compressed: so whoever reads transcripts as a whole opens them.
///
/// # Errors
/// Those of [`open`]; see [`Text`] for those of reading it.
pub fn text(root: &Path, path: &Path) -> io::Result<Text> {
    Text::new(path, open(root, path)?)
}

/// The directories below which the transcripts of the program lie that recordings call `kind`; none of one whose transcripts nothing reads.
pub fn roots(kind: &str, home: &Path, get: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    match kind {
        "claude-code" => Writer::Claude.roots(home, get),
        "codex" => Writer::Codex.roots(home, get),
        "gemini" => vec![gemini::root(&gemini_home(home, get))],
        "opencode" => database(home, get).parent().map(Path::to_owned).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether `path` is a file below one of `roots`, with all links resolved but the last, which a reader does not follow.
pub fn is_below(path: &Path, roots: &[PathBuf]) -> bool {
    let (Some(dir), Some(_)) = (path.parent(), path.file_name()) else { return false };
    let Ok(dir) = dir.canonicalize() else { return false };
    roots.iter().any(|root| root.canonicalize().is_ok_and(|root| dir.starts_with(root)))
}

pub(super) fn gemini_home(home: &Path, get: impl Fn(&str) -> Option<String>) -> PathBuf {
    get("GEMINI_CLI_HOME").map_or_else(|| home.to_owned(), PathBuf::from)
}

/// opencode's database. The program looks for its data where the variable says also on systems that have another place for that.
pub fn database(home: &Path, get: impl Fn(&str) -> Option<String>) -> PathBuf {
    let data = get("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    opencode::path(&data.unwrap_or_else(|| home.join(".local/share")), get("OPENCODE_DB").as_deref())
}

/// Where the session that is wanted is written down, of the program that recordings call `kind`: nowhere if there is nothing yet, it cannot
/// be told which of several it is, or nothing reads that program's transcripts. `get` gives variables.
///
/// # Errors
/// A directory of transcripts, or a database of them, is there and cannot be read.
pub fn running(
    kind: &str,
    home: &Path,
    get: impl Fn(&str) -> Option<String>,
    wanted: Wanted<'_>,
) -> io::Result<Option<Located>> {
    let file = |path: Option<PathBuf>| path.map(|path| Located { path, session: String::new() });
    let program = match kind {
        "claude-code" => Writer::Claude,
        "codex" => Writer::Codex,
        "gemini" => return running_gemini(home, get, wanted).map(file),
        "opencode" => return running_opencode(database(home, get), wanted),
        _ => return Ok(None),
    };
    for root in program.roots(home, get) {
        // What is compressed is written to no more.
        let listed: Vec<Listed> = list(&root)?.into_iter().filter(|one| !is_packed(&one.path)).collect();
        if let Found::One(one) = program.find(&listed, wanted, |one| thread(program, &root, &one.path)) {
            return Ok(file(Some(root.join(&one.path))));
        }
    }
    Ok(None)
}

fn running_opencode(path: PathBuf, wanted: Wanted<'_>) -> io::Result<Option<Located>> {
    if matches!(fs::symlink_metadata(&path), Err(e) if e.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let found = opencode::at(&path, |db| match wanted.session {
        "" => db.running(Path::new(wanted.cwd), wanted.since),
        session => Ok(db.has(session)?.then(|| session.to_owned())),
    });
    Ok(found.map_err(io::Error::other)?.map(|session| Located { path, session }))
}

fn running_gemini(
    home: &Path,
    get: impl Fn(&str) -> Option<String>,
    wanted: Wanted<'_>,
) -> io::Result<Option<PathBuf>> {
    let root = gemini::root(&gemini_home(home, get));
    let projects = match gemini::projects(&root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let session = Some(wanted.session).filter(|session| !session.is_empty());
    let found = gemini::running(&projects, Path::new(wanted.cwd), session, wanted.since);
    Ok(found.map(|chat| root.join(&chat.path)))
}

/// What the beginning of a transcript below a root says of its thread; none if it says nothing or cannot be read.
pub fn thread(program: Writer, root: &Path, path: &Path) -> Option<Thread> {
    program.thread(text(root, path).ok()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    #[test]
    fn sec_02_a_transcript_lies_below_its_programs_directories() {
        let tmp = tempfile::tempdir().unwrap();
        let home = tmp.path();
        let sessions = home.join(".codex/sessions/2026");
        fs::create_dir_all(&sessions).unwrap();
        fs::create_dir_all(home.join(".ssh")).unwrap();
        symlink(home.join(".ssh"), sessions.join("out")).unwrap();
        let roots = roots("codex", home, |_| None);
        let check = |path: &str, expected| assert_eq!(is_below(&home.join(path), &roots), expected, "{path}");
        check(".codex/sessions/2026/a.jsonl", true);
        check(".codex/sessions/a.jsonl", true);
        check(".codex/sessions/../../.ssh/id", false);
        check(".codex/sessions/2026/out/id", false);
        check(".codex/sessions/2026/none/a.jsonl", false);
        check(".ssh/id", false);
        check("/", false);
        assert!(super::roots("vim", home, |_| None).is_empty());
    }

    use super::*;

    fn at(path: &str, second: i64) -> Listed {
        Listed { path: path.into(), modified: Timestamp::from_second(second).unwrap(), size: 1 }
    }

    fn in_dir(cwd: &str) -> Option<Thread> {
        Some(Thread { id: "t".into(), cwd: cwd.into(), ..Thread::default() })
    }

    fn wanted(session: &'static str) -> Wanted<'static> {
        Wanted { session, cwd: "/home/user/a.b", since: Timestamp::from_second(10).unwrap() }
    }

    #[test]
    fn a_variable_names_a_root_before_the_usual_one() {
        let roots = |program: Writer, dir: &str| program.roots(Path::new("/h"), |_| Some(dir.to_owned()));
        let check = |roots: Vec<PathBuf>, expected: &[&str]| {
            assert_eq!(roots, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        };
        check(roots(Writer::Claude, ""), &["/h/.claude/projects"]);
        check(roots(Writer::Claude, "relative"), &["/h/.claude/projects"]);
        check(roots(Writer::Claude, "/c"), &["/c/projects", "/h/.claude/projects"]);
        check(roots(Writer::Codex, "/h/.codex"), &["/h/.codex/sessions", "/h/.codex/archived_sessions"]);
    }

    #[test]
    fn a_session_is_found_by_its_id_wherever_it_lies() {
        let claude =
            [at("-other/s1.jsonl", 1), at("-other/s1/subagents/s1.jsonl", 1), at("-other/s12.jsonl", 50)];
        assert_eq!(Writer::Claude.find(&claude, wanted("s1"), |_| None), Found::One(&claude[0]));
        assert_eq!(Writer::Claude.find(&claude, wanted("s"), |_| None), Found::None);
        let codex = [
            at("2026/01/02/rollout-2026-01-02T03-04-05-s1.jsonl.zst", 1),
            at("2026/01/02/rollout-2026-01-02T03-04-05-xs1.jsonl", 1),
        ];
        assert_eq!(Writer::Codex.find(&codex, wanted("s1"), |_| None), Found::One(&codex[0]));
        // As it is while it is being compressed.
        let twice = [
            at("2026/01/02/rollout-2026-01-02T03-04-05-s1.jsonl.zst", 1),
            at("2026/01/02/rollout-2026-01-02T03-04-05-s1.jsonl", 1),
        ];
        assert_eq!(Writer::Codex.find(&twice, wanted("s1"), |_| None), Found::One(&twice[1]));
    }

    #[test]
    fn a_compressed_rollout_is_read_as_a_whole_and_followed_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let day = home.join(".codex/sessions/2026/01/02");
        fs::create_dir_all(&day).unwrap();
        let meta =
            r#"{"timestamp":"2026-01-02T03:04:05Z","type":"session_meta","payload":{"id":"s1","cwd":"/w"}}"#;
        let name = "rollout-2026-01-02T03-04-05-s1.jsonl";
        let packed = zstd::encode_all(format!("{meta}\n").as_bytes(), 3).unwrap();
        fs::write(day.join(format!("{name}.zst")), packed).unwrap();
        let root = home.join(".codex/sessions");
        let path = list(&root).unwrap().remove(0).path;
        assert_eq!(
            thread(Writer::Codex, &root, &path).map(|t| (t.id, t.cwd)),
            Some(("s1".into(), "/w".into()))
        );
        let find = || running("codex", home, |_| None, Wanted { session: "s1", ..wanted("") }).unwrap();
        assert_eq!(find(), None);
        fs::write(day.join(name), format!("{meta}\n")).unwrap();
        assert_eq!(find().map(|at| at.path), Some(day.join(name)));
    }

    #[test]
    fn a_session_without_an_id_is_found_where_one_alone_can_be_it() {
        let here = "-home-user-a-b";
        let listed = [
            at(&format!("{here}/old.jsonl"), 9),
            at(&format!("{here}/agent-1.jsonl"), 20),
            at(&format!("{here}/one.jsonl"), 20),
            at(&format!("{here}/two.jsonl"), 30),
            at("-elsewhere/three.jsonl", 30),
        ];
        let find = |thread: fn(&Listed) -> Option<Thread>| Writer::Claude.find(&listed, wanted(""), thread);
        let both = Found::Several(vec![&listed[3], &listed[2]]);
        assert_eq!(find(|_| in_dir("/home/user/a.b")), both);
        // Another directory has the same name.
        assert_eq!(find(|_| in_dir("/home/user/a-b")), Found::None);
        let is_two = |one: &Listed| {
            in_dir(if one.size == 1 && one.path.ends_with("two.jsonl") { "/home/user/a.b" } else { "/" })
        };
        assert_eq!(find(is_two), Found::One(&listed[3]));
        assert_eq!(find(|_| None), Found::None);
        let codex = [at("2026/01/02/rollout-a.jsonl", 20)];
        let sub = |_: &Listed| in_dir("/home/user/a.b").map(|thread| Thread { parent: "p".into(), ..thread });
        assert_eq!(Writer::Codex.find(&codex, wanted(""), sub), Found::None);
        assert_eq!(
            Writer::Codex.find(&codex, wanted(""), |_| in_dir("/home/user/a.b")),
            Found::One(&codex[0])
        );
    }

    #[test]
    fn no_link_leads_out_of_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("root"), dir.path().join("out"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(&out).unwrap();
        let line = r#"{"type":"user","uuid":"u","sessionId":"s","cwd":"/w","message":{"content":"x"}}"#;
        fs::write(root.join("a/b/s.jsonl"), format!("{{\"type\":\"mode\"}}\n{line}\n")).unwrap();
        fs::write(root.join("a/partial.jsonl"), line).unwrap();
        fs::write(out.join("secret.jsonl"), "x\n").unwrap();
        symlink(&out, root.join("linked")).unwrap();
        symlink(out.join("secret.jsonl"), root.join("a/link.jsonl")).unwrap();
        let paths: Vec<PathBuf> = list(&root).unwrap().into_iter().map(|one| one.path).collect();
        assert_eq!(paths, [PathBuf::from("a/partial.jsonl"), "a/b/s.jsonl".into()]);
        for path in ["linked/secret.jsonl", "a/link.jsonl", "../out/secret.jsonl", "/etc/passwd", "", "a/b"] {
            assert!(open(&root, Path::new(path)).is_err(), "{path}");
        }
        let found = thread(Writer::Claude, &root, Path::new("a/b/s.jsonl")).unwrap();
        assert_eq!((&*found.id, &*found.cwd), ("s", "/w"));
        assert_eq!(thread(Writer::Claude, &root, Path::new("a/partial.jsonl")), None);
        assert_eq!(list(&root.join("missing")).unwrap(), []);
    }
}
