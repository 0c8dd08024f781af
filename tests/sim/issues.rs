//! Every kind of issue: raised by what happens, shown to whoever asks, and gone within one cycle after its cause is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ox::daemon::parts::{accounts, clones, projects};
use ox::daemon::{Effect, Id, Key, Via};
use ox::health::IssueKind;
use ox::ipc::Request;
use ox::kit::Class;
use ox::sync::account::CallOutcome;
use ox::sync::{
    Blocked, Change, CloneInfo, CloudView, Conflict, End, Facts, Failure, Known, LEDGER, Loaded, Skip,
    Source, TeamRef,
};

use super::bench::{Bench, Run, ledger_key};

const ID: &str = "00000001";
const TEAM: &str = "team_a";
const ENDPOINT: &str = "https://ox.example";

/// One project that has a ledger and a team from a server, all of it fine.
fn fine() -> Bench {
    let mut bench = Bench::new();
    bench.interval = Duration::from_secs(60);
    bench.team_interval = Some(Duration::from_secs(15));
    bench.loaded = Some(loaded());
    bench.attach(ID, &[]);
    for key in [ledger(), team()] {
        run(&mut bench, &key, Run::Ends(up_to_date()));
    }
    assert!(bench.core.issues(ID).is_empty());
    bench
}

/// Lets time pass until the clone's next run has ended like this. The other clone is fine all the time.
fn run(bench: &mut Bench, key: &Key, how: Run) {
    bench.next_run.insert(key.clone(), how);
    let mut left = 100_000;
    while bench.next_run.contains_key(key) {
        bench.pass(Duration::from_millis(250));
        left -= 1;
        assert!(left > 0, "{key} is never synced");
    }
    // It has begun; now it ends.
    bench.pass(Duration::from_millis(5));
}

fn login(bench: &mut Bench, called: CallOutcome) {
    bench.event(accounts::Event::ReposAsked { endpoint: ENDPOINT.into(), called, changed: false });
}

/// Whether whoever asks for the status is shown an issue of this kind for this repository.
fn shows(bench: &Bench, kind: IssueKind, repo: &str) -> bool {
    let snapshot = bench.core.published(ID).unwrap().snapshot();
    let status = snapshot.status.as_ref().unwrap();
    let shown = status.issues.iter().any(|i| i.kind == kind.name() && i.repo == repo);
    assert!(!shown || status.needs_help);
    shown
}

fn ledger() -> Key {
    ledger_key(ID)
}

