//! What workers do for events of agents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::event::{Ask, Came, Effect, Event};
use super::{problems, settings};
use crate::daemon::host::lanes::{Lane, Lanes, hint};
use crate::harness::transcript::{places, sources};
use crate::harness::{PROGRAMS, Running};
use crate::hooks::flag::Scope;
use crate::hooks::import::{self, Projects};
use crate::hooks::record::{FOREIGN, Record};
use crate::hooks::store::{Store, StoreError};
use crate::hooks::{flag, spool, told};
use crate::ipc::wire::Response;
use crate::kit::cancel::Cancel;
use crate::kit::jsonl::Queue;
use crate::kit::process::{self, Ancestor, Seen, StartedAt};
use crate::project::AgentSession;
use crate::project::settings::Settings;
use crate::sync::Site;
use crate::watch::DirWatcher;

/// Records that are stored in one transaction.
const BATCH: usize = 500;
/// Bytes of them.
const BATCH_BYTES: usize = 4 << 20;
/// A worker stores at most so many transactions at a time: others wait for its lane.
const BATCHES_MAX: usize = 20;
/// Callers that are remembered; then they are looked for anew.
const CALLERS_MAX: usize = 1000;

/// What is kept open between two readings of the spool.
struct Open {
    queue: Queue,
    store: Store,
    /// The program that runs a session, by the session and whose entry ran.
    callers: BTreeMap<(String, String), String>,
}

/// What the work on events needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    open: Arc<Mutex<Option<Open>>>,
    watcher: Arc<Mutex<Option<DirWatcher>>>,
    /// Whether the spool is to be watched, as it was wanted last: workers do not keep the order.
    watches: Arc<AtomicBool>,
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        let (site, stop) = (lanes.site.clone(), lanes.stop.clone());
        let failed = |e: &dyn std::fmt::Display| Came::Failed(e.to_string());
        match effect {
            Effect::Look => {
                lanes.start(
                    Lane::Disk,
                    move || (is_on(&site), problems::find(&site)),
                    |looked| {
                        let (on, problems) = looked.unwrap_or_default();
                        Event::Looked(on, problems).into()
                    },
                );
            }
            Effect::Ask(conn, ask) => {
                let is_change = !matches!(ask, Ask::State);
                lanes.start(
                    Lane::Disk,
                    move || settings::answer(&site, ask),
                    move |response| {
                        let response = response.unwrap_or_else(|e| Response::error(e.to_string()));
                        Event::Answered { conn, response, changed: is_change }.into()
                    },
                );
            }
            Effect::Watch(on) => self.watch(lanes, on),
            Effect::Take => {
                let open = Arc::clone(&self.open);
                lanes.start(
                    Lane::Disk,
                    move || take(&site, &open, &stop),
                    move |came| Event::Taken(came.unwrap_or_else(|e| failed(&e))).into(),
                );
            }
            Effect::Import => {
                lanes.start(
                    Lane::Scan,
                    move || bring(&site, &stop),
                    move |came| Event::Imported(came.unwrap_or_else(|e| failed(&e))).into(),
                );
            }
            Effect::Keep => {
                lanes.run(Lane::Scan, move || {
                    let kept = open_store(&site).and_then(|mut store| store.keep(site.clock.now().wall));
                    if let Err(e) = kept {
                        log::warn!("old events of agents are not deleted: {e}");
                    }
                    if let Err(e) = told::forget_old(site.dirs.data(), site.clock.now().wall.into()) {
                        log::warn!("what sessions of agents were told is not forgotten: {e}");
                    }
                });
            }
        }
    }

    fn watch(&self, lanes: &Lanes, on: bool) {
        self.watches.store(on, Ordering::Relaxed);
        let wanted = Arc::clone(&self.watches);
        let (watcher, watchers, inbox) = (Arc::clone(&self.watcher), lanes.watchers(), lanes.inbox.clone());
        let (site, clock) = (lanes.site.clone(), Arc::clone(&lanes.site.clock));
        lanes.run(Lane::Disk, move || {
            let mut watcher = watcher.lock();
            if !wanted.load(Ordering::Relaxed) {
                *watcher = None;
                return;
            }
            let Some(watches) = &watchers.watches else { return };
            let dir = spool::dir(site.dirs.data());
            let touched = inbox.clone();
            let mut new = DirWatcher::on(watches, clock, move |_: &str| hint(&touched, Event::Touched));
            let made = crate::kit::file::private_dir(&dir).map_err(|e| e.to_string());
            let watched = made.and_then(|()| new.watch("spool", &dir).map_err(|e| e.to_string()));
            match watched {
                Ok(()) => *watcher = Some(new),
                Err(e) => {
                    log::error!("{} is not watched, events are stored when others come: {e}", dir.display())
                }
            }
            // Whoever had no time to the end of its introduction leaves it half written.
            AgentSession::remove_leftovers(&site.env);
            // What came in between.
            hint(&inbox, Event::Touched);
        });
    }
}

/// Whether any entry takes events in, or they are read from transcripts.
fn is_on(site: &Site) -> bool {
    if Settings::load(&site.env, &site.dirs, None).0.hooks().0.transcripts {
        return true;
    }
    let words = PROGRAMS.iter().filter_map(|program| program.hooks.map(|hooks| hooks.word));
    words.into_iter().any(|word| flag::read(site.dirs.data(), word).is_some())
}

/// The store; one that is damaged is moved aside, which is logged.
pub(super) fn open_store(site: &Site) -> Result<Store, StoreError> {
    let opened = Store::open(&site.dirs.events())?;
    if let Some(aside) = opened.damaged {
        log::error!(
            "the store of agents' events was damaged and begins anew; it is kept as {}",
            aside.display()
        );
    }
    Ok(opened.store)
}

