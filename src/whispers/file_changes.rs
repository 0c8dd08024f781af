//! What is told of changed files: collected, shortened, and never more than a line. Pure.

use std::collections::BTreeMap;

use super::limits::SENT_MAX;
use crate::kit::human;
use crate::kit::text::{cut, plain};
use crate::redact::is_secret_path;

/// Files that are remembered by name; of further ones only their directories are counted (11.4).
pub const FILES_MAX: usize = 5_000;
/// Directories that are counted.
pub const DIRS_MAX: usize = 1_000;
/// More changes than this in one batch that came with a move of HEAD are somebody's switch of branches (11.4).
pub const SWITCH_MIN: usize = 500;
/// So many files are named each by itself (11.3).
const NAMED_MAX: usize = 5;
/// So many are told by directory, all of them; of more only the directories with most (11.3).
const BY_DIR_MAX: usize = 20;
/// So many directories then.
const DIRS_TOLD: usize = 5;
/// Paths in the metadata (11.4).
const LISTED_MAX: usize = 50;
/// Directories of tools, whose files are nobody's work (11.2).
const TOOLS: [&str; 5] = [".sageox/", ".beads/", ".claude/", ".codegraph/", ".cursor/"];

/// How a file changed, in the order in which changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It says something else.
    Modified,
    /// It went to another place.
    Renamed,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Kind::Created => "new",
            Kind::Modified => "mod",
            Kind::Deleted => "del",
            Kind::Renamed => "mv",
        }
    }

    /// What a change and a later one of the same file are together; `None`: nothing (11.1).
    fn then(self, later: Kind) -> Option<Kind> {
        match (self, later) {
            (Kind::Created, Kind::Deleted | Kind::Renamed) => None,
            (Kind::Created, _) | (Kind::Renamed, Kind::Created) => Some(Kind::Created),
            (_, Kind::Created) => Some(Kind::Modified),
            (_, later) => Some(later),
        }
    }
}

/// Changes of one directory: new, modified, deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    modified: u64,
    created: u64,
    deleted: u64,
}

impl Counts {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Created => self.created += 1,
            Kind::Deleted => self.deleted += 1,
            Kind::Modified | Kind::Renamed => self.modified += 1,
        }
    }

    fn add_all(&mut self, more: Counts) {
        self.modified += more.modified;
        self.created += more.created;
        self.deleted += more.deleted;
    }

    fn all(self) -> u64 {
        self.modified + self.created + self.deleted
    }

    fn text(self) -> String {
        let parts = [(self.modified, 'M'), (self.created, 'A'), (self.deleted, 'D')];
        let told = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, letter)| format!("{n}{letter}"));
        format!("({})", told.collect::<Vec<_>>().join(","))
    }
}

/// Changes that wait to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    files: BTreeMap<String, Kind>,
    /// Of files beyond those that are remembered.
    more: BTreeMap<String, Counts>,
    /// Branches were switched: what was checked out before the first and after the last time.
    switched: Option<(String, String)>,
}

