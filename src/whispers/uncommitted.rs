//! Which files are changed and not committed in which work trees, as notes about changed files tell: what an agent wants to know before it
//! edits one of them. Pure but for its file.
//!
//! A note names its work tree and all that is uncommitted there; the newest note of a tree counts. Notes of other programs, which name
//! changed files only, say nothing of when a file is clean again, and nothing is taken from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::limits::{AGE_MAX, METADATA_VALUE_MAX, TREE_FILES_MAX, TREES_MAX};
use super::murmur::Murmur;
use super::outbox::FILE_CHANGES;
use crate::kit::file;
use crate::kit::hex::hex;
use crate::kit::id::new_id;
use crate::kit::text::plain;

/// Key of a note's metadata: the work tree.
pub const TREE: &str = "tree";
/// Key of a note's metadata: the uncommitted files, with commas between; absent where there are none.
pub const FILES: &str = "uncommitted";

/// No such file is longer, in bytes: all that is taken in fits many times.
const SIZE_MAX: usize = 1 << 20;
/// An id of a work tree, in hexadecimal digits.
const ID_DIGITS: usize = 16;

/// What is known of all work trees of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Uncommitted {
    /// Tells the work trees of this machine from those of others at the same path.
    machine: String,
    trees: BTreeMap<String, Tree>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Tree {
    /// When it was told, in milliseconds since 1970.
    told: i64,
    agents: String,
    person: String,
    branch: String,
    /// Since when each file is known to be uncommitted, in the same unit.
    files: BTreeMap<String, i64>,
}

/// Somebody else who has a file changed and not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other<'a> {
    /// The agents at work there, as the note names them.
    pub agents: &'a str,
    /// Whom they work for; may be empty.
    pub person: &'a str,
    /// The branch; may be empty.
    pub branch: &'a str,
    /// Since when, as far as it was told.
    pub since: Timestamp,
    /// When it was told last.
    pub told: Timestamp,
    /// The id of the work tree.
    pub tree: &'a str,
}

impl Uncommitted {
    /// The file, in the state directory of a ledger.
    pub fn path(state: &Path) -> PathBuf {
        state.join("uncommitted.json")
    }

    /// What is known; nothing where that cannot be read: the next notes tell it anew.
    pub fn load(state: &Path) -> Uncommitted {
        let read = file::read_capped(&Uncommitted::path(state), SIZE_MAX).ok();
        let mut known: Uncommitted =
            read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        if known.machine.is_empty() {
            known.machine = new_id().to_string();
        }
        known
    }

    /// Keeps it, without what is too old, and of too many trees the newest.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&mut self, state: &Path, now: Timestamp) -> io::Result<()> {
        self.trees.retain(|_, tree| !tree.files.is_empty() && !is_old(tree.told, now));
        while self.trees.len() > TREES_MAX {
            let oldest = self.trees.iter().min_by_key(|(_, tree)| tree.told).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            self.trees.remove(&oldest);
        }
        file::private_dir(state)?;
        file::write_atomic(&Uncommitted::path(state), serde_json::to_string(self)?.as_bytes(), 0o600)
    }

    /// The id of a work tree of this machine.
    pub fn tree(&self, root: &Path) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.machine);
        hash.update(b"\0");
        hash.update(root.as_os_str().as_encoded_bytes());
        let mut id = hex(&hash.finalize());
        id.truncate(ID_DIGITS);
        id
    }

    /// What was told last of a work tree.
    pub fn of(&self, tree: &str) -> BTreeSet<String> {
        self.trees.get(tree).map(|tree| tree.files.keys().cloned().collect()).unwrap_or_default()
    }

    /// Takes in what a murmur says, in any order. False if it says nothing new.
    pub fn take_in(&mut self, murmur: &Murmur) -> bool {
        let Some(id) = murmur.metadata.get(TREE).filter(|_| murmur.topic == FILE_CHANGES) else {
            return false;
        };
        let Some(told) = murmur.timestamp.0.map(Timestamp::as_millisecond).filter(|_| is_tree(id)) else {
            return false;
        };
        let before = self.trees.get(id);
        if before.is_some_and(|before| before.told >= told) {
            return false;
        }
        let since = |file: &str| before.and_then(|tree| tree.files.get(file)).copied().unwrap_or(told);
        let files = murmur.metadata.get(FILES).map_or("", String::as_str).split(',');
        let files = files.map(str::trim).filter(|file| !file.is_empty()).take(TREE_FILES_MAX);
        let tree = Tree {
            told,
            files: files.map(|file| (file.to_owned(), since(file))).collect(),
            agents: murmur.agent_id.clone(),
            person: murmur.principal_id.clone(),
            branch: murmur.metadata.get("branch").cloned().unwrap_or_default(),
        };
        self.trees.insert(id.clone(), tree);
        true
    }

    /// Who else has a file of the work tree at `root` changed and not committed, who told it last first.
    pub fn others(&self, root: &Path, file: &str, now: Timestamp) -> Vec<Other<'_>> {
        let own = self.tree(root);
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(now);
        let others = self.trees.iter().filter(|(id, tree)| **id != own && !is_old(tree.told, now));
        let mut found: Vec<Other<'_>> = others
            .filter_map(|(id, tree)| {
                let (since, told) = (at(*tree.files.get(file)?), at(tree.told));
                let (agents, person, branch) = (&tree.agents, &tree.person, &tree.branch);
                Some(Other { agents, person, branch, since, told, tree: id })
            })
            .collect();
        found.sort_by(|a, b| (b.told, a.tree).cmp(&(a.told, b.tree)));
        found
    }
}

