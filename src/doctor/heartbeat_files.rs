//! Does somebody write that the project and its clones are kept current?

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::{Category, Check, Command, Context, DaemonView, FixLevel, Outcome, Remedy};
use crate::health::beats::{self, Line};
use crate::kit::human::short;
use crate::project::Project;
use crate::sync::Target;

/// Lines come every five minutes; after two that are missing nobody writes them.
const OLD: Duration = Duration::from_secs(10 * 60);

pub(super) const CHECK: Check = Check {
    slug: "heartbeat-files",
    name: "heartbeat files",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(project) = cx.project.found().filter(|p| !p.repo_id.is_empty()) else {
        return Outcome::skipped("no project here");
    };
    let mut late = Vec::new();
    let mut unread = Vec::new();
    for Lines { what, files, since } in files(cx, project) {
        let (lines, errors): (Vec<_>, Vec<_>) = files
            .into_iter()
            .map(|f| beats::last(&f).map_err(|e| format!("{}: {e}", f.display())))
            .partition(Result::is_ok);
        unread.extend(errors.into_iter().filter_map(Result::err));
        let newest = lines.into_iter().flatten().flatten().max_by_key(|line: &Line| line.ts);
        let age = newest.and_then(|line| line.ts.0).map(|at| cx.now.duration_since(at).unsigned_abs());
        match age {
            Some(age) if age <= OLD => {}
            Some(age) => late.push(format!("{what}: {} ago", short(age))),
            // The next line names a clone that has just been made.
            None if since.is_some_and(|at| cx.now.duration_since(at).unsigned_abs() <= OLD) => {}
            None => late.push(format!("{what}: never")),
        }
    }
    match cx.daemon.status() {
        _ if late.is_empty() && unread.is_empty() => Outcome::passed("written in the last ten minutes"),
        None => cx.not_served(),
        Some(status) if status.uptime < DaemonView::GRACE && unread.is_empty() => Outcome::skipped("not yet"),
        Some(_) => Outcome::warning("others cannot see that the clones are kept current")
            .detail(late.into_iter().chain(unread))
            .remedy(Remedy::Ox(Command::DaemonRestart)),
    }
}

/// Lines that there should be.
struct Lines {
    what: String,
    /// The files they may be in: the present name, and those of older programs.
    files: Vec<PathBuf>,
    /// When the clone was made, where the file system knows.
    since: Option<Timestamp>,
}

/// What lines there should be.
fn files(cx: &Context, project: &Project) -> Vec<Lines> {
    let repo = &project.repo_id;
    let ids = [&project.workspace_id, &project.legacy_workspace_id];
    let named = |end: &str| {
        let with_repo = ids.iter().map(|id| format!("{repo}_{id}{end}"));
        let without = ids.iter().map(|id| format!("{id}{end}"));
        with_repo.chain(without).map(|name| cx.dirs.heartbeat(&project.slug, &name)).collect::<Vec<PathBuf>>()
    };
    let mut all = vec![Lines { what: "the project".to_owned(), files: named(""), since: None }];
    for clone in cx.clones().existing() {
        let mut files = match &clone.target {
            Target::Ledger { .. } => named("_ledger"),
            Target::Team { slug, team, .. } => vec![cx.dirs.heartbeat(slug, &team.id)],
        };
        files.push(clone.at.path.join(".sageox/cache/heartbeats.jsonl"));
        let since = std::fs::metadata(&clone.at.path).and_then(|meta| meta.created()).ok();
        let since = since.and_then(|at| Timestamp::try_from(at).ok());
        all.push(Lines { what: clone.label(), files, since });
    }
    all
}
