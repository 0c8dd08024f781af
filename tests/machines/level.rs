//! What must be true at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository};

use crate::machines::fleet::{Fleet, Machine, REPOS};
use crate::machines::person::{Written, has_markers};
use crate::support::census;

/// Whether every machine has the server's commit of every repository, with nothing uncommitted.
pub fn is_level(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    for (repo, name) in REPOS.iter().enumerate() {
        let server = fleet.host.git(fleet.bare(repo), ["rev-parse", "refs/heads/main"]);
        for (who, machine) in fleet.machines.iter().enumerate() {
            let head = machine.git(repo, &["rev-parse", "HEAD"]);
            let branch = machine.try_git(repo, &["symbolic-ref", "HEAD"]).stdout;
            let dirty = machine.git(repo, &["status", "--porcelain"]);
            if head != server || branch.trim() != "refs/heads/main" || !dirty.is_empty() {
                found.push(format!("machine {who} {name}: {head} {branch} server {server} dirty {dirty:?}"));
            }
        }
    }
    found
}

/// What git or we may have left in a clone and must not.
pub fn left_in(machine: &Machine, repo: usize) -> Vec<String> {
    let clone = &machine.clones[repo];
    let git = clone.join(".git");
    let mut found = Vec::new();
    for name in ["rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"] {
        if git.join(name).exists() {
            found.push(format!("{name} in {}", clone.display()));
        }
    }
    let stash = machine.git(repo, &["stash", "list"]);
    let pending = machine.git(repo, &["for-each-ref", "refs/ox/pending"]);
    for left in [stash, pending].iter().filter(|l| !l.is_empty()) {
        found.push(left.clone());
    }
    let is_left = |p: &Path| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        (p.starts_with(git.join("ox/hold")) && !p.is_dir())
            || (name.ends_with(".lock") && p.starts_with(&git))
    };
    found.extend(census::files(clone, &|p| is_left(p)).iter().map(|p| p.display().to_string()));
    found.extend(marked_files(clone).iter().map(|path| format!("conflict marker in {}", path.display())));
    let beside = clone.parent().into_iter().flat_map(|d| fs::read_dir(d).unwrap()).map(|e| e.unwrap().path());
    let known = |p: &PathBuf| machine.clones.contains(p);
    let name = clone.file_name().unwrap().to_string_lossy().into_owned();
    found.extend(
        beside
            .filter(|p| !known(p) && p.file_name().unwrap().to_string_lossy().starts_with(&name))
            .map(|p| format!("left beside: {}", p.display())),
    );
    found
}

/// The files of a work tree in which git has marked a conflict; also while they are being changed.
pub fn marked_files(clone: &Path) -> Vec<PathBuf> {
    let git = clone.join(".git");
    let files = census::files(clone, &|p| !p.starts_with(&git) && p.is_file());
    files.into_iter().filter(|p| fs::read(p).is_ok_and(|bytes| has_markers(&bytes))).collect()
}

