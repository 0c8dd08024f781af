//! Work trees in which agents are at work: when they are looked into, and when what changed there is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::core::Core;
use super::event::{Effect, Id, Key};
use super::schedule::{Beat, TELL_CHANGES_EVERY};
use super::status::watching;
use super::whispers;
use crate::health::IssueKind;
use crate::health::issues::Healed;
use crate::ipc::wire::WatchingStatus;
use crate::kit::clock::{Mono, Now};
use crate::watch::{self, Batch, Machine, Pulse, Report, RootId};
use crate::whispers::FileChanges;
use crate::whispers::file_changes::{Kind, SWITCH_MIN};

/// A watched work tree.
#[derive(Debug)]
pub(super) struct Tree {
    root: RootId,
    machine: Machine,
    /// What waits to be told.
    changes: FileChanges,
}

/// All of them, by project.
#[derive(Debug, Default)]
pub(super) struct Trees {
    by_id: BTreeMap<Id, Tree>,
    last: u32,
}

impl Trees {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How a project's tree is watched, if it is.
    pub(super) fn status(&self, id: &Id, now: Now) -> Option<WatchingStatus> {
        self.by_id.get(id).map(|tree| watching(&tree.machine.counters(), tree.changes.count(), now))
    }

    fn of(&mut self, root: RootId) -> Option<(&Id, &mut Tree)> {
        self.by_id.iter_mut().find(|(_, tree)| tree.root == root)
    }
}

/// An agent is at work in a project: its tree is watched from now on.
pub(super) fn watch(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get(id).filter(|_| !core.trees.by_id.contains_key(id)) else { return };
    core.trees.last += 1;
    let root = RootId(core.trees.last);
    // The wall clock tells the machines of different processes apart.
    let instance = u64::try_from(now.wall.as_nanosecond()).unwrap_or_default();
    let tree =
        Tree { root, machine: Machine::new(root, instance, now.mono), changes: FileChanges::default() };
    core.out.push(Effect::WatchTree { root, path: project.root.clone() });
    core.trees.by_id.insert(id.clone(), tree);
    core.deadlines.set(Beat::Changes(id.clone()), Some(now.mono + TELL_CHANGES_EVERY));
    handle(core, now, id, watch::Event::Due);
}

/// Nobody is at work there any more, or the project is let go of: what waits is told.
pub(super) fn forget(core: &mut Core, now: Now, id: &Id) {
    // What has not settled by now never does.
    handle(core, now, id, watch::Event::Ending);
    let told = tell_changes(core, id, now.mono);
    let Some(tree) = core.trees.by_id.remove(id) else { return };
    // What a look finds that is still under way is told by the next who watches.
    let told = told && tree.machine.is_idle();
    core.deadlines.remove(&Beat::Tree(id.clone()));
    core.deadlines.remove(&Beat::Changes(id.clone()));
    core.out.push(Effect::ForgetTree { root: tree.root, told });
}

/// Something happened in a tree.
pub(super) fn pulse(core: &mut Core, now: Now, root: RootId, pulse: Pulse) {
    if let Some(id) = core.trees.of(root).map(|(id, _)| id.clone()) {
        handle(core, now, &id, watch::Event::Pulse(pulse));
    }
}

/// A look into a tree has ended; `None` if it did not run.
pub(super) fn looked(core: &mut Core, now: Now, root: RootId, report: Option<Box<Report>>) {
    if let Some(id) = core.trees.of(root).map(|(id, _)| id.clone()) {
        handle(core, now, &id, report.map_or(watch::Event::NotRun, watch::Event::Done));
    }
}

/// It is time to look into a tree.
pub(super) fn due(core: &mut Core, now: Now, id: &Id) {
    handle(core, now, id, watch::Event::Due);
}

/// The machine slept.
pub(super) fn jumped(core: &mut Core, now: Now) {
    let ids: Vec<Id> = core.trees.by_id.keys().cloned().collect();
    for id in ids {
        handle(core, now, &id, watch::Event::Jumped);
    }
}

/// It is time to tell what changed in a tree; one in which nobody is at work any more is let go of.
pub(super) fn tell_due(core: &mut Core, now: Now, id: &Id) {
    tell(core, now, id);
    if whispers::at_work(core, id, now.mono).is_empty() {
        forget(core, now, id);
    } else {
        core.deadlines.set(Beat::Changes(id.clone()), Some(now.mono + TELL_CHANGES_EVERY));
    }
}

fn handle(core: &mut Core, now: Now, id: &Id, event: watch::Event) {
    let Some(tree) = core.trees.by_id.get_mut(id) else { return };
    let root = tree.root;
    let before = tree.machine.counters();
    let effects = tree.machine.handle(now.mono, event);
    if tree.machine.counters() != before
        && let Some(project) = core.projects.get_mut(id)
    {
        project.beaten = true;
    }
    core.deadlines.set(Beat::Tree(id.clone()), tree.machine.next_deadline());
    for effect in effects {
        match effect {
            watch::Effect::Run(task) => core.out.push(Effect::LookAtTree { root, task }),
            watch::Effect::Settled(batch) => settled(core, id, &batch),
            watch::Effect::Trouble(reason) => {
                let Some(repo) = core.repos.get_mut(&Key::Ledger(id.clone())) else { continue };
                match reason {
                    Some(reason) => repo.raise(IssueKind::WatchLimit, reason.advice(), now),
                    None => {
                        repo.issues.heal(&repo.name, Healed::Watched);
                    }
                }
                core.changed(&Key::Ledger(id.clone()));
            }
            // Nobody has subscribed to these.
            watch::Effect::Early(_) | watch::Effect::Flushed { .. } => {}
        }
    }
}

/// Changes have settled: they wait to be told with those that come until then.
fn settled(core: &mut Core, id: &Id, batch: &Batch) {
    let Some(tree) = core.trees.by_id.get_mut(id) else { return };
    match batch.head_moved {
        Some(moved) if batch.changes.len() > SWITCH_MIN => {
            let name =
                |at: Option<git2::Oid>| at.map_or("nothing".into(), |at| at.to_string()[..10].to_string());
            tree.changes.switch(&name(moved.old), &name(moved.new));
        }
        _ => {
            for change in &batch.changes {
                tree.changes.add(&String::from_utf8_lossy(&change.path), kind(change.kind));
            }
        }
    }
    if let Some(project) = core.projects.get_mut(id) {
        project.beaten = true;
    }
}

fn kind(kind: watch::Kind) -> Kind {
    match kind {
        watch::Kind::Created => Kind::Created,
        watch::Kind::Modified => Kind::Modified,
        watch::Kind::Deleted => Kind::Deleted,
        watch::Kind::Renamed => Kind::Renamed,
    }
}

fn tell(core: &mut Core, now: Now, id: &Id) {
    // What is settled by now is told as well.
    handle(core, now, id, watch::Event::Due);
    if tell_changes(core, id, now.mono) {
        handle(core, now, id, watch::Event::Told);
    }
}

/// False if there is nobody to tell.
fn tell_changes(core: &mut Core, id: &Id, now: Mono) -> bool {
    let agents = whispers::at_work(core, id, now);
    let Some(state) = whispers::ledger_state(core, id) else { return false };
    let (Some(tree), Some(project)) = (core.trees.by_id.get_mut(id), core.projects.get(id)) else {
        return false;
    };
    let changes = std::mem::take(&mut tree.changes);
    if changes.is_empty() {
        return true;
    }
    let root: PathBuf = project.root.clone();
    let key = Key::Ledger(id.clone());
    core.out.push(Effect::TellChanges { key, state, root, agents, changes: Box::new(changes) });
    true
}
