//! Are the teams' clones there and sound? What is missing is cloned, what is no clone is moved aside.

use std::io;

use super::context::Clone;
use super::{Category, Check, Command, Context, Fix, FixLevel, Outcome, Remedy, Status};
use crate::git::{CloneLock, Verdict, verify};
use crate::sync::Workspace;

/// Cloning what is missing needs no yes; moving something away does, see [`Fix::needs_yes`].
pub(super) const MAY_BE_CLONED: FixLevel = FixLevel::Suggested;

pub(super) const CHECK: Check = Check {
    slug: "git-repo-paths",
    name: "team contexts",
    category: Category::Project,
    fix_level: MAY_BE_CLONED,
    run,
};

/// What lies in the place of a clone.
pub(super) enum CloneCheck {
    /// A clone.
    Sound,
    /// Nothing, or an empty directory. `before`: there was a clone.
    Missing { before: bool },
    /// Something else, or a broken clone.
    Damaged(String),
    /// It could not be looked at.
    Unknown(String),
    /// Nothing; and nobody here has agreed to the host yet.
    Untrusted(String),
}

pub(super) fn probe(at: &Workspace) -> CloneCheck {
    let empty = match std::fs::symlink_metadata(&at.path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        Err(e) => return CloneCheck::Unknown(e.to_string()),
        Ok(meta) => meta.is_dir() && std::fs::read_dir(&at.path).is_ok_and(|mut d| d.next().is_none()),
    };
    match (&at.untrusted_host, empty) {
        (Some(host), true) => return CloneCheck::Untrusted(host.clone()),
        (None, true) => {
            let before = CloneLock::peek(&at.lock).is_some_and(|s| s.fetched_at.is_some());
            return CloneCheck::Missing { before };
        }
        (_, false) => {}
    }
    match verify(&at.path) {
        Verdict::Sound(_) => CloneCheck::Sound,
        Verdict::Damaged(why) => CloneCheck::Damaged(why),
        Verdict::Unknown(e) => CloneCheck::Unknown(e.to_string()),
    }
}

/// The outcome of several findings: the worst one's status and remedy, a line for each.
pub(super) fn outcome(found: Vec<(Clone, CloneCheck)>) -> Outcome {
    let (mut lines, mut missing, mut damaged, mut untrusted) = (Vec::new(), Vec::new(), None, None);
    let mut worst = Status::Skipped;
    for (clone, found) in found {
        let shown = clone.at.path.display().to_string();
        let line = match found {
            CloneCheck::Sound => continue,
            CloneCheck::Missing { before } => {
                worst = if before { Status::Failed } else { worst };
                missing.push((clone.at.path.clone(), clone.target.clone()));
                if before { "was there and is gone".to_owned() } else { "not cloned yet".to_owned() }
            }
            CloneCheck::Damaged(why) => {
                worst = Status::Failed;
                damaged.get_or_insert(clone.at.path.clone());
                why
            }
            CloneCheck::Unknown(why) => format!("cannot be looked at: {why}"),
            CloneCheck::Untrusted(host) => {
                untrusted.get_or_insert(clone.at.id.clone());
                format!("not cloned yet: {host} is not trusted yet")
            }
        };
        lines.push(format!("{shown}: {line}"));
    }
    let message = match lines.as_slice() {
        [one] => one.clone(),
        all => format!("{} are not as they should be", all.len()),
    };
    let outcome = Outcome { status: worst, ..Outcome::skipped(message) };
    let outcome = if lines.len() > 1 { outcome.detail(lines) } else { outcome };
    match (damaged, untrusted) {
        (Some(path), _) => outcome.remedy(Remedy::Fix(Fix::SetAside(path))),
        (None, _) if !missing.is_empty() => outcome.remedy(Remedy::Fix(Fix::Clone(missing))),
        (None, Some(_)) => outcome.remedy(Remedy::Ox(Command::Up)),
        (None, None) => outcome,
    }
}

fn run(cx: &Context) -> Outcome {
    let teams = cx.clones().teams.clone();
    let all = teams.len();
    let found: Vec<(Clone, CloneCheck)> =
        teams.into_iter().map(|t| (probe(&t.at), t)).map(|(f, t)| (t, f)).collect();
    if found.iter().all(|(_, found)| matches!(found, CloneCheck::Sound)) {
        return Outcome::passed(match all {
            0 => "none".to_owned(),
            n => format!("all {n} are there"),
        });
    }
    outcome(found)
}
