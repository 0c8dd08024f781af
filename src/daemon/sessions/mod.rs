//! Recordings: whose transcripts are followed, when they are read, and when one whose agent has ended is finished.

pub mod event;
pub(super) mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::Id;
use crate::health::issues::Healed;
use crate::health::{Issue, IssueKind, Issues};
use crate::ipc::wire::{SessionWatchStart, SessionWatchStop};
use crate::kit::clock::Mono;
use crate::sessions::Name;
use crate::sync::LEDGER;
use event::{Effect, Ended, Event, Progress, Recorded, Stepped, Timer};

/// While anything is recorded in a project, it is looked this often whether agents live, and for what was missed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5 * 60);
/// While no transcript there gets anything, each look is twice as far from the last one, up to this.
pub const LOOK_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// A transcript that has got something is looked at again so soon: hints closer together than that are one.
pub const SETTLE: Duration = Duration::from_millis(150);
/// One that could not be read is tried again after this.
pub const RETRY: Duration = Duration::from_secs(30);
/// A transcript that has got more than this without telling anything, in bytes, is none that is understood (lesson agt-06).
pub const UNHEARD_MAX: u64 = 64 << 10;
/// That, or that one cannot be read, is told when it has lasted this long (lesson agt-06).
pub const UNHEARD_AFTER: Duration = Duration::from_secs(60);
/// So many recordings of a project are followed at once; others wait until one of these has ended.
pub const FOLLOWED_MAX: usize = 64;

/// A recording that is followed.
#[derive(Debug)]
struct Followed {
    dir: PathBuf,
    /// The directory of its transcript.
    watched: Option<PathBuf>,
    /// A worker reads it.
    busy: bool,
    /// It was touched meanwhile.
    again: bool,
    /// It was touched since it was last looked at with nothing to come: hints may have been left out that came close behind.
    touched: bool,
    /// That it cannot be read has been logged.
    failed: bool,
    /// Its transcript tells nothing, or cannot be read.
    unheard: Option<Unheard>,
}

/// A transcript of which nothing gets into the recording.
#[derive(Debug)]
struct Unheard {
    since: Mono,
    bytes: u64,
    /// Why it cannot be read.
    why: Option<String>,
}

impl Followed {
    /// The transcript has got something.
    fn heard(&mut self, progress: Progress, now: Mono) {
        if progress.facts > 0 {
            self.unheard = None;
        } else if progress.bytes > 0 {
            let unheard = self.unheard.get_or_insert(Unheard { since: now, bytes: 0, why: None });
            unheard.bytes = unheard.bytes.saturating_add(progress.bytes);
            unheard.why = None;
        }
    }

    fn cannot(&mut self, why: &str, now: Mono) {
        let unheard = self.unheard.get_or_insert(Unheard { since: now, bytes: 0, why: None });
        unheard.why = Some(why.to_owned());
    }

    /// When it is to be told that nothing is recorded, if that lasts.
    fn told_at(&self) -> Option<Mono> {
        let unheard = self.unheard.as_ref()?;
        let is_much = unheard.bytes > UNHEARD_MAX || unheard.why.is_some();
        is_much.then(|| unheard.since + UNHEARD_AFTER)
    }

    /// What is told of it.
    fn trouble(&self, name: &Name, now: Mono) -> Option<String> {
        self.told_at().filter(|at| *at <= now)?;
        let why = self.unheard.as_ref()?.why.as_deref();
        let why = why.unwrap_or("its agent's transcript grows and nothing in it is understood");
        Some(format!("session {name} is not being recorded: {why}; ox session status"))
    }
}

/// All of them, by project.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<Id, BTreeMap<Name, Followed>>,
    /// How long it is until the next look at a project in which nothing happens.
    pace: BTreeMap<Id, Duration>,
    issues: BTreeMap<Id, Issues>,
    /// Projects that are being looked through; whether they are to be looked through once more.
    looking: BTreeMap<Id, bool>,
    /// Agents that have ended since a project was looked through last.
    ended: BTreeMap<Id, Vec<Ended>>,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Sessions(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Sessions(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Sessions(timer)
    }
}

