//! What workers do in work trees.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::event::{Effect, Event, Told};
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::watch::{Root, RootId, Task};

/// A disk that takes longer to keep a murmur than this has not kept it.
const RECEIPT_MAX: Duration = Duration::from_secs(5);

/// What the work in trees needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    /// Trees that nobody has scanned yet.
    new: Arc<Mutex<BTreeMap<RootId, Root>>>,
}

/// What waits to be scanned.
pub(in crate::daemon) fn pulses(lanes: &Lanes) -> Vec<Event> {
    let Some(watchers) = lanes.watchers_if_any() else { return Vec::new() };
    watchers.hints.pulses().into_iter().map(|(root, pulse)| Event::Pulse(root, pulse)).collect()
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        match effect {
            // The first scan takes it up.
            Effect::Watch { root, path } => {
                let saved = Some(lanes.site.dirs.work_tree(&path));
                self.new.lock().insert(root, Root { path, exclude: Vec::new(), saved });
            }
            Effect::Forget { root, told } => self.forget(lanes, root, told),
            Effect::Scan { root, task } => self.scan(lanes, root, task),
        }
    }

    fn forget(&self, lanes: &Lanes, root: RootId, told: Told) {
        self.new.lock().remove(&root);
        let watchers = lanes.watchers();
        lanes.run(Lane::Disk, move || {
            let told = match told {
                Told::No => false,
                Told::All => true,
                // It was begun before this job.
                Told::When(receipt) => receipt.recv_timeout(RECEIPT_MAX).unwrap_or(false),
            };
            if told {
                // Kept for the next process.
                watchers.runner.run(root, Task::Save);
            }
            watchers.runner.remove_root(root);
        });
    }

    fn scan(&self, lanes: &Lanes, root: RootId, task: Task) {
        let (watchers, new) = (lanes.watchers(), Arc::clone(&self.new));
        let work = move || {
            let taken = new.lock().remove(&root);
            if let Some(root_of) = taken {
                let path: PathBuf = root_of.path.canonicalize().unwrap_or(root_of.path);
                let runner = &watchers.runner;
                runner.add_root(root, Root { exclude: vec![path.join(".sageox")], path, ..root_of });
            }
            watchers.runner.run(root, task)
        };
        lanes.start(Lane::Scan, work, move |ended| {
            Event::Scanned(root, ended.ok().flatten().map(Box::new)).into()
        });
    }
}
