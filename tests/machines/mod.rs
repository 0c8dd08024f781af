//! Four machines that share a ledger and two teams, under random edits, faults of the server and kills: nothing anyone wrote may be lost.
//!
//! `OX_TEST_LONG=1` makes the run as long as it should be, `OX_TEST_SEED` repeats one.

mod fleet;
mod level;
mod moved;
mod person;
mod torture;
