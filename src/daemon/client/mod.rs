//! The other side: finding the daemon, starting it, ending it.

mod end;
pub mod others;
pub mod reach;

pub use end::kill;
