//! Links in a project's `.sageox/` to its ledger and teams, so that people and agents find them. Ignored by git.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::project::PROJECT_DIR;

/// The link to the project's own team, beside those by id.
const PRIMARY: &str = "primary";

/// What a project's links are to lead to. Only clones that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) ledger: Option<PathBuf>,
    /// By team id.
    pub(super) teams: Vec<(String, PathBuf)>,
    /// The project's own team; may be empty.
    pub(super) primary: String,
    /// There are no other teams. If not, a link that leads to a clone may be one's that the server names.
    pub(super) all_known: bool,
}

impl Links {
    /// Each link below `dir`, a project's `.sageox`, and where it is to lead.
    fn below(&self, dir: &Path) -> Vec<(PathBuf, &Path)> {
        let ledger = self.ledger.iter().map(|to| (dir.join("ledger"), to.as_path()));
        let teams = self.teams.iter().flat_map(|(id, to)| {
            let primary = (*id == self.primary).then_some(PRIMARY);
            [Some(id.as_str()), primary]
                .into_iter()
                .flatten()
                .map(|name| (dir.join("teams").join(name), to.as_path()))
        });
        ledger.chain(teams).collect()
    }

    /// Links in `teams` that are none of those, nor may be a team's that is not known yet.
    fn others(&self, dir: &Path) -> Vec<PathBuf> {
        let wanted = self.below(dir);
        let entries = std::fs::read_dir(dir.join("teams")).into_iter().flatten().flatten();
        let links = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_symlink())).map(|e| e.path());
        links.filter(|link| !wanted.iter().any(|(at, _)| at == link) && !self.may_be_right(link)).collect()
    }

    fn may_be_right(&self, link: &Path) -> bool {
        !self.all_known && link.join(".git").exists()
    }
}

/// Makes the links below `root` what `links` says. What is there and no link stays and is told; links of ours that lead to no team any
/// more are removed.
pub(super) fn ensure(root: &Path, links: &Links) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |done: io::Result<()>, path: &Path| {
        if let Err(e) = done {
            problems.push(format!("{}: {e}", path.display()));
        }
    };
    let dir = root.join(PROJECT_DIR);
    if !is_real_dir(&dir) {
        return problems;
    }
    let teams = dir.join("teams");
    let made = match std::fs::symlink_metadata(&teams) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Err(_) if links.teams.is_empty() => Ok(()),
        _ => std::fs::create_dir(&teams),
    };
    let goes_on = made.is_ok();
    note(made, &teams);
    for (at, to) in links.below(&dir).iter().filter(|(at, _)| goes_on || !at.starts_with(&teams)) {
        note(point(at, to), at);
    }
    if goes_on {
        links.others(&dir).iter().for_each(|other| note(std::fs::remove_file(other), other));
    }
    problems
}

/// A link that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongLink {
    /// Where it is, and what is wrong.
    pub text: String,
    /// Something that is no link is in its place; that stays.
    pub blocked: bool,
}

/// Which links below `root` are missing, lead elsewhere or are too many.
pub(super) fn wrong(root: &Path, links: &Links) -> Vec<WrongLink> {
    let dir = root.join(PROJECT_DIR);
    if !is_real_dir(&dir) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut note = |text: String, blocked: bool| found.push(WrongLink { text, blocked });
    for (at, to) in &links.below(&dir) {
        match std::fs::read_link(at) {
            Ok(there) if there == *to => {}
            Ok(there) => note(format!("{} leads to {}", at.display(), there.display()), false),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                note(format!("{} is missing", at.display()), false)
            }
            Err(_) => note(format!("{} is in the place of a link", at.display()), true),
        }
    }
    for other in links.others(&dir) {
        note(format!("{} leads to no team of this project", other.display()), false);
    }
    found
}

/// Makes a link that leads to `target`; right already = nothing to do, elsewhere = made anew, something else = an error.
fn point(link: &Path, target: &Path) -> io::Result<()> {
    match std::fs::read_link(link) {
        Ok(there) if there == target => return Ok(()),
        Ok(_) => std::fs::remove_file(link)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no link is in its place",
            ));
        }
        Err(e) => return Err(e),
    }
    symlink(target, link)
}

fn is_real_dir(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Links {
        let teams = vec![("a".into(), "/a".into())];
        Links { ledger: Some("/l".into()), teams, primary: String::new(), all_known: true }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn links_are_made_kept_moved_and_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path();
        let mut links = Links {
            ledger: Some("/data/l".into()),
            teams: vec![("a".into(), "/data/a".into()), ("b".into(), "/data/b".into())],
            primary: "b".into(),
            all_known: true,
        };
        assert!(ensure(root, &links).is_empty());
        assert!(!root.join(PROJECT_DIR).exists());
        assert!(wrong(root, &links).is_empty());
        std::fs::create_dir(root.join(PROJECT_DIR)).unwrap();
        assert_eq!(wrong(root, &links).len(), 4);
        for _ in 0..2 {
            assert!(ensure(root, &links).is_empty());
            assert_eq!(names(&root.join(".sageox/teams")), ["a", "b", "primary"]);
        }
        let to = |name: &str| std::fs::read_link(root.join(".sageox").join(name)).unwrap();
        assert_eq!((to("ledger"), to("teams/primary")), ("/data/l".into(), "/data/b".into()));
        links.ledger = Some("/elsewhere/l".into());
        links.teams.pop();
        assert_eq!(wrong(root, &links).len(), 3);
        assert!(ensure(root, &links).is_empty());
        assert_eq!(names(&root.join(".sageox/teams")), ["a"]);
        assert_eq!(to("ledger"), Path::new("/elsewhere/l"));
        assert!(wrong(root, &links).is_empty());
    }

    #[test]
    fn what_is_no_link_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path();
        std::fs::create_dir_all(root.join(".sageox/teams/a")).unwrap();
        std::fs::write(root.join(".sageox/ledger"), "mine").unwrap();
        let links = one_of_each();
        assert_eq!(ensure(root, &links).len(), 2);
        assert_eq!(wrong(root, &links).len(), 2);
        assert_eq!(std::fs::read_to_string(root.join(".sageox/ledger")).unwrap(), "mine");
        assert!(root.join(".sageox/teams/a").is_dir());
    }

    #[test]
    fn sec_03_no_link_in_a_project_leads_the_links_elsewhere() {
        let (tmp, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let links = one_of_each();
        symlink(outside.path(), tmp.path().join(PROJECT_DIR)).unwrap();
        ensure(tmp.path(), &links);
        std::fs::remove_file(tmp.path().join(PROJECT_DIR)).unwrap();
        std::fs::create_dir(tmp.path().join(PROJECT_DIR)).unwrap();
        symlink(outside.path(), tmp.path().join(".sageox/teams")).unwrap();
        assert_eq!(ensure(tmp.path(), &links).len(), 1);
        assert!(names(outside.path()).is_empty());
    }
}
