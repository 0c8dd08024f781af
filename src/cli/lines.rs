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
    let file = File {
        names: names(path, blamed),
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
    let answers = explain(sessions, &file, &mut at_commit, &|path| is_gone(history, path));
    failed.map_or(Ok(answers), Err)
}

/// Whether what a session wrote into a file may be in the one at `path` now, by the path that the session knew it by.
pub fn may_be_in<'a>(history: &'a History, path: &str, blamed: &Blamed) -> impl Fn(&str) -> bool + 'a {
    let names = names(path, blamed);
    move |path| names.iter().any(|name| name == path) || is_gone(history, path)
}

/// The paths that a file has, or had.
fn names(path: &str, blamed: &Blamed) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    blamed.names.iter().for_each(|name| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    });
    names
}

/// Whether the work tree has no such file. What cannot be looked at is not gone.
fn is_gone(history: &History, path: &str) -> bool {
    history.has(None, path).is_ok_and(|is_there| !is_there)
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
    // git sees no difference between large and small letters there.
    let mut trailers = info.message.trim_end().lines().rev().take_while(|line| !line.trim().is_empty());
    let named = |line: &str| {
        let (key, value) = line.split_at_checked(TRAILER.len())?;
        key.eq_ignore_ascii_case(TRAILER).then(|| value.trim().to_owned())
    };
    Commit {
        author: info.authored,
        committer: info.committed,
        session: trailers.find_map(named).unwrap_or_default(),
    }
}