fn team() -> Key {
    Key::Team(Id::from(format!("ox.example/{TEAM}")))
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

fn place(key: &Key) -> CloneInfo {
    let path = PathBuf::from(format!("/data/{key}"));
    CloneInfo { state: path.join("state"), path, host: None, exists: true, ..CloneInfo::default() }
}

fn up_to_date() -> End {
    End::UpToDate(Change::default())
}

fn lacks() -> Facts {
    Facts { missing: Some("there is no .sageox/".into()), ..Facts::default() }
}

fn failed(class: Class, blocked: Option<Blocked>) -> End {
    End::Failed(Failure { blocked, ..Failure::new(class, "it failed") })
}

/// What raises an issue of this kind; `None` for what is about no repository.
fn cause(kind: IssueKind) -> Option<Run> {
    Some(match kind {
        IssueKind::MergeConflict => Run::Ends(failed(Class::Conflict, Some(Blocked::Conflict))),
        IssueKind::SecretsHeld => Run::Ends(failed(Class::Usage, Some(Blocked::Secrets))),
        IssueKind::Diverged => Run::Ends(failed(Class::Conflict, Some(Blocked::Diverged))),
        IssueKind::GitLock => Run::Ends(End::Skipped(Skip::LockFiles(vec!["index.lock".into()]))),
        IssueKind::CloneFailed => Run::Clones(failed(Class::Auth, None)),
        IssueKind::SyncBackoff => Run::Ends(failed(Class::Disk, None)),
        IssueKind::DirtyWorkspace => {
            let kept = Conflict { reference: "refs/ox/rescue/1".into(), paths: vec!["a".into()] };
            Run::Ends(End::UpToDate(Change { kept: Some(kept), ..Change::default() }))
        }
        IssueKind::RebaseStuck => {
            let age = Duration::from_secs(3600);
            Run::Ends(End::Skipped(Skip::Foreign { what: "rebase".into(), age }))
        }
        IssueKind::MissingScaffolding => Run::Knows(lacks()),
        IssueKind::MurmurStuck => {
            Run::Knows(Facts { stuck: Some("1 that cannot be read".into()), ..Facts::default() })
        }
        IssueKind::AuthExpiring
        | IssueKind::WatchLimit
        | IssueKind::RecordingStuck
        | IssueKind::HooksUntrusted
        | IssueKind::HooksReconcile
        | IssueKind::AgentStuck
        | IssueKind::SessionStuck
        | IssueKind::RelayNeedsLogin
        | IssueKind::RelayQueueFull => return None,
    })
}

#[test]
fn syn_03_every_issue_is_raised_shown_healed_and_gone_within_one_cycle() {
    // What a work tree lacks is told by looks at it, not by runs, and what is not recorded by transcripts: `--test all sim::trees` and
    // `sim::sessions`; what of agents' hooks is not as wanted, by looks at their settings: `sim::hooks`; what cannot be
    // finished in the background, by its runs: `sim::work`; what the relay lacks, by its link: `sim::relay`.
    let others = [
        IssueKind::WatchLimit,
        IssueKind::RecordingStuck,
        IssueKind::HooksUntrusted,
        IssueKind::HooksReconcile,
        IssueKind::AgentStuck,
        IssueKind::SessionStuck,
        IssueKind::RelayNeedsLogin,
        IssueKind::RelayQueueFull,
    ];
    let is_of_runs = |kind: &IssueKind| !others.contains(kind);
    for kind in IssueKind::ALL.into_iter().filter(is_of_runs) {
        for (key, repo) in [(ledger(), LEDGER), (team(), TEAM)] {
            let mut bench = fine();
            match cause(kind) {
                Some(how) => {
                    run(&mut bench, &key, how);
                    assert!(shows(&bench, kind, repo), "{kind:?} of {key} is not shown");
                    let other = if repo == LEDGER { TEAM } else { LEDGER };
                    assert!(!shows(&bench, kind, other), "{kind:?} is shown for the wrong clone");
                    run(&mut bench, &key, Run::Ends(up_to_date()));
                }
                None => {
                    login(&mut bench, CallOutcome::Unauthorized);
                    assert!(shows(&bench, kind, ""), "{kind:?} is not shown");
                    login(&mut bench, CallOutcome::Fine);
                }
            }
            assert!(bench.core.issues(ID).is_empty(), "{kind:?} of {key} stays: {:?}", bench.core.issues(ID));
            assert!(!shows(&bench, kind, repo), "{kind:?} of {key} is shown for ever");
        }
    }
}

#[test]
fn what_a_team_needs_is_shown_in_every_project_that_uses_it_and_goes_with_it() {
    let mut bench = fine();
    run(&mut bench, &team(), Run::Knows(lacks()));
    assert!(shows(&bench, IssueKind::MissingScaffolding, TEAM));
    let none = Loaded { teams: BTreeMap::from([(Source::Credentials, Vec::new())]), ..loaded() };
    bench.event(projects::Event::Loaded(vec![(Id::from(ID), Some(Box::new(none)))]));
    assert!(!shows(&bench, IssueKind::MissingScaffolding, TEAM));
    assert!(bench.core.issues(ID).is_empty());
}

fn stored(bench: &Bench) -> Vec<(String, bool)> {
    let errors = bench.core.stored_errors(ID).unwrap();
    errors.newest_first().map(|e| (e.code.clone(), e.viewed)).collect()
}

fn mark_all(bench: &mut Bench) {
    let request = Request::MarkErrors(Default::default());
    bench.ask(Via::Project(Id::from(ID)), request);
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
            let mut bench = fine();
            let fail =
                |bench: &mut Bench| run(bench, &key, Run::Ends(End::Failed(Failure::new(class, text))));
            for n in 1..times {
                fail(&mut bench);
                assert!(stored(&bench).is_empty(), "{text} after {n}");
            }
            let one = |viewed| vec![(code.to_string(), viewed)];
            fail(&mut bench);
            assert_eq!(stored(&bench), one(false), "{text} of {key}");
            mark_all(&mut bench);
            fail(&mut bench);
            assert_eq!(stored(&bench), one(true), "{text} of {key} is told of again");
            run(&mut bench, &key, Run::Ends(up_to_date()));
            (0..times).for_each(|_| fail(&mut bench));
            assert_eq!(stored(&bench), one(false), "{text} of {key} is new");
        }
    }
}

