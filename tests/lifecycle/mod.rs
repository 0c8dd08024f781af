//! The daemon against a hostile machine: killed, stopped, replaced, without its files, its directories or its disk.
//!
//! Everything here goes through the real program. `OX_TEST_LONG=1` makes the loops as long as they should be.

mod asks;
mod beat;
mod damage;
mod disk;
mod ends;
mod machine;
mod starts;
mod takeover;
