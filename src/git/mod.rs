//! The one place that talks to git: reads in process (git2; refs over HTTP too), everything else by the `git` program through
//! one builder.
//!
//! Threads: every call runs on the caller's thread and ends at a deadline or a cancel; up to four move large files while it waits (`lfs`).
//! Files: the lock file beside (never inside) a clone; inside a clone `refs/ox/*`, `.git/ox/`, `.git/info/sparse-checkout` and a
//! block in `.git/info/exclude`; of large files what the caller names, and what is known of a remote's server.
//! Locks: [`CloneLock`], level 2 of the house's order; the only way to a [`ManagedClone`], which alone changes a clone.
//! Promises: no prompt, no editor, no hook, no signing, no stash; nothing uncommitted is lost, also not by kill -9; what
//! a partial clone lacks is fetched when it is needed, and a failure to do so changes nothing.

mod bounds;
mod caller;
mod change;
mod clone;
mod command;
mod entry;
mod error;
pub mod lfs;
pub mod limits;
mod lock;
mod managed;
mod output;
mod read;
mod remote;
mod rescue;
mod told;

pub use bounds::Bounds;
pub use caller::{Caller, way_to_remotes};
pub use change::commit::link_leaves;
pub use change::exclude::{CONFLICT_MARK, ensure_attributes, exclude_locally};
pub use change::maintain::disk_size;
pub use change::resolve::ResolveRules;
pub use clone::partial_clone::{Made, PartialClone, clone_partial};
pub use clone::seed::Seeded;
pub use clone::sparse::Sparse;
pub use clone::staging::remove_leftovers;
pub use clone::{CloneStage, Progress, clone_plain, create_bare};
pub use command::{Env, Git, Profile, Version};
pub use error::{GitError, Unmoved};
pub use lock::{CloneLock, Op, OpKind, Stamp};
pub use managed::{Fetched, Gate, How, Integrated, ManagedClone};
pub use read::blame::{AddedLines, Blamed, CommitInfo, History, LineOrigin};
pub use read::blobs::{BlobContent, BlobEntry};
pub use read::find::{NoWorkTree, find_work_tree, is_in_repository, unreadable};
pub use read::local_work::{LocalWork, Unmovable, open_elsewhere, uncommitted, unmovable};
pub use read::own_files::OwnFile;
pub use read::unsaved::unsaved;
pub use read::work_tree::{Recorded, Tracked, WorkTree};
pub use read::{
    Foreign, Head, LockFile, Reader, Verdict, foreign_operation, lock_files, prepare_library, user_name,
    verify, work_trees,
};
pub use remote::credentials::Bare;
pub use remote::discover::{Remote, discover};
pub use remote::login::{Login, Logins};
pub use remote::push::Pushed;
pub use rescue::rescued::{Content, LineDiff, Rescued, line_diff, rescued, rescued_paths};
pub use rescue::{Rescue, rescue_refs};
