//! The one commit that the command line makes in the user's repository, when asked to: the files of `.sageox/` that
//! are meant for everybody, and nothing else, with the user's own hooks, identity and signing.

use std::path::Path;
use std::time::Duration;

use super::context::Cx;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use crate::kit::cancel::Cancel;
use crate::kit::child::{Cmd, Output, run};
use crate::project::PROJECT_DIR;

/// Hooks and signing may take their time.
const DEADLINE: Duration = Duration::from_secs(300);
/// What tells git of one repository, as it does its hooks and aliases (`git rev-parse --local-env-vars`): it need not be this one.
const OTHER_REPOSITORY: [&str; 16] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];
const MESSAGE: &str = "Add ox project files";

/// Commits what is new or changed in `.sageox/` and not ignored. `None` if there is nothing. What else is staged stays
/// staged and is not committed; if the commit fails, nothing of ours stays staged.
///
/// # Errors
/// Git refused, or one of the user's hooks did.
pub fn project_files(cx: &Cx, root: &Path) -> Outcome<Option<String>> {
    let progress = cx.ui.progress("committing");
    let git = |args: &[&str]| git(root, args);
    let changed = git(&["status", "--porcelain", "--untracked-files=all", "--", PROJECT_DIR])?;
    if changed.stdout.is_empty() {
        return Ok(None);
    }
    let staged_before = git(&["diff", "--cached", "--name-only", "--", PROJECT_DIR])?.stdout;
    git(&["add", "--", PROJECT_DIR])?;
    if let Err(failure) = git(&["commit", "--quiet", "--only", "-m", MESSAGE, "--", PROJECT_DIR]) {
        if staged_before.is_empty() {
            unstage(root)?;
        }
        return Err(failure.hint("git add .sageox && git commit"));
    }
    let head = git(&["rev-parse", "HEAD"])?;
    drop(progress);
    Ok(Some(String::from_utf8_lossy(&head.stdout).trim().to_owned()))
}

fn unstage(root: &Path) -> Outcome<Output> {
    match git(root, &["rev-parse", "--verify", "--quiet", "HEAD"]) {
        Ok(_) => git(root, &["reset", "--quiet", "--", PROJECT_DIR]),
        Err(_) => git(root, &["rm", "--cached", "-r", "--quiet", "--ignore-unmatch", "--", PROJECT_DIR]),
    }
}

fn git(root: &Path, args: &[&str]) -> Outcome<Output> {
    let what = || Failure::new(Exit::Failed, format!("git {} failed", args.first().unwrap_or(&"")));
    let command = Cmd::new("git").args(args).keep_all_env().without_env(&OTHER_REPOSITORY);
    let command = command.dir(root).deadline(DEADLINE);
    let output = run(command, &Cancel::new()).map_err(|e| what().because(&e))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(what().on_path(root).because_of(said))
}
