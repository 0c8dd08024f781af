//! Murmurs and whispers as far as the core decides about them: which clones, which agents, and when.

mod changes;
pub mod event;
mod notes;
pub(super) mod work;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::{Id, Key};
use super::shared::{CloneRow, Project};
use crate::ipc::ConnId;
use crate::ipc::wire::{Murmur, Response, WhisperHistoryAsk, Whispers as Entries, WhispersAsk};
use crate::kit::Class;
use crate::whispers::nudge::Facts;
use crate::whispers::{Ask, Attention, Scope};
use event::{Effect, Event, NoteOutcome, Relay, Timer};
pub(super) use worker::{commit_waiting, is_waiting, stuck};

/// Agents at work are looked at this often for whether one is to be reminded that it may murmur (whispers and watching, 7.3).
pub const NUDGE_EVERY: Duration = Duration::from_secs(60);
/// Who is at work is told this often (7.2).
pub const ACTIVITY_EVERY: Duration = Duration::from_secs(30 * 60);
/// How far agents have read is written down so long after it was told, with what others have read until then.
pub const PLACES_AFTER: Duration = Duration::from_millis(200);
/// An agent that has been silent for longer is not reminded of anything (7.3).
const BEATING: Duration = Duration::from_secs(5 * 60);

/// What has been taken in of each clone.
#[derive(Debug, Default)]
pub(super) struct Whispers {
    relayed: BTreeMap<Key, Relayed>,
}

