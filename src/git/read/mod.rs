//! Reads in process. A repository is open for a call, or under its lock for as long as nobody changes what it keeps in memory; refs,
//! settings and the index are read from their files each time, so nothing stale is ever answered.

pub(super) mod blame;
pub(super) mod blobs;
pub(super) mod find;
pub(super) mod local_work;
pub(super) mod own_files;
pub(super) mod status;
pub(super) mod unsaved;
pub(super) mod work_tree;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;
use std::{fmt, fs};

use git2::{ErrorClass, ErrorCode, Index, Oid, Repository, RepositoryOpenFlags};
use jiff::Timestamp;

use super::entry::{path_of, tree_at};
use super::error::GitError;
use super::limits::LOCK_FILES_CAP;
use crate::kit::file;
use crate::kit::process::may_live;

/// Where HEAD is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The full name of the branch, `refs/heads/…`; `None` when detached.
    pub branch: Option<String>,
    /// The commit; `None` when the branch is yet unborn.
    pub commit: Option<Oid>,
}

impl Head {
    /// The branch without `refs/heads/`; `None` when detached.
    pub fn name(&self) -> Option<&str> {
        self.branch.as_deref()?.strip_prefix("refs/heads/")
    }
}

/// The name that the user has told git for the repository at `root`; empty if there is none.
pub fn user_name(root: &Path) -> String {
    Reader::open(root).ok().and_then(|repo| repo.user_name()).unwrap_or_default()
}

/// The directories of all work trees of the repository whose work tree is at `root`, itself the first, as they are written and with their links
/// resolved; of what is no repository the directory itself.
pub fn work_trees(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_path_buf()];
    if let Ok(repo) = open(root) {
        // A linked work tree knows the main one by the directory that they share.
        let main = repo.commondir().canonicalize().ok().filter(|dir| dir.ends_with(".git"));
        all.extend(main.and_then(|dir| Some(dir.parent()?.to_path_buf())));
        if let Ok(names) = repo.worktrees() {
            let linked = names.iter().filter_map(|name| repo.find_worktree(name.ok()??).ok());
            all.extend(linked.map(|tree| tree.path().to_path_buf()));
        }
    }
    let real: Vec<PathBuf> = all.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    for dir in real {
        if !all.contains(&dir) {
            all.push(dir);
        }
    }
    all.dedup();
    all
}

/// An open repository to read from.
pub struct Reader {
    repo: Repository,
}

impl Reader {
    /// Opens the repository at exactly `path` (a work tree, a bare repository, or a `.git` file's place).
    ///
    /// # Errors
    /// [`GitError::Library`] with the class of what was found.
    pub fn open(path: &Path) -> Result<Reader, GitError> {
        open(path).map(|repo| Reader { repo }).map_err(GitError::git2("opening the repository"))
    }

    /// Where HEAD is.
    ///
    /// # Errors
    /// A HEAD that cannot be read.
    pub fn head(&self) -> Result<Head, GitError> {
        let head = self.repo.find_reference("HEAD").map_err(GitError::git2("reading HEAD"))?;
        let branch = head.symbolic_target().map_err(GitError::git2("reading HEAD"))?.map(str::to_owned);
        let commit = match &branch {
            Some(name) => self.target(name)?,
            None => head.target(),
        };
        Ok(Head { branch, commit })
    }

    /// The first commit that HEAD leads back to, the oldest of several; `None` before any commit.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn first_commit(&self) -> Result<Option<Oid>, GitError> {
        let failed = || GitError::git2("reading the history");
        let mut walk = self.repo.revwalk().map_err(failed())?;
        match walk.push_head() {
            Err(e) if matches!(e.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => return Ok(None),
            pushed => pushed.map_err(failed())?,
        }
        let mut last = None;
        for commit in walk {
            last = Some(commit.map_err(failed())?);
        }
        Ok(last)
    }

    /// The commit a ref points to, `None` if there is no such ref.
    ///
    /// # Errors
    /// A ref that cannot be read.
    pub fn target(&self, name: &str) -> Result<Option<Oid>, GitError> {
        found(self.repo.refname_to_id(name)).map_err(GitError::git2("reading a ref"))
    }

    /// The URL of `origin` as it was set, without the user's rewriting rules: those are for git to apply.
    pub fn origin_url(&self) -> Option<String> {
        self.repo.config().ok()?.get_string("remote.origin.url").ok()
    }

