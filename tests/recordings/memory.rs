//! A long transcript is followed in little memory.

use std::fs;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use ox::redact::Redactor;
use ox::sessions::raw::Header;
use ox::sessions::{Follower, Recording};

use crate::support::seed;
use crate::support::transcript::{Program, write_long};

/// Names the directory in which the test's other process follows.
const DIR: &str = "OX_TEST_FOLLOW_DIR";

/// The other process: takes over the transcript there, and says how much memory it had at most.
#[test]
fn follows_for_another_process() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let mut follower = Follower::open(&dir.join("session"), |_| vec![dir.to_owned()]).unwrap();
    let done = follower.drain(&Header::default(), &Redactor::new()).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("entries {} peak {}", done.entries, line.trim().trim_end_matches(" kB"));
}

#[test]
fn agt_13_a_long_transcript_is_followed_in_little_memory() {
    for program in Program::ALL {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (size, most) = seed::rounds((50_u64 << 20, 40_u64), (500 << 20, 64));
        let path = dir.join("transcript.jsonl");
        let mut file = BufWriter::new(fs::File::create(&path).unwrap());
        let size = write_long(program, size, &mut file).unwrap();
        drop(file);
        fs::create_dir(dir.join("session")).unwrap();
        let mut recording = Recording::new("OxTndR", Timestamp::UNIX_EPOCH);
        recording.adapter_name = program.kind().to_owned();
        recording.session_file = path.to_str().unwrap().to_owned();
        recording.create(&dir.join("session")).unwrap();
        let out = Command::new(std::env::current_exe().unwrap())
            .args([
                "recordings::memory::follows_for_another_process",
                "--exact",
                "--nocapture",
                "--test-threads",
                "1",
            ])
            .env(DIR, dir)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{text}");
        let told = text.lines().find_map(|line| line.split_once("entries ")).unwrap().1;
        let mut words = told.split(' ');
        let entries: u64 = words.next().unwrap().parse().unwrap();
        let peak: u64 = words.nth(1).unwrap().parse().unwrap();
        println!(
            "{}: {} MiB, {entries} entries, at most {} MiB resident",
            program.kind(),
            size >> 20,
            peak >> 10
        );
        assert!(entries > size / 20_000, "{told}");
        assert!(peak >> 10 <= most, "{} MiB of {} MiB, {told}", peak >> 10, program.kind());
    }
}
