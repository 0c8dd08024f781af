//! What a clone has that a new clone of its remote would not have, and what keeps it from being moved. Only looks.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use git2::Oid;
use sha2::{Digest, Sha256};

use super::status::{settled, status};
use super::{Head, Reader};
use crate::git::command::Git;
use crate::git::entry::{
    Entry, GITLINK, LINK, OnDisk, bytes_of, hash_of, on_disk, on_disk_in, parse_staged, path_of, zero_split,
};
use crate::git::error::GitError;
use crate::git::limits::{OPEN_SETTLES, PLAIN_FILES_CAP};
use crate::kit::cancel::Cancel;
use crate::kit::clock::wait_until;
use crate::kit::file::found;
use crate::kit::hex::hex;

/// Parts of `.git` that somebody may have put something into and no clone brings: taken along byte for byte.
const INSIDE_GIT: [&str; 5] =
    [".git/info/exclude", ".git/info/attributes", ".git/hooks", ".git/lfs", ".git/ox/hold"];
/// Refs that only mirror the remote.
pub(super) const MIRRORED: &str = "refs/remotes/";
pub(super) const STASH: &str = "refs/stash";

/// Everything of a clone that a new clone of its remote would not have, as it was at one moment. Two of the same clone are
/// equal if nothing was written to it in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalWork {
    pub(in crate::git) head: Head,
    /// All refs but those that mirror the remote.
    pub(in crate::git) refs: BTreeMap<String, Oid>,
    /// Dirty tracked files, and untracked ones.
    pub(in crate::git) pieces: BTreeMap<PathBuf, Piece>,
    /// Ignored files, files of nested repositories, and our own and the user's files inside `.git`.
    pub(in crate::git) plain: BTreeMap<PathBuf, OnDisk>,
    /// `user.*` of the clone's own configuration.
    pub(in crate::git) settings: Vec<(String, String)>,
}

/// A dirty or untracked path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::git) struct Piece {
    pub(in crate::git) staged: bool,
    /// Only announced to git (`add -N`): its content is in no object yet.
    pub(in crate::git) announced: bool,
    pub(in crate::git) index: Entry,
    pub(in crate::git) disk: OnDisk,
}

/// What a clone has that cannot be carried to another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmovable {
    /// `git stash list` is not empty.
    #[error("it has stashed changes")]
    Stash,
    /// Another local branch has commits that no remote-tracking ref has.
    #[error("its branch {0} has commits that the remote has not")]
    Branch(String),
    /// Other work trees belong to it.
    #[error("other work trees belong to it")]
    WorkTrees,
    /// It has submodules.
    #[error("it has submodules")]
    Submodules,
    /// A file that git was told not to look at has changed.
    #[error("{} is changed and hidden from git", .0.display())]
    Hidden(PathBuf),
    /// Another process has a file in it open.
    #[error("process {0} has a file in it open")]
    InUse(u32),
}

/// Files of the clone at `path` that are changed or untracked, as `git status` names them: no sync takes them anywhere.
///
/// # Errors
/// As those of `git status`.
pub fn uncommitted(git: &Git, path: &Path, cancel: &Cancel) -> Result<Vec<PathBuf>, GitError> {
    let all = settled(status(git, path, true, cancel)?)?.into_iter();
    Ok(all.filter(|(mark, _)| *mark != [b'!', b'!']).map(|(_, name)| name).collect())
}

