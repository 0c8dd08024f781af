//! Recordings: when transcripts are read, and what is watched.

use std::path::PathBuf;
use std::time::Duration;

use ox::daemon::parts::sessions::{Effect as Wanted, Ended, Event as Told, Progress, Recorded, Stepped};
use ox::daemon::{Effect, Event, Id, Via};
use ox::health::IssueKind;
use ox::ipc::Request;
use ox::ipc::wire::{Heartbeat, SessionWatchStart};
use ox::sessions::Name;

use super::bench::Bench;

const PROJECT: &str = "p";

/// What has come of a transcript is looked at once more after this.
const SETTLE: Duration = Duration::from_millis(150);
/// So many bytes that tell nothing may be anything.
const UNHEARD_MAX: u64 = 64 << 10;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn name(agent: &str) -> Name {
    Name::parse(&format!("2026-03-12T11-09-dana-{agent}")).unwrap()
}

fn recorded(agent: &str, transcript: Option<&str>) -> Recorded {
    let dir = PathBuf::from(format!("/l/.sageox/cache/sessions/{}", &*name(agent)));
    Recorded { name: name(agent), dir, transcript: transcript.map(PathBuf::from) }
}

/// A core with one project, in which these are recorded.
fn bench(all: Vec<Recorded>) -> (Bench, Id) {
    let mut bench = Bench::new();
    bench.interval = secs(36_000);
    bench.recorded = all;
    bench.attach(PROJECT, &[]);
    bench.pass(secs(1));
    (bench, Id::from(PROJECT))
}

/// What was wanted of sessions, since the last time.
fn wanted(bench: &mut Bench) -> Vec<String> {
    let told = bench.wanted.iter().filter_map(|(_, effect)| match effect {
        Effect::Sessions(Wanted::Look(..)) => Some("look".to_owned()),
        Effect::Sessions(Wanted::Step { name, .. }) => Some(format!("step {}", name.agent())),
        Effect::Sessions(Wanted::Close(dir)) => Some(format!("close {}", dir.to_str()?.rsplit('-').next()?)),
        Effect::Sessions(Wanted::Watch { dir, on }) => Some(format!("watch {} {on}", dir.display())),
        _ => None,
    });
    let told = told.collect();
    bench.wanted.clear();
    told
}

fn some() -> Progress {
    Progress { bytes: 100, facts: 1 }
}

fn came(bench: &mut Bench, id: &Id, agent: &str, came: Stepped) {
    bench.event(Event::Sessions(Told::Stepped(id.clone(), name(agent), came)));
}

