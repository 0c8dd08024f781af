//! Names of what the parts work on, and our own.

use std::sync::Arc;

/// Our version as it stands in messages and files: that of the Go program we are compatible with, and our own behind the `+`.
pub const VERSION: &str = concat!("0.6.1+rs.", env!("CARGO_PKG_VERSION"));

/// Whether a version is one of this program and not of the Go program, nor unknown.
pub fn is_ours(version: &str) -> bool {
    version.contains("+rs.")
}

/// What people and scripts call a version from the wire: our own number if it is one of ours, else what stands before the build part.
pub fn shown_version(version: &str) -> &str {
    let bare = || version.split('+').next().unwrap_or(version);
    version.split_once("+rs.").map_or_else(bare, |(_, ours)| ours)
}

/// Names an attached project: its workspace id.
pub type Id = Arc<str>;

/// Tells one job on a clone from the next one on it.
pub type RunId = u64;

/// Names a clone that the daemon works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The ledger of a project.
    Ledger(Id),
    /// A team's context, `<slug>/<team_id>`: one for all projects that use it.
    Team(Id),
    /// A path that somebody wants a clone at.
    Checkout(Id),
}

impl Key {
    /// The key of a team's context.
    pub(super) fn team(slug: &str, team_id: &str) -> Key {
        Key::Team(Id::from(format!("{slug}/{team_id}")))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Ledger(id) => write!(f, "ledger of {id}"),
            Key::Team(id) => write!(f, "team {id}"),
            Key::Checkout(path) => write!(f, "checkout of {path}"),
        }
    }
}

/// Names one job on a clone, so that the end of an earlier one is not taken for that of the present one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The clone.
    pub key: Key,
    /// Which job on it.
    pub run: RunId,
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, run {}", self.key, self.run)
    }
}

/// Where a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The host's socket.
    Host,
    /// A project's socket.
    Project(Id),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_the_wire_read_well() {
        assert_eq!(shown_version(VERSION), env!("CARGO_PKG_VERSION"));
        assert_eq!(shown_version("0.6.1+2026-04-02T10:00:00Z"), "0.6.1");
        assert_eq!(shown_version("0.3.0"), "0.3.0");
    }
}
