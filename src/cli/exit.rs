//! Exit codes: one table for the program, the manual and the tests.

use std::process::ExitCode;

use crate::kit::Class;

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do and said so; also when the reader of the output went away.
    Done,
    /// Failed; of `doctor`: at least one check failed.
    Failed,
    /// Wrong usage, or a confirmation was needed and nobody could be asked.
    Usage,
    /// The daemon is not running.
    NotRunning,
    /// The daemon is there and does not answer.
    Unresponsive,
    /// A credential was missing or refused.
    Auth,
    /// Partly done: of several things some succeeded and some failed.
    Partial,
    /// Network unreachable or timed out.
    Network,
    /// A fault in the program itself.
    Internal,
    /// Ended by an interrupt from the keyboard.
    Interrupted,
    /// Asked to end by a signal.
    Terminated,
}

impl Exit {
    /// Every code, in the order of the manual.
    pub const ALL: &'static [Exit] = &[
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::NotRunning,
        Exit::Unresponsive,
        Exit::Auth,
        Exit::Partial,
        Exit::Network,
        Exit::Internal,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::Unresponsive => 4,
            Exit::Auth => 5,
            Exit::Partial => 6,
            Exit::Network => 7,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// One line for the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or nothing to do and said so; also when the reader of the output went away",
            Exit::Failed => "failed; of doctor: at least one check failed",
            Exit::Usage => {
                "wrong usage, or a confirmation was needed and nobody could be asked; of hooks: a file could not be read or written"
            }
            Exit::NotRunning => "the daemon is not running",
            Exit::Unresponsive => "the daemon is there and does not answer",
            Exit::Auth => "a credential was missing or refused",
            Exit::Partial => "partly done: some succeeded, some failed; stderr lists the failures",
            Exit::Network => "the network was unreachable or too slow",
            Exit::Internal => "a fault in ox itself; the path of a report is printed",
            Exit::Interrupted => "ended by an interrupt from the keyboard",
            Exit::Terminated => "asked to end by a signal",
        }
    }

    /// The code for an error of this class.
    pub const fn of_class(class: Class) -> Exit {
        match class {
            Class::Network => Exit::Network,
            Class::Auth => Exit::Auth,
            Class::Usage => Exit::Usage,
            Class::Bug => Exit::Internal,
            Class::Conflict | Class::Damage | Class::Busy | Class::Disk => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_rise() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|e| e.code()).collect();
        assert!(codes.windows(2).all(|w| w[0] < w[1]), "{codes:?}");
    }

    #[test]
    fn every_class_has_a_failing_code() {
        use Class::*;
        for class in [Network, Auth, Conflict, Damage, Busy, Disk, Usage, Bug] {
            assert_ne!(Exit::of_class(class), Exit::Done, "{class}");
        }
    }
}
