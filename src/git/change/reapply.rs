//! Putting captured files back, each by a three-way merge between what it was, what it became here, and what HEAD has now.
//!
//! A file's own bytes stay in the hold until its result is in place; so the hold says what is left to do, also after a kill.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use git2::{DiffOptions, Oid, Repository, Tree};

use super::exclude::CONFLICT_MARK;
use super::in_the_way::is_amid_others;
use super::merge::{merge_lines, merge_modes};
use crate::git::entry::{
    EXEC, Entry, LINK, bytes_of, entry, hash_of, leads_through_link, lies_in_directories, look, mode_of,
    path_of, tree_at, zero_ended,
};
use crate::git::error::GitError;
use crate::git::limits::{MERGE_CAP, STAGING_NAMES};
use crate::git::managed::ManagedClone;
use crate::git::read::local_work::open_elsewhere;
use crate::git::rescue::{INDEX_MESSAGE, PENDING, RESCUE, Rescue};
use crate::kit::file::{exchange, found, read_capped, rename_new};

/// The versions of one path.
struct Versions {
    path: PathBuf,
    base: Entry,
    mine: Entry,
    new: Entry,
}

/// What becomes of one path, where not both have changed it.
enum Outcome {
    /// The file in the hold goes to its place as it is.
    Mine,
    /// HEAD's version is the result.
    New,
    /// A merged file.
    Merged(Vec<u8>, u32),
}

