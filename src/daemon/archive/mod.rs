//! The archive: when transcripts of agents are copied, so that each is kept before its program deletes it.
//!
//! Nothing is polled: each look says when something may next have passed half of the time for which its program keeps it.

pub mod event;
pub(super) mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::Id;
use crate::kit::clock::Mono;
use event::{Effect, Event, Looked, Timer};

/// Two looks at a project are at least so far apart, whatever a program's settings say.
pub const LOOK_MIN: Duration = Duration::from_secs(60 * 60);
/// A look that left something for the next one is followed by that after this long, so that others of the lane go in between.
pub const GO_ON: Duration = Duration::from_secs(1);
/// One that could not be done is tried again after this.
pub const RETRY: Duration = Duration::from_secs(10 * 60);
/// Where nothing is kept, somebody at work in the project has it asked again whether that is still so, this often at most.
pub const ASK_EVERY: Duration = Duration::from_secs(60);

/// A project.
#[derive(Debug)]
struct Project {
    /// A worker looks.
    busy: bool,
    /// It is to look once more.
    again: bool,
    /// Transcripts are kept, as far as is known.
    on: bool,
    looked: Mono,
    /// That it failed has been logged.
    failed: bool,
}

/// All projects.
#[derive(Debug, Default)]
pub(super) struct Archive {
    by_id: BTreeMap<Id, Project>,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Archive(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Archive(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Archive(timer)
    }
}

impl Archive {
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        let Event::Looked(id, looked) = event;
        self.looked(cx, &id, looked);
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        let Timer::Look(id) = timer;
        self.look(cx, &id);
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { id, .. } | Fact::Moved(id) => self.look(cx, id),
            Fact::Detached { id, .. } => {
                self.by_id.remove(id);
                cx.set(Timer::Look(id.clone()), None);
            }
            Fact::Heard { id, .. } => {
                let is_off =
                    |project: &Project| !project.on && cx.now.mono.since(project.looked) >= ASK_EVERY;
                if self.by_id.get(id).is_some_and(is_off) {
                    self.look(cx, id);
                }
            }
            // A deadline may have passed meanwhile.
            Fact::Jumped => {
                let on = self.by_id.iter().filter(|(_, project)| project.on);
                let ids: Vec<Id> = on.map(|(id, _)| id.clone()).collect();
                ids.iter().for_each(|id| self.look(cx, id));
            }
            _ => {}
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn look(&mut self, cx: &mut Cx, id: &Id) {
        let Some(row) = cx.shared.project(id) else { return };
        let root = row.root.clone();
        let now = cx.now.mono;
        let project = self.by_id.entry(id.clone()).or_insert(Project {
            busy: false,
            again: false,
            on: false,
            looked: now,
            failed: false,
        });
        if project.busy {
            project.again = true;
            return;
        }
        (project.busy, project.looked) = (true, now);
        cx.set(Timer::Look(id.clone()), None);
        cx.push(Effect::Look(id.clone(), root));
    }

    fn looked(&mut self, cx: &mut Cx, id: &Id, looked: Looked) {
        let Some(project) = self.by_id.get_mut(id) else { return };
        project.busy = false;
        let again = std::mem::take(&mut project.again);
        project.on = match &looked {
            Looked::Off => false,
            Looked::Done { .. } => true,
            Looked::Failed(_) => project.on,
        };
        let wait = match looked {
            Looked::Off => None,
            Looked::Done { more: true, .. } => Some(GO_ON),
            Looked::Done { next, .. } => next.map(|next| next.max(LOOK_MIN)),
            Looked::Failed(why) => {
                if !std::mem::replace(&mut project.failed, true) {
                    log::warn!("[{id}] transcripts of agents cannot be kept now: {why}");
                }
                cx.set_in(Timer::Look(id.clone()), RETRY);
                return;
            }
        };
        project.failed = false;
        if again {
            return self.look(cx, id);
        }
        cx.set(Timer::Look(id.clone()), wait.map(|wait| cx.now.mono + wait));
    }
}
