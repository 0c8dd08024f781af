//! Whether a clone that was put aside holds anything that is nowhere else. Only looks.

use std::path::Path;

use git2::Oid;
use jiff::Timestamp;

use super::command::{Git, bytes_of};
use super::error::GitError;
use super::limits::RESCUE_KEPT;
use super::local_work::{LocalWork, is_known};
use super::read::{Reader, Verdict, foreign_operation, verify};
use super::rescue::RESCUE;
use crate::kit::cancel::Cancel;

/// Ignored files, and files inside `.git`, that can be made again.
const REMADE: [&str; 5] = [
    ".git/info/exclude",
    ".git/info/attributes",
    ".sageox/checkout.json",
    ".sageox/workspaces.jsonl",
    ".sageox/cache/sync-state.json",
];

/// The answer to "is everything in it also somewhere else?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Proven: clean, pushed, no stash.
    Yes,
    /// Proven not to be.
    No(String),
    /// It could not be looked at; nothing follows from that.
    Unknown(String),
}

/// Looks whether the clone at `path` is clean, has everything pushed as far as its remote-tracking refs say, and keeps nothing in
/// a stash or a rescue ref younger than 30 days.
pub fn settled(git: &Git, path: &Path, now: Timestamp, cancel: &Cancel) -> Settled {
    match verify(path) {
        Verdict::Sound(_) => {}
        Verdict::Damaged(proof) => return Settled::Unknown(format!("it is damaged: {proof}")),
        Verdict::Unknown(e) => return Settled::Unknown(e.to_string()),
    }
    match look(git, path, now, cancel) {
        Ok(None) => Settled::Yes,
        Ok(Some(what)) => Settled::No(what),
        Err(e) => Settled::Unknown(e.to_string()),
    }
}

/// What it holds that may be nowhere else.
fn look(git: &Git, path: &Path, now: Timestamp, cancel: &Cancel) -> Result<Option<String>, GitError> {
    if let Some(f) = foreign_operation(path, now) {
        return Ok(Some(format!("a {} is under way in it", f.what)));
    }
    let work = LocalWork::of(git, path, cancel)?;
    let several = |n: usize, what: &str| Ok(Some(format!("{n} {what}")));
    if !work.pieces.is_empty() {
        return several(work.pieces.len(), "changed or untracked files");
    }
    let remade = |p: &Path| REMADE.iter().any(|r| Path::new(r) == p) || is_sample(p);
    match work.plain.keys().filter(|p| !remade(p)).count() {
        0 => {}
        n => return several(n, "ignored files"),
    }
    let reader = Reader::open(path)?;
    let known: Vec<Oid> = reader.refs("refs/remotes/")?.into_iter().map(|(_, id)| id).collect();
    if reader.target("refs/stash")?.is_some() {
        return Ok(Some("stashed changes".to_owned()));
    }
    let head = work.head.commit.map(|id| ("HEAD".to_owned(), id));
    for (name, id) in work.refs.iter().map(|(n, id)| (n.clone(), *id)).chain(head) {
        // A tag's own object is no commit; it counts as ours.
        let elsewhere = is_old_rescue(&name, now) || reader.knows(id) && is_known(&reader, id, &known)?;
        if !elsewhere {
            return Ok(Some(format!("{name} is not on the remote")));
        }
    }
    Ok(None)
}

fn is_sample(path: &Path) -> bool {
    path.starts_with(".git/hooks") && bytes_of(path).ends_with(b".sample")
}

fn is_old_rescue(name: &str, now: Timestamp) -> bool {
    let time = name.strip_prefix(RESCUE).and_then(|t| t.parse().ok());
    let time = time.and_then(|t| Timestamp::from_second(t).ok());
    time.is_some_and(|t| now.duration_since(t).as_secs() > RESCUE_KEPT.as_secs().cast_signed())
}
