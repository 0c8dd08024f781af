//! An interrupt from the keyboard, or being asked to end, while something runs that is to end in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use super::cancel::Cancel;
use super::thread;

/// While it lives, `SIGINT` and `SIGTERM` set a flag instead of ending the process. Afterwards they end it again.
#[derive(Debug)]
pub struct Interrupts {
    cancel: Cancel,
    signal: Arc<AtomicI32>,
    over: Arc<AtomicBool>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interrupts {
    /// From here on they set the flag.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch() -> io::Result<Interrupts> {
        let over = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&over))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (cancel, signal, handle) = (Cancel::new(), Arc::new(AtomicI32::new(0)), signals.handle());
        let (sets, notes) = (cancel.clone(), Arc::clone(&signal));
        let thread = thread::spawn("signals", thread::STACK_SMALL, move || {
            for signal in signals.forever() {
                notes.store(signal, Ordering::Release);
                sets.cancel();
            }
        })?;
        Ok(Interrupts { cancel, signal, over, handle, thread: Some(thread) })
    }

    /// The flag.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether it was set because the process was asked to end, and not by the keyboard.
    pub fn is_term(&self) -> bool {
        self.signal.load(Ordering::Acquire) == SIGTERM
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic of.
            let _ = thread.join();
        }
    }
}
