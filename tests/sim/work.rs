//! Background work in the core: when sessions are looked for and finished, to the second, and what is said of it.

use std::time::Duration;

use ox::agents::budget::{Caps, Cost};
use ox::agents::kept::Kept;
use ox::agents::manager::{End, Ended, Pause, Settings};
use ox::daemon::parts::agents::{Agent, Effect as Wanted, Found, Looked};
use ox::daemon::{Effect, HOLD, Id, Via};
use ox::health::IssueKind;
use ox::ipc::Request;
use ox::ipc::wire::{AgentWorkAsk, AgentWorkStatus, Doctor, SessionFinalize, decode};
use ox::kit::rng::Rng;
use ox::sessions::Name;

use super::bench::{Bench, QUICK};
use crate::support::seed::rounds;

const PROJECT: &str = "p";
/// When the first look comes, from the start.
const FIRST: u64 = 30;
const EVERY: u64 = 300;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn name(n: usize) -> Name {
    Name::parse(&format!("2026-03-12T11-{n:02}-dana-OxTndR")).unwrap()
}

fn found(n: usize, needs_agent: bool) -> Found {
    Found { id: Id::from(PROJECT), name: name(n), needs_agent, bytes: 3000 }
}

fn settings() -> Settings {
    Settings { on: true, looks: true, usable: true, concurrency: 1, ..Settings::default() }
}

fn looked(found: Vec<Found>) -> Looked {
    let agent = Agent { word: "codex".into(), is_there: true, detail: "API key".into() };
    Looked { settings: settings(), agent, found, troubles: Vec::new() }
}

fn ended(end: End, error: &str) -> Ended {
    let cost = Some(Cost { tokens: 500, micro_usd: 0 });
    Ended { end, error: error.into(), exit_code: i32::from(!error.is_empty()), cost }
}

/// A core with one project, in which this is to be finished.
fn bench(looked: Looked) -> Bench {
    let mut bench = Bench::new();
    bench.interval = secs(300 * 24 * 3600);
    bench.work = looked;
    bench.attach(PROJECT, &[]);
    bench
}

/// When looks were wanted, and runs of which sessions, since the last time.
fn wanted(bench: &mut Bench) -> Vec<(u64, String)> {
    let all = std::mem::take(&mut bench.wanted);
    let told = all.into_iter().filter_map(|(at, effect)| match effect {
        Effect::Agents(Wanted::Look(_)) => Some((at.as_secs(), "look".to_owned())),
        Effect::Agents(Wanted::Run { name, with_agent, .. }) => {
            let how = if with_agent { "run" } else { "share" };
            Some((at.as_secs(), format!("{how} {}", &name[14..16])))
        }
        _ => None,
    });
    told.collect()
}

fn told(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(at, what)| (*at, (*what).to_owned())).collect()
}

fn work(bench: &mut Bench) -> AgentWorkStatus {
    ask(bench, AgentWorkAsk::default())
}

fn ask(bench: &mut Bench, ask: AgentWorkAsk) -> AgentWorkStatus {
    answer(bench, Via::Host, Request::AgentWork(ask))
}

fn answer<T: serde::de::DeserializeOwned + Default>(bench: &mut Bench, via: Via, request: Request) -> T {
    let conn = bench.ask(via, request);
    bench.pass(QUICK * 2);
    let answers = bench.answers(conn);
    decode(answers[0].1.data.as_deref().map(|data| data.get().as_bytes())).unwrap()
}

fn issues(bench: &Bench) -> Vec<(IssueKind, String)> {
    let snapshot = bench.core.published(PROJECT).unwrap().snapshot();
    let kind_of = |name: &str| IssueKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap();
    let status = snapshot.status.as_ref().unwrap();
    status.issues.iter().map(|issue| (kind_of(&issue.kind), issue.summary.clone())).collect()
}

#[test]
fn sessions_are_looked_for_soon_after_the_start_and_every_five_minutes_and_finished_one_at_a_time() {
    let mut bench = bench(looked(vec![found(1, true), found(2, true), found(3, false)]));
    bench.work_ends = Some((secs(10), ended(End::Done, "")));
    bench.pass(secs(FIRST + 2 * EVERY + 1));
    let expected =
        [(30, "look"), (30, "run 01"), (40, "run 02"), (50, "share 03"), (330, "look"), (630, "look")];
    assert_eq!(wanted(&mut bench), told(&expected));
    let status = work(&mut bench);
    assert_eq!((status.enabled, &*status.agent_type, status.agent_available), (true, "codex", true));
    assert_eq!((status.stats.total_invocations, status.stats.successes), (3, 3));
    assert_eq!(status.recent[0].target, format!("session-finalize:{}", name(1)));
    assert_eq!(status.recent[0].duration, secs(10));
    let budget = status.budget.unwrap();
    assert_eq!((budget.runs, budget.tokens), (2, 1000), "what needs no agent costs nothing");
    let snapshot = bench.core.published(PROJECT).unwrap().snapshot();
    assert_eq!(snapshot.status.as_ref().unwrap().agent_work.as_ref().unwrap().stats, status.stats);
}

