//! A finished session becomes part of the ledger, wherever that is kept, and nothing of it is lost whatever happens on the way.

mod bench;
mod kills;
mod refusals;
mod shares;
