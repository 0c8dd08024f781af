//! What is wrong, told on stderr beside a command's own output: issues after an agent's commands, and now and then to a person that
//! failures have been stored.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Cx;
use super::ui::text::{age, clean, count, cut, relative};
use crate::daemon::reach;
use crate::health::errors::StoredError;
use crate::ipc::client::NO_PAYLOAD;
use crate::ipc::limits::client::DEFAULT;
use crate::ipc::wire::{DaemonIssue, Message};
use crate::kit::file;
use crate::project::Project;

/// A person is told of stored failures at most this often in each project.
const BANNER_EVERY: Duration = Duration::from_secs(10 * 60);
/// A message is cut off at so many characters.
const MESSAGE_MAX: usize = 160;
/// So many issues are told of at once.
const ISSUES_TOLD: usize = 10;
/// They take at most so many bytes.
const ISSUES_BYTES: usize = 2 * 1024;
/// What others wrote is cut off at so many characters.
pub const QUOTED_MAX: usize = 200;

/// Tells an agent what the daemon cannot mend by itself. Silent when there is no daemon, or none that answers at once.
pub fn issues(cx: &Cx, project: &Project) {
    let client = reach::client_of(&cx.dirs, project);
    if let Ok(data) = client.status()
        && data.needs_help
    {
        tell(cx, &data.issues);
    }
}

/// Tells these issues.
pub fn tell(cx: &Cx, issues: &[DaemonIssue]) {
    if let Some(text) = page(issues) {
        cx.ui.aside(&text);
    }
}

/// A headline as urgent as the worst of them, and a line each.
fn page(issues: &[DaemonIssue]) -> Option<String> {
    let has = |severity: &str| issues.iter().any(|i| i.severity == severity);
    let (headline, tagged) = match issues {
        [] => return None,
        _ if has("critical") => {
            ("ox: data may be lost; show your user at once what this prints: ox doctor", true)
        }
        _ if has("error") => ("ox: this blocks syncing; show your user what this prints: ox doctor", true),
        _ => ("ox: worth a look soon: ox doctor", false),
    };
    let told = lines(issues, tagged);
    let rest = match issues.len() - told.len() {
        0 => String::new(),
        n => format!("\n  and {}: ox daemon status", count(n as u64, "more issue")),
    };
    let told = told.into_iter().map(|line| format!("\n  {line}"));
    Some(std::iter::once(headline.to_owned()).chain(told).chain([rest]).collect())
}

/// The first issues, a line each, as many as are told at once.
pub fn lines(issues: &[DaemonIssue], tagged: bool) -> Vec<String> {
    let told = issues.iter().take(ISSUES_TOLD).map(|i| cut(&clean(&line(i, tagged)), Some(QUOTED_MAX)));
    within(ISSUES_BYTES, told)
}

/// The first lines that together have at most so many bytes.
pub fn within(bytes: usize, lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut room = bytes;
    let fits = |line: &String| {
        let fits = line.len() < room;
        room = room.saturating_sub(line.len() + 1);
        fits
    };
    lines.take_while(fits).collect()
}

/// An issue on one line, with its severity in front if that is wanted.
fn line(issue: &DaemonIssue, tagged: bool) -> String {
    let severity = if tagged { format!("[{}] ", issue.severity) } else { String::new() };
    let repo = if issue.repo.is_empty() { String::new() } else { format!("{}: ", issue.repo) };
    let confirm = if issue.requires_confirm { " [CONFIRM REQUIRED]" } else { "" };
    format!("{severity}{repo}{}{confirm}", issue.summary)
}

/// Tells a person of failures that were stored and that nobody has seen, before a command's own output.
pub fn banner(cx: &Cx, project: &Project) {
    let shown = cx.dirs.banner(&project.workspace_id);
    let last = std::fs::metadata(&shown).and_then(|m| m.modified()).ok();
    let last = last.and_then(|at| Timestamp::try_from(at).ok());
    if !cx.ui.is_read_by_a_person() || last.is_some_and(|last| age(last, cx.now()) < BANNER_EVERY) {
        return;
    }
    let client = reach::client_of(&cx.dirs, project);
    let unseen: Vec<StoredError> =
        client.call_as(Message::GetErrors, NO_PAYLOAD, DEFAULT).unwrap_or_default();
    if let Some(text) = banner_text(&unseen, cx.now()) {
        cx.ui.warn(&text);
        // Without the file the banner only comes more often.
        let _ = shown.parent().map(|dir| file::make_dirs(dir, 0o700));
        let _ = file::write_atomic(&shown, b"", 0o600);
    }
}

fn banner_text(unseen: &[StoredError], now: Timestamp) -> Option<String> {
    let newest = unseen.first()?;
    let when = newest.timestamp.0.map(|t| format!(", {}", relative(t, now))).unwrap_or_default();
    let message = cut(&clean(&newest.message), Some(MESSAGE_MAX));
    let others = match unseen.len() as u64 - 1 {
        0 => String::new(),
        n => format!(" and {}", count(n, "other")),
    };
    Some(format!("{message}{when}{others}: ox daemon errors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::gotime::GoTime;

    fn issue(severity: &str, repo: &str, summary: &str, requires_confirm: bool) -> DaemonIssue {
        let (severity, repo, summary) = (severity.into(), repo.into(), summary.into());
        DaemonIssue { kind: "x".into(), severity, repo, summary, requires_confirm, since: GoTime(None) }
    }

    #[test]
    fn issues_are_told_with_a_headline_as_urgent_as_the_worst() {
        assert_eq!(page(&[]), None);
        let warning = issue("warning", "ledger", "kept in refs/ox/rescue/1", false);
        let error = issue("error", "t", "both sides\nchanged a.md", true);
        let critical = issue("critical", "", "all is lost", false);
        insta::assert_snapshot!(page(std::slice::from_ref(&warning)).unwrap(), @"
        ox: worth a look soon: ox doctor
          ledger: kept in refs/ox/rescue/1
        ");
        insta::assert_snapshot!(page(&[error.clone(), warning.clone()]).unwrap(), @"
        ox: this blocks syncing; show your user what this prints: ox doctor
          [error] t: both sides changed a.md [CONFIRM REQUIRED]
          [warning] ledger: kept in refs/ox/rescue/1
        ");
        let many = page(&vec![issue("error", "t", &"é".repeat(5000), false); 50]).unwrap();
        assert!(many.len() < 3 * 1024 && many.contains(" more issues: ox daemon status"), "{many}");
        let worst = page(&[critical, error, warning]).unwrap();
        assert!(worst.starts_with("ox: data may be lost"), "{worst}");
    }

    #[test]
    fn the_banner_names_the_newest_and_counts_the_rest() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let stored = |message: &str| StoredError {
            message: message.into(),
            timestamp: GoTime(now.checked_sub(jiff::SignedDuration::from_secs(90)).ok()),
            ..StoredError::default()
        };
        assert_eq!(banner_text(&[], now), None);
        let all = [stored("disk\u{1b}[2J full"), stored("b"), stored("c")];
        let text = banner_text(&all, now).unwrap();
        assert!(text.ends_with(", 1m ago and 2 others: ox daemon errors"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(banner_text(&all[1..2], now).unwrap(), "b, 1m ago: ox daemon errors");
    }
}