    /// The name that the user has told git for this repository.
    pub fn user_name(&self) -> Option<String> {
        self.repo.config().ok()?.get_string("user.name").ok().filter(|name| !name.is_empty())
    }

    /// Whether `older` is `newer` or one of its ancestors.
    ///
    /// # Errors
    /// A commit that cannot be read.
    pub fn is_ancestor(&self, older: Oid, newer: Oid) -> Result<bool, GitError> {
        if older == newer {
            return Ok(true);
        }
        self.repo.graph_descendant_of(newer, older).map_err(GitError::git2("comparing commits"))
    }

    /// How many commits `local` has that `upstream` has not, and the other way round.
    ///
    /// # Errors
    /// A commit that cannot be read.
    pub fn ahead_behind(&self, local: Oid, upstream: Oid) -> Result<(usize, usize), GitError> {
        self.repo.graph_ahead_behind(local, upstream).map_err(GitError::git2("comparing commits"))
    }

    /// Whether two commits share any ancestor.
    ///
    /// # Errors
    /// A commit that cannot be read.
    pub fn is_related(&self, one: Oid, other: Oid) -> Result<bool, GitError> {
        let base = found(self.repo.merge_base(one, other)).map_err(GitError::git2("comparing commits"))?;
        Ok(base.is_some())
    }

    /// Whether the clone has this commit.
    pub fn knows(&self, commit: Oid) -> bool {
        self.repo.find_commit(commit).is_ok()
    }

    /// How many files differ between two commits; a missing commit has none.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn changed_files(&self, old: Option<Oid>, new: Option<Oid>) -> Result<usize, GitError> {
        let (old, new) = (tree_at(&self.repo, old)?, tree_at(&self.repo, new)?);
        let diff = self.repo.diff_tree_to_tree(old.as_ref(), new.as_ref(), None);
        diff.map(|diff| diff.deltas().len()).map_err(GitError::git2("comparing trees"))
    }

    /// Names of the directories in the directory `dir` of a commit's tree (the root for an empty one), at most `max`; none if it
    /// is not there.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn directories(&self, commit: Oid, dir: &str, max: usize) -> Result<Vec<String>, GitError> {
        let what = "listing a tree";
        let Some(tree) = self.tree_in(commit, dir).map_err(GitError::git2(what))? else {
            return Ok(Vec::new());
        };
        let dirs = tree.iter().filter(|e| e.kind() == Some(git2::ObjectType::Tree)).take(max);
        Ok(dirs.filter_map(|e| e.name().ok().map(str::to_owned)).collect())
    }

    /// Whether a commit's tree has a file or directory at `path`.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn has_path(&self, commit: Oid, path: &str) -> Result<bool, GitError> {
        let entry = self.repo.find_commit(commit).and_then(|c| found(c.tree()?.get_path(Path::new(path))));
        entry.map(|entry| entry.is_some()).map_err(GitError::git2("looking into a tree"))
    }

    /// The directory `dir` of a commit's tree, the root for an empty one.
    fn tree_in(&self, commit: Oid, dir: &str) -> Result<Option<git2::Tree<'_>>, git2::Error> {
        let root = self.repo.find_commit(commit)?.tree()?;
        if dir.is_empty() {
            return Ok(Some(root));
        }
        let entry = found(root.get_path(Path::new(dir)))?;
        let dir = entry.filter(|entry| entry.kind() == Some(git2::ObjectType::Tree));
        dir.map(|dir| self.repo.find_tree(dir.id())).transpose()
    }

    /// The refs below a prefix with their targets, sorted by name.
    ///
    /// # Errors
    /// Refs that cannot be read.
    pub fn refs(&self, prefix: &str) -> Result<Vec<(String, Oid)>, GitError> {
        let all = self.repo.references_glob(&format!("{prefix}*")).map_err(GitError::git2("listing refs"))?;
        let mut found: Vec<(String, Oid)> =
            all.flatten().filter_map(|r| Some((r.name().ok()?.to_owned(), r.target()?))).collect();
        found.sort();
        Ok(found)
    }

    /// The index as its file has it now; the library alone would keep what it once read.
    pub(super) fn index(&self) -> Result<Index, GitError> {
        let index = self.repo.index().and_then(|mut index| index.read(true).map(|()| index));
        index.map_err(GitError::git2("reading the index"))
    }

    /// The paths whose merge nobody has settled yet, as the index has them.
    pub(super) fn unmerged(&self) -> Result<Vec<PathBuf>, GitError> {
        unmerged(&self.index()?)
    }

    pub(super) fn repo(&self) -> &Repository {
        &self.repo
    }
}

