//! Background work: which sessions are to be finished, when an agent is run for one, and what that may cost.
//!
//! The decisions about time and money are [`crate::agents`]'; this part knows of projects and sessions.

mod cost;
pub mod event;
mod finish;
mod publish;
mod status;
pub(super) mod work;

pub use publish::{PublishError, Published, Sharer, publish};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::{Id, Key};
use crate::agents::kept::Kept;
use crate::agents::limits::{BYTES_A_TOKEN, OWN_TOKENS, PROMPT_MAX};
use crate::agents::manager::{self, Effect as Wanted, End, Ended, Manager};
use crate::agents::queue::{Item, Priority};
use crate::health::issues::Healed;
use crate::health::{Issue, IssueKind, Issues};
use crate::ipc::ConnId;
use crate::ipc::wire::{AgentWorkAsk, Response, SessionFinalize};
use crate::kit::clock::Mono;
use crate::sessions::Name;
use crate::sync::{LEDGER, Target};
use event::{Agent, Effect, Event, Found, Looked, Place, Timer};

/// Where nothing was to be found, somebody at work in a project has it looked again, this often at most.
pub const ASK_EVERY: Duration = Duration::from_secs(60);
/// After a session could not be shared with every try, others of the project that nobody asks for wait this long (agent work and
/// sessions, 7.6).
pub const HOLD: Duration = Duration::from_secs(15 * 60);
/// Sessions that cannot be finished and are remembered, of a project.
const STUCK_MAX: usize = 50;
/// Requests that wait for a look; a further one is answered `busy`, and a session found by a later look.
const WAITING_MAX: usize = 100;

/// Background work of all projects.
#[derive(Debug, Default)]
pub(super) struct Agents {
    /// None until what was spent has been read.
    manager: Option<Manager>,
    serial: u64,
    agent: Agent,
    /// A look has ended: it is known who is to be run.
    is_known: bool,
    looks: bool,
    looked: Option<Mono>,
    /// How many looks were begun; one at a time.
    begun: u64,
    /// Who waits for the end of which look.
    waiting: Vec<(u64, Waiter)>,
    pids: BTreeMap<u64, u32>,
    /// Sessions of a project that cannot be finished, and why.
    stuck: BTreeMap<Id, BTreeMap<Name, String>>,
    held: BTreeMap<Id, Mono>,
    issues: BTreeMap<Id, Issues>,
    /// Of the agent itself; each project has it.
    agent_issue: Issues,
}

/// Who waits for a look.
#[derive(Debug)]
enum Waiter {
    /// A request: how it stands.
    Conn(ConnId),
    /// A session that is to be finished before others, by what the manager calls it.
    Session(String),
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Agents(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Agents(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Agents(timer)
    }
}

/// What the manager calls a session of a project.
fn key_of(id: &Id, name: &Name) -> String {
    format!("{id}/{name}")
}

/// The project and the session that the manager calls so.
fn named(key: &str) -> Option<(Id, Name)> {
    let (id, name) = key.rsplit_once('/')?;
    Some((Id::from(id), Name::parse(name)?))
}

impl Agents {
    /// What was spent before this process counts.
    #[expect(clippy::unused_self, reason = "as the other parts begin")]
    pub(super) fn start(&self, cx: &mut Cx) {
        cx.push(Effect::Load);
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Loaded(kept) => {
                self.manager = Some(Manager::new(cx.now.mono, kept));
                self.tell(cx, manager::Event::Due);
                if !self.waiting.is_empty() {
                    self.tell(cx, manager::Event::Look);
                }
            }
            Event::Looked(looked) => self.looked(cx, looked),
            Event::Began(run, pid) => {
                if self.manager.as_ref().is_some_and(|manager| manager.is_running(run)) {
                    self.pids.insert(run, pid);
                    self.show(cx);
                }
            }
            Event::Ended(run, ended) => self.ended(cx, run, ended),
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        let Timer::Due = timer;
        self.tell(cx, manager::Event::Due);
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { .. } | Fact::Moved(_) => self.tell(cx, manager::Event::LookSoon),
            Fact::Detached { id, .. } => {
                self.stuck.remove(id);
                self.held.remove(id);
                self.issues.remove(id);
                self.tell(cx, manager::Event::Gone(format!("{id}/")));
            }
            // The configuration may say something else by now.
            Fact::Heard { .. } => {
                let is_old = self.looked.is_some_and(|at| cx.now.mono.since(at) >= ASK_EVERY);
                if !self.looks && is_old {
                    self.looked = Some(cx.now.mono);
                    self.tell(cx, manager::Event::Look);
                }
            }
            Fact::UpToDate { key: Key::Ledger(_), .. } | Fact::Jumped => {
                self.tell(cx, manager::Event::Pulled);
            }
            _ => {}
        }
    }

