//! When work in the background is looked for, when it is run, and when not: a state machine on a clock that is handed in. What the work
//! means is somebody else's. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::budget::{Budget, Caps, Cost, Spent};
use super::kept::Kept;
use super::limits::{
    ATTEMPTS_MAX, AUTH_PAUSE, BREAK, CONCURRENCY, DETECT_EVERY, DETECT_FIRST, ERROR_MAX, FAILURES_IN_A_ROW,
    HISTORY_MAX, QUOTA_PAUSE, QUOTA_PAUSE_MAX, RETRY_AFTER,
};
use super::queue::{Item, Priority, Put, Queue};
use crate::kit::clock::{Mono, Now};
use crate::kit::ring::Ring;
use crate::kit::text::cut;

/// What the configuration says, and what was found of the agent that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether agents are run at all. What needs none is done in any case.
    pub on: bool,
    /// Whether a look may find anything; else there is none until somebody asks for it.
    pub looks: bool,
    /// Which agent that is, and of which model: walls and failures are another's where that changes.
    pub agent: String,
    /// The agent is there and can be used.
    pub usable: bool,
    /// Runs at a time; at most [`CONCURRENCY`].
    pub concurrency: usize,
    /// What it may cost.
    pub caps: Caps,
    /// What a run takes of money at most, in millionths of a dollar; zero where nothing is known of prices.
    pub micro_usd_a_run: u64,
}

/// Why no agent is run for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// The user said so, until the user says otherwise.
    User,
    /// The model's server has had enough of us.
    Quota(Timestamp),
    /// The agent's login was refused.
    Auth(Timestamp),
    /// Too many failures in a row.
    Failures(Timestamp),
    /// What it may cost is spent.
    #[serde(skip)]
    Budget(Spent),
}

impl Pause {
    /// When it is over by itself.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Pause::User => None,
            Pause::Quota(at) | Pause::Auth(at) | Pause::Failures(at) => Some(*at),
            Pause::Budget(spent) => Some(spent.until()),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// It failed by itself, and may go better the next time.
    Failed,
    /// The agent has done its part, or none was needed; what is left to do failed, and may go better the next time.
    Unfinished,
    /// What came of it cannot be used, and would be so again.
    Rejected,
    /// The server's quota is used up, until then if it says so.
    Quota(Option<Timestamp>),
    /// The login was refused.
    Auth,
    /// The process ends: it was nobody's fault.
    Cancelled,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// Why, where it failed.
    pub error: String,
    /// The exit code of the agent; zero where there is none.
    pub exit_code: i32,
    /// What it took, where that is known.
    pub cost: Option<Cost>,
}

/// What the manager hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The configuration, or what is known of the agent, is this.
    Settings(Settings),
    /// The ledger was pulled: what waits may run.
    Pulled,
    /// A look found this; or failed.
    Found(Option<Vec<Item>>),
    /// Somebody asks for this.
    Asked(Item),
    /// Somebody asks for a look.
    Look,
    /// A look is worth while, after the others that may have reason for one.
    LookSoon,
    /// What waits and is called so, or begins so, is nobody's any more.
    Gone(String),
    /// A run has ended.
    Ended(u64, Ended),
    /// Nobody is to be run, or as before.
    Pause(bool),
    /// A deadline has come.
    Due,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look for work; ends in [`Event::Found`].
    Look,
    /// Run an item; ends in [`Event::Ended`].
    Run(u64, Item),
    /// Keep this.
    Save(Kept),
    /// Nobody is run for a while, or somebody is again.
    Paused(Option<Pause>),
}

/// A run under way, or one of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// What was run.
    pub key: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took; none while it runs.
    pub took: Option<SignedDuration>,
    /// Why it failed; empty where it did not.
    pub error: String,
    /// The agent's exit code.
    pub exit_code: i32,
}

