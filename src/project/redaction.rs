//! Rules of a project's own for what counts as a secret: the `REDACT.md` files of its team, of the repository and of the user.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::config::PROJECT_DIR;
use super::dirs::Dirs;
use super::find::Project;
use super::ids::check_team_id;
use super::limits::REDACT_FILE_MAX;
use crate::kit::{file, openat};
use crate::redact::Rule;
use crate::redact::custom::{BadLine, Level, parse};

const NAME: &str = "REDACT.md";

/// What the files say.
#[derive(Debug, Default)]
pub struct RedactRules {
    /// Those of the teams, of the repository, of the user: they come after the built-in ones, in this order.
    pub rules: Vec<Rule>,
    /// The files there are, in the same order.
    pub files: Vec<RuleFile>,
    /// Files that could not be read and lines that are no rules, each with its place. All else holds.
    pub trouble: Vec<String>,
}

/// See [`RedactRules::stamp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesStamp(Vec<Option<(u64, u64, i64, i64)>>);

/// A `REDACT.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Whose it is.
    pub level: Level,
    /// Where it is.
    pub path: PathBuf,
    /// Which of the rules are its own.
    pub rules: Range<usize>,
    /// Its lines that are none.
    pub bad: Vec<BadLine>,
    /// Why it could not be read, if so.
    pub unread: Option<String>,
}

impl RedactRules {
    /// Reads them: of a project the three kinds, without one that of the user. Files that are not there have none.
    pub fn read(dirs: &Dirs, project: Option<&Project>) -> RedactRules {
        let mut found = RedactRules::default();
        if let Some(project) = project {
            for team in teams(project) {
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

    /// What changes when one of the files does, comes or goes: whoever keeps rules compares it now and then, at the cost of a look at each.
    pub fn stamp(dirs: &Dirs, project: Option<&Project>) -> RulesStamp {
        let mut paths = vec![dirs.config().join(NAME)];
        if let Some(project) = project {
            paths.push(project.root.join(PROJECT_DIR).join(NAME));
            let clones = teams(project).into_iter().map(|team| dirs.team(&project.slug, &team));
            paths.extend(clones.map(|clone| clone.join("docs").join(NAME)));
        }
        let stat = |path: PathBuf| {
            let meta = std::fs::symlink_metadata(path).ok()?;
            Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        };
        RulesStamp(paths.into_iter().map(stat).collect())
    }

    fn take(&mut self, level: Level, path: PathBuf, text: io::Result<Vec<u8>>) {
        let start = self.rules.len();
        let text = match text {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                self.trouble.push(format!("{}: {e}: its rules are not applied", path.display()));
                let (rules, bad, unread) = (start..start, Vec::new(), Some(e.to_string()));
                return self.files.push(RuleFile { level, path, rules, bad, unread });
            }
        };
        let (rules, bad) = parse(level, &String::from_utf8_lossy(&text));
        self.rules.extend(rules);
        self.trouble.extend(bad.iter().map(|bad| match bad.line {
            0 => format!("{}: {}", path.display(), bad.reason),
            line => format!("{}:{line}: {}", path.display(), bad.reason),
        }));
        let rules = start..self.rules.len();
        self.files.push(RuleFile { level, path, rules, bad, unread: None });
    }
}

/// The team that a server gives the project, and those that the project names itself.
fn teams(project: &Project) -> Vec<String> {
    let named = project.config.teams().into_iter().map(|team| team.team_id);
    let mut teams: Vec<String> = Vec::new();
    for team in [project.config.team_id()].into_iter().chain(named) {
        if check_team_id(&team).is_ok() && !teams.contains(&team) {
            teams.push(team);
        }
    }
    teams
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

        // The same team named by the project itself is read once, another one beside it.
        let other = dirs.team(&project.slug, "team_b2").join("docs").join(NAME);
        write(other, "literal \"and\" -> [B2]");
        let named = r#"{"repo_id":"repo_01jxyz","team_id":"team_a1","teams":[{"team_id":"team_a1","url":"/x"},{"team_id":"team_b2","url":"/y"}]}"#;
        fs::write(root.join(".sageox/config.json"), named).unwrap();
        let project = find::Project::load(&root, &env).unwrap();
        let files = RedactRules::read(&dirs, Some(&project)).files;
        let told: Vec<_> = files.iter().map(|f| (f.level, f.rules.clone(), f.bad.len())).collect();
        let expected =
            [(Level::Team, 0..1, 0), (Level::Team, 1..2, 0), (Level::Repo, 2..3, 1), (Level::User, 3..4, 0)];
        assert_eq!(told, expected);
        fs::write(root.join(".sageox/config.json"), config).unwrap();
        let project = find::Project::load(&root, &env).unwrap();

        // A file of others that is a link is not followed; the other rules hold.
        fs::remove_file(&team).unwrap();
        symlink(dirs.config().join(NAME), &team).unwrap();
        let (redacted, trouble) = after(Some(&project));
        assert_eq!(redacted, "alpha of the team, [B] of the repository, [C] of the user");
        assert!(trouble.iter().any(|t| t.contains("its rules are not applied")), "{trouble:?}");
    }
}
