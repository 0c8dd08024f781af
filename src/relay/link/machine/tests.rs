use std::sync::Arc;

use super::*;
use crate::http::Client;
use crate::kit::clock::{Clock as _, SimClock};
use crate::relay::link::Sink;

fn link(transport: RelayTransport) -> Link {
    Link {
        client: Client::new(Arc::new(crate::kit::clock::SystemClock)),
        server_url: "https://relay.example".into(),
        transport,
        batch_events: 100,
        flush: Duration::from_secs(2),
        sink: Sink::Relay,
    }
}

/// What the network and the server do.
#[derive(Clone, Debug, PartialEq)]
enum Net {
    /// Nothing can be reached.
    Down,
    /// The server takes all.
    Up,
    /// A WebSocket fails like this; HTTP works.
    NoSocket(Failure),
    /// It connects and acknowledges nothing.
    Silent,
    /// It takes no token.
    Refuses,
    /// It closes as soon as it is connected.
    Closes(Option<u16>),
    /// It fails, without a word, batches with this record, and answers nothing to them.
    Poison(u64),
    /// It says of batches with one of these that it never takes them.
    Rejects(Vec<u64>),
    /// It asks for a wait on each batch.
    Limits(Duration),
    /// HTTP answers like this, and there is no WebSocket.
    Http(Answer),
}

/// A machine with a simulated world around it: a queue that is a count, a clock, a server.
struct World {
    clock: SimClock,
    machine: Machine,
    net: Net,
    dialect: Dialect,
    logged_in: bool,
    token: u64,
    expires: Option<Timestamp>,
    /// Records ever appended, and those at the front that are dealt with.
    appended: u64,
    first: u64,
    /// The first of those at hand.
    base: u64,
    got: Vec<u64>,
    dead: Vec<(u64, String)>,
    log: Vec<(Duration, String)>,
    attempts: u64,
    asked: Vec<Want>,
    sizes: Vec<usize>,
    finished: bool,
}

impl World {
    fn new(transport: RelayTransport, net: Net) -> World {
        let clock = SimClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        World {
            machine: Machine::new(&link(transport), Rng::new(7)),
            clock,
            net,
            dialect: Dialect::One,
            logged_in: true,
            token: 1,
            expires: None,
            appended: 0,
            first: 0,
            base: 0,
            got: Vec::new(),
            dead: Vec::new(),
            log: Vec::new(),
            attempts: 0,
            asked: Vec::new(),
            sizes: Vec::new(),
            finished: false,
        }
    }

    fn started(transport: RelayTransport, net: Net, events: u64) -> World {
        let mut world = World::new(transport, net);
        world.appended = events;
        world.tell(Input::Start);
        world
    }

    fn at(&self) -> Duration {
        self.clock.now().mono.since(Mono::ZERO)
    }

    fn state(&self) -> State {
        self.machine.snapshot().state
    }

