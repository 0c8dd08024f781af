//! Which files of a clone are checked out: cone and pattern mode, changed only when it must be, with nothing lost on the way.
//!
//! In cone mode git removes a directory that leaves the cone with all ignored files in it, at every change of the set. So
//! whatever lies outside the new set and is not what HEAD has is made a part of the set first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::git::change::in_the_way::is_left_out;
use crate::git::change::reapply::{is_part_of, remove_empty};
use crate::git::command::{Git, Invocation, Version};
use crate::git::entry::{
    Entries, bytes_of, leads_through_link, mode_of, path_of, update_index, zero_ended, zero_split,
};
use crate::git::error::GitError;
use crate::git::limits::{CHILD_MAX, SPARSE_CAP, STDOUT_CAP};
use crate::git::lock::OpKind;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::read::Reader;
use crate::git::read::status::status;
use crate::git::rescue::{Dirty, RESCUE, Rescue, obstacles};
use crate::kit::cancel::Cancel;
use crate::kit::file::{found, read_capped, write_atomic};

/// Which files are checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sparse {
    /// All of them.
    Everything,
    /// Cone mode: the files at the top, everything below these directories, and the files directly in their parents.
    Cone(Vec<String>),
    /// Patterns as in `.gitignore`, in this order; the last one that matches a file decides.
    Patterns(Vec<String>),
}

impl Sparse {
    /// The same set in the one form that comparing needs: directories sorted, without slashes around them, none below another.
    fn normal(&self) -> Sparse {
        let Sparse::Cone(dirs) = self else { return self.clone() };
        let sorted: BTreeSet<&str> =
            dirs.iter().map(|d| d.trim_matches('/')).filter(|d| !d.is_empty()).collect();
        let mut kept: Vec<String> = Vec::new();
        for dir in sorted {
            // `a-b` sorts between `a` and `a/b`, so all kept ones are asked.
            if !kept.iter().any(|k| is_below(k, dir)) {
                kept.push(dir.to_owned());
            }
        }
        Sparse::Cone(kept)
    }

    /// Whether a file is in the set, where that can be told without git: `None` for patterns.
    pub(in crate::git) fn has(&self, file: &Path) -> Option<bool> {
        let dirs = match self {
            Sparse::Everything => return Some(true),
            Sparse::Patterns(_) => return None,
            Sparse::Cone(dirs) => dirs,
        };
        let Some(parent) = file.parent().filter(|p| !p.as_os_str().is_empty()) else { return Some(true) };
        let parent = parent.to_string_lossy();
        Some(dirs.iter().any(|d| is_below(d, &parent) || is_below(&parent, d)))
    }

    /// The set with what lies at these places: files, or directories (which end in `/`) with all that is in them.
    fn with(self, places: &[PathBuf]) -> Sparse {
        match self {
            Sparse::Everything => Sparse::Everything,
            Sparse::Cone(mut dirs) => {
                let inside = |p: &PathBuf| match bytes_of(p).strip_suffix(b"/") {
                    Some(dir) => Some(String::from_utf8_lossy(dir).into_owned()),
                    None => p.parent().map(|d| d.to_string_lossy().into_owned()),
                };
                dirs.extend(places.iter().filter_map(inside));
                Sparse::Cone(dirs).normal()
            }
            Sparse::Patterns(mut lines) => {
                for place in places {
                    let line = literal(&place.to_string_lossy());
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
                Sparse::Patterns(lines)
            }
        }
    }

    fn lines(&self) -> &[String] {
        match self {
            Sparse::Everything => &[],
            Sparse::Cone(lines) | Sparse::Patterns(lines) => lines,
        }
    }

    /// The set as the clone's files say it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(reader: &Reader) -> Result<Sparse, GitError> {
        let config = reader.repo().config().map_err(GitError::git2("reading the configuration"))?;
        let on = |key| config.get_bool(key).unwrap_or(false);
        if !on("core.sparseCheckout") {
            return Ok(Sparse::Everything);
        }
        let path = reader.repo().path().join("info/sparse-checkout");
        let bytes = found(read_capped(&path, SPARSE_CAP)).map_err(GitError::io("reading", &path))?;
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        let lines = text.lines().map(str::to_owned).filter(|l| !l.is_empty()).collect();
        Ok(if on("core.sparseCheckoutCone") { cone_of(lines) } else { Sparse::Patterns(lines) })
    }
}