/// How often it was run, and with what result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items that were brought to an end.
    pub total: u64,
    /// Well.
    pub successes: u64,
    /// Or not.
    pub failures: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Manager {
    settings: Settings,
    queue: Queue,
    budget: Budget,
    running: BTreeMap<u64, Running>,
    last_run: u64,
    recent: Ring<Run>,
    stats: Stats,
    pause: Option<Pause>,
    /// What was told last of it.
    told: Option<Pause>,
    failures: u32,
    looking: bool,
    look_again: bool,
    look_at: Option<Mono>,
}

#[derive(Debug)]
struct Running {
    item: Item,
    began: Now,
    most: Cost,
    /// Nobody wants it any more: it is not run again.
    gone: bool,
}

impl Manager {
    /// One that begins, with what was kept before.
    pub fn new(now: Mono, kept: Kept) -> Manager {
        let Kept { budget, pause, failures, agent, serial: _ } = kept;
        Manager {
            settings: Settings { agent, ..Settings::default() },
            queue: Queue::default(),
            budget,
            running: BTreeMap::new(),
            last_run: 0,
            recent: Ring::new(HISTORY_MAX),
            stats: Stats::default(),
            pause,
            told: None,
            failures,
            looking: false,
            look_again: false,
            look_at: Some(now + DETECT_FIRST),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Settings(settings) => {
                // Whose walls these were is not asked any more.
                if settings.on && settings.agent != self.settings.agent {
                    self.pause.take_if(|pause| *pause != Pause::User);
                    self.failures = 0;
                }
                // What was known of an agent stays so while none is wanted.
                let agent = if settings.on { settings.agent.clone() } else { self.settings.agent.clone() };
                self.settings = Settings { agent, ..settings };
                if !self.settings.on {
                    self.queue.drop_those_for_agents();
                }
                let next = self.look_at.unwrap_or(now.mono + DETECT_EVERY);
                self.look_at = self.settings.looks.then_some(next);
                // It is looked at anew.
                self.pause.take_if(|pause| matches!(pause, Pause::Budget(_)));
            }
            Event::Pulled => {}
            Event::Found(found) => {
                self.looking = false;
                let found = found.into_iter().flatten().filter(|item| self.settings.on || !item.needs_agent);
                found.for_each(|item| drop(self.queue.put(item)));
            }
            Event::Asked(item) => {
                let may = self.settings.on || !item.needs_agent;
                if may && self.queue.put(Item { priority: Priority::Asked, ..item }) == Put::Full {
                    log::warn!(
                        "background work is asked for that there is no room for; a later look finds it"
                    );
                }
            }
            Event::Look => self.look(now, &mut out),
            Event::LookSoon if self.looking => self.look_again = true,
            Event::LookSoon => {
                let soon = now.mono + DETECT_FIRST;
                self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
            }
            Event::Gone(start) => {
                self.queue.drop_all(&start);
                let left = self.running.values_mut().filter(|run| run.item.key.starts_with(&start));
                left.for_each(|run| run.gone = true);
            }
            Event::Ended(run, ended) => self.ended(now, run, ended, &mut out),
            Event::Pause(true) => self.pause = Some(Pause::User),
            Event::Pause(false) => (self.pause, self.failures) = (None, 0),
            Event::Due => {}
        }
        let is_due = self.look_at.is_some_and(|at| at <= now.mono);
        if is_due || !self.looking && std::mem::take(&mut self.look_again) {
            self.look(now, &mut out);
        }
        self.drain(now, &mut out);
        if self.told != self.pause {
            self.told.clone_from(&self.pause);
            out.push(Effect::Paused(self.pause.clone()));
            out.push(Effect::Save(self.kept()));
        }
        out
    }