    fn append(&mut self, count: u64) {
        self.appended += count;
        self.tell(Input::Data);
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        let mut steps = 0;
        while let Some(input) = inputs.pop_front() {
            steps += 1;
            assert!(steps < 100_000, "it turns round and round");
            for action in self.machine.handle(self.clock.now(), input) {
                inputs.extend(self.perform(action));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Vec<Input> {
        let name = format!("{action:?}");
        self.log.push((self.at(), name.split([' ', '(']).next().unwrap().to_owned()));
        match action {
            Action::Authorize(want) => {
                self.asked.push(want);
                if !self.logged_in {
                    return vec![Input::Denied(Denied::NoLogin("nobody is".into()))];
                }
                let soon =
                    self.expires.is_some_and(|at| at.duration_since(self.clock.now().wall).as_secs() <= 300);
                if (want == Want::Renewed || soon) && self.expires.is_some() {
                    if self.net == Net::Down {
                        return vec![Input::Denied(Denied::Later("down".into()))];
                    }
                    self.token += 1;
                    self.expires = Some(self.clock.now().wall + Duration::from_secs(3600));
                }
                vec![Input::Access { mark: self.token, expires_at: self.expires }]
            }
            Action::Connect => {
                self.attempts += 1;
                vec![match &self.net {
                    Net::Down => Input::NotConnected(Failure::Other("down".into())),
                    Net::NoSocket(failure) => Input::NotConnected(failure.clone()),
                    Net::Http(_) => Input::NotConnected(Failure::Missing(404)),
                    Net::Refuses => Input::NotConnected(Failure::Refused(401)),
                    Net::Closes(code) => {
                        let code = *code;
                        return vec![
                            Input::Connected(self.dialect),
                            Input::Closed { code, reason: "bye".into() },
                        ];
                    }
                    _ => Input::Connected(self.dialect),
                }]
            }
            Action::Fetch { events, .. } => {
                self.base = self.first;
                vec![Input::Fetched((self.appended - self.first).min(events as u64) as usize)]
            }
            Action::Send { id, from, to } => self.send(id, from, to),
            Action::Post { from, to } => {
                self.attempts += 1;
                let answer = match &self.net {
                    Net::Down => Answer::Failed { why: "down".into(), reached: false },
                    Net::Refuses => Answer::Refused(401),
                    Net::Http(answer) => answer.clone(),
                    _ => {
                        let records = self.base + from as u64..self.base + to as u64;
                        self.got.extend(records);
                        Answer::Taken
                    }
                };
                vec![Input::Answered(answer)]
            }
            Action::Settle(upto) => {
                self.first = self.base + upto as u64;
                vec![]
            }
            Action::Reject { at, code } => {
                let record = self.base + at as u64;
                assert_eq!(record, self.first, "only the oldest can be put aside");
                self.dead.push((record, code));
                self.first += 1;
                vec![]
            }
            Action::Finish => {
                self.finished = true;
                vec![]
            }
            Action::Release | Action::SendAuth | Action::Ping | Action::Close | Action::Drop => vec![],
        }
    }

    fn send(&mut self, id: String, from: usize, to: usize) -> Vec<Input> {
        let records: Vec<u64> = (self.base + from as u64..self.base + to as u64).collect();
        self.sizes.push(records.len());
        let error = |code: &str, retryable, wait: Option<Duration>| Input::Error {
            code: code.into(),
            batch_id: Some(id.clone()),
            retryable,
            retry_after: wait,
        };
        match &self.net {
            Net::Silent => vec![],
            Net::Poison(bad) if records.contains(bad) => vec![],
            Net::Rejects(bad) if records.iter().any(|r| bad.contains(r)) => vec![error("bad", false, None)],
            Net::Limits(wait) => vec![error("rate_limited", true, Some(*wait))],
            _ => {
                self.got.extend(records);
                vec![Input::Heard, Input::Ack(id)]
            }
        }
    }

    /// Lets time pass, deadline by deadline. A server that is there answers pings.
    fn pass(&mut self, time: Duration) {
        let end = self.at() + time;
        loop {
            let next = self.machine.next_deadline().map(|at| at.since(Mono::ZERO));
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.clock.advance(next.saturating_sub(self.at()));
            let before = self.log.len();
            self.tell(Input::Tick);
            if self.log[before..].iter().any(|(_, name)| name == "Ping") && self.net != Net::Down {
                self.tell(Input::Heard);
            }
        }
        self.clock.advance(end - self.at());
    }

    fn times(&self, name: &str) -> Vec<Duration> {
        self.log.iter().filter(|(_, n)| n == name).map(|(at, _)| *at).collect()
    }
}

const S: fn(u64) -> Duration = Duration::from_secs;

fn near(found: Duration, expected: Duration) {
    let (low, high) = (expected * 4 / 5, expected * 6 / 5);
    assert!(low <= found && found <= high, "{found:?} is not within a fifth of {expected:?}");
}

#[test]
fn what_waits_is_sent_in_batches_in_order_and_forgotten_when_acknowledged() {
    let mut world = World::started(RelayTransport::Auto, Net::Up, 250);
    assert_eq!((world.sizes.as_slice(), world.first), (&[100, 100, 50][..], 250));
    assert_eq!(world.got, (0..250).collect::<Vec<_>>());
    let snapshot = world.machine.snapshot().clone();
    assert_eq!((snapshot.state, snapshot.sent_total, snapshot.acked_total), (State::Connected, 250, 250));
    assert_eq!((snapshot.transport, snapshot.last_error), ("ws", None));
    // What comes soon after a look waits for the next one, so that batches are not of one event each.
    world.append(1);
    assert_eq!(world.first, 250);
    world.append(1);
    world.pass(S(2));
    assert_eq!((world.first, world.sizes.last()), (252, Some(&2)));
    world.pass(S(10));
    world.append(1);
    assert_eq!(world.first, 253, "after a while nothing waits");
}

#[test]
fn idle_there_is_a_ping_every_30_seconds_and_hardly_anything_else() {
    let mut world = World::started(RelayTransport::Auto, Net::Up, 0);
    let before = world.log.len();
    world.pass(S(3600));
    assert_eq!(world.times("Ping").len(), 120);
    assert_eq!(world.times("Ping")[..2], [S(30), S(60)]);
    assert!(world.log.len() - before <= 240, "{}", world.log.len());
    assert_eq!(world.attempts, 1);
}

#[test]
fn a_server_that_does_not_answer_pings_is_left_after_75_seconds() {
    let mut world = World::started(RelayTransport::Ws, Net::Up, 0);
    world.net = Net::Down;
    world.pass(S(74));
    assert_eq!(world.state(), State::Connected);
    world.pass(S(1));
    assert_eq!(world.state(), State::Backoff);
    assert!(world.machine.snapshot().last_error.as_ref().unwrap().contains("75 s"));
}

#[test]
fn the_wait_doubles_from_1_to_60_seconds_and_only_an_acknowledgement_resets_it() {
    let mut world = World::started(RelayTransport::Ws, Net::Closes(Some(1011)), 5);
    world.pass(S(400));
    let at = world.times("Connect");
    for (n, pair) in at.windows(2).enumerate() {
        near(pair[1] - pair[0], S(1 << n).min(S(60)));
    }
    // Connected, but nothing acknowledged: still the longest wait.
    world.net = Net::Silent;
    world.pass(S(73));
    world.net = Net::Closes(None);
    world.pass(S(120));
    let at = world.times("Connect");
    near(at[at.len() - 1] - at[at.len() - 2], S(60));
    world.net = Net::Up;
    world.pass(S(73));
    assert_eq!((world.first, world.state()), (5, State::Connected));
    world.net = Net::Closes(None);
    let now = world.at();
    world.tell(Input::Closed { code: None, reason: "gone".into() });
    world.pass(S(2));
    near(*world.times("Connect").iter().find(|t| **t > now).unwrap() - now, S(1));
}

#[test]
fn sixty_seconds_of_a_connection_reset_the_wait_too() {
    let mut world = World::started(RelayTransport::Ws, Net::Down, 0);
    world.pass(S(300));
    world.net = Net::Up;
    world.pass(S(75) + S(60));
    assert_eq!(world.state(), State::Connected);
    let now = world.at();
    world.tell(Input::Closed { code: None, reason: "gone".into() });
    world.pass(S(2));
    near(*world.times("Connect").iter().find(|t| **t > now).unwrap() - now, S(1));
}

#[test]
fn rly_08_without_an_acknowledgement_in_30_seconds_the_batch_is_sent_again_on_a_new_connection() {
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 3);
    world.pass(S(29));
    assert_eq!((world.state(), world.first), (State::Connected, 0));
    world.tell(Input::Ack("another".into()));
    assert_eq!((world.machine.snapshot().ignored_total, world.first), (1, 0));
    world.pass(S(1));
    assert_eq!(world.state(), State::Backoff);
    world.net = Net::Up;
    world.pass(S(2));
    assert_eq!((world.first, world.got.as_slice()), (3, &[0, 1, 2][..]));
}

#[test]
fn rly_08_a_late_or_second_acknowledgement_changes_nothing() {
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 150);
    let sent = |world: &World| world.machine.work.as_ref().unwrap().sent.as_ref().unwrap().id.clone();
    let first = sent(&world);
    world.tell(Input::Ack(first.clone()));
    let second = sent(&world);
    assert_eq!(world.first, 100);
    world.tell(Input::Ack(first.clone()));
    assert_eq!((world.first, sent(&world)), (100, second));
    world.pass(S(33));
    world.tell(Input::Ack(first));
    assert_eq!((world.first, world.machine.snapshot().ignored_total), (100, 2));
}

#[test]
fn a_refused_login_is_renewed_once_and_then_somebody_has_to_log_in() {
    for net in [Net::Refuses, Net::Closes(Some(1008)), Net::Closes(Some(4401)), Net::Closes(Some(4403))] {
        let mut world = World::new(RelayTransport::Auto, net.clone());
        world.expires = Some("2026-01-01T02:00:00Z".parse().unwrap());
        world.appended = 1;
        world.tell(Input::Start);
        assert_eq!((world.state(), world.attempts), (State::NeedsLogin, 2), "{net:?}");
        assert_eq!(world.asked, [Want::Current, Want::Renewed]);
        // Without another login the server is left alone, however often it is looked for one.
        world.pass(S(3000));
        assert_eq!((world.attempts, world.asked.len()), (2, 102), "{net:?}");
        assert_eq!(world.times("Authorize")[2..4], [S(30), S(60)]);
        world.net = Net::Up;
        world.token += 1;
        world.tell(Input::Login);
        assert_eq!((world.state(), world.first), (State::Connected, 1));
    }
    // A token that is always the same one is not tried twice.
    let mut world = World::started(RelayTransport::Http, Net::Refuses, 1);
    assert_eq!((world.state(), world.attempts), (State::NeedsLogin, 1));
    world.pass(S(600));
    assert_eq!(world.attempts, 1);
}

#[test]
fn without_a_login_nothing_is_contacted_and_a_login_starts_it() {
    let mut world = World::new(RelayTransport::Auto, Net::Up);
    (world.logged_in, world.appended) = (false, 5);
    world.tell(Input::Start);
    world.pass(S(300));
    assert_eq!((world.state(), world.attempts, world.asked.len()), (State::NeedsLogin, 0, 11));
    world.logged_in = true;
    world.tell(Input::Login);
    assert_eq!((world.state(), world.first), (State::Connected, 5));
    world.logged_in = false;
    world.tell(Input::Login);
    assert_eq!(world.state(), State::NeedsLogin);
    assert_eq!(world.log.last().unwrap().1, "Close");
}

#[test]
fn without_a_websocket_http_is_used_for_15_minutes() {
    for status in [404, 426] {
        let mut world = World::started(RelayTransport::Auto, Net::NoSocket(Failure::Missing(status)), 3);
        assert_eq!((world.state(), world.first, world.at()), (State::HttpFallback, 3, S(0)));
        assert_eq!(world.machine.snapshot().transport, "http");
        world.pass(S(899));
        world.append(2);
        assert_eq!(world.first, 5);
        assert_eq!(world.times("Connect"), [S(0)]);
        world.pass(S(1));
        assert_eq!(world.times("Connect"), [S(0), S(900)]);
        world.net = Net::Up;
        world.pass(S(900));
        assert_eq!((world.state(), world.machine.snapshot().transport), (State::Connected, "ws"));
    }
}

#[test]
fn three_connections_that_do_not_come_about_lead_to_http_unless_a_websocket_is_wanted() {
    let failing = Net::NoSocket(Failure::Other("no".into()));
    let mut world = World::started(RelayTransport::Auto, failing.clone(), 3);
    world.pass(S(9));
    assert_eq!((world.times("Connect").len(), world.state(), world.first), (3, State::HttpFallback, 3));
    world.pass(S(3500));
    assert_eq!(world.times("Connect").len(), 3 + 3, "once more every quarter of an hour");
    let mut world = World::started(RelayTransport::Ws, failing, 3);
    world.pass(S(600));
    assert_eq!((world.state(), world.first, world.times("Post").len()), (State::Backoff, 0, 0));
}

#[test]
fn rly_16_a_wait_that_the_server_asks_for_is_heeded_up_to_15_minutes_and_never_counts() {
    let busy = |s| Net::NoSocket(Failure::Busy { status: 503, retry_after: Some(S(s)) });
    for (asked, heeded) in [(100, 100), (86_400, 900)] {
        let mut world = World::started(RelayTransport::Auto, busy(asked), 3);
        world.pass(S(heeded * 5));
        let at = world.times("Connect");
        assert!(at.windows(2).all(|w| w[1] - w[0] == S(heeded)), "{at:?}");
        assert_eq!((at.len(), world.times("Post").len()), (6, 0), "being busy is no reason for HTTP");
    }
    let mut world = World::started(RelayTransport::Auto, Net::Limits(S(90)), 3);
    world.pass(S(90 * 40));
    assert_eq!((world.sizes.len(), world.sizes.iter().all(|n| *n == 3), world.dead.len()), (41, true, 0));
    let answer = Answer::Busy { status: 429, retry_after: Some(S(120)) };
    let mut world = World::started(RelayTransport::Http, Net::Http(answer), 3);
    world.pass(S(1200));
    assert_eq!((world.attempts, world.dead.len(), world.state()), (11, 0, State::Backoff));
    let at = world.machine.snapshot().next_retry_ms.unwrap();
    assert_eq!(at, (world.clock.now().wall + S(120)).as_millisecond());
}

#[test]
fn what_the_server_will_never_take_is_found_by_halves_and_all_else_gets_through_in_order() {
    for bad in [vec![0], vec![99], vec![37, 38], vec![5, 64, 120], (0..7).collect()] {
        let mut world = World::started(RelayTransport::Ws, Net::Rejects(bad.clone()), 130);
        assert_eq!(world.dead.iter().map(|(n, _)| *n).collect::<Vec<_>>(), bad);
        assert!(world.dead.iter().all(|(_, code)| code == "bad"));
        let others: Vec<u64> = (0..130).filter(|n| !bad.contains(n)).collect();
        assert_eq!((world.first, world.got.clone()), (130, others));
        assert_eq!(world.machine.snapshot().dead_total, bad.len() as u64);
        assert!(world.sizes.len() <= 2 + bad.len() * 14, "{}", world.sizes.len());
        world.append(1);
        world.pass(S(2));
        assert_eq!((world.first, world.state(), world.attempts), (131, State::Connected, 1));
    }
}

#[test]
fn too_much_for_http_is_halved() {
    let world = World::started(RelayTransport::Http, Net::Http(Answer::TooLarge), 4);
    assert_eq!((world.dead.len(), world.attempts), (4, 7));
    assert!(world.dead.iter().all(|(_, code)| code == "too_large"));
}

#[test]
fn a_record_that_kills_its_batch_without_a_word_is_found_when_others_get_through() {
    for bad in [0, 1, 50, 99] {
        let mut world = World::started(RelayTransport::Ws, Net::Poison(bad), 100);
        world.pass(S(60 * 240));
        // The last one is found out by what comes after it: as long as nothing else gets through, the server may be at fault.
        assert_eq!(world.dead.len(), usize::from(bad != 99), "{bad}");
        world.append(5);
        world.pass(S(60 * 240));
        assert_eq!(world.dead, [(bad, "failed_too_often".to_owned())], "{bad}");
        let mut got = world.got.clone();
        got.sort_unstable();
        got.dedup();
        assert_eq!((world.first, got.len()), (105, 104), "{bad}");
        assert!(world.sizes[..5].iter().all(|n| *n == 100), "five times as it is: {:?}", world.sizes);
    }
}

#[test]
fn a_server_that_never_acknowledges_costs_no_record() {
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 20);
    world.pass(S(86_400));
    assert_eq!((world.first, world.dead.len()), (0, 0));
    world.net = Net::Up;
    world.pass(S(110));
    assert_eq!((world.first, world.dead.len()), (20, 0));
}