impl LocalWork {
    /// Looks at the clone at `path`.
    ///
    /// # Errors
    /// Unmerged paths, special files, or whatever else keeps a part from being looked at: then nothing is known.
    pub fn of(git: &Git, path: &Path, cancel: &Cancel) -> Result<LocalWork, GitError> {
        let reader = Reader::open(path)?;
        let refs = reader.refs("refs/")?;
        let refs = refs.into_iter().filter(|(name, _)| !name.starts_with(MIRRORED)).collect();
        let index = index_of(git, path, cancel)?;
        let (mut pieces, mut plain) = (BTreeMap::new(), BTreeMap::new());
        let mut marked = settled(status(git, path, true, cancel)?)?;
        // A path that is gone from the index but still on disk comes twice: the tracked one first.
        marked.sort_by_key(|(mark, _)| matches!(mark, [b'?' | b'!', _]));
        for (mark, name) in marked {
            let is_dir = bytes_of(&name).ends_with(b"/");
            match mark {
                [b'!', b'!'] => walk(path, &name, &index, &mut plain)?,
                [b'?', b'?'] if is_dir => walk(path, &name, &index, &mut plain)?,
                [b'?', b'?'] => {
                    let disk = on_disk_in(path, &name)?;
                    let untracked = Piece { staged: false, announced: false, index: None, disk };
                    pieces.entry(name).or_insert(untracked);
                }
                [x, y] => {
                    let (staged, announced) = (x != b' ', x == b' ' && y == b'A');
                    let (index, disk) = (index.get(&name).copied(), on_disk_in(path, &name)?);
                    pieces.insert(name, Piece { staged, announced, index, disk });
                }
            }
        }
        for inside in INSIDE_GIT {
            walk(path, Path::new(inside), &index, &mut plain)?;
        }
        let settings = settings(git, path, cancel)?;
        Ok(LocalWork { head: reader.head()?, refs, pieces, plain, settings })
    }

    /// HEAD's commit.
    pub fn commit(&self) -> Option<Oid> {
        self.head.commit
    }

    /// Whether no file is dirty or untracked.
    pub fn is_clean(&self) -> bool {
        self.pieces.is_empty()
    }

    /// SHA-256 of all of it in hex: the same as long as nothing is written to the clone, wherever it is moved on its file
    /// system.
    pub fn fingerprint(&self) -> String {
        let mut all = Sha256::new();
        let mut feed = |part: &[u8]| {
            all.update((part.len() as u64).to_le_bytes());
            all.update(part);
        };
        feed(self.head.branch.as_deref().unwrap_or_default().as_bytes());
        feed(&oid_bytes(self.head.commit));
        for (name, id) in &self.refs {
            feed(name.as_bytes());
            feed(id.as_bytes());
        }
        for (path, piece) in &self.pieces {
            feed(bytes_of(path));
            let (mode, id) = piece.index.map_or((0, None), |(m, id)| (m, Some(id)));
            let marks = [u8::from(piece.staged), u8::from(piece.announced)];
            feed(&[&marks[..], &mode.to_le_bytes(), &oid_bytes(id)].concat());
            feed(&disk_bytes(&piece.disk));
        }
        for (path, disk) in &self.plain {
            feed(bytes_of(path));
            feed(&disk_bytes(disk));
        }
        for (name, value) in &self.settings {
            feed(name.as_bytes());
            feed(value.as_bytes());
        }
        hex(&all.finalize())
    }
}

fn oid_bytes(id: Option<Oid>) -> Vec<u8> {
    id.map(|i| i.as_bytes().to_vec()).unwrap_or_default()
}

fn disk_bytes(disk: &OnDisk) -> Vec<u8> {
    let (dev, ino, size, seconds, nanos) = disk.stat;
    // A journal of an earlier version has the number of a link like this.
    let kind = disk.mode.map_or(0, |mode| if mode == LINK { 1 } else { mode });
    let mut all = kind.to_le_bytes().to_vec();
    [dev, ino, size].iter().for_each(|n| all.extend(n.to_le_bytes()));
    [seconds, nanos].iter().for_each(|n| all.extend(n.to_le_bytes()));
    all
}

type Index = HashMap<PathBuf, (u32, Oid)>;

pub(in crate::git) fn index_of(git: &Git, path: &Path, cancel: &Cancel) -> Result<Index, GitError> {
    let out = git.local("ls-files", path).args(["-s", "-z"]).run(cancel)?;
    Ok(zero_split(&out.stdout).filter_map(parse_staged).collect())
}

fn settings(git: &Git, path: &Path, cancel: &Cancel) -> Result<Vec<(String, String)>, GitError> {
    let ask = git.local("config", path).args(["--local", "-z", "--get-regexp", r"^user\."]);
    let out = ask.run_any(cancel)?;
    let text = |entry: &[u8]| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
        Some((name.to_owned(), value.to_owned()))
    };
    Ok(zero_split(&out.stdout).filter_map(text).collect())
}

