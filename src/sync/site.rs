//! The machine as syncs see it.

use std::sync::Arc;

use crate::git::{self, Git, Profile};
use crate::http::Client;
use crate::kit::clock::{Clock, SystemClock};
use crate::project::{Dirs, Env, GitCredentials};

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
}

impl Site {
    /// This machine, as the process finds it.
    pub fn new(dirs: Dirs, env: Env) -> Site {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let http = Client::new(Arc::clone(&clock));
        let git = |profile| {
            Git::new(profile, git::Env::of_process(), Arc::clone(&clock), &machine).with_http(http.clone())
        };
        let self_hosted = git(Profile::SelfHosted);
        let mut vendor = git(Profile::Vendor).with_logins(logins(&dirs, &clock));
        match std::env::current_exe() {
            Ok(program) => vendor = vendor.with_helper(&program),
            Err(e) => log::warn!("git will not find our credential helper: {e}"),
        }
        Site { dirs, env, http, self_hosted, vendor, clock }
    }

    /// The same, as the daemon: that is what servers are told.
    pub fn for_daemon(self) -> Site {
        Site { http: self.http.for_daemon(), ..self }
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