fn is_below(dir: &str, path: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The directories that a cone's file names; its lines as patterns if somebody wrote others into it.
fn cone_of(lines: Vec<String>) -> Sparse {
    let (mut whole, mut only_files) = (BTreeSet::new(), BTreeSet::new());
    for line in &lines {
        let inner = |start: &str, end: &str| {
            line.strip_prefix(start).and_then(|l| l.strip_suffix(end)).filter(|l| !l.is_empty()).map(unescape)
        };
        if line == "/*" || line == "!/*/" {
            continue;
        }
        if let Some(dir) = inner("!/", "/*/") {
            only_files.insert(dir);
        } else if let Some(dir) = inner("/", "/") {
            whole.insert(dir);
        } else {
            return Sparse::Patterns(lines);
        }
    }
    Sparse::Cone(whole.difference(&only_files).cloned().collect()).normal()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        out.extend(if c == '\\' { letters.next() } else { Some(c) });
    }
    out
}

/// A pattern that matches this one path.
fn literal(path: &str) -> String {
    let mut out = String::from("/");
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    if out.ends_with(' ') {
        out.insert(out.len() - 1, '\\');
    }
    out
}

/// Tells the git program of a set; it checks out and removes files accordingly, if there is an index already.
pub(in crate::git) fn apply<'g>(
    git: &'g Git,
    start: &dyn Fn(&'static str) -> Invocation<'g>,
    sparse: &Sparse,
    cancel: &Cancel,
    on_stderr: &mut dyn FnMut(&[u8]),
) -> Result<(), GitError> {
    let set = start("sparse-checkout").config("index.sparse=false").deadline(CHILD_MAX);
    let set = match sparse {
        Sparse::Everything => set.arg("disable"),
        Sparse::Cone(_) | Sparse::Patterns(_) => {
            let cone = matches!(sparse, Sparse::Cone(_));
            let lines: String = sparse.lines().iter().map(|l| format!("{}\n", quoted(l, cone))).collect();
            let set = if git.version(cancel)? >= Version(2, 35) {
                set.args(["set", if cone { "--cone" } else { "--no-cone" }, "--stdin"])
            } else {
                let set_mode = ["--worktree", "core.sparseCheckoutCone", if cone { "true" } else { "false" }];
                start("config").args(set_mode).run(cancel)?;
                set.args(["set", "--stdin"])
            };
            set.stdin(lines.into_bytes())
        }
    };
    set.run_with(cancel, on_stderr).map(drop)
}

/// A directory as `--stdin` takes it: quoted as in C if it begins with a quote or has a backslash. Patterns are taken as they are.
fn quoted(line: &str, cone: bool) -> String {
    if !cone || !line.contains(['"', '\\']) {
        return line.to_owned();
    }
    format!("\"{}\"", line.replace('\\', "\\\\").replace('"', "\\\""))
}

