//! What a clone holds that exists nowhere else: looked at before it is removed. Only looks.

use std::path::Path;

use git2::Oid;
use jiff::Timestamp;

use super::local_work::{LocalWork, MIRRORED, STASH, is_known};
use super::{Reader, Verdict, foreign_operation, verify};
use crate::git::command::Git;
use crate::git::entry::bytes_of;
use crate::git::error::GitError;
use crate::git::rescue::{RESCUE, is_old, time_of};
use crate::kit::cancel::Cancel;

/// Ignored files, and files inside `.git`, that can be made again.
const REMADE: [&str; 5] = [
    ".git/info/exclude",
    ".git/info/attributes",
    ".sageox/checkout.json",
    ".sageox/workspaces.jsonl",
    ".sageox/cache/sync-state.json",
];

/// What the clone at `path` holds that may be nowhere else, in words: changes, untracked and ignored files, commits that its
/// remote-tracking refs have not, a stash, rescued versions younger than 30 days, an operation under way. Empty if all of it is at the
/// remote; then it may be removed.
///
/// # Errors
/// It is damaged or could not be looked at: then anything may be lost.
pub fn unsaved(git: &Git, path: &Path, now: Timestamp, cancel: &Cancel) -> Result<Vec<String>, GitError> {
    match verify(path) {
        Verdict::Sound(_) => {}
        Verdict::Damaged(proof) => return Err(GitError::Damaged { what: "the clone", proof }),
        Verdict::Unknown(e) => return Err(e),
    }
    let mut what = Vec::new();
    let several =
        |n: usize, one: &str, more: &str| (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { more }));
    what.extend(foreign_operation(path, now).map(|f| format!("a {} under way", f.what)));
    let work = LocalWork::of(git, path, cancel)?;
    what.extend(several(
        work.pieces.len(),
        "uncommitted or untracked file",
        "uncommitted or untracked files",
    ));
    let remade = |p: &Path| REMADE.iter().any(|r| Path::new(r) == p) || is_sample(p);
    let ignored = work.plain.keys().filter(|p| !remade(p)).count();
    what.extend(several(ignored, "ignored file", "ignored files"));
    let reader = Reader::open(path)?;
    let known: Vec<Oid> = reader.refs(MIRRORED)?.into_iter().map(|(_, id)| id).collect();
    let detached = work.head.commit.filter(|_| work.head.branch.is_none()).map(|id| ("HEAD".to_owned(), id));
    let mut rescued = 0;
    for (name, id) in work.refs.iter().map(|(n, id)| (n.clone(), *id)).chain(detached) {
        // A tag's own object is no commit; it counts as ours.
        if time_of(&name).is_some_and(|at| is_old(at, now))
            || reader.knows(id) && is_known(&reader, id, &known)?
        {
            continue;
        }
        if name.starts_with(RESCUE) {
            rescued += 1;
        } else if name != STASH {
            let name = name.strip_prefix("refs/heads/").unwrap_or(&name);
            what.push(format!("commits of {name} that are not on the remote"));
        }
    }
    if reader.target(STASH)?.is_some() {
        what.push("stashed changes".to_owned());
    }
    what.extend(several(rescued, "rescued version of files", "rescued versions of files"));
    Ok(what)
}

fn is_sample(path: &Path) -> bool {
    path.starts_with(".git/hooks") && bytes_of(path).ends_with(b".sample")
}
