//! What workers do for background work.

use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::event::{Effect, Event};
use crate::agents::budget::Budget;
use crate::agents::kept::Kept;
use crate::daemon::host::lanes::{Lane, Lanes};

/// What the work needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    /// The number of what was kept last: workers do not keep the order.
    kept: Arc<Mutex<u64>>,
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        let path = lanes.site.dirs.agent_spend();
        match effect {
            Effect::Load => {
                let now = lanes.site.clock.now().wall;
                lanes.start(
                    Lane::Disk,
                    move || load(&path, now),
                    // Where nobody could look, nobody knows.
                    move |kept| Event::Loaded(kept.unwrap_or_else(|_| unknown(now))).into(),
                );
            }
            Effect::Keep(kept) => {
                let last = Arc::clone(&self.kept);
                lanes.run(Lane::Disk, move || {
                    if let Err(e) = keep(&path, &last, &kept) {
                        log::warn!("what background work has cost is not written down: {e}");
                    }
                });
            }
            Effect::Look(_) | Effect::LookAt(..) | Effect::Run { .. } => {}
        }
    }
}

/// What was spent. Where it is damaged nobody knows: all of it.
fn load(path: &Path, now: Timestamp) -> Kept {
    match Kept::load(path) {
        Ok(kept) => kept,
        Err(e) => {
            log::error!(
                "{}: {e}; no agent is run for a day, for nobody knows what was spent",
                path.display()
            );
            let kept = unknown(now);
            if let Err(e) = kept.save(path) {
                log::warn!("{}: {e}", path.display());
            }
            kept
        }
    }
}

fn unknown(now: Timestamp) -> Kept {
    Kept { budget: Budget::unknown(now), ..Kept::default() }
}

/// Writes it down, unless a later one is.
fn keep(path: &Path, last: &Mutex<u64>, kept: &Kept) -> io::Result<()> {
    let mut last = last.lock();
    if kept.serial > *last {
        kept.save(path)?;
        *last = kept.serial;
    }
    Ok(())
}
