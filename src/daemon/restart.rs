//! Making way for a newer program: when a command of a newer version calls, the process runs the program at its own path anew.
//!
//! Only upwards, only for our own part of the version (`rs.` behind the `+`), at most once in ten minutes, once for each version, and
//! when nothing is being worked on. The Go program's version never counts.

use std::time::Duration;

use jiff::Timestamp;

use super::core::Core;
use crate::kit::clock::{Mono, Now};

/// So far apart are two restarts (decisions, section 1).
pub const SPACING: Duration = Duration::from_secs(10 * 60);
/// Work in progress is waited for so long.
pub const GRACE: Duration = Duration::from_secs(10 * 60);

/// What a process that makes way leaves to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// When it made way.
    pub at: Option<Timestamp>,
    /// For which version. If the new process is older still, its program was not replaced, and another restart would not help.
    pub version: String,
}

impl Passed {
    /// Reads it from the environment variable.
    pub fn read(text: &str) -> Passed {
        let Some((seconds, version)) = text.split_once(' ') else { return Passed::default() };
        let at = seconds.parse().ok().and_then(|s| Timestamp::from_second(s).ok());
        Passed { at, version: version.to_string() }
    }

    /// The environment variable's text.
    pub fn text(&self) -> String {
        format!("{} {}", self.at.map_or(0, Timestamp::as_second), self.version)
    }
}

/// Whether, and for whom, the process is to make way.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// The newer version, and since when it is known.
    wanted: Option<(Mono, String)>,
    /// It is time.
    pub(super) now: Option<Passed>,
}

/// A command of this version has called.
pub(super) fn heard(core: &mut Core, now: Now, version: &str) {
    let passed = &core.identity.passed;
    if core.restart.wanted.is_some() || !is_newer(version, &core.identity.version) {
        return;
    }
    // Also if the wall clock was set back since.
    let ago = passed.at.map(|at| now.wall.duration_since(at).unsigned_abs());
    let tried = ago.is_some() && !is_newer(version, &passed.version);
    if tried || ago.is_some_and(|ago| ago < SPACING) {
        return;
    }
    log::info!("a command of version {version} has called; starting anew when nothing is being worked on");
    core.restart.wanted = Some((now.mono, version.to_string()));
    due(core, now);
}

/// Starts anew if that is wanted and nothing is being worked on, or that takes too long.
pub(super) fn due(core: &mut Core, now: Now) {
    let Some((since, version)) = &core.restart.wanted else { return };
    if core.is_any_busy() && now.mono.since(*since) < GRACE {
        return;
    }
    core.restart.now = Some(Passed { at: Some(now.wall), version: version.clone() });
    core.close(now, "a newer version takes over");
}

/// Whether our part of the version `a` is newer than that of `b`.
pub(super) fn is_newer(a: &str, b: &str) -> bool {
    matches!((ours(a), ours(b)), (Some(a), Some(b)) if a > b)
}

/// The numbers behind `+rs.`; `None` for a version that is none of ours.
fn ours(version: &str) -> Option<[u32; 3]> {
    let mut numbers = version.split_once("+rs.")?.1.split('.');
    let three = [numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?];
    numbers.next().is_none().then_some(three)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_newer_versions_are_newer() {
        let check = |a: &str, b: &str, newer: bool| assert_eq!(is_newer(a, b), newer, "{a} against {b}");
        let ours = "0.6.1+rs.0.1.0";
        check("0.6.1+rs.0.1.1", ours, true);
        check("0.6.1+rs.0.10.0", "0.6.1+rs.0.9.9", true);
        check("0.6.1+rs.1.0.0", ours, true);
        check("0.5.0+rs.0.2.0", ours, true);
        for other in
            [ours, "0.6.1+rs.0.0.9", "0.7.0", "0.6.1+2026-04-02T10:00:00Z", "", "0.6.1+rs.", "0.6.1+rs.9"]
        {
            check(other, ours, false);
        }
        check("0.6.1+rs.0.2.0-rc1", ours, false);
        check("0.6.1+rs.0.2.0", "0.6.1", false);
    }

    #[test]
    fn what_is_passed_on_is_read_again() {
        let passed =
            Passed { at: Timestamp::from_second(1_780_000_000).ok(), version: "0.6.1+rs.0.2.0".into() };
        assert_eq!(Passed::read(&passed.text()), passed);
        assert_eq!(Passed::read("x"), Passed::default());
        assert_eq!(Passed::read("x 0.6.1").at, None);
    }
}
