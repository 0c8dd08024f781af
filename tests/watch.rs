//! Watching on real repositories and a real kernel: the view is the tree, whatever happens, and each told change is true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

#[path = "watch/cases.rs"]
mod cases;
#[path = "watch/driver.rs"]
mod driver;
#[path = "watch/limits.rs"]
mod limits;
#[path = "watch/model.rs"]
mod model;
#[path = "watch/random.rs"]
mod random;
#[path = "watch/switch.rs"]
mod switch;