#[test]
fn a_login_that_is_not_taken_is_stored_and_a_lost_network_is_not() {
    let mut bench = fine();
    login(&mut bench, CallOutcome::Unauthorized);
    assert_eq!(stored(&bench), [("auth_expired".to_string(), false)]);
    let mut bench = fine();
    bench.host = Some("git.example".into());
    for _ in 0..3 {
        run(&mut bench, &ledger(), Run::Ends(failed(Class::Network, None)));
    }
    assert!(stored(&bench).is_empty());
}

#[test]
fn a_run_that_nobody_asked_for_answers_no_request() {
    let ends =
        [End::Skipped(Skip::Fresh), End::Skipped(Skip::Busy), up_to_date(), failed(Class::Network, None)];
    const TAKES: Duration = Duration::from_secs(1);
    for end in ends {
        let mut bench = fine();
        let key = ledger();
        bench.sync_takes = TAKES;
        bench.next_run.insert(key.clone(), Run::Ends(end.clone()));
        while bench.next_run.contains_key(&key) {
            bench.pass(Duration::from_millis(100));
        }
        // Theirs follows, and is an answer, whatever it comes to.
        bench.next_run.insert(key.clone(), Run::Ends(End::Skipped(Skip::Busy)));
        let begun = bench.wanted.len();
        let conn = bench.ask(Via::Project(Id::from(ID)), Request::Sync);
        let forced = |bench: &Bench| {
            let of = |e: &Effect| matches!(e, Effect::Clones(clones::Effect::Sync { job, ask, .. }) if job.key == key && ask.forced);
            bench.wanted[begun..].iter().filter(|(_, e)| of(e)).count()
        };
        assert_eq!(forced(&bench), 0, "not two at once");
        bench.pass(TAKES);
        assert!(bench.answers(conn).is_empty(), "{end:?} is no answer");
        assert_eq!(forced(&bench), 1, "a run of their own");
        bench.pass(TAKES);
        assert_eq!((bench.answers(conn).len(), forced(&bench)), (1, 1));
    }
}

#[test]
fn ux_22_a_host_that_becomes_trusted_is_noticed_soon_and_was_no_error() {
    let untrusted = || failed(Class::Usage, Some(Blocked::Untrusted));
    for key in [ledger(), team()] {
        let repo = if key == ledger() { LEDGER } else { TEAM };
        let mut bench = fine();
        run(&mut bench, &key, Run::Ends(untrusted()));
        assert!(shows(&bench, IssueKind::CloneFailed, repo));
        let before = bench.syncs(&key).len();
        for _ in 0..20 {
            bench.next_run.insert(key.clone(), Run::Ends(untrusted()));
            bench.pass(Duration::from_secs(15));
        }
        let attempts = bench.syncs(&key).len() - before;
        assert!((19..=21).contains(&attempts), "{attempts} in five minutes");
        assert!(stored(&bench).is_empty() && !shows(&bench, IssueKind::SyncBackoff, repo));
        let status = bench.core.published(ID).unwrap().snapshot().status.clone().unwrap();
        assert_eq!(status.recent_error_count, 0);
        // Trusted, though its first answer is no success: nothing speaks of trust any more.
        bench.host = Some("git.example".into());
        bench.next_run.insert(key.clone(), Run::Ends(failed(Class::Network, None)));
        bench.pass(Duration::from_secs(16));
        assert!(!bench.next_run.contains_key(&key), "tried again within 15 s");
        assert!(!shows(&bench, IssueKind::CloneFailed, repo));
    }
}
