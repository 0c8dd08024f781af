//! Pools of worker threads over a bounded queue: a fixed number that always waits, or threads made on demand that end when idle.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::thread;

/// An on-demand thread with nothing to do ends after this long.
pub const IDLE_END: Duration = Duration::from_secs(30);

/// One ends after this long where another waits already: a burst leaves one thread behind, which a trickle of tasks keeps, and not as
/// many as it needed.
pub const SPARE_END: Duration = Duration::from_secs(1);

type Task = Box<dyn FnOnce() + Send>;

/// How a pool is built.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Name of its threads.
    pub name: &'static str,
    /// At most this many threads.
    pub threads: usize,
    /// At most this many tasks wait.
    pub queue: usize,
    /// Stack of each thread, in bytes.
    pub stack: usize,
    /// Whether all threads are made at once and stay.
    pub fixed: bool,
}

/// The queue is full, or the pool is closed, or no thread could be made.
#[derive(Debug, thiserror::Error)]
#[error("busy: {0} workers")]
pub struct Full(pub &'static str);

/// A pool of worker threads.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A task waits, or the pool was shut. A condition and not a channel: the receiver of a channel looks and yields several times
    /// before it sleeps, which in a process that has one job a minute is most of its wake-ups.
    asked: Condvar,
    ended: Condvar,
}

struct State {
    tasks: VecDeque<Task>,
    shut: bool,
    threads: usize,
    /// Tasks that run.
    running: usize,
    /// Threads that wait for as long as [`IDLE_END`].
    idle: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} waiting, {} running, {} threads", self.tasks.len(), self.running, self.threads)
    }
}

impl Pool {
    /// Makes a pool.
    ///
    /// # Errors
    /// When a fixed pool's threads cannot be made.
    pub fn new(config: PoolConfig) -> io::Result<Pool> {
        let state = State { tasks: VecDeque::new(), shut: false, threads: 0, running: 0, idle: 0 };
        let shared = Shared { state: Mutex::new(state), asked: Condvar::new(), ended: Condvar::new() };
        let pool = Pool { config, shared: Arc::new(shared) };
        if pool.config.fixed {
            let mut state = pool.shared.state.lock();
            for _ in 0..pool.config.threads {
                pool.add_thread(&mut state)?;
            }
        }
        Ok(pool)
    }

    /// Queues `work`; its result, or the text of its panic, is handed to `done` on the worker's thread.
    ///
    /// # Errors
    /// [`Full`]; neither closure is called then.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(Result<T, String>) + Send + 'static,
    ) -> Result<(), Full> {
        let full = || Full(self.config.name);
        let mut state = self.shared.state.lock();
        if state.shut || state.tasks.len() >= self.config.queue {
            return Err(full());
        }
        state.tasks.push_back(Box::new(move || done(thread::contain(work))));
        // By what is to be done, not by what threads seem to be doing, so that two tasks never rely on one idle thread.
        if state.tasks.len() + state.running > state.threads && state.threads < self.config.threads {
            // With another thread alive the task is served late rather than never.
            if let Err(e) = self.add_thread(&mut state) {
                log::warn!("{}: no new thread: {e}", self.config.name);
                if state.threads == 0 {
                    state.tasks.pop_back();
                    return Err(full());
                }
            }
        }
        self.shared.asked.notify_one();
        Ok(())
    }

    fn add_thread(&self, state: &mut State) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let fixed = self.config.fixed;
        state.threads += 1;
        let started = thread::spawn(self.config.name, self.config.stack, move || work_off(&shared, fixed));
        if started.is_err() {
            state.threads -= 1;
        }
        started.map(|_| ())
    }

    /// Takes no more tasks, and throws away those that wait unless they are to be `finished`.
    pub fn shut(&self, finished: bool) {
        let mut state = self.shared.state.lock();
        state.shut = true;
        let left = if finished { VecDeque::new() } else { std::mem::take(&mut state.tasks) };
        self.shared.asked.notify_all();
        drop(state);
        // Not under the lock: what a task holds may do something as it goes.
        drop(left);
    }

    /// Waits until all threads of a pool that was [`shut`](Pool::shut) have ended, until `limit` at most. True if all have.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let late = self.shared.ended.wait_while_for(&mut state, |s| s.threads > 0, limit).timed_out();
        !late || state.threads == 0
    }

    /// How many threads there are now.
    pub fn threads(&self) -> usize {
        self.shared.state.lock().threads
    }
}

