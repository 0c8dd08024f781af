//! What is said to remotes and how: refs over HTTP in process, all else by the git program; logins; pushes.

pub(super) mod credentials;
pub(super) mod discover;
pub(super) mod login;
pub(super) mod own_http;
pub(super) mod pkt;
pub(super) mod push;
pub(super) mod smart;
