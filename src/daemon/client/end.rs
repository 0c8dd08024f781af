//! Ending the daemon when it does not listen any more.

use super::reach::{ReachError, Stopped, stop_all};
use crate::daemon::projects::{Entry, end_process as end};
use crate::daemon::run::holder;
use crate::kit::lock;
use crate::project::Dirs;

/// Ends the daemon's process: asks it first, then signals it. Only the process that holds the instance lock and is proven to be a daemon is
/// ever signalled.
///
/// # Errors
/// It could not be ended, or is not proven to be a daemon.
pub fn kill(dirs: &Dirs) -> Result<Stopped, ReachError> {
    match stop_all(dirs) {
        Err(ReachError::Unresponsive { .. } | ReachError::Client(_)) => {}
        other => return other,
    }
    let Some(holder) = holder(dirs).filter(|_| is_held(dirs)) else {
        return Ok(Stopped { was_running: true });
    };
    let entry = Entry { pid: holder.pid, ..Entry::default() };
    end(&entry).map_err(|text| ReachError::Refused { text })?;
    if is_held(dirs) {
        Err(ReachError::Unresponsive { pid: holder.pid })
    } else {
        Ok(Stopped { was_running: true })
    }
}

fn is_held(dirs: &Dirs) -> bool {
    lock::is_held(&dirs.daemon_lock()).unwrap_or(true)
}
