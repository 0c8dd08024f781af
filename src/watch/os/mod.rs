//! The system's file watches: one watcher and one thread for everything that is watched, whatever the number of directories.

mod system;
mod table;
#[cfg(test)]
mod tests;
mod watches;

use std::path::PathBuf;

pub use watches::{Listener, ListenerId, Watches};

use super::change::Reason;

/// A watch that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// `ENOSPC`: the user's watches are used up.
    #[error("the limit of file watches is reached at {}", .0.display())]
    Limit(PathBuf),
    /// `ENOMEM`, `EMFILE`, `ENFILE`.
    #[error("no memory or descriptors for a watch of {}", .0.display())]
    Resources(PathBuf),
    /// It is no directory (any more), or may not be read.
    #[error("{} cannot be watched: {}", .0.display(), .1)]
    Path(PathBuf, std::io::Error),
    /// A watcher cannot be made at all.
    #[error("no file watcher: {0}")]
    None(std::io::Error),
}

impl WatchError {
    /// Whether it is the path's own fault.
    pub fn is_of_the_path(&self) -> bool {
        matches!(self, WatchError::Path(..))
    }

    /// What it means for the watching of a root.
    pub fn reason(&self) -> Reason {
        match self {
            WatchError::Limit(_) => Reason::WatchLimit { limit: watch_limit() },
            WatchError::Resources(_) | WatchError::Path(..) => Reason::Resources,
            WatchError::None(_) => Reason::NoWatcher,
        }
    }

    /// The class that decides what happens next.
    pub fn class(&self) -> crate::kit::Class {
        match self {
            WatchError::Path(..) => crate::kit::Class::Disk,
            _ => crate::kit::Class::Busy,
        }
    }
}

/// The smallest of the system's limits of watches.
fn watch_limit() -> Option<u64> {
    let files = ["/proc/sys/user/max_inotify_watches", "/proc/sys/fs/inotify/max_user_watches"];
    let read = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    files.into_iter().filter_map(read).min()
}

/// A cookie that did not come back through the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of file events does not answer")]
pub struct NoCookie;
