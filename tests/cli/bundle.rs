//! `ox debug bundle`: one file that helps, and that may be shown to others.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::TestEnv;

#[test]
fn a_bundle_holds_what_helps_and_no_secret() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let secret = format!("{}_{}", "ghp", "a1B2".repeat(9));
    let log = env.cache().join("sageox/logs/daemon.log");
    let mut file = fs::OpenOptions::new().append(true).open(log).unwrap();
    let home = env.home();
    writeln!(
        file,
        "time=2026-11-21T12:00:00.000Z level=WARN pid=1 project=p msg=\"token {secret} in {}/x\"",
        home.display()
    )
    .unwrap();
    writeln!(file, "time=2026-11-21T12:00:01.000Z level=WARN pid=1 project=other msg=\"of another project\"")
        .unwrap();
    let path = env.work().join("report.json");
    let made = env.ox_in(&repo, ["debug", "bundle", "--output", path.to_str().unwrap()]).ok();
    assert_eq!(made.stdout.trim(), path.to_str().unwrap());
    assert!(made.stderr.contains("nothing was sent"), "{}", made.stderr);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&secret) && !text.contains(&home.display().to_string()), "{text}");
    assert!(text.contains("token [REDACTED_GITHUB_TOKEN] in ~/x") && !text.contains("of another project"));
    let all: Value = serde_json::from_str(&text).unwrap();
    for key in ["made", "version", "system", "doctor", "settings", "status", "sync_history", "errors", "log"]
    {
        assert!(!all[key].is_null(), "{key} is missing");
    }
    assert_eq!(all["status"]["running"], true);
    // Nothing is overwritten.
    env.ox_in(&repo, ["debug", "bundle", "--output", path.to_str().unwrap()]).fails(1);
    // Without a daemon, a project or a name it helps all the same.
    env.ox(["daemon", "stop", "--all"]).ok();
    let outside = env.ox_in(env.work(), ["debug", "bundle", "--json"]).ok().json();
    let name = outside["path"].as_str().unwrap();
    assert!(name.starts_with("ox-debug-") && env.work().join(name).exists(), "{outside}");
}

#[test]
fn a_bundle_that_cannot_be_written_whole_leaves_no_file() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    // No file may grow: every write is an error, and none is the end of the process.
    let script = format!("ulimit -f 0; exec '{}' debug bundle --output report.json", crate::support::OX);
    let cmd = env.cmd("sh").args(["-c", &script]).dir(&repo);
    let ran = crate::support::run(cmd, script).fails(1);
    assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
    assert!(!repo.join("report.json").exists());
}
