//! Conditions that `ox` could not mend by itself and leaves to a person or an agent.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// At most this many issues at once; a further one is left out.
pub const ISSUES_MAX: usize = 200;

/// What kind of condition it is. The names on the wire are [`IssueKind::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IssueKind {
    /// Both sides changed the same file and no rule decides.
    MergeConflict,
    /// Local and remote commits cannot be brought together.
    Diverged,
    /// Git lock files of somebody else stay.
    GitLock,
    /// There is no clone and none could be made.
    CloneFailed,
    /// After failures the next attempt waits.
    SyncBackoff,
    /// Uncommitted work stood in the way and could not be merged back.
    DirtyWorkspace,
    /// A rebase that is not ours, or that could not be undone, is in progress.
    RebaseStuck,
    /// The server takes the login no longer.
    AuthExpiring,
    /// The clone lacks files that every one of its kind has.
    MissingScaffolding,
    /// Not all of the project's work tree can be watched.
    WatchLimit,
    /// Murmurs that wait cannot be read or cannot be written into the clone.
    MurmurStuck,
    /// Of a session that is being recorded nothing gets into the recording.
    RecordingStuck,
    /// Sessions that are to be pushed hold secrets, and wait here.
    SecretsHeld,
    /// An agent is at work and runs none of our hooks.
    HooksUntrusted,
    /// An agent's settings are not as the user wants them, and could not be made so.
    HooksReconcile,
    /// The agent that is to do background work cannot.
    AgentStuck,
    /// Sessions that have ended cannot be finished or shared.
    SessionStuck,
    /// Events are to be sent to a server that nobody is logged in at.
    RelayNeedsLogin,
    /// The queue of events that are to be sent was full.
    RelayQueueFull,
}

/// What a sync of a repository came to, as far as issues care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healed {
    /// The repository is level with its remote.
    Synced,
    /// The clone is there.
    Cloned,
    /// Uncommitted work was merged back, or the person settled it.
    Clean,
    /// The files that every clone of its kind has are there.
    Whole,
    /// The server has taken the login.
    LoggedIn,
    /// All of the work tree is watched.
    Watched,
    /// Every murmur that waited could be committed.
    Told,
    /// Every session that is being recorded is heard.
    Recorded,
    /// An agent's hooks are as the user wants them.
    HooksRun,
    /// An agent has done background work.
    AgentRun,
    /// Every session that was to be finished is.
    Finished,
    /// Somebody is logged in at the relay's server, or nothing is to be sent.
    RelayLoggedIn,
    /// All events that were to be sent are.
    RelaySent,
}

impl IssueKind {
    /// All kinds.
    pub const ALL: [IssueKind; 19] = [
        IssueKind::MergeConflict,
        IssueKind::Diverged,
        IssueKind::GitLock,
        IssueKind::CloneFailed,
        IssueKind::SyncBackoff,
        IssueKind::DirtyWorkspace,
        IssueKind::RebaseStuck,
        IssueKind::AuthExpiring,
        IssueKind::MissingScaffolding,
        IssueKind::WatchLimit,
        IssueKind::MurmurStuck,
        IssueKind::RecordingStuck,
        IssueKind::SecretsHeld,
        IssueKind::HooksUntrusted,
        IssueKind::HooksReconcile,
        IssueKind::AgentStuck,
        IssueKind::SessionStuck,
        IssueKind::RelayNeedsLogin,
        IssueKind::RelayQueueFull,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            IssueKind::MergeConflict => "merge_conflict",
            IssueKind::Diverged => "diverged",
            IssueKind::GitLock => "git_lock",
            IssueKind::CloneFailed => "clone_failed",
            IssueKind::SyncBackoff => "sync_backoff",
            IssueKind::DirtyWorkspace => "dirty_workspace",
            IssueKind::RebaseStuck => "rebase_stuck",
            IssueKind::AuthExpiring => "auth_expiring",
            IssueKind::MissingScaffolding => "missing_scaffolding",
            IssueKind::WatchLimit => "watch_limit",
            IssueKind::MurmurStuck => "murmur_stuck",
            IssueKind::RecordingStuck => "recording_stuck",
            IssueKind::SecretsHeld => "secrets_held",
            IssueKind::HooksUntrusted => "hooks_untrusted",
            IssueKind::HooksReconcile => "hooks_reconcile",
            IssueKind::AgentStuck => "agent_stuck",
            IssueKind::SessionStuck => "session_stuck",
            IssueKind::RelayNeedsLogin => "relay_needs_login",
            IssueKind::RelayQueueFull => "relay_queue_full",
        }
    }

    /// How urgent it is.
    pub fn severity(self) -> Severity {
        match self {
            IssueKind::GitLock
            | IssueKind::SyncBackoff
            | IssueKind::DirtyWorkspace
            | IssueKind::MissingScaffolding
            | IssueKind::WatchLimit
            | IssueKind::MurmurStuck
            | IssueKind::RecordingStuck
            | IssueKind::HooksUntrusted
            | IssueKind::HooksReconcile
            | IssueKind::AgentStuck
            | IssueKind::SessionStuck
            | IssueKind::RelayNeedsLogin
            | IssueKind::RelayQueueFull => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Whether a person has to decide what to do.
    pub fn requires_confirm(self) -> bool {
        matches!(self, IssueKind::MergeConflict | IssueKind::RebaseStuck)
    }

    /// Whether `healed` makes it go away. Every kind has an event that does.
    pub fn cleared_by(self, healed: Healed) -> bool {
        match self {
            IssueKind::MergeConflict
            | IssueKind::Diverged
            | IssueKind::SyncBackoff
            | IssueKind::GitLock
            | IssueKind::SecretsHeld
            | IssueKind::RebaseStuck => healed == Healed::Synced,
            IssueKind::CloneFailed => matches!(healed, Healed::Synced | Healed::Cloned),
            IssueKind::DirtyWorkspace => healed == Healed::Clean,
            IssueKind::MissingScaffolding => healed == Healed::Whole,
            IssueKind::WatchLimit => healed == Healed::Watched,
            IssueKind::MurmurStuck => healed == Healed::Told,
            IssueKind::RecordingStuck => healed == Healed::Recorded,
            IssueKind::HooksUntrusted | IssueKind::HooksReconcile => healed == Healed::HooksRun,
            IssueKind::AgentStuck => healed == Healed::AgentRun,
            IssueKind::SessionStuck => healed == Healed::Finished,
            IssueKind::RelayNeedsLogin => healed == Healed::RelayLoggedIn,
            IssueKind::RelayQueueFull => healed == Healed::RelaySent,
            IssueKind::AuthExpiring => healed == Healed::LoggedIn,
        }
    }
}

/// How urgent an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a mention.
    Warning,
    /// Work is blocked.
    Error,
}

