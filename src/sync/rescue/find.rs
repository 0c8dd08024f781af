//! Finding what was rescued.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::aside::{AsideKind, asides};
use super::{Item, Kind, show};
use crate::git::limits::RESCUE_KEPT;
use crate::git::{CONFLICT_MARK, rescue_refs, rescued_paths};
use crate::project::Dirs;
use crate::sync::inventory::stored_as;

/// Entries looked at for copies in one clone; beyond, copies are not listed.
const ENTRIES_MAX: usize = 200_000;
/// Files of one put-aside directory that are compared.
pub(super) const FILES_MAX: usize = 100_000;

/// A managed clone of this machine. It may be gone while something of it was put aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clone {
    /// Its directory.
    pub path: PathBuf,
    /// Its lock file.
    pub lock: PathBuf,
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Newest first.
    pub items: Vec<Item>,
    /// Sentences for people.
    pub problems: Vec<String>,
}

/// Every managed clone below the data directory, also those of which only something put aside is left. Sorted.
pub fn clones(dirs: &Dirs) -> Vec<Clone> {
    let stored = stored_as(dirs, own_name).into_iter();
    let mut found: Vec<Clone> = stored.map(|s| Clone { path: s.path, lock: s.lock }).collect();
    found.sort();
    found.dedup();
    found
}

/// The name of the clone that lies, or lay, by this name. What is being made or replaced is nobody's yet.
fn own_name(name: &str) -> Option<&str> {
    let own = AsideKind::parse(name).map_or(name, |(own, ..)| own);
    (!own.contains(".ox-clone-") && !own.contains(".ox-reclone-")).then_some(own)
}

/// All that was rescued from these clones.
pub fn list(clones: &[Clone]) -> Listing {
    let mut listing = Listing::default();
    for clone in clones {
        let copies = copies(&clone.path, &mut listing.problems);
        add_refs(&clone.path, &copies, &mut listing);
        for copy in copies {
            let id = id_of(&clone.path, &copy.copy.to_string_lossy());
            let (kind, at) = (Kind::Copy { path: copy.path, copy: copy.copy }, copy.at);
            let clone = clone.path.clone();
            listing.items.push(Item { id, clone, kind, at, until: None, files: 1, unmerged: Vec::new() });
        }
        add_asides(&clone.path, &mut listing);
    }
    listing.items.sort_by(|a, b| (b.at, &a.id).cmp(&(a.at, &b.id)));
    listing
}

fn add_refs(clone: &Path, copies: &[Copy], listing: &mut Listing) {
    if !clone.join(".git").exists() {
        return;
    }
    let refs = match rescue_refs(clone) {
        Ok(refs) => refs,
        Err(e) => return listing.problems.push(format!("{}: {e}", clone.display())),
    };
    for (reference, at) in refs {
        let paths = match rescued_paths(clone, &reference) {
            Ok(paths) => paths,
            Err(e) => {
                listing.problems.push(format!("{} {reference}: {e}", clone.display()));
                continue;
            }
        };
        let beside = copies.iter().filter(|c| c.at == at && paths.contains(&c.path));
        let unmerged = beside.map(|c| c.path.clone()).collect();
        let until = SignedDuration::try_from(RESCUE_KEPT).ok().and_then(|kept| at.checked_add(kept).ok());
        let id = id_of(clone, &reference);
        let (clone, files) = (clone.to_path_buf(), paths.len());
        listing.items.push(Item { id, clone, kind: Kind::Ref(reference), at, until, files, unmerged });
    }
}

fn add_asides(clone: &Path, listing: &mut Listing) {
    for (kind, at, directory) in asides(clone) {
        let files = show::differing(clone, &directory).unwrap_or_else(|e| {
            listing.problems.push(format!("{}: {e}", directory.display()));
            Vec::new()
        });
        let id = id_of(clone, &directory.to_string_lossy());
        let kind = match kind {
            AsideKind::Backup => Kind::Backup(directory),
            AsideKind::Revoked => Kind::Revoked(directory),
        };
        let (clone, files) = (clone.to_path_buf(), files.len());
        listing.items.push(Item { id, clone, kind, at, until: None, files, unmerged: Vec::new() });
    }
}

/// A conflict copy in a clone.
struct Copy {
    path: PathBuf,
    copy: PathBuf,
    at: Timestamp,
}

fn copies(clone: &Path, problems: &mut Vec<String>) -> Vec<Copy> {
    let mut found = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    let mut seen = 0;
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(clone.join(&dir)).into_iter().flatten().flatten() {
            seen += 1;
            if seen > ENTRIES_MAX {
                problems.push(format!("{}: too many files; not all copies are listed", clone.display()));
                return found.into_values().collect();
            }
            let Ok(kind) = entry.file_type() else { continue };
            let path = dir.join(entry.file_name());
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    todo.push(path);
                }
            } else if let Some((own, at)) = entry.file_name().to_str().and_then(parse_copy) {
                found.insert(path.clone(), Copy { path: dir.join(own), copy: path, at });
            }
        }
    }
    found.into_values().collect()
}

/// `<name>.conflict-<machine>-<unix>`, also with `-<n>` behind it: the file's name and the time.
fn parse_copy(name: &str) -> Option<(&str, Timestamp)> {
    // Seconds of this century and the next have ten digits: a counter has fewer.
    const SECONDS_DIGITS: usize = 9;
    let (own, rest) = name.rsplit_once(CONFLICT_MARK)?;
    let is_time = |part: &str| part.len() >= SECONDS_DIGITS && part.bytes().all(|b| b.is_ascii_digit());
    let (machine, last) = rest.rsplit_once('-')?;
    let time = if is_time(last) {
        last
    } else {
        last.parse::<u32>().ok()?;
        machine.rsplit_once('-').map(|(_, time)| time).filter(|time| is_time(time))?
    };
    let at = Timestamp::from_second(time.parse().ok()?).ok()?;
    (!own.is_empty()).then_some((own, at))
}

fn id_of(clone: &Path, what: &str) -> String {
    let mut all = Sha256::new();
    all.update(clone.as_os_str().as_encoded_bytes());
    all.update([0]);
    all.update(what.as_bytes());
    all.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_copies_are_read() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let check = |name: &str, expected| assert_eq!(parse_copy(name), expected, "{name}");
        check("a.md.conflict-box-1800000000", Some(("a.md", at(1_800_000_000))));
        check("a.md.conflict-my-box-1800000000-2", Some(("a.md", at(1_800_000_000))));
        check("a.conflict-x-1.conflict-box-1800000000", Some(("a.conflict-x-1", at(1_800_000_000))));
        check("a.conflict-box", None);
        check("a.conflict-box-x", None);
        check(".conflict-box-1800000000", None);
        check("a", None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            own in "[a-z.]{1,12}", machine in "[a-zA-Z0-9_-]{1,12}", time in 1_000_000_000i64..9_999_999_999, n in 1u32..100,
        ) {
            let again = if n == 1 { String::new() } else { format!("-{n}") };
            let name = format!("{own}{CONFLICT_MARK}{machine}-{time}{again}");
            let expected = (own.as_str(), Timestamp::from_second(time).unwrap());
            prop_assert_eq!(parse_copy(&name), Some(expected));
        }

        #[test]
        fn no_name_is_a_panic(name in "\\PC{0,40}") {
            let _ = parse_copy(&name);
            let _ = AsideKind::parse(&name);
        }
    }
}
