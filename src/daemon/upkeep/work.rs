//! What workers do for upkeep.

use super::event::Effect;
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::sync;

pub(in crate::daemon) fn perform(lanes: &Lanes, Effect::TidyUp: Effect) {
    let (site, stop) = (lanes.site.clone(), lanes.stop.clone());
    lanes.run(Lane::Scan, move || sync::tidy_up(&site, &stop));
}
