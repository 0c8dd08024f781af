//! Contacts over a network: each leaves a receipt, nobody is contacted who is not named, and no receipt tells a secret.

mod census;
mod secrets;
mod shown;
mod tracer;
