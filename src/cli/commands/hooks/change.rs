//! `ox hooks install` and `uninstall`.

use serde_json::{Value, json};

use super::{ALL, agents, site};
use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::git::line_diff;
use crate::hooks::entry;
use crate::hooks::install::{self, Asked, Done, Error, Outcome as Came, Site};
use crate::ipc::client::Client;
use crate::project::settings;

/// Flags of `ox hooks install`.
#[derive(Debug, clap::Args)]
pub struct Install {
    /// The agent; all are those that are set up on this machine
    #[arg(long, value_name = "AGENT", default_value = ALL, value_parser = agents())]
    pub(super) agent: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write also in a container
    #[arg(long)]
    pub(super) force: bool,
    /// Switch codex's use of hooks on where its config.toml says no
    #[arg(long)]
    pub(super) enable_feature: bool,
}

/// Flags of `ox hooks uninstall`.
#[derive(Debug, clap::Args)]
pub struct Uninstall {
    /// The agent
    #[arg(long, value_name = "AGENT", default_value = ALL, value_parser = agents())]
    agent: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn install(cx: &Cx, args: &Install) -> Outcome {
    let program = entry::program();
    let site = site(cx, program.as_deref());
    let words = named(&args.agent).unwrap_or_else(|| install::present(site));
    if words.is_empty() {
        let failure = Failure::new(Exit::Failed, "no agent is set up on this machine");
        let known: Vec<&str> = install::rows().map(|hooks| hooks.word).collect();
        let hint = format!("ox hooks install --agent {}", known.first().copied().unwrap_or(ALL));
        return Err(failure.because_of(format!("looked for {}", known.join(", "))).hint(hint));
    }
    if args.dry_run {
        return preview(cx, site, &words, true);
    }
    settings::use_hooks(&cx.dirs, &words, true, false).map_err(|e| of_project(&e))?;
    let feature = match args.enable_feature && words.contains(&"codex") {
        true => {
            install::enable_feature(site).map_err(|e| failed("hooks of codex cannot be switched on", &e))?
        }
        false => false,
    };
    if feature && !cx.ui.json() {
        cx.ui.done("codex: switched the use of hooks on in its config.toml")?;
    }
    let done = reconcile(site, Asked { agents: &words, force: args.force })?;
    tell_daemon(cx);
    report(cx, site, &words, done, true)
}

pub(super) fn uninstall(cx: &Cx, args: &Uninstall) -> Outcome {
    let site = site(cx, None);
    let words = named(&args.agent).unwrap_or_else(|| install::rows().map(|hooks| hooks.word).collect());
    if args.dry_run {
        return preview(cx, site, &words, false);
    }
    settings::use_hooks(&cx.dirs, &words, false, args.agent == ALL).map_err(|e| of_project(&e))?;
    let done = reconcile(site, Asked { agents: &words, force: false })?;
    tell_daemon(cx);
    report(cx, site, &words, done, false)
}

/// The one agent that is named; `None` for all of them.
fn named(agent: &str) -> Option<Vec<&'static str>> {
    let row = install::rows().find(|hooks| hooks.word == agent)?;
    Some(vec![row.word])
}

/// A daemon that runs takes events in, or no more, at once; one that does not looks when it begins.
fn tell_daemon(cx: &Cx) {
    let host = Client::new(cx.dirs.host_socket());
    if host.is_reachable()
        && let Err(e) = host.reconcile_hooks()
    {
        cx.ui.warn(&format!("the daemon does not hear of it before it begins anew: {e}"));
        cx.ui.next_step("ox daemon restart");
    }
}

fn reconcile(site: Site<'_>, asked: Asked<'_>) -> Outcome<Vec<Done>> {
    install::reconcile(site, asked).map_err(|e| failed("hooks cannot be changed", &e))
}

fn failed(what: &str, error: &Error) -> Failure {
    let failure = Failure::new(exit(error), what).because(error);
    match error {
        Error::Container(_) => failure.hint("ox hooks install --force"),
        Error::Settings(_) => failure.hint("ox config list"),
        _ => failure.hint("ox hooks status"),
    }
}

/// What [`failed`] says of one of several.
fn exit(error: &Error) -> Exit {
    if error.is_disk() { Exit::Usage } else { Exit::Failed }
}

