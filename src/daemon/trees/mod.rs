//! Work trees in which agents are at work: when they are scanned, and when what changed there is told.

pub mod event;
pub(super) mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::cx::Cx;
use super::fact::Fact;
use super::names::{Id, Key};
use crate::health::issues::Healed;
use crate::health::{Issue, IssueKind, Issues};
use crate::ipc::wire::WatchingStatus;
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::sync::LEDGER;
use crate::watch::{self, Batch, Counters, Machine, Pulse, Report, RootId};
use crate::whispers::FileChanges;
use crate::whispers::file_changes::{Kind, SWITCH_MIN};
use event::{Effect, Event, Timer, Told};

/// What changed in a work tree is told this often, and a tree in which nobody is at work any more is let go of (whispers and watching,
/// 11.1).
pub const TELL_CHANGES_EVERY: Duration = Duration::from_secs(10 * 60);

/// A watched work tree.
#[derive(Debug)]
struct Tree {
    root: RootId,
    machine: Machine,
    /// What waits to be told.
    changes: FileChanges,
    /// Others may believe that files are uncommitted here; what an earlier process told is not known.
    uncommitted: bool,
    issues: Issues,
}

/// All of them, by project.
#[derive(Debug, Default)]
pub(super) struct Trees {
    by_id: BTreeMap<Id, Tree>,
    last: u32,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Trees(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Trees(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Trees(timer)
    }
}

impl Trees {
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Hinted => {}
            Event::Pulse(root, pulse) => self.pulse(cx, root, pulse),
            Event::Scanned(root, report) => self.scanned(cx, root, report),
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Scan(id) => self.step(cx, &id, watch::Event::Due),
            Timer::Changes(id) => self.tell_due(cx, &id),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Heard { id, agent: true, .. } => self.watch(cx, id),
            // The next word of an agent has it watched where it is.
            Fact::Detached { id, .. } | Fact::Moved(id) => self.forget(cx, id),
            Fact::TreeTold { key: Key::Ledger(id), failed, uncommitted } => {
                self.told(cx, id, failed.as_ref(), *uncommitted);
            }
            Fact::TreeLeft { root, told } => cx.push(Effect::Forget { root: *root, told: told.clone() }),
            Fact::Jumped => {
                let ids: Vec<Id> = self.by_id.keys().cloned().collect();
                ids.iter().for_each(|id| self.step(cx, id, watch::Event::Jumped));
            }
            _ => {}
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How a project's tree is watched, if it is.
    pub(super) fn status(&self, id: &Id, now: Now) -> Option<WatchingStatus> {
        self.by_id.get(id).map(|tree| watching(&tree.machine.counters(), tree.changes.count(), now))
    }

    /// The issues of a project's tree.
    pub(super) fn issues_of(&self, id: &Id) -> Vec<Issue> {
        self.by_id.get(id).map(|tree| tree.issues.sorted()).unwrap_or_default()
    }

    /// An agent is at work in a project: its tree is watched from now on.
    fn watch(&mut self, cx: &mut Cx, id: &Id) {
        let Some(project) = cx.shared.project(id).filter(|_| !self.by_id.contains_key(id)) else { return };
        self.last += 1;
        let root = RootId(self.last);
        // The wall clock tells the machines of different processes apart.
        let instance = u64::try_from(cx.now.wall.as_nanosecond()).unwrap_or_default();
        let tree = Tree {
            root,
            machine: Machine::new(root, instance, cx.now.mono),
            changes: FileChanges::default(),
            uncommitted: true,
            issues: Issues::default(),
        };
        let path = project.root.clone();
        cx.push(Effect::Watch { root, path });
        self.by_id.insert(id.clone(), tree);
        cx.set_in(Timer::Changes(id.clone()), TELL_CHANGES_EVERY);
        self.step(cx, id, watch::Event::Due);
    }

    /// Nobody is at work there any more, or the project is let go of: what waits is told.
    fn forget(&mut self, cx: &mut Cx, id: &Id) {
        // What has not settled by now never does.
        self.step(cx, id, watch::Event::Ending);
        let (receipt, is_told) = bounded(1);
        let telling = self.tell_changes(cx, id, Some(receipt));
        let Some(tree) = self.by_id.remove(id) else { return };
        let told = match telling {
            // What a scan finds that is still under way is told by the next who watches.
            _ if !tree.machine.is_idle() => Told::No,
            Telling::Nobody => Told::No,
            Telling::Nothing => Told::All,
            Telling::Begun => Told::When(is_told),
        };
        cx.set(Timer::Scan(id.clone()), None);
        cx.set(Timer::Changes(id.clone()), None);
        // Behind what is to be told.
        cx.tell(Fact::TreeLeft { root: tree.root, told });
    }

    fn id_of(&self, root: RootId) -> Option<Id> {
        self.by_id.iter().find(|(_, tree)| tree.root == root).map(|(id, _)| id.clone())
    }

    /// Something happened in a tree.
    fn pulse(&mut self, cx: &mut Cx, root: RootId, pulse: Pulse) {
        if let Some(id) = self.id_of(root) {
            self.step(cx, &id, watch::Event::Pulse(pulse));
        }
    }

