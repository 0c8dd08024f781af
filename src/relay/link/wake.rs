//! A hand on the shoulder of a link's thread.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// There is something to send.
const DATA: u8 = 1;
/// Somebody logged in or out.
const LOGIN: u8 = 2;

/// Tells a link of what it could not see itself. Clones share it.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    told: AtomicU8,
    reader: PipeReader,
    writer: PipeWriter,
}

/// What a link was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) data: bool,
    pub(super) login: bool,
}

impl Waker {
    /// One for one link.
    ///
    /// # Errors
    /// The kernel's, when no pipe can be made.
    pub fn new() -> io::Result<Waker> {
        let (reader, writer) = io::pipe()?;
        Ok(Waker(Arc::new(Inner { told: AtomicU8::new(0), reader, writer })))
    }

    /// Something waits that can be sent.
    pub fn data(&self) {
        self.tell(DATA);
    }

    /// Somebody logged in or out.
    pub fn login(&self) {
        self.tell(LOGIN);
    }

    fn tell(&self, what: u8) {
        // One byte for all that was not heard yet, so that the pipe never fills.
        if self.0.told.fetch_or(what, Ordering::AcqRel) == 0 {
            drop((&self.0.writer).write(&[0]));
        }
    }

    /// Readable when there is something to hear.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }

    /// Hears it. Only to be called when [`Waker::fd`] is readable.
    pub(super) fn hear(&self) -> Told {
        drop((&self.0.reader).read(&mut [0]));
        let told = self.0.told.swap(0, Ordering::AcqRel);
        Told { data: told & DATA != 0, login: told & LOGIN != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_many_times_is_heard_once() {
        let waker = Waker::new().unwrap();
        for _ in 0..100_000 {
            waker.data();
        }
        waker.login();
        assert_eq!(waker.hear(), Told { data: true, login: true });
        waker.clone().data();
        assert_eq!(waker.hear(), Told { data: true, login: false });
    }
}
