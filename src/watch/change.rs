//! What changed: the words in which this room speaks.

use std::fmt;

use git2::Oid;

/// Names a watched root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It was not there before.
    Created,
    /// It is another than before: size, time of change, inode or mode.
    Modified,
    /// It is gone.
    Deleted,
    /// It is gone from here, to another place in the same tree.
    Renamed,
}

impl Kind {
    /// The word used in murmurs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Created => "created",
            Kind::Modified => "modified",
            Kind::Deleted => "deleted",
            Kind::Renamed => "renamed",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file that truly changed: what the tree was before and is now differ there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Bytes of the path, relative to the root, with `/` between names. Not always UTF-8.
    pub path: Box<[u8]>,
    /// How.
    pub kind: Kind,
}

impl Change {
    /// A change of `path`.
    pub fn new(path: &[u8], kind: Kind) -> Change {
        Change { path: path.into(), kind }
    }
}

/// A move of HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMove {
    /// Where it was; `None` before the first commit.
    pub old: Option<Oid>,
    /// Where it is.
    pub new: Option<Oid>,
}

/// A point in a root's history. Points of different instances cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Made anew whenever watching begins.
    pub instance: u64,
    /// Grows with each observed set of changes.
    pub tick: u64,
}

/// Changes that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where.
    pub root: RootId,
    /// What, in the order of paths; each path once.
    pub changes: Vec<Change>,
    /// Git was still at work when it could be waited for no longer: more will come.
    pub partial: bool,
    /// Events were lost or changes dropped: whoever must know all of them has to look for itself.
    pub desynced: bool,
    /// HEAD moved meanwhile.
    pub head_moved: Option<HeadMove>,
    /// The state of the tree that it leads to.
    pub stamp: Stamp,
}

/// Why not everything is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The user's file watches are used up (`ENOSPC`).
    WatchLimit {
        /// The system's limit, where it says.
        limit: Option<u64>,
    },
    /// The kernel has no memory or descriptors for more (`ENOMEM`, `EMFILE`).
    Resources,
    /// More directories than [`super::limits::DIRS_MAX`].
    TooManyDirs,
    /// The file system does not tell of all changes.
    FileSystem(&'static str),
    /// Events were lost again and again.
    Overflow,
    /// There is no watcher.
    NoWatcher,
    /// The repository or its directory cannot be read, and why.
    Unreadable(String),
}

impl Reason {
    /// The issue in one line: what is limited, what follows, what helps.
    pub fn advice(&self) -> String {
        let polled = "the rest of the tree is looked at every few seconds";
        match self {
            Reason::WatchLimit { limit } => {
                let limit = limit.map_or_else(String::new, |n| format!(" of {n}"));
                format!(
                    "the limit{limit} of file watches (fs.inotify.max_user_watches) is reached; {polled}; \
                     to raise it: sudo sysctl fs.inotify.max_user_watches=524288"
                )
            }
            Reason::Resources => {
                format!("the system has no memory or descriptors for more file watches; {polled}")
            }
            Reason::TooManyDirs => {
                format!("there are more than {} directories; {polled}", super::limits::DIRS_MAX)
            }
            Reason::FileSystem(name) => {
                format!("{name} does not tell of all changes; the tree is looked at every few seconds")
            }
            Reason::Overflow => {
                "more changes at a time than can be followed (fs.inotify.max_queued_events); \
                 the tree is looked at every few seconds until that ends"
                    .to_string()
            }
            Reason::Unreadable(why) => format!("changed files are not told to the team: {why}"),
            Reason::NoWatcher => {
                "no file watcher could be made (fs.inotify.max_user_instances); the tree is looked at every few \
                 seconds; to raise the limit: sudo sysctl fs.inotify.max_user_instances=512"
                    .to_string()
            }
        }
    }
}

/// What a root's watching amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The first look at the tree is not done.
    #[default]
    Starting,
    /// All directories are watched.
    Watching,
    /// Some are watched, all are looked at from time to time.
    Degraded(Reason),
    /// The root is not there.
    Gone,
    /// It is there, and cannot be looked at.
    Unreadable(Reason),
}

impl Mode {
    /// The word that a status shows.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Starting => "starting",
            Mode::Watching => "watching",
            Mode::Degraded(_) => "polling",
            Mode::Gone => "gone",
            Mode::Unreadable(_) => "unreadable",
        }
    }

    /// What keeps it from watching everything.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Mode::Degraded(reason) | Mode::Unreadable(reason) => Some(reason),
            _ => None,
        }
    }
}
