//! What a repository was last set up as, kept in its git directory: there it outlives `git clean`, and a branch without `.sageox/`.

use std::path::{Path, PathBuf};

use super::{Config, Team};
use crate::kit::file::{make_dirs, read_capped, write_atomic};

/// A larger file is none of ours, nor git's.
const FILE_MAX: usize = 1 << 20;

/// What a project's configuration no longer says and once said. The Go program writes a fixed set of keys, so it leaves ours out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The ledger's remote; `None` if it is not lost.
    pub ledger_url: Option<String>,
    /// The teams; empty if they are not lost.
    pub teams: Vec<Team>,
}

impl Lost {
    /// What `known` says and `now` has no key for. A key without a value was emptied on purpose.
    fn between(now: &Config, known: Option<Config>) -> Lost {
        let Some(known) = known.filter(|known| known.repo_id() == now.repo_id()) else {
            return Lost::default();
        };
        Lost {
            ledger_url: known.ledger_url().filter(|_| !now.has("ledger_url")),
            teams: if now.has("teams") { Vec::new() } else { known.teams() },
        }
    }

    /// What the project at `root` lost, by what was kept of it.
    pub(super) fn of(root: &Path, now: &Config) -> Lost {
        if now.has("ledger_url") && now.has("teams") {
            Lost::default()
        } else {
            Lost::between(now, recall(root))
        }
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.ledger_url.is_none() && self.teams.is_empty()
    }

    /// What happened, for people.
    pub fn text(&self) -> String {
        let what = match (&self.ledger_url, self.teams.is_empty()) {
            (Some(_), true) => "ledger_url",
            (Some(_), false) => "ledger_url and teams",
            (None, _) => "teams",
        };
        format!(".sageox/config.json has lost {what} (an older program wrote it); what is known here counts")
    }

    /// Puts it back.
    pub fn restore(&self, config: &mut Config) {
        if let Some(url) = &self.ledger_url {
            config.set_ledger_url(Some(url));
        }
        self.teams.iter().for_each(|team| config.add_team(team));
    }
}

/// Keeps the project's configuration as it is now, unless that lost something. A copy that cannot be written is no failure: it is for a
/// bad day.
pub fn remember(root: &Path) {
    let Some(copy) = copy_of(root) else { return };
    let Ok(bytes) = read_capped(&Config::path(root), FILE_MAX) else { return };
    let Ok(now) = Config::parse(&bytes) else { return };
    let known = read_capped(&copy, FILE_MAX).ok();
    if known.as_ref().is_some_and(|known| *known == bytes)
        || !Lost::between(&now, known.and_then(|known| Config::parse(&known).ok())).is_empty()
    {
        return;
    }
    let made = copy.parent().map_or(Ok(()), |dir| make_dirs(dir, 0o755));
    if let Err(e) = made.and_then(|()| write_atomic(&copy, &bytes, 0o600)) {
        log::debug!("{}: {e}", copy.display());
    }
}

/// The configuration that was kept last, if one was.
pub fn recall(root: &Path) -> Option<Config> {
    let config = Config::parse(&read_capped(&copy_of(root)?, FILE_MAX).ok()?).ok()?;
    (!config.repo_id().is_empty()).then_some(config)
}

fn copy_of(root: &Path) -> Option<PathBuf> {
    common_dir(root).map(|dir| dir.join("ox/project.json"))
}

/// The directory with what all work trees of a repository share (gitrepository-layout(5)).
pub fn common_dir(root: &Path) -> Option<PathBuf> {
    let text = |path: &Path| String::from_utf8(read_capped(path, FILE_MAX).ok()?).ok();
    let mut git = root.join(".git");
    if !git.is_dir() {
        git = root.join(text(&git)?.strip_prefix("gitdir:")?.trim());
    }
    if let Some(common) = text(&git.join("commondir")) {
        git.push(common.trim());
    }
    git.is_dir().then_some(git)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn what_is_no_file_of_gits_keeps_nobody_waiting() {
        let tmp = tempfile::tempdir().unwrap();
        let git = tmp.path().join(".git");
        fs::create_dir(&git).unwrap();
        mkfifoat(CWD, git.join("commondir"), Mode::RUSR).unwrap();
        assert_eq!(common_dir(tmp.path()), Some(git));
    }

    fn project(root: &Path, text: &str) {
        fs::create_dir_all(root.join(".sageox")).unwrap();
        fs::write(Config::path(root), text).unwrap();
    }

    #[test]
    fn what_was_kept_is_found_from_every_work_tree() {
        let tmp = tempfile::tempdir().unwrap();
        let (main, linked) = (tmp.path().join("main"), tmp.path().join("linked"));
        fs::create_dir_all(main.join(".git/worktrees/linked")).unwrap();
        fs::write(main.join(".git/worktrees/linked/commondir"), "../..\n").unwrap();
        fs::create_dir(&linked).unwrap();
        fs::write(linked.join(".git"), format!("gitdir: {}/.git/worktrees/linked\n", main.display()))
            .unwrap();
        assert!(recall(&main).is_none());
        project(&main, r#"{"repo_id":"repo_1","ledger_url":"/srv/l.git"}"#);
        remember(&main);
        fs::remove_dir_all(main.join(".sageox")).unwrap();
        for root in [&main, &linked] {
            let config = recall(root).unwrap();
            assert_eq!(
                (config.repo_id().as_str(), config.ledger_url().as_deref()),
                ("repo_1", Some("/srv/l.git"))
            );
        }
        // What another program left out is lost, and stays known; what was emptied on purpose is not.
        fs::create_dir_all(linked.join(".sageox")).unwrap();
        let lost = |text: &str| {
            project(&linked, text);
            remember(&linked);
            Lost::of(&linked, &Config::load(&linked).unwrap()).ledger_url
        };
        assert_eq!(lost(r#"{"repo_id":"repo_1"}"#).as_deref(), Some("/srv/l.git"));
        assert_eq!(lost(r#"{"repo_id":"repo_2"}"#), None, "another project");
        project(&linked, r#"{"repo_id":"repo_1","ledger_url":"/srv/l.git"}"#);
        remember(&linked);
        assert_eq!(lost(r#"{"repo_id":"repo_1","ledger_url":""}"#), None);
        assert_eq!(lost(r#"{"repo_id":"repo_1"}"#), None, "nothing is known any more");
        // Damage is not kept, nor believed.
        project(&linked, "{");
        remember(&linked);
        assert!(recall(&linked).is_some());
        fs::write(main.join(".git/ox/project.json"), "{").unwrap();
        assert!(recall(&main).is_none() && recall(tmp.path()).is_none());
    }
}
