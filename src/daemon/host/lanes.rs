//! Workers by what they wait for, so that one kind of slowness never delays another, and the ways back to the core.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::watchers::Watchers;
use crate::daemon::event::Event;
use crate::ipc::{Inbound, ServerHandle};
use crate::kit::cancel::Cancel;
use crate::kit::clock::Mono;
use crate::kit::pool::{Pool, PoolConfig};
use crate::kit::thread::STACK_LARGE;
use crate::sync::Site;

/// Jobs that may wait for a worker of one lane.
const QUEUE: usize = 512;
/// At the end what runs, and what is to be written, is given this long.
const WORKERS_END: Duration = Duration::from_secs(5);

/// What a job waits for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Lane {
    /// Git on a clone: up to 4.
    Git,
    /// Clones being made or replaced, in slots: up to 3.
    Clone,
    /// Servers: up to 2.
    Net,
    /// Files: up to 2. What waits here is done before the process ends.
    Disk,
    /// Whole trees: 1.
    Scan,
    /// Agents that are run in the background: up to 2.
    Agent,
    /// The link to the relay's server: 1.
    Relay,
}

/// Each lane with the name and number of its threads.
const LANES: [(Lane, &str, usize); 7] = [
    (Lane::Git, "git", 4),
    (Lane::Clone, "clone", 3),
    (Lane::Net, "net", 2),
    (Lane::Disk, "disk", 2),
    (Lane::Scan, "scan", 1),
    (Lane::Agent, "agent", 2),
    (Lane::Relay, "relay", 1),
];

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::daemon) enum NotDone {
    /// Too many wait.
    #[error("busy: {0} workers")]
    Busy(&'static str),
    /// It panicked.
    #[error("internal error: {0}")]
    Panicked(String),
}

/// What wakes the core's thread.
pub(in crate::daemon) enum Wake {
    /// A request.
    Ipc(Inbound),
    /// Anything else.
    Event(Box<Event>),
}

impl From<Inbound> for Wake {
    fn from(inbound: Inbound) -> Wake {
        Wake::Ipc(inbound)
    }
}

/// The lanes, and what every part's work needs.
pub(in crate::daemon) struct Lanes {
    pub(in crate::daemon) site: Site,
    pub(in crate::daemon) server: ServerHandle,
    /// Requests, and by way of [`hint`] progress and hints.
    pub(in crate::daemon) inbox: Sender<Wake>,
    /// Ends calls to servers, and sweeps.
    pub(in crate::daemon) stop: Cancel,
    pools: [Pool; LANES.len()],
    /// Never more than jobs in flight, and a worker never waits for the core.
    results: (Sender<Event>, Receiver<Event>),
    /// Jobs that were not begun.
    refused: Mutex<Vec<Event>>,
    watchers: Mutex<Option<Arc<Watchers>>>,
}

impl Lanes {
    /// Lanes without threads: those come with jobs.
    ///
    /// # Errors
    /// A pool could not be made.
    pub(in crate::daemon) fn new(
        site: Site,
        server: ServerHandle,
        inbox: Sender<Wake>,
    ) -> std::io::Result<Lanes> {
        let pool = |(_, name, threads)| {
            Pool::new(PoolConfig { name, threads, queue: QUEUE, stack: STACK_LARGE, fixed: false })
        };
        let [git, clone, net, disk, scan, agent, relay] = LANES.map(pool);
        Ok(Lanes {
            site,
            server,
            inbox,
            stop: Cancel::new(),
            pools: [git?, clone?, net?, disk?, scan?, agent?, relay?],
            results: unbounded(),
            refused: Mutex::default(),
            watchers: Mutex::default(),
        })
    }

    fn pool(&self, lane: Lane) -> &Pool {
        &self.pools[lane as usize]
    }

    /// Begins a job. The core hears `event` of what it came to, also if it could not be begun.
    pub(in crate::daemon) fn start<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
        event: impl FnOnce(Result<T, NotDone>) -> Event + Send + 'static,
    ) {
        let shared = Arc::new(Mutex::new(Some(event)));
        let (mine, results) = (Arc::clone(&shared), self.results.0.clone());
        let done = move |ended: Result<T, String>| {
            if let Err(panic) = &ended {
                log::error!("a {lane:?} worker panicked: {panic}");
            }
            let Some(event) = mine.lock().take() else { return };
            if results.send(event(ended.map_err(NotDone::Panicked))).is_err() {
                log::debug!("a result came after the end");
            }
        };
        if let Err(full) = self.pool(lane).submit(work, done)
            && let Some(event) = shared.lock().take()
        {
            log::warn!("{full}");
            self.refused.lock().push(event(Err(NotDone::Busy(full.0))));
        }
    }

    /// Begins a job whose result nobody waits for. False if it could not be.
    pub(in crate::daemon) fn run(&self, lane: Lane, work: impl FnOnce() + Send + 'static) -> bool {
        let done = move |ended: Result<(), String>| {
            if let Err(panic) = ended {
                log::error!("a {lane:?} worker panicked: {panic}");
            }
        };
        let begun = self.pool(lane).submit(work, done);
        if let Err(full) = &begun {
            log::warn!("{full}; a job was left out");
        }
        begun.is_ok()
    }

    /// As [`Lanes::run`], where the core hears of it only if there is something to hear.
    pub(in crate::daemon) fn run_and_tell(
        &self,
        lane: Lane,
        work: impl FnOnce() -> Option<Event> + Send + 'static,
    ) {
        let results = self.results.0.clone();
        self.run(lane, move || {
            if let Some(event) = work() {
                drop(results.send(event));
            }
        });
    }

    /// For what the core must hear and no job of a lane tells. It has room without a limit: whoever uses it has one.
    pub(in crate::daemon) fn sender(&self) -> Sender<Event> {
        self.results.0.clone()
    }

    /// What came of jobs.
    pub(in crate::daemon) fn results(&self) -> &Receiver<Event> {
        &self.results.1
    }

    /// Jobs that could not be begun since this was last asked.
    pub(in crate::daemon) fn refused(&self) -> Vec<Event> {
        std::mem::take(&mut self.refused.lock())
    }

    /// What watches directories; made when the first is to be watched.
    pub(in crate::daemon) fn watchers(&self) -> Arc<Watchers> {
        let made = || Arc::new(Watchers::new(&self.site, self.inbox.clone()));
        Arc::clone(self.watchers.lock().get_or_insert_with(made))
    }

    /// As [`Lanes::watchers`], if anything has been watched.
    pub(in crate::daemon) fn watchers_if_any(&self) -> Option<Arc<Watchers>> {
        self.watchers.lock().clone()
    }

    /// Takes no more jobs. What runs is given a moment to end, and what waits to be written is written. False if something was left.
    pub(in crate::daemon) fn close(&self) -> bool {
        self.stop.cancel();
        for (lane, pool) in LANES.iter().zip(&self.pools) {
            pool.shut(lane.0 == Lane::Disk);
        }
        let until = self.site.clock.now().mono + WORKERS_END;
        let left = |until: Mono| until.since(self.site.clock.now().mono);
        let ended = self.pools.iter().map(|pool| pool.wait(left(until))).filter(|ended| *ended).count();
        ended == self.pools.len()
    }
}

/// Tells the core something that it may miss: what does not fit into the inbox is left out.
pub(in crate::daemon) fn hint(inbox: &Sender<Wake>, event: impl Into<Event>) {
    drop(inbox.try_send(Wake::Event(Box::new(event.into()))));
}
