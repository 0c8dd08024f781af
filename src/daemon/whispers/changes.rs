//! What workers tell of changed files, and what they hear of uncommitted ones. Every function here touches a disk.

use std::path::Path;

use super::event::NoteOutcome;
use super::notes::{TreeState, changes_murmur, named};
use super::worker::WhisperWorker;
use crate::git::{Reader as Clone, WorkTree};
use crate::project::Project;
use crate::project::settings::Settings;
use crate::whispers::{FileChanges, Murmur, Outbox, Scope, Uncommitted, Whisper};

/// Agents of this machine that a note about changed files names to itself as its authors.
const AUTHORS_MAX: usize = 20;
/// Changed files that are compared with what is committed; of more, nobody is warned.
const COMPARED_MAX: usize = 500;

impl WhisperWorker {
    /// Keeps what murmurs of a ledger say about uncommitted files.
    pub(super) fn heard(&self, state: &Path, murmurs: &[Murmur]) {
        let _one_at_a_time = self.uncommitted.lock();
        let mut known = Uncommitted::load(state);
        let new = murmurs.iter().filter(|murmur| known.take_in(murmur)).count();
        if new > 0
            && let Err(e) = known.save(state, self.now().wall)
        {
            log::warn!("agents are not warned of uncommitted files of others: {e}");
        }
    }

    /// What of a work tree is uncommitted, of what changed there and what was told before; `None` where that cannot be told.
    fn tree_state(&self, state: &Path, root: &Path, changes: &FileChanges) -> Option<TreeState> {
        let known = {
            let _one_at_a_time = self.uncommitted.lock();
            let mut known = Uncommitted::load(state);
            // From now on this machine has its name.
            if !Uncommitted::path(state).exists()
                && let Err(e) = known.save(state, self.now().wall)
            {
                log::warn!("which changed files are uncommitted is not told: {e}");
                return None;
            }
            known
        };
        let tree = known.tree(root);
        let before = known.of(&tree);
        let mut asked = before.clone();
        asked.extend(changes.paths().take(COMPARED_MAX).map(str::to_owned));
        match WorkTree::open(root).and_then(|work_tree| work_tree.uncommitted(&asked)) {
            Ok(files) => {
                let clean = before.difference(&files).cloned().collect();
                Some(TreeState { tree, files, clean })
            }
            Err(e) => {
                log::warn!("which changed files are uncommitted is not told: {e}");
                None
            }
        }
    }

    /// Has a note about changed files wait to be committed, and tells it to the agents of this machine. Also answers whether others know of
    /// uncommitted files there from now on.
    pub(super) fn tell_changes(
        &self,
        state: &Path,
        root: &Path,
        agents: &[String],
        changes: &FileChanges,
    ) -> (NoteOutcome, bool) {
        let project = match Project::load(root, &self.site.env) {
            Ok(project) => project,
            Err(e) => {
                log::warn!("changed files are not told: {e}");
                return (NoteOutcome::Failed, true);
            }
        };
        let (settings, _) = Settings::load(&self.site.env, &self.site.dirs, Some(&project));
        if !settings.murmurs_by_itself() {
            return (NoteOutcome::Unwanted, false);
        }
        let now = self.now();
        let tree = self.tree_state(state, root, changes);
        let uncommitted = tree.as_ref().is_none_or(|tree| !tree.files.is_empty());
        if changes.is_empty() && tree.as_ref().is_none_or(|tree| tree.clean.is_empty()) {
            return (NoteOutcome::Nothing, uncommitted);
        }
        let head = Clone::open(root).and_then(|reader| reader.head()).ok().and_then(|head| head.branch);
        let branch = head.as_deref().and_then(|name| name.strip_prefix("refs/heads/"));
        let mut murmur = changes_murmur(changes, branch, tree.as_ref(), &named(agents), now.wall);
        murmur.redact(&self.redactor(&project), &self.home());
        // Here it is known who they all were: none of them hears of what it did itself.
        let mut whisper = Whisper::of(&murmur, &Scope::Ledger);
        if agents.len() > 2 {
            whisper.agent_id =
                agents.iter().take(AUTHORS_MAX).map(String::as_str).collect::<Vec<_>>().join(",");
        }
        let kept =
            Outbox::of(state).put(&murmur).and_then(|()| self.stores.of(state).take_in(now, &[whisper], &[]));
        match kept {
            Ok(_) => {
                // For agents in other work trees of this machine.
                self.heard(state, std::slice::from_ref(&murmur));
                (NoteOutcome::Kept, uncommitted)
            }
            Err(e) => {
                log::warn!("changed files are not told: {e}");
                (NoteOutcome::Failed, true)
            }
        }
    }
}
