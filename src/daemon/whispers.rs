//! Murmurs and whispers as far as the core decides about them: which clones, which agents, and when.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attach::Project;
use super::core::Core;
use super::event::{Effect, Id, Key, Relay};
use super::repo::Repo;
use super::schedule::{ACTIVITY_EVERY, Beat, MARKS_AFTER, NUDGE_EVERY};
use super::trees;
use crate::ipc::ConnId;
use crate::ipc::wire::{Murmur, Response, WhisperHistoryAsk, Whispers, WhispersAsk};
use crate::kit::clock::{Mono, Now};
use crate::sync::Target;
use crate::whispers::nudge::Facts;
use crate::whispers::{Ask, Attention, Scope};

/// An agent counts as at work so long after its last heartbeat (7.2).
const AT_WORK: Duration = Duration::from_secs(15 * 60);
/// One that has been silent for longer is not reminded of anything (7.3).
const BEATING: Duration = Duration::from_secs(5 * 60);

impl Repo {
    fn scope(&self) -> Scope {
        match &self.target {
            Target::Ledger { .. } => Scope::Ledger,
            Target::Team { team, .. } => Scope::Team(team.id.clone()),
        }
    }
}

impl Project {
    /// What places of its agents are kept under, before their ids: agents of different repositories may have the same one.
    fn readers(&self, id: &Id) -> String {
        let own = if self.repo_id.is_empty() { &**id } else { self.repo_id.as_str() };
        format!("{own}:")
    }
}

/// A murmur is to be published: in one of the project's own clones and nowhere else.
pub(super) fn murmur(core: &mut Core, id: &Id, murmur: Box<Murmur>) {
    let wanted = lexical(Path::new(&murmur.target_dir));
    let place = |(_, r): &(&Key, &Repo)| {
        r.users.contains(id) && r.place.as_ref().is_some_and(|place| lexical(&place.path) == wanted)
    };
    let Some((key, repo)) = core.repos.iter().find(place) else {
        log::warn!("a murmur is not taken: {:?} is no clone of the project", murmur.target_dir);
        return;
    };
    let Some(state) = repo.place.as_ref().map(|place| place.state.clone()) else { return };
    let Some(root) = core.projects.get(id).map(|project| project.root.clone()) else { return };
    let effect = Effect::Murmur { key: key.clone(), root, state, scope: repo.scope(), murmur };
    core.out.push(effect);
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

/// A murmur waits to be committed: a sync does that soon.
pub(super) fn murmured(core: &mut Core, now: Now, key: &Key) {
    if let Some(repo) = core.repos.get_mut(key) {
        repo.schedule.trigger(now.mono);
        core.plan(now.mono, key);
    }
}

/// An agent asks what waits for it.
pub(super) fn pending(core: &mut Core, conn: ConnId, id: &Id, ask: &WhispersAsk) {
    if ask.agent_id.is_empty() {
        return core.out.push(Effect::Reply(conn, Response::error("agent_id required")));
    }
    let Some(project) = core.projects.get(id) else {
        return core.out.push(Effect::Reply(conn, Response::data(&Whispers::default())));
    };
    let ask = Ask {
        key: project.readers(id) + &ask.agent_id,
        agent: ask.agent_id.clone(),
        attention: Attention::of(&ask.attention),
        topics: ask.topics.clone(),
        budget: usize::try_from(ask.budget).ok().filter(|budget| *budget > 0),
    };
    core.out.push(Effect::Whispers { conn, id: id.clone(), states: states(core, id), ask });
}

/// Somebody asks for whispers of the past.
pub(super) fn history(core: &mut Core, conn: ConnId, id: &Id, ask: WhisperHistoryAsk) {
    let reader = core.projects.get(id).map(|p| p.readers(id) + &ask.agent_id).unwrap_or_default();
    core.out.push(Effect::WhisperHistory { conn, states: states(core, id), reader, ask });
}

/// An agent wants no nudges, or wants them again.
pub(super) fn pause(core: &mut Core, id: &Id, agent: String, paused: bool) {
    let state = ledger_state(core, id);
    match state.filter(|_| !agent.is_empty()) {
        Some(state) => core.out.push(Effect::PauseNudges { state, agent, paused }),
        None => log::debug!("a pause of nothing is dropped"),
    }
}

/// An agent has come further in the whispers for it, and was perhaps given some.
pub(super) fn given(core: &mut Core, now: Now, id: &Id, agent: &str, any: bool) {
    if let Some(project) = core.projects.get_mut(id).filter(|_| any) {
        project.presence.agents.whispered(agent, now.wall);
        project.beaten = true;
    }
    if !core.deadlines.has(&Beat::Marks) {
        core.deadlines.set(Beat::Marks, Some(now.mono + MARKS_AFTER));
    }
}

/// A clone is level: its murmurs are taken in if it has new ones, and once in the life of the process in any case.
pub(super) fn level(core: &mut Core, key: &Key, changed: bool) {
    let Some(repo) = core.repos.get(key) else { return };
    // HEAD may also have been moved by a run that failed later on, by a reclone or by another process.
    if !repo.relayed || changed || repo.facts.head != repo.relayed_head {
        let head = repo.facts.head.clone();
        relay(core, key, Some(head));
    }
}

/// A run has failed: it may have brought commits in before that.
pub(super) fn failed(core: &mut Core, key: &Key) {
    if core.repos.get(key).and_then(|r| r.place.as_ref()).is_some_and(|place| place.exists) {
        // HEAD may stand anywhere: from what is not there nothing follows.
        relay(core, key, None);
    }
}

fn relay(core: &mut Core, key: &Key, head: Option<String>) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.relayed = true;
    let since = std::mem::replace(&mut repo.relayed_head, repo.facts.head.clone());
    let (target, scope) = (repo.target.clone(), repo.scope());
    let users: Vec<Id> = repo.users.iter().cloned().collect();
    let tell = match &scope {
        // Of the first look nothing is said: what was there before is no news.
        Scope::Team(team) if !since.is_empty() => {
            let primary = |id: &&Id| core.projects.get(*id).is_some_and(|p| p.primary == *team);
            users.iter().filter(primary).filter_map(|id| ledger_state(core, id)).collect()
        }
        _ => Vec::new(),
    };
    let relay = Box::new(Relay { target, scope, since, head, tell });
    core.out.push(Effect::Relay { key: key.clone(), relay });
}

