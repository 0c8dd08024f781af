//! The only place that starts threads: each has a name and a stack size.

use std::io;
use std::thread::JoinHandle;

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