    /// A recording has ended: it is finished as soon as may be.
    pub(super) fn finalize_asked(&mut self, cx: &mut Cx, id: &Id, told: &SessionFinalize) {
        let Some(name) = Name::parse(&told.session_name) else {
            return log::warn!("a session is to be finished under a name that is none");
        };
        // Where it lies is looked up: whoever asks is not believed in that.
        self.await_look(cx, Waiter::Session(key_of(id, &name)));
    }

    /// Has a look begun, and somebody wait for its end: what they ask for may be newer than what one under way finds.
    fn await_look(&mut self, cx: &mut Cx, who: Waiter) {
        if self.waiting.len() >= WAITING_MAX {
            if let Waiter::Conn(conn) = who {
                cx.reply(conn, Response::busy("background work"));
            }
            return;
        }
        self.waiting.push((self.begun + 1, who));
        self.tell(cx, manager::Event::Look);
    }

    /// Whether a look was begun because of this, and how many sessions wait now.
    pub(super) fn doctor_asked(&mut self, cx: &mut Cx) -> (bool, usize) {
        self.tell(cx, manager::Event::Look);
        (self.looks, self.manager.as_ref().map_or(0, Manager::waiting))
    }

    /// Whoever asks wants to know how it is, and may want it otherwise.
    pub(super) fn asked(&mut self, cx: &mut Cx, conn: ConnId, ask: &AgentWorkAsk) {
        if let Some(pause) = ask.pause {
            self.tell(cx, manager::Event::Pause(pause));
            self.keep(cx);
        }
        if ask.peek {
            return cx.reply(conn, Response::data(&self.status_in_full(cx.now)));
        }
        // The configuration may have changed.
        self.await_look(cx, Waiter::Conn(conn));
    }