#[test]
fn where_nobody_wants_it_there_is_one_look_and_then_silence() {
    let mut bench = bench(Looked::default());
    bench.pass(secs(24 * 3600));
    assert_eq!(wanted(&mut bench), told(&[(30, "look")]));
    assert!(!work(&mut bench).enabled);
    bench.pass(secs(60));
    wanted(&mut bench);
    // Somebody is at work: the configuration may say something else by now.
    bench.work = looked(vec![found(1, true)]);
    bench.heartbeat(PROJECT, &[]);
    bench.heartbeat(PROJECT, &[]);
    bench.pass(secs(1));
    let at = 24 * 3600 + 60;
    assert_eq!(wanted(&mut bench), told(&[(at, "look"), (at, "run 01")]));
}

#[test]
fn a_session_that_has_just_ended_is_finished_at_once_if_it_is_to_be() {
    let mut bench = bench(looked(Vec::new()));
    bench.work_ends = Some((secs(1), ended(End::Done, "")));
    bench.pass(secs(60));
    wanted(&mut bench);
    bench.work.found = vec![found(7, true)];
    let told_of = |name: &str| {
        Request::SessionFinalize(SessionFinalize { session_name: name.into(), ..SessionFinalize::default() })
    };
    bench.ask(Via::Project(Id::from(PROJECT)), told_of(&name(7)));
    bench.ask(Via::Project(Id::from(PROJECT)), told_of(&name(8)));
    bench.ask(Via::Project(Id::from(PROJECT)), told_of("../../etc"));
    bench.pass(secs(5));
    // The second is asked for while the first is looked for; the third has no name.
    assert_eq!(wanted(&mut bench), told(&[(60, "look"), (60, "run 07"), (60, "look")]));
}

#[test]
fn doctor_has_them_looked_for_and_says_how_many_wait() {
    let mut bench = bench(looked(vec![found(1, true), found(2, true)]));
    bench.pass(secs(FIRST + 1));
    wanted(&mut bench);
    let done: Doctor = answer(&mut bench, Via::Project(Id::from(PROJECT)), Request::Doctor);
    assert_eq!((done.session_finalize_triggered, done.session_finalize_queued), (true, 1));
    assert_eq!(wanted(&mut bench), told(&[(31, "look")]));
}

#[test]
fn a_pause_holds_and_is_remembered_and_what_needs_no_agent_goes_on() {
    let mut bench = bench(looked(vec![found(1, true), found(2, false)]));
    bench.work_ends = Some((secs(1), ended(End::Done, "")));
    bench.pass(secs(1));
    let status = ask(&mut bench, AgentWorkAsk { pause: Some(true), peek: false });
    assert_eq!((&*status.paused, status.paused_until.0), ("user", None));
    let kept = bench.wanted.iter().rev().find_map(|(_, effect)| match effect {
        Effect::Agents(Wanted::Keep(kept)) => Some(kept.clone()),
        _ => None,
    });
    assert_eq!(kept.unwrap().pause, Some(Pause::User));
    bench.pass(secs(100));
    assert_eq!(wanted(&mut bench), told(&[(1, "look"), (1, "share 02")]));
    bench.kept = Kept { pause: Some(Pause::User), ..Kept::default() };
    bench.restart();
    bench.attach(PROJECT, &[]);
    bench.pass(secs(100));
    assert_eq!(wanted(&mut bench), told(&[(131, "look")]));
    bench.work.found.retain(|one| one.needs_agent);
    assert!(ask(&mut bench, AgentWorkAsk { pause: Some(false), peek: false }).paused.is_empty());
    assert_eq!(wanted(&mut bench), told(&[(201, "run 01"), (201, "look")]));
}

#[test]
fn agt_03_what_was_spent_before_a_restart_counts_after_it() {
    let caps = Caps { runs: 2, ..Caps::default() };
    let mut bench = bench(Looked { settings: Settings { caps, ..settings() }, ..looked(Vec::new()) });
    bench.work.found = (1..6).map(|n| found(n, true)).collect();
    bench.work_ends = Some((secs(1), ended(End::Done, "")));
    let mut runs = 0;
    for _ in 0..20 {
        bench.pass(secs(60));
        for (_, effect) in std::mem::take(&mut bench.wanted) {
            if let Effect::Agents(Wanted::Run { kept, .. } | Wanted::Keep(kept)) = &effect {
                bench.kept = kept.clone();
            }
            runs += usize::from(matches!(effect, Effect::Agents(Wanted::Run { .. })));
        }
        bench.restart();
        bench.attach(PROJECT, &[]);
    }
    assert_eq!(runs, 2, "within twenty minutes and twenty processes");
}

