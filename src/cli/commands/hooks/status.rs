//! `ox hooks status`.

use serde_json::{Value, json};

use super::change::say;
use super::site;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, relative};
use crate::hooks::install::{self, Status};
use crate::hooks::spool;
use crate::ipc::client::Client;
use crate::kit::human;

pub(super) fn run(cx: &Cx) -> Outcome {
    let found = install::status(site(cx, None));
    let (enabled, all) = found.map_err(|e| {
        let exit = if e.is_disk() { Exit::Usage } else { Exit::Failed };
        Failure::new(exit, "the state of hooks cannot be read").because(&e).hint("ox config list")
    })?;
    let waiting = spool::status(cx.dirs.data()).unwrap_or_default();
    let since = waiting.since.and_then(|at| jiff::Timestamp::from_second(at).ok());
    let is_taken = Client::new(cx.dirs.host_socket()).is_reachable();
    if cx.ui.json() {
        let agents: Vec<Value> = all.iter().map(document).collect();
        let spool = json!({ "events": waiting.records, "bytes": waiting.bytes, "since": since, "taken_in": is_taken });
        return cx.ui.document(&json!({ "enabled": enabled, "agents": agents, "spool": spool }));
    }
    let mut table = Table::new(&["AGENT", "HOOKS", "EVENTS", "TRUST", "FILE"]);
    for one in &all {
        let events = one.installed_events.len();
        table.row([
            one.agent.to_owned(),
            one.state().to_owned(),
            format!("{events} of {}", events + one.missing_events.len()),
            if events == 0 { String::new() } else { one.trust.name().to_owned() },
            cx.ui.with_tilde(&one.path.to_string_lossy()).into_owned(),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    for one in &all {
        if let Some(error) = &one.refused {
            let source = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
            cx.ui.warn(&format!("{error}{source}"));
        }
        if let Some(path) = &one.stale_path {
            cx.ui.warn(&format!("{}: its hooks run {path}, which is not what agents are to run", one.agent));
        }
        // Of an agent that is off a person wants to hear only what is left to do.
        let is_told = |step: &&String| one.effective || step.starts_with("ox ") || cx.ui.verbose();
        one.next_steps.iter().filter(is_told).for_each(|step| say(cx, step));
    }
    if waiting.records > 0 && !is_taken {
        let ago = since.map(|at| format!(", since {}", relative(at, cx.now()))).unwrap_or_default();
        let many = human::count(waiting.records, "event");
        cx.ui.note(&format!("{many} ({}) wait for a daemon{ago}", human::bytes(waiting.bytes)));
        cx.ui.next_step("ox daemon start");
    }
    if all.iter().all(|one| !one.effective) {
        cx.ui.next_step("ox hooks install");
    }
    Ok(())
}

fn document(one: &Status) -> Value {
    json!({
        "agent": one.agent, "opted_in": one.opted_in, "effective": one.effective, "present": one.present,
        "state": one.state(), "installed": one.is_installed(), "installed_events": one.installed_events,
        "missing_events": one.missing_events, "path": one.path,
        "file_rejected": one.refused.as_ref().map(ToString::to_string), "stale_path": one.stale_path,
        "feature": one.feature.name(), "trust": one.trust.name(), "flag": one.let_in, "next_steps": one.next_steps,
    })
}
