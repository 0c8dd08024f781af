//! One file a command, a folder where it has commands below it. What several share stands one level up.

pub mod agent;
pub mod agents;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod debug;
pub mod docs;
pub mod doctor;
pub mod events;
pub mod gc;
pub mod git_credential_helper;
pub mod hooks;
pub mod init;
pub mod ledger;
pub mod login;
pub mod murmur;
pub mod rescue;
pub mod session;
pub mod status;
pub mod sync;
pub mod team;
pub mod up;
pub mod version;
pub mod whispers;
pub mod why;
pub mod workspaces;
