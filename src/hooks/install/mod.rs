//! What stands of ours in agents' settings files.

mod change;
mod command;
mod edit;
#[cfg(test)]
mod edit_tests;
mod json;
mod reject;
