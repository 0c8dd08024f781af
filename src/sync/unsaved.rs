//! What a clone has that exists nowhere else: looked at before anything is removed.

use std::path::Path;

use jiff::Timestamp;

use crate::git::{Git, GitError, LocalWork, Reader, Settled, settled};
use crate::kit::cancel::Cancel;

/// What would be lost with the clone at `path`, in words; nothing if all of it is at the remote.
///
/// # Errors
/// It could not be looked at: then anything may be lost.
pub fn unsaved(git: &Git, path: &Path, now: Timestamp, cancel: &Cancel) -> Result<Vec<String>, GitError> {
    let mut what = Vec::new();
    let work = LocalWork::of(git, path, cancel)?;
    if !work.is_clean() {
        what.push("uncommitted or untracked files".to_string());
    }
    let reader = Reader::open(path)?;
    let pushed: Vec<git2::Oid> = reader.refs("refs/remotes/")?.into_iter().map(|(_, id)| id).collect();
    let head = reader.head()?.commit.map(|id| ("HEAD".to_string(), id));
    for (name, id) in reader.refs("refs/heads/")?.into_iter().chain(head) {
        let mut there = false;
        for remote in &pushed {
            there = there || reader.is_ancestor(id, *remote)?;
        }
        if !there {
            what.push(format!(
                "commits of {} that the remote has not",
                name.trim_start_matches("refs/heads/")
            ));
        }
    }
    if reader.target("refs/stash")?.is_some() {
        what.push("stashed changes".to_string());
    }
    match reader.refs("refs/ox/rescue/")?.len() {
        0 => {}
        n => what.push(format!("{n} rescued versions of files")),
    }
    what.dedup();
    if what.is_empty()
        && let Settled::No(other) | Settled::Unknown(other) = settled(git, path, now, cancel)
    {
        what.push(other);
    }
    Ok(what)
}
