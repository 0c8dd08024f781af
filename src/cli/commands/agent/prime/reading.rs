//! What an agent is given to read where it is introduced: what a team wrote for agents, and what the last sessions were about.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::clones::CloneFacts;
use crate::kit::file::{self, NOFOLLOW};
use crate::redact::Redactor;
use crate::sessions::{Glance, Places, Recording, State};

/// Files at the top of a team's context that are written for agents, in the order in which they are to be read (decisions, section 5).
pub const FOR_AGENTS: [&str; 4] = ["AGENTS.md", "SOUL.md", "TEAM.md", "MEMORY.md"];
/// A file up to this long is given whole, in bytes; of a longer one its beginning.
const WHOLE_MAX: usize = 1024;
/// So much of the beginning, in bytes.
const HEAD_MAX: usize = 512;
/// A longer file is only named, in bytes.
const FILE_MAX: usize = 1 << 20;
/// So many sessions are told of.
const SESSIONS_TOLD: usize = 3;

/// What a team wrote for agents.
#[derive(Debug, Serialize)]
pub struct TeamText {
    /// The team's id.
    pub team: String,
    /// The file's name.
    pub file: &'static str,
    /// All of it, or its beginning.
    pub text: String,
    /// It is all of it.
    pub whole: bool,
}

/// A session of before.
#[derive(Debug, Serialize)]
pub struct PastSession {
    /// Its name.
    pub session_name: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// What it was about.
    pub title: String,
    /// A paragraph about it; may be empty.
    pub summary: String,
    /// Whose it was.
    pub username: String,
    /// The agent's program.
    pub agent_type: String,
}

/// The files of that team's clone that are written for agents. A link in the clone leads nowhere.
pub fn of_team(team: &CloneFacts, redactor: &Redactor) -> Vec<TeamText> {
    FOR_AGENTS.into_iter().filter_map(|file| text(team, file, redactor)).collect()
}

fn text(team: &CloneFacts, name: &'static str, redactor: &Redactor) -> Option<TeamText> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(NOFOLLOW | nonblocking).open(team.path.join(name)).ok()?;
    let bytes = file::read_open(opened, FILE_MAX).ok()?;
    let all = redactor.redact(String::from_utf8_lossy(&bytes).trim()).into_owned();
    if all.is_empty() {
        return None;
    }
    let whole = all.len() <= WHOLE_MAX;
    let text = if whole { all } else { beginning(&all).to_owned() };
    Some(TeamText { team: team.id.clone(), file: name, text, whole })
}

/// The first lines that are short enough together; of one long line its first characters.
fn beginning(text: &str) -> &str {
    let cut = &text[..text.floor_char_boundary(HEAD_MAX)];
    cut.rfind('\n').map_or(cut, |at| &cut[..at]).trim_end()
}

/// The last sessions that have ended.
pub fn past(places: &Places, redactor: &Redactor) -> Vec<PastSession> {
    let zone = TimeZone::system();
    let ended = |dir: &Path| matches!(Recording::load(dir), State::None);
    let told = places.all().0.into_iter().filter(|found| ended(&found.dir)).map(|found| {
        let glance = Glance::of(&found);
        PastSession {
            started_at: found.name.began(&zone),
            session_name: found.name.to_string(),
            title: redactor.redact(&glance.title).into_owned(),
            summary: redactor.redact(&glance.summary).into_owned(),
            username: glance.username,
            agent_type: glance.agent_type,
        }
    });
    told.filter(|past| !past.title.is_empty()).take(SESSIONS_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_given_whole_a_long_one_by_its_first_lines_and_a_link_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let team = CloneFacts { id: "plat".into(), path: dir.path().to_owned(), ..CloneFacts::default() };
        std::fs::write(dir.path().join("AGENTS.md"), "\nUse tabs.\n").unwrap();
        std::fs::write(dir.path().join("TEAM.md"), "line of 20 characters\n".repeat(100)).unwrap();
        std::fs::write(dir.path().join("MEMORY.md"), "é".repeat(2000)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("SOUL.md")).unwrap();
        let told = of_team(&team, &Redactor::new());
        let shape: Vec<(&str, usize, bool)> = told.iter().map(|t| (t.file, t.text.len(), t.whole)).collect();
        assert_eq!(shape, [("AGENTS.md", 9, true), ("TEAM.md", 505, false), ("MEMORY.md", 512, false)]);
    }
}