    /// A scan of a tree has ended; `None` if it did not run.
    fn scanned(&mut self, cx: &mut Cx, root: RootId, report: Option<Box<Report>>) {
        if let Some(id) = self.id_of(root) {
            self.step(cx, &id, report.map_or(watch::Event::NotRun, watch::Event::Done));
        }
    }

    /// It is time to tell what changed in a tree; one in which nobody is at work any more is let go of.
    fn tell_due(&mut self, cx: &mut Cx, id: &Id) {
        // What is settled by now is told as well.
        self.step(cx, id, watch::Event::Due);
        if self.tell_changes(cx, id, None) == Telling::Nothing {
            self.step(cx, id, watch::Event::Told);
        }
        if cx.shared.at_work(id, cx.now.mono).is_empty() {
            self.forget(cx, id);
        } else {
            cx.set_in(Timer::Changes(id.clone()), TELL_CHANGES_EVERY);
        }
    }

    /// Hands an event to a tree's machine, does what that wants, and sets its next deadline.
    fn step(&mut self, cx: &mut Cx, id: &Id, event: watch::Event) {
        let Some(tree) = self.by_id.get_mut(id) else { return };
        let before = tree.machine.counters();
        let effects = tree.machine.handle(cx.now.mono, event);
        if tree.machine.counters() != before {
            cx.stale_soon(id);
        }
        cx.set(Timer::Scan(id.clone()), tree.machine.next_deadline());
        for effect in effects {
            match effect {
                watch::Effect::Run(task) => cx.push(Effect::Scan { root: tree.root, task }),
                watch::Effect::Settled(batch) => {
                    tree.settled(&batch);
                    cx.stale_soon(id);
                }
                watch::Effect::Trouble(reason) => {
                    match reason {
                        Some(reason) => {
                            tree.issues.raise(IssueKind::WatchLimit, LEDGER, reason.advice(), cx.now.wall);
                        }
                        None => {
                            tree.issues.heal(LEDGER, Healed::Watched);
                        }
                    }
                    cx.stale(id);
                }
                // Nobody has subscribed to these.
                watch::Effect::Early(_) | watch::Effect::Flushed { .. } => {}
            }
        }
    }

    fn tell_changes(&mut self, cx: &mut Cx, id: &Id, receipt: Option<Sender<bool>>) -> Telling {
        let Some(state) = cx.shared.ledger_state(id) else { return Telling::Nobody };
        let (Some(tree), Some(project)) = (self.by_id.get_mut(id), cx.shared.project(id)) else {
            return Telling::Nobody;
        };
        let is_nothing = tree.changes.is_empty();
        if is_nothing && !tree.uncommitted {
            return Telling::Nothing;
        }
        let changes = std::mem::take(&mut tree.changes);
        let (key, root) = (Key::Ledger(id.clone()), project.root.clone());
        let agents = cx.shared.at_work(id, cx.now.mono);
        // Whether files that were told as uncommitted are clean again is told as well; nobody waits for that.
        let receipt = receipt.filter(|_| !is_nothing);
        cx.tell(Fact::TreeChanged { key, state, root, agents, changes, receipt });
        if is_nothing { Telling::Nothing } else { Telling::Begun }
    }

    /// What was told may count as known, or is told the next time.
    fn told(&mut self, cx: &mut Cx, id: &Id, failed: Option<&FileChanges>, uncommitted: bool) {
        let Some(tree) = self.by_id.get_mut(id) else { return };
        tree.uncommitted = uncommitted;
        if let Some(failed) = failed {
            tree.changes.after(failed.clone());
            cx.stale_soon(id);
        } else if tree.changes.is_empty() {
            self.step(cx, id, watch::Event::Told);
        }
    }
}

/// What became of changes that were to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// There is nobody to tell.
    Nobody,
    /// There are none.
    Nothing,
    /// They are being told; [`Fact::TreeTold`] follows.
    Begun,
}

impl Tree {
    /// Changes have settled: they wait to be told with those that come until then.
    fn settled(&mut self, batch: &Batch) {
        match batch.head_moved {
            Some(moved) if batch.changes.len() > SWITCH_MIN => {
                let name = |at: Option<git2::Oid>| {
                    at.map_or("nothing".into(), |at| at.to_string()[..10].to_string())
                };
                self.changes.switch(&name(moved.old), &name(moved.new));
            }
            _ => {
                for change in &batch.changes {
                    self.changes.add(&String::from_utf8_lossy(&change.path), kind(change.kind));
                }
            }
        }
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

/// How a work tree is watched; `pending` files have changed and were not told of yet.
fn watching(counters: &Counters, pending: u64, now: Now) -> WatchingStatus {
    let ago = |at: Mono| jiff::SignedDuration::try_from(now.mono.since(at)).unwrap_or_default();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    WatchingStatus {
        mode: counters.mode.name().into(),
        reason: counters.mode.reason().map(|reason| reason.advice()).unwrap_or_default(),
        dirs_watched: i64::try_from(counters.dirs_watched).unwrap_or(i64::MAX),
        overflows: number(counters.overflows),
        rescans: number(counters.rescans),
        dropped: number(counters.dropped),
        pending: number(pending),
        last_rescan: GoTime(counters.last_rescan.and_then(|at| now.wall.checked_sub(ago(at)).ok())),
    }
}
