//! The class of an error, which alone decides what happens next.

use std::fmt;

/// What kind of failure an error is. Retry, back-off and exit codes follow from it, never from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The far end could not be reached or did not answer in time. Never counts against what was asked for.
    Network,
    /// The far end refused who we are.
    Auth,
    /// Two sides changed the same thing and no rule decides.
    Conflict,
    /// Proven structural damage of something on disk.
    Damage,
    /// Somebody else holds it; try again.
    Busy,
    /// The disk refused: full, read-only, no permission, I/O error.
    Disk,
    /// The request itself is wrong.
    Usage,
    /// A state that our own code should have made impossible.
    Bug,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Network => "network",
            Class::Auth => "auth",
            Class::Conflict => "conflict",
            Class::Damage => "damage",
            Class::Busy => "busy",
            Class::Disk => "disk",
            Class::Usage => "usage",
            Class::Bug => "bug",
        })
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 8] = [
        Class::Network,
        Class::Auth,
        Class::Conflict,
        Class::Damage,
        Class::Busy,
        Class::Disk,
        Class::Usage,
        Class::Bug,
    ];

    /// The class of that name.
    pub fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.to_string() == name)
    }

    /// The class of a plain I/O error of the local machine.
    pub fn of_io(error: &std::io::Error) -> Class {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::TimedOut
            | K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown => Class::Network,
            K::WouldBlock | K::ResourceBusy | K::Interrupted => Class::Busy,
            K::InvalidInput | K::InvalidData => Class::Usage,
            _ => Class::Disk,
        }
    }
}