impl ManagedClone<'_> {
    /// Puts the capture of that time and commit back and takes its pending mark away.
    pub(in crate::git) fn put_back(&mut self, time: i64, commit: Oid) -> Result<Rescue, GitError> {
        let hold = self.hold(time);
        let mut rescue =
            Rescue { reference: format!("{RESCUE}{time}"), conflicts: Vec::new(), copies: Vec::new() };
        let (paths, staged) = self.captured_paths(commit, &hold)?;
        for versions in paths {
            let path = versions.path.clone();
            if !self.put_back_path(versions, &hold, time, &mut rescue)? {
                rescue.conflicts.push(path);
            }
        }
        let staged: Vec<PathBuf> = staged.into_iter().filter(|p| !rescue.conflicts.contains(p)).collect();
        self.stage_again(staged)?;
        if !rescue.copies.is_empty() {
            self.ensure_conflict_exclude()?;
        }
        remove_empty(&hold);
        let pending = format!("{PENDING}{time}");
        self.local("update-ref").args(["-d", &pending]).durable(&self.cancel)?.run(&self.cancel)?;
        Ok(rescue)
    }

    /// The versions of every captured path, and which of them were staged as they were on disk.
    fn captured_paths(&self, commit: Oid, hold: &Path) -> Result<(Vec<Versions>, Vec<PathBuf>), GitError> {
        let reader = self.reader()?;
        let repo = reader.repo();
        let (head, index) = parents_of(repo, commit)?;
        let mine = tree_at(repo, Some(commit))?;
        let base = tree_at(repo, head)?;
        let staged = tree_at(repo, index)?;
        let new = tree_at(repo, reader.head()?.commit)?;
        let mut paths = changed(repo, base.as_ref(), mine.as_ref())?;
        paths.extend(files_below(hold)?);
        paths.sort();
        paths.dedup();
        let is_staged = |p: &PathBuf| {
            let i = entry(staged.as_ref(), p);
            staged.is_some() && i != entry(base.as_ref(), p) && i == entry(mine.as_ref(), p)
        };
        let again = paths.iter().filter(|p| is_staged(p)).cloned().collect();
        let versions = |path: PathBuf| Versions {
            base: entry(base.as_ref(), &path),
            mine: entry(mine.as_ref(), &path),
            new: entry(new.as_ref(), &path),
            path,
        };
        Ok((paths.into_iter().map(versions).collect(), again))
    }

    /// Puts one path back; false if it is a conflict.
    fn put_back_path(
        &self,
        v: Versions,
        hold: &Path,
        time: i64,
        rescue: &mut Rescue,
    ) -> Result<bool, GitError> {
        let held = hold.join(&v.path);
        let place = self.path.join(&v.path);
        if leads_through_link(&self.path, &v.path) {
            // Somebody's link has the place of its directory.
            return if mode_of(&held)?.is_some() {
                self.put_beside(&v, &held, time, rescue)
            } else {
                Ok(true)
            };
        }
        let Some(mode) = mode_of(&held)? else {
            return if v.mine.is_none() { self.put_back_deletion(&v, &place) } else { Ok(true) };
        };
        // Who still had the file open may have written to it after the capture: its bytes on disk are the truth.
        let mine = Some((mode, hash_of(&held, mode)?));
        let v = Versions { mine, ..v };
        let outcome = if self.may_replace(&place, v.new)? { self.merge_versions(&v, &held)? } else { None };
        let is_put = match outcome {
            Some(Outcome::New) => {
                self.ensure_new(&v, &place)?;
                true
            }
            Some(Outcome::Mine) if safe_parent(&self.path, &v.path)? => self.put(&held, &place, v.new)?,
            Some(Outcome::Merged(bytes, mode)) if safe_parent(&self.path, &v.path)? => {
                let mode = if mode == EXEC { 0o755 } else { 0o644 };
                self.put(&self.scratch("put-back", &bytes, mode)?, &place, v.new)?
            }
            _ => false,
        };
        if !is_put {
            return self.put_beside(&v, &held, time, rescue);
        }
        found(fs::remove_file(&held)).map(|_| true).map_err(GitError::io("removing", &held))
    }

    /// Both changed it: HEAD's version, or what somebody has put there, has the place, and ours lies beside.
    fn put_beside(
        &self,
        v: &Versions,
        held: &Path,
        time: i64,
        rescue: &mut Rescue,
    ) -> Result<bool, GitError> {
        self.ensure_new(v, &self.path.join(&v.path))?;
        rescue.copies.push(self.lay_beside(&v.path, held, time)?);
        Ok(false)
    }

    /// Puts a file at its place unless somebody has put something there since that was looked at; whether it did. Then `from` is as
    /// before.
    fn put(&self, from: &Path, place: &Path, new: Entry) -> Result<bool, GitError> {
        match rename_new(from, place) {
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(GitError::io("moving", from)(e)),
        }
        let swap = || exchange(from, place).map_err(GitError::io("moving", from));
        if !swap()? {
            return rename(from, place).map(|()| true);
        }
        // What lay there is out of everybody's way now.
        if self.may_replace(from, new)? {
            return fs::remove_file(from).map(|()| true).map_err(GitError::io("removing", from));
        }
        swap().map(|_| false)
    }

    /// Takes away what lies at `place` if it may be replaced; false if it is somebody's, and stays.
    fn take_away(&self, place: &Path, new: Entry) -> Result<bool, GitError> {
        let dir = self.git_dir().join("ox");
        fs::create_dir_all(&dir).map_err(GitError::io("making", &dir))?;
        for n in 0..STAGING_NAMES {
            let aside = dir.join(format!("taken-{n}"));
            match rename_new(place, &aside) {
                Ok(()) => {}
                // What a killed process could not put back.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
                Err(e) => return Err(GitError::io("moving", place)(e)),
            }
            if self.may_replace(&aside, new)? {
                return fs::remove_file(&aside).map(|()| true).map_err(GitError::io("removing", &aside));
            }
            return rename_new(&aside, place).map(|()| false).map_err(GitError::io("moving", place));
        }
        Ok(false)
    }

    fn put_back_deletion(&self, v: &Versions, place: &Path) -> Result<bool, GitError> {
        if v.new.is_none() {
            return Ok(true);
        }
        if v.new != v.base {
            return Ok(false);
        }
        if mode_of(place)?.is_some() && self.may_replace(place, v.new)? {
            self.take_away(place, v.new)?;
        }
        Ok(true)
    }

    /// Whether what lies at `place` is HEAD's version, a part of it that a killed git left, or nothing: then it may be replaced.
    fn may_replace(&self, place: &Path, new: Entry) -> Result<bool, GitError> {
        let Some(mode) = mode_of(place)? else { return Ok(!place.is_dir()) };
        let Some((new_mode, id)) = new else { return Ok(false) };
        if (mode == LINK) != (new_mode == LINK) {
            return Ok(false);
        }
        Ok(hash_of(place, mode)? == id || self.is_left_part(place, id)?)
    }

    /// Whether the file is a part that a killed git left, and not one that somebody is writing.
    fn is_left_part(&self, place: &Path, id: Oid) -> Result<bool, GitError> {
        let reader = self.reader()?;
        let is_part = || is_part_of(reader.repo(), place, id);
        Ok(is_part() && open_elsewhere(place).is_none() && is_part())
    }

    /// `None` where both have changed it.
    fn merge_versions(&self, v: &Versions, held: &Path) -> Result<Option<Outcome>, GitError> {
        if v.mine == v.new || v.mine == v.base {
            let is_mine = v.mine == v.new || v.new == v.base;
            return Ok(Some(if is_mine { Outcome::Mine } else { Outcome::New }));
        }
        if v.new == v.base {
            return Ok(Some(Outcome::Mine));
        }
        let (Some((bm, b)), Some((mm, m)), Some((nm, n))) = (v.base, v.mine, v.new) else { return Ok(None) };
        let Some(mode) = merge_modes(bm, mm, nm) else { return Ok(None) };
        let read = || read_capped(held, MERGE_CAP).map_err(GitError::io("reading", held));
        let small = || fs::metadata(held).is_ok_and(|m| m.len() <= MERGE_CAP as u64);
        let bytes = if m == n || b == n {
            Some(read()?)
        } else if m == b {
            self.blob(n)
        } else if let (true, Some(base), Some(new)) = (small(), self.blob(b), self.blob(n)) {
            merge_lines(&base, &read()?, &new, v.path.extension().is_some_and(|e| e == "json"))?
        } else {
            None
        };
        Ok(bytes.map(|bytes| Outcome::Merged(bytes, mode)))
    }

    /// Writes a file of ours outside of the work tree, so that a kill leaves nothing in that; the next one replaces it.
    pub(in crate::git) fn scratch(&self, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, GitError> {
        let path = self.git_dir().join("ox").join(name);
        let dir = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(dir).map_err(GitError::io("making", dir))?;
        let written = found(fs::remove_file(&path)).and_then(|_| {
            let mut file = File::create_new(&path)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(bytes)
        });
        written.map_err(GitError::io("writing", &path))?;
        Ok(path)
    }

    fn blob(&self, id: Oid) -> Option<Vec<u8>> {
        let reader = self.reader().ok()?;
        let blob = reader.repo().find_blob(id).ok()?;
        (blob.size() <= MERGE_CAP).then(|| blob.content().to_vec())
    }

    /// Makes sure HEAD's version is in its place, when what is there is nothing or a part of it.
    fn ensure_new(&self, v: &Versions, place: &Path) -> Result<(), GitError> {
        let Some((_, id)) = v.new.filter(|_| !leads_through_link(&self.path, &v.path)) else { return Ok(()) };
        let mode = mode_of(place)?;
        let whole = match mode {
            Some(mode) => hash_of(place, mode)? == id || !self.is_left_part(place, id)?,
            None => place.is_dir(),
        };
        // Somebody may have taken it out of the index since; and outside of the set of files it has no place.
        if whole
            || self.reader()?.index()?.get_path(&v.path, 0).is_none()
            || self.skipped()?.contains(&v.path)
            || !safe_parent(&self.path, &v.path)?
        {
            return Ok(());
        }
        if mode.is_some() && !self.take_away(place, v.new)? {
            return Ok(());
        }
        self.check_out_absent(std::slice::from_ref(&v.path))
    }

    /// Moves a held file beside its place, as `<name>.conflict-<machine>-<time>`.
    pub(in crate::git) fn lay_beside(
        &self,
        path: &Path,
        held: &Path,
        time: i64,
    ) -> Result<PathBuf, GitError> {
        let (dir, name) = nearest_dir(&self.path, path)?;
        for n in 1.. {
            let again = if n == 1 { String::new() } else { format!("-{n}") };
            let mut file = name.clone().into_os_string();
            file.push(format!("{CONFLICT_MARK}{}-{time}{again}", self.git.machine()));
            let beside = dir.join(file);
            let to = self.path.join(&beside);
            if fs::symlink_metadata(&to).is_err() {
                match rename_new(held, &to) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                    moved => moved.map_err(GitError::io("moving", held))?,
                }
                return Ok(beside);
            }
        }
        Err(GitError::BadPath { path: path.to_owned(), why: "no name is free beside it" })
    }

    /// Stages again what was staged as it is on disk: first what is gone, so that what came in its place has room. What would push
    /// aside something that was not staged before, as of the remote or outside of a sparse set, is left as it is on disk.
    fn stage_again(&self, paths: Vec<PathBuf>) -> Result<(), GitError> {
        let (mut gone, mut there) = (Vec::new(), Vec::new());
        for path in paths {
            let is_there =
                lies_in_directories(&self.path, &path)? && mode_of(&self.path.join(&path))?.is_some();
            if is_there { there.push(path) } else { gone.push(path) }
        }
        self.update_index("--force-remove", &gone)?;
        if !there.is_empty() {
            let reader = self.reader()?;
            let index = reader.index()?;
            there.retain(|p| !is_amid_others(&index, p));
        }
        self.update_index("--add", &there)
    }

    fn update_index(&self, how: &str, paths: &[PathBuf]) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        let update = self.local("update-index").args([how, "-z", "--stdin"]);
        update.stdin(zero_ended(paths)).run(&self.cancel).map(drop)
    }

    /// Finishes what a dead holder had put aside; oldest first.
    pub(in crate::git) fn put_back_pending(&mut self) -> Result<(), GitError> {
        for (name, commit) in self.reader()?.refs(PENDING)? {
            let Some(time) = name.strip_prefix(PENDING).and_then(|t| t.parse().ok()) else { continue };
            let rescue = self.put_back(time, commit)?;
            log::info!("put back dirty files of {name}, {} conflicts", rescue.conflicts.len());
            self.recovered.push(rescue);
        }
        Ok(())
    }
}