/// The value of [`FILES`]: as many as there is room for.
pub fn listed(files: &BTreeSet<String>) -> String {
    let mut list = String::new();
    // One with a comma would be read as two.
    let nameable = files.iter().filter(|file| !file.contains(',') && plain(file, false) == **file);
    for file in nameable.take(TREE_FILES_MAX) {
        let comma = if list.is_empty() { "" } else { "," };
        if list.len() + comma.len() + file.len() <= METADATA_VALUE_MAX {
            list.push_str(comma);
            list.push_str(file);
        }
    }
    list
}

/// Whether it is an id of a work tree.
pub fn is_tree(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_old(told: i64, now: Timestamp) -> bool {
    Timestamp::from_millisecond(told).map_or(true, |told| now.duration_since(told) > AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::gotime::GoTime;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + minute * 60).unwrap()
    }

    fn note(tree: &str, minute: i64, files: &str) -> Murmur {
        let metadata = [(TREE, tree), (FILES, files), ("branch", "fix")];
        Murmur {
            timestamp: GoTime(Some(at(minute))),
            topic: FILE_CHANGES.into(),
            agent_id: "OxAb12".into(),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Murmur::default()
        }
    }

    const TREE_A: &str = "00112233445566aa";
    const TREE_B: &str = "00112233445566bb";

    #[test]
    fn the_newest_note_of_a_tree_counts_whatever_the_order() {
        let here = Path::new("/p");
        let check = |notes: &[Murmur], file: &str, expected: &[(&str, i64, i64)]| {
            let mut known = Uncommitted::load(Path::new("/nowhere"));
            for note in notes {
                known.take_in(note);
            }
            let others = known.others(here, file, at(60));
            let shown: Vec<_> = others.iter().map(|o| (o.tree, o.since, o.told)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(t, since, told)| (*t, at(*since), at(*told))).collect();
            assert_eq!(shown, expected, "{file}");
        };
        let (first, second, clean) = (note(TREE_A, 1, "a,b"), note(TREE_A, 11, "b,c"), note(TREE_A, 21, ""));
        check(&[first.clone(), second.clone()], "b", &[(TREE_A, 1, 11)]);
        check(&[first.clone(), second.clone()], "a", &[]);
        check(&[second.clone(), first.clone()], "b", &[(TREE_A, 11, 11)]);
        check(&[first.clone(), clean.clone(), second.clone()], "b", &[]);
        let other = note(TREE_B, 5, "b");
        check(&[first.clone(), other.clone()], "b", &[(TREE_B, 5, 5), (TREE_A, 1, 1)]);
        // What is no note of a tree, and what is told after a day.
        let strange = Murmur { topic: "wip".into(), ..first.clone() };
        check(&[strange, note("../../x", 1, "a"), note(TREE_A, -24 * 60, "a")], "a", &[]);
    }

    #[test]
    fn it_is_kept_bounded_and_the_own_tree_is_not_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Uncommitted::load(dir.path());
        let (here, there) = (known.tree(Path::new("/p")), known.tree(Path::new("/q")));
        assert_ne!(here, there);
        assert_ne!(here, Uncommitted::load(Path::new("/nowhere")).tree(Path::new("/p")), "another machine's");
        assert!(known.take_in(&note(&here, 1, "a")) && known.take_in(&note(&there, 1, "a")));
        assert!(!known.take_in(&note(&there, 1, "a")));
        for n in 0..TREES_MAX as i64 + 8 {
            known.take_in(&note(&format!("{n:016x}"), 2 + n, &"x,".repeat(500)));
        }
        known.take_in(&note("00000000000000ff", 500, ""));
        known.take_in(&note(&here, 500, "a"));
        known.save(dir.path(), at(501)).unwrap();
        let again = Uncommitted::load(dir.path());
        assert_eq!(again, known);
        assert_eq!(again.trees.len(), TREES_MAX);
        assert_eq!(again.others(Path::new("/p"), "a", at(501)), []);
        assert_eq!(again.others(Path::new("/q"), "a", at(501)).len(), 1);
        assert_eq!(again.of(&here).len(), 1);
        std::fs::write(Uncommitted::path(dir.path()), "{").unwrap();
        assert!(Uncommitted::load(dir.path()).trees.is_empty());
    }

    #[test]
    fn only_what_can_be_read_again_is_listed() {
        let files = |all: &[&str]| all.iter().map(|f| (*f).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(listed(&files(&["a,b", "c", "d\n", "e"])), "c,e");
        let many: BTreeSet<String> = (0..200).map(|n| format!("{n:03}-{}", "x".repeat(60))).collect();
        let list = listed(&many);
        assert!(list.len() <= METADATA_VALUE_MAX && list.split(',').count() <= TREE_FILES_MAX);
        assert!(list.split(',').all(|file| many.contains(file)));
    }
}