#[test]
fn a_session_that_cannot_be_shared_is_said_and_tried_again_later_and_healed() {
    let mut bench = bench(looked(vec![found(1, true)]));
    bench.work_ends = Some((secs(1), ended(End::Unfinished, "the remote does not answer")));
    bench.pass(secs(FIRST + 30 + 300 + 20));
    let expected = [(30, "look"), (30, "run 01"), (61, "share 01"), (330, "look"), (362, "share 01")];
    assert_eq!(wanted(&mut bench), told(&expected));
    let text = format!(
        "session {} cannot be finished: the remote does not answer; ox session retry {}",
        name(1),
        name(1)
    );
    assert_eq!(issues(&bench), [(IssueKind::SessionStuck, text)]);
    bench.work_ends = Some((secs(1), ended(End::Done, "")));
    bench.work.found = vec![found(1, false)];
    bench.pass(HOLD + secs(60));
    let all = wanted(&mut bench);
    let share = all.iter().find(|(_, what)| what == "share 01").unwrap().0;
    assert_eq!(share, 363 + HOLD.as_secs());
    assert_eq!(issues(&bench), []);
}

#[test]
fn agt_04_a_refused_login_is_an_issue_until_an_agent_has_done_its_work() {
    let mut bench = bench(looked(vec![found(1, true)]));
    bench.work_ends = Some((secs(1), ended(End::Auth, "not logged in")));
    bench.pass(secs(FIRST + 2));
    let text = "codex refuses its login: not logged in; ox agents status".to_owned();
    assert_eq!(issues(&bench), [(IssueKind::AgentStuck, text)]);
    assert_eq!(work(&mut bench).paused, "auth");
    bench.work_ends = Some((secs(1), ended(End::Done, "")));
    bench.pass(secs(700));
    assert_eq!(issues(&bench), []);
    assert_eq!(work(&mut bench).stats.successes, 1);
}

#[test]
fn a_project_that_is_let_go_of_has_no_work_any_more() {
    let mut bench = bench(looked(vec![found(1, true), found(2, true)]));
    bench.pass(secs(FIRST + 1));
    bench.ask(Via::Project(Id::from(PROJECT)), Request::Stop);
    bench.pass(secs(1) + QUICK);
    let status = work(&mut bench);
    assert_eq!((status.queue_depth, status.active.len()), (0, 1));
}

/// A session as its files would have it: what was counted, what is owed, what others have.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// No agent ever says anything of use about it.
    is_hopeless: bool,
    asked: u32,
    has_summary: bool,
    /// There is something that others have not.
    is_owed: bool,
    commits: u32,
    is_shared: bool,
}

impl Session {
    fn needs_agent(self) -> bool {
        !self.has_summary && self.asked < 3
    }

    fn is_found(self) -> bool {
        self.needs_agent() || self.is_owed
    }
}

/// One machine: its core, its sessions, what it kept.
struct Machine {
    bench: Bench,
    sessions: Vec<Session>,
    /// What a look finds is older than the sessions.
    is_stale: bool,
    runs_of_agents: u32,
}

const CAPS: Caps = Caps { runs: 10, tokens: 900_000, micro_usd: Some(9_000_000) };

impl Machine {
    fn new() -> Machine {
        let settings = Settings { caps: CAPS, micro_usd_a_run: 300_000, ..settings() };
        Machine {
            bench: bench(Looked { settings, ..looked(Vec::new()) }),
            sessions: Vec::new(),
            is_stale: false,
            runs_of_agents: 0,
        }
    }

    fn name(n: usize) -> Name {
        let (day, hour, minute) = (1 + n / 1440, n / 60 % 24, n % 60);
        Name::parse(&format!("2026-03-{day:02}T{hour:02}-{minute:02}-dana-OxTndR")).unwrap()
    }

    fn number(name: &Name) -> usize {
        let part = |range: std::ops::Range<usize>| name[range].parse::<usize>().unwrap();
        (part(8..10) - 1) * 1440 + part(11..13) * 60 + part(14..16)
    }

    /// What a look would find now.
    fn lay_out(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let owed = self.sessions.iter().enumerate().filter(|(_, one)| one.is_found());
        let found = owed.map(|(n, one)| Found { name: Machine::name(n), ..found(0, one.needs_agent()) });
        self.bench.work.found = found.collect();
    }

