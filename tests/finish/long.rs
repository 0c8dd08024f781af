//! Long sessions: finished in little memory, and stopped without being read.

use std::fs::{self, File};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use ox::harness::transcript::Reader;
use ox::redact::Redactor;
use ox::sessions::{Follower, Recording};

use serde_json::json;

use super::{GOOD, NAME, Scene, header, talk};
use crate::support::seed;
use crate::support::transcript::{Program, write_long};

/// Names the directory in which the test's other process finishes.
const DIR: &str = "OX_TEST_FINISH_LONG_DIR";

/// The other process: finishes and shares the session there, and says how much memory it had at most.
#[test]
fn finishes_a_long_one_for_another_process() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let s = Scene::at(Path::new(&dir));
    let prepared = s.prepare(&s.dir()).unwrap();
    let prompt = prepared.prompt.as_ref().unwrap();
    assert!(prompt.text.len() <= 200 << 10, "{}", prompt.text.len());
    let accepted = ox::sessions::finish::accept(&s.dir(), &prepared, GOOD, s.by()).unwrap();
    assert!(accepted.valid, "{accepted:?}");
    let packed = s.pack(&s.dir()).unwrap();
    assert_eq!(packed.content.len(), 3);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let (before, after) = (prompt.tokens_before, prompt.tokens_after);
    println!(
        "entries {} tokens {before} {after} peak {}",
        prepared.entries,
        line.trim().trim_end_matches(" kB")
    );
}

#[test]
fn agt_14_a_long_session_is_finished_in_little_memory() {
    let (size, most) = seed::rounds((50_u64 << 20, 40_u64), (500 << 20, 64));
    let s = Scene::new();
    let dir = s.dir();
    fs::create_dir_all(&dir).unwrap();
    let mut out = BufWriter::new(File::create(dir.join("raw.jsonl")).unwrap());
    let mut written = 0;
    let entries = long_entries();
    let mut seq = 0;
    while written < size {
        for line in &entries {
            let line = line.replacen("\"seq\":0", &format!("\"seq\":{seq}"), 1);
            written += line.len() as u64;
            out.write_all(line.as_bytes()).unwrap();
            seq += 1;
        }
    }
    drop(out);
    let run = Command::new(std::env::current_exe().unwrap())
        .args([
            "finish::long::finishes_a_long_one_for_another_process",
            "--exact",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(DIR, &s.root)
        .output()
        .unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    let told = text.lines().find_map(|line| line.split_once("entries ")).unwrap().1;
    let peak: u64 = told.rsplit(' ').next().unwrap().parse().unwrap();
    println!("{} MiB, {told}: at most {} MiB resident", written >> 20, peak >> 10);
    assert!(peak >> 10 <= most, "{} MiB of {told}", peak >> 10);
}

/// Lines of a recording as a long transcript of real shape makes them, with 0 for their numbers.
fn long_entries() -> Vec<String> {
    let tmp = tempfile::tempdir().unwrap();
    let transcript = tmp.path().join("t.jsonl");
    write_long(Program::Claude, 4 << 20, &mut File::create(&transcript).unwrap()).unwrap();
    let session = tmp.path().join("s");
    fs::create_dir(&session).unwrap();
    assert!(Reader::of(Program::Claude.kind()).is_some());
    let mut recording = Recording::new("OxTndR", Timestamp::UNIX_EPOCH);
    recording.adapter_name = Program::Claude.kind().to_owned();
    recording.session_file = transcript.to_str().unwrap().to_owned();
    recording.create(&session).unwrap();
    let mut follower = Follower::open(&session, |_| vec![tmp.path().to_owned()]).unwrap();
    follower.drain(&header(), &Redactor::new()).unwrap();
    let text = fs::read_to_string(session.join("raw.jsonl")).unwrap();
    let seq = |line: &str| {
        let at = line.find("\"seq\":")? + 6;
        let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
        Some(format!("{}0{}\n", &line[..at], &line[at + digits..]))
    };
    text.lines().filter_map(seq).collect()
}

/// 64 GiB of which nearly all is a hole: whoever read it would never come back.
#[test]
fn agt_13_a_session_is_stopped_without_being_read() {
    let s = Scene::new();
    let dir = s.record(NAME, &talk(), Vec::new());
    let mut file = fs::OpenOptions::new().append(true).open(dir.join("raw.jsonl")).unwrap();
    let size = 64 << 30;
    file.set_len(size).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"\n").unwrap();
    drop(file);
    let mut file = fs::OpenOptions::new().append(true).open(dir.join("raw.jsonl")).unwrap();
    for n in 1000..1300 {
        let line = json!({ "type": "assistant", "content": "so it goes ".repeat(100), "seq": n });
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    drop(file);
    s.stop(&dir);
    let summary = s.json(&dir, "summary.json");
    assert_eq!(summary["title"], "Why does the parser lose the last line of the settings?");
    assert_eq!(summary["summary"], "A session of 1300 entries in 11 min. Changed /p/src/parse.rs.");
    assert!(dir.join("summary.md").exists() && !dir.join("session.md").exists());
    assert_eq!(s.needs(), [super::Need::Summary]);
}
