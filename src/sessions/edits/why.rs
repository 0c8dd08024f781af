//! From the lines of a file to the sessions and prompts that they came from, or the reason why that is not known. Pure: what git knows of the
//! lines is handed in.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::find::{Around, Author, Index, Known, Match, May, Text};

/// git's times are whole seconds, and an edit may be noted a moment after it was made.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// When its content was committed first; a rebase or an amend leaves that.
    pub author: Timestamp,
    /// When this commit was made.
    pub committer: Timestamp,
    /// The session that its message names in a trailer; empty if it names none.
    pub session: String,
}

impl Commit {
    /// Whether a line that this commit brought may come from an edit made at `at`. An amend or a fixup has the author's time of what it goes on
    /// from.
    fn may_hold(&self, at: Option<Timestamp>) -> May {
        let is_before =
            |time: Timestamp| at.is_some_and(|at| at <= time.saturating_add(SKEW).unwrap_or(time));
        match (is_before(self.author), is_before(self.committer)) {
            (true, _) => May::Be,
            (false, true) => May::BeSince,
            (false, false) => May::NotBe,
        }
    }
}

/// A file as it lies in the work tree.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The paths that it has, or had in the commits that its lines come from.
    pub names: Vec<String>,
    /// Its lines.
    pub lines: Vec<String>,
    /// Of each line the commit that brought it, as the place in `commits`, and its place in the file there; `None` while it is not committed.
    pub origins: Vec<Option<(usize, usize)>>,
    /// The commits.
    pub commits: Vec<Commit>,
}

/// Why it is not known who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is not committed, and no recorded edit wrote it.
    NotCommitted,
    /// It is older than every edit that is known.
    BeforeRecording,
    /// A session wrote a line there, and this is another one.
    ChangedSince,
    /// Several sessions may have written it.
    Ambiguous,
    /// A session wrote the file anew, and the line may have stood there before.
    Rewritten,
    /// A session may have written it whose content is not on this machine.
    NotHere,
    /// No recorded edit wrote it.
    NoRecordedEdit,
}

impl Reason {
    /// As it is written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotCommitted => "not_committed",
            Reason::BeforeRecording => "before_recording",
            Reason::ChangedSince => "changed_since",
            Reason::Ambiguous => "ambiguous",
            Reason::Rewritten => "rewritten",
            Reason::NotHere => "not_here",
            Reason::NoRecordedEdit => "no_recorded_edit",
        }
    }

    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Reason::NotCommitted => "not committed yet, and not written by a recorded edit",
            Reason::BeforeRecording => "written before any recorded session",
            Reason::ChangedSince => "changed by hand since",
            Reason::Ambiguous => "several sessions may have written it",
            Reason::Rewritten => "may have stood there before a session wrote the file anew",
            Reason::NotHere => "the session's content is not on this machine",
            Reason::NoRecordedEdit => "not written by a recorded edit",
        }
    }
}

/// Who wrote a line.
#[derive(Clone, Debug)]
pub enum Answer<'a> {
    /// A session.
    Session {
        /// Which, and its edit.
        author: Author<'a>,
        /// It was this edit of the session and no other, so that its prompt is known, too.
        edit_is_known: bool,
    },
    /// That is not known.
    Unknown {
        /// Why.
        reason: Reason,
        /// The sessions that it may have been, or that are near, as their places in the list.
        sessions: Vec<usize>,
    },
}

