//! A transcript followed into a recording, with redaction and all that makes it durable; and its lines parsed alone, beside a `memchr` line
//! scan of the same bytes, in MB/s (10^6 bytes). And a look for what finished sessions are owed, beside listing their directories.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs;
use std::path::Path;

use common::support::transcript::{Program, write_long};
use common::{Times, at_least, fixed, note, rounds, time, title};
use jiff::Timestamp;
use ox::harness::transcript::Reader;
use ox::project::{Dirs, Env};
use ox::redact::Redactor;
use ox::sessions::finish::{Wanted, look};
use ox::sessions::raw::Header;
use ox::sessions::{Follower, Places, Recording};

/// What the house promises, in MB/s.
const TAIL: f64 = 50.0;
const PARSE: f64 = 200.0;
/// Bytes of each transcript.
const SIZE: u64 = 48 << 20;

fn main() {
    title("sessions, MB/s");
    let redactor = Redactor::new();
    for program in Program::ALL {
        measure(program, &redactor);
    }
    looks();
}

/// Sessions that are looked through.
const FINISHED: usize = 1_000;
/// What a look at them may take, in milliseconds.
const LOOK: f64 = 50.0;

/// A look at sessions of this machine that are in the ledger, then at as many that wait here for their summary.
fn looks() {
    let tmp = tempfile::tempdir().unwrap();
    let env = Env::of([("HOME", tmp.path().as_os_str())], "/");
    let ledger = tmp.path().join("ledger");
    let places = Places::new(&Dirs::from_env(&env).unwrap(), tmp.path(), "repo_1", Some(&ledger));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let line = "{\"type\":\"user\",\"content\":\"word\"}\n".repeat(1_000);
    let make = |sessions: &Path, raw: &str| {
        for n in 0..FINISHED {
            let dir = sessions.join(format!(
                "2026-03-{:02}T{:02}-{:02}-dana-OxAAAA",
                n / 900 + 1,
                n / 60 % 15,
                n % 60
            ));
            fs::create_dir_all(&dir).unwrap();
            for (name, text) in [("raw.jsonl", raw), ("summary.md", pointer), ("session.md", pointer)] {
                fs::write(dir.join(name), text).unwrap();
            }
            fs::write(dir.join("summary.json"), "{\"title\":\"T\"}").unwrap();
            fs::write(dir.join("meta.json"), "{\"version\":\"1.0\",\"title\":\"T\",\"files\":{}}").unwrap();
        }
    };
    let wanted = Wanted { agents: true, publish: true, is_ours: &|_| true };
    make(&ledger.join("sessions"), pointer);
    let (mut floor, mut shared, mut here) = (Times::default(), Times::default(), Times::default());
    for _ in 0..rounds(20) {
        floor.push(time(|| places.all().0.len()));
        shared.push(time(|| assert_eq!(look(&places, &wanted).candidates, [])));
    }
    note("listing 1,000 sessions", floor.p50(), "ms");
    fixed("a look at 1,000 in the ledger", shared.p50(), "ms", LOOK);
    fs::remove_dir_all(ledger.join("sessions")).unwrap();
    make(places.own(), &line);
    for _ in 0..rounds(20) {
        here.push(time(|| assert_eq!(look(&places, &wanted).candidates.len(), FINISHED)));
    }
    note("a look at 1,000 that are all to be shared", here.p50(), "ms");
}

fn measure(program: Program, redactor: &Redactor) {
    let kind = program.kind();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.jsonl");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    write_long(program, SIZE, &mut file).unwrap();
    drop(file);
    let bytes = fs::read(&path).unwrap();
    let (mut floor, mut parse, mut tail) = (Times::default(), Times::default(), Times::default());
    let mut entries = 0;
    for round in 0..rounds(10) {
        floor.push(time(|| memchr::memchr_iter(b'\n', &bytes).count()));
        parse.push(time(|| facts(kind, &bytes)));
        let session = dir.path().join(format!("session-{round}"));
        record(&session, kind, &path);
        tail.push(time(|| entries = follow(&session, dir.path(), redactor)));
        fs::remove_dir_all(&session).unwrap();
    }
    let speed = |times: &Times| bytes.len() as f64 / 1e6 / (times.p50() / 1e3);
    note(&format!("{kind}: line scan"), speed(&floor), "MB/s");
    note(&format!("{kind}: parse, share of the line scan"), 100.0 * speed(&parse) / speed(&floor), "%");
    note(&format!("{kind}: tail, share of the line scan"), 100.0 * speed(&tail) / speed(&floor), "%");
    note(&format!("{kind}: entries"), entries as f64, "");
    at_least(&format!("{kind}: parse alone / promised"), speed(&parse), PARSE, 1.0);
    at_least(&format!("{kind}: tail with redaction / promised"), speed(&tail), TAIL, 1.0);
}

/// Reads all lines; how many facts they tell.
fn facts(kind: &str, bytes: &[u8]) -> usize {
    let (mut reader, mut facts, mut told) = (Reader::of(kind).unwrap(), Vec::new(), 0);
    for line in bytes.split(|b| *b == b'\n') {
        reader.line(line, &mut facts);
        told += facts.len();
        facts.clear();
    }
    told
}

fn record(session: &Path, kind: &str, transcript: &Path) {
    fs::create_dir(session).unwrap();
    let mut recording = Recording::new("OxBenc", Timestamp::UNIX_EPOCH);
    recording.adapter_name = kind.to_owned();
    recording.session_file = transcript.to_string_lossy().into_owned();
    recording.create(session).unwrap();
}

/// Takes all of it over; how many entries that makes.
fn follow(session: &Path, root: &Path, redactor: &Redactor) -> u64 {
    let mut follower = Follower::open(session, |_| vec![root.to_owned()]).unwrap();
    follower.drain(&Header::default(), redactor).unwrap().entries
}
