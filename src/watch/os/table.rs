//! Which watch stands for which directory of whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::watch::change::RootId;
use crate::watch::files::is_below;

/// What a watched directory is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory in the tree of a root.
    Tree(RootId, Arc<[u8]>),
    /// The git directory of a root.
    Git(RootId),
    /// A directory of which only is told that something changed in it.
    Plain(Arc<str>),
    /// Where our cookies are.
    Cookies,
}

/// The watches. A number stands for several places where one directory is watched for several reasons.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: HashMap<i32, Vec<Place>>,
    trees: BTreeMap<RootId, BTreeMap<Arc<[u8]>, i32>>,
    gits: BTreeMap<RootId, i32>,
    plain: BTreeMap<Arc<str>, i32>,
}

impl Table {
    /// What a watch stands for.
    pub(super) fn at(&self, wd: i32) -> &[Place] {
        self.places.get(&wd).map_or(&[], Vec::as_slice)
    }

    /// All roots.
    pub(super) fn roots(&self) -> Vec<RootId> {
        self.trees.keys().copied().collect()
    }

    /// All plain directories.
    pub(super) fn plain(&self) -> Vec<Arc<str>> {
        self.plain.keys().cloned().collect()
    }

    pub(super) fn has(&self, root: RootId, dir: &[u8]) -> bool {
        self.trees.get(&root).is_some_and(|dirs| dirs.contains_key(dir))
    }

    pub(super) fn count(&self, root: RootId) -> usize {
        self.trees.get(&root).map_or(0, BTreeMap::len)
    }

    pub(super) fn dirs(&self, root: RootId) -> Vec<Arc<[u8]>> {
        self.trees.get(&root).map_or_else(Vec::new, |dirs| dirs.keys().cloned().collect())
    }

    /// Notes a watch; answers those that stand for nothing any more.
    pub(super) fn set(&mut self, place: Place, wd: i32) -> Vec<i32> {
        let mut dead = Vec::new();
        let before = match &place {
            Place::Tree(root, dir) => {
                // A directory that moved kept its number: it is not where it was.
                let moved = self.at(wd).iter().find_map(|known| match known {
                    Place::Tree(r, d) if r == root && d != dir => Some(Arc::clone(d)),
                    _ => None,
                });
                if let Some(from) = moved {
                    self.drop_tree(*root, &from, &mut dead);
                }
                self.trees.entry(*root).or_default().insert(Arc::clone(dir), wd)
            }
            Place::Git(root) => self.gits.insert(*root, wd),
            Place::Plain(name) => self.plain.insert(Arc::clone(name), wd),
            Place::Cookies => None,
        };
        if let Some(before) = before.filter(|before| *before != wd) {
            self.release(before, &place, &mut dead);
        }
        let places = self.places.entry(wd).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
        dead.retain(|d| *d != wd);
        dead
    }

    /// The kernel has dropped a watch: its directory is gone.
    pub(super) fn dropped(&mut self, wd: i32) {
        for place in self.places.remove(&wd).unwrap_or_default() {
            match place {
                Place::Tree(root, dir) => {
                    if let Some(dirs) = self.trees.get_mut(&root)
                        && dirs.get(&dir) == Some(&wd)
                    {
                        dirs.remove(&dir);
                    }
                }
                Place::Git(root) => drop(self.gits.remove(&root).filter(|at| *at != wd)),
                Place::Plain(name) => drop(self.plain.remove(&name).filter(|at| *at != wd)),
                Place::Cookies => {}
            }
        }
    }

    /// Forgets one directory; answers watches to be removed.
    pub(super) fn forget_one(&mut self, root: RootId, dir: &[u8]) -> Vec<i32> {
        let mut dead = Vec::new();
        self.drop_tree(root, dir, &mut dead);
        dead
    }

