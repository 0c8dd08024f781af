//! `ox session commits`.

use serde_json::{Value, json};

use super::{Which, find, places};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::lines::written;
use crate::cli::quoted::quoted;
use crate::cli::ui::text::{Table, clean, count, relative};
use crate::git::{AddedLines, CommitInfo, GitError, History};
use crate::sessions::edits::find::Known;
use crate::sessions::edits::kept::{kept, produced_commits};

/// Commits that are looked at, the newest.
const COMMITS_MAX: usize = 5_000;
/// Characters of a commit's id.
const ID_SHOWN: usize = 8;

/// Flags of `ox session commits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// A commit with lines of the session in it.
struct Hit {
    commit: CommitInfo,
    /// Lines that it added, of which the session wrote so many.
    added: usize,
    written: usize,
    on_branch: bool,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let found = find(cx, &args.which)?;
    let project = cx.project()?;
    let failed = |e: &GitError| {
        Failure::new(Exit::Failed, "the history cannot be read").on_path(&project.root).because(e)
    };
    let redactor = cx.redactor(Some(&project));
    let progress = cx.ui.progress("reading sessions");
    let all = kept(places(cx, &project).all().0, &project.root, &redactor, &|_| true);
    let Some(session) = all.found.iter().position(|one| one.name == found.name) else {
        let failure = Failure::new(Exit::Usage, "it is not known what the session wrote").on(&*found.name);
        return Err(match all.not_here.iter().any(|one| one.name == found.name) {
            true => failure
                .because_of("its transcript is not on this machine")
                .hint(format!("ox session download {}", found.name)),
            false => failure
                .because_of("no edits were kept when it was recorded")
                .hint(format!("ox session view {}", found.name)),
        });
    };
    let history = History::open(&project.root).map_err(|e| failed(&e))?;
    progress.phase("reading the history", None);
    let looked = match all.sessions[session].edits.began() {
        Some(began) => history.commits_since(began, COMMITS_MAX).map_err(|e| failed(&e))?,
        None => (Vec::new(), false),
    };
    let (commits, more) = looked;
    let (searched, mut hits) = (commits.len(), Vec::new());
    for (n, commit) in commits.into_iter().enumerate() {
        progress.phase("reading the history", u8::try_from(n * 100 / searched).ok());
        let added = history.added(commit.id).map_err(|e| failed(&e))?;
        if let Some((written, added)) = share(&history, &commit, &added, &all.sessions, session) {
            hits.push(Hit { commit, added, written, on_branch: false });
        }
    }
    let ids: Vec<_> = hits.iter().map(|hit| hit.commit.id).collect();
    let on_branch = history.on_head(&ids).map_err(|e| failed(&e))?;
    hits.iter_mut().zip(on_branch).for_each(|(hit, is_on)| hit.on_branch = is_on);
    // Hints of another version, of commits that are still there.
    let hinted: Vec<CommitInfo> = produced_commits(&found.dir)
        .iter()
        .filter_map(|id| history.commit(id))
        .filter(|commit| !ids.contains(&commit.id))
        .collect();
    drop(progress);
    let told = |text: &str| redactor.redact(text).into_owned();
    let document = |commit: &CommitInfo| {
        json!({
            "id": commit.id.to_string(), "subject": told(&commit.subject), "author": commit.author,
            "authored_at": commit.authored, "committed_at": commit.committed,
        })
    };
    if cx.ui.json() {
        let rows: Vec<Value> = hits
            .iter()
            .map(|hit| {
                let mut row = document(&hit.commit);
                row["lines"] = hit.written.into();
                row["lines_added"] = hit.added.into();
                row["on_branch"] = hit.on_branch.into();
                row
            })
            .collect();
        let hinted: Vec<Value> = hinted.iter().map(document).collect();
        return cx.ui.document(&json!({
            "session_name": &*found.name, "commits": rows, "produced_commits": hinted, "searched": searched, "more": more,
        }));
    }
    if more {
        cx.ui.warn(&format!("only the newest {COMMITS_MAX} commits were looked at"));
    }
    if hits.is_empty() && hinted.is_empty() {
        let searched = count(searched as u64, "commit");
        cx.ui.note(&format!("nothing that {} wrote was found in {searched} made since it began", found.name));
        return Ok(());
    }
    let mut table = Table::new(&["COMMIT", "AUTHORED", "LINES", "BRANCH", "SUBJECT"]);
    let id = |commit: &CommitInfo| commit.id.to_string()[..ID_SHOWN].to_owned();
    for Hit { commit, added, written, on_branch } in &hits {
        table.row([
            id(commit),
            relative(commit.authored, cx.now()),
            format!("{written} of {added}"),
            if *on_branch { "this one" } else { "another" }.to_owned(),
            clean(&told(&commit.subject)),
        ]);
    }
    for commit in &hinted {
        let authored = relative(commit.authored, cx.now());
        let by = "named by the session".to_owned();
        table.row([id(commit), authored, by, String::new(), clean(&told(&commit.subject))]);
    }
    cx.ui.print(&quoted(cx, &table.lines(cx.ui.width(), cx.ui.paint()).join("\n")))
}

/// How many lines of a commit the session wrote, and how many it added; `None` where the session wrote none.
fn share(
    history: &History,
    commit: &CommitInfo,
    added: &[AddedLines],
    sessions: &[Known],
    session: usize,
) -> Option<(usize, usize)> {
    let written = written(history, commit, added, sessions, session);
    let added = added.iter().map(|file| file.added.len()).sum();
    (written > 0).then_some((written, added))
}
