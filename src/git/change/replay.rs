//! Replaying own commits on the remote's, in the object database: each commit's change is applied to the tree that the one before it got.
//! Index, files and refs stay as they are, so whoever looks sees the clone before it or after it, and a conflict that no rule decides is
//! found before anything has changed. A kill leaves objects that nothing names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{Commit, FileMode, MergeOptions, ObjectType, Oid, Repository, Sort, Tree};

use super::merge::{merge_lines, merge_modes};
use super::resolve::{ResolveRules, winner};
use crate::git::clone::seed::SEED;
use crate::git::entry::{EXEC, Entry, GITLINK, LINK, blobs, entry, path_of};
use crate::git::error::GitError;
use crate::git::limits::{KNOWN_CHANGES_MAX, MERGE_CAP, REPLAY_MAX};
use crate::git::lock::OpKind;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::read::unmerged;

/// What differs between two trees, by path: what was there, and what is.
type Changes = BTreeMap<PathBuf, (Entry, Entry)>;

/// What came of a replay.
pub(in crate::git) struct Replayed {
    /// The last of the new commits; the remote's where nothing was left to say.
    pub(in crate::git) tip: Oid,
    /// Paths whose conflict the rules decided.
    pub(in crate::git) auto_resolved: Vec<PathBuf>,
}

/// A replay under way.
struct Replay<'r> {
    repo: &'r Repository,
    rules: &'r ResolveRules,
    upstream: Oid,
    committer: String,
    /// Changes that the remote has made since both sides parted.
    known: HashSet<Changes>,
    /// What became of each own commit.
    done: HashMap<Oid, Oid>,
    decided: BTreeSet<PathBuf>,
}

impl ManagedClone<'_> {
    /// Writes HEAD's own commits anew on top of the remote's; where merges among them have brought in commits of the remote, so that one
    /// change may stand in several of them, writes one merge of both sides instead.
    pub(in crate::git) fn replay(
        &mut self,
        branch: &str,
        rules: &ResolveRules,
        head: Oid,
        upstream: Oid,
    ) -> Result<Replayed, GitError> {
        let reader = self.reader()?;
        let repo = reader.repo();
        let what = || GitError::git2("listing own commits");
        let seed = self.own_seed(head, upstream)?;
        let own = own_commits(repo, head, upstream, seed).map_err(what())?;
        if own.len() > REPLAY_MAX {
            return Err(GitError::TooManyCommits);
        }
        if reader.is_partial() {
            let wanted = contested(repo, &own, upstream).map_err(what())?;
            let standing = Standing { upstream: Some(upstream), ..Standing::at(Some(head)) };
            self.within(OpKind::Fetch, branch, &standing, |c| c.ensure_objects(&wanted))?;
        }
        let mut replay = Replay {
            repo,
            rules,
            upstream,
            committer: self.committer()?,
            known: known_changes(repo, head, upstream).map_err(what())?,
            done: HashMap::new(),
            decided: BTreeSet::new(),
        };
        let tip = if begins_once(&own, seed) {
            match self.replay_all(&mut replay, &own) {
                Ok(()) => replay.onto(head),
                // What a person has settled in a merge of their own is not asked for again.
                Err(GitError::Conflict(_)) if own.iter().any(|c| c.parent_count() > 1) => {
                    replay.decided.clear();
                    replay.merge(head)?
                }
                Err(e) => return Err(e),
            }
        } else {
            replay.merge(head)?
        };
        Ok(Replayed { tip, auto_resolved: replay.decided.into_iter().collect() })
    }

    fn replay_all(&self, replay: &mut Replay<'_>, own: &[Commit<'_>]) -> Result<(), GitError> {
        for commit in own {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled("replay"));
            }
            let new = replay.step(commit)?;
            replay.done.insert(commit.id(), new);
        }
        Ok(())
    }

    /// Writes a commit with the files of `tip` to which `head` may be fast-forwarded. It leads to `tip` as well, so that whatever somebody
    /// builds on it before the branch has gone on stands on all commits of both.
    pub(in crate::git) fn bridge(&self, head: Oid, tip: Oid) -> Result<Oid, GitError> {
        let reader = self.reader()?;
        let repo = reader.repo();
        let tree = repo.find_commit(tip).map_err(GitError::git2("reading a commit"))?.tree_id();
        write_merge(repo, tree, [tip, head], &self.committer()?, &format!("ox: on the way to {tip}"))
    }

    /// The first commit that we made on an empty remote, if HEAD stands on it and the remote's does not.
    pub(in crate::git) fn own_seed(&self, head: Oid, upstream: Oid) -> Result<Option<Oid>, GitError> {
        let reader = self.reader()?;
        let Some(seed) = reader.target(SEED)? else { return Ok(None) };
        let ours = reader.is_ancestor(seed, head)? && !reader.is_ancestor(seed, upstream)?;
        Ok(ours.then_some(seed))
    }
}