/// What the library read, or `None` where there is no such thing.
pub(super) fn found<T>(read: Result<T, git2::Error>) -> Result<Option<T>, git2::Error> {
    match read {
        Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The paths of an index that are in conflict.
pub(super) fn unmerged(index: &Index) -> Result<Vec<PathBuf>, GitError> {
    let conflicts = index.conflicts().map_err(GitError::git2("reading the index"))?;
    let path = |c: git2::IndexConflict| c.our.or(c.their).or(c.ancestor).map(|e| path_of(&e.path));
    Ok(conflicts.flatten().filter_map(path).collect())
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.repo.path()).finish()
    }
}

/// Opens the repository at exactly `path`.
pub(super) fn open(path: &Path) -> Result<Repository, git2::Error> {
    prepare_library();
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, std::iter::empty::<&Path>())
}

/// Tells the library that partial clones may be opened and written to; git before 2.43 marks them with an extension that it refuses otherwise.
/// Whoever opens a repository without this room calls it first.
pub fn prepare_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Sound: the library keeps the names in a static that it reads when it opens or makes a repository. Every place in the
        // program that does so comes through here first, and `Once` runs this a single time and makes all others wait for its
        // end; so nobody reads while this writes.
        #[allow(unsafe_code)]
        let known = unsafe { git2::opts::set_extensions(&["partialclone"]) };
        if let Err(e) = known {
            log::warn!("partial clones cannot be opened: {e}");
        }
        // A tree may name contents that were left at the remote.
        git2::opts::strict_object_creation(false);
        // Whom a repository may belong to git itself decides (`safe.directory`), see `find`; reading runs no program of it.
        #[allow(unsafe_code)]
        // Sound for the reason above.
        let unchecked = unsafe { git2::opts::set_verify_owner_validation(false) };
        if let Err(e) = unchecked {
            log::warn!("repositories of other owners cannot be opened: {e}");
        }
    });
}

/// The answer to "is this clone sound?". Only a proof may ever lead to deleting or replacing it.
#[derive(Debug)]
pub enum Verdict {
    /// It opens, HEAD makes sense and its commit can be read; open to read on.
    Sound(Reader),
    /// It is proven not to be a usable clone.
    Damaged(String),
    /// It could not be looked at; nothing follows from that.
    Unknown(GitError),
}

/// Looks at the clone at `path` from the outside: structure, HEAD, its tip.
pub fn verify(path: &Path) -> Verdict {
    match fs::symlink_metadata(path.join(".git")) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return missing_git(path),
        Err(e) => return Verdict::Unknown(GitError::io("looking at", path)(e)),
    }
    let repo = match open(path) {
        Ok(repo) => repo,
        Err(e) if e.code() == ErrorCode::Owner || e.class() == ErrorClass::Os => {
            return Verdict::Unknown(GitError::git2("opening the clone")(e));
        }
        Err(e) => return damaged_by_structure(path, e),
    };
    fault_of_head(&repo).or_else(|| fault_of_index(path)).unwrap_or(Verdict::Sound(Reader { repo }))
}

/// Nothing if the index begins as one does, or there is none yet. Git replaces it whole, so it is never empty by itself; the library
/// takes an empty one for that of a clone without files.
fn fault_of_index(path: &Path) -> Option<Verdict> {
    let index = path.join(".git/index");
    let mut start = [0; 4];
    match fs::File::open(&index).and_then(|mut file| file.read_exact(&mut start)) {
        Ok(()) if start == *b"DIRC" => None,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            Some(Verdict::Unknown(GitError::io("reading the index", &index)(e)))
        }
        _ => Some(Verdict::Damaged(".git/index is not readable as an index".to_owned())),
    }
}

fn missing_git(path: &Path) -> Verdict {
    match file::found(fs::symlink_metadata(path)) {
        Ok(Some(_)) => Verdict::Damaged("there is no .git in it".to_owned()),
        Ok(None) => Verdict::Damaged("there is nothing".to_owned()),
        Err(e) => Verdict::Unknown(GitError::io("looking at", path)(e)),
    }
}

/// The library refused to open it: proven only if a part that every repository has is absent or not readable as such.
fn damaged_by_structure(path: &Path, e: git2::Error) -> Verdict {
    let git = path.join(".git");
    for part in ["HEAD", "objects", "refs"] {
        if git.is_dir() && file::is_gone(&git.join(part)) {
            return Verdict::Damaged(format!(".git/{part} is missing"));
        }
    }
    match fs::read(git.join("HEAD")) {
        Ok(head) if !plausible_head(&head) => {
            Verdict::Damaged(".git/HEAD is not readable as a HEAD".to_owned())
        }
        _ => Verdict::Unknown(GitError::git2("opening the clone")(e)),
    }
}

