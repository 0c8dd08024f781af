//! Whoever counts is killed at any moment: what is counted in the end is what was served.

use std::fs;
use std::process::Command;

use ox::kit::clock::{Clock as _, SystemClock, pause};
use ox::kit::rng::Rng;
use serde_json::json;

use crate::support::{OX, TestEnv, seed};

const FILES: u64 = 1200;
const ANSWERS: u64 = 12;

#[test]
fn a_kill_while_files_are_read_loses_and_doubles_nothing() {
    seed::with("usage::kills::a_kill_while", seed::fresh(), kills);
}

fn kills(seed: u64) {
    let env = TestEnv::new();
    let mut rng = Rng::new(seed);
    let dir = env.home().join(".claude/projects/-p");
    fs::create_dir_all(&dir).unwrap();
    let line = |file: u64, n: u64| {
        // Half of the answers are another file's too.
        let id = if n.is_multiple_of(2) { format!("m{}-{n}", file / 2) } else { format!("m{file}-{n}") };
        json!({
            "type": "assistant", "uuid": format!("{file}-{n}"), "sessionId": format!("s{file}"), "timestamp": "2026-11-10T09:00:00Z",
            "cwd": "/w", "message": { "id": id, "model": "m", "content": [], "usage": { "input_tokens": 1 + n } },
        })
        .to_string()
            + "\n"
    };
    let write = |upto: u64| {
        for file in 0..FILES {
            let text: String = (0..upto).map(|n| line(file, n)).collect();
            fs::write(dir.join(format!("s{file}.jsonl")), text).unwrap();
        }
    };
    let served = |upto: u64| {
        let of = |n: u64| if n.is_multiple_of(2) { FILES / 2 } else { FILES };
        ((0..upto).map(of).sum::<u64>(), (0..upto).map(|n| of(n) * (1 + n)).sum::<u64>())
    };
    let command = || {
        let mut command = Command::new(OX);
        command.args(["session", "usage", "--json"]).env_clear().envs(env.vars()).current_dir(env.work());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    };
    write(1);
    let start = SystemClock.now().mono;
    assert!(command().status().unwrap().success());
    let whole = SystemClock.now().mono - start;
    let mut ended = 0;
    for upto in 2..=ANSWERS {
        write(upto);
        for _ in 0..seed::rounds(2, 20) {
            let mut run = command().spawn().unwrap();
            pause(rng.up_to(whole));
            run.kill().unwrap();
            ended += u32::from(run.wait().unwrap().success());
        }
        if upto.is_multiple_of(3) {
            let said = env.ox(["session", "usage", "--json"]).ok().json();
            let found =
                (said["total"]["answers"].as_u64().unwrap(), said["total"]["input_tokens"].as_u64().unwrap());
            assert_eq!(found, served(upto), "{said}");
        }
    }
    println!("{ended} runs ended before they were killed");
}