fn report(cx: &Cx, site: Site<'_>, words: &[&'static str], done: Vec<Done>, on: bool) -> Outcome {
    let is_told = |done: &Done| words.contains(&done.agent) || !matches!(done.result, Ok(Came::Unchanged));
    let done: Vec<Done> = done.into_iter().filter(is_told).collect();
    let mut steps: Vec<(&str, Vec<String>)> = Vec::new();
    for one in done.iter().filter(|one| one.result.is_ok()) {
        let next = install::next_steps(site, one.agent, &one.path);
        let mut next = next.map_err(|e| failed("the state of hooks cannot be read", &e))?;
        if one.agent == "codex" && !one.shifted.is_empty() {
            let events = one.shifted.join(", ");
            next.push(format!(
                "codex counts hooks by their place and may want others trusted anew (/hooks): {events}"
            ));
        }
        steps.push((one.agent, next));
    }
    let document: Vec<Value> = done
        .iter()
        .map(|one| {
            let next = steps.iter().find(|(agent, _)| *agent == one.agent).map(|(_, next)| next);
            json!({
                "agent": one.agent, "path": one.path, "result": one.result.as_ref().map_or("failed", |came| came.name()),
                "error": one.result.as_ref().err().map(Error::line), "next_steps": next.cloned().unwrap_or_default(),
            })
        })
        .collect();
    // What fails at an agent that nobody named is told, and is no failure of this.
    let (errors, asides): (Vec<(&str, &Error)>, Vec<_>) = done
        .iter()
        .filter_map(|one| Some((one.agent, one.result.as_ref().err()?)))
        .partition(|(agent, _)| words.contains(agent));
    for (agent, error) in asides {
        cx.ui.warn(&format!("{agent}: {}", error.line()));
    }
    if errors.is_empty() && cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "agents": document }));
    }
    if !cx.ui.json() {
        for one in &done {
            let shown = cx.ui.with_tilde(&one.path.to_string_lossy()).into_owned();
            match &one.result {
                Ok(Came::Unchanged) if on => cx.ui.done(&format!("{}: unchanged, {shown}", one.agent))?,
                Ok(Came::Unchanged) | Err(_) => {}
                Ok(came) => cx.ui.done(&format!("{}: {}, {shown}", one.agent, came.name()))?,
            }
        }
        if !on && done.iter().all(|one| matches!(one.result, Ok(Came::Unchanged))) {
            cx.ui.done("nothing of ours is in the settings of these agents")?;
        }
        // Where nothing was taken out there is nothing to say of it.
        let has_changed = |agent: &str| {
            done.iter().any(|one| one.agent == agent && !matches!(one.result, Ok(Came::Unchanged) | Err(_)))
        };
        let told = steps.iter().filter(|(agent, _)| on || has_changed(agent));
        told.flat_map(|(_, next)| next).for_each(|step| say(cx, step));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let agents: Vec<&str> = errors.iter().map(|(agent, _)| *agent).collect();
    let verb = if on { "installed" } else { "removed" };
    let what = format!("hooks of {} are not {verb}", agents.join(", "));
    let exit = if errors.iter().any(|(_, e)| e.is_disk()) { Exit::Usage } else { Exit::Failed };
    let mut failure = Failure::new(exit, what).with("agents", document.into());
    for (agent, error) in &errors {
        failure = failure.because_of(format!("{agent}: {}", error.line()));
    }
    Err(match errors[0].1 {
        Error::Container(_) => failure.hint("ox hooks install --force"),
        _ => failure.hint("ox hooks status"),
    })
}

/// A command is shown as one, all else as a remark.
pub(super) fn say(cx: &Cx, step: &str) {
    match step.starts_with("ox ") {
        true => cx.ui.next_step(step),
        false => cx.ui.note(&cx.ui.with_tilde(step)),
    }
}

fn preview(cx: &Cx, site: Site<'_>, words: &[&'static str], on: bool) -> Outcome {
    let previews = install::preview(site, words, on).map_err(|e| failed("hooks cannot be read", &e))?;
    let (mut document, mut patches) = (Vec::new(), Vec::new());
    for preview in &previews {
        let change = preview.change.as_ref().map_err(|e| {
            failed(
                &format!(
                    "hooks of {} would not be {}",
                    preview.agent,
                    if on { "installed" } else { "removed" }
                ),
                e,
            )
        })?;
        let (before, after) =
            (change.0.as_deref().map(str::as_bytes), change.1.as_deref().map(str::as_bytes));
        let path = preview.path.strip_prefix("/").unwrap_or(&preview.path);
        let patch = match before == after {
            true => None,
            false => line_diff(path, before, after).ok().flatten(),
        };
        let text = patch.map(|diff| String::from_utf8_lossy(&diff.patch).into_owned()).unwrap_or_default();
        document.push(json!({ "agent": preview.agent, "path": preview.path, "patch": text }));
        patches.push(text);
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "dry_run": true, "agents": document }));
    }
    let text = patches.concat();
    match text.is_empty() {
        true => cx.ui.done("nothing would change"),
        false => cx.ui.print(text.trim_end_matches('\n')),
    }
}