/// All untracked files and links at or below `start`, whatever git thinks of them. Sockets and pipes hold no bytes.
fn walk(
    root: &Path,
    start: &Path,
    index: &Index,
    files: &mut BTreeMap<PathBuf, OnDisk>,
) -> Result<(), GitError> {
    let mut todo = vec![start.components().collect::<PathBuf>()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        let there = found(fs::symlink_metadata(&full)).map_err(GitError::io("looking at", &full))?;
        let Some(kind) = there.map(|meta| meta.file_type()) else { continue };
        if kind.is_dir() {
            for entry in fs::read_dir(&full).map_err(GitError::io("listing", &full))? {
                todo.push(path.join(entry.map_err(GitError::io("listing", &full))?.file_name()));
            }
        } else if (kind.is_file() || kind.is_symlink()) && !index.contains_key(&path) {
            if files.len() >= PLAIN_FILES_CAP {
                return Err(GitError::BadPath { path, why: "more ignored files than are carried" });
            }
            files.insert(path, on_disk(&full)?);
        }
    }
    Ok(())
}

/// What the clone at `path`, kept on `branch`, has that cannot be carried; `None` if there is nothing such.
///
/// # Errors
/// It could not be looked at; nothing follows from that.
pub fn unmovable(
    git: &Git,
    path: &Path,
    branch: &str,
    cancel: &Cancel,
) -> Result<Option<Unmovable>, GitError> {
    let reader = Reader::open(path)?;
    if reader.target(STASH)?.is_some() {
        return Ok(Some(Unmovable::Stash));
    }
    let known: Vec<Oid> = reader.refs(MIRRORED)?.into_iter().map(|(_, id)| id).collect();
    for (name, id) in reader.refs("refs/heads/")? {
        let short = name.trim_start_matches("refs/heads/");
        if short != branch && !is_known(&reader, id, &known)? {
            return Ok(Some(Unmovable::Branch(short.to_owned())));
        }
    }
    let trees = path.join(".git/worktrees");
    let others = found(fs::read_dir(&trees)).map_err(GitError::io("listing", &trees))?;
    if others.is_some_and(|mut entries| entries.next().is_some()) {
        return Ok(Some(Unmovable::WorkTrees));
    }
    let index = index_of(git, path, cancel)?;
    if index.values().any(|(mode, _)| *mode == GITLINK) {
        return Ok(Some(Unmovable::Submodules));
    }
    if let Some(hidden) = hidden_change(git, path, &index, cancel)? {
        return Ok(Some(Unmovable::Hidden(hidden)));
    }
    Ok(open_elsewhere(path).map(Unmovable::InUse))
}

pub(in crate::git) fn is_known(reader: &Reader, id: Oid, known: &[Oid]) -> Result<bool, GitError> {
    for tip in known {
        if reader.is_ancestor(id, *tip)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file marked assume-unchanged or skip-worktree that is on disk with other bytes: `git status` does not tell of it.
fn hidden_change(
    git: &Git,
    path: &Path,
    index: &Index,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, GitError> {
    let out = git.local("ls-files", path).args(["-v", "-z"]).run(cancel)?;
    for entry in zero_split(&out.stdout) {
        let [tag, b' ', name @ ..] = entry else { continue };
        if *tag != b'S' && !tag.is_ascii_lowercase() {
            continue;
        }
        let name = path_of(name);
        let Some(mode) = on_disk_in(path, &name)?.mode else { continue };
        let disk = Some((mode, hash_of(&path.join(&name), mode)?));
        if disk != index.get(&name).copied() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Another process that has a file below `path` open, by /proc, and keeps it open for a moment: a child that was just started
/// has its parent's. Where there is no /proc, or not for us, nobody is seen.
pub fn open_elsewhere(path: &Path) -> Option<u32> {
    let path = path.canonicalize().ok()?;
    let mut found = None;
    wait_until(OPEN_SETTLES, || {
        found = open_now(&path);
        found.is_none()
    });
    found
}

fn open_now(path: &Path) -> Option<u32> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own).find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut targets = files.flatten().filter_map(|f| fs::read_link(f.path()).ok());
        targets.any(|t| t.starts_with(path))
    })
}
