//! `ox daemon errors`: failures that lasted, until somebody has seen them.

use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::errors::of_client;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, relative};
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
    /// Mark these as read; without an id all of them
    #[arg(long, value_name = "ERROR_ID", num_args = 0.., conflicts_with = "all")]
    mark: Option<Vec<String>>,
}

/// Lists or marks them: by way of the daemon, or in its file if it is not there.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let client = reach::client_of(&cx.dirs, &project);
    if let Some(ids) = &args.mark {
        return mark(cx, &project, &client, ids);
    }
    let unviewed = client.call_as::<_, Vec<StoredError>>(Message::GetErrors, NO_PAYLOAD, STATUS);
    let errors = match unviewed {
        Ok(unviewed) if !args.all => unviewed,
        Ok(_) | Err(ClientError::NotRunning { .. }) => {
            let stored = load(cx, &project)?;
            stored.newest_first().filter(|e| args.all || !e.viewed).cloned().collect()
        }
        Err(e) => return Err(of_client("cannot ask for stored errors", &e)),
    };
    if cx.ui.json() {
        return cx.ui.document(&json!({ "errors": errors }));
    }
    if errors.is_empty() {
        cx.ui.note(if args.all { "no stored errors" } else { "no unread errors" });
        return Ok(());
    }
    cx.ui.print(&table(&errors, cx.now()).lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    if errors.iter().any(|e| !e.viewed) {
        cx.ui.next_step("ox daemon errors --mark");
    }
    Ok(())
}

fn table(errors: &[StoredError], now: jiff::Timestamp) -> Table {
    let mut table = Table::new(&["TIME", "SEVERITY", "CODE", "ID", "MESSAGE"]);
    for e in errors {
        let time = e.timestamp.0.map(|at| relative(at, now)).unwrap_or_default();
        table.row([time, e.severity.clone(), e.code.clone(), e.id.clone(), e.message.clone()]);
        table.tone(1, Tone::Bad);
    }
    table
}

fn mark(cx: &Cx, project: &Project, client: &Client, ids: &[String]) -> Outcome {
    let known = load(cx, project)?;
    if let Some(unknown) = ids.iter().find(|id| !known.newest_first().any(|error| error.id == **id)) {
        let failure = Failure::new(Exit::Usage, "no stored error has this id").on(unknown);
        return Err(failure.hint("ox daemon errors --all"));
    }
    let ask = MarkErrors { ids: ids.to_vec() };
    match client.call(Message::MarkErrors, Some(&ask), STATUS) {
        Ok(_) => {}
        Err(ClientError::NotRunning { .. }) => {
            let mut stored = load(cx, project)?;
            if stored.mark(ids) {
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

/// The ids of the project's errors that nobody has seen, and what each says.
pub fn ids(cx: &Cx) -> Vec<(String, String)> {
    let stored = cx.project().and_then(|project| load(cx, &project)).unwrap_or_default();
    stored.unviewed().map(|e| (e.id.clone(), e.message.clone())).collect()
}

fn load(cx: &Cx, project: &Project) -> Outcome<StoredErrors> {
    let path = cx.dirs.project_errors(&project.workspace_id);
    StoredErrors::peek(&path)
        .map_err(|e| Failure::new(Exit::Failed, "cannot read the stored errors").on_path(&path).because(&e))
}
