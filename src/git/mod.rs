//! The one place that talks to git: reads in process (git2; refs over HTTP too), everything else by the `git` program through
//! one builder.
//!
//! Threads: none of its own; every call runs on the caller's thread and ends at a deadline or a cancel.
//! Files: the lock file beside (never inside) a clone; inside a clone `refs/ox/*`, `.git/ox/`, `.git/info/sparse-checkout` and a
//! block in `.git/info/exclude`.
//! Locks: [`CloneLock`], level 2 of the house's order; the only way to a [`ManagedClone`], which alone changes a clone.
//! Promises: no prompt, no editor, no hook, no signing, no stash; nothing uncommitted is lost, also not by kill -9; what
//! a partial clone lacks is fetched when it is needed, and a failure to do so changes nothing.

mod blobs;
mod bounds;
mod carry;
mod clone;
mod command;
mod commit;
mod credentials;
mod discover;
mod error;
mod exclude;
mod in_the_way;
pub mod limits;
mod local_work;
mod lock;
mod login;
mod maintain;
mod managed;
mod own_http;
mod partial;
mod partial_clone;
mod pkt;
mod push;
mod read;
mod reapply;
mod rebase;
mod repair;
mod rescue;
mod rescued;
mod resolve;
mod salvage;
mod seed;
mod smart;
mod sparse;
mod staging;
mod unsaved;
mod work_tree;

pub use blobs::{BlobContent, BlobEntry};
pub use bounds::Bounds;
pub use clone::{CloneStage, Progress, clone_plain, create_bare};
pub use command::{Env, Git, Profile, Version};
pub use commit::link_leaves;
pub use credentials::Bare;
pub use discover::{Remote, discover};
pub use error::GitError;
pub use exclude::{CONFLICT_MARK, ensure_attributes};
pub use local_work::{LocalWork, Unmovable, open_elsewhere, unmovable};
pub use lock::{CloneLock, Op, OpKind, Stamp};
pub use login::{Login, Logins};
pub use maintain::{Maintained, disk_size};
pub use managed::{Fetched, How, Integrated, ManagedClone};
pub use partial_clone::{Made, PartialClone, clone_partial};
pub use push::Pushed;
pub use read::{
    Foreign, Head, LockFile, Reader, Verdict, foreign_operation, lock_files, prepare_library, verify,
    work_tree_around,
};
pub use rescue::{Rescue, rescue_refs};
pub use rescued::{Content, LineDiff, Rescued, line_diff, rescued, rescued_paths};
pub use resolve::ResolveRules;
pub use seed::Seeded;
pub use sparse::Sparse;
pub use staging::remove_leftovers;
pub use unsaved::unsaved;
pub use work_tree::{Recorded, Tracked, WorkTree};
