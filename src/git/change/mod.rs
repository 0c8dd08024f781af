//! Changes of a clone, all of them methods of [`ManagedClone`](super::ManagedClone): commits, replays, what is put back and taken back.

pub(super) mod commit;
pub(super) mod exclude;
pub(super) mod in_the_way;
pub(super) mod maintain;
pub(super) mod reapply;
pub(super) mod rebase;
pub(super) mod repair;
pub(super) mod resolve;
pub(super) mod salvage;