impl FileChanges {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.more.is_empty() && self.switched.is_none()
    }

    /// How many files changed.
    pub fn count(&self) -> u64 {
        self.files.len() as u64 + self.more.values().map(|counts| counts.all()).sum::<u64>()
    }

    /// A file has changed. What is no work of anybody, and what could name a secret, is left out.
    pub fn add(&mut self, path: &str, kind: Kind) {
        if !is_work(path) {
            return;
        }
        match self.files.get(path).copied() {
            Some(before) => match before.then(kind) {
                Some(now) => drop(self.files.insert(path.to_string(), now)),
                None => drop(self.files.remove(path)),
            },
            None if self.files.len() < FILES_MAX => drop(self.files.insert(path.to_string(), kind)),
            None => {
                let dir = dir_of(path);
                if self.more.len() < DIRS_MAX || self.more.contains_key(dir) {
                    self.more.entry(dir.to_string()).or_default().add(kind);
                }
            }
        }
    }

    /// HEAD moved with so many files that it is a switch of branches: their names are not told.
    pub fn switch(&mut self, old: &str, new: &str) {
        let from = self.switched.take().map_or_else(|| old.to_string(), |(from, _)| from);
        self.switched = Some((from, new.to_string()));
    }

    /// What changed before all of this, and could not be told.
    pub fn after(&mut self, mut earlier: FileChanges) {
        let FileChanges { files, more, switched } = std::mem::take(self);
        files.into_iter().for_each(|(path, kind)| earlier.add(&path, kind));
        for (dir, counts) in more {
            if earlier.more.len() < DIRS_MAX || earlier.more.contains_key(&dir) {
                earlier.more.entry(dir).or_default().add_all(counts);
            }
        }
        if let Some((old, new)) = switched {
            earlier.switch(&old, &new);
        }
        *self = earlier;
    }

    /// The files that are remembered by name.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The paths for metadata, with commas between.
    pub fn listed(&self) -> String {
        self.files.keys().take(LISTED_MAX).map(|path| plain(path, false)).collect::<Vec<_>>().join(",")
    }

    /// What is said, at most as long as a murmur may be (11.3). `clean` are files that were told as uncommitted and are so no longer.
    pub fn text(&self, branch: Option<&str>, clean: &[String]) -> String {
        let prefix = branch.map(|name| format!("[{}] ", plain(name, false))).unwrap_or_default();
        let switched = self.switched.as_ref().map(|(old, new)| format!("switched {old} -> {new}"));
        let changes = match self.count() {
            0 => None,
            n if n <= NAMED_MAX as u64 => Some(self.named()),
            n => Some(self.by_dir(n)),
        };
        let clean = match clean.len() {
            0 => None,
            1..=NAMED_MAX => {
                let named: Vec<_> = clean.iter().map(|path| plain(path, false)).collect();
                Some(format!("committed or undone: {}", named.join(", ")))
            }
            n => Some(format!("committed or undone: {n} files")),
        };
        let parts: Vec<String> = switched.into_iter().chain(changes).chain(clean).collect();
        cut(&(prefix + &parts.join("; ")), SENT_MAX).to_string()
    }

    fn named(&self) -> String {
        let mut all: Vec<(Kind, &str)> =
            self.files.iter().map(|(path, kind)| (*kind, path.as_str())).collect();
        all.sort_unstable();
        let mut last = None;
        let item = |(kind, path): (Kind, &str)| {
            let label =
                if last.replace(kind) == Some(kind) { String::new() } else { format!("{} ", kind.label()) };
            format!("{label}{}", plain(path, false))
        };
        all.into_iter().map(item).collect::<Vec<_>>().join(", ")
    }

    fn by_dir(&self, count: u64) -> String {
        let mut dirs = self.more.clone();
        for (path, kind) in &self.files {
            dirs.entry(dir_of(path).to_string()).or_default().add(*kind);
        }
        let told = |(dir, counts): &(String, Counts)| format!("{}{}", plain(dir, false), counts.text());
        let mut dirs: Vec<(String, Counts)> = dirs.into_iter().collect();
        if count <= BY_DIR_MAX as u64 {
            return format!(
                "{}: {}",
                human::count(count, "file"),
                dirs.iter().map(told).collect::<Vec<_>>().join(" ")
            );
        }
        dirs.sort_by(|a, b| b.1.all().cmp(&a.1.all()).then_with(|| a.0.cmp(&b.0)));
        let more = match dirs.len().saturating_sub(DIRS_TOLD) {
            0 => String::new(),
            n => format!(" … +{n} dirs"),
        };
        let first: Vec<String> = dirs.iter().take(DIRS_TOLD).map(told).collect();
        format!("{}: {}{more}", human::count(count, "file"), first.join(" "))
    }
}

/// The directory of a path, `./` for the top.
fn dir_of(path: &str) -> &str {
    path.rfind('/').map_or("./", |at| &path[..=at])
}

fn is_work(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    !(path.starts_with("../")
        || name.contains(".tmp.")
        || is_by_the_way(name)
        || TOOLS.iter().any(|tool| path.starts_with(tool))
        || is_secret_path(path))
}