/// The commits that a capture is made on: HEAD's, if HEAD was born, and the one that keeps the index, if something was staged.
pub(in crate::git) fn parents_of(
    repo: &Repository,
    capture: Oid,
) -> Result<(Option<Oid>, Option<Oid>), GitError> {
    let capture = repo.find_commit(capture).map_err(GitError::git2("reading the rescue commit"))?;
    let parents: Vec<Oid> = capture.parent_ids().collect();
    let index = parents.last().copied().filter(|id| is_index_commit(repo, *id));
    let head = parents.first().copied().filter(|id| Some(*id) != index);
    Ok((head, index))
}

fn is_index_commit(repo: &Repository, id: Oid) -> bool {
    repo.find_commit(id).is_ok_and(|c| c.message_bytes().trim_ascii() == INDEX_MESSAGE.as_bytes())
}

pub(in crate::git) fn changed(
    repo: &Repository,
    a: Option<&Tree<'_>>,
    b: Option<&Tree<'_>>,
) -> Result<Vec<PathBuf>, GitError> {
    let mut options = DiffOptions::new();
    options.ignore_submodules(true).include_typechange(true);
    let diff = repo.diff_tree_to_tree(a, b, Some(&mut options)).map_err(GitError::git2("comparing trees"))?;
    let path = |d: git2::DiffDelta<'_>| d.new_file().path_bytes().or(d.old_file().path_bytes()).map(path_of);
    Ok(diff.deltas().filter_map(path).collect())
}

