//! `ox up`: everything from an empty repository to a synced ledger, in one command that can be repeated.

use std::iter::once;

use serde_json::json;

use super::session::archive;
use super::{hooks, init, sync};
use crate::cli::context::Cx;
use crate::cli::daemon_status::Report;
use crate::cli::errors::{of_client, of_project};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::trust;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{clean, count, relative, row, tilde, took};
use crate::ipc::wire::TeamSyncResult;
use crate::kit::cancel::Cancel;
use crate::kit::shell;
use crate::project::{Error, Project, RemoteUrl};
use crate::sync::{SetupError, Site, ask_remote, load, load_local};

/// Flags of `ox up`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox up\n  ox up -C ~/src/project\n  ox up --ledger git@example.com:team/ledger.git"
)]
pub struct Args {
    /// Git remote of the ledger, if the repository is not set up yet
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Trust the hosts of the ledger and the teams without asking
    #[arg(short, long)]
    yes: bool,
}

/// Does it all, and shows the status.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let (project, new) = project(cx, args)?;
    sync::say_lost(cx, &project);
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let place = trust::ensure(cx, &project, args.yes)?;
    let loaded = load_local(&site, &project);
    let untrusted = trust::ensure_teams(cx, &loaded, args.yes)?;
    let progress = cx.ui.progress("reaching the daemon");
    let client = sync::serve(cx, &project)?;
    let time = sync::sync(&client, &place, &progress)?;
    // Of those that a server names only the daemon knows.
    let has_teams = loaded.endpoint.is_some() || !loaded.registry().teams().is_empty();
    let teams = if has_teams { sync::sync_teams(&client, "", &progress)? } else { Vec::new() };
    drop(progress);
    // This may be another checkout than the one the daemon serves.
    load(&site, &project, None).problems.iter().for_each(|problem| cx.ui.warn(problem));
    let data = client.status_patiently().map_err(|e| of_client("the daemon gave no status", &e))?;
    let failed: Vec<&TeamSyncResult> =
        teams.iter().filter(|t| !sync::is_good(t) && !untrusted.contains(&t.team_id)).collect();
    if cx.ui.json() {
        let report = Report::new(&data, cx.now());
        let ledger = json!({ "path": place.path, "remote": place.remote.display(), "status": "synced" });
        let members = [
            ("root", json!(project.root)),
            ("initialized_now", new.into()),
            ("ledger", ledger),
            ("teams", teams.iter().map(sync::entry).collect()),
            ("took_ms", u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()),
            ("daemon", json!(report)),
        ];
        return match sync::failure(Exit::Partial, &failed, teams.len()) {
            Some(failure) => Err(members.into_iter().fold(failure, |f, (key, value)| f.with(key, value))),
            None => {
                let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
                cx.ui.document(&serde_json::Map::from_iter(
                    once(("success".to_owned(), true.into())).chain(members),
                ))
            }
        };
    }
    let (paint, home) = (cx.ui.paint(), cx.home());
    let root = clean(&tilde(&project.root.to_string_lossy(), &home));
    let last = data.last_sync.0.map_or_else(|| "just now".to_owned(), |t| relative(t, cx.now()));
    let mut lines = vec![
        format!("{} {root} is up", paint.text(Tone::Good, "●")),
        row("ledger", &clean(&tilde(&place.path.to_string_lossy(), &home))),
        row("remote", &tilde(&place.remote.display(), &home)),
        row("synced", &format!("{last}, in {}", took(time))),
    ];
    for team in &teams {
        let state = match (untrusted.contains(&team.team_id), sync::is_good(team)) {
            (true, _) => "waits until its host is trusted".to_owned(),
            (false, true) => "synced".to_owned(),
            (false, false) => "not synced".to_owned(),
        };
        lines.push(row("team", &format!("{} — {state}", clean(sync::label(team)))));
    }
    lines.push(row("daemon", &format!("pid {}", data.pid)));
    cx.ui.done(&lines.join("\n"))?;
    if let Some(failure) = sync::failure(Exit::Partial, &failed, teams.len()) {
        return Err(failure);
    }
    offer_archive(cx, &project)?;
    hooks::offer(cx)?;
    match (new, place.committed) {
        (true, true) => cx.ui.next_step("git add .sageox && git commit -m 'Add ox project files'"),
        (true, false) => cx.ui.next_step("ox ledger set-remote <URL>, to share this ledger with others"),
        (false, _) if !untrusted.is_empty() => cx.ui.next_step("ox up --yes"),
        (false, _) => {}
    }
    Ok(())
}

/// Where agents have worked in the project and the user never said whether that is to be kept, asks; where nobody can be asked, says how.
fn offer_archive(cx: &Cx, project: &Project) -> Outcome {
    if archive::is_on(cx).is_some() {
        return Ok(());
    }
    let Some(sessions) = archive::not_kept(cx, project) else { return Ok(()) };
    let there = format!("agents have left {} of this project", count(sessions, "session"));
    let question = format!(
        "{there}, which their programs delete in time. Keep copies on this machine, without secrets?"
    );
    match cx.ui.answer(&question, false) {
        Some(true) => archive::begin(cx),
        // Asked once: whoever says no is not asked again.
        Some(false) => archive::decline(cx),
        None => {
            cx.ui.note(&format!(
                "{there}; ox session archive on keeps copies before their programs delete them"
            ));
            Ok(())
        }
    }
}

/// The ledger's remote is not to be had: nothing was changed.
fn unusable(remote: &RemoteUrl, error: &SetupError) -> Failure {
    let address = shell::word(remote.as_str());
    let hint = match remote.local_path() {
        Some(path) if !path.exists() => format!("git init --bare {address}"),
        _ => format!("git ls-remote {address}"),
    };
    Failure::new(Exit::of_class(error.class()), "nothing was changed: the ledger's remote cannot be used")
        .on(remote.display())
        .because(error)
        .hint(hint)
}

/// The project here, set up now if it was not.
fn project(cx: &Cx, args: &Args) -> Outcome<(Project, bool)> {
    let found = match Project::discover(&cx.env) {
        Ok(project) => Some(project),
        // A `.sageox/` without its config.json is set up again; what is left of it tells its id.
        Err(Error::NoProject { .. } | Error::NotInitialized { .. }) => None,
        Err(e) => return Err(of_project(&e)),
    };
    if let Some(project) = found {
        let wanted = args.ledger.as_deref().map(trust::parse).transpose()?;
        let current = project.config.ledger_url();
        if let Some(wanted) = wanted
            && current.as_deref() != Some(wanted.as_str())
        {
            let current = current.unwrap_or_else(|| "a repository on this machine".into());
            return Err(Failure::new(Exit::Usage, "the project has a ledger already")
                .on(current)
                .hint(format!("ox ledger set-remote {}", wanted.display())));
        }
        return Ok((project, false));
    }
    if let Some(remote) = args.ledger.as_deref().map(trust::parse).transpose()? {
        // Before anything is written: an address with a slip in it would stay.
        let site = Site::new(cx.dirs.clone(), cx.env.clone());
        ask_remote(&site, &remote, &Cancel::new()).map_err(|e| unusable(&remote, &e))?;
    }
    let args = init::Args { ledger: args.ledger.clone(), yes: args.yes, ..init::Args::default() };
    init::init(cx, &args).map(|(done, project)| (project, !done.already))
}
