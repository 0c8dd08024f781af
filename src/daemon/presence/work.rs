//! What workers do for presence: they probe the processes behind agents.

use super::event::{Effect, Event};
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::kit::process::{self, Seen};

pub(in crate::daemon) fn perform(lanes: &Lanes, Effect { id, pids }: Effect) {
    let work = move || pids.into_iter().map(|pid| (pid, process::probe(pid))).collect::<Vec<(u32, Seen)>>();
    lanes.start(Lane::Disk, work, |seen| Event { id, seen: seen.unwrap_or_default() }.into());
}