fn take(site: &Site, kept: &Mutex<Option<Open>>, stop: &Cancel) -> Came {
    let mut kept = kept.lock();
    let done = read_spool(site, &mut kept, stop);
    if done.is_err() {
        // Opened anew the next time, whatever it was.
        *kept = None;
    }
    done.unwrap_or_else(Came::Failed)
}

fn read_spool(site: &Site, kept: &mut Option<Open>, stop: &Cancel) -> Result<Came, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    if kept.is_none() {
        let dir = spool::dir(site.dirs.data());
        if crate::kit::file::is_gone(&dir) {
            return Ok(Came::All { new: false });
        }
        let queue = spool::open(site.dirs.data()).map_err(|e| text(&e))?;
        let store = open_store(site).map_err(|e| text(&e))?;
        *kept = Some(Open { queue, store, callers: BTreeMap::new() });
    }
    let Some(open) = kept else { return Ok(Came::All { new: false }) };
    let taken = open.queue.take_in().map_err(|e| text(&e))?;
    if taken.dropped > 0 {
        log::error!("{} events of agents went unread: the spool was full", taken.dropped);
    }
    let mut new = false;
    for _ in 0..BATCHES_MAX {
        if stop.is_cancelled() {
            return Ok(Came::More);
        }
        let lines = open.queue.read(open.queue.position(), BATCH, BATCH_BYTES).map_err(|e| text(&e))?;
        let Some(end) = lines.last().map(|line| line.next) else { return Ok(Came::All { new }) };
        // A line of a later version that cannot be read is no event of ours.
        let mut records: Vec<Record> =
            lines.iter().filter_map(|line| serde_json::from_slice(&line.bytes).ok()).collect();
        records.iter_mut().for_each(|record| open.name_caller(record));
        match open.store.take(&records) {
            Ok(taken) => new |= taken.new > 0,
            Err(e) if e.is_damage() => {
                log::error!("{e}; it is moved aside");
                open.store = Store::begin_anew(&site.dirs.events()).map_err(|e| text(&e))?.store;
                open.store.take(&records).map_err(|e| text(&e))?;
            }
            Err(e) => return Err(text(&e)),
        }
        open.queue.ack(end).map_err(|e| text(&e))?;
    }
    Ok(Came::More)
}

impl Open {
    /// Says who ran the entry, where the processes above it tell: once a session, as long as one of them lives.
    fn name_caller(&mut self, record: &mut Record) {
        if record.session_id.is_empty() || record.caller_pid == 0 {
            return;
        }
        let key = (record.session_id.clone(), record.agent.clone());
        let known = self.callers.get(&key).cloned();
        let Some(agent) = known.or_else(|| caller(record)) else { return };
        if self.callers.len() >= CALLERS_MAX {
            self.callers.clear();
        }
        if self.callers.insert(key, agent.clone()).is_none()
            && agent != record.agent
            && let Err(e) = self.store.restamp(&record.session_id, &record.agent, &agent)
        {
            log::warn!("{e}");
        }
        record.agent = agent;
    }
}

/// Who ran an entry. None where no process tells.
///
/// The process that did so, where it is that of a program that is known. Where it is not, something stands between the entry and the
/// nearest one that is: what an agent runs its hooks by, or a program that we do not know, in that agent's shell. So it is that agent only
/// where its own entry ran, with a payload of its form.
fn caller(record: &Record) -> Option<String> {
    let lives = Seen::Lives(Some(StartedAt(record.caller_start)));
    if process::probe(record.caller_pid) != lives {
        return None;
    }
    let above = process::ancestors_from(record.caller_pid);
    let of = |processes: &[Ancestor]| Running::detect(|_| None, processes).program;
    let program = of(&above)?;
    let is_certain = of(above.get(..1)?).is_some() || program.kind == record.agent;
    Some(if is_certain { program.kind } else { FOREIGN }.to_owned())
}

/// Stores what is new in transcripts.
fn bring(site: &Site, stop: &Cancel) -> Came {
    let nothing = Came::All { new: false };
    let Some(home) = site.env.home() else { return nothing };
    let (intent, _) = Settings::load(&site.env, &site.dirs, None).0.hooks();
    if !intent.transcripts {
        return nothing;
    }
    let get = |name: &str| site.env.get(name).map(str::to_owned);
    let (found, unread) = sources::all(home, get);
    unread.iter().for_each(|unread| log::debug!("{unread:?}"));
    let mut store = match open_store(site) {
        Ok(store) => store,
        Err(e) => return Came::Failed(e.to_string()),
    };
    let mut projects = Projects::new(site.env.clone(), intent.scope == Scope::All.name());
    let (now, stop) = (site.clock.now().wall, || stop.is_cancelled());
    let run = import::Run { now, projects: &mut projects, stop: &stop };
    let files = import::import(&mut store, found, run);
    let run = import::Run { now, projects: &mut projects, stop: &stop };
    let rows = files
        .and_then(|files| Ok([files, import::import_rows(&mut store, &places::database(home, get), run)?]));
    match rows {
        Ok(done) if done.iter().any(|done| done.more) => Came::More,
        Ok(done) => {
            let failed = done.iter().flat_map(|done| &done.failed);
            failed.for_each(|(path, why)| log::debug!("{}: {why}", path.display()));
            Came::All { new: done.iter().any(|done| done.events.new > 0) }
        }
        Err(e) => Came::Failed(e.to_string()),
    }
}
