//! Where Gemini CLI's transcripts lie, and which is that of a running session.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use sha2::{Digest, Sha256};

use crate::harness::answer::{is_named_after, is_ours};
use crate::kit::hex::hex;
use crate::kit::openat;

/// So many names are read in one directory; what is beyond is not found.
const NAMES_MAX: usize = 20_000;
/// A longer path is not read from `.project_root`.
const PATH_MAX: usize = 8 << 10;

/// A transcript as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Below the directory with the projects.
    pub path: PathBuf,
    /// The session to whose sub-agent it belongs; empty if it is a session's own.
    pub parent: String,
    /// When it was last written.
    pub modified: Timestamp,
    /// In bytes.
    pub size: u64,
}

impl Chat {
    /// What its name says of its session: the first eight characters of its id, or of a sub-agent the whole.
    pub fn session(&self) -> &str {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match stem.strip_prefix("session-") {
            Some(rest) => rest.rsplit('-').next().unwrap_or_default(),
            None => stem,
        }
    }
}

/// A project, as the program keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its directory: a short name, in older versions the SHA-256 of its path.
    pub name: String,
    /// Where it is, if that is written down.
    pub root: Option<PathBuf>,
    /// Its transcripts.
    pub chats: Vec<Chat>,
}

/// The directory with the projects. `home` is the user's, or `GEMINI_CLI_HOME`.
pub fn root(home: &Path) -> PathBuf {
    home.join(".gemini").join("tmp")
}

/// The transcript of the session that runs in `cwd`: of the project there, or of the nearest one around it. With `session` it is that
/// session's. Without, it is the only one written since `since`; of two sessions neither, for it cannot be told which is meant.
pub fn running<'a>(
    projects: &'a [Project],
    cwd: &Path,
    session: Option<&str>,
    since: Timestamp,
) -> Option<&'a Chat> {
    for dir in cwd.ancestors() {
        let hash: String = hex(&Sha256::digest(dir.to_string_lossy().as_bytes()));
        let here = |p: &&Project| p.root.as_deref().map_or(p.name == hash, |root| root == dir);
        let mains =
            || projects.iter().filter(here).flat_map(|p| &p.chats).filter(|chat| chat.parent.is_empty());
        // A session that is resumed leaves a second file that ends with its beginning: the newest is the one that grows.
        let newest = |chats: Vec<&'a Chat>| chats.into_iter().max_by_key(|c| (c.modified, c.size));
        if let Some(session) = session {
            let short: String = session.chars().take(8).collect();
            if let Some(chat) =
                newest(mains().filter(|c| !short.is_empty() && c.session() == short).collect())
            {
                return Some(chat);
            }
            continue;
        }
        let recent: Vec<&Chat> = mains().filter(|chat| chat.modified >= since).collect();
        if let Some(first) = recent.first() {
            let one = recent.iter().all(|chat| chat.session() == first.session());
            return if one { newest(recent) } else { None };
        }
    }
    None
}

/// The transcripts of the sub-agents of `session`, by their names.
pub fn children<'a>(projects: &'a [Project], session: &str) -> Vec<&'a Chat> {
    let chats = projects.iter().flat_map(|p| &p.chats);
    let mut found: Vec<&Chat> = chats.filter(|chat| !session.is_empty() && chat.parent == session).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Reads what lies below `root`. Links in it are not followed, and what cannot be read is not there. What our own runs for an answer left is
/// nobody's, and left out: the program cannot be told to write nothing down.
///
/// # Errors
/// `root` cannot be read.
pub fn projects(root: &Path) -> io::Result<Vec<Project>> {
    let mut found = Vec::new();
    for (name, _) in entries(root, &[])?.into_iter().filter(|(_, entry)| entry.is_dir) {
        let root_file = openat::read(root, &[&name], ".project_root", PATH_MAX).ok();
        let path = root_file.and_then(|bytes| String::from_utf8(bytes).ok());
        let mut project =
            Project { root: path.map(|p| PathBuf::from(p.trim_end_matches('\n'))), ..Project::default() };
        if is_named_after(&name) || project.root.as_deref().is_some_and(is_ours) {
            continue;
        }
        for (file, entry) in entries(root, &[&name, "chats"]).unwrap_or_default() {
            if !entry.is_dir {
                project.chats.extend(chat(&[&name, "chats"], &file, "", &entry));
                continue;
            }
            for (own, entry) in entries(root, &[&name, "chats", &file]).unwrap_or_default() {
                project.chats.extend(chat(&[&name, "chats", &file], &own, &file, &entry));
            }
        }
        project.name = name;
        found.push(project);
    }
    Ok(found)
}

struct Entry {
    is_dir: bool,
    modified: Timestamp,
    size: u64,
}

fn chat(dirs: &[&str], file: &str, parent: &str, entry: &Entry) -> Option<Chat> {
    let is_chat = !entry.is_dir && (file.ends_with(".jsonl") || file.ends_with(".json"));
    let path = dirs.iter().copied().chain([file]).collect();
    is_chat.then(|| Chat { path, parent: parent.to_string(), modified: entry.modified, size: entry.size })
}

