//! Which commit brought each line of a file of a user's repository, and what commits added. In process; nothing is written.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{BlameOptions, Delta, DiffFindOptions, DiffOptions, Oid, Patch, Repository, Sort};
use jiff::Timestamp;

use super::{found, open};
use crate::git::error::GitError;
use crate::git::limits::BLAME_BYTES_MAX;

/// A commit, as far as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub id: Oid,
    /// When its content was committed first.
    pub authored: Timestamp,
    /// When it was made: a rebase or an amend makes it anew.
    pub committed: Timestamp,
    /// Who committed its content first.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// Its message.
    pub message: String,
}

/// Where a line of a file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineOrigin {
    /// The commit, as the place in [`Blamed::commits`].
    pub commit: usize,
    /// Its place in the file there, from 0.
    pub line: usize,
}

/// A file of a work tree, with the commits that its lines came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blamed {
    /// Its lines, as they lie in the work tree.
    pub lines: Vec<String>,
    /// Of each line where it came from; `None` while it is not committed.
    pub origins: Vec<Option<LineOrigin>>,
    /// The commits, each once.
    pub commits: Vec<CommitInfo>,
    /// What the file was called in each of them.
    pub names: Vec<String>,
}

/// A file that a commit changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedLines {
    /// Its path in the commit, and the one before it where it was renamed.
    pub names: Vec<String>,
    /// Its lines in the commit.
    pub lines: Vec<String>,
    /// Which of them the commit added, from 0.
    pub added: Vec<usize>,
}

/// What a user's repository tells of the history of its lines.
pub struct History {
    repo: Repository,
    root: PathBuf,
}

impl History {
    /// Opens the repository whose work tree is at `root`.
    ///
    /// # Errors
    /// [`GitError::Library`] with the class of what was found.
    pub fn open(root: &Path) -> Result<History, GitError> {
        let repo = open(root).map_err(GitError::git2("opening the repository"))?;
        Ok(History { repo, root: root.to_owned() })
    }

    /// The file at `path` of the work tree, or of HEAD where it is not there, with where each line came from: white space aside, and through
    /// renames of the file. `None` where there is no such file, or none with lines.
    ///
    /// # Errors
    /// The file, a commit or a tree that cannot be read.
    pub fn blame(&self, path: &str) -> Result<Option<Blamed>, GitError> {
        let what = "finding out where lines came from";
        let committed = self.in_head(path).map_err(GitError::git2(what))?;
        let here = self.root.join(path);
        let now = match fs::symlink_metadata(&here) {
            Ok(meta) if meta.is_file() && meta.len() <= BLAME_BYTES_MAX => {
                Some(fs::read(&here).map_err(GitError::io("reading", &here))?)
            }
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            Err(e) => return Err(GitError::io("looking at", &here)(e)),
        };
        let Some(bytes) = now.or_else(|| committed.clone()) else { return Ok(None) };
        let Some(lines) = lines_of(&bytes) else { return Ok(None) };
        let mut blamed = Blamed { origins: vec![None; lines.len()], lines, ..Blamed::default() };
        if let Some(committed) = committed {
            self.origins(path, &committed, &bytes, &mut blamed).map_err(GitError::git2(what))?;
        }
        Ok(Some(blamed))
    }

