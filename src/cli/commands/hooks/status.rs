//! `ox hooks status`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::change::say;
use super::site;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, count, relative};
use crate::daemon::reach;
use crate::hooks::install::{self, Status};
use crate::hooks::store::Store;
use crate::hooks::{event, spool};

pub(super) fn run(cx: &Cx) -> Outcome {
    let found = install::status(site(cx, None));
    let (enabled, all) = found.map_err(|e| {
        let exit = if e.is_disk() { Exit::Usage } else { Exit::Failed };
        Failure::new(exit, "the state of hooks cannot be read").because(&e).hint("ox config list")
    })?;
    let store = Store::look(&cx.dirs.events()).unwrap_or_else(|e| {
        cx.ui.warn(&format!("when an event last came in is not known: {e}"));
        None
    });
    let last: Vec<Option<Timestamp>> = all.iter().map(|one| last_event(store.as_ref(), one.agent)).collect();
    let waiting = spool::status(cx.dirs.data()).map_err(|e| {
        Failure::new(Exit::Usage, "the events that wait cannot be counted").because(&e).hint("ox doctor")
    })?;
    let is_taken = reach::projects(&cx.dirs).is_ok();
    if cx.ui.json() {
        let agents: Vec<Value> = all.iter().zip(&last).map(|(one, last)| document(one, *last)).collect();
        let waiting =
            json!({ "events": waiting.records, "bytes": waiting.bytes, "since": since(waiting.since) });
        return cx.ui.document(
            &json!({ "enabled": enabled, "agents": agents, "waiting": waiting, "daemon": is_taken }),
        );
    }
    let mut table = Table::new(&["AGENT", "HOOKS", "EVENTS", "LAST", "TRUST", "FILE"]);
    for (one, last) in all.iter().zip(&last) {
        let events = one.installed_events.len();
        table.row([
            one.agent.to_owned(),
            one.state().to_owned(),
            format!("{events} of {}", events + one.missing_events.len()),
            last.map_or_else(|| "never".to_owned(), |at| relative(at, cx.now())),
            if events == 0 { String::new() } else { one.trust.name().to_owned() },
            cx.ui.with_tilde(&one.path.to_string_lossy()).into_owned(),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    for one in &all {
        if let Some(error) = &one.refused {
            cx.ui.warn(&error.line());
        }
        if let Some(path) = &one.stale_path {
            cx.ui.warn(&format!("{}: its hooks run {path}, which is not what agents are to run", one.agent));
        }
        // Of an agent that is off a person wants to hear only what is left to do.
        let is_told = |step: &&String| one.effective || step.starts_with("ox ") || cx.ui.verbose();
        one.next_steps.iter().filter(is_told).for_each(|step| say(cx, step));
    }
    if waiting.records > 0 && !is_taken {
        let since = since(waiting.since).map(|at| format!(", {}", relative(at, cx.now())));
        let events = count(waiting.records, "event");
        cx.ui.note(&format!("{events} to be stored{}: the daemon is not running", since.unwrap_or_default()));
        cx.ui.next_step("ox daemon start");
    }
    let is_untold = |(one, last): (&Status, &Option<Timestamp>)| one.state() == "on" && last.is_none();
    if all.iter().all(|one| !one.effective) {
        cx.ui.next_step("ox hooks install");
    } else if all.iter().zip(&last).any(is_untold) {
        // All is in place, and nothing has come yet.
        cx.ui.next_step("ox hooks test");
    }
    Ok(())
}

/// When an event of the agent last came in by its hooks.
fn last_event(store: Option<&Store>, agent: &str) -> Option<Timestamp> {
    store?.last_event(event::program(agent)?.kind).ok().flatten()
}

fn since(second: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(second?).ok()
}

fn document(one: &Status, last: Option<Timestamp>) -> Value {
    json!({
        "agent": one.agent, "opted_in": one.opted_in, "effective": one.effective, "present": one.present,
        "state": one.state(), "installed": one.is_installed(), "installed_events": one.installed_events,
        "missing_events": one.missing_events, "path": one.path,
        "file_rejected": one.refused.as_ref().map(ToString::to_string), "stale_path": one.stale_path,
        "feature": one.feature.name(), "trust": one.trust.name(), "flag": one.let_in, "last_event": last,
        "next_steps": one.next_steps,
    })
}
