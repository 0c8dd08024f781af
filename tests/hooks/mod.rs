//! Hooks of agents' programs: what an entry takes in, whatever comes and whatever the disk does.

mod entry;