    fn in_head(&self, path: &str) -> Result<Option<Vec<u8>>, git2::Error> {
        match self.repo.head() {
            Ok(head) => self.content(&head.peel_to_commit()?, path),
            Err(_) if self.repo.is_empty().unwrap_or(true) => Ok(None),
            Err(e) if e.code() == git2::ErrorCode::UnbornBranch => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn content(&self, commit: &git2::Commit<'_>, path: &str) -> Result<Option<Vec<u8>>, git2::Error> {
        let Some(entry) = found(commit.tree()?.get_path(Path::new(path)))? else { return Ok(None) };
        if entry.kind() != Some(git2::ObjectType::Blob) {
            return Ok(None);
        }
        let blob = self.repo.find_blob(entry.id())?;
        Ok((blob.size() as u64 <= BLAME_BYTES_MAX).then(|| blob.content().to_vec()))
    }

    fn origins(&self, path: &str, committed: &[u8], now: &[u8], to: &mut Blamed) -> Result<(), git2::Error> {
        let mut options = BlameOptions::new();
        options.ignore_whitespace(true);
        let blame = self.repo.blame_file(Path::new(path), Some(&mut options))?;
        let count = lines_of(committed).map_or(0, |lines| lines.len());
        let mut of_head: Vec<Option<LineOrigin>> = vec![None; count];
        let mut places: HashMap<(Oid, String), usize> = HashMap::new();
        for hunk in blame.iter() {
            let id = hunk.final_commit_id();
            let name = hunk.path().and_then(Path::to_str).unwrap_or(path).to_owned();
            let commit = match places.get(&(id, name.clone())) {
                Some(known) => *known,
                None => {
                    to.commits.push(info(&self.repo.find_commit(id)?));
                    to.names.push(name.clone());
                    places.insert((id, name), to.commits.len() - 1);
                    to.commits.len() - 1
                }
            };
            for n in 0..hunk.lines_in_hunk() {
                if let Some(place) = of_head.get_mut(hunk.final_start_line() - 1 + n) {
                    *place = Some(LineOrigin { commit, line: hunk.orig_start_line() - 1 + n });
                }
            }
        }
        for (now, then) in unchanged(committed, now, to.lines.len())?.into_iter().enumerate() {
            to.origins[now] = then.and_then(|then| of_head.get(then).copied().flatten());
        }
        Ok(())
    }

    /// The lines of the file `path` in a commit; `None` where it is not there, or has none.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn lines_at(&self, commit: Oid, path: &str) -> Result<Option<Vec<String>>, GitError> {
        let content = self.repo.find_commit(commit).and_then(|commit| self.content(&commit, path));
        let content = content.map_err(GitError::git2("reading a file of a commit"))?;
        Ok(content.and_then(|bytes| lines_of(&bytes)))
    }

    /// Whether a commit has a file at `path`; the work tree for `None`.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn has(&self, commit: Option<Oid>, path: &str) -> Result<bool, GitError> {
        let what = "looking into a tree";
        let Some(commit) = commit else {
            let here = self.root.join(path);
            return match fs::symlink_metadata(&here) {
                Ok(_) => Ok(true),
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    Ok(false)
                }
                Err(e) => Err(GitError::io("looking at", &here)(e)),
            };
        };
        let commit = self.repo.find_commit(commit).map_err(GitError::git2(what))?;
        let entry = commit.tree().and_then(|tree| found(tree.get_path(Path::new(path))));
        entry.map(|entry| entry.is_some()).map_err(GitError::git2(what))
    }

    /// The commits of all branches, of this repository and of its remotes, that were made since `since`, the newest first, at most `max`;
    /// and whether there are more. Merges are left out.
    ///
    /// # Errors
    /// Refs or commits that cannot be read.
    pub fn commits_since(&self, since: Timestamp, max: usize) -> Result<(Vec<CommitInfo>, bool), GitError> {
        let read = || {
            let mut walk = self.repo.revwalk()?;
            walk.set_sorting(Sort::TIME)?;
            for glob in ["refs/heads/*", "refs/remotes/*"] {
                walk.push_glob(glob)?;
            }
            match self.repo.head() {
                Ok(head) => walk.push(head.peel_to_commit()?.id())?,
                Err(e) if matches!(e.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound) => {}
                Err(e) => return Err(e),
            }
            let (mut all, mut older) = (Vec::new(), 0);
            for id in walk {
                let commit = self.repo.find_commit(id?)?;
                if commit.time().seconds() < since.as_second() {
                    // Clocks differ: one that is older may still lead to others that are not.
                    older += 1;
                    if older > OLDER_MAX {
                        break;
                    }
                } else if all.len() == max {
                    return Ok((all, true));
                } else if commit.parent_count() < 2 {
                    all.push(info(&commit));
                }
            }
            Ok((all, false))
        };
        read().map_err(GitError::git2("reading the history"))
    }

    /// The lines that a commit added, compared with the one before it, white space aside; of files with lines.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn added(&self, commit: Oid) -> Result<Vec<AddedLines>, GitError> {
        let read = || {
            let commit = self.repo.find_commit(commit)?;
            let before = commit.parents().next().map(|parent| parent.tree()).transpose()?;
            let mut options = DiffOptions::new();
            options.ignore_whitespace(true).context_lines(0).max_size(BLAME_BYTES_MAX as i64);
            let mut diff =
                self.repo.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), Some(&mut options))?;
            diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
            let mut all = Vec::new();
            for n in 0..diff.deltas().len() {
                let Some(delta) = diff.get_delta(n).filter(|delta| delta.status() != Delta::Deleted) else {
                    continue;
                };
                let path = |file: git2::DiffFile<'_>| file.path().and_then(Path::to_str).map(str::to_owned);
                let mut names: Vec<String> =
                    [path(delta.new_file()), path(delta.old_file())].into_iter().flatten().collect();
                names.dedup();
                let Some(patch) = Patch::from_diff(&diff, n)? else { continue };
                let mut added = Vec::new();
                for hunk in 0..patch.num_hunks() {
                    for line in 0..patch.num_lines_in_hunk(hunk)? {
                        let line = patch.line_in_hunk(hunk, line)?;
                        added.extend(
                            line.new_lineno().filter(|_| line.origin() == '+').map(|n| n as usize - 1),
                        );
                    }
                }
                let Some(name) = names.first().filter(|_| !added.is_empty()) else { continue };
                let content = self.content(&commit, name)?;
                if let Some(lines) = content.and_then(|bytes| lines_of(&bytes)) {
                    all.push(AddedLines { names, lines, added });
                }
            }
            Ok(all)
        };
        read().map_err(GitError::git2("comparing a commit with the one before it"))
    }

    /// The commits that HEAD leads back to, of those in `of`.
    ///
    /// # Errors
    /// A commit that cannot be read.
    pub fn on_head(&self, of: &[Oid]) -> Result<Vec<bool>, GitError> {
        let head = match self.repo.head().and_then(|head| head.peel_to_commit()) {
            Ok(head) => head.id(),
            Err(_) => return Ok(vec![false; of.len()]),
        };
        let is_on = |id: &Oid| Ok(*id == head || self.repo.graph_descendant_of(head, *id)?);
        of.iter().map(is_on).collect::<Result<_, git2::Error>>().map_err(GitError::git2("comparing commits"))
    }

    /// What is shown of the commit that `id`, or its beginning, names; `None` where there is none.
    pub fn commit(&self, id: &str) -> Option<CommitInfo> {
        self.repo
            .revparse_single(id)
            .and_then(|object| object.peel_to_commit())
            .ok()
            .map(|commit| info(&commit))
    }
}

