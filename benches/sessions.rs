//! A transcript followed into a recording, with redaction and all that makes it durable; and its lines parsed alone, beside a `memchr` line
//! scan of the same bytes. In MB/s (10^6 bytes).
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
use common::{Times, at_least, note, rounds, time, title};
use jiff::Timestamp;
use ox::harness::transcript::Reader;
use ox::redact::Redactor;
use ox::sessions::raw::Header;
use ox::sessions::{Follower, Recording};

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