    /// When it wants to be called in any case; never where nothing is to come.
    pub fn next_deadline(&self, now: Now) -> Option<Mono> {
        let wall = |at: Timestamp| {
            let wait = at.duration_since(now.wall).max(SignedDuration::ZERO);
            now.mono + wait.unsigned_abs()
        };
        let due = self.queue.next_due(now.mono).filter(|_| self.running.len() < self.slots());
        let resumes = self.pause.as_ref().and_then(Pause::until).filter(|_| self.queue.wants_agent());
        // One that is over already is seen by the next turn; no clock has it asked again and again until then.
        let resumes = resumes.map(|at| wall(at).max(now.mono + Duration::from_secs(1)));
        [self.look_at, due, resumes].into_iter().flatten().min()
    }

    /// Whether anything waits or runs.
    pub fn has_work(&self) -> bool {
        self.queue.waiting() + self.queue.running() > 0
    }

    /// Whether anything that is called so, or begins so, runs, or waits and may run.
    pub fn has_work_of(&self, start: &str) -> bool {
        let agents = self.settings.on && self.settings.usable && self.pause.is_none();
        self.queue.has(start, agents)
    }

    /// What waits, the next first.
    pub fn queued(&self) -> Vec<&Item> {
        self.queue.all()
    }

    /// What is to be remembered of it.
    pub fn kept(&self) -> Kept {
        let pause = self.pause.clone().filter(|pause| !matches!(pause, Pause::Budget(_)));
        let agent = self.settings.agent.clone();
        Kept { budget: self.budget, pause, failures: self.failures, agent, serial: 0 }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// What runs now.
    pub fn active(&self) -> impl Iterator<Item = Run> {
        self.running.iter().map(|(id, running)| Run {
            id: *id,
            key: running.item.key.clone(),
            began: running.began.wall,
            took: None,
            error: String::new(),
            exit_code: 0,
        })
    }

    /// Whether this one is still under way.
    pub fn is_running(&self, run: u64) -> bool {
        self.running.contains_key(&run)
    }

    /// What it may cost, and how much runs at a time.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What ran last, the oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Run> {
        self.recent.iter()
    }

