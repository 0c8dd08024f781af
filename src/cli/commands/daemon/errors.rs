//! `ox daemon errors`: failures that lasted, until somebody has seen them.

use serde::Serialize;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::errors::{of_client, of_reach};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, relative, tilde};
use crate::daemon::reach;
use crate::health::StoredErrors;
use crate::health::errors::StoredError;
use crate::ipc::client::{Client, ClientError, NO_PAYLOAD};
use crate::ipc::limits::client::STATUS;
use crate::ipc::wire::{MarkErrors, Message};
use crate::project::Project;

/// Flags of `ox daemon errors`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also show those that are marked as read
    #[arg(long)]
    all: bool,
    /// Show those of all projects that are being served
    #[arg(long, conflicts_with = "mark")]
    all_projects: bool,
    /// Mark these as read, by code or id; without one all of them
    #[arg(long, value_name = "ERROR", num_args = 0.., conflicts_with = "all")]
    mark: Option<Vec<String>>,
}

/// Lists or marks them: by way of the daemon, or in its file if it is not there.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    if args.all_projects {
        return everywhere(cx, args.all);
    }
    let project = cx.project()?;
    let client = reach::client_of(&cx.dirs, &project);
    if let Some(ids) = &args.mark {
        return mark(cx, &project, &client, ids);
    }
    let unviewed = client.call_as::<_, Vec<StoredError>>(Message::GetErrors, NO_PAYLOAD, STATUS);
    let errors = match unviewed {
        Ok(unviewed) if !args.all => unviewed,
        Ok(_) | Err(ClientError::NotRunning { .. }) => chosen(&load(cx, &project.workspace_id)?, args.all),
        Err(e) => return Err(of_client("cannot ask for stored errors", &e)),
    };
    if cx.ui.json() {
        return cx.ui.document(&json!({ "errors": errors }));
    }
    if errors.is_empty() {
        cx.ui.note(if args.all { "no stored errors" } else { "no unread errors" });
        return Ok(());
    }
    let mut table = Table::new(&["TIME", "SEVERITY", "CODE", "MESSAGE"]);
    errors.iter().for_each(|error| add(&mut table, None, error, cx));
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    if errors.iter().any(|e| !e.viewed) {
        cx.ui.next_step("ox daemon errors --mark");
    }
    Ok(())
}

/// Those of all projects that are being served, from their files.
fn everywhere(cx: &Cx, all: bool) -> Outcome {
    let mut found = Vec::new();
    for served in reach::projects(&cx.dirs).map_err(|e| of_reach(&e))? {
        let errors = chosen(&load(cx, &served.workspace_id)?, all);
        found.extend(errors.into_iter().map(|error| (served.project_root.clone(), error)));
    }
    found.sort_by_key(|(_, error)| std::cmp::Reverse(error.timestamp));
    if cx.ui.json() {
        let errors: Vec<_> = found.iter().map(|(root, error)| InProject { project: root, error }).collect();
        return cx.ui.document(&json!({ "errors": errors }));
    }
    if found.is_empty() {
        cx.ui.note(if all { "no stored errors" } else { "no unread errors" });
        return Ok(());
    }
    let mut table = Table::new(&["PROJECT", "TIME", "SEVERITY", "CODE", "MESSAGE"]);
    found.iter().for_each(|(root, error)| add(&mut table, Some(root), error, cx));
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

/// An error in the document for all projects.
#[derive(Serialize)]
struct InProject<'a> {
    project: &'a str,
    #[serde(flatten)]
    error: &'a StoredError,
}

/// All of them, or those that nobody has seen; newest first.
fn chosen(stored: &StoredErrors, all: bool) -> Vec<StoredError> {
    stored.newest_first().filter(|e| all || !e.viewed).cloned().collect()
}

/// A row: what one would say to mark it is its code, of which a project has one.
fn add(table: &mut Table, project: Option<&str>, e: &StoredError, cx: &Cx) {
    let time = e.timestamp.0.map(|at| relative(at, cx.now())).unwrap_or_default();
    let project = project.map(|root| tilde(root, &cx.home()));
    let severity = usize::from(project.is_some()) + 1;
    table.row(project.into_iter().chain([time, e.severity.clone(), e.code.clone(), e.message.clone()]));
    table.tone(severity, Tone::Bad);
}

fn mark(cx: &Cx, project: &Project, client: &Client, words: &[String]) -> Outcome {
    let known = load(cx, &project.workspace_id)?;
    let mut ids = Vec::new();
    for word in words {
        let before = ids.len();
        let is_meant = |error: &&StoredError| error.id == *word || error.code == *word;
        ids.extend(known.newest_first().filter(is_meant).map(|error| error.id.clone()));
        if ids.len() == before {
            let failure = Failure::new(Exit::Usage, "no stored error has this id or code").on(word);
            return Err(failure.hint("ox daemon errors --all"));
        }
    }
    let ask = MarkErrors { ids: ids.clone() };
    match client.call(Message::MarkErrors, Some(&ask), STATUS) {
        Ok(_) => {}
        Err(ClientError::NotRunning { .. }) => {
            let mut stored = known;
            if stored.mark(&ids) {
                let path = cx.dirs.project_errors(&project.workspace_id);
                let failed = |e| Failure::new(Exit::Failed, "cannot write").on_path(&path).because(&e);
                stored.save(&path).map_err(failed)?;
            }
        }
        Err(e) => return Err(of_client("cannot mark stored errors", &e)),
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true }));
    }
    cx.ui.done("marked as read")
}

/// The codes of the project's errors that nobody has seen, and what each says.
pub fn codes(cx: &Cx) -> Vec<(String, String)> {
    let stored = cx.project().and_then(|project| load(cx, &project.workspace_id)).unwrap_or_default();
    stored.unviewed().map(|e| (e.code.clone(), e.message.clone())).collect()
}

fn load(cx: &Cx, workspace_id: &str) -> Outcome<StoredErrors> {
    let path = cx.dirs.project_errors(workspace_id);
    StoredErrors::peek(&path)
        .map_err(|e| Failure::new(Exit::Failed, "cannot read the stored errors").on_path(&path).because(&e))
}