#[derive(Debug, Default)]
struct Relayed {
    /// Its murmurs have been taken in since databases were last maintained.
    done: bool,
    /// Its commit then; empty before.
    head: String,
    /// From this commit on murmurs that were taken out may still be told: taking them back has failed.
    unproven: Option<String>,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Whispers(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Whispers(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Whispers(timer)
    }
}

impl Whispers {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Maintain, cx.identity.periods.gc);
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            // A sync commits it soon.
            Event::Murmured(key) => cx.tell(Fact::Waiting(key)),
            Event::ChangesTold { key, told, changes, uncommitted } => {
                if told == NoteOutcome::Kept {
                    cx.tell(Fact::Waiting(key.clone()));
                }
                let failed = (told == NoteOutcome::Failed).then_some(*changes);
                cx.tell(Fact::TreeTold { key, failed, uncommitted });
            }
            Event::Relayed { key, failed } => {
                if let (Some(relayed), Some(since)) = (self.relayed.get_mut(&key), failed) {
                    relayed.done = false;
                    relayed.unproven.get_or_insert(since);
                }
            }
            Event::Delivered { id, agent, any } => {
                if any {
                    cx.tell(Fact::Delivered { id, agent });
                }
                cx.set_in_once(Timer::Places, PLACES_AFTER);
            }
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Nudge(id) => nudge(cx, &id),
            Timer::Activity(id) => tell_activity(cx, &id),
            Timer::Places => cx.push(Effect::WritePlaces),
            Timer::Maintain => self.maintain(cx),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::UpToDate { key, change, .. } => {
                let Some(head) = cx.shared.clone_row(key).map(|row| row.head.clone()) else { return };
                let relayed = self.relayed.entry(key.clone()).or_default();
                // HEAD may also have been moved by a run that failed later on, by a reclone or by another process.
                if !relayed.done || change.pulled || change.pushed > 0 || head != relayed.head {
                    self.relay(cx, key, Some(head));
                }
            }
            // A run that failed may have brought commits in before that.
            Fact::Failed { key, failure, .. } if failure.class != Class::Network => {
                let place = cx.shared.clone_row(key).and_then(|row| row.place.as_ref());
                if place.is_some_and(|place| place.exists) {
                    // HEAD may stand anywhere: from what is not there nothing follows.
                    self.relay(cx, key, None);
                }
            }
            Fact::Dropped(key) => drop(self.relayed.remove(key)),
            Fact::Heard { id, agent: true, .. } => {
                cx.set_in_once(Timer::Nudge(id.clone()), NUDGE_EVERY);
                cx.set_in_once(Timer::Activity(id.clone()), ACTIVITY_EVERY);
            }
            Fact::TreeChanged { key, state, root, agents, changes, receipt } => {
                cx.push(Effect::TellChanges {
                    key: key.clone(),
                    state: state.clone(),
                    root: root.clone(),
                    agents: agents.clone(),
                    changes: Box::new(changes.clone()),
                    receipt: receipt.clone(),
                })
            }
            Fact::Detached { id, .. } => {
                cx.set(Timer::Nudge(id.clone()), None);
                cx.set(Timer::Activity(id.clone()), None);
            }
            _ => {}
        }
    }

    /// A murmur is to be published: in one of the project's own clones and nowhere else.
    pub(super) fn murmur(&self, cx: &mut Cx, id: &Id, murmur: Box<Murmur>) {
        let wanted = lexical(Path::new(&murmur.target_dir));
        let place = |row: &CloneRow| row.place.as_ref().is_some_and(|place| lexical(&place.path) == wanted);
        let Some((key, row)) = cx.shared.clones_of(id).find(|(_, row)| place(row)) else {
            log::warn!("a murmur is not taken: {:?} is no clone of the project", murmur.target_dir);
            return;
        };
        let (key, scope) = (key.clone(), scope_of(row));
        let Some(state) = row.place.as_ref().map(|place| place.state.clone()) else { return };
        let Some(root) = cx.shared.project(id).map(|project| project.root.clone()) else { return };
        cx.push(Effect::Murmur { key, root, state, scope, murmur });
    }

    /// The answer to `whispers`.
    pub(super) fn pending(&self, cx: &mut Cx, conn: ConnId, id: &Id, ask: &WhispersAsk) {
        if ask.agent_id.is_empty() {
            return cx.reply(conn, Response::error("agent_id required"));
        }
        let Some(project) = cx.shared.project(id) else {
            return cx.reply(conn, Response::data(&Entries::default()));
        };
        let ask = Ask {
            key: readers(project, id) + &ask.agent_id,
            agent: ask.agent_id.clone(),
            attention: Attention::of(&ask.attention),
            topics: ask.topics.clone(),
            budget: usize::try_from(ask.budget).ok().filter(|budget| *budget > 0),
        };
        let states = states(cx, id);
        cx.push(Effect::Pending { conn, id: id.clone(), states, ask });
    }

    /// The answer to `whisper_history`.
    pub(super) fn history(&self, cx: &mut Cx, conn: ConnId, id: &Id, ask: WhisperHistoryAsk) {
        let project = cx.shared.project(id);
        let reader = project.map(|p| readers(p, id) + &ask.agent_id).unwrap_or_default();
        let states = states(cx, id);
        cx.push(Effect::History { conn, states, reader, ask });
    }

    /// An agent wants no nudges, or wants them again.
    pub(super) fn pause(&self, cx: &mut Cx, id: &Id, agent: String, paused: bool) {
        match cx.shared.ledger_state(id).filter(|_| !agent.is_empty()) {
            Some(state) => cx.push(Effect::PauseNudges { state, agent, paused }),
            None => log::debug!("a pause of nothing is dropped"),
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.relayed.len()
    }

    fn relay(&mut self, cx: &mut Cx, key: &Key, head: Option<String>) {
        let Some(row) = cx.shared.clone_row(key) else { return };
        let relayed = self.relayed.entry(key.clone()).or_default();
        relayed.done = true;
        let since = std::mem::replace(&mut relayed.head, row.head.clone());
        let removed_since = relayed.unproven.take().unwrap_or_else(|| since.clone());
        let scope = scope_of(row);
        let tell = match &scope {
            // Of the first relay nothing is told: what was there before is no news.
            Scope::Team(team) if !since.is_empty() => {
                let primary = |id: &&Id| cx.shared.project(id).is_some_and(|p| p.primary == *team);
                row.users.iter().filter(primary).filter_map(|id| cx.shared.ledger_state(id)).collect()
            }
            _ => Vec::new(),
        };
        let relay = Box::new(Relay { target: row.target.clone(), scope, since, removed_since, head, tell });
        cx.push(Effect::Relay { key: key.clone(), relay });
    }

    /// It is time to maintain the databases.
    fn maintain(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Maintain, cx.identity.periods.gc);
        // One that was made anew has forgotten what it had: each clone's murmurs are taken in again after its next sync.
        self.relayed.values_mut().for_each(|relayed| relayed.done = false);
        let places = cx.shared.clones().values().filter_map(|row| row.place.as_ref());
        let states: Vec<PathBuf> = places.map(|place| place.state.clone()).collect();
        if !states.is_empty() {
            cx.push(Effect::Maintain { states });
        }
    }
}