#[test]
fn what_the_server_says_of_its_limits_holds_for_the_connection() {
    let mut world = World::new(RelayTransport::Ws, Net::Silent);
    world.appended = 500;
    world.tell(Input::Start);
    world.tell(Input::Hello { events: Some(30), bytes: Some(1 << 30) });
    let id = world.machine.work.as_ref().unwrap().sent.as_ref().unwrap().id.clone();
    world.net = Net::Up;
    world.tell(Input::Ack(id));
    assert_eq!((world.sizes[0], world.sizes[1], world.first), (100, 30, 500));
    assert_eq!(world.machine.bytes, BATCH_BYTES);
}

#[test]
fn a_token_is_renewed_300_seconds_before_its_end_in_the_middle_of_a_connection() {
    for (dialect, then) in [(Dialect::Two, "SendAuth"), (Dialect::One, "Connect")] {
        let mut world = World::new(RelayTransport::Ws, Net::Up);
        (world.dialect, world.expires) = (dialect, Some("2026-01-01T01:00:00Z".parse().unwrap()));
        world.tell(Input::Start);
        world.pass(S(3299));
        assert_eq!(world.asked.len(), 1);
        world.pass(S(1));
        assert_eq!((world.asked.as_slice(), world.token), (&[Want::Current, Want::Current][..], 2));
        assert_eq!(world.times(then).last(), Some(&S(3300)), "at once");
        assert_eq!(world.state(), State::Connected);
        assert_eq!(world.times("Close").len(), usize::from(dialect == Dialect::One));
        world.pass(S(86_400 - 3300));
        assert_eq!(world.token, 27, "once an hour less five minutes");
    }
}

