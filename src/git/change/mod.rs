//! Changes of a clone, all of them methods of [`ManagedClone`](super::ManagedClone): commits, replays, what is put back and taken back.

pub(super) mod commit;
pub(super) mod exclude;
pub(super) mod in_the_way;
pub(super) mod left_rebase;
pub(super) mod maintain;
pub(super) mod merge;
pub(super) mod reapply;
pub(super) mod repair;
pub(super) mod replay;
pub(super) mod resolve;
pub(super) mod rewrite;
