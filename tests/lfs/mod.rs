//! The client of Git LFS against a server that does what it is told, and against real ones.

mod bench;
mod faults;
mod moves;
mod probes;
mod real;