    /// What comes of a run, as the room of sessions would have it.
    fn run(&mut self, rng: &mut Rng, n: usize, with_agent: bool) -> Ended {
        let session = &mut self.sessions[n];
        let mut cost = Cost::default();
        if with_agent && session.needs_agent() {
            cost = Cost { tokens: rng.below(20_000), micro_usd: rng.below(300_000) };
            let failed = |end| Ended { end, error: "why".into(), exit_code: 1, cost: Some(cost) };
            match rng.below(20) {
                0 => return failed(End::Quota(None)),
                1 => return failed(End::Auth),
                2 | 3 => {
                    session.asked += 1;
                    if session.asked < 3 {
                        return failed(End::Failed);
                    }
                }
                _ if session.is_hopeless => session.asked += 1,
                _ => (session.has_summary, session.asked) = (true, 0),
            }
            session.is_owed = true;
        }
        let ended = |end, error: &str| Ended { end, error: error.into(), exit_code: 0, cost: Some(cost) };
        if session.is_owed && rng.below(4) == 0 {
            return ended(End::Unfinished, "the push was lost");
        }
        if session.is_owed {
            (session.commits, session.is_owed, session.is_shared) = (session.commits + 1, false, true);
        }
        match session.has_summary {
            true => ended(End::Done, ""),
            false => ended(End::Rejected, "no answer"),
        }
    }

    /// Does what was wanted, some time later, and takes note of what is kept.
    fn go_on(&mut self, rng: &mut Rng) {
        for (_, effect) in std::mem::take(&mut self.bench.wanted) {
            match effect {
                Effect::Agents(Wanted::Run { run, name, with_agent, kept, .. }) => {
                    self.bench.kept = kept;
                    (self.is_stale, self.runs_of_agents) =
                        (true, self.runs_of_agents + u32::from(with_agent));
                    let ended = self.run(rng, Machine::number(&name), with_agent);
                    let wait = secs(rng.below(400));
                    self.bench.after(wait, ox::daemon::parts::agents::Event::Ended(run, ended));
                }
                Effect::Agents(Wanted::Keep(kept)) => self.bench.kept = kept,
                _ => {}
            }
        }
    }
}

/// Three machines through a thousand cycles each in the long form, with agents that fail, walls, pushes that are lost, and processes that are killed.
#[test]
fn syn_06_three_machines_lose_no_session_exceed_no_cap_and_commit_no_failing_one_more_than_three_times() {
    let mut rng = Rng::new(0x18);
    let mut machines = [Machine::new(), Machine::new(), Machine::new()];
    let mut hours = 0.0;
    let cycles = rounds(250, 1000);
    for cycle in 0..cycles {
        let length = secs(60 + rng.below(600));
        hours += length.as_secs_f64() / 3600.0;
        for machine in &mut machines {
            if cycle < cycles * 7 / 10 && rng.below(3) == 0 {
                machine.is_stale = true;
                machine.sessions.push(Session { is_hopeless: rng.below(5) == 0, ..Session::default() });
            }
            if rng.below(40) == 0 {
                // Killed: what ran is lost, and what was kept is all there is.
                machine.bench.restart();
                machine.bench.attach(PROJECT, &[]);
            }
            let end = machine.bench.now() + length;
            while machine.bench.now() < end {
                machine.lay_out();
                machine.bench.pass(secs(60).min(end - machine.bench.now()));
                machine.go_on(&mut rng);
            }
            let status = work(&mut machine.bench);
            let budget = status.budget.clone().unwrap_or_default();
            assert!(budget.runs <= budget.runs_max && budget.tokens <= budget.tokens_max, "{budget:?}");
            assert!(budget.usd <= budget.usd_max.unwrap_or_default(), "{budget:?}");
            assert!(status.queue_depth <= 100 && status.active.len() <= 1, "{status:?}");
        }
    }
    for machine in &mut machines {
        // The last ones, in peace; the budget of a day is none of a session's fault.
        for _ in 0..cycles * 5 {
            machine.lay_out();
            machine.bench.pass(secs(300));
            machine.go_on(&mut rng);
        }
        let most = f64::from(CAPS.runs) * (hours + f64::from(cycles) * 5.0 / 12.0 + 1.0);
        assert!(f64::from(machine.runs_of_agents) <= most, "{} in {hours} h", machine.runs_of_agents);
        for (n, one) in machine.sessions.iter().enumerate() {
            assert!(one.is_shared && !one.is_found(), "{n}: {one:?}");
            assert!(one.has_summary || one.asked == 3, "{n}: {one:?}");
            assert!(one.commits <= 3, "{n}: {one:?}");
        }
        let hopeless = machine.sessions.iter().filter(|one| one.is_hopeless).count();
        assert!(hopeless > 3 && machine.sessions.len() > cycles as usize / 6, "{hopeless}");
    }
}