/// A worker's life; it ends when the pool is shut and nothing waits, or, unless `fixed`, after some time without a task.
fn work_off(shared: &Shared, fixed: bool) {
    let mut state = shared.state.lock();
    loop {
        if let Some(task) = state.tasks.pop_front() {
            state.running += 1;
            parking_lot::MutexGuard::unlocked(&mut state, task);
            state.running -= 1;
        } else if state.shut {
            break;
        } else if fixed {
            shared.asked.wait(&mut state);
        } else {
            let spare = state.idle > 0;
            state.idle += usize::from(!spare);
            let waited = shared.asked.wait_for(&mut state, if spare { SPARE_END } else { IDLE_END });
            state.idle -= usize::from(!spare);
            if waited.timed_out() && state.tasks.is_empty() {
                break;
            }
        }
    }
    state.threads -= 1;
    shared.ended.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::clock::{HANG as WAIT, wait_until};
    use crossbeam_channel::unbounded;

    fn pool(threads: usize, queue: usize, fixed: bool) -> Pool {
        Pool::new(PoolConfig { name: "test", threads, queue, stack: thread::STACK_SMALL, fixed }).unwrap()
    }

    #[test]
    fn tasks_run_and_a_panic_is_a_result() {
        let p = pool(2, 8, false);
        assert_eq!(p.threads(), 0);
        let (tx, rx) = unbounded();
        let (a, b) = (tx.clone(), tx);
        p.submit(|| 7, move |r| a.send(r).unwrap()).unwrap();
        p.submit(|| panic!("broken {}", 1), move |r| b.send(r).unwrap()).unwrap();
        let mut got = [rx.recv_timeout(WAIT).unwrap(), rx.recv_timeout(WAIT).unwrap()];
        got.sort();
        assert_eq!(got, [Ok(7), Err("broken 1".to_string())]);
        p.shut(false);
        assert!(p.wait(WAIT));
        assert!(p.submit(|| 1, |_| ()).is_err());
    }

    #[test]
    fn a_full_queue_refuses_and_what_waits_is_thrown_away_or_finished() {
        for finished in [false, true] {
            let p = pool(1, 1, true);
            let (go, wait) = unbounded::<()>();
            let (started, has_started) = unbounded();
            let (tx, rx) = unbounded();
            let done = tx.clone();
            p.submit(
                move || {
                    started.send(()).unwrap();
                    wait.recv()
                },
                move |_| done.send(1).unwrap(),
            )
            .unwrap();
            has_started.recv_timeout(WAIT).unwrap();
            p.submit(|| (), move |_| tx.send(2).unwrap()).unwrap();
            assert_eq!(p.submit(|| (), |_| ()).unwrap_err().to_string(), "busy: test workers");
            assert_eq!(p.threads(), 1);
            p.shut(finished);
            assert!(!p.wait(Duration::ZERO));
            go.send(()).unwrap();
            assert!(p.wait(WAIT));
            let ran = if finished { vec![1, 2] } else { vec![1] };
            assert_eq!(rx.try_iter().collect::<Vec<_>>(), ran);
        }
    }

    #[test]
    fn a_burst_leaves_one_thread_behind() {
        let p = pool(4, 8, false);
        let (go, wait) = unbounded::<()>();
        let (tx, rx) = unbounded();
        for _ in 0..4 {
            let (wait, tx) = (wait.clone(), tx.clone());
            p.submit(move || wait.recv(), move |_| tx.send(()).unwrap()).unwrap();
        }
        assert_eq!(p.threads(), 4);
        drop(go);
        (0..4).for_each(|_| rx.recv_timeout(WAIT).unwrap());
        // Long before the last one ends, too.
        assert!(wait_until(WAIT, || p.threads() <= 1));
        assert_eq!(p.threads(), 1);
    }
}
