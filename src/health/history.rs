//! The last syncs and the last errors of a project.

use std::time::Duration;

use jiff::Timestamp;

use crate::kit::ring::Ring;

/// So many syncs are remembered.
pub const HISTORY_MAX: usize = 100;
/// So many errors are remembered.
pub const ERRORS_MAX: usize = 10;
/// What counts as recent.
pub const RECENT: Duration = Duration::from_secs(3600);

/// What kind of sync it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// The remote's commits came in.
    Pull,
    /// Our commits went out.
    Push,
    /// A team's commits came in.
    Team,
}

impl SyncKind {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            SyncKind::Pull => "pull",
            SyncKind::Push => "push",
            SyncKind::Team => "team_context",
        }
    }
}

/// One sync that moved commits; a look that found nothing new is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRecord {
    /// When it ended.
    pub time: Timestamp,
    /// What it was.
    pub kind: SyncKind,
    /// `ledger` or a team's id.
    pub workspace: String,
    /// How long it took.
    pub took: Duration,
    /// How many files the remote's commits changed.
    pub files_changed: u64,
}

/// The last syncs and errors.
#[derive(Clone, Debug)]
pub struct History {
    syncs: Ring<SyncRecord>,
    errors: Ring<(Timestamp, String)>,
    solved: Option<(Timestamp, String)>,
}

impl Default for History {
    fn default() -> Self {
        History { syncs: Ring::new(HISTORY_MAX), errors: Ring::new(ERRORS_MAX), solved: None }
    }
}

impl History {
    /// Remembers a sync.
    pub fn synced(&mut self, record: SyncRecord) {
        self.syncs.push(record);
    }

    /// Remembers an error.
    pub fn failed(&mut self, time: Timestamp, text: impl Into<String>) {
        self.errors.push((time, text.into()));
    }

    /// What had failed is well again: errors speak of now. Those that somebody should see are stored elsewhere.
    pub fn solved(&mut self) {
        self.solved = self.errors.last().cloned().or(self.solved.take());
        self.errors.clear();
    }

    /// The newest error of those that are over.
    pub fn last_solved(&self) -> Option<(Timestamp, &str)> {
        self.solved.as_ref().map(|(t, text)| (*t, text.as_str()))
    }

    /// The syncs, oldest first.
    pub fn syncs(&self) -> impl ExactSizeIterator<Item = &SyncRecord> {
        self.syncs.iter()
    }

    /// How many syncs ended within the last hour.
    pub fn syncs_last_hour(&self, now: Timestamp) -> usize {
        self.syncs.iter().filter(|s| is_recent(s.time, now)).count()
    }

    /// Mean duration of the remembered syncs; zero if there are none.
    pub fn mean(&self) -> Duration {
        let n = u32::try_from(self.syncs.len()).unwrap_or(u32::MAX);
        self.syncs.iter().map(|s| s.took).sum::<Duration>().checked_div(n).unwrap_or_default()
    }

    /// How many of the remembered errors are of the last hour.
    pub fn recent_errors(&self, now: Timestamp) -> usize {
        self.errors.iter().filter(|(t, _)| is_recent(*t, now)).count()
    }

    /// The newest error.
    pub fn last_error(&self) -> Option<(Timestamp, &str)> {
        self.errors.last().map(|(t, text)| (*t, text.as_str()))
    }
}

fn is_recent(then: Timestamp, now: Timestamp) -> bool {
    now.duration_since(then).unsigned_abs() < RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_saturate_and_recent_is_an_hour() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let mut h = History::default();
        for n in 0..150 {
            let time = at(n * 60);
            let took = Duration::from_millis(u64::try_from(n).unwrap());
            h.synced(SyncRecord {
                time,
                kind: SyncKind::Pull,
                workspace: "ledger".into(),
                took,
                files_changed: 0,
            });
            h.failed(time, format!("e{n}"));
        }
        assert_eq!(h.syncs().len(), HISTORY_MAX);
        assert_eq!(h.syncs_last_hour(at(149 * 60)), 60);
        assert_eq!(h.mean(), Duration::from_micros(99_500));
        assert_eq!(h.recent_errors(at(149 * 60)), ERRORS_MAX);
        assert_eq!(h.recent_errors(at(300 * 60)), 0);
        assert_eq!(h.last_error(), Some((at(149 * 60), "e149")));
        h.solved();
        assert_eq!((h.recent_errors(at(149 * 60)), h.last_error(), h.syncs().len()), (0, None, HISTORY_MAX));
        h.solved();
        assert_eq!(h.last_solved(), Some((at(149 * 60), "e149")));
        assert_eq!(History::default().mean(), Duration::ZERO);
    }
}
