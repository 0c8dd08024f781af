//! Events of agents: when what their entries put into the spool, and what is new in their transcripts, is stored.
//!
//! The spool is watched, and transcripts are read a moment after somebody was seen at work, and then now and then until nobody is. Where
//! no agent's events are taken in nothing is watched; what was left in the spool is stored all the same.

pub mod event;
mod problems;
mod settings;
pub(super) mod work;

use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use crate::health::issues::Healed;
use crate::health::{Issue, Issues};
use crate::ipc::ConnId;
use crate::ipc::wire::Response;
use crate::kit::clock::Mono;
use crate::watch::HINT_EVERY;
use event::{Ask, Came, Effect, Event, Problem, Timer};

/// What comes within this of the last reading of the spool is stored together.
pub const TAKE_EVERY: Duration = Duration::from_millis(250);
/// Transcripts are read this long after somebody was seen at work (relay and hooks, B.7).
pub const IMPORT_AFTER: Duration = Duration::from_secs(5);
/// While an agent is at work they are read so often, also if it says nothing: what it writes down is all that is heard of one without hooks.
pub const IMPORT_EVERY: Duration = Duration::from_secs(30);
/// What could not be stored is tried again after this, and then at times twice as far apart.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// But no further.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// The store is tidied so often (relay and hooks, B.6).
pub const KEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Agents' hooks are looked at so long after events came in: who has just been trusted is at work.
pub const LOOK_AFTER: Duration = Duration::from_secs(60);

/// Who asks for the state of hooks while so many do is told to come again: each answer reads agents' settings.
const ASKING_MAX: usize = 4;

/// Work of one kind.
#[derive(Debug, Default)]
struct Work {
    busy: bool,
    /// It is to be done once more.
    again: bool,
    /// When it was begun last.
    began: Option<Mono>,
    /// How long the next attempt waits, after a failure.
    wait: Option<Duration>,
}

impl Work {
    /// Whether it may begin; if it is being done, it is done once more.
    fn begin(&mut self, now: Mono) -> bool {
        if self.busy {
            self.again = true;
            return false;
        }
        (self.busy, self.began) = (true, Some(now));
        true
    }

    /// When it is to be done next, after what it came to; `pause` lies between two times.
    fn ended(&mut self, came: &Came, pause: Duration) -> Option<Duration> {
        self.busy = false;
        let again = std::mem::take(&mut self.again);
        match came {
            Came::Failed(_) => {
                let wait = self.wait.map_or(RETRY_MIN, |wait| (wait * 2).min(RETRY_MAX));
                self.wait = Some(wait);
                Some(wait)
            }
            Came::More => {
                self.wait = None;
                Some(Duration::ZERO)
            }
            Came::All { .. } => {
                self.wait = None;
                again.then_some(pause)
            }
        }
    }
}

/// The events of all agents.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Events are taken in.
    on: bool,
    take: Work,
    /// When the last hint came that something was put into the spool.
    hinted: Option<Mono>,
    import: Work,
    /// When transcripts are to be read, at [`Timer::Import`].
    import_at: Option<Mono>,
    /// A look is under way, and another one is to follow: what it finds may be older than what was asked for since.
    looking: bool,
    look_again: bool,
    /// How many wait for an answer.
    asking: usize,
    /// What keeps agents' hooks from being as the user wants them.
    issues: Issues,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Hooks(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Hooks(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Hooks(timer)
    }
}

impl Hooks {
    /// What was wanted and could not be done is done now, in both directions.
    pub(super) fn start(&mut self, cx: &mut Cx) {
        cx.push(Effect::Ask(None, Ask::Reconcile));
    }