    /// Whether anything of the project waits or is done.
    pub(super) fn is_busy(&self, id: &Id) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.has_work_of(&format!("{id}/")))
    }

    /// What keeps sessions of the project from being finished.
    pub(super) fn issues_of(&self, id: &Id) -> Vec<Issue> {
        let mut all = self.agent_issue.sorted();
        all.extend(self.issues.get(id).map(Issues::sorted).unwrap_or_default());
        all
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        let stuck: usize = self.stuck.values().map(BTreeMap::len).sum();
        stuck
            + self.waiting.len()
            + self.held.len()
            + self.issues.len()
            + self.pids.len()
            + self.manager.as_ref().map_or(0, Manager::waiting)
    }

    fn looked(&mut self, cx: &mut Cx, looked: Option<Looked>) {
        self.looked = Some(cx.now.mono);
        let (waiting, ended) = (std::mem::take(&mut self.waiting), self.begun);
        let (over, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(look, _)| *look <= ended);
        self.waiting = waiting;
        match looked {
            Some(looked) => self.found(cx, looked, &over),
            None => self.tell(cx, manager::Event::Found(None)),
        }
        for (_, who) in over {
            if let Waiter::Conn(conn) = who {
                cx.reply(conn, Response::data(&self.status_in_full(cx.now)));
            }
        }
    }

    fn found(&mut self, cx: &mut Cx, looked: Looked, waited: &[(u64, Waiter)]) {
        let Looked { settings, agent, found, troubles } = looked;
        let is_another = agent.word != self.agent.word;
        (self.agent, self.is_known, self.looks) = (agent, true, settings.looks);
        if !settings.on || is_another {
            self.agent_issue.heal(LEDGER, Healed::AgentRun);
        }
        let there: BTreeSet<(&Id, &Name)> = found.iter().map(|one| (&one.id, &one.name)).collect();
        for (id, stuck) in &mut self.stuck {
            stuck.retain(|name, _| there.contains(&(id, name)));
        }
        for (id, why) in troubles {
            log::warn!("[{id}] {why}");
        }
        self.tell(cx, manager::Event::Settings(settings));
        let is_asked = |item: &&Item| {
            waited.iter().any(|(_, who)| matches!(who, Waiter::Session(key) if *key == item.key))
        };
        let items: Vec<Item> = found.iter().map(|one| self.item(cx, one)).collect();
        let asked: Vec<Item> = items.iter().filter(is_asked).cloned().collect();
        for item in asked {
            self.tell(cx, manager::Event::Asked(Item { not_before: cx.now.mono, ..item }));
        }
        self.tell(cx, manager::Event::Found(Some(items)));
        self.tell_stuck(cx);
    }

    fn item(&self, cx: &Cx, found: &Found) -> Item {
        let prompt = found.bytes.min(PROMPT_MAX);
        let held = self.held.get(&found.id).copied().unwrap_or(cx.now.mono);
        Item {
            key: key_of(&found.id, &found.name),
            priority: Priority::Found,
            needs_agent: found.needs_agent,
            tokens: if found.needs_agent { prompt / BYTES_A_TOKEN + OWN_TOKENS } else { 0 },
            came: cx.now.mono,
            not_before: held.max(cx.now.mono),
            attempts: 0,
            error: String::new(),
        }
    }

    fn ended(&mut self, cx: &mut Cx, run: u64, ended: Ended) {
        self.pids.remove(&run);
        let Some(manager) = &self.manager else { return };
        let failures = manager.stats().failures;
        let key = manager.active().find(|one| one.id == run).map(|one| one.key);
        let named = key.as_deref().and_then(named);
        let (end, error) = (ended.end.clone(), ended.error.clone());
        if let Some((_, name)) = &named {
            match end {
                End::Done => log::info!("session {name} is finished"),
                _ => log::warn!("session {name} is not finished: {error}"),
            }
        }
        match end {
            End::Done | End::Unfinished | End::Quota(_) => {
                self.agent_issue.heal(LEDGER, Healed::AgentRun);
            }
            End::Auth => {
                let text = format!("{} refuses its login: {error}; ox agents status", self.agent.word);
                self.agent_issue.raise(IssueKind::AgentStuck, LEDGER, text, cx.now.wall);
            }
            _ => {}
        }
        self.tell(cx, manager::Event::Ended(run, ended));
        let is_share = end == End::Unfinished;
        let is_final = self.manager.as_ref().is_some_and(|manager| manager.stats().failures > failures);
        if let Some((id, name)) = named {
            let stuck = self.stuck.entry(id.clone()).or_default();
            if is_final && stuck.len() < STUCK_MAX {
                stuck.insert(name, error);
                if is_share {
                    self.held.insert(id, cx.now.mono + HOLD);
                }
            } else if end == End::Done {
                stuck.remove(&name);
                self.held.remove(&id);
            }
        }
        self.tell_stuck(cx);
        self.show(cx);
    }

    /// Says which sessions cannot be finished, and no longer says it of those that are.
    fn tell_stuck(&mut self, cx: &mut Cx) {
        self.stuck.retain(|_, stuck| !stuck.is_empty());
        let ids: Vec<Id> = cx.shared.projects().keys().cloned().collect();
        for id in ids {
            let issues = self.issues.entry(id.clone()).or_default();
            let changed =
                match self.stuck.get(&id).and_then(|stuck| stuck.first_key_value().map(|one| (stuck, one))) {
                    None => issues.heal(LEDGER, Healed::Finished),
                    Some((stuck, (name, why))) => {
                        let more = match stuck.len() {
                            1 => String::new(),
                            n => format!(" and {} more", n - 1),
                        };
                        let text = format!(
                            "session {name}{more} cannot be finished: {why}; ox session retry {name}"
                        );
                        issues.raise(IssueKind::SessionStuck, LEDGER, text, cx.now.wall)
                    }
                };
            if changed {
                cx.stale(&id);
            }
        }
        self.issues.retain(|_, issues| !issues.sorted().is_empty());
    }

    fn tell(&mut self, cx: &mut Cx, event: manager::Event) {
        let Some(manager) = &mut self.manager else { return };
        let wanted = manager.handle(cx.now, event);
        self.perform(cx, wanted);
    }

    fn perform(&mut self, cx: &mut Cx, wanted: Vec<Wanted>) {
        let mut changed = false;
        for one in wanted {
            match one {
                Wanted::Look => {
                    self.begun += 1;
                    let places = cx.shared.projects().keys().filter_map(|id| place(cx, id)).collect();
                    cx.push(Effect::Look(places));
                }
                Wanted::Run(run, item) => {
                    changed = true;
                    self.run(cx, run, &item);
                }
                Wanted::Save(_) => self.keep(cx),
                Wanted::Paused(pause) => {
                    changed = true;
                    match pause {
                        None => log::info!("agents are run in the background again"),
                        Some(pause) => {
                            log::info!("no agent is run in the background: {}", status::told(&pause))
                        }
                    }
                }
            }
        }
        if changed {
            self.show(cx);
        }
        let due = self.manager.as_ref().and_then(|manager| manager.next_deadline(cx.now));
        cx.set(Timer::Due, due);
    }

    fn run(&mut self, cx: &mut Cx, run: u64, item: &Item) {
        let wanted = named(&item.key).and_then(|(id, name)| place(cx, &id).map(|place| (place, name)));
        let kept = self.kept();
        match wanted {
            Some((place, name)) if !cx.closing => {
                let with_agent = item.needs_agent;
                cx.push(Effect::Run { run, place: Box::new(place), name, with_agent, kept });
            }
            // Nobody begins it: it is as if it had not been wanted.
            _ => {
                let cost = Some(crate::agents::budget::Cost::default());
                let ended = Ended { end: End::Cancelled, error: String::new(), exit_code: 0, cost };
                if let Some(manager) = &mut self.manager {
                    manager.handle(cx.now, manager::Event::Gone(item.key.clone()));
                    manager.handle(cx.now, manager::Event::Ended(run, ended));
                }
            }
        }
    }

    fn kept(&mut self) -> Kept {
        self.serial += 1;
        let kept = self.manager.as_ref().map(Manager::kept).unwrap_or_default();
        Kept { serial: self.serial, ..kept }
    }

    fn keep(&mut self, cx: &mut Cx) {
        let kept = self.kept();
        cx.push(Effect::Keep(kept));
    }

    /// What is shown of it has changed, in every project.
    #[expect(clippy::unused_self, reason = "said of it")]
    fn show(&self, cx: &mut Cx) {
        let ids: Vec<Id> = cx.shared.projects().keys().cloned().collect();
        ids.iter().for_each(|id| cx.stale(id));
    }
}

/// A project as work on its sessions sees it.
fn place(cx: &Cx, id: &Id) -> Option<Place> {
    let project = cx.shared.project(id)?;
    let root = project.root.clone();
    let row = cx.shared.clone_row(&Key::Ledger(id.clone()));
    let plain = || Target::Ledger { root: root.clone(), url: None, read_only: false };
    let target = row.map_or_else(plain, |row| row.target.clone());
    Some(Place { id: id.clone(), root, target })
}