/// Commits that are older than what is asked for and are passed all the same.
const OLDER_MAX: usize = 200;

fn info(commit: &git2::Commit<'_>) -> CommitInfo {
    let time = |time: git2::Time| Timestamp::from_second(time.seconds()).unwrap_or_default();
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    CommitInfo {
        id: commit.id(),
        authored: time(commit.author().when()),
        committed: time(commit.time()),
        author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        message,
    }
}

/// The lines of a text; `None` of what is none.
fn lines_of(bytes: &[u8]) -> Option<Vec<String>> {
    if bytes.contains(&0) {
        return None;
    }
    Some(String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect())
}

/// Of each of the `count` lines of `now` its place in `then`, where it is the same, white space aside.
fn unchanged(then: &[u8], now: &[u8], count: usize) -> Result<Vec<Option<usize>>, git2::Error> {
    let mut options = DiffOptions::new();
    options.ignore_whitespace(true).context_lines(0);
    let patch = Patch::from_buffers(then, None, now, None, Some(&mut options))?;
    // (its first line, how many are there before, how many afterwards)
    let mut hunks = Vec::new();
    for n in 0..patch.num_hunks() {
        let (hunk, _) = patch.hunk(n)?;
        let start = |start: u32, lines: u32| if lines == 0 { start as usize } else { start as usize - 1 };
        hunks.push((
            start(hunk.old_start(), hunk.old_lines()),
            hunk.old_lines() as usize,
            start(hunk.new_start(), hunk.new_lines()),
            hunk.new_lines() as usize,
        ));
    }
    let mut places = vec![None; count];
    let (mut old, mut new) = (0, 0);
    for (old_start, old_lines, new_start, new_lines) in hunks.into_iter().chain([(usize::MAX, 0, count, 0)]) {
        while new < new_start.min(count) && old < old_start {
            places[new] = Some(old);
            (old, new) = (old + 1, new + 1);
        }
        (old, new) = (old_start.saturating_add(old_lines), new_start + new_lines);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stayed_are_found_where_they_were() {
        let check = |then: &str, now: &str, expected: &[Option<usize>]| {
            let count = now.lines().count();
            assert_eq!(
                unchanged(then.as_bytes(), now.as_bytes(), count).unwrap(),
                expected,
                "{then:?} {now:?}"
            );
        };
        check("a\nb\n", "a\nb\n", &[Some(0), Some(1)]);
        check("a\nb\n", "x\na\n  b\ny\n", &[None, Some(0), Some(1), None]);
        check("a\nb\nc\n", "a\nc\n", &[Some(0), Some(2)]);
        check("a\nb\nc\n", "a\nx\ny\nc\n", &[Some(0), None, None, Some(2)]);
        check("", "a\n", &[None]);
        check("a\n", "", &[]);
        check("a\nb", "a\nb\nc\n", &[Some(0), Some(1), None]);
    }
}