impl Replay<'_> {
    /// What an own commit has become; any other one is part of the remote's history.
    fn onto(&self, commit: Oid) -> Oid {
        self.done.get(&commit).copied().unwrap_or(self.upstream)
    }

    /// Replays one commit; one that has nothing left to say becomes what it stands on, and so does one that the remote has already, perhaps
    /// with another change or its own taking back on top.
    fn step(&mut self, commit: &Commit<'_>) -> Result<Oid, GitError> {
        let what = || GitError::git2("reading a commit");
        let tree_of = |id: Oid| self.repo.find_commit(id).and_then(|c| c.tree());
        let first = commit.parent_ids().next();
        let base = first.map(tree_of).transpose().map_err(what())?;
        let on = first.map_or(self.upstream, |parent| self.onto(parent));
        let (ours, theirs) = (tree_of(on).map_err(what())?, commit.tree().map_err(what())?);
        let parents = self.parents(commit)?;
        let said_something = base.as_ref().is_none_or(|base| base.id() != theirs.id());
        if commit.parent_count() == 1 && said_something {
            let changes = changes(self.repo, base.as_ref(), &theirs).map_err(what())?;
            if self.known.contains(&changes) {
                return Ok(on);
            }
        }
        let tree = self.apply(base.as_ref(), &ours, &theirs)?;
        if let [only] = parents[..]
            && said_something
            && tree == tree_of(only).map_err(what())?.id()
        {
            return Ok(only);
        }
        let text = rewritten(commit, tree, &parents, &self.committer);
        write_commit(self.repo, &text)
    }

    /// The parents of a replayed commit: those of the commit as they are now, without such as others lead to anyway.
    fn parents(&self, commit: &Commit<'_>) -> Result<Vec<Oid>, GitError> {
        let mut parents: Vec<Oid> = Vec::new();
        for parent in commit.parent_ids().map(|id| self.onto(id)) {
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        if parents.is_empty() {
            parents.push(self.upstream);
        }
        let all = parents.clone();
        let is_led_to =
            |one: &Oid| all.iter().any(|other| self.repo.graph_descendant_of(*other, *one).unwrap_or(false));
        parents.retain(|one| !is_led_to(one));
        Ok(parents)
    }

    /// One merge of both sides instead of a replay.
    fn merge(&mut self, head: Oid) -> Result<Oid, GitError> {
        let what = || GitError::git2("merging commits");
        let (repo, upstream) = (self.repo, self.upstream);
        let commit = |id: Oid| repo.find_commit(id).map_err(what());
        let tree = |id: Oid| commit(id)?.tree().map_err(what());
        let bases = repo.merge_bases(head, upstream).map_err(what())?;
        let merged = if let [base] = bases[..] {
            self.apply(Some(&tree(base)?), &tree(upstream)?, &tree(head)?)?
        } else {
            // Each side has merged the other before: the library merges what they have in common first.
            let mut options = MergeOptions::new();
            options.find_renames(false);
            let index = repo.merge_commits(&commit(upstream)?, &commit(head)?, Some(&options));
            let mut index = index.map_err(what())?;
            let paths = unmerged(&index)?;
            if !paths.is_empty() {
                return Err(GitError::Conflict(paths));
            }
            index.write_tree_to(repo).map_err(what())?
        };
        write_merge(repo, merged, [head, upstream], &self.committer, "Merge the remote's commits")
    }

    /// Applies what `theirs` changed since `base` to `ours`.
    fn apply(
        &mut self,
        base: Option<&Tree<'_>>,
        ours: &Tree<'_>,
        theirs: &Tree<'_>,
    ) -> Result<Oid, GitError> {
        if base.is_some_and(|base| base.id() == ours.id()) {
            return Ok(theirs.id());
        }
        let changes = changes(self.repo, base, theirs).map_err(GitError::git2("comparing trees"))?;
        let (mut gone, mut there, mut undecided) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (path, (old, new)) in changes {
            let our = entry(Some(ours), &path);
            let result = if our == old { new } else { self.settle(&path, old, our, new, &mut undecided)? };
            if result == our {
                continue;
            }
            let is_link = |entry: Entry| entry.is_some_and(|(mode, _)| mode == GITLINK);
            // The library puts no file in the place of another repository, nor the other way round.
            if result.is_none() || (our.is_some() && is_link(our) != is_link(result)) {
                gone.push(path.clone());
            }
            if let Some(entry) = result {
                there.insert(path, entry);
            }
        }
        let without = updated(self.repo, ours, &gone, &BTreeMap::new())?;
        undecided.extend(there.keys().filter(|path| !has_room(&without, path)).cloned());
        if !undecided.is_empty() {
            return Err(GitError::Conflict(undecided));
        }
        updated(self.repo, &without, &[], &there).map(|tree| tree.id())
    }

    /// Settles a path that both sides have changed.
    fn settle(
        &mut self,
        path: &Path,
        old: Entry,
        our: Entry,
        new: Entry,
        undecided: &mut Vec<PathBuf>,
    ) -> Result<Entry, GitError> {
        if our == new {
            return Ok(our);
        }
        if let (Some(old), Some(our), Some(new)) = (old, our, new)
            && let Some(merged) = self.merge_contents(path, old, our, new)?
        {
            return Ok(Some(merged));
        }
        if !self.rules.is_auto(path) {
            undecided.push(path.to_owned());
            return Ok(our);
        }
        self.decided.insert(path.to_owned());
        Ok(winner(self.repo, our, new))
    }

    fn merge_contents(
        &self,
        path: &Path,
        old: (u32, Oid),
        our: (u32, Oid),
        new: (u32, Oid),
    ) -> Result<Option<(u32, Oid)>, GitError> {
        let Some(mode) = merge_modes(old.0, our.0, new.0) else { return Ok(None) };
        if our.1 == new.1 || old.1 == new.1 {
            return Ok(Some((mode, our.1)));
        }
        if old.1 == our.1 {
            return Ok(Some((mode, new.1)));
        }
        let odb = self.repo.odb().map_err(GitError::git2("opening the objects"))?;
        let mut versions = Vec::new();
        for (_, id) in [old, our, new] {
            let (size, _) = odb.read_header(id).map_err(GitError::git2("reading a file"))?;
            if size > MERGE_CAP {
                return Ok(None);
            }
            versions.push(odb.read(id).map_err(GitError::git2("reading a file"))?);
        }
        let [old, our, new] = &versions[..] else { return Ok(None) };
        let json = path.extension().is_some_and(|e| e == "json");
        let Some(bytes) = merge_lines(old.data(), our.data(), new.data(), json)? else { return Ok(None) };
        let id = self.repo.blob(&bytes).map_err(GitError::git2("writing a merged file"))?;
        Ok(Some((mode, id)))
    }
}

