//! What watches work trees and ledgers: one for all of them.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::lanes::{Wake, hint};
use crate::daemon::trees::event::Event;
use crate::sync::Site;
use crate::watch::{Hints, Runner, Watches};

/// The watcher of the process.
pub(in crate::daemon) struct Watchers {
    /// What waits to be looked into.
    pub(in crate::daemon) hints: Arc<Hints>,
    /// None if the system has no room for a watcher: then trees are polled, and ledgers synced at their time.
    pub(in crate::daemon) watches: Option<Arc<Watches>>,
    /// What looks into trees.
    pub(in crate::daemon) runner: Arc<Runner>,
}

impl Watchers {
    pub(super) fn new(site: &Site, inbox: Sender<Wake>) -> Watchers {
        // A full inbox wakes the core anyway, and it looks for pulses at every turn.
        let wake = move || hint(&inbox, Event::Hinted);
        let hints = Arc::new(Hints::new(Arc::clone(&site.clock), wake));
        let watches = match Watches::new(Arc::clone(&hints), None) {
            Ok(watches) => Some(Arc::new(watches)),
            Err(e) => {
                log::error!("nothing is watched, only scanned: {e}");
                None
            }
        };
        let runner = Arc::new(Runner::new(Arc::clone(&site.clock), Arc::clone(&hints), watches.clone()));
        Watchers { hints, watches, runner }
    }
}