impl Severity {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// What kind.
    pub kind: IssueKind,
    /// Which repository: `ledger` or a team's id.
    pub repo: String,
    /// One line for people.
    pub summary: String,
    /// When it was first seen.
    pub since: Timestamp,
}

/// The issues there are now, one a kind and repository.
#[derive(Clone, Debug, Default)]
pub struct Issues {
    by_key: BTreeMap<(IssueKind, String), Issue>,
}

impl Issues {
    /// Raises an issue, or renews its text and keeps the time it was first seen. True if anything changed.
    pub fn raise(&mut self, kind: IssueKind, repo: &str, summary: impl Into<String>, now: Timestamp) -> bool {
        let summary = summary.into();
        let key = (kind, repo.to_string());
        if let Some(old) = self.by_key.get_mut(&key) {
            let changed = old.summary != summary;
            old.summary = summary;
            return changed;
        }
        if self.by_key.len() >= ISSUES_MAX {
            return false;
        }
        self.by_key.insert(key, Issue { kind, repo: repo.to_string(), summary, since: now });
        true
    }

    /// Removes the issues of `repo` that `healed` settles. True if there were any.
    pub fn heal(&mut self, repo: &str, healed: Healed) -> bool {
        let before = self.by_key.len();
        self.by_key.retain(|(kind, r), _| r != repo || !kind.cleared_by(healed));
        self.by_key.len() != before
    }

    /// All issues, most severe first, then oldest first.
    pub fn sorted(&self) -> Vec<Issue> {
        let mut all: Vec<Issue> = self.by_key.values().cloned().collect();
        all.sort_by(|a, b| b.kind.severity().cmp(&a.kind.severity()).then(a.since.cmp(&b.since)));
        all
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whether there is one of this kind for `repo`.
    pub fn has(&self, kind: IssueKind, repo: &str) -> bool {
        self.by_key.contains_key(&(kind, repo.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALS: [Healed; 13] = [
        Healed::Synced,
        Healed::Cloned,
        Healed::Clean,
        Healed::Whole,
        Healed::LoggedIn,
        Healed::Watched,
        Healed::Told,
        Healed::Recorded,
        Healed::HooksRun,
        Healed::AgentRun,
        Healed::Finished,
        Healed::RelayLoggedIn,
        Healed::RelaySent,
    ];

    #[test]
    fn syn_03_every_kind_is_raised_healed_and_gone() {
        for kind in IssueKind::ALL {
            let mut issues = Issues::default();
            assert!(issues.raise(kind, "ledger", "text", Timestamp::UNIX_EPOCH));
            issues.raise(kind, "team_a", "text", Timestamp::UNIX_EPOCH);
            let heal = HEALS.into_iter().find(|h| kind.cleared_by(*h)).expect("a way out");
            assert!(issues.heal("ledger", heal), "{kind:?}");
            assert!(!issues.has(kind, "ledger") && issues.has(kind, "team_a"), "{kind:?}");
        }
    }

    #[test]
    fn raising_again_keeps_the_first_time_and_severe_ones_come_first() {
        let mut issues = Issues::default();
        let later = Timestamp::from_second(100).unwrap();
        issues.raise(IssueKind::GitLock, "ledger", "one", Timestamp::UNIX_EPOCH);
        assert!(!issues.raise(IssueKind::GitLock, "ledger", "one", later));
        assert!(issues.raise(IssueKind::GitLock, "ledger", "two", later));
        issues.raise(IssueKind::CloneFailed, "ledger", "three", later);
        let sorted = issues.sorted();
        assert_eq!(sorted.iter().map(|i| i.summary.as_str()).collect::<Vec<_>>(), ["three", "two"]);
        assert_eq!(sorted[1].since, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn there_is_a_cap() {
        let mut issues = Issues::default();
        for n in 0..ISSUES_MAX + 5 {
            issues.raise(IssueKind::GitLock, &format!("team_{n}"), "x", Timestamp::UNIX_EPOCH);
        }
        assert_eq!(issues.sorted().len(), ISSUES_MAX);
    }
}
