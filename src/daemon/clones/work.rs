//! What workers do to clones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::event::{Effect, Event, SyncedAt};
use super::ledgers::{Ledgers, WatchTo};
use crate::daemon::host::lanes::{Lane, Lanes, NotDone, hint};
use crate::daemon::host::latest::Latest;
use crate::daemon::names::{Id, JobId, Key};
use crate::ipc::wire::{Checkout, CheckoutResult, Progress};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::gotime::GoTime;
use crate::project::{Dirs, LocalConfig, LocalTeam};
use crate::sync::checkout::{self, PathState, Wanted};
use crate::sync::{self, Ask, End, Failure, Outcome, Saved, Site, Stores, Target};

/// What the work on clones needs.
pub(in crate::daemon) struct Work {
    /// Ends what runs for a clone, by clone; until that is dropped.
    cancels: BTreeMap<Key, Cancel>,
    ledgers: Arc<Mutex<Ledgers>>,
    watched: Latest<Id, WatchTo>,
    backoffs: Latest<PathBuf, Option<Saved>>,
}

impl Work {
    pub(in crate::daemon) fn new(lanes: &Lanes) -> Work {
        let backoffs = Latest::new(|state: &PathBuf, saved: Option<Saved>| {
            if let Err(e) = Saved::save(state, saved.as_ref()) {
                log::warn!("{}: {e}", state.display());
            }
        });
        let ledgers = Arc::<Mutex<Ledgers>>::default();
        let (all, site, inbox) = (Arc::clone(&ledgers), lanes.site.clone(), lanes.inbox.clone());
        let watched = Latest::new(move |id: &Id, to: WatchTo| all.lock().set(&site, &inbox, id, to));
        Work { cancels: BTreeMap::new(), ledgers, watched, backoffs }
    }

    pub(in crate::daemon) fn perform(&mut self, lanes: &Lanes, effect: Effect) {
        match effect {
            Effect::Sync { job, target, ask } => self.sync(lanes, job, target, ask),
            Effect::Clone { job, target } => self.clone(lanes, job, target),
            Effect::Gc { job, target, asked } => self.gc(lanes, job, target, asked),
            Effect::Environment(id, vars) => {
                let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into()));
                lanes.site.caller.of(&id).set(vars);
            }
            Effect::Drop(key) => {
                if let Key::Ledger(id) = &key {
                    lanes.site.caller.of(id).forget();
                }
                if let Some(cancel) = self.cancels.remove(&key) {
                    cancel.cancel();
                }
            }
            Effect::CheckPath { key, checkout } => check_path(lanes, key, checkout),
            Effect::Checkout { job, root, checkout } => self.checkout(lanes, job, root, checkout),
            Effect::Revoke { key, target } => self.revoke(lanes, key, target),
            Effect::Watch(id, path) => {
                self.watched.put(lanes, id, WatchTo { path, watchers: lanes.watchers() });
            }
            Effect::SaveBackoff { state, saved } => self.backoffs.put(lanes, state, saved),
            Effect::Flush { root, synced } => {
                let dirs = lanes.site.dirs.clone();
                lanes.run(Lane::Disk, move || flush(&dirs, &root, &synced));
            }
        }
    }

    /// What ends the jobs of a clone.
    fn cancel_of(&mut self, key: &Key) -> Cancel {
        self.cancels.entry(key.clone()).or_default().clone()
    }

    /// How many clones have something that ends their jobs.
    #[cfg(test)]
    pub(in crate::daemon) fn len(&self) -> usize {
        self.cancels.len()
    }

    /// Ends all jobs.
    pub(in crate::daemon) fn cancel_all(&self) {
        self.cancels.values().for_each(Cancel::cancel);
    }

    /// Writes what no worker had room for.
    pub(in crate::daemon) fn end(&self) {
        self.backoffs.finish();
    }

    fn sync(&mut self, lanes: &Lanes, job: JobId, target: Target, ask: Ask) {
        let (site, cancel, tell) = (site_of(lanes, &job.key), self.cancel_of(&job.key), teller(lanes, &job));
        let work = move || sync::sync(&site, &target, ask, &mut |s, p, t| tell(s, p, t), &cancel);
        lanes.start(Lane::Git, work, move |ended| match ended {
            Err(NotDone::Busy(_)) => Event::NoWorker(job).into(),
            ended => Event::Synced { job, outcome: ended.unwrap_or_else(bug) }.into(),
        });
    }

    fn clone(&mut self, lanes: &Lanes, job: JobId, target: Target) {
        let (site, cancel, tell) = (site_of(lanes, &job.key), self.cancel_of(&job.key), teller(lanes, &job));
        let work = move || sync::clone(&site, &target, &mut |s, p, t| tell(s, p, t), &cancel);
        lanes.start(Lane::Clone, work, move |ended| match ended {
            Err(NotDone::Busy(_)) => Event::NoWorker(job).into(),
            ended => Event::Cloned { job, outcome: ended.unwrap_or_else(bug) }.into(),
        });
    }

    fn gc(&mut self, lanes: &Lanes, job: JobId, target: Target, asked: bool) {
        let (site, cancel, tell) = (site_of(lanes, &job.key), self.cancel_of(&job.key), teller(lanes, &job));
        let (ledgers, key) = (Arc::clone(&self.ledgers), job.key.clone());
        let work = move || {
            // The watcher lets go of a ledger's directory while that is replaced.
            let watch = |on: bool| {
                if let Key::Ledger(id) = &key {
                    ledgers.lock().hold(id, on);
                }
            };
            let stores = Stores { close: &mut || watch(false), open: &mut || watch(true) };
            sync::gc(&site, &target, asked, stores, &mut |s, p, t| tell(s, p, t), &cancel)
        };
        lanes.start(Lane::Clone, work, move |ended| match ended {
            Err(NotDone::Busy(_)) => Event::NoWorker(job).into(),
            ended => {
                let bug = |e: NotDone| Err(Failure::new(Class::Bug, e.to_string()));
                Event::GcEnded { job, result: ended.unwrap_or_else(bug) }.into()
            }
        });
    }

    fn checkout(&mut self, lanes: &Lanes, job: JobId, root: PathBuf, asked: Checkout) {
        // It is finished even if nobody waits for it any more, so that only the end of the process ends it.
        let (site, cancel, tell) = (lanes.site.clone(), lanes.stop.clone(), teller(lanes, &job));
        let work = move || {
            let on_progress = &mut |s: &str, p: Option<u8>, t: &str| tell(s, p, t);
            let (path, made) = checkout::make(&site, &root, &wanted(&asked), on_progress, &cancel)?;
            Ok(result(&path, !made, made))
        };
        lanes.start(Lane::Clone, work, move |made| match made {
            Err(NotDone::Busy(_)) => Event::NoWorker(job).into(),
            made => {
                let result = made.unwrap_or_else(|e| Err(e.to_string()));
                Event::CheckedOut { key: job.key, result }.into()
            }
        });
    }

    fn revoke(&mut self, lanes: &Lanes, key: Key, target: Target) {
        let (site, cancel) = (site_of(lanes, &key), self.cancel_of(&key));
        let work = move || sync::revoke(&site, &target, &cancel).err();
        lanes.start(Lane::Git, work, move |kept| {
            Event::Revoked { key, kept: kept.unwrap_or_else(|e| Some(e.to_string())) }.into()
        });
    }
}

