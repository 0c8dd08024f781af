//! The machine as syncs see it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::{self, Caller, Git, GitError, ManagedClone, Profile};
use crate::http::Client;
use crate::kit::clock::{Clock, SystemClock};
use crate::kit::contact::Purpose;
use crate::project::{Dirs, Env, GitCredentials};

/// What others lay beside clones to be committed in them: a sync does that before it pushes.
#[derive(Clone, Copy)]
pub struct PendingCommits {
    /// Whether anything waits, by the clone's state directory.
    pub is_any: fn(state: &Path) -> bool,
    /// Commits it; how many.
    pub commit: fn(clone: &mut ManagedClone<'_>, state: &Path, now: Timestamp) -> Result<usize, GitError>,
    /// What of it cannot be committed in the clone at `clone`, in words.
    pub stuck: fn(state: &Path, clone: &Path, now: Timestamp) -> Option<String>,
}

/// Directories, environment and git of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Where everything is.
    pub dirs: Dirs,
    /// The environment that configuration is read from.
    pub env: Env,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Calls servers.
    pub http: Client,
    self_hosted: Git,
    vendor: Git,
    /// What git children have of the newest caller: of one project, or of any.
    pub caller: Caller,
    pub(super) waiting: Option<PendingCommits>,
}

impl Site {
    /// This machine, as the process finds it.
    pub fn new(dirs: Dirs, env: Env) -> Site {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let http = Client::new(Arc::clone(&clock));
        let caller = Caller::default();
        let git = |profile| {
            let git = Git::new(profile, git::Env::of_process(), Arc::clone(&clock), &machine);
            git.with_http(http.meant_for(Purpose::Sync)).with_caller(caller.clone())
        };
        let self_hosted = git(Profile::SelfHosted);
        let mut vendor = git(Profile::Vendor).with_logins(logins(&dirs, &clock));
        match std::env::current_exe() {
            Ok(program) => vendor = vendor.with_helper(&program),
            Err(e) => log::warn!("git will not find our credential helper: {e}"),
        }
        Site { dirs, env, http, self_hosted, vendor, caller, clock, waiting: None }
    }

    /// The same, as the daemon: that is what servers are told.
    pub fn for_daemon(self) -> Site {
        Site { http: self.http.for_daemon(), ..self }
    }

    /// The same, and syncs commit what waits beside clones.
    pub fn committing(self, waiting: PendingCommits) -> Site {
        Site { waiting: Some(waiting), ..self }
    }

    /// The same, where git children have what the newest caller of the project called `id` has.
    pub fn for_project(&self, id: &str) -> Site {
        let caller = self.caller.of(id);
        let git = |git: &Git| git.clone().with_caller(caller.clone());
        Site { self_hosted: git(&self.self_hosted), vendor: git(&self.vendor), caller, ..self.clone() }
    }

    /// Git with the user's configuration where the remote is the user's own, without it where it is a vendor's.
    pub fn git(&self, self_hosted: bool) -> &Git {
        if self_hosted { &self.self_hosted } else { &self.vendor }
    }
}

/// The credentials that a server gave, for looks at remotes in process.
fn logins(dirs: &Dirs, clock: &Arc<dyn Clock>) -> git::Logins {
    let (dirs, clock) = (dirs.clone(), Arc::clone(clock));
    Arc::new(move |url| {
        let found = GitCredentials::for_url(&dirs, url, clock.now().wall)?;
        Some(git::Login { user: found.git_user().to_owned(), password: found.token })
    })
}
