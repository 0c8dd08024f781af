//! Paths of files as agents name them, relative to the work tree that they lie in.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::project::common_dir;

/// Finds the work tree of each file; a directory is looked at once.
#[derive(Debug)]
pub(super) struct Paths {
    workspace: PathBuf,
    /// What all work trees of the repository share.
    common: Option<PathBuf>,
    /// The root of the repository's work tree that a directory lies in, if it lies in one.
    roots: HashMap<PathBuf, Option<PathBuf>>,
}

impl Paths {
    pub(super) fn new(workspace: &Path) -> Paths {
        let common = common_of(workspace);
        Paths { workspace: workspace.to_owned(), common, roots: HashMap::new() }
    }

    /// The path of `named` in its work tree, with `/` between names; `None` of a file that lies in no work tree of the repository.
    pub(super) fn relative(&mut self, named: &str) -> Option<String> {
        let path = plain(&self.workspace.join(named))?;
        let root = self.root_of(path.parent()?)?;
        let relative = path.strip_prefix(&root).ok()?.to_str()?;
        let is_of_tree = !relative.is_empty() && !relative.starts_with(".git/");
        is_of_tree.then(|| relative.to_owned())
    }

    fn root_of(&mut self, dir: &Path) -> Option<PathBuf> {
        if let Some(known) = self.roots.get(dir) {
            return known.clone();
        }
        let found = self.look(dir);
        self.roots.insert(dir.to_owned(), found.clone());
        found
    }

    fn look(&self, dir: &Path) -> Option<PathBuf> {
        for above in dir.ancestors() {
            if above == self.workspace {
                return Some(above.to_owned());
            }
            if above.join(".git").symlink_metadata().is_ok() {
                // Another repository, also one below ours, has lines of its own.
                let is_ours = self.common.is_some() && common_of(above) == self.common;
                return is_ours.then(|| above.to_owned());
            }
        }
        None
    }
}

fn common_of(root: &Path) -> Option<PathBuf> {
    common_dir(root)?.canonicalize().ok()
}

/// Without `.` and `..`; the file need not be there.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_path_in_whichever_work_tree_of_the_repository_it_lies() {
        let tmp = tempfile::tempdir().unwrap();
        let tmp = tmp.path().canonicalize().unwrap();
        let (main, other) = (tmp.join("main"), tmp.join("other"));
        let linked = main.join(".trees/linked");
        for dir in [main.join(".git/worktrees/linked"), main.join("src"), linked.clone(), other.join(".git")]
        {
            fs::create_dir_all(dir).unwrap();
        }
        fs::create_dir_all(main.join("vendor/x/.git")).unwrap();
        fs::write(main.join(".git/worktrees/linked/commondir"), "../..\n").unwrap();
        fs::write(linked.join(".git"), format!("gitdir: {}/.git/worktrees/linked\n", main.display()))
            .unwrap();
        let mut paths = Paths::new(&main);
        let mut check = |named: &str, expected: Option<&str>| {
            let named = named.replace("MAIN", main.to_str().unwrap()).replace("TMP", tmp.to_str().unwrap());
            assert_eq!(paths.relative(&named).as_deref(), expected, "{named}");
        };
        check("src/a.rs", Some("src/a.rs"));
        check("./src/../src/a.rs", Some("src/a.rs"));
        check("MAIN/src/new/deep/a.rs", Some("src/new/deep/a.rs"));
        check("MAIN/.trees/linked/src/a.rs", Some("src/a.rs"));
        check("MAIN/vendor/x/a.rs", None);
        check("TMP/other/a.rs", None);
        check("/etc/passwd", None);
        check("../../../../../../../../..", None);
        check("MAIN/.git/config", None);
        check("MAIN", None);
        check("", None);
        let mut from_linked = Paths::new(&linked);
        assert_eq!(from_linked.relative(main.join("b.rs").to_str().unwrap()).as_deref(), Some("b.rs"));
        assert_eq!(from_linked.relative("b.rs").as_deref(), Some("b.rs"));
        // A work tree that is gone leaves its paths.
        let mut gone = Paths::new(&tmp.join("gone"));
        assert_eq!(gone.relative(tmp.join("gone/a.rs").to_str().unwrap()).as_deref(), Some("a.rs"));
    }
}