/// The commits that `head` has and `upstream` and `seed` have not, oldest first; one more than are replayed where there are too many.
fn own_commits(
    repo: &Repository,
    head: Oid,
    upstream: Oid,
    seed: Option<Oid>,
) -> Result<Vec<Commit<'_>>, git2::Error> {
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(head)?;
    walk.hide(upstream)?;
    if let Some(seed) = seed {
        walk.hide(seed)?;
    }
    walk.take(REPLAY_MAX + 1).map(|id| repo.find_commit(id?)).collect()
}

/// Whether own commits set out from one commit of the remote only. Where they do from several, a merge among them has brought commits of
/// the remote in, which are no change of its own.
fn begins_once(own: &[Commit<'_>], seed: Option<Oid>) -> bool {
    let ids: HashSet<Oid> = own.iter().map(Commit::id).collect();
    let parents = own.iter().flat_map(Commit::parent_ids);
    let begins: HashSet<Oid> = parents.filter(|id| !ids.contains(id) && Some(*id) != seed).collect();
    begins.len() <= 1
}

/// What single commits of the remote have changed since `head` parted from it, of the newest ones.
fn known_changes(repo: &Repository, head: Oid, upstream: Oid) -> Result<HashSet<Changes>, git2::Error> {
    let mut walk = repo.revwalk()?;
    walk.push(upstream)?;
    walk.hide(head)?;
    let mut known = HashSet::new();
    for id in walk.take(KNOWN_CHANGES_MAX) {
        let commit = repo.find_commit(id?)?;
        // History may be cut off below.
        let Ok(parent) = commit.parent(0) else { continue };
        if commit.parent_count() == 1 {
            known.insert(changes(repo, Some(&parent.tree()?), &commit.tree()?)?);
        }
    }
    Ok(known)
}

/// The contents that a replay has to look into: of paths where the remote has neither what an own commit found nor what it left.
fn contested(repo: &Repository, own: &[Commit<'_>], upstream: Oid) -> Result<Vec<Oid>, git2::Error> {
    let remote = repo.find_commit(upstream)?.tree()?;
    let mut wanted = Vec::new();
    for commit in own {
        let base = commit.parents().next().map(|parent| parent.tree()).transpose()?;
        for (path, (old, new)) in changes(repo, base.as_ref(), &commit.tree()?)? {
            let there = entry(Some(&remote), &path);
            if there != old && there != new {
                wanted.extend(blobs([old, new, there]));
            }
        }
    }
    Ok(wanted)
}

fn changes(repo: &Repository, from: Option<&Tree<'_>>, to: &Tree<'_>) -> Result<Changes, git2::Error> {
    let diff = repo.diff_tree_to_tree(from, Some(to), None)?;
    let path = |delta: git2::DiffDelta<'_>| {
        delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes()).map(path_of)
    };
    let paths = diff.deltas().filter_map(path);
    Ok(paths.map(|path| (path.clone(), (entry(from, &path), entry(Some(to), &path)))).collect())
}