    /// Forgets a directory and all below it.
    pub(super) fn forget_below(&mut self, root: RootId, dir: &[u8]) -> Vec<i32> {
        let Some(dirs) = self.trees.get(&root) else { return Vec::new() };
        // Between a directory and what is below it others may sort: "a", "a-b", "a/b".
        let from = dirs.range::<[u8], _>((std::ops::Bound::Included(dir), std::ops::Bound::Unbounded));
        let known = from.map(|(d, _)| d).take_while(|d| d.starts_with(dir));
        let gone: Vec<Arc<[u8]>> = known.filter(|d| ***d == *dir || is_below(d, dir)).cloned().collect();
        let mut dead = Vec::new();
        for dir in gone {
            self.drop_tree(root, &dir, &mut dead);
        }
        dead
    }

    /// Forgets everything of a root.
    pub(super) fn forget(&mut self, root: RootId) -> Vec<i32> {
        let mut dead = self.forget_below(root, b"");
        self.trees.remove(&root);
        if let Some(wd) = self.gits.remove(&root) {
            self.release(wd, &Place::Git(root), &mut dead);
        }
        dead
    }

    /// Forgets a plain directory.
    pub(super) fn forget_plain(&mut self, name: &str) -> Vec<i32> {
        let mut dead = Vec::new();
        if let Some((name, wd)) = self.plain.remove_entry(name) {
            self.release(wd, &Place::Plain(name), &mut dead);
        }
        dead
    }

    fn drop_tree(&mut self, root: RootId, dir: &[u8], dead: &mut Vec<i32>) {
        let removed = self.trees.get_mut(&root).and_then(|dirs| dirs.remove_entry(dir));
        if let Some((dir, wd)) = removed {
            self.release(wd, &Place::Tree(root, dir), dead);
        }
    }

    fn release(&mut self, wd: i32, place: &Place, dead: &mut Vec<i32>) {
        let Some(places) = self.places.get_mut(&wd) else { return };
        places.retain(|known| known != place);
        if places.is_empty() {
            self.places.remove(&wd);
            dead.push(wd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: RootId = RootId(1);

    fn tree(dir: &str) -> Place {
        Place::Tree(ROOT, dir.as_bytes().into())
    }

    #[test]
    fn a_directory_that_moved_or_was_replaced_leaves_no_watch_behind() {
        let mut t = Table::default();
        assert!(t.set(tree("a"), 1).is_empty());
        // Another directory at the same path.
        assert_eq!(t.set(tree("a"), 2), [1]);
        // The same directory at another path: the kernel answers with its number.
        assert!(t.set(tree("b"), 2).is_empty());
        assert_eq!((t.at(2).to_vec(), t.has(ROOT, b"a"), t.count(ROOT)), (vec![tree("b")], false, 1));
        // The new one at the old path goes before the news of the old one's end comes.
        assert!(t.set(tree("b"), 3) == [2]);
        t.dropped(2);
        assert!(t.has(ROOT, b"b"));
        t.dropped(3);
        assert_eq!((t.count(ROOT), t.at(3).len()), (0, 0));
    }

    #[test]
    fn one_directory_may_be_watched_for_several() {
        let mut t = Table::default();
        t.set(tree(""), 1);
        t.set(Place::Plain("ledger".into()), 1);
        t.set(Place::Tree(RootId(2), b"".as_slice().into()), 1);
        assert_eq!(t.at(1).len(), 3);
        assert!(t.forget(ROOT).is_empty() && t.forget_plain("ledger").is_empty());
        assert_eq!(t.forget(RootId(2)), [1]);
        assert!(t.roots().is_empty() && t.plain().is_empty());
    }

    #[test]
    fn what_is_below_a_directory_is_forgotten_with_it_and_nothing_else() {
        let mut t = Table::default();
        for (wd, dir) in ["", "a", "a-b", "a/b", "a/b/c", "b"].iter().enumerate() {
            t.set(tree(dir), i32::try_from(wd).unwrap());
        }
        assert_eq!(t.forget_below(ROOT, b"a"), [1, 3, 4]);
        assert_eq!(t.dirs(ROOT).len(), 3);
        assert_eq!(t.forget_one(ROOT, b"a-b"), [2]);
        assert_eq!(t.forget(ROOT), [0, 5]);
    }
}