/// All below a directory but directories, by their paths in it.
pub(in crate::git) fn files_below(root: &Path) -> Result<Vec<PathBuf>, GitError> {
    let mut files = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let full = root.join(&dir);
        let entries = found(fs::read_dir(&full)).map_err(GitError::io("listing", &full))?;
        for e in entries.into_iter().flatten() {
            let e = e.map_err(GitError::io("listing", &full))?;
            let path = dir.join(e.file_name());
            if e.file_type().is_ok_and(|t| t.is_dir()) { todo.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

/// Whether the file is a proper beginning of the object: what a git killed while writing it leaves. Nothing of it is lost
/// with it.
pub(in crate::git) fn is_part_of(repo: &Repository, path: &Path, id: Oid) -> bool {
    let Ok(blob) = repo.find_blob(id) else { return false };
    let Ok(bytes) = read_capped(path, MERGE_CAP) else { return false };
    bytes.len() < blob.size() && blob.content().starts_with(&bytes)
}

/// Makes the parents of a path; false if one of them is a file or a link, through which nothing is ever written.
pub(in crate::git) fn safe_parent(root: &Path, path: &Path) -> Result<bool, GitError> {
    let mut at = root.to_path_buf();
    for part in path.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else { return Ok(false) };
        at.push(part);
        match look(&at)? {
            Some(meta) if !meta.is_dir() => return Ok(false),
            Some(_) => {}
            None => fs::create_dir(&at).map_err(GitError::io("making", &at))?,
        }
    }
    Ok(!root.join(path).is_dir())
}

/// The deepest real directory on the way to a path, and a name for it there.
fn nearest_dir(root: &Path, path: &Path) -> Result<(PathBuf, PathBuf), GitError> {
    let mut dir = PathBuf::new();
    let mut name = Vec::new();
    for part in path.components() {
        let next = dir.join(part);
        let is_dir = fs::symlink_metadata(root.join(&next)).is_ok_and(|m| m.is_dir());
        if is_dir && name.is_empty() && next != path {
            dir = next;
        } else {
            if !name.is_empty() {
                name.push(b'_');
            }
            name.extend_from_slice(bytes_of(Path::new(part.as_os_str())));
        }
    }
    // A parent that is merely gone is made again, so that the copy lies where the file was.
    let parent = path.parent().unwrap_or(Path::new(""));
    if parent != dir && safe_parent(root, path)? {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        return Ok((parent.to_owned(), name));
    }
    Ok((dir, path_of(&name)))
}

pub(in crate::git) fn rename(from: &Path, to: &Path) -> Result<(), GitError> {
    fs::rename(from, to).map_err(GitError::io("moving", from))
}

/// Removes a tree of directories as far as they are empty.
pub(in crate::git) fn remove_empty(dir: &Path) {
    if let Ok(entries) = fs::read_dir(dir) {
        for e in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            remove_empty(&e.path());
        }
    }
    // Fails where something is left, which is the point.
    let _ = fs::remove_dir(dir);
}