/// Whether a file of this name is what an editor or a system keeps beside the one that somebody works on, as long as that takes: locks,
/// backups, what has not been saved yet. The names are those that each program documents or is known for.
fn is_by_the_way(name: &str) -> bool {
    let hidden = name.strip_prefix('.').unwrap_or_default();
    // Vim's and nano's swap files, `.a.swp` and down to `.a.swa` where that is taken; Flash has `.swf`.
    let is_swap = match hidden.rsplit_once('.').unwrap_or(("", hidden)).1.as_bytes() {
        [b's', b'w', last] => matches!(last, b'a'..=b'e' | b'g'..=b'p' | b'x'),
        _ => false,
    };
    is_swap
        // Backups of Vim, Emacs, nano, gedit and Kate; also Vim's `.a.un~` and Emacs's `a.~1~`.
        || name.len() > 1 && name.ends_with('~')
        // Where Vim tries whether a directory can be written.
        || name == "4913"
        // Emacs: `.#a` says who edits a file, `#a#` holds what is not saved.
        || hidden.len() > 1 && hidden.starts_with('#')
        || name.len() > 2 && name.starts_with('#') && name.ends_with('#')
        || !hidden.is_empty() && hidden.ends_with(".kate-swp")
        // JetBrains, while a file is saved.
        || ["___jb_tmp___", "___jb_old___", "___jb_bak___"].iter().any(|end| name.ends_with(end))
        // LibreOffice and Microsoft Office: who has a document open.
        || hidden.starts_with("~lock.") && name.ends_with('#')
        || name.len() > 2 && name.starts_with("~$")
        // What GNOME's programs write before they rename it.
        || hidden.starts_with("goutputstream-")
        // macOS: how a directory is shown, and what its file system has beside a file's content.
        || name == ".DS_Store"
        || hidden.len() > 1 && hidden.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(all: &[(&str, Kind)]) -> FileChanges {
        let mut changes = FileChanges::default();
        all.iter().for_each(|(path, kind)| changes.add(path, *kind));
        changes
    }

    #[test]
    fn few_are_named_more_are_counted_by_directory() {
        let check =
            |all: &[(&str, Kind)], expected: &str| assert_eq!(changes(all).text(Some("main"), &[]), expected);
        check(
            &[("src/b.rs", Kind::Modified), ("src/a.rs", Kind::Modified), ("src/c.rs", Kind::Created)],
            "[main] new src/c.rs, mod src/a.rs, src/b.rs",
        );
        check(&[("x", Kind::Renamed), ("y", Kind::Deleted)], "[main] del y, mv x");
        check(
            &[
                ("README.md", Kind::Modified),
                ("src/auth/a.rs", Kind::Modified),
                ("src/auth/b.rs", Kind::Modified),
                ("src/auth/c.rs", Kind::Renamed),
                ("src/auth/d.rs", Kind::Modified),
                ("src/auth/e.rs", Kind::Created),
                ("src/auth/f.rs", Kind::Created),
            ],
            "[main] 7 files: ./(1M) src/auth/(4M,2A)",
        );
        let many: Vec<String> = (0..60).map(|n| format!("d{:02}/f{n}", n % 16)).collect();
        let many: Vec<(&str, Kind)> = many.iter().map(|p| (p.as_str(), Kind::Modified)).collect();
        check(&many, "[main] 60 files: d00/(4M) d01/(4M) d02/(4M) d03/(4M) d04/(4M) … +11 dirs");
        assert_eq!(changes(&[]).text(None, &[]), "");
        let clean = |n: usize| (0..n).map(|n| format!("f{n}")).collect::<Vec<_>>();
        assert_eq!(changes(&[]).text(Some("main"), &clean(2)), "[main] committed or undone: f0, f1");
        assert_eq!(
            changes(&[("x", Kind::Created)]).text(None, &clean(6)),
            "new x; committed or undone: 6 files"
        );
    }

    #[test]
    fn a_file_is_told_once_as_what_became_of_it() {
        let check = |kinds: &[Kind], expected: Option<Kind>| {
            let all: Vec<(&str, Kind)> = kinds.iter().map(|kind| ("f", *kind)).collect();
            assert_eq!(changes(&all).files.get("f").copied(), expected, "{kinds:?}");
        };
        check(&[Kind::Created, Kind::Modified], Some(Kind::Created));
        check(&[Kind::Created, Kind::Deleted], None);
        check(&[Kind::Modified, Kind::Deleted], Some(Kind::Deleted));
        check(&[Kind::Deleted, Kind::Created], Some(Kind::Modified));
        check(&[Kind::Renamed, Kind::Created], Some(Kind::Created));
        check(&[Kind::Created, Kind::Deleted, Kind::Created], Some(Kind::Created));
    }

    #[test]
    fn wat_05_tools_temporary_files_and_secrets_are_not_told() {
        let mut some = FileChanges::default();
        for path in ["../x", "a/.f.tmp.12", ".claude/x", ".sageox/ledger", ".env", "deploy/id_rsa", "k.pem"] {
            some.add(path, Kind::Modified);
        }
        assert!(some.is_empty());
        some.add("src/x.rs", Kind::Modified);
        assert_eq!((some.count(), some.listed().as_str()), (1, "src/x.rs"));
    }

    #[test]
    fn what_editors_and_systems_keep_beside_a_file_is_not_told() {
        for name in [
            ".a.txt.swp",
            ".a.swo",
            ".a.swx",
            ".a.swa",
            ".swp",
            ".bashrc.swp",
            ".a.un~",
            "a~",
            "a.txt~",
            "a.~1~",
            "4913",
            ".#a",
            ".#a.txt",
            "#a.txt#",
            ".a.kate-swp",
            "a.rs___jb_tmp___",
            "a.rs___jb_old___",
            ".~lock.a.odt#",
            "~$report.docx",
            ".goutputstream-7QK1Y2",
            ".DS_Store",
            "._a",
            "._.DS_Store",
        ] {
            for path in [name.to_owned(), format!("src/deep/{name}")] {
                assert!(changes(&[(&path, Kind::Created), (&path, Kind::Modified)]).is_empty(), "{path}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_editors_file_is_told() {
        for name in [
            "a.swp",
            "movie.swf",
            ".movie.swf",
            ".a.swift",
            "swp",
            ".sw",
            "~",
            "a~b",
            "4913.txt",
            "04913",
            "49130",
            "#a",
            "a#",
            "#",
            "##",
            ".a#",
            "a.#b",
            "kate-swp",
            "a.kate-swp",
            ".kate-swp.md",
            "___jb_tmp___.rs",
            "lock.a.odt#",
            "~lock.a",
            "~$",
            "$a",
            "goutputstream-1",
            "DS_Store",
            ".DS_Store.md",
            "_a",
            "a._b",
            "._",
            ".a.txt",
            ".gitignore",
        ] {
            assert_eq!(changes(&[(name, Kind::Created)]).count(), 1, "{name}");
        }
        // Only its own name counts, not that of a directory.
        assert_eq!(changes(&[("a~/b", Kind::Created), ("4913/b", Kind::Created)]).count(), 2);
    }

    #[test]
    fn however_much_changes_it_stays_small() {
        let mut all = FileChanges::default();
        for n in 0..20_000 {
            all.add(&format!("dir{}/{}/f{n}\n\u{1b}", n % 3_000, "x".repeat(200)), Kind::Modified);
        }
        assert!(all.files.len() <= FILES_MAX && all.more.len() <= DIRS_MAX);
        let text = all.text(Some(&"b".repeat(400)), &[]);
        assert!(text.len() <= SENT_MAX && !text.chars().any(char::is_control), "{text}");
        assert_eq!(all.listed().split(',').count(), LISTED_MAX);
    }

    #[test]
    fn a_switch_of_branches_is_one_line() {
        let mut some = FileChanges::default();
        some.switch("main", "feature");
        some.switch("feature", "fix");
        assert_eq!(some.text(Some("fix"), &[]), "[fix] switched main -> fix");
        some.add("a", Kind::Modified);
        assert_eq!(some.text(None, &[]), "switched main -> fix; mod a");
    }
}