/// The files of a work tree, conflict copies too.
fn files_of(clone: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let git = clone.join(".git");
    let files = census::files(clone, &|p| !p.starts_with(&git) && p.is_file());
    files.into_iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

/// All bytes that can still be found: in the history of the shared branch, in rescue refs, in work trees.
pub struct Found {
    marks: BTreeSet<String>,
    blobs: BTreeSet<Oid>,
}

impl Found {
    pub fn on(fleet: &Fleet) -> Found {
        let mut found = Found { marks: BTreeSet::new(), blobs: BTreeSet::new() };
        for repo in 0..REPOS.len() {
            found.history(&fleet.bare(repo), &["refs/heads/main"]);
            for machine in &fleet.machines {
                let clone = &machine.clones[repo];
                let refs = machine.git(repo, &["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
                found.history(clone, &refs.lines().collect::<Vec<_>>());
                files_of(clone).iter().for_each(|(_, bytes)| found.bytes(bytes));
            }
        }
        found
    }

    /// As [`Found::on`], also what is on its way: commits that are not pushed, what is staged, and files put aside.
    pub fn anywhere(fleet: &Fleet) -> Found {
        let mut found = Found::on(fleet);
        for machine in &fleet.machines {
            for clone in &machine.clones {
                found.history(clone, &["HEAD", "refs/heads/main"]);
                let held = census::files(&clone.join(".git/ox/hold"), &|p| p.is_file());
                held.iter().for_each(|p| found.bytes(&fs::read(p).unwrap()));
                found.index(clone);
            }
        }
        found
    }

    fn index(&mut self, clone: &Path) {
        let repo = Repository::open(clone).unwrap();
        let entries: Vec<Oid> = repo.index().unwrap().iter().map(|e| e.id).collect();
        entries.iter().filter_map(|id| repo.find_blob(*id).ok()).for_each(|blob| self.bytes(blob.content()));
    }

    /// Everything below these refs. A partial clone lacks contents; those are the server's, who has them all.
    fn history(&mut self, path: &Path, refs: &[&str]) {
        let repo = Repository::open(path).unwrap();
        let mut walk = repo.revwalk().unwrap();
        refs.iter().for_each(|r| walk.push_ref(r).unwrap());
        let mut seen = BTreeSet::new();
        for commit in walk {
            let mut trees = vec![repo.find_commit(commit.unwrap()).unwrap().tree_id()];
            while let Some(id) = trees.pop() {
                if !seen.insert(id) {
                    continue;
                }
                let Ok(tree) = repo.find_tree(id) else { continue };
                for entry in &tree {
                    if entry.kind() == Some(ObjectType::Tree) {
                        trees.push(entry.id());
                    } else if seen.insert(entry.id())
                        && let Ok(blob) = repo.find_blob(entry.id())
                    {
                        self.bytes(blob.content());
                    }
                }
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.blobs.insert(Oid::hash_object(ObjectType::Blob, bytes).unwrap());
        let text = String::from_utf8_lossy(bytes);
        for word in text.split(|c: char| c.is_whitespace() || c == '"').filter(|w| w.starts_with('@')) {
            self.marks.insert(word.to_owned());
        }
    }

    /// Where git last saw what was lost, how HEAD moved there, and what the daemon said: commits that no ref leads to any more are in
    /// the reflogs.
    pub fn trail(fleet: &Fleet, missing: &[String]) -> String {
        let mut trail = String::new();
        let mut told = BTreeSet::new();
        for lost in missing.iter().filter(|m| told.insert(m.split_once(' ').map(|(_, what)| what.to_owned())))
        {
            let mark = lost.split(' ').next().unwrap_or_default();
            let pick =
                if mark.starts_with('@') { format!("-S{mark}") } else { format!("--find-object={mark}") };
            for (who, machine) in fleet.machines.iter().enumerate() {
                for (repo, name) in REPOS.iter().enumerate() {
                    let args = ["log", "--all", "--reflog", &pick, "--stat", "--format=%h %aI %s %d"];
                    let ran = machine.try_git(repo, &args);
                    let moves =
                        machine.try_git(repo, &["reflog", "--date=iso-strict", "--format=%gd %h %gs"]);
                    let moves = if ran.stdout.is_empty() { "" } else { &moves.stdout };
                    for line in ran.stdout.lines().chain(moves.lines()) {
                        trail.push_str(&format!("{lost}: machine {who} {name}: {line}\n"));
                    }
                }
            }
        }
        let logs = fleet.machines.iter().map(Machine::log).collect::<Vec<_>>();
        trail + &logs.join("\n----\n")
    }

    /// What was written and is nowhere, but for what git may have written over.
    pub fn missing(&self, written: &Written) -> Vec<String> {
        let gone = self.gone(written).into_iter().filter(|(what, _)| !written.moments.contains(what));
        gone.map(|(what, of)| format!("{what} of {of}")).collect()
    }

    /// How much is nowhere that git may have written over.
    pub fn overwritten(&self, written: &Written) -> usize {
        self.gone(written).iter().filter(|(what, _)| written.moments.contains(what)).count()
    }

    fn gone<'w>(&self, written: &'w Written) -> Vec<(String, &'w str)> {
        let marks = written.marks.iter().filter(|(m, _)| !self.marks.contains(*m));
        let blobs = written.blobs.iter().filter(|(id, _)| !self.blobs.contains(id));
        let marks = marks.map(|(m, of)| (m.clone(), of.as_str()));
        marks.chain(blobs.map(|(id, of)| (id.to_string(), of.as_str()))).collect()
    }
}