#[test]
fn a_transcript_is_read_when_it_is_touched_and_once_more_when_it_has_settled() {
    let (mut bench, id) = bench(vec![recorded("OxAAAA", Some("/t/a/1.jsonl"))]);
    assert_eq!(wanted(&mut bench), ["look", "watch /t/a true", "step OxAAAA"]);
    came(&mut bench, &id, "OxAAAA", Stepped::More(some()));
    assert_eq!(wanted(&mut bench), ["step OxAAAA"]);
    came(&mut bench, &id, "OxAAAA", Stepped::New(some()));
    bench.pass(Duration::from_millis(149));
    assert!(wanted(&mut bench).is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(wanted(&mut bench), ["step OxAAAA"]);
    // Touched while it is being read: once more, however often.
    (0..5).for_each(|_| bench.event(Event::Sessions(Told::Touched("/t/a".into()))));
    bench.event(Event::Sessions(Told::Touched("/t/b".into())));
    assert!(wanted(&mut bench).is_empty());
    came(&mut bench, &id, "OxAAAA", Stepped::Level);
    assert_eq!(wanted(&mut bench), ["step OxAAAA"]);
    came(&mut bench, &id, "OxAAAA", Stepped::Level);
    // What came close behind a hint has none of its own.
    bench.pass(Duration::from_millis(150));
    assert_eq!(wanted(&mut bench), ["step OxAAAA"]);
    came(&mut bench, &id, "OxAAAA", Stepped::Level);
    // Nothing happens, and nothing is done but to look whether its agent lives.
    bench.pass(secs(3_600));
    let idle = wanted(&mut bench);
    // After 5, 10, 20 and 40 minutes.
    assert_eq!(idle.iter().filter(|w| *w == "look").count(), 4, "{idle:?}");
    assert_eq!(idle.iter().filter(|w| *w == "step OxAAAA").count(), 1, "one is under way: {idle:?}");
    // When something happens again, it is looked again as soon as at first.
    came(&mut bench, &id, "OxAAAA", Stepped::New(some()));
    wanted(&mut bench);
    bench.pass(secs(300));
    assert!(wanted(&mut bench).contains(&"look".to_owned()));
}

#[test]
fn what_cannot_be_read_is_tried_again_and_what_has_ended_is_let_go_of() {
    let (mut bench, id) =
        bench(vec![recorded("OxAAAA", Some("/t/a/1.jsonl")), recorded("OxBBBB", Some("/t/a/2.jsonl"))]);
    wanted(&mut bench);
    came(&mut bench, &id, "OxAAAA", Stepped::Failed("no".into()));
    bench.pass(secs(29));
    assert!(wanted(&mut bench).is_empty());
    bench.pass(secs(1));
    assert_eq!(wanted(&mut bench), ["step OxAAAA"]);
    bench.recorded.remove(0);
    came(&mut bench, &id, "OxAAAA", Stepped::Ended);
    bench.pass(secs(1));
    // The other one is in the same directory.
    assert_eq!(wanted(&mut bench), ["look", "close OxAAAA"]);
    bench.recorded.clear();
    came(&mut bench, &id, "OxBBBB", Stepped::Ended);
    bench.pass(secs(1));
    assert_eq!(wanted(&mut bench), ["look", "close OxBBBB", "watch /t/a false"]);
    bench.pass(secs(3_600));
    assert!(wanted(&mut bench).is_empty(), "without a recording nothing wakes");
}

#[test]
fn a_recording_that_begins_is_taken_up_when_it_is_told_and_its_transcript_when_it_is_there() {
    let (mut bench, id) = bench(Vec::new());
    assert_eq!(wanted(&mut bench), ["look"]);
    bench.recorded = vec![recorded("OxAAAA", None)];
    let told = |name: &str| {
        Request::SessionWatchStart(SessionWatchStart { session_name: name.into(), ..Default::default() })
    };
    bench.ask(Via::Project(id.clone()), told("../../etc"));
    bench.pass(secs(1));
    assert!(wanted(&mut bench).is_empty());
    bench.ask(Via::Project(id.clone()), told(&name("OxAAAA")));
    bench.pass(secs(1));
    assert_eq!(wanted(&mut bench), ["look"], "there is nothing to read yet");
    bench.recorded = vec![recorded("OxAAAA", Some("/t/a/1.jsonl"))];
    bench.pass(secs(300));
    assert_eq!(wanted(&mut bench), ["look", "watch /t/a true", "step OxAAAA"]);
    // The project is let go of.
    bench.ask(Via::Project(id), Request::Stop);
    bench.pass(secs(1));
    assert_eq!(wanted(&mut bench), ["close OxAAAA", "watch /t/a false"]);
}

#[test]
fn fifty_idle_sessions_wake_nobody_for_an_hour() {
    let all = (0..50).map(|n| recorded(&format!("OxAA{n:02}"), Some("/t/a/1.jsonl"))).collect();
    let (mut bench, id) = bench(all);
    for n in 0..50 {
        came(&mut bench, &id, &format!("OxAA{n:02}"), Stepped::Level);
    }
    // They have been idle for some time.
    for _ in 0..3 {
        bench.pass(secs(3_600));
        for n in 0..50 {
            came(&mut bench, &id, &format!("OxAA{n:02}"), Stepped::Level);
        }
    }
    wanted(&mut bench);
    bench.pass(secs(3_600));
    assert!(wanted(&mut bench).is_empty());
}

#[test]
fn agt_06_a_transcript_of_which_nothing_is_recorded_is_an_issue_until_something_is() {
    let (mut bench, id) = bench(vec![recorded("OxAAAA", Some("/t/a/1.jsonl"))]);
    let unheard = |bytes: u64| Stepped::New(Progress { bytes, facts: 0 });
    let shown = |bench: &Bench| bench.core.issues(PROJECT).contains(&IssueKind::RecordingStuck);
    let level = |bench: &mut Bench| {
        bench.pass(SETTLE);
        came(bench, &id, "OxAAAA", Stepped::Level);
    };
    came(&mut bench, &id, "OxAAAA", unheard(UNHEARD_MAX));
    level(&mut bench);
    bench.pass(secs(120));
    assert!(!shown(&bench), "so little may be anything");
    bench.event(Event::Sessions(Told::Touched("/t/a".into())));
    came(&mut bench, &id, "OxAAAA", unheard(1));
    assert!(shown(&bench), "it has lasted long enough");
    bench.event(Event::Sessions(Told::Touched("/t/a".into())));
    came(&mut bench, &id, "OxAAAA", Stepped::New(some()));
    assert!(!shown(&bench));
    // When nothing more comes, it is told all the same.
    level(&mut bench);
    bench.event(Event::Sessions(Told::Touched("/t/a".into())));
    came(&mut bench, &id, "OxAAAA", unheard(UNHEARD_MAX + 1));
    level(&mut bench);
    bench.pass(secs(59));
    assert!(!shown(&bench));
    bench.pass(secs(1));
    came(&mut bench, &id, "OxAAAA", Stepped::Level);
    assert!(shown(&bench));
    bench.event(Event::Sessions(Told::Touched("/t/a".into())));
    came(&mut bench, &id, "OxAAAA", Stepped::New(some()));
    assert!(!shown(&bench));
    // And so is one that cannot be read.
    for _ in 0..3 {
        came(&mut bench, &id, "OxAAAA", Stepped::Failed("the disk is full".into()));
        bench.pass(secs(30));
    }
    assert!(shown(&bench));
    // It goes with the recording.
    bench.recorded.clear();
    came(&mut bench, &id, "OxAAAA", Stepped::Ended);
    bench.pass(secs(1));
    assert!(!shown(&bench));
}

#[test]
fn an_agent_that_has_ended_has_its_recordings_looked_at_at_once_and_once() {
    let (mut bench, _) = bench(Vec::new());
    assert_eq!(wanted(&mut bench), ["look"]);
    bench.processes.insert(10, 1);
    let beat = Heartbeat { agent_id: "OxAAAA".into(), parent_pid: 10, ..Heartbeat::default() };
    bench.beat(PROJECT, beat);
    bench.pass(secs(60));
    bench.processes.remove(&10);
    // The process may have been a shell's: only when nothing more is heard is the agent gone.
    bench.pass(secs(239));
    assert!(wanted(&mut bench).is_empty());
    bench.pass(secs(32));
    let ended = bench.wanted.iter().find_map(|(_, effect)| match effect {
        Effect::Sessions(Wanted::Look(_, _, ended)) => Some(ended.clone()),
        _ => None,
    });
    assert_eq!(ended, Some(vec![Ended { agent: "OxAAAA".into(), pid: 10 }]));
    assert_eq!(wanted(&mut bench), ["look"]);
    bench.pass(secs(3_600));
    assert!(wanted(&mut bench).is_empty(), "it is told once, and without a recording nothing wakes");
}