#[test]
fn a_batch_on_its_way_is_waited_for_before_a_token_is_renewed() {
    let mut world = World::new(RelayTransport::Ws, Net::Silent);
    (world.dialect, world.expires) = (Dialect::Two, Some("2026-01-01T01:00:00Z".parse().unwrap()));
    world.tell(Input::Start);
    world.pass(S(3295));
    world.append(1);
    world.pass(S(10));
    assert_eq!(world.asked.len(), 1);
    let id = world.machine.work.as_ref().unwrap().sent.as_ref().unwrap().id.clone();
    world.tell(Input::Ack(id));
    let order: Vec<&str> = world.log.iter().rev().take(4).map(|(_, n)| n.as_str()).collect();
    assert_eq!(order, ["Fetch", "SendAuth", "Authorize", "Settle"]);
}

#[test]
fn a_clean_end_waits_two_seconds_for_the_acknowledgement_and_closes_in_order() {
    let mut world = World::started(RelayTransport::Ws, Net::Up, 0);
    world.tell(Input::Stop);
    assert!(world.finished && world.times("Close") == [S(0)]);
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 3);
    world.tell(Input::Stop);
    let id = world.machine.work.as_ref().unwrap().sent.as_ref().unwrap().id.clone();
    world.pass(S(1));
    assert!(!world.finished);
    world.tell(Input::Ack(id));
    assert!(world.finished && world.first == 3 && world.times("Close") == [S(1)]);
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 3);
    world.tell(Input::Stop);
    world.pass(S(2));
    assert!(world.finished && world.first == 0 && world.times("Close") == [S(2)]);
    for net in [Net::Down, Net::Refuses] {
        let mut world = World::started(RelayTransport::Ws, net, 3);
        world.tell(Input::Stop);
        assert!(world.finished);
    }
}

