//! Logging in and out, and new tokens: against servers that answer by script and may misbehave, and by the real program.

mod command;
mod relay;
mod tokens;
mod vendor;
mod world;
