//! `ox ledger`.

use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::errors::of_setup;
use crate::cli::failure::Outcome;
use crate::cli::trust;
use crate::kit::cancel::Cancel;
use crate::sync::{self, Site};

/// Flags of `ox ledger`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox ledger set-remote git@example.com:team/ledger.git")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the ledger.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Move the ledger to another git remote: push everything, verify, switch
    ///
    /// The new remote must be empty or have the same history. Commit `.sageox/config.json` afterwards: the others follow when
    /// they have it, and murmurs that were written to the former remote meanwhile arrive in the new one.
    #[command(after_help = "Examples:\n  ox ledger set-remote git@example.com:team/ledger.git")]
    SetRemote(SetRemote),
}

/// Flags of `ox ledger set-remote`.
#[derive(Debug, clap::Args)]
struct SetRemote {
    /// The new remote: https, ssh or a path
    #[arg(value_name = "URL", value_hint = clap::ValueHint::Url)]
    url: String,
    /// Move without asking
    #[arg(short, long)]
    yes: bool,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let Command::SetRemote(args) = &args.command;
    let project = cx.project()?;
    let to = trust::parse(&args.url)?;
    let unusable = |e| of_setup("the ledger's address is unusable", &e);
    let from = sync::ledger_of(&cx.env, &cx.dirs, &project, None).map_err(unusable)?;
    if from.remote == to {
        let lost = !sync::lost(&cx.dirs, &project).is_empty();
        if lost {
            let site = Site::new(cx.dirs.clone(), cx.env.clone());
            sync::put_back(&site, &project.root).map_err(unusable)?;
        }
        if cx.ui.json() {
            let at = to.display();
            return cx.ui.document(&json!({ "success": true, "from": at, "to": at, "commit": null }));
        }
        let put_back = if lost { "; .sageox/config.json says so again" } else { "" };
        let done = format!("the ledger is at {} already{put_back}", to.display());
        return cx.ui.done(&cx.ui.with_tilde(&done));
    }
    let question = format!("Move the ledger from {} to {}?", from.remote.display(), to.display());
    cx.ui.confirm(&question, args.yes)?;
    let progress = cx.ui.progress("moving the ledger");
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let moved = sync::move_ledger(&site, &project.root, &to, &Cancel::new());
    drop(progress);
    let moved = moved.map_err(|e| of_setup("the ledger could not be moved", &e).on(to.display()))?;
    if cx.ui.json() {
        let (from, to, commit) = (&moved.from, &moved.to, &moved.commit);
        return cx.ui.document(&json!({ "success": true, "from": from, "to": to, "commit": commit }));
    }
    cx.ui.done(&cx.ui.with_tilde(&format!("moved the ledger from {} to {}", moved.from, moved.to)))?;
    cx.ui.next_step("git add .sageox && git commit -m 'Move the ledger', so your team picks it up");
    Ok(())
}
