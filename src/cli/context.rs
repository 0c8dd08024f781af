//! What every command needs: how to print, and where it stands.

use std::path::PathBuf;

use jiff::Timestamp;

use super::errors::of_project;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::global::Global;
use super::ui::Ui;
use crate::daemon::reach;
use crate::daemon::run::LOG_LEVEL;
use crate::ipc::client::Client;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::project::{Dirs, Env, Error, PROJECT_ROOT_VAR, Project, RedactRules, named_root};
use crate::redact::Redactor;

/// One run of a command.
#[derive(Debug)]
pub struct Cx {
    /// How to print.
    pub ui: Ui,
    /// Environment and current directory.
    pub env: Env,
    /// Where everything lies.
    pub dirs: Dirs,
    /// The agent that runs the command, where the command line names it.
    pub agent: Option<String>,
}

impl Cx {
    /// Goes to the directory of `-C` and looks where that is. The [`Ui`] comes back with a failure, to tell it.
    pub fn new(ui: Ui, global: &Global, agent: Option<String>) -> Result<Cx, Box<(Ui, Failure)>> {
        if let Some(dir) = &global.dir
            && let Err(e) = std::env::set_current_dir(dir)
        {
            let failure = Failure::new(Exit::Usage, "cannot go to the directory").on_path(dir).because(&e);
            return Err(Box::new((ui, failure)));
        }
        let env = Env::process();
        match Dirs::from_env(&env).and_then(|dirs| dirs.check_owner().map(|()| dirs)) {
            Ok(dirs) => {
                wrong_variables(&env).iter().for_each(|text| ui.warn(text));
                Ok(Cx { ui, env, dirs, agent })
            }
            Err(e) => Err(Box::new((ui, of_project(&e)))),
        }
    }

    /// What takes secrets out of text of a project, or of none: the built-in rules and those of `REDACT.md` files. Says what is wrong with
    /// these.
    pub fn redactor(&self, project: Option<&Project>) -> Redactor {
        let found = RedactRules::read(&self.dirs, project);
        found.trouble.iter().for_each(|trouble| self.ui.warn(trouble));
        Redactor::with_rules(found.rules)
    }

    /// The project around the current directory.
    ///
    /// # Errors
    /// There is none, or its configuration cannot be read.
    pub fn project(&self) -> Outcome<Project> {
        Project::discover(&self.env).map_err(|e| of_project(&e))
    }

    /// The project around the current directory, or `None` outside of any.
    ///
    /// # Errors
    /// Its configuration cannot be read.
    pub fn project_if_any(&self) -> Outcome<Option<Project>> {
        match Project::discover(&self.env) {
            Ok(project) => Ok(Some(project)),
            Err(Error::NoProject { .. }) => Ok(None),
            Err(e) => Err(of_project(&e)),
        }
    }

    /// The project around the current directory, for commands that go on without one: a configuration that cannot be read is a warning.
    pub fn project_or_warn(&self) -> Option<Project> {
        self.project_if_any().unwrap_or_else(|failure| {
            self.ui.warn(&failure.headline());
            None
        })
    }

    /// A client of the project's own socket.
    pub fn client(&self, project: &Project) -> Client {
        reach::client_of(&self.dirs, project).named(&project.workspace_id, &project.legacy_workspace_id)
    }

    /// The home directory, for `~`; the root directory if there is none.
    pub fn home(&self) -> PathBuf {
        self.env.home().map_or_else(|| PathBuf::from("/"), Into::into)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        SystemClock.now().wall
    }
}

/// What the environment says that nothing can be made of.
fn wrong_variables(env: &Env) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(root) = env.get(PROJECT_ROOT_VAR)
        && named_root(env).is_none()
    {
        wrong.push(format!("{PROJECT_ROOT_VAR} names no project, so the current directory counts: {root}"));
    }
    if let Some(level) = env.get(LOG_LEVEL)
        && level.parse::<log::LevelFilter>().is_err()
    {
        wrong.push(format!("{LOG_LEVEL} must be error, warn, info or debug, not \"{level}\"; info is used"));
    }
    wrong
}