/// Tells who wrote each line of `file`. `at_commit` hands out the lines of the file in one of its commits, where they can be read, and
/// `is_gone` says whether no file has a path any more.
pub fn explain<'a>(
    sessions: &'a [Known],
    file: &File,
    at_commit: &mut dyn FnMut(usize) -> Option<Vec<String>>,
    is_gone: &dyn Fn(&str) -> bool,
) -> Vec<Answer<'a>> {
    let origin = |line: usize| file.origins.get(line).copied().flatten();
    let may_be = |line: usize, at: Option<Timestamp>| {
        origin(line).map_or(May::Be, |(commit, _)| file.commits[commit].may_hold(at))
    };
    let committed_between = |one: Option<Timestamp>, other: Option<Timestamp>| {
        file.commits.iter().any(|commit| Some(commit.author) > one && Some(commit.author) < other)
    };
    let around = Around {
        names: &file.names,
        may_be: &may_be,
        committed_between: &committed_between,
        is_gone,
        taken: &HashSet::new(),
    };
    let text = Text::new(&file.lines);
    let index = Index::of(sessions, &text, &around);
    let mut found = index.matches(&text, &around);
    let taken: HashSet<(usize, usize)> = found
        .iter()
        .filter_map(|found| match found {
            Match::Found { at, .. } => Some(*at),
            _ => None,
        })
        .collect();
    // Beside what was changed since, the neighbours are others; in the commit that brought a line they are still those.
    let mut open: HashMap<usize, Vec<usize>> = HashMap::new();
    for (line, _) in found.iter().enumerate().filter(|(_, found)| matches!(found, Match::None)) {
        if let Some((commit, _)) = origin(line) {
            open.entry(commit).or_default().push(line);
        }
    }
    let mut open: Vec<(usize, Vec<usize>)> = open.into_iter().collect();
    open.sort_unstable();
    for (commit, lines) in open {
        if !sessions
            .iter()
            .any(|s| s.edits.began().is_some_and(|at| file.commits[commit].may_hold(Some(at)) != May::NotBe))
        {
            continue;
        }
        let Some(then) = at_commit(commit) else { continue };
        let mut now_at: HashMap<usize, usize> = HashMap::new();
        now_at.extend(lines.iter().filter_map(|line| Some((origin(*line)?.1, *line))));
        let may_be = |line: usize, at: Option<Timestamp>| {
            if now_at.contains_key(&line) { file.commits[commit].may_hold(at) } else { May::Be }
        };
        let text = Text::new(&then);
        let around = Around { may_be: &may_be, taken: &taken, ..around };
        let matches = index.matches(&text, &around);
        for (then, matched) in matches.into_iter().enumerate() {
            if let Some(now) = now_at.get(&then) {
                found[*now] = matched;
            }
        }
    }
    // What is open is settled by whoever wrote the session into the commit.
    let open_answer = |line: usize, reason: Reason, of: &[usize]| {
        let named = origin(line).map_or("", |(commit, _)| file.commits[commit].session.as_str());
        let is_named = |n: &&usize| {
            let session = &sessions[**n];
            !named.is_empty() && (named == session.name || named == session.edits.session_id)
        };
        match of.iter().find(is_named).and_then(|n| index.first_of(*n)) {
            Some(author) => Answer::Session { author, edit_is_known: false },
            None => Answer::Unknown { reason, sessions: of.to_vec() },
        }
    };
    let answers = found.iter().enumerate().map(|(line, matched)| match matched {
        Match::Found { author, edit_is_known, .. } => {
            Answer::Session { author: *author, edit_is_known: *edit_is_known }
        }
        Match::Several(of) => open_answer(line, Reason::Ambiguous, of),
        Match::Rewritten(by) => open_answer(line, Reason::Rewritten, &[*by]),
        Match::None => match changed(&found, line) {
            Some(session) => Answer::Unknown { reason: Reason::ChangedSince, sessions: vec![session] },
            None => Answer::Unknown { reason: unknown(sessions, file, line), sessions: Vec::new() },
        },
    });
    answers.collect()
}

/// The session of which a line stood where this one stands now: its neighbours are from one piece that had more between them.
fn changed(found: &[Match<'_>], line: usize) -> Option<usize> {
    let place = |found: &Match<'_>| match found {
        Match::Found { author, at, .. } => Some((author.session, *at)),
        _ => None,
    };
    let (above, below) = found.split_at(line);
    let (session, above) = above.iter().rev().find_map(place)?;
    let (_, below) = below.iter().find_map(place)?;
    (above.0 == below.0 && below.1 > above.1 + 1).then_some(session)
}

fn unknown(sessions: &[Known], file: &File, line: usize) -> Reason {
    let Some((commit, _)) = file.origins.get(line).copied().flatten() else { return Reason::NotCommitted };
    let first = sessions.iter().filter_map(|session| session.edits.began()).min();
    match first.is_some_and(|at| file.commits[commit].may_hold(Some(at)) != May::NotBe) {
        true => Reason::NoRecordedEdit,
        false => Reason::BeforeRecording,
    }
}

/// How many of the lines that `commit` added to a file `session` wrote. `lines` is the file in the commit, `added` are places in it, `names`
/// its paths before and after.
pub fn share(
    sessions: &[Known],
    session: usize,
    commit: &Commit,
    names: &[String],
    lines: &[String],
    added: &[usize],
    is_gone: &dyn Fn(&str) -> bool,
) -> usize {
    let added: HashSet<usize> = added.iter().copied().collect();
    let may_be = |line: usize, at: Option<Timestamp>| match added.contains(&line) {
        true => commit.may_hold(at),
        false => May::Be,
    };
    let around =
        Around { names, may_be: &may_be, committed_between: &|_, _| false, is_gone, taken: &HashSet::new() };
    let text = Text::new(lines);
    let matches = Index::of(sessions, &text, &around).matches(&text, &around);
    let is_its = |(line, found): &(usize, Match<'_>)| {
        added.contains(line) && matches!(found, Match::Found { author, .. } if author.session == session)
    };
    matches.into_iter().enumerate().filter(is_its).count()
}