/// What places of a project's agents are kept under, before their ids: agents of different repositories may have the same one.
fn readers(project: &Project, id: &Id) -> String {
    let own = if project.repo_id.is_empty() { &**id } else { project.repo_id.as_str() };
    format!("{own}:")
}

fn scope_of(row: &CloneRow) -> Scope {
    row.target.team_id().map_or(Scope::Ledger, |team| Scope::Team(team.to_string()))
}

/// Without `.` and `..`, and without looking at the disk.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// It is time to see whether agents are to be reminded.
fn nudge(cx: &mut Cx, id: &Id) {
    let (Some(project), Some(agents)) = (cx.shared.project(id), cx.shared.agents().get(id)) else { return };
    let present = agents.present(cx.now.mono);
    let beating = present.iter().filter(|(_, agent, _)| agent.silent(cx.now.mono) <= BEATING);
    let facts = beating.map(|(agent, a, _)| Facts {
        agent: (*agent).to_string(),
        first_beat: a.beats.times(usize::MAX).next().unwrap_or(a.beats.last()),
        last_beat: a.beats.last(),
        beats: a.beats.count(),
    });
    let agents: Vec<Facts> = facts.collect();
    if agents.is_empty() {
        // The next heartbeat sets it again.
        return;
    }
    let (root, prefix) = (project.root.clone(), readers(project, id));
    if let Some(state) = cx.shared.ledger_state(id) {
        cx.push(Effect::Nudge { root, state, prefix, agents });
    }
    cx.set_in(Timer::Nudge(id.clone()), NUDGE_EVERY);
}

/// It is time to tell who is at work.
fn tell_activity(cx: &mut Cx, id: &Id) {
    let mut text = match cx.shared.at_work(id, cx.now.mono).len() {
        // The next heartbeat sets it again.
        0 => return,
        1 => "1 agent is at work".to_string(),
        n => format!("{n} agents are at work"),
    };
    let ledger = cx.shared.clone_row(&Key::Ledger(id.clone()));
    if let Some(at) = ledger.and_then(|row| row.last_sync) {
        let minutes = cx.now.wall.duration_since(at).as_mins().max(0);
        text += &format!("; the ledger was synced {minutes} min ago");
    }
    if let Some(state) = cx.shared.ledger_state(id) {
        cx.push(Effect::TellActivity { state, text });
    }
    cx.set_in(Timer::Activity(id.clone()), ACTIVITY_EVERY);
}

/// The state directories of the clones that a project hears through, that of its ledger first.
fn states(cx: &Cx, id: &Id) -> Vec<PathBuf> {
    let ledger = cx.shared.ledger_state(id);
    let teams = cx.shared.clones_of(id).filter(|(key, _)| matches!(key, Key::Team(_)));
    let teams = teams.filter_map(|(_, row)| row.place.as_ref()).map(|place| place.state.clone());
    ledger.into_iter().chain(teams).collect()
}
