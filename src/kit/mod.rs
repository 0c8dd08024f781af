//! What any daemon needs: time, threads, children, locks, files. Nothing in here knows that `ox` exists.
//!
//! Threads: none of its own; it is the only room that starts any (`thread`, `pool`).
//! Files: none of its own; `file` and `lock` say how all others are written and held.
//! Locks: each type's own small mutex, never held over I/O, a callback or a send.
//! Promises: the only calls to the system clock, to `thread::spawn` and to `Command::new` are here.

pub mod backoff;
pub mod cancel;
pub mod child;
mod class;
pub mod clock;
pub mod contact;
pub mod deadline;
pub mod file;
pub mod gotime;
pub mod hex;
pub mod human;
pub mod id;
pub mod interrupt;
pub mod journal;
pub mod jsonl;
pub mod line;
pub mod lock;
pub mod mask;
pub mod openat;
pub mod pointer;
pub mod pool;
pub mod process;
pub mod ring;
pub mod rng;
pub mod secret;
pub mod semaphore;
pub mod shell;
pub mod sqlite;
pub mod supervise;
pub mod text;
pub mod thread;

pub use class::Class;