impl ManagedClone<'_> {
    /// Which files are checked out.
    ///
    /// # Errors
    /// The clone's files cannot be read.
    pub fn sparse(&self) -> Result<Sparse, GitError> {
        Sparse::read(&*self.reader()?)
    }

    /// Makes `wanted` the set of files that are checked out, if it is not that already; whether anything was changed. What is
    /// dirty, staged, untracked or ignored outside of it stays where it is: its directory (in pattern mode: the file) is taken
    /// into the set too, until it is clean.
    ///
    /// # Errors
    /// What git's output tells of, of class network if contents are needed that cannot be fetched now. Files and set are then
    /// as they were.
    pub fn set_sparse(&mut self, wanted: &Sparse) -> Result<bool, GitError> {
        let now = self.sparse()?;
        let wanted = wanted.normal();
        if now == wanted {
            return Ok(false);
        }
        self.refuse_foreign()?;
        let dirty: Vec<PathBuf> =
            status(self.git, &self.path, false, &self.cancel)?.into_iter().map(|(_, path)| path).collect();
        let wanted = self.protecting(wanted, &dirty)?;
        if now == wanted {
            return Ok(false);
        }
        self.clear_lock_files()?;
        let head = self.reader()?.head()?;
        let standing = Standing::at(head.commit);
        let branch = head.name().unwrap_or_default();
        // Git counts as deleted what it has left out where something else lies.
        let index = self.reader()?.index()?;
        let left_out = |path: &PathBuf| index.get_path(path, 0).is_some_and(|e| is_left_out(&e));
        let before: Vec<PathBuf> = dirty.iter().filter(|path| !left_out(path)).cloned().collect();
        write_private(&self.dirty_note(), &zero_ended(&dirty))?;
        self.within(OpKind::Sparse, branch, &standing, |c| {
            // What the index has not looked at since it was made counts as changed, and would stay behind.
            let refresh = c.local("update-index").args(["-q", "--refresh"]).deadline(CHILD_MAX);
            refresh.run_any(&c.cancel)?;
            c.apply_sparse(&wanted)
        })?;
        self.make_room(&standing, branch, &before)?;
        Ok(true)
    }

    /// Git leaves out what would come to where something untracked lies, a file in place of its directory say, and calls it deleted: then
    /// that gives way, and lies beside. `before` was dirty already.
    fn make_room(&mut self, standing: &Standing, branch: &str, before: &[PathBuf]) -> Result<(), GitError> {
        let now = status(self.git, &self.path, false, &self.cancel)?.into_iter();
        let missing = now.filter(|(xy, path)| xy == b" D" && !before.contains(path));
        let missing: Vec<PathBuf> = missing.map(|(_, path)| path).collect();
        let mut in_the_way = Vec::new();
        for path in &missing {
            obstacles(&self.path, path, &mut in_the_way)?;
        }
        if in_the_way.is_empty() {
            return Ok(());
        }
        let in_the_way: Dirty = in_the_way.into_iter().map(|path| (path, false)).collect();
        let rescue = self.within(OpKind::Rescue, branch, standing, |c| {
            // From here on the rescue ref has all of it, whatever becomes of the files.
            let captured = c.capture_as(&[RESCUE], &in_the_way, standing.head)?;
            let hold = c.hold(captured.time);
            c.move_to_hold(&captured.paths, &hold)?;
            missing.iter().for_each(|path| remove_empty(&c.path.join(path)));
            let again = c.lazy("checkout-index")?.args(["-u", "-q", "-z", "--stdin"]);
            again.stdin(zero_ended(&missing)).deadline(CHILD_MAX).run(&c.cancel)?;
            let mut copies = Vec::new();
            for path in &captured.paths {
                copies.push(c.lay_beside(path, &hold.join(path), captured.time)?);
            }
            c.ensure_conflict_exclude()?;
            remove_empty(&hold);
            let reference = format!("{RESCUE}{}", captured.time);
            Ok(Rescue { reference, conflicts: captured.paths, copies })
        })?;
        self.recovered.push(rescue);
        Ok(())
    }

    fn apply_sparse(&self, sparse: &Sparse) -> Result<(), GitError> {
        let start = self.lazy_start()?;
        apply(self.git, &start, sparse, &self.cancel, &mut |_| ())
    }

    /// The set with everything that would otherwise be removed although HEAD does not have it.
    fn protecting(&self, wanted: Sparse, dirty: &[PathBuf]) -> Result<Sparse, GitError> {
        if wanted == Sparse::Everything {
            return Ok(wanted);
        }
        let mut places = dirty.to_vec();
        if matches!(wanted, Sparse::Cone(_)) {
            // Without any exclusion: also what is ignored.
            let others =
                self.local("ls-files").args(["--others", "--directory", "--no-empty-directory", "-z"]);
            let out = others.deadline(CHILD_MAX).run(&self.cancel)?;
            places.extend(zero_split(&out.stdout).map(path_of));
            places.retain(|p| !is_in(&wanted, p));
        } else {
            places = self.not_matched(&wanted, places)?;
        }
        if let Some(odd) = places.iter().find(|p| p.to_str().is_none_or(|p| p.contains('\n'))) {
            let why = "a name that cannot be kept in a sparse checkout";
            return Err(GitError::BadPath { path: odd.clone(), why });
        }
        Ok(wanted.with(&places))
    }

    /// Those of the paths that no pattern takes in; all of them where git cannot say.
    fn not_matched(&self, wanted: &Sparse, places: Vec<PathBuf>) -> Result<Vec<PathBuf>, GitError> {
        if places.is_empty() || self.git.version(&self.cancel)? < Version(2, 41) {
            return Ok(places);
        }
        let rules = self.git_dir().join("ox/sparse-rules");
        write_private(&rules, wanted.lines().join("\n").as_bytes())?;
        let check = self.local("sparse-checkout").args(["check-rules", "--no-cone", "-z", "--rules-file"]);
        let out = check.arg(&rules).stdin(zero_ended(&places)).run(&self.cancel)?;
        let matched: BTreeSet<&[u8]> = zero_split(&out.stdout).collect();
        Ok(places.into_iter().filter(|p| !matched.contains(bytes_of(p))).collect())
    }

    /// What was dirty before a change of the set, for whoever finds that half done: paths with a zero byte between them.
    fn dirty_note(&self) -> PathBuf {
        self.git_dir().join("ox/sparse-dirty")
    }

    /// A change of the set that did not end has removed files that the index still has, or written one halfway. Those that were
    /// not dirty before go back to what the index has.
    pub(in crate::git) fn roll_back_sparse(&self) -> Result<(), GitError> {
        let note = self.dirty_note();
        let before = found(read_capped(&note, STDOUT_CAP)).map_err(GitError::io("reading", &note))?;
        let Some(before) = before else { return Ok(()) };
        let before: BTreeSet<&[u8]> = zero_split(&before).collect();
        let now = status(self.git, &self.path, false, &self.cancel)?.into_iter().map(|(_, path)| path);
        let new: Vec<PathBuf> = now.filter(|path| !before.contains(bytes_of(path))).collect();
        let index = self.index_entries(&new)?;
        let reader = self.reader()?;
        let mut half_done = Vec::new();
        for path in &new {
            let full = self.path.join(path);
            let Some((_, id)) = index.get(path).filter(|_| !leads_through_link(&self.path, path)) else {
                continue;
            };
            if mode_of(&full)?.is_none() || is_part_of(reader.repo(), &full, *id) {
                half_done.push(path);
            }
        }
        if !half_done.is_empty() {
            let again = self.lazy("checkout-index")?.args(["-f", "-u", "-q", "-z", "--stdin"]);
            again.stdin(zero_ended(half_done)).deadline(CHILD_MAX).run(&self.cancel)?;
        }
        fs::remove_file(&note).map_err(GitError::io("removing", &note))
    }

    /// Tracked paths that are not checked out because they are not in the set.
    pub(in crate::git) fn skipped(&self) -> Result<BTreeSet<PathBuf>, GitError> {
        if self.sparse()? == Sparse::Everything {
            return Ok(BTreeSet::new());
        }
        let out = self.local("ls-files").args(["-t", "-z"]).run(&self.cancel)?;
        Ok(zero_split(&out.stdout).filter_map(|l| l.strip_prefix(b"S ")).map(path_of).collect())
    }

    /// Makes the index (only it) what `entries` say for paths that are not checked out, and leaves them so.
    pub(in crate::git) fn restore_skipped(&self, entries: &Entries) -> Result<(), GitError> {
        if entries.is_empty() {
            return Ok(());
        }
        update_index(self.git, &self.path, entries).run(&self.cancel)?;
        let there = entries.iter().filter(|(_, e)| e.is_some());
        let list = zero_ended(there.map(|(p, _)| p));
        let skip = self.local("update-index").args(["--skip-worktree", "-z", "--stdin"]);
        skip.stdin(list).run(&self.cancel).map(drop)
    }
}

