//! Making way for a newer program: when a command of a newer version calls, the process runs the program at its own path anew.
//!
//! Only upwards, only for our own part of the version (`rs.` behind the `+`), at most once in ten minutes, once for each version, and
//! when nothing is being worked on. The Go program's version never counts.

use std::time::Duration;

use super::event::{Handover, Timer};
use crate::daemon::cx::Cx;
use crate::kit::clock::Mono;

/// So far apart are two restarts (decisions, section 1).
pub const SPACING: Duration = Duration::from_secs(10 * 60);
/// Work in progress is waited for so long.
pub const GRACE: Duration = Duration::from_secs(10 * 60);

/// What the command itself asks for comes right behind its heartbeat, and counts as work in progress.
const ASK_FIRST: Duration = Duration::from_secs(1);
/// While work is in progress it is asked again this often whether that has ended.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Whether, and for whom, the process is to make way.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// The newer version, and since when it is known.
    wanted: Option<(Mono, String)>,
}

impl Restart {
    /// A command of this version has called.
    pub(super) fn heard(&mut self, cx: &mut Cx, version: &str) {
        let handover = &cx.identity.handover;
        if self.wanted.is_some() || !is_newer(version, &cx.identity.version) {
            return;
        }
        // Also if the wall clock was set back since.
        let ago = handover.at.map(|at| cx.now.wall.duration_since(at).unsigned_abs());
        let tried = ago.is_some() && !is_newer(version, &handover.version);
        if tried || ago.is_some_and(|ago| ago < SPACING) {
            return;
        }
        log::info!(
            "a command of version {version} has called; starting anew when nothing is being worked on"
        );
        self.wanted = Some((cx.now.mono, version.to_string()));
        cx.set_in(Timer::Restart, ASK_FIRST);
    }

    /// Starts anew if that is wanted and nothing is being worked on, or that takes too long.
    pub(super) fn due(&mut self, cx: &mut Cx, busy: bool) {
        let Some((since, version)) = &self.wanted else { return };
        if busy && cx.now.mono.since(*since) < GRACE {
            return cx.set_in(Timer::Restart, ASK_EVERY);
        }
        let handover = Handover { at: Some(cx.now.wall), version: version.clone() };
        cx.stop("a newer version takes over", Some(handover));
    }
}

/// Whether our part of the version `a` is newer than that of `b`.
pub fn is_newer(a: &str, b: &str) -> bool {
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
        let at = jiff::Timestamp::from_second(1_780_000_000).ok();
        let handover = Handover { at, version: "0.6.1+rs.0.2.0".into() };
        assert_eq!(Handover::read(&handover.text()), handover);
        assert_eq!(Handover::read("x"), Handover::default());
        assert_eq!(Handover::read("x 0.6.1").at, None);
    }
}
