//! Hooks of agents' programs: what an entry takes in, whatever comes and whatever the disk does; each event stored once, whoever tells of it.

mod collision;
mod entry;
mod import;
mod install;
mod matrix;
mod probe;
mod seen;
mod store;
mod stored;
