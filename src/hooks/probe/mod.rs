//! Proves the way of events from an agent's program to the store.

pub mod speech;