/// Whether a place (a directory ends in `/`) is in a cone.
fn is_in(cone: &Sparse, place: &Path) -> bool {
    match bytes_of(place).strip_suffix(b"/") {
        // Of a directory that is only a parent, the directories in it are not in the set.
        Some(dir) => cone.lines().iter().any(|d| is_below(d, &String::from_utf8_lossy(dir))),
        None => cone.has(place).unwrap_or(false),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(GitError::io("making", dir))?;
    }
    write_atomic(path, bytes, 0o600).map_err(GitError::io("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cone(dirs: &[&str]) -> Sparse {
        Sparse::Cone(dirs.iter().map(|d| (*d).to_owned()).collect())
    }

    #[test]
    fn a_set_has_one_form() {
        assert_eq!(cone(&["/b/", "a/x", "a", "a-b", "", "b"]).normal(), cone(&["a", "a-b", "b"]));
    }

    #[track_caller]
    fn check_has(file: &str, expected: bool) {
        assert_eq!(cone(&["a/b", "c"]).has(Path::new(file)), Some(expected), "{file}");
    }

    #[test]
    fn a_cone_has_its_directories_and_the_files_on_the_way() {
        for file in ["top", "a/file", "a/b/x", "a/b/y/z", "c/x"] {
            check_has(file, true);
        }
        for file in ["a/bc/x", "a/d/x", "d/x", "cc/x"] {
            check_has(file, false);
        }
    }

    #[test]
    fn the_file_of_a_cone_is_read() {
        let read = |text: &str| cone_of(text.lines().map(str::to_owned).collect());
        assert_eq!(read("/*\n!/*/\n/a/\n!/a/*/\n/a/b/\n/c\\*/\n"), cone(&["a/b", "c*"]));
        assert_eq!(read("/*\n!/*/\n"), cone(&[]));
        assert_eq!(read("/*\n*.o\n"), Sparse::Patterns(vec!["/*".into(), "*.o".into()]));
    }

    #[test]
    fn what_is_protected_joins_the_set() {
        let places = ["a/x/file".into(), "d/cache/".into()];
        assert_eq!(cone(&["c"]).with(&places), cone(&["a/x", "c", "d/cache"]));
        let lines = Sparse::Patterns(vec!["/*".into()]).with(&["a/[b] ".into()]);
        assert_eq!(lines, Sparse::Patterns(vec!["/*".into(), "/a/\\[b]\\ ".into()]));
    }

    proptest! {
        #[test]
        fn what_is_added_is_in_the_set(dirs in proptest::collection::vec("[a-c]{1,2}(/[a-c]{1,2}){0,2}", 0..6), file in "[a-c]{1,2}(/[a-c]{1,2}){0,3}") {
            let set = Sparse::Cone(dirs).normal().with(&[PathBuf::from(&file)]);
            prop_assert_eq!(set.has(Path::new(&file)), Some(true));
            prop_assert_eq!(set.normal(), set);
        }
    }
}