    /// How often it was run.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What was spent.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Why nobody is run now.
    pub fn paused(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    fn slots(&self) -> usize {
        self.settings.concurrency.clamp(CONCURRENCY.0, CONCURRENCY.1)
    }

    fn look(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.look_at = self.settings.looks.then_some(now.mono + DETECT_EVERY);
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        out.push(Effect::Look);
    }

    /// Runs what may be run.
    fn drain(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.pause.as_ref().and_then(Pause::until).is_some_and(|until| until <= now.wall) {
            self.pause = None;
        }
        while self.running.len() < self.slots() {
            let tokens = self.tokens(now);
            let Some(item) = self.queue.next(now.mono, tokens) else { return };
            let most = match item.needs_agent {
                true => Cost { tokens: item.tokens, micro_usd: self.settings.micro_usd_a_run },
                false => Cost::default(),
            };
            if item.needs_agent {
                self.budget.begin(now.wall, most);
                // Before it runs: a crash gives nothing back.
                out.push(Effect::Save(self.kept()));
            }
            self.last_run += 1;
            out.push(Effect::Run(self.last_run, item.clone()));
            self.running.insert(self.last_run, Running { item, began: now, most, gone: false });
        }
    }

    /// Input tokens that the next run of an agent may take; none if there is to be no such run.
    fn tokens(&mut self, now: Now) -> Option<u64> {
        if self.pause.is_some() || !self.settings.on || !self.settings.usable || !self.queue.wants_agent() {
            return None;
        }
        match self.budget.left(now.wall, self.settings.caps, self.settings.micro_usd_a_run) {
            Ok(tokens) if self.queue.least_tokens(now.mono).is_some_and(|least| least > tokens) => {
                self.pause = Some(Pause::Budget(Spent::Tokens(self.budget.day_ends(now.wall))));
                None
            }
            Ok(tokens) => Some(tokens),
            Err(spent) => {
                self.pause = Some(Pause::Budget(spent));
                None
            }
        }
    }

    fn ended(&mut self, now: Now, run: u64, ended: Ended, out: &mut Vec<Effect>) {
        let Some(Running { item, began, most, gone }) = self.running.remove(&run) else { return };
        if item.needs_agent {
            self.budget.end(most, ended.cost);
            out.push(Effect::Save(self.kept()));
        }
        let error = cut(&ended.error, ERROR_MAX).to_owned();
        if gone {
            return self.queue.done(&item.key);
        }
        let pause = |for_: SignedDuration| now.wall.checked_add(for_).unwrap_or(now.wall);
        match ended.end {
            End::Done => {
                self.failures = 0;
                self.finish(now, run, &item, began, String::new(), ended.exit_code);
            }
            End::Rejected => {
                let was_asked = item.needs_agent && ended.cost != Some(Cost::default());
                self.failed(now, u32::from(was_asked));
                self.finish(now, run, &item, began, error, ended.exit_code);
            }
            End::Failed => {
                self.failed(now, u32::from(item.needs_agent));
                self.try_again(now, run, item, began, error, ended.exit_code);
            }
            End::Unfinished => {
                self.failures = 0;
                let item = Item { needs_agent: false, tokens: 0, ..item };
                self.try_again(now, run, item, began, error, ended.exit_code);
            }
            // These are no attempts: it waits with all others.
            End::Quota(until) => {
                let until = until.unwrap_or_else(|| pause(QUOTA_PAUSE)).min(pause(QUOTA_PAUSE_MAX));
                self.rest(Pause::Quota(until));
                self.queue.again(Item { error, ..item });
            }
            End::Auth => {
                self.rest(Pause::Auth(pause(AUTH_PAUSE)));
                self.queue.again(Item { error, ..item });
            }
            End::Cancelled => drop(self.queue.again(item)),
        }
    }

    /// Nobody is run for a while; what the user said stays.
    fn rest(&mut self, pause: Pause) {
        if self.pause != Some(Pause::User) {
            self.pause = Some(pause);
        }
    }

    /// An agent has failed so often once more. Until one goes well, each further failure is one too many.
    fn failed(&mut self, now: Now, times: u32) {
        self.failures += times;
        if times > 0 && self.failures >= FAILURES_IN_A_ROW {
            self.rest(Pause::Failures(now.wall.checked_add(BREAK).unwrap_or(now.wall)));
        }
    }

    /// An item that failed by itself waits for its next run, if it has one left.
    fn try_again(&mut self, now: Now, run: u64, item: Item, began: Now, error: String, exit_code: i32) {
        let attempts = item.attempts + 1;
        match RETRY_AFTER.get(attempts as usize - 1).filter(|_| attempts < ATTEMPTS_MAX) {
            Some(wait) => {
                self.queue.again(Item { attempts, error, not_before: now.mono + *wait, ..item });
            }
            None => self.finish(now, run, &item, began, error, exit_code),
        }
    }

    /// An item is brought to an end.
    fn finish(&mut self, now: Now, run: u64, item: &Item, began: Now, error: String, exit_code: i32) {
        self.queue.done(&item.key);
        self.stats.total += 1;
        match error.is_empty() {
            true => self.stats.successes += 1,
            false => self.stats.failures += 1,
        }
        let took = SignedDuration::try_from(now.mono.since(began.mono)).unwrap_or_default();
        self.recent.push(Run {
            id: run,
            key: item.key.clone(),
            began: began.wall,
            took: Some(took),
            error,
            exit_code,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::limits::WAITING_MAX;
    use crate::kit::rng::Rng;

    /// A manager, its clock, and what it wanted.
    struct Bench {
        manager: Manager,
        now: Now,
        wanted: Vec<(Duration, Effect)>,
    }

    fn on() -> Settings {
        Settings { on: true, looks: true, usable: true, concurrency: 1, ..Settings::default() }
    }

    fn item(key: &str, now: Now) -> Item {
        Item {
            key: key.into(),
            priority: Priority::Found,
            needs_agent: true,
            tokens: 1000,
            came: now.mono,
            not_before: now.mono,
            attempts: 0,
            error: String::new(),
        }
    }

    fn ended(end: End) -> Ended {
        Ended { end, error: "why".into(), exit_code: 1, cost: None }
    }

    fn well() -> Ended {
        Ended {
            end: End::Done,
            error: String::new(),
            exit_code: 0,
            cost: Some(Cost { tokens: 10, micro_usd: 0 }),
        }
    }

    impl Bench {
        fn new(settings: Settings) -> Bench {
            let now = Now { mono: Mono::ZERO, wall: Timestamp::from_second(1_900_000_000).unwrap() };
            let manager = Manager::new(now.mono, Kept::default());
            let mut bench = Bench { manager, now, wanted: Vec::new() };
            bench.tell(Event::Settings(settings));
            bench
        }

        fn tell(&mut self, event: Event) {
            let effects = self.manager.handle(self.now, event);
            let at = self.now.mono.since(Mono::ZERO);
            self.wanted.extend(effects.into_iter().map(|effect| (at, effect)));
        }

        /// Lets time pass, with every deadline met to the moment.
        fn pass(&mut self, time: Duration) {
            let end = self.now.mono + time;
            loop {
                let next = self.manager.next_deadline(self.now).filter(|next| *next <= end);
                let Some(next) = next else { break };
                let next = next.max(self.now.mono + Duration::from_nanos(1));
                self.go(next);
                self.tell(Event::Due);
            }
            self.go(end);
        }

        fn go(&mut self, to: Mono) {
            let by = SignedDuration::try_from(to.since(self.now.mono)).unwrap();
            self.now = Now { mono: to, wall: self.now.wall + by };
        }

        fn runs(&self) -> Vec<(u64, u64, &str)> {
            let runs = self.wanted.iter().filter_map(|(at, effect)| match effect {
                Effect::Run(run, item) => Some((at.as_secs(), *run, item.key.as_str())),
                _ => None,
            });
            runs.collect()
        }

        fn find(&mut self, keys: &[&str]) {
            let found = keys.iter().map(|key| item(key, self.now)).collect();
            self.tell(Event::Found(Some(found)));
        }
    }

    #[test]
    fn it_looks_soon_after_the_start_and_then_every_five_minutes_and_a_pull_only_runs_what_waits() {
        let mut bench = Bench::new(on());
        bench.pass(Duration::from_secs(29));
        assert_eq!(bench.wanted, []);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.wanted, [(DETECT_FIRST, Effect::Look)]);
        bench.tell(Event::Pulled);
        bench.find(&["a", "b", "a"]);
        bench.tell(Event::Pulled);
        assert_eq!(bench.runs(), [(30, 1, "a")], "one at a time");
        bench.tell(Event::Ended(1, well()));
        assert_eq!(bench.runs()[1..], [(30, 2, "b")]);
        bench.tell(Event::Ended(2, well()));
        bench.wanted.clear();
        bench.pass(Duration::from_secs(3600));
        let looks: Vec<u64> = bench.wanted.iter().map(|(at, _)| at.as_secs()).collect();
        // Nobody answers the first: it is not asked for a second time.
        assert_eq!(looks, [330]);
        bench.find(&[]);
        assert_eq!(bench.wanted.len(), 2, "it was asked for meanwhile");
        assert_eq!((bench.manager.stats().total, bench.manager.recent().count()), (2, 2));
        assert!(!bench.manager.has_work());
    }

    #[test]
    fn where_it_is_off_no_agent_is_run_and_what_needs_none_is_done() {
        let mut bench = Bench::new(Settings { looks: true, ..Settings::default() });
        bench.pass(Duration::from_secs(30));
        assert_eq!(bench.wanted, [(DETECT_FIRST, Effect::Look)]);
        bench.find(&["a"]);
        bench.tell(Event::Asked(item("b", bench.now)));
        assert!(!bench.manager.has_work());
        let upload = |bench: &Bench, key: &str| Item { needs_agent: false, ..item(key, bench.now) };
        bench.tell(Event::Asked(upload(&bench, "up")));
        assert_eq!(bench.runs(), [(30, 1, "up")]);
        bench.tell(Event::Ended(1, well()));
        // On, and no agent to be used: only what needs none.
        bench.tell(Event::Settings(Settings { usable: false, ..on() }));
        bench.tell(Event::Found(Some(vec![item("a", bench.now), upload(&bench, "up")])));
        assert_eq!(bench.runs()[1..], [(30, 2, "up")]);
        assert_eq!(bench.manager.budget().spent().0, 0);
    }

    #[test]
    fn where_nothing_is_to_be_found_it_looks_once_and_then_when_somebody_has_reason_to() {
        let mut bench = Bench::new(Settings::default());
        // What the first look found out: nobody wants anything.
        assert_eq!(bench.manager.next_deadline(bench.now), None);
        bench.tell(Event::LookSoon);
        bench.tell(Event::LookSoon);
        bench.pass(Duration::from_secs(40));
        bench.tell(Event::LookSoon);
        bench.find(&[]);
        let looks: Vec<u64> = bench.wanted.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(looks, [30, 40], "the one that came while it looked is done when that has ended");
        bench.find(&[]);
        bench.pass(Duration::from_secs(24 * 3600));
        assert_eq!((bench.wanted.len(), bench.manager.next_deadline(bench.now)), (2, None));
    }

    #[test]
    fn what_is_of_a_project_that_has_gone_is_not_run() {
        let mut bench = Bench::new(on());
        bench.find(&["p/a", "p/b", "q/a"]);
        bench.tell(Event::Gone("p/".into()));
        assert!(bench.manager.has_work_of("p/"), "one runs");
        bench.tell(Event::Ended(1, ended(End::Failed)));
        assert!(!bench.manager.has_work_of("p/"), "and is not tried again");
        let keys: Vec<&str> = bench.runs().iter().map(|(.., key)| *key).collect();
        assert_eq!(keys, ["p/a", "q/a"]);
    }

    #[test]
    fn an_item_that_fails_is_run_three_times_at_growing_times() {
        let mut bench = Bench::new(on());
        bench.pass(Duration::from_secs(30));
        bench.find(&["a"]);
        for run in 1..=3 {
            bench.tell(Event::Ended(run, ended(End::Failed)));
            bench.pass(Duration::from_secs(400));
        }
        let times: Vec<u64> = bench.runs().iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [30, 60, 430 + 300], "{:?}", bench.runs());
        assert_eq!((bench.manager.stats().failures, bench.manager.waiting()), (1, 0));
        assert_eq!(bench.manager.recent().next().unwrap().error, "why");
        assert!(matches!(bench.manager.paused(), Some(Pause::Failures(_))));
    }

    #[test]
    fn what_is_left_to_do_after_the_agent_has_done_its_part_runs_none_again() {
        let mut bench = Bench::new(on());
        bench.find(&["a"]);
        for run in 1..=3 {
            bench.tell(Event::Ended(run, ended(End::Unfinished)));
            bench.pass(Duration::from_secs(301));
        }
        assert_eq!(bench.manager.budget().spent().0, 1, "{:?}", bench.runs());
        assert_eq!((bench.runs().len(), bench.manager.stats().failures), (3, 1));
        assert_eq!(bench.manager.paused(), None, "no agent has failed");
    }

    #[test]
    fn agt_04_a_wall_is_waited_for_and_is_no_attempt() {
        let mut bench = Bench::new(on());
        bench.pass(Duration::from_secs(30));
        bench.find(&["a"]);
        let reset = bench.now.wall + SignedDuration::from_hours(3);
        bench.tell(Event::Ended(1, ended(End::Quota(Some(reset)))));
        assert_eq!(bench.manager.paused(), Some(&Pause::Quota(reset)));
        // What needs no agent goes on.
        let upload = Item { needs_agent: false, ..item("up", bench.now) };
        bench.tell(Event::Asked(upload));
        bench.tell(Event::Ended(2, well()));
        bench.pass(Duration::from_secs(4 * 3600));
        assert_eq!(bench.runs()[2..], [(30 + 3 * 3600, 3, "a")]);
        bench.tell(Event::Ended(3, ended(End::Auth)));
        bench.pass(Duration::from_secs(11 * 60));
        assert_eq!(bench.runs()[3..], [(30 + 4 * 3600 + 600, 4, "a")]);
        // A reset that lies years ahead is not believed.
        bench.tell(Event::Ended(4, ended(End::Quota(Some(reset + SignedDuration::from_hours(90_000))))));
        assert_eq!(bench.manager.paused().and_then(Pause::until), Some(bench.now.wall + QUOTA_PAUSE_MAX));
        bench.tell(Event::Pause(false));
        bench.tell(Event::Ended(5, ended(End::Quota(None))));
        assert_eq!(bench.manager.paused().and_then(Pause::until), Some(bench.now.wall + QUOTA_PAUSE));
        bench.tell(Event::Pause(true));
        bench.tell(Event::Found(Some(vec![item("b", bench.now)])));
        bench.pass(Duration::from_secs(20 * 24 * 3600));
        assert_eq!((bench.runs().len(), bench.manager.paused()), (5, Some(&Pause::User)));
    }

    #[test]
    fn agt_03_answers_that_cannot_be_used_open_the_breaker_and_a_restart_does_not_close_it() {
        let mut bench = Bench::new(on());
        bench.find(&["a", "b", "c", "d"]);
        for run in 1..=3 {
            bench.tell(Event::Ended(run, ended(End::Rejected)));
        }
        let until = bench.now.wall + BREAK;
        assert_eq!(bench.manager.paused(), Some(&Pause::Failures(until)));
        assert_eq!(bench.runs().len(), 3);
        bench.pass(Duration::from_secs(60));
        let kept = bench.manager.kept();
        bench.manager = Manager::new(bench.now.mono, kept);
        bench.tell(Event::Settings(on()));
        bench.find(&["d"]);
        assert_eq!((bench.runs().len(), bench.manager.paused()), (3, Some(&Pause::Failures(until))));
        // Another agent is another matter.
        bench.tell(Event::Settings(Settings { agent: "codex".into(), ..on() }));
        assert_eq!((bench.runs().len(), bench.manager.paused()), (4, None));
    }

    #[test]
    fn agt_03_a_run_that_is_dearer_than_the_day_is_never_begun_and_wakes_nobody() {
        let caps = Caps { micro_usd: Some(5), ..Caps::default() };
        let mut bench = Bench::new(Settings { caps, micro_usd_a_run: 10, ..on() });
        bench.find(&["a"]);
        bench.pass(Duration::from_secs(3 * 24 * 3600));
        assert_eq!(bench.runs(), []);
        // A look every five minutes if somebody answers it, and what ends a day.
        assert!(bench.wanted.len() < 30, "{}", bench.wanted.len());
    }

    #[test]
    fn an_item_that_the_day_has_no_room_for_is_a_pause_and_no_silence() {
        let caps = Caps { tokens: 999, ..Caps::default() };
        let mut bench = Bench::new(Settings { caps, ..on() });
        bench.find(&["a"]);
        assert!(matches!(bench.manager.paused(), Some(Pause::Budget(Spent::Tokens(_)))));
        assert!(!bench.manager.has_work_of("a") && bench.manager.has_work(), "it keeps nobody");
        let day = bench.now.mono + Duration::from_secs(24 * 3600);
        assert_eq!(bench.manager.next_deadline(bench.now), Some(bench.now.mono + DETECT_FIRST));
        bench.tell(Event::Settings(Settings { looks: false, caps, ..on() }));
        assert_eq!(bench.manager.next_deadline(bench.now), Some(day), "and wakes nobody before that");
        bench.pass(Duration::from_secs(3 * 24 * 3600));
        assert!(bench.wanted.len() < 20, "{}", bench.wanted.len());
    }

    #[test]
    fn agt_03_an_agent_that_always_fails_is_called_once_an_hour() {
        let mut bench = Bench::new(Settings { caps: Caps { runs: 1000, ..Caps::default() }, ..on() });
        for n in 0..7 * 24 * 60 {
            bench.pass(Duration::from_secs(60));
            bench.find(&[&format!("{n}")]);
            let run = bench.runs().last().map(|(_, run, _)| *run);
            if let Some(run) = run {
                bench.tell(Event::Ended(run, ended(End::Failed)));
            }
        }
        let calls = bench.runs().len();
        assert!(calls <= 3 + 24 * 7, "{calls}");
        assert!(bench.manager.waiting() <= WAITING_MAX);
    }

    /// Whatever happens: no cap is exceeded, nothing runs twice at a time, what waits is bounded, and all comes to an end.
    #[test]
    fn agt_03_no_order_of_events_exceeds_a_cap() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let caps = Caps { runs: 6, tokens: 40_000, micro_usd: Some(900) };
            let settings = Settings { caps, concurrency: 2, micro_usd_a_run: 100, ..on() };
            let mut bench = Bench::new(settings.clone());
            let mut kept = Kept::default();
            let mut seen = 0;
            for step in 0..800 {
                let running: Vec<u64> = bench.manager.running.keys().copied().collect();
                let pick = running.first().copied();
                match (rng.below(10), pick) {
                    (0, _) => {
                        let keys: Vec<String> = (0..rng.below(5)).map(|n| format!("{}", step + n)).collect();
                        bench.find(&keys.iter().map(String::as_str).collect::<Vec<_>>());
                    }
                    (1, _) => bench.tell(Event::Asked(item(&rng.below(900).to_string(), bench.now))),
                    (2, _) => bench.tell(Event::Look),
                    (3, Some(run)) => bench.tell(Event::Ended(run, ended(End::Failed))),
                    (4, Some(run)) => bench.tell(Event::Ended(run, ended(End::Rejected))),
                    (5, Some(run)) => {
                        let end = match rng.below(4) {
                            0 => End::Quota(None),
                            1 => End::Unfinished,
                            _ => End::Cancelled,
                        };
                        bench.tell(Event::Ended(run, ended(end)));
                    }
                    (6 | 7, Some(run)) => bench.tell(Event::Ended(run, well())),
                    (8, _) if rng.below(20) == 0 => {
                        // The process is killed, and another begins with what was kept.
                        bench.manager = Manager::new(bench.now.mono, kept.clone());
                        bench.tell(Event::Settings(settings.clone()));
                    }
                    _ => bench.pass(Duration::from_secs(rng.below(1500))),
                }
                for (_, effect) in &bench.wanted[seen..] {
                    if let Effect::Save(now) = effect {
                        kept = now.clone();
                    }
                }
                seen = bench.wanted.len();
                let (runs, cost) = bench.manager.budget().spent();
                assert!(runs <= caps.runs && cost.tokens <= caps.tokens, "seed {seed}: {runs} {cost:?}");
                assert!(cost.micro_usd <= 900, "seed {seed}: {cost:?}");
                assert!(bench.manager.running.len() <= 2 && bench.manager.waiting() <= WAITING_MAX);
                let mut keys: Vec<&str> = bench.manager.running.values().map(|r| &*r.item.key).collect();
                keys.dedup();
                assert_eq!(keys.len(), bench.manager.running.len());
            }
        }
    }
}
