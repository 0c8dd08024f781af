//! The machine as syncs see it.

use std::sync::Arc;

use crate::git::{self, Git, Profile};
use crate::http::Client;
use crate::kit::clock::{Clock, SystemClock};
use crate::project::{Dirs, Env};

/// Directories, environment and git of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Where everything is.
    pub dirs: Dirs,
    /// The environment that configuration is read from.
    pub env: Env,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
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
        Site { dirs, env, self_hosted: git(Profile::SelfHosted), vendor: git(Profile::Vendor), clock }
    }

    /// Git with the user's configuration where the remote is the user's own, without it where it is a vendor's.
    pub fn git(&self, self_hosted: bool) -> &Git {
        if self_hosted { &self.self_hosted } else { &self.vendor }
    }
}
