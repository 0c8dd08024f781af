//! The only place that starts threads: each has a name and a stack size.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

/// Stack of threads that only move bytes and messages.
pub const STACK_SMALL: usize = 256 * 1024;
/// Stack of threads that parse, or that call into C libraries.
pub const STACK_LARGE: usize = 2 * 1024 * 1024;

/// Starts a named thread.
///
/// # Errors
/// The kernel's, when no thread can be made.
#[allow(clippy::disallowed_methods)] // the one place that spawns
pub fn spawn<T: Send + 'static>(
    name: &str,
    stack: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_string()).stack_size(stack).spawn(run)
}

/// So often the caller of [`each`] gets a word in.
const MEANWHILE: Duration = Duration::from_millis(100);

/// Does `work` with each of `items` on up to `threads` threads of their own and waits for all of it. The results come in no order. The
/// caller's thread calls `meanwhile` now and then; where no thread can be made it does the work itself.
pub fn each<T: Send, R: Send>(
    name: &str,
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    meanwhile: &mut dyn FnMut(),
) -> Vec<R> {
    let wanted = threads.min(items.len());
    let queue = Mutex::new(items);
    let (done, results) = channel();
    let turn = |done: &std::sync::mpsc::Sender<R>| {
        loop {
            let next = queue.lock().pop();
            let Some(item) = next else { return };
            // The receiver outlives all senders.
            let _ = done.send(work(item));
        }
    };
    let mut out = Vec::new();
    std::thread::scope(|scope| {
        let mut made = 0;
        for _ in 0..wanted {
            let mine = done.clone();
            let turn = &turn;
            let builder = std::thread::Builder::new().name(name.to_string()).stack_size(STACK_LARGE);
            match builder.spawn_scoped(scope, move || turn(&mine)) {
                Ok(_) => made += 1,
                Err(e) => log::warn!("{name}: no new thread: {e}"),
            }
        }
        if made == 0 {
            turn(&done);
        }
        drop(done);
        loop {
            match results.recv_timeout(MEANWHILE) {
                Ok(result) => out.push(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            meanwhile();
        }
    });
    out
}

/// Runs `work`; a panic in it comes back as its text. The caller must not go on using what `work` may have left half done.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()))
}

/// The text of a caught panic.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a text".to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_done_once_whatever_the_number_of_threads() {
        for threads in [0, 1, 3, 50] {
            let mut heard = 0;
            let mut out = each("t", threads, (0..20).collect(), |n: u32| n * 2, &mut || heard += 1);
            out.sort_unstable();
            assert_eq!(out, (0..20).map(|n| n * 2).collect::<Vec<_>>(), "{threads}");
            assert!(heard >= 20);
        }
        assert!(each("t", 4, Vec::<u32>::new(), |n| n, &mut || ()).is_empty());
    }
}
