//! `ox up`: everything from an empty repository to a synced ledger, in one command that can be repeated.

use serde_json::json;

use super::{init, sync};
use crate::cli::context::Cx;
use crate::cli::daemon_status::Report;
use crate::cli::errors::of_client;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::trust;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{relative, tilde, took};
use crate::kit::cancel::Cancel;
use crate::kit::shell;
use crate::project::{Project, RemoteUrl};
use crate::sync::{SetupError, Site, ask_remote, remember};

/// Flags of `ox up`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox up\n  ox up -C ~/src/project\n  ox up --ledger git@example.com:team/ledger.git"
)]
pub struct Args {
    /// The git remote of the ledger, if the repository is not set up yet
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Trust the ledger's host without being asked
    #[arg(short, long)]
    yes: bool,
}

/// Does it all, and says how it stands.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let (project, new) = project(cx, args)?;
    let place = trust::ensure(cx, &project, args.yes)?;
    let progress = cx.ui.progress("reaching the daemon");
    let client = sync::serve(cx, &project)?;
    let time = sync::sync(&client, &place, &progress)?;
    drop(progress);
    // Teams and another ledger may have come since it was set up.
    remember(&project.root);
    let data = client.status_patiently().map_err(|e| of_client("the daemon gave no status", &e))?;
    let report = Report::new(&data, cx.now());
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "root": project.root, "initialized_now": new,
            "ledger": { "path": place.path, "remote": place.remote.display(), "status": "synced" },
            "took_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX), "daemon": report,
        }));
    }
    let (paint, home) = (cx.ui.paint(), cx.home());
    let root = tilde(&project.root.to_string_lossy(), &home);
    let last = data.last_sync.0.map_or_else(|| "just now".to_owned(), |t| relative(t, cx.now()));
    cx.ui.print(&format!("{} {root} is up", paint.text(Tone::Good, "●")))?;
    cx.ui.print(&format!("  ledger   {}", tilde(&place.path.to_string_lossy(), &home)))?;
    cx.ui.print(&format!("  remote   {}", tilde(&place.remote.display(), &home)))?;
    cx.ui.print(&format!("  synced   {last}, in {}", took(time)))?;
    cx.ui.print(&format!("  daemon   pid {}", data.pid))?;
    match (new, place.committed) {
        (true, true) => cx.ui.next_step("git add .sageox && git commit -m 'Add ox project files'"),
        (true, false) => cx.ui.next_step("ox ledger set-remote <URL>, once others are to share this ledger"),
        (false, _) => {}
    }
    Ok(())
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
    if let Some(project) = cx.project_if_any()? {
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
