//! Every kind of issue: raised by what happens, shown to whoever asks, and gone within one cycle after its cause is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use ox::daemon::parts::projects::{AttachEnd, Attachable};
use ox::daemon::parts::{accounts, clones, projects};
use ox::daemon::{Core, Effect, Event, Id, Identity, JobId, Key, Periods, RunId, Via};
use ox::health::IssueKind;
use ox::ipc::wire::Attach;
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::{Clock as _, SimClock};
use ox::sync::account::Called;
use ox::sync::{
    Blocked, Change, CloudView, End, Facts, Failure, Kept, Known, LEDGER, Loaded, Outcome, Place, Skip,
    Source, TeamRef, Timing,
};

const ID: &str = "00000001";
const TEAM: &str = "team_a";
const ENDPOINT: &str = "https://ox.example";

/// A core with one project that has a ledger and a team from a server, all of it fine.
struct Rig {
    core: Core,
    clock: SimClock,
    /// The work that was last begun on each clone.
    runs: BTreeMap<Key, RunId>,
    /// The host that the clones come from; none for a directory of this machine.
    host: Option<String>,
}

/// What a run comes to.
enum Run {
    /// This.
    Ends(End),
    /// It is level, and this is missing in it.
    Lacks(&'static str),
    /// What waits cannot be committed.
    Sticks(&'static str),
    /// There is no clone, and making one comes to this.
    Clones(End),
}

impl Rig {
    fn new() -> Rig {
        let clock = SimClock::new(Timestamp::from_second(1_780_000_000).unwrap());
        let identity = Identity {
            pid: 1,
            data: "/data".into(),
            version: "0.6.1+rs.0".into(),
            startup: Duration::ZERO,
            throttle: Duration::ZERO,
            service: true,
            periods: Periods::default(),
            handover: Default::default(),
        };
        let core = Core::new(identity, clock.now(), 1);
        let mut rig = Rig { core, clock, runs: BTreeMap::new(), host: None };
        let attach = Request::Attach(Attach { project_root: "/p".into(), ..Attach::default() });
        rig.turn(Event::Request {
            conn: ConnId::simulated(1),
            via: Via::Host,
            caller: String::new(),
            request: attach,
        });
        let end = AttachEnd::Ready(Box::new(found()));
        rig.turn(Event::Projects(projects::Event::AttachEnded { root: "/p".into(), end }));
        for key in [ledger(), team()] {
            rig.run(&key, Run::Ends(level()));
        }
        assert!(rig.core.issues(ID).is_empty());
        rig
    }

    fn turn(&mut self, event: impl Into<Option<Event>>) {
        for effect in self.core.turn(self.clock.now(), event.into()) {
            match effect {
                Effect::Clones(clones::Effect::Sync { job, .. }) => drop(self.runs.insert(job.key, job.run)),
                Effect::Projects(projects::Effect::Load { id, .. }) => self
                    .turn(Event::Projects(projects::Event::Loaded { id, loaded: Some(Box::new(loaded())) })),
                _ => {}
            }
        }
    }

    /// Lets time pass until the clone's next run, and has it end like this.
    fn run(&mut self, key: &Key, how: Run) {
        self.runs.remove(key);
        while !self.runs.contains_key(key) {
            let next = self.core.next_deadline().expect("something is always due");
            let now = self.clock.now().mono;
            self.clock.advance(next.since(now));
            self.turn(None);
            // The other clone is fine all the time.
            for (other, run) in std::mem::take(&mut self.runs) {
                match other == *key {
                    true => drop(self.runs.insert(other, run)),
                    false => self.turn(Event::Clones(clones::Event::Synced {
                        outcome: outcome(&other, level(), None),
                        job: JobId { key: other, run },
                    })),
                }
            }
        }
        let run = self.runs[key];
        let (end, lacks) = match how {
            Run::Ends(end) => (end, None),
            Run::Lacks(what) => (level(), Some(what)),
            Run::Sticks(what) => {
                let mut outcome = outcome(key, level(), None);
                outcome.facts = Some(Facts { stuck: Some(what.into()), ..Facts::default() });
                return self.turn(Event::Clones(clones::Event::Synced {
                    job: JobId { key: key.clone(), run },
                    outcome,
                }));
            }
            Run::Clones(end) => {
                self.turn(Event::Clones(clones::Event::Synced {
                    job: JobId { key: key.clone(), run },
                    outcome: outcome(key, End::NoClone, None),
                }));
                return self.turn(Event::Clones(clones::Event::Cloned {
                    job: JobId { key: key.clone(), run },
                    outcome: outcome(key, end, None),
                }));
            }
        };
        self.turn(Event::Clones(clones::Event::Synced {
            job: JobId { key: key.clone(), run },
            outcome: Outcome {
                place: Some(Place { host: self.host.clone(), ..place(key) }),
                ..outcome(key, end, lacks)
            },
        }));
    }

    fn login(&mut self, called: Called) {
        self.turn(Event::Accounts(accounts::Event::ReposAsked {
            endpoint: ENDPOINT.into(),
            called,
            changed: false,
        }));
    }

    /// Whether whoever asks for the status is shown an issue of this kind for this repository.
    fn shows(&self, kind: IssueKind, repo: &str) -> bool {
        let snapshot = self.core.published(ID).unwrap().snapshot();
        let status = snapshot.status.as_ref().unwrap();
        let shown = status.issues.iter().any(|i| i.kind == kind.name() && i.repo == repo);
        assert!(!shown || status.needs_help);
        shown
    }
}

fn ledger() -> Key {
    Key::Ledger(Id::from(ID))
}

fn team() -> Key {
    Key::Team(Id::from(format!("ox.example/{TEAM}")))
}

fn found() -> Attachable {
    Attachable {
        id: Id::from(ID),
        repo_id: "repo_1".into(),
        root: "/p".into(),
        socket: "/run/p.sock".into(),
        timing: Timing { interval: Duration::from_secs(60), debounce: Duration::from_millis(500) },
        team_interval: Duration::from_secs(15),
        idle_timeout: Duration::ZERO,
        loaded: loaded(),
        errors: Default::default(),
    }
}

fn loaded() -> Loaded {
    let team = TeamRef { id: TEAM.into(), url: "https://ox.example/a.git".into(), ..TeamRef::default() };
    Loaded {
        slug: "ox.example".into(),
        endpoint: Some(ENDPOINT.into()),
        primary: TEAM.into(),
        ledger: Some(Known { place: place(&ledger()), ..Known::default() }),
        teams: BTreeMap::from([(Source::Credentials, vec![team])]),
        clones: BTreeMap::from([(TEAM.into(), Known { place: place(&self::team()), ..Known::default() })]),
        cloud: Some(CloudView { login: Some("me".into()), ..CloudView::default() }),
        ..Loaded::default()
    }
}

fn place(key: &Key) -> Place {
    let path = PathBuf::from(format!("/data/{key}"));
    Place { state: path.join("state"), path, host: None, exists: true, ..Place::default() }
}

fn outcome(key: &Key, end: End, missing: Option<&str>) -> Outcome {
    let facts = Facts { missing: missing.map(str::to_string), ..Facts::default() };
    let facts = matches!(end, End::Level(_)).then_some(facts);
    Outcome { place: Some(place(key)), facts, end, took: Duration::from_millis(5) }
}

fn level() -> End {
    End::Level(Change::default())
}

fn failed(class: Class, blocked: Option<Blocked>) -> End {
    End::Failed(Failure { blocked, ..Failure::new(class, "it failed") })
}

/// What raises an issue of this kind; `None` for what is about no repository.
fn cause(kind: IssueKind) -> Option<Run> {
    Some(match kind {
        IssueKind::MergeConflict => Run::Ends(failed(Class::Conflict, Some(Blocked::Conflict))),
        IssueKind::Diverged => Run::Ends(failed(Class::Conflict, Some(Blocked::Diverged))),
        IssueKind::GitLock => Run::Ends(End::Skipped(Skip::LockFiles(vec!["index.lock".into()]))),
        IssueKind::CloneFailed => Run::Clones(failed(Class::Auth, None)),
        IssueKind::SyncBackoff => Run::Ends(failed(Class::Disk, None)),
        IssueKind::DirtyWorkspace => {
            let kept = Kept { reference: "refs/ox/rescue/1".into(), paths: vec!["a".into()] };
            Run::Ends(End::Level(Change { kept: Some(kept), ..Change::default() }))
        }
        IssueKind::RebaseStuck => {
            let age = Duration::from_secs(3600);
            Run::Ends(End::Skipped(Skip::Foreign { what: "rebase".into(), age }))
        }
        IssueKind::MissingScaffolding => Run::Lacks("there is no .sageox/"),
        IssueKind::MurmurStuck => Run::Sticks("1 that cannot be read"),
        IssueKind::AuthExpiring | IssueKind::WatchLimit => return None,
    })
}

#[test]
fn syn_03_every_issue_is_raised_shown_healed_and_gone_within_one_cycle() {
    // What a work tree lacks is told by looks at it, not by runs: `--test all sim::trees`.
    for kind in IssueKind::ALL.into_iter().filter(|kind| *kind != IssueKind::WatchLimit) {
        for (key, repo) in [(ledger(), LEDGER), (team(), TEAM)] {
            let mut rig = Rig::new();
            match cause(kind) {
                Some(run) => {
                    rig.run(&key, run);
                    assert!(rig.shows(kind, repo), "{kind:?} of {key} is not shown");
                    let other = if repo == LEDGER { TEAM } else { LEDGER };
                    assert!(!rig.shows(kind, other), "{kind:?} is shown for the wrong clone");
                    rig.run(&key, Run::Ends(level()));
                }
                None => {
                    rig.login(Called::Unauthorized);
                    assert!(rig.shows(kind, ""), "{kind:?} is not shown");
                    rig.login(Called::Fine);
                }
            }
            assert!(rig.core.issues(ID).is_empty(), "{kind:?} of {key} stays: {:?}", rig.core.issues(ID));
            assert!(!rig.shows(kind, repo), "{kind:?} of {key} is shown for ever");
        }
    }
}

#[test]
fn what_a_team_needs_is_shown_in_every_project_that_uses_it_and_goes_with_it() {
    let mut rig = Rig::new();
    rig.run(&team(), Run::Lacks("there is no .sageox/"));
    assert!(rig.shows(IssueKind::MissingScaffolding, TEAM));
    let none = Loaded { teams: BTreeMap::from([(Source::Credentials, Vec::new())]), ..loaded() };
    rig.turn(Event::Projects(projects::Event::Loaded { id: Id::from(ID), loaded: Some(Box::new(none)) }));
    assert!(!rig.shows(IssueKind::MissingScaffolding, TEAM));
    assert!(rig.core.issues(ID).is_empty());
}

fn stored(rig: &Rig) -> Vec<(String, bool)> {
    let errors = rig.core.stored_errors(ID).unwrap();
    errors.newest_first().map(|e| (e.code.clone(), e.viewed)).collect()
}

fn mark_all(rig: &mut Rig) {
    let request = Request::MarkErrors(Default::default());
    let via = Via::Project(Id::from(ID));
    rig.turn(Event::Request { conn: ConnId::simulated(2), via, caller: String::new(), request });
}

#[test]
fn a_failure_that_lasts_is_stored_once_until_its_clone_was_level_or_it_is_another() {
    let cases = [
        (Class::Auth, "refused", "auth_expired", 1),
        (Class::Conflict, "both", "git_conflict", 1),
        (Class::Disk, "write: No space left on device", "disk_full", 1),
        (Class::Disk, "open: Permission denied", "permission_denied", 1),
        (Class::Disk, "input/output error", "sync_failed", 2),
        (Class::Damage, "broken", "sync_failed", 2),
        (Class::Network, "a path of this machine is gone", "sync_failed", 2),
    ];
    for (class, text, code, times) in cases {
        for key in [ledger(), team()] {
            let mut rig = Rig::new();
            let fail = |rig: &mut Rig| rig.run(&key, Run::Ends(End::Failed(Failure::new(class, text))));
            for n in 1..times {
                fail(&mut rig);
                assert!(stored(&rig).is_empty(), "{text} after {n}");
            }
            let one = |viewed| vec![(code.to_string(), viewed)];
            fail(&mut rig);
            assert_eq!(stored(&rig), one(false), "{text} of {key}");
            mark_all(&mut rig);
            fail(&mut rig);
            assert_eq!(stored(&rig), one(true), "{text} of {key} is told of again");
            rig.run(&key, Run::Ends(level()));
            (0..times).for_each(|_| fail(&mut rig));
            assert_eq!(stored(&rig), one(false), "{text} of {key} is new");
        }
    }
}

#[test]
fn a_login_that_is_not_taken_is_stored_and_a_lost_network_is_not() {
    let mut rig = Rig::new();
    rig.login(Called::Unauthorized);
    assert_eq!(stored(&rig), [("auth_expired".to_string(), false)]);
    let mut rig = Rig::new();
    rig.host = Some("git.example".into());
    for _ in 0..3 {
        rig.run(&ledger(), Run::Ends(failed(Class::Network, None)));
    }
    assert!(stored(&rig).is_empty());
}

#[test]
fn a_run_that_nobody_asked_for_answers_no_request() {
    let ends = [End::Skipped(Skip::Fresh), End::Skipped(Skip::Busy), level(), failed(Class::Network, None)];
    for end in ends {
        let mut rig = Rig::new();
        let key = ledger();
        while !rig.runs.contains_key(&key) {
            let next = rig.core.next_deadline().expect("something is always due");
            rig.clock.advance(next.since(rig.clock.now().mono));
            rig.turn(None);
        }
        let own = rig.runs.remove(&key).unwrap();
        let (conn, via) = (ConnId::simulated(7), Via::Project(Id::from(ID)));
        rig.turn(Event::Request { conn, via, caller: String::new(), request: Request::Sync });
        assert!(!rig.runs.contains_key(&key), "not two at once");
        let ended = |rig: &mut Rig, run, end: &End| {
            let event = Event::Clones(clones::Event::Synced {
                job: JobId { key: key.clone(), run },
                outcome: outcome(&key, end.clone(), None),
            });
            let effects = rig.core.turn(rig.clock.now(), Some(event));
            let replied = effects.iter().any(|e| matches!(e, Effect::Reply(to, _) if *to == conn));
            let next = effects.iter().find_map(|e| match e {
                Effect::Clones(clones::Effect::Sync { job, ask, .. }) if job.key == key => {
                    Some((job.run, ask.forced))
                }
                _ => None,
            });
            (replied, next)
        };
        let (replied, next) = ended(&mut rig, own, &end);
        assert!(!replied, "{end:?} is no answer");
        let (run, forced) = next.expect("a run of their own");
        assert!(forced);
        // That one is an answer, whatever it comes to.
        assert_eq!(ended(&mut rig, run, &End::Skipped(Skip::Busy)), (true, None));
    }
}
