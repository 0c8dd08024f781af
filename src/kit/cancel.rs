//! A flag that stops work in progress, also work that waits in `poll`.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A cancellation flag. Clones share it; once set it stays set.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    set: AtomicBool,
    /// Dropping the writer hangs up the reader, which wakes every `poll` on it.
    writer: Mutex<Option<PipeWriter>>,
    /// `None` if no pipe could be made; then waiters look at the flag once a slice.
    reader: Option<PipeReader>,
}

impl Default for Cancel {
    fn default() -> Cancel {
        Cancel::new()
    }
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        let (reader, writer) = match std::io::pipe() {
            Ok((r, w)) => (Some(r), Some(w)),
            Err(_) => (None, None),
        };
        Cancel(Arc::new(Shared { set: AtomicBool::new(false), writer: Mutex::new(writer), reader }))
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
        self.0.reader.as_ref().map(AsFd::as_fd)
    }
}
