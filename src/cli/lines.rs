//! What git knows of the lines of a file, beside what sessions wrote.

use crate::git::{AddedLines, Blamed, CommitInfo, GitError, History};
use crate::sessions::edits::find::Known;
use crate::sessions::edits::why::{Answer, Commit, File, explain, share};

/// The trailer by which a commit names a session. It is only read here: whoever wants it writes it.
const TRAILER: &str = "Ox-Session:";

/// Who wrote each line of the file at `path`.
///
/// # Errors
/// The history cannot be read.
pub fn authors<'a>(
    history: &History,
    path: &str,
    blamed: &Blamed,
    sessions: &'a [Known],
) -> Result<Vec<Answer<'a>>, GitError> {
    let mut names = vec![path.to_owned()];
    blamed.names.iter().for_each(|name| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    });
    let file = File {
        names,
        lines: blamed.lines.clone(),
        origins: blamed.origins.iter().map(|origin| origin.map(|of| (of.commit, of.line))).collect(),
        commits: blamed.commits.iter().map(commit).collect(),
    };
    let mut failed = None;
    let mut at_commit = |n: usize| {
        let lines = history.lines_at(blamed.commits[n].id, &blamed.names[n]);
        lines.unwrap_or_else(|e| {
            failed = Some(e);
            None
        })
    };
    // What cannot be looked at is not gone.
    let is_gone = |path: &str| history.has(None, path).is_ok_and(|is_there| !is_there);
    let answers = explain(sessions, &file, &mut at_commit, &is_gone);
    failed.map_or(Ok(answers), Err)
}

/// How many of the lines that a commit added a session wrote.
pub fn written(
    history: &History,
    info: &CommitInfo,
    added: &[AddedLines],
    sessions: &[Known],
    session: usize,
) -> usize {
    let is_gone = |path: &str| history.has(Some(info.id), path).is_ok_and(|is_there| !is_there);
    let of = |file: &AddedLines| {
        share(sessions, session, &commit(info), &file.names, &file.lines, &file.added, &is_gone)
    };
    added.iter().map(of).sum()
}

fn commit(info: &CommitInfo) -> Commit {
    let trailers = info.message.lines().rev().take_while(|line| !line.trim().is_empty());
    let named = trailers.filter_map(|line| line.strip_prefix(TRAILER)).next();
    Commit {
        author: info.authored,
        committer: info.committed,
        session: named.unwrap_or_default().trim().to_owned(),
    }
}
