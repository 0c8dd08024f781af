//! Which directories are watched, and for whom.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ListenerId;
use crate::watch::change::RootId;
use crate::watch::files::is_below;

/// What a watched directory is to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory of a root, relative to it; the root itself is the empty one.
    Tree(RootId, Arc<[u8]>),
    /// The git directory of a root.
    Git(RootId),
    /// A plain directory, by its name.
    Plain(ListenerId, Arc<str>),
    /// Where cookies are made.
    Cookies,
}

/// Directories by path, and back.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: HashMap<PathBuf, Vec<Place>>,
    trees: BTreeMap<RootId, BTreeMap<Arc<[u8]>, PathBuf>>,
    gits: BTreeMap<RootId, PathBuf>,
    plain: BTreeMap<(ListenerId, Arc<str>), PathBuf>,
}

impl Table {
    /// A place is at `path` from now on. Answers the path that nobody is at any more, if it was elsewhere before.
    pub(super) fn set(&mut self, place: Place, path: &Path) -> Option<PathBuf> {
        let path = path.to_path_buf();
        let before = match &place {
            Place::Tree(root, dir) => {
                self.trees.entry(*root).or_default().insert(Arc::clone(dir), path.clone())
            }
            Place::Git(root) => self.gits.insert(*root, path.clone()),
            Place::Plain(listener, name) => self.plain.insert((*listener, Arc::clone(name)), path.clone()),
            Place::Cookies => None,
        };
        let dead = before.filter(|before| *before != path).and_then(|before| self.leave(&before, &place));
        let places = self.places.entry(path).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
        dead
    }

    /// Takes a place from a path; answers the path if nobody is at it any more.
    fn leave(&mut self, path: &Path, place: &Place) -> Option<PathBuf> {
        let places = self.places.get_mut(path)?;
        places.retain(|known| known != place);
        places.is_empty().then(|| self.places.remove_entry(path)).flatten().map(|(path, _)| path)
    }

    /// Who is at a path.
    pub(super) fn at(&self, path: &Path) -> &[Place] {
        self.places.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// The system watches a path no longer: what was there is another by now, or gone.
    pub(super) fn dropped(&mut self, path: &Path) {
        for place in self.places.remove(path).unwrap_or_default() {
            match place {
                Place::Tree(root, dir) => {
                    if let Some(tree) = self.trees.get_mut(&root) {
                        tree.remove(&dir);
                    }
                }
                Place::Git(root) => drop(self.gits.remove(&root)),
                Place::Plain(listener, name) => drop(self.plain.remove(&(listener, name))),
                Place::Cookies => {}
            }
        }
    }

    /// Forgets those directories of a root that `which` names; answers the paths that nobody is at any more.
    fn forget_some(&mut self, root: RootId, which: impl Fn(&[u8]) -> bool) -> Vec<PathBuf> {
        let Some(tree) = self.trees.get_mut(&root) else { return Vec::new() };
        let gone: Vec<(Arc<[u8]>, PathBuf)> = tree.extract_if(.., |dir, _| which(dir)).collect();
        if tree.is_empty() {
            self.trees.remove(&root);
        }
        gone.into_iter().filter_map(|(dir, path)| self.leave(&path, &Place::Tree(root, dir))).collect()
    }

    pub(super) fn forget_below(&mut self, root: RootId, dir: &[u8]) -> Vec<PathBuf> {
        self.forget_some(root, |known| known == dir || is_below(known, dir))
    }

    pub(super) fn forget_one(&mut self, root: RootId, dir: &[u8]) -> Vec<PathBuf> {
        self.forget_some(root, |known| known == dir)
    }

    pub(super) fn forget(&mut self, root: RootId) -> Vec<PathBuf> {
        let mut dead = self.forget_some(root, |_| true);
        if let Some(path) = self.gits.remove(&root) {
            dead.extend(self.leave(&path, &Place::Git(root)));
        }
        dead
    }

    pub(super) fn forget_plain(&mut self, listener: ListenerId, name: &str) -> Option<PathBuf> {
        let name: Arc<str> = name.into();
        let path = self.plain.remove(&(listener, Arc::clone(&name)))?;
        self.leave(&path, &Place::Plain(listener, name))
    }

    pub(super) fn has(&self, root: RootId, dir: &[u8]) -> bool {
        self.trees.get(&root).is_some_and(|tree| tree.contains_key(dir))
    }

    pub(super) fn git(&self, root: RootId) -> Option<&Path> {
        self.gits.get(&root).map(PathBuf::as_path)
    }

    pub(super) fn count(&self, root: RootId) -> usize {
        self.trees.get(&root).map_or(0, BTreeMap::len)
    }

    pub(super) fn dirs(&self, root: RootId) -> Vec<Arc<[u8]>> {
        self.trees.get(&root).map(|tree| tree.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn roots(&self) -> Vec<RootId> {
        self.trees.keys().copied().collect()
    }

    /// The plain directories, with who listens.
    pub(super) fn plain(&self) -> Vec<(ListenerId, Arc<str>)> {
        self.plain.keys().cloned().collect()
    }
}
