//! `ox session subagents`.

use serde_json::json;

use super::{Which, find};
use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::cli::ui::text::Table;
use crate::sessions::subagents;

/// Flags of `ox session subagents`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let found = find(cx, &args.which)?;
    let all = subagents::list(&found.dir);
    if cx.ui.json() {
        let rows: Vec<_> = all
            .iter()
            .map(|one| json!({ "id": one.id, "entry_count": one.entries, "task": one.task, "path": one.dir }))
            .collect();
        return cx.ui.document(&json!({ "session_name": &*found.name, "subagents": rows }));
    }
    if all.is_empty() {
        cx.ui.note(&format!("nothing is kept of sub-agents of {}", found.name));
        return Ok(());
    }
    let mut table = Table::new(&["SUB-AGENT", "ENTRIES", "TASK"]);
    for one in &all {
        table.row([one.id.clone(), one.entries.to_string(), one.task.clone()]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    cx.ui.next_step(&format!("ox session view {} --subagent {}", found.name, all[0].id));
    Ok(())
}
