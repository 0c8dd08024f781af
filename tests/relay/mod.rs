//! The relay: what is told of events, where they wait, and how they reach a server.

mod facts;
mod feed;
mod kills;
mod otlp;
mod queue;