    pub(super) fn asked(&mut self, cx: &mut Cx, conn: ConnId, ask: Ask) {
        if self.asking >= ASKING_MAX {
            return cx.reply(conn, Response::busy("too many ask for the state of hooks"));
        }
        self.asking += 1;
        cx.push(Effect::Ask(Some(conn), ask));
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Answered { conn, response, changed } => {
                if let Some(conn) = conn {
                    self.asking = self.asking.saturating_sub(1);
                    cx.reply(conn, response);
                }
                if changed {
                    self.look(cx);
                }
            }
            Event::Looked(on, problems) => {
                self.looking = false;
                if std::mem::take(&mut self.look_again) {
                    return self.look(cx);
                }
                self.tell(cx, problems);
                self.looked(cx, on);
            }
            Event::Touched => self.touched(cx),
            Event::Taken(came) => {
                let failed_before = self.take.wait.is_some();
                if let Came::Failed(why) = &came
                    && !failed_before
                {
                    log::warn!("agents' events wait in the spool, they cannot be stored: {why}");
                }
                if matches!(came, Came::All { new: true } | Came::More) {
                    self.import_soon(cx);
                    self.look_soon(cx);
                    cx.tell(Fact::EventsStored);
                }
                let wait = self.take.ended(&came, TAKE_EVERY).or_else(|| {
                    let quiet = self.hinted.map(|at| at + HINT_EVERY);
                    (self.take.began < quiet).then_some(TAKE_EVERY)
                });
                cx.set(Timer::Take, wait.map(|wait| cx.now.mono + wait));
            }
            Event::Imported(came) => {
                if let Came::Failed(why) = &came
                    && self.import.wait.is_none()
                {
                    log::warn!("agents' transcripts cannot be read for their events: {why}");
                }
                if came == (Came::All { new: true }) {
                    self.look_soon(cx);
                    cx.tell(Fact::EventsStored);
                }
                let wait = self.import.ended(&came, IMPORT_AFTER).or_else(|| self.goes_on(cx, &came));
                self.import_at = wait.map(|wait| cx.now.mono + wait);
                cx.set(Timer::Import, self.import_at);
            }
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Take => self.take(cx),
            Timer::Import => {
                self.import_at = None;
                if self.on && self.import.begin(cx.now.mono) {
                    cx.push(Effect::Import);
                }
            }
            Timer::Look => self.look(cx),
            Timer::Keep => {
                cx.push(Effect::Keep);
                self.look(cx);
                cx.set_in(Timer::Keep, KEEP_EVERY);
            }
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Heard { agent: true, .. } if self.on => self.import_soon(cx),
            // What was put in while nothing was heard of it.
            Fact::Jumped if self.on => self.take(cx),
            _ => {}
        }
    }

    /// Those that all projects have.
    pub(super) fn issues(&self) -> Vec<Issue> {
        self.issues.sorted()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.issues.sorted().len()
    }

    /// What is wrong with agents' hooks now; what was and is no more is healed.
    fn tell(&mut self, cx: &mut Cx, problems: Vec<Problem>) {
        let before = self.issues.sorted();
        let is_there = |one: &Issue| problems.iter().any(|p| p.agent == one.repo && p.kind == one.kind);
        for gone in before.iter().filter(|one| !is_there(one)) {
            self.issues.heal(&gone.repo, Healed::HooksRun);
        }
        for one in problems {
            self.issues.raise(one.kind, &one.agent, one.text, cx.now.wall);
        }
        if self.issues.sorted() != before {
            let ids: Vec<_> = cx.shared.projects().keys().cloned().collect();
            ids.iter().for_each(|id| cx.stale(id));
        }
    }

    /// An agent was at work: what it runs and what it does not may be another matter now.
    fn look_soon(&mut self, cx: &mut Cx) {
        if self.on {
            cx.set_in_once(Timer::Look, LOOK_AFTER);
        }
    }

    /// Has agents' hooks looked at: one look at a time, so that the last one says how it is.
    fn look(&mut self, cx: &mut Cx) {
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        cx.push(Effect::Look);
    }

    fn looked(&mut self, cx: &mut Cx, on: bool) {
        let is_new = on != self.on || self.take.began.is_none();
        if on != self.on {
            self.on = on;
            cx.push(Effect::Watch(on));
            cx.set(Timer::Keep, on.then(|| cx.now.mono + KEEP_EVERY));
            if on {
                self.import_soon(cx);
            } else {
                self.import_at = None;
                cx.set(Timer::Import, None);
            }
        }
        // What came before it was watched, and what was left when it was switched off.
        if is_new {
            self.take(cx);
        }
    }

    /// Something was put in, and nothing may be told of what follows within [`HINT_EVERY`]: the spool is read once more after that.
    fn touched(&mut self, cx: &mut Cx) {
        let next = self.take.began.map_or(cx.now.mono, |began| began + TAKE_EVERY);
        self.hinted = Some(cx.now.mono);
        self.take.again |= self.take.busy;
        if !self.take.busy && self.take.wait.is_none() {
            match next <= cx.now.mono {
                true => self.take(cx),
                false => cx.set(Timer::Take, Some(next)),
            }
        }
    }

    fn take(&mut self, cx: &mut Cx) {
        if self.take.begin(cx.now.mono) {
            cx.set(Timer::Take, None);
            cx.push(Effect::Take);
        }
    }

    /// When transcripts are read again though nobody has said anything: as long as there was something new in them, or somebody is at work.
    fn goes_on(&self, cx: &Cx, came: &Came) -> Option<Duration> {
        let is_at_work = || cx.shared.agents().values().any(|agents| !agents.present(cx.now.mono).is_empty());
        match came {
            _ if !self.on => None,
            Came::All { new: true } => Some(IMPORT_AFTER),
            _ => is_at_work().then_some(IMPORT_EVERY),
        }
    }

    fn import_soon(&mut self, cx: &mut Cx) {
        let at = cx.now.mono + IMPORT_AFTER;
        if !self.on || self.import_at.is_some_and(|known| known <= at) || self.import.wait.is_some() {
            return;
        }
        if self.import.busy {
            self.import.again = true;
            return;
        }
        self.import_at = Some(at);
        cx.set(Timer::Import, Some(at));
    }
}