/// A tree without some paths and with others; a directory that is left empty goes.
pub(super) fn updated<'r>(
    repo: &'r Repository,
    tree: &Tree<'_>,
    gone: &[PathBuf],
    there: &BTreeMap<PathBuf, (u32, Oid)>,
) -> Result<Tree<'r>, GitError> {
    let mut update = TreeUpdateBuilder::new();
    let any = gone.len() + there.len() > 0;
    for path in gone {
        update.remove(path);
    }
    for (path, (mode, id)) in there {
        let mode = match *mode {
            EXEC => FileMode::BlobExecutable,
            LINK => FileMode::Link,
            GITLINK => FileMode::Commit,
            _ => FileMode::Blob,
        };
        update.upsert(path, *id, mode);
    }
    let id = if any { update.create_updated(repo, tree) } else { Ok(tree.id()) };
    id.and_then(|id| repo.find_tree(id)).map_err(GitError::git2("writing a tree"))
}

/// Whether a file may be at `path`: no directory is, and no file in place of a directory above it.
fn has_room(tree: &Tree<'_>, path: &Path) -> bool {
    let is =
        |path: &Path, kind| tree.get_path(path).is_ok_and(|e| (e.kind() == Some(ObjectType::Tree)) == kind);
    let above = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    !is(path, true) && !above.into_iter().any(|dir| is(dir, false))
}

/// A commit with other tree, parents and committer; author, encoding and message stay byte for byte. A signature would not hold any more.
pub(super) fn rewritten(commit: &Commit<'_>, tree: Oid, parents: &[Oid], committer: &str) -> Vec<u8> {
    let mut text = format!("tree {tree}\n").into_bytes();
    for parent in parents {
        text.extend(format!("parent {parent}\n").into_bytes());
    }
    let header = commit.raw_header_bytes();
    let line = |name: &[u8]| header.split(|b| *b == b'\n').find(|line| line.starts_with(name));
    text.extend_from_slice(line(b"author ").unwrap_or_default());
    text.extend(format!("\ncommitter {committer}\n").into_bytes());
    if let Some(encoding) = line(b"encoding ") {
        text.extend([encoding, b"\n"].concat());
    }
    text.push(b'\n');
    text.extend_from_slice(commit.message_raw_bytes());
    text
}

/// Writes a commit of ours, by `who`, that leads to two others.
fn write_merge(
    repo: &Repository,
    tree: Oid,
    [one, other]: [Oid; 2],
    who: &str,
    message: &str,
) -> Result<Oid, GitError> {
    let parents = format!("parent {one}\nparent {other}\n");
    let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n");
    write_commit(repo, text.as_bytes())
}

pub(super) fn write_commit(repo: &Repository, text: &[u8]) -> Result<Oid, GitError> {
    let odb = repo.odb().map_err(GitError::git2("opening the objects"))?;
    odb.write(ObjectType::Commit, text).map_err(GitError::git2("writing a commit"))
}