impl Sessions {
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Found(id, found) => self.found(cx, &id, found),
            Event::Touched(dir) => self.touched(cx, &dir),
            Event::Stepped(id, name, came) => self.stepped(cx, &id, &name, came),
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Look(id) => self.look(cx, &id),
            Timer::Step(id, name) => self.step(cx, &id, &name),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { id, .. } => self.look(cx, id),
            Fact::Detached { id, .. } => self.forget(cx, id),
            Fact::Moved(id) => {
                self.forget(cx, id);
                self.look(cx, id);
            }
            Fact::AgentEnded { id, agent, pid } => {
                let ended = self.ended.entry(id.clone()).or_default();
                ended.push(Ended { agent: agent.clone(), pid: *pid });
                self.look(cx, id);
            }
            Fact::Jumped => {
                let ids: Vec<Id> = self.by_id.keys().cloned().collect();
                ids.iter().for_each(|id| self.look(cx, id));
            }
            _ => {}
        }
    }

    /// Somebody has begun to record. Which and where is read from the files, not from what is said.
    pub(super) fn watch_start(&mut self, cx: &mut Cx, id: &Id, told: &SessionWatchStart) {
        if Name::parse(&told.session_name).is_some() {
            self.look(cx, id);
        }
    }

    /// Somebody has finished a recording.
    pub(super) fn watch_stop(&mut self, cx: &mut Cx, id: &Id, told: &SessionWatchStop) {
        if Name::parse(&told.session_name).is_some() {
            self.look(cx, id);
        }
    }

    /// The issues of a project's recordings.
    pub(super) fn issues_of(&self, id: &Id) -> Vec<Issue> {
        self.issues.get(id).map(Issues::sorted).unwrap_or_default()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        let beside = self.looking.len() + self.pace.len() + self.issues.len() + self.ended.len();
        self.by_id.values().map(BTreeMap::len).sum::<usize>() + beside
    }

    fn look(&mut self, cx: &mut Cx, id: &Id) {
        let Some(project) = cx.shared.project(id) else { return };
        if let Some(again) = self.looking.get_mut(id) {
            *again = true;
            return;
        }
        let root = project.root.clone();
        self.looking.insert(id.clone(), false);
        let ended = self.ended.remove(id).unwrap_or_default();
        cx.push(Effect::Look(id.clone(), root, ended));
    }

    fn found(&mut self, cx: &mut Cx, id: &Id, found: Option<Vec<Recorded>>) {
        let again = self.looking.remove(id).unwrap_or(false);
        if cx.shared.project(id).is_none() {
            return;
        }
        let is_known = found.is_some();
        if let Some(found) = found {
            self.take_up(cx, id, found);
        }
        if again {
            self.look(cx, id);
        } else if !is_known || self.by_id.contains_key(id) {
            let pace = self.pace.entry(id.clone()).or_insert(LOOK_EVERY);
            cx.set_in(Timer::Look(id.clone()), *pace);
            *pace = (*pace * 2).min(LOOK_MAX);
        }
        self.tell_trouble(cx, id);
    }

    /// Something happens in a project: from now on it is looked at as often as at first.
    fn stirs(&mut self, cx: &mut Cx, id: &Id) {
        if self.pace.remove(id).is_some_and(|pace| pace > LOOK_EVERY * 2) {
            cx.set_in(Timer::Look(id.clone()), LOOK_EVERY);
        }
    }

    /// Tells of recordings into which nothing gets, or that there are none any more.
    fn tell_trouble(&mut self, cx: &mut Cx, id: &Id) {
        let all = self.by_id.get(id).into_iter().flatten();
        let trouble = all.filter_map(|(name, followed)| followed.trouble(name, cx.now.mono)).next();
        let issues = self.issues.entry(id.clone()).or_default();
        let is_new = match trouble {
            Some(text) => issues.raise(IssueKind::RecordingStuck, LEDGER, text, cx.now.wall),
            None => issues.heal(LEDGER, Healed::Recorded),
        };
        if issues.is_empty() {
            self.issues.remove(id);
        }
        if is_new {
            cx.stale(id);
        }
    }

    /// Follows what is recorded now, and nothing else.
    fn take_up(&mut self, cx: &mut Cx, id: &Id, found: Vec<Recorded>) {
        let before = self.watched();
        let all = self.by_id.entry(id.clone()).or_default();
        let is_there = |name: &Name| found.iter().any(|recorded| recorded.name == *name);
        all.retain(|name, followed| {
            let stays = is_there(name);
            if !stays {
                cx.set(Timer::Step(id.clone(), name.clone()), None);
                cx.push(Effect::Close(followed.dir.clone()));
            }
            stays
        });
        let mut new = Vec::new();
        for recorded in found {
            let watched = recorded.transcript.as_deref().and_then(Path::parent).map(Path::to_owned);
            if let Some(followed) = all.get_mut(&recorded.name) {
                followed.watched = watched;
            } else if all.len() < FOLLOWED_MAX {
                let followed = Followed {
                    dir: recorded.dir,
                    watched,
                    busy: false,
                    again: false,
                    touched: false,
                    failed: false,
                    unheard: None,
                };
                all.insert(recorded.name.clone(), followed);
            } else {
                continue;
            }
            // Also of one that was followed before: a hint may have been missed.
            new.push(recorded.name);
        }
        if all.is_empty() {
            self.by_id.remove(id);
            self.pace.remove(id);
            cx.set(Timer::Look(id.clone()), None);
        }
        self.watch(cx, &before);
        new.iter().for_each(|name| self.step(cx, id, name));
    }

    /// The directories that are watched.
    fn watched(&self) -> BTreeSet<PathBuf> {
        self.by_id
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|followed| followed.watched.clone())
            .collect()
    }

    fn watch(&self, cx: &mut Cx, before: &BTreeSet<PathBuf>) {
        let now = self.watched();
        for dir in before.difference(&now) {
            cx.push(Effect::Watch { dir: dir.clone(), on: false });
        }
        for dir in now.difference(before) {
            cx.push(Effect::Watch { dir: dir.clone(), on: true });
        }
    }

    fn touched(&mut self, cx: &mut Cx, dir: &Path) {
        let is_there = |followed: &Followed| followed.watched.as_deref() == Some(dir);
        let of = |(id, all): (&Id, &BTreeMap<Name, Followed>)| {
            let names = all.iter().filter(|(_, followed)| is_there(followed)).map(|(name, _)| name.clone());
            names.map(|name| (id.clone(), name)).collect::<Vec<_>>()
        };
        let touched: Vec<(Id, Name)> = self.by_id.iter().flat_map(of).collect();
        for (id, name) in &touched {
            if let Some(followed) = self.by_id.get_mut(id).and_then(|all| all.get_mut(name)) {
                followed.touched = true;
            }
            self.step(cx, id, name);
        }
    }

    fn step(&mut self, cx: &mut Cx, id: &Id, name: &Name) {
        let Some(project) = cx.shared.project(id) else { return };
        let Some(followed) = self.by_id.get_mut(id).and_then(|all| all.get_mut(name)) else { return };
        // What is not known yet has nothing to read; it is looked for with the others.
        if followed.watched.is_none() {
            return;
        }
        if followed.busy {
            followed.again = true;
            return;
        }
        followed.busy = true;
        let root = project.root.clone();
        cx.set(Timer::Step(id.clone(), name.clone()), None);
        cx.push(Effect::Step { id: id.clone(), root, name: name.clone(), dir: followed.dir.clone() });
    }

    fn stepped(&mut self, cx: &mut Cx, id: &Id, name: &Name, came: Stepped) {
        let Some(followed) = self.by_id.get_mut(id).and_then(|all| all.get_mut(name)) else { return };
        followed.busy = false;
        let again = std::mem::take(&mut followed.again);
        followed.failed &= matches!(came, Stepped::Failed(_));
        let timer = Timer::Step(id.clone(), name.clone());
        if let Stepped::More(progress) | Stepped::New(progress) = came {
            followed.heard(progress, cx.now.mono);
            self.stirs(cx, id);
        }
        let Some(followed) = self.by_id.get_mut(id).and_then(|all| all.get_mut(name)) else { return };
        match came {
            Stepped::More(_) => self.step(cx, id, name),
            Stepped::New(_) | Stepped::Level if again => self.step(cx, id, name),
            Stepped::New(_) => cx.set_in(timer, SETTLE),
            Stepped::Level if std::mem::take(&mut followed.touched) => cx.set_in(timer, SETTLE),
            // Should nothing come, that is to be told.
            Stepped::Level => cx.set(timer, followed.told_at().filter(|at| *at > cx.now.mono)),
            Stepped::Ended => self.look(cx, id),
            Stepped::Failed(why) => {
                followed.cannot(&why, cx.now.mono);
                if !std::mem::replace(&mut followed.failed, true) {
                    log::warn!("[{id}] session {name} cannot be recorded now: {why}");
                }
                cx.set_in(timer, RETRY);
            }
        }
        self.tell_trouble(cx, id);
    }

    fn forget(&mut self, cx: &mut Cx, id: &Id) {
        let before = self.watched();
        for (name, followed) in self.by_id.remove(id).unwrap_or_default() {
            cx.set(Timer::Step(id.clone(), name), None);
            cx.push(Effect::Close(followed.dir));
        }
        cx.set(Timer::Look(id.clone()), None);
        self.pace.remove(id);
        self.issues.remove(id);
        self.ended.remove(id);
        self.watch(cx, &before);
    }
}