fn plausible_head(head: &[u8]) -> bool {
    let text = head.trim_ascii();
    text.starts_with(b"ref: refs/") || (text.len() >= 40 && text.iter().all(u8::is_ascii_hexdigit))
}

/// Nothing if HEAD makes sense and its commit can be read, or there is none yet; else the verdict.
fn fault_of_head(repo: &Repository) -> Option<Verdict> {
    let fault = |subject: &str, e: git2::Error| match e.class() {
        ErrorClass::Os => Some(Verdict::Unknown(GitError::git2("reading HEAD and its commit")(e))),
        _ => Some(Verdict::Damaged(format!("{subject}: {}", e.message()))),
    };
    let head = match found(repo.find_reference("HEAD")) {
        Ok(Some(head)) => head,
        Ok(None) => return Some(Verdict::Damaged("HEAD is missing".to_owned())),
        Err(e) => return fault("HEAD", e),
    };
    if matches!(head.symbolic_target(), Ok(Some("refs/heads/.invalid"))) {
        let proof = "HEAD points to refs/heads/.invalid, as an interrupted clone leaves it";
        return Some(Verdict::Damaged(proof.to_owned()));
    }
    let id = match found(head.resolve()) {
        Ok(branch) => branch?.target()?, // nothing if it is yet unborn
        Err(e) => return fault("HEAD", e),
    };
    let read = repo.find_commit(id).and_then(|c| c.tree());
    read.err().and_then(|e| fault(&format!("commit {id} at HEAD"), e))
}

/// An operation that somebody left half done in a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name as git calls it.
    pub what: &'static str,
    /// The file or directory in `.git` that shows it.
    pub path: PathBuf,
    /// Its age.
    pub age: Duration,
}

impl From<Foreign> for GitError {
    fn from(Foreign { what, age, .. }: Foreign) -> GitError {
        GitError::Foreign { what, age }
    }
}

/// Files in `.git` that show an operation under way.
const UNDER_WAY: &[(&str, &str)] = &[
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
];

/// A rebase, merge or the like under way in the clone at `path`, told by the files that git keeps for it.
pub fn foreign_operation(path: &Path, now: Timestamp) -> Option<Foreign> {
    let git = path.join(".git");
    UNDER_WAY.iter().find_map(|(file, what)| {
        let path = git.join(file);
        let meta = fs::symlink_metadata(&path).ok()?;
        Some(Foreign { what, age: age(&meta, now), path })
    })
}

fn age(meta: &fs::Metadata, now: Timestamp) -> Duration {
    let since = meta.modified().ok().and_then(|t| Timestamp::try_from(t).ok());
    since.and_then(|t| Duration::try_from(now.duration_since(t)).ok()).unwrap_or_default()
}

/// A lock file of git in a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// Where it is.
    pub path: PathBuf,
    /// How old it is.
    pub age: Duration,
    /// The process that its name tells, and whether that lives.
    pub owner: Option<(u32, bool)>,
}

/// The lock files of the clone at `path`: of the index, HEAD, configuration, shallow list, set of files and refs.
///
/// # Errors
/// A directory that cannot be listed.
pub fn lock_files(path: &Path, now: Timestamp) -> Result<Vec<LockFile>, GitError> {
    let git = path.join(".git");
    let mut locks = Vec::new();
    let mut todo = vec![(git.join("refs"), true), (git.join("info"), false), (git, false)];
    for _ in 0..LOCK_FILES_CAP {
        let Some((dir, with_all_below)) = todo.pop().filter(|_| locks.len() <= LOCK_FILES_CAP) else { break };
        let entries = file::found(fs::read_dir(&dir)).map_err(GitError::io("listing", &dir))?;
        for entry in entries.into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                todo.extend(with_all_below.then(|| (entry.path(), true)));
            } else if let Some(name) = entry.file_name().to_str().and_then(|n| n.strip_suffix(".lock")) {
                let pid = name.strip_prefix("next-index-").and_then(|p| p.parse::<u32>().ok());
                let owner = pid.map(|pid| (pid, may_live(pid)));
                locks.push(LockFile { path: entry.path(), age: age(&meta, now), owner });
            }
        }
    }
    locks.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(locks)
}
