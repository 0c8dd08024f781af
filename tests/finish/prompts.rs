//! What a prompt leaves out, and that all fields of a summary can be filled from what it leaves.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use ox::kit::text::tokens;
use ox::redact::Redactor;
use ox::sessions::raw::{self, Header, Line};
use ox::sessions::summary::{Room, Transcript};
use ox::sessions::{Follower, Recording};

use crate::support::transcript::{Program, write_long};

/// Tokens of the program's transcript, of the recording, and of what is given of it.
fn measure(kind: &str, path: &Path) -> (usize, usize, usize, String) {
    let tmp = tempfile::tempdir().unwrap();
    let session = tmp.path().join("s");
    fs::create_dir(&session).unwrap();
    let mut recording = Recording::new("OxTndR", Timestamp::UNIX_EPOCH);
    recording.adapter_name = kind.to_owned();
    recording.session_file = path.to_str().unwrap().to_owned();
    recording.create(&session).unwrap();
    let mut follower = Follower::open(&session, |_| vec![path.parent().unwrap().to_owned()]).unwrap();
    follower.drain(&Header::default(), &Redactor::new()).unwrap();
    let mut transcript = Transcript::new(Room::for_tokens(60_000));
    let mut seq = 0;
    raw::read(&session.join(raw::FILE), &mut |line| {
        if let Line::Entry(entry) = line {
            transcript.entry(seq, &entry);
            seq += 1;
        }
    })
    .unwrap();
    let prompt = transcript.finish();
    let native = tokens(&fs::read_to_string(path).unwrap());
    (native, prompt.tokens_before, prompt.tokens_after, prompt.text)
}

#[test]
fn a_prompt_has_a_part_of_what_the_session_has() {
    let less = |before: usize, after: usize| 100.0 - 100.0 * after as f64 / before.max(1) as f64;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts");
    let mut names: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = match name.split('-').next().unwrap() {
            "claude" => "claude-code",
            other => other,
        };
        let (native, before, after, _) = measure(kind, path);
        println!(
            "{name}: {native} {before} {after}: {:.0} % {:.0} %",
            less(native, after),
            less(before, after)
        );
        assert!(after <= native);
    }
    for program in Program::ALL {
        for size in [1_u64 << 20, 8 << 20] {
            let tmp = tempfile::tempdir().unwrap();
            let path = tmp.path().join("t.jsonl");
            write_long(program, size, &mut fs::File::create(&path).unwrap()).unwrap();
            let (native, before, after, text) = measure(program.kind(), &path);
            println!(
                "{} {} MiB: {native} {before} {after}: {:.0} % {:.0} %",
                program.kind(),
                size >> 20,
                less(native, after),
                less(before, after)
            );
            assert!(less(native, after) >= 60.0, "{native} {after}");
            // What each field is made of is there: what was asked, found, done and how it ended.
            assert!(text.contains("] user: ") && text.contains("] assistant: "), "{text}");
        }
    }
}
