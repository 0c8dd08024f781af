//! A flag that stops work in progress, also work that waits in `poll`.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// A cancellation flag. Clones share it; once set it stays set. It holds a pipe from the first [`Cancel::fd`] on, for most are never
/// waited on.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    set: AtomicBool,
    /// Dropping the writer hangs up the reader, which wakes every `poll` on it.
    writer: Mutex<Option<PipeWriter>>,
    /// `None` inside if no pipe could be made; then waiters look at the flag once a slice.
    reader: OnceLock<Option<PipeReader>>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Sets the flag and wakes everybody who waits on it.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        drop(self.0.writer.lock().take());
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// A descriptor that hangs up when the flag is set.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        let made = self.0.reader.get_or_init(|| {
            let (reader, writer) = std::io::pipe().ok()?;
            let mut held = self.0.writer.lock();
            // A flag that is set by now has nobody left who would drop the writer.
            *held = (!self.is_cancelled()).then_some(writer);
            Some(reader)
        });
        made.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;
    use crate::kit::thread;

    /// Waits until the descriptor hangs up.
    fn hangs_up(cancel: &Cancel) {
        cancel.fd().unwrap();
        let mut reader = cancel.0.reader.get().unwrap().as_ref().unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn whoever_waits_is_woken_whether_before_or_after() {
        let cancel = Cancel::new();
        assert!(cancel.0.reader.get().is_none(), "nothing is opened for a flag that nobody waits on");
        let waits = cancel.clone();
        let waiting = thread::spawn("waits", thread::STACK_LARGE, move || hangs_up(&waits)).unwrap();
        crate::kit::clock::pause(Duration::from_millis(5));
        cancel.cancel();
        waiting.join().unwrap();
        hangs_up(&cancel);
        let late = Cancel::new();
        late.cancel();
        hangs_up(&late);
        assert!(late.is_cancelled());
    }
}
