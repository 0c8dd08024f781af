//! Looking after what earlier runs left beside the clones of this machine.

use std::time::Duration;

use super::reclone::recover_all;
use super::rescue::{clones, sweep};
use super::site::Site;
use crate::git::CloneLock;
use crate::kit::cancel::Cancel;

/// Finishes or undoes interrupted replacements of clones, then removes what was put aside long enough ago and is proven to hold nothing
/// that is nowhere else. A clone that somebody works on is left for another time.
pub fn tidy_up(site: &Site, cancel: &Cancel) {
    for (clone, found) in recover_all(site, cancel) {
        match found {
            Ok(found) => log::info!("{}: {found:?}", clone.display()),
            Err(failure) => log::warn!("{}: {}", clone.display(), failure.text),
        }
    }
    for clone in clones(&site.dirs) {
        if cancel.is_cancelled() {
            return;
        }
        match CloneLock::acquire(&clone.lock, Duration::ZERO) {
            Ok(Some(lock)) => {
                // Without the user's configuration more counts as theirs, and so more stays.
                let now = site.clock.now().wall;
                sweep(&lock, site.git(false), &clone.path, now, cancel);
            }
            Ok(None) => {}
            Err(e) => log::warn!("{}: {e}", clone.lock.display()),
        }
    }
}