/// The machine as work on this clone sees it: a ledger's remote is reached as the newest caller of its project reaches it.
fn site_of(lanes: &Lanes, key: &Key) -> Site {
    match key {
        Key::Ledger(id) => lanes.site.for_project(id),
        _ => lanes.site.clone(),
    }
}

/// A function that tells the core how far a job has come.
fn teller(lanes: &Lanes, job: &JobId) -> impl Fn(&str, Option<u8>, &str) + Send + 'static {
    let (inbox, job) = (lanes.inbox.clone(), job.clone());
    move |stage, percent, text| {
        let mut line = Progress::new(stage, text);
        line.percent = percent.map(i64::from);
        hint(&inbox, Event::Progress { job: job.clone(), line });
    }
}

/// The outcome of a run whose worker panicked.
fn bug(e: NotDone) -> Outcome {
    let end = End::Failed(Failure::new(Class::Bug, e.to_string()));
    Outcome { place: None, facts: None, end, took: Duration::ZERO }
}

fn check_path(lanes: &Lanes, key: Key, asked: Checkout) {
    let site = lanes.site.clone();
    let work = move || match checkout::probe(&site, &wanted(&asked))? {
        PathState::Taken(path) => Ok(result(&path, true, false)),
        PathState::Free(path) | PathState::Broken(path) => Ok(result(&path, false, false)),
    };
    lanes.start(Lane::Disk, work, move |found| {
        Event::PathChecked { key, result: found.unwrap_or_else(|e| Err(e.to_string())) }.into()
    });
}

fn wanted(checkout: &Checkout) -> Wanted {
    // Whatever is not said to be a team's is a ledger, as with the Go program.
    let team = matches!(checkout.repo_type.as_str(), "team-context" | "team_context");
    let kind = if team { sync::Kind::Team } else { sync::Kind::Ledger };
    Wanted { path: PathBuf::from(&checkout.repo_path), url: checkout.clone_url.clone(), kind }
}

fn result(path: &Path, already_exists: bool, cloned: bool) -> CheckoutResult {
    CheckoutResult { path: path.to_string_lossy().into_owned(), already_exists, cloned }
}

fn flush(dirs: &Dirs, root: &Path, synced: &SyncedAt) {
    let written = LocalConfig::update(root, dirs, |local| {
        if let (Some(at), Some(mut ledger)) = (synced.ledger, local.ledger()) {
            ledger.last_sync = GoTime::from(at);
            local.set_ledger(&ledger);
        }
        for (team, path, at) in &synced.teams {
            local.set_team(&LocalTeam {
                team_id: team.id.clone(),
                team_name: team.name.clone(),
                slug: team.slug.clone(),
                path: path.clone(),
                last_sync: GoTime::from(*at),
            });
        }
    });
    if let Err(e) = written {
        log::debug!("last sync of {}: {e}", root.display());
    }
}
