//! What a repository was last set up as, kept in its git directory: there it outlives `git clean`, and a branch without `.sageox/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::git::exclude_locally;
use crate::kit::file::{make_dirs, read_capped, write_atomic};
use crate::project::Config;
use crate::project::scaffold::local_paths;

/// A larger file is none of ours.
const FILE_MAX: usize = 1 << 20;

/// Keeps the project's configuration as it is now. A copy that cannot be written is no failure: it is for a bad day.
pub fn remember(root: &Path) {
    let Some(copy) = copy_of(root) else { return };
    // So that a branch without `.sageox/.gitignore` shows nothing of what is kept on this machine only.
    if let Some(Err(e)) = common_dir(root).map(|common| exclude_locally(&common, &local_paths())) {
        log::debug!("{}: {e}", root.display());
    }
    let Ok(bytes) = read_capped(&Config::path(root), FILE_MAX) else { return };
    if Config::parse(&bytes).is_err() || read_capped(&copy, FILE_MAX).is_ok_and(|known| known == bytes) {
        return;
    }
    let made = copy.parent().map_or(Ok(()), |dir| make_dirs(dir, 0o755));
    if let Err(e) = made.and_then(|()| write_atomic(&copy, &bytes, 0o600)) {
        log::debug!("{}: {e}", copy.display());
    }
}

/// The configuration that was kept last, if one was.
pub(super) fn recall(root: &Path) -> Option<Config> {
    let config = Config::parse(&read_capped(&copy_of(root)?, FILE_MAX).ok()?).ok()?;
    (!config.repo_id().is_empty()).then_some(config)
}

fn copy_of(root: &Path) -> Option<PathBuf> {
    common_dir(root).map(|dir| dir.join("ox/project.json"))
}

/// The directory with what all work trees of a repository share (gitrepository-layout(5)).
fn common_dir(root: &Path) -> Option<PathBuf> {
    let dot = root.join(".git");
    let git = if dot.is_dir() {
        dot
    } else {
        let text = String::from_utf8(read_capped(&dot, FILE_MAX).ok()?).ok()?;
        root.join(text.strip_prefix("gitdir:")?.trim())
    };
    let common = fs::read_to_string(git.join("commondir")).ok();
    let common = common.map_or_else(|| git.clone(), |text| git.join(text.trim()));
    common.is_dir().then_some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Damage is not kept, nor believed.
        project(&linked, "{");
        remember(&linked);
        assert!(recall(&linked).is_some());
        fs::write(main.join(".git/ox/project.json"), "{").unwrap();
        assert!(recall(&main).is_none() && recall(tmp.path()).is_none());
    }
}
