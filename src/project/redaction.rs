//! Rules of a project's own for what counts as a secret: the `REDACT.md` files of its team, of the repository and of the user.

use std::io;
use std::path::PathBuf;

use super::config::PROJECT_DIR;
use super::dirs::Dirs;
use super::find::Project;
use super::ids::check_team_id;
use super::limits::REDACT_FILE_MAX;
use crate::kit::{file, openat};
use crate::redact::Rule;
use crate::redact::custom::{Level, parse};

const NAME: &str = "REDACT.md";

/// What the files say.
#[derive(Debug, Default)]
pub struct RedactRules {
    /// Those of the team, of the repository, of the user: they come after the built-in ones, in this order.
    pub rules: Vec<Rule>,
    /// Files that could not be read and lines that are no rules, each with its place. All else holds.
    pub trouble: Vec<String>,
}

impl RedactRules {
    /// Reads them: of a project the three, without one that of the user. Files that are not there have none.
    pub fn read(dirs: &Dirs, project: Option<&Project>) -> RedactRules {
        let mut found = RedactRules::default();
        if let Some(project) = project {
            let team = project.config.team_id();
            if check_team_id(&team).is_ok() {
                let clone = dirs.team(&project.slug, &team);
                let text = openat::read(&clone, &["docs"], NAME, REDACT_FILE_MAX);
                found.take(Level::Team, clone.join("docs").join(NAME), text);
            }
            let text = openat::read(&project.root, &[PROJECT_DIR], NAME, REDACT_FILE_MAX);
            found.take(Level::Repo, project.root.join(PROJECT_DIR).join(NAME), text);
        }
        let path = dirs.config().join(NAME);
        let text = file::read_capped(&path, REDACT_FILE_MAX);
        found.take(Level::User, path, text);
        found
    }

    fn take(&mut self, level: Level, path: PathBuf, text: io::Result<Vec<u8>>) {
        let text = match text {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                return self.trouble.push(format!("{}: {e}: its rules are not applied", path.display()));
            }
        };
        let (rules, bad) = parse(level, &String::from_utf8_lossy(&text));
        self.rules.extend(rules);
        self.trouble.extend(bad.iter().map(|bad| match bad.line {
            0 => format!("{}: {}", path.display(), bad.reason),
            line => format!("{}:{line}: {}", path.display(), bad.reason),
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::project::{Env, find};
    use crate::redact::Redactor;

    #[test]
    fn rules_of_team_repository_and_user_hold_together_and_trouble_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let root = dir.path().join("repo");
        fs::create_dir_all(root.join(".sageox")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        let config = r#"{"repo_id":"repo_01jxyz","team_id":"team_a1"}"#;
        fs::write(root.join(".sageox/config.json"), config).unwrap();
        let env = Env::of([("HOME", home.to_str().unwrap())], &root);
        let dirs = Dirs::from_env(&env).unwrap();
        let project = find::Project::load(&root, &env).unwrap();
        let write = |path: PathBuf, line: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("# Ours\n\n```redact\n{line}\n```\n")).unwrap();
        };
        let text = "alpha of the team, beta of the repository, gamma of the user";
        let after = |project: Option<&Project>| {
            let found = RedactRules::read(&dirs, project);
            (Redactor::with_rules(found.rules).redact(text).into_owned(), found.trouble)
        };
        assert_eq!(after(Some(&project)), (text.into(), vec![]), "no file, no rule, no word");

        let team = dirs.team(&project.slug, "team_a1").join("docs").join(NAME);
        write(team.clone(), "literal \"alpha\" -> [A]");
        write(root.join(".sageox").join(NAME), "regex \"bet.\" -> [B]\nnonsense");
        write(dirs.config().join(NAME), "literal \"gamma\" -> [C]");
        let (redacted, trouble) = after(Some(&project));
        assert_eq!(redacted, "[A] of the team, [B] of the repository, [C] of the user");
        assert!(trouble.len() == 1 && trouble[0].contains("repo/.sageox/REDACT.md:5: "), "{trouble:?}");
        assert_eq!(after(None).0, text.replace("gamma", "[C]"));

        // A file of others that is a link is not followed; the other rules hold.
        fs::remove_file(&team).unwrap();
        symlink(dirs.config().join(NAME), &team).unwrap();
        let (redacted, trouble) = after(Some(&project));
        assert_eq!(redacted, "alpha of the team, [B] of the repository, [C] of the user");
        assert!(trouble.iter().any(|t| t.contains("its rules are not applied")), "{trouble:?}");
    }
}
