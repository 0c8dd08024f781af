//! Eyes on work trees and ledgers: one queue of the kernel's for all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Host, Wake, send};
use crate::daemon::event::{Effect, Event, Key};
use crate::kit::clock::Now;
use crate::watch::{Hints, Report, Root, RootId, Runner, Task, Watches};
use crate::whispers::FileChanges;

/// What watches.
pub(super) struct Eyes {
    hints: Arc<Hints>,
    /// None if the system has no room for a watcher: then trees are polled, and ledgers synced at their beat.
    pub(super) watches: Option<Arc<Watches>>,
    runner: Arc<Runner>,
    /// Trees that nobody has looked into yet.
    new: Arc<Mutex<BTreeMap<RootId, Root>>>,
}

impl Host {
    /// Makes them if there are none.
    pub(super) fn eyes(&mut self) -> &Eyes {
        let (clock, inbox) = (&self.site.clock, &self.inbox_tx);
        self.eyes.get_or_insert_with(|| {
            let wakes = inbox.clone();
            // A full inbox wakes the core anyway, and it looks for pulses at every turn.
            let wake = move || drop(wakes.try_send(Wake::Event(Box::new(Event::Hinted))));
            let hints = Arc::new(Hints::new(Arc::clone(clock), wake));
            let watches = match Watches::new(Arc::clone(&hints), None) {
                Ok(watches) => Some(Arc::new(watches)),
                Err(e) => {
                    log::error!("nothing is watched, only looked at: {e}");
                    None
                }
            };
            let runner = Arc::new(Runner::new(Arc::clone(clock), Arc::clone(&hints), watches.clone()));
            Eyes { hints, watches, runner, new: Arc::default() }
        })
    }

    /// Has the core hear what waits to be looked into.
    pub(super) fn pulses(&mut self, now: Now) -> Vec<Effect> {
        let Some(eyes) = &self.eyes else { return Vec::new() };
        let pulses = eyes.hints.pulses();
        pulses
            .into_iter()
            .flat_map(|(root, pulse)| self.core.turn(now, Some(Event::Pulse(root, pulse))))
            .collect()
    }

    /// The first look takes it up.
    pub(super) fn watch_tree(&mut self, root: RootId, path: PathBuf) {
        let saved = Some(self.site.dirs.work_tree(&path));
        self.eyes().new.lock().insert(root, Root { path, exclude: Vec::new(), saved });
    }

    pub(super) fn forget_tree(&mut self, root: RootId, told: bool) {
        if self.ending {
            // When the last look has ended: see `keep_trees`.
            return self.last_trees.extend(told.then_some(root));
        }
        let eyes = self.eyes();
        eyes.new.lock().remove(&root);
        let runner = Arc::clone(&eyes.runner);
        self.in_background(move || {
            if told {
                runner.run(root, Task::Save);
            }
            runner.remove_root(root);
        });
    }

    /// Keeps what is known of trees for the next process: at the end, when all workers have ended.
    pub(super) fn keep_trees(&mut self) {
        let trees = std::mem::take(&mut self.last_trees);
        if let Some(eyes) = &self.eyes {
            for root in trees {
                eyes.runner.run(root, Task::Save);
            }
        }
    }

    pub(super) fn look_at_tree(&mut self, root: RootId, task: Task) {
        let eyes = self.eyes();
        let (runner, new) = (Arc::clone(&eyes.runner), Arc::clone(&eyes.new));
        let results = self.results_tx.clone();
        let work = move || {
            let taken = new.lock().remove(&root);
            if let Some(root_of) = taken {
                let path = root_of.path.canonicalize().unwrap_or(root_of.path);
                runner.add_root(root, Root { exclude: vec![path.join(".sageox")], path, ..root_of });
            }
            runner.run(root, task)
        };
        let done = move |ended: Result<Option<Report>, String>| {
            if let Err(panic) = &ended {
                log::error!("a look into a work tree panicked: {panic}");
            }
            send(&results, Event::TreeLooked(root, ended.ok().flatten().map(Box::new)));
        };
        if let Err(full) = self.job.submit(work, done) {
            log::warn!("{full}; a work tree is looked into later");
            send(&self.results_tx, Event::TreeLooked(root, None));
        }
    }

    /// At the end there and then: nobody does what waits for a worker any more.
    pub(super) fn tell_changes(
        &self,
        key: Key,
        state: PathBuf,
        root: PathBuf,
        agents: Vec<String>,
        changes: FileChanges,
    ) {
        if self.ending {
            // It goes out after the next start.
            self.desk.tell_changes(&state, &root, &agents, &changes);
            return;
        }
        let results = self.results_tx.clone();
        self.at_desk(move |desk| {
            if desk.tell_changes(&state, &root, &agents, &changes) {
                send(&results, Event::Murmured(key));
            }
        });
    }
}
