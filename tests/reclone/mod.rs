//! Replacing a clone by a fresh one: what it carries, what it refuses, and what a kill at any moment leaves.

mod asides;
mod bench;
mod carries;
mod kills;
mod refuses;
