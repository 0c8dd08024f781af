//! The core's shell: its thread, its inbox, and each part's work.

pub(super) mod lanes;
pub(super) mod latest;
pub(super) mod watchers;

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Receiver, select};

use super::core::Core;
use super::event::{Effect, Event};
use super::upkeep::event::Handover;
use super::{
    accounts, agents, archive, clones, hooks, presence, projects, records, relay, sessions, trees, upkeep,
    whispers,
};
use crate::ipc::wire::Response;
use crate::ipc::{Inbound, ListenerId};
use crate::kit::clock::Now;
use lanes::{Lanes, Wake};

/// Requests and progress lines that may wait for the core; a further request is answered `busy`.
pub(super) const INBOX: usize = 1024;
/// After this long the core looks again even without a deadline.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The core's shell.
pub(super) struct Host {
    core: Core,
    lanes: Lanes,
    inbox: Receiver<Wake>,
    /// Jobs that were not begun: heard next.
    refused: VecDeque<Event>,
    projects: projects::work::Work,
    clones: clones::work::Work,
    accounts: accounts::work::Work,
    records: records::work::Work,
    whispers: whispers::work::Work,
    trees: trees::work::Work,
    sessions: sessions::work::Work,
    hooks: hooks::work::Work,
    agents: agents::work::Work,
    relay: relay::work::Work,
}

impl Host {
    /// A shell around `core`, whose requests come in at `inbox`.
    pub(super) fn new(
        core: Core,
        lanes: Lanes,
        inbox: Receiver<Wake>,
        (host_listener, instance): (ListenerId, projects::Instance),
    ) -> Host {
        Host {
            projects: projects::work::Work::new(&lanes, host_listener, instance),
            clones: clones::work::Work::new(&lanes),
            accounts: accounts::work::Work::new(&lanes),
            records: records::work::Work::new(&lanes),
            whispers: whispers::work::Work::new(&lanes),
            trees: trees::work::Work::default(),
            sessions: sessions::work::Work::default(),
            hooks: hooks::work::Work::default(),
            agents: agents::work::Work::default(),
            relay: relay::work::Work::default(),
            refused: VecDeque::new(),
            core,
            lanes,
            inbox,
        }
    }

    /// Runs until the core wants to exit; answers what is to be left to the program that then runs anew, if it does.
    pub(super) fn run(&mut self) -> Option<Handover> {
        let mut event = None;
        loop {
            let now = self.lanes.site.clock.now();
            let mut effects = Vec::new();
            for pulse in trees::work::pulses(&self.lanes) {
                effects.extend(self.core.turn(now, Some(pulse.into())));
            }
            effects.extend(self.core.turn(now, event.take()));
            let mut exit = None;
            for effect in effects {
                match effect {
                    Effect::Exit { again } => exit = Some(again),
                    effect => self.perform(effect),
                }
            }
            if let Some(again) = exit {
                return again;
            }
            self.refused.extend(self.lanes.refused());
            event = self.refused.pop_front().or_else(|| self.wait(now));
        }
    }

    fn wait(&self, now: Now) -> Option<Event> {
        self.next(self.core.next_deadline().map_or(WAIT_MAX, |at| at.since(now.mono)).min(WAIT_MAX))
    }

    /// The next event that comes within `wait`.
    fn next(&self, wait: Duration) -> Option<Event> {
        select! {
            recv(self.lanes.results()) -> event => event.ok(),
            recv(self.inbox) -> wake => match wake {
                Ok(Wake::Event(event)) => Some(*event),
                Ok(Wake::Ipc(inbound)) => self.request(inbound),
                Err(_) => None,
            },
            default(wait) => None,
        }
    }

    /// Hands the core all that waits for it.
    fn take_what_came(&mut self) {
        // No more than is there now: somebody may go on sending.
        for _ in 0..self.lanes.results().len() + self.inbox.len() {
            let now = self.lanes.site.clock.now();
            let event = self.next(Duration::ZERO);
            let effects = self.core.turn(now, event);
            effects.into_iter().for_each(|effect| self.perform(effect));
        }
    }

    fn request(&self, inbound: Inbound) -> Option<Event> {
        let Inbound { conn, listener, caller_id: caller, request } = inbound;
        let Some(via) = self.projects.via(listener) else {
            // Its project was let go of while the request waited.
            self.lanes.server.reply(conn, Response::busy("project is being detached"));
            return None;
        };
        Some(Event::Request { conn, via, caller, request })
    }

    fn perform(&mut self, effect: Effect) {
        let lanes = &self.lanes;
        match effect {
            Effect::Reply(conn, response) => lanes.server.reply(conn, response),
            Effect::Progress(conn, line) => lanes.server.progress(conn, line),
            Effect::Projects(effect) => self.projects.perform(lanes, effect),
            Effect::Clones(effect) => self.clones.perform(lanes, effect),
            Effect::Accounts(effect) => self.accounts.perform(lanes, effect),
            Effect::Presence(effect) => presence::work::perform(lanes, effect),
            Effect::Records(effect) => self.records.perform(lanes, effect),
            Effect::Whispers(effect) => self.whispers.perform(lanes, effect),
            Effect::Trees(effect) => self.trees.perform(lanes, effect),
            Effect::Sessions(effect) => self.sessions.perform(lanes, effect),
            Effect::Archive(effect) => archive::work::perform(lanes, effect),
            Effect::Hooks(effect) => self.hooks.perform(lanes, effect),
            Effect::Agents(effect) => self.agents.perform(lanes, effect),
            Effect::Relay(effect) => self.relay.perform(lanes, effect),
            Effect::Upkeep(effect) => upkeep::work::perform(lanes, effect),
            Effect::Exit { .. } => {}
        }
    }

    /// Takes what has come in until now, takes back everything outside the process, gives workers a last moment, and writes what is to be
    /// written. False if some did not end. What was served is remembered if the program runs `again`.
    pub(super) fn end(&mut self, again: bool) -> bool {
        self.lanes.server.hand_over();
        self.take_what_came();
        let effects = self.core.close(self.lanes.site.clock.now());
        effects.into_iter().for_each(|effect| self.perform(effect));
        self.clones.cancel_all();
        self.relay.end();
        let answers = self.lanes.server.close();
        let ended = self.lanes.close();
        self.accounts.end();
        self.records.end();
        self.clones.end();
        self.projects.end(&self.lanes.site, again);
        self.whispers.end();
        answers && ended
    }
}