/// Murmurs of a clone have been taken in, or not all of them.
pub(super) fn relayed(core: &mut Core, key: &Key, done: bool) {
    if let Some(repo) = core.repos.get_mut(key) {
        repo.relayed &= done;
    }
}

/// Agents have been heard of: they are looked at from now on, and their work tree.
pub(super) fn heard(core: &mut Core, now: Now, id: &Id) {
    trees::watch(core, now, id);
    for (beat, every) in
        [(Beat::Nudge(id.clone()), NUDGE_EVERY), (Beat::Activity(id.clone()), ACTIVITY_EVERY)]
    {
        if !core.deadlines.has(&beat) {
            core.deadlines.set(beat, Some(now.mono + every));
        }
    }
}

/// The agents at work in a project, the newest heartbeat first.
pub(super) fn at_work(core: &Core, id: &Id, now: Mono) -> Vec<String> {
    let present = core.projects.get(id).map(|p| p.presence.agents.present(now)).unwrap_or_default();
    let at_work = present.iter().filter(|(_, agent, _)| agent.silent(now) <= AT_WORK);
    at_work.map(|(agent, ..)| (*agent).to_string()).collect()
}

/// It is time to look whether agents are to be reminded.
pub(super) fn nudge(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get(id) else { return };
    let present = project.presence.agents.present(now.mono);
    let beating = present.iter().filter(|(_, agent, _)| agent.silent(now.mono) <= BEATING);
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
    let (root, prefix) = (project.root.clone(), project.readers(id));
    if let Some(state) = ledger_state(core, id) {
        core.out.push(Effect::Nudge { root, state, prefix, agents });
    }
    core.deadlines.set(Beat::Nudge(id.clone()), Some(now.mono + NUDGE_EVERY));
}

/// It is time to say who is at work.
pub(super) fn activity(core: &mut Core, now: Now, id: &Id) {
    let at_work = at_work(core, id, now.mono).len();
    let synced = core.repos.get(&Key::Ledger(id.clone())).and_then(|r| r.last_sync);
    let mut text = match at_work {
        // The next heartbeat sets it again.
        0 => return,
        1 => "1 agent is at work".to_string(),
        n => format!("{n} agents are at work"),
    };
    if let Some(at) = synced {
        let minutes = now.wall.duration_since(at).as_mins().max(0);
        text += &format!("; the ledger was synced {minutes} min ago");
    }
    if let Some(state) = ledger_state(core, id) {
        core.out.push(Effect::SayActivity { state, text });
    }
    core.deadlines.set(Beat::Activity(id.clone()), Some(now.mono + ACTIVITY_EVERY));
}

/// It is time to look after the databases.
pub(super) fn maintain(core: &mut Core) {
    // One that was made anew has forgotten what it had: each clone's murmurs are looked at again after its next sync.
    core.repos.values_mut().for_each(|repo| repo.relayed = false);
    let states: Vec<PathBuf> =
        core.repos.values().filter_map(|r| r.place.as_ref()).map(|place| place.state.clone()).collect();
    if !states.is_empty() {
        core.out.push(Effect::MaintainStores { states });
    }
}

/// The state directories of the clones that a project hears through, that of its ledger first.
fn states(core: &Core, id: &Id) -> Vec<PathBuf> {
    let ledger = ledger_state(core, id);
    let of_team = |(key, r): &(&Key, &Repo)| matches!(key, Key::Team(_)) && r.users.contains(id);
    let teams = core.repos.iter().filter(of_team).filter_map(|(_, r)| r.place.as_ref());
    ledger.into_iter().chain(teams.map(|place| place.state.clone())).collect()
}

/// The state directory of a project's ledger.
pub(super) fn ledger_state(core: &Core, id: &Id) -> Option<PathBuf> {
    let place = core.repos.get(&Key::Ledger(id.clone()))?.place.as_ref()?;
    Some(place.state.clone())
}