/// The directories and regular files of a directory, by name.
fn entries(root: &Path, dirs: &[&str]) -> io::Result<Vec<(String, Entry)>> {
    let fd = File::from(openat::enter(root, dirs, false)?);
    let mut found = Vec::new();
    for name in Dir::read_from(&fd)?.take(NAMES_MAX) {
        let name = name?;
        let Ok(text) = name.file_name().to_str() else { continue };
        if text == "." || text == ".." {
            continue;
        }
        let Ok(stat) = statat(fd.as_fd(), name.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let nanos = i32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let modified = Timestamp::new(stat.st_mtime, nanos).unwrap_or(Timestamp::UNIX_EPOCH);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        if kind == FileType::Directory || kind == FileType::RegularFile {
            found.push((text.to_string(), Entry { is_dir: kind == FileType::Directory, modified, size }));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(name: &str, parent: &str, second: i64, size: u64) -> Chat {
        let modified = Timestamp::from_second(second).unwrap();
        Chat { path: Path::new("p/chats").join(name), parent: parent.to_string(), modified, size }
    }

    #[test]
    fn the_running_session_is_that_of_the_directory_and_of_no_other() {
        let projects = [
            Project {
                name: "one".into(),
                root: Some("/home/u/one".into()),
                chats: vec![
                    chat("session-2026-11-30T08-51-ec7bf948.jsonl", "", 200, 9000),
                    chat("session-2026-11-30T08-52-ec7bf948.jsonl", "", 190, 900),
                    chat("session-2026-11-29T08-51-aaaaaaaa.jsonl", "", 50, 900),
                    chat("b.jsonl", "ec7bf948-d8d5", 210, 10),
                    chat("a.jsonl", "ec7bf948-d8d5", 210, 10),
                ],
            },
            Project {
                name: "home".into(),
                root: Some("/home/u".into()),
                chats: vec![
                    chat("session-2026-11-30T08-51-11111111.jsonl", "", 300, 1),
                    chat("session-2026-11-30T08-51-22222222.jsonl", "", 301, 1),
                ],
            },
        ];
        let find = |cwd: &str, session: Option<&str>, since: i64| {
            let since = Timestamp::from_second(since).unwrap();
            running(&projects, Path::new(cwd), session, since)
                .map(|c| c.path.file_name().unwrap().to_str().unwrap())
        };
        let grows = Some("session-2026-11-30T08-51-ec7bf948.jsonl");
        assert_eq!(find("/home/u/one", None, 100), grows, "the newest of its two files");
        assert_eq!(find("/home/u/one/deep/er", None, 100), grows, "below the project");
        assert_eq!(find("/home/u/one", None, 10), None, "two sessions");
        assert_eq!(find("/home/u/one", Some("ec7bf948-d8d5-47a3"), 1000), grows, "its id");
        assert_eq!(
            find("/home/u/one", Some("aaaaaaaa-"), 0),
            Some("session-2026-11-29T08-51-aaaaaaaa.jsonl")
        );
        assert_eq!(find("/home/u/one", Some(""), 0), None);
        assert_eq!(find("/home/u/other", None, 100), None, "two sessions around it");
        assert_eq!(find("/elsewhere", None, 0), None);
        let names: Vec<&str> = children(&projects, "ec7bf948-d8d5").iter().map(|c| c.session()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(children(&projects, "").is_empty());
    }

    #[test]
    fn an_older_project_is_known_by_the_hash_of_its_path() {
        let name = hex(&Sha256::digest("/home/u/old"));
        let chats = vec![chat("session-2025-10-01T08-51-ec7bf948.json", "", 5, 1)];
        let projects = [Project { name, root: None, chats }];
        let found = running(&projects, Path::new("/home/u/old"), None, Timestamp::UNIX_EPOCH);
        assert_eq!(found, projects[0].chats.first());
    }

    #[test]
    fn what_lies_there_is_found_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path());
        assert!(projects(&root).is_err());
        let chats = root.join("work/chats");
        std::fs::create_dir_all(chats.join("parent")).unwrap();
        std::fs::create_dir_all(dir.path().join("away/chats")).unwrap();
        std::fs::write(root.join("work/.project_root"), "/home/u/work").unwrap();
        for name in ["session-1-a.jsonl", "parent/b.jsonl", "session-1-c.json", "session-1-a.jsonl.tmp-1"] {
            std::fs::write(chats.join(name), "{}\n").unwrap();
        }
        std::fs::write(dir.path().join("away/chats/session-1-d.jsonl"), "{}\n").unwrap();
        std::os::unix::fs::symlink(dir.path().join("away"), root.join("linked")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", chats.join("session-1-e.jsonl")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("away/chats"), chats.join("linked")).unwrap();
        let found = projects(&root).unwrap();
        let [project] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (project.name.as_str(), project.root.as_deref()),
            ("work", Some(Path::new("/home/u/work")))
        );
        let seen: Vec<(&str, &str)> =
            project.chats.iter().map(|c| (c.path.to_str().unwrap(), c.parent.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("work/chats/parent/b.jsonl", "parent"),
                ("work/chats/session-1-a.jsonl", ""),
                ("work/chats/session-1-c.json", ""),
            ]
        );
        assert!(project.chats.iter().all(|c| c.size == 3 && c.modified > Timestamp::UNIX_EPOCH));
    }
}