#[test]
fn res_01_offline_for_five_days_is_bounded_and_recovers_within_one_step() {
    for transport in [RelayTransport::Auto, RelayTransport::Ws, RelayTransport::Http] {
        let mut world = World::started(transport, Net::Up, 10);
        world.net = Net::Down;
        world.tell(Input::Closed { code: None, reason: "gone".into() });
        for _ in 0..5 * 24 {
            world.append(7);
            world.pass(S(3600));
        }
        assert!(world.attempts <= 5 * 2000, "{transport:?}: {}", world.attempts);
        assert!(world.dead.is_empty() && world.first == 10);
        world.net = Net::Up;
        world.pass(S(72));
        assert_eq!(world.first, 10 + 7 * 120, "{transport:?}");
        assert_eq!(world.machine.snapshot().last_error, None);
    }
}

#[test]
fn a_queue_that_cannot_be_read_or_written_is_tried_again_and_nothing_is_forgotten() {
    let mut world = World::started(RelayTransport::Ws, Net::Silent, 3);
    world.tell(Input::QueueFailed("no space".into()));
    assert_eq!((world.state(), world.first), (State::Backoff, 0));
    assert!(world.machine.snapshot().last_error.as_ref().unwrap().contains("no space"));
    world.net = Net::Up;
    world.pass(S(2));
    assert_eq!(world.first, 3);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_nothing_is_lost_and_no_deadline_is_missed(steps in proptest::collection::vec((0..14u8, 0..100u64), 1..120)) {
        let mut world = World::started(RelayTransport::Auto, Net::Up, 20);
        for (step, n) in steps {
            match step {
                0 => world.net = Net::Down,
                1 => world.net = Net::Silent,
                2 => world.net = Net::Closes(Some(1011)),
                3 => world.net = Net::Limits(S(n)),
                4 => world.net = Net::NoSocket(Failure::Missing(404)),
                5 => world.append(n),
                6 => world.tell(Input::Login),
                7 => world.tell(Input::Ack("x".into())),
                8 => world.tell(Input::Closed { code: Some(1001), reason: "x".into() }),
                9 => world.tell(Input::Error { code: "x".into(), batch_id: None, retryable: true, retry_after: None }),
                10 => world.tell(Input::Hello { events: Some(n as usize), bytes: Some(n as usize) }),
                11 => world.tell(Input::QueueFailed("x".into())),
                12 => world.tell(Input::Noise),
                _ => world.pass(S(n)),
            }
        }
        world.net = Net::Up;
        world.pass(S(1000));
        proptest::prop_assert_eq!(world.first, world.appended);
        world.got.sort_unstable();
        world.got.dedup();
        proptest::prop_assert_eq!(world.got.len() as u64, world.appended);
        proptest::prop_assert!(world.dead.is_empty());
    }
}
