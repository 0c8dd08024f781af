//! `ox init`.

use std::path::PathBuf;

use serde_json::json;

use super::hooks;
use super::team::{self, Named};
use crate::cli::context::Cx;
use crate::cli::errors::{of_project, of_setup};
use crate::cli::failure::Outcome;
use crate::cli::ui::text::tilde;
use crate::cli::{commit, trust};
use crate::kit::cancel::Cancel;
use crate::project::Project;
use crate::sync::{self, InitOptions, Initialised, Site};

/// Flags of `ox init`.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  ox init\n  ox init --ledger git@example.com:team/ledger.git\n  ox init --team platform=git@example.com:platform/context.git\n  ox init --ledger /srv/git/ledger.git --commit\n\nWithout --commit nothing is staged or committed in the repository."
)]
pub struct Args {
    /// Git remote of the ledger [default: a bare repository on this machine]
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
    /// Team to add, with the git remote of its context; may be repeated
    #[arg(long, value_name = "ID=URL")]
    pub team: Vec<String>,
    /// Write the files of an initialised project again; its ids stay
    #[arg(long)]
    pub force: bool,
    /// Commit the files in .sageox/ and nothing else
    #[arg(long)]
    pub commit: bool,
    /// Trust the hosts of the ledger and the teams without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// Sets the repository up and says what was written.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let named = args.team.iter().map(|word| Named::parse(word)).collect::<Outcome<Vec<Named>>>()?;
    let (done, project) = init(cx, args)?;
    let place = trust::ensure(cx, &project, args.yes)?;
    let teams = named
        .iter()
        .map(|named| team::add_to(cx, &project, named, None, args.yes))
        .collect::<Outcome<Vec<team::Done>>>()
        .map_err(|f| f.with("root", json!(done.root)).with("written", json!(done.written)))?;
    let committed = if args.commit { commit::project_files(cx, &done.root)? } else { None };
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "root": done.root, "already_initialized": done.already, "written": done.written,
            "repo_id": project.repo_id, "ledger": { "path": place.path, "remote": place.remote.display() },
            "teams": teams.iter().map(team::Done::to_json).collect::<Vec<_>>(), "commit": committed,
        }));
    }
    let root = tilde(&done.root.to_string_lossy(), &cx.home());
    match (done.already, done.written.is_empty()) {
        (true, true) => cx.ui.done(&format!("{root} is initialised already"))?,
        (true, false) => cx.ui.done(&format!("initialised {root} again"))?,
        (false, _) => cx.ui.done(&format!("initialised {root}"))?,
    }
    for file in &done.written {
        cx.ui.done(&format!("  wrote {}", file.display()))?;
    }
    cx.ui.done(&format!("  ledger: {}", tilde(&place.remote.display(), &cx.home())))?;
    for line in teams.iter().flat_map(|team| team.lines(cx)) {
        cx.ui.done(&format!("  {line}"))?;
    }
    match (&committed, args.commit) {
        (Some(commit), _) => cx.ui.done(&format!("  committed {}", short(commit)))?,
        (None, true) => cx.ui.done("  nothing to commit")?,
        (None, false) => {}
    }
    hooks::offer(cx)?;
    match teams.is_empty() || args.commit {
        true => cx.ui.next_step("ox up"),
        false => cx.ui.next_step("ox up, then: git add .sageox && git commit"),
    }
    Ok(())
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Makes the repository around the current directory a project with a ledger, if it is none.
///
/// # Errors
/// There is no repository, or the project has another ledger.
pub fn init(cx: &Cx, args: &Args) -> Outcome<(Initialised, Project)> {
    let ledger = args.ledger.as_deref().map(trust::parse).transpose()?;
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let options = InitOptions { ledger, force: args.force };
    let start: PathBuf = cx.env.cwd().map_or_else(|| PathBuf::from("."), Into::into);
    let what = "cannot initialise";
    let done = sync::init_project(&site, &start, &options).map_err(|e| of_setup(what, &e))?;
    let project = Project::load(&done.root, &cx.env).map_err(|e| of_project(&e))?;
    let place = sync::ledger_of(&cx.env, &cx.dirs, &project, None).map_err(|e| of_setup(what, &e))?;
    sync::ensure_local_remote(&site, &place, &Cancel::new()).map_err(|e| of_setup(what, &e))?;
    if done.restored {
        cx.ui.note("this repository was set up before, and .sageox/ was gone: it has its ledger again");
    }
    Ok((done, project))
}
