//! What a program is given, and how its end is told.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ox::agents::manager::End;
use ox::agents::runner::{Failed, Which};
use ox::kit::cancel::Cancel;
use ox::kit::contact::{self, Contact, Peer, Purpose};

use super::{Bench, long_prompt};
use crate::support::own_process;

const MINUTE: Duration = Duration::from_secs(60);

/// What Claude Code says in the end.
const YES: &str = r#"echo '{"type":"result","subtype":"success","result":"yes","usage":{"input_tokens":3,"output_tokens":1},"total_cost_usd":0.5}'"#;

#[test]
fn agt_02_a_run_has_our_mark_and_nothing_of_another_session() {
    let mut bench = Bench::new();
    for (name, value) in [
        ("CLAUDECODE", "1"),
        ("CLAUDE_CODE_MESSAGING_TOKEN", "secret"),
        ("CODEX_THREAD_ID", "t"),
        ("SAGEOX_AGENT_ID", "OxAbcd"),
        ("GIT_DIR", "/elsewhere"),
        ("OX_HOOK_DEPTH", "7"),
        ("ANTHROPIC_API_KEY", "key"),
        ("HTTPS_PROXY", "http://proxy.invalid:1"),
    ] {
        bench.env.set(name, value);
    }
    let out = bench.env.work().join("told");
    let out = out.display();
    bench.program("claude", &format!("env >{out}.env; echo \"$0 $*\" >{out}.args; pwd >{out}.dir; ls -A >{out}.ls; cat >{out}.in; {YES}"));
    let prompt = long_prompt();
    let ran = bench.ask(Which::Claude, &prompt, MINUTE, &Cancel::new()).unwrap();
    assert_eq!((ran.answer.text.as_str(), ran.answer.model.as_str(), ran.exit_code), ("yes", "claude", 0));
    assert_eq!((ran.answer.input_tokens, ran.answer.micro_usd), (3, Some(500_000)));
    let told = |what: &str| fs::read_to_string(format!("{out}.{what}")).unwrap();
    assert_eq!(told("in"), prompt);
    assert!(!told("args").contains("session") || !told("args").contains("What was done"), "{}", told("args"));
    assert!(
        told("args").contains("-p --tools  --output-format stream-json --verbose --no-session-persistence")
    );
    assert_eq!(told("ls"), "");
    let dir = told("dir");
    assert!(
        dir.trim().ends_with("/ox-agent-work-1") && dir.starts_with(bench.places().to_str().unwrap()),
        "{dir}"
    );
    let env = told("env");
    let has = |line: &str| env.lines().any(|one| one == line);
    for line in
        ["OX_HOOK_DEPTH=1", "OX_SESSION_RECORDING=disabled", "SAGEOX_DAEMON=false", "ANTHROPIC_API_KEY=key"]
    {
        assert!(has(line), "{line}: {env}");
    }
    assert!(has("HTTPS_PROXY=http://proxy.invalid:1") && env.contains("\nHOME=") || env.starts_with("HOME="));
    for name in ["CLAUDECODE", "CLAUDE_CODE_MESSAGING_TOKEN", "CODEX_THREAD_ID", "SAGEOX_AGENT_ID", "GIT_DIR"]
    {
        assert!(!env.lines().any(|line| line.starts_with(&format!("{name}="))), "{name}: {env}");
    }
    bench.is_clean();
}

#[test]
fn a_run_is_told_of_without_a_host() {
    own_process("agents::run::a_run_is_told_of_without_a_host", || {
        let heard: Arc<Mutex<Vec<Contact>>> = Arc::default();
        let hears = Arc::clone(&heard);
        contact::record(move |contact| hears.lock().unwrap().push(contact.clone()));
        let bench = Bench::new();
        let ask = || bench.ask(Which::Claude, "x", MINUTE, &Cancel::new());
        assert!(ask().is_err(), "it is not installed");
        assert_eq!(*heard.lock().unwrap(), []);
        bench.program("claude", &format!("cat >/dev/null; {YES}"));
        ask().unwrap();
        bench.program("claude", "cat >/dev/null; exit 3");
        ask().unwrap_err();
        let told = |end| Contact::new(Purpose::Agent, Peer::Program("claude"), end);
        assert_eq!(*heard.lock().unwrap(), [told(contact::End::Done), told(contact::End::Failed("failed"))]);
    });
}

fn failed(script: &str) -> Failed {
    let bench = Bench::new();
    bench.program("claude", script);
    let failed = bench.ask(Which::Claude, &long_prompt(), MINUTE, &Cancel::new()).unwrap_err();
    bench.is_clean();
    failed
}

#[test]
fn agt_04_why_a_run_failed_is_told_without_a_word_of_the_prompt() {
    let check = |script: &str, end: End, error: &str, code: i32| {
        let failed = failed(script);
        assert_eq!((failed.end, failed.error.as_str(), failed.exit_code), (end, error, code), "{script}");
    };
    check("cat >&2; exit 3", End::Failed, "claude: it ended with 3", 3);
    check("echo 'Not logged in · Please run /login'; exit 1", End::Auth, "claude: its login was refused", 1);
    check(
        "echo 'Claude usage limit reached' >&2; exit 1",
        End::Quota(None),
        "claude: its quota is used up",
        1,
    );
    check("kill -9 $$", End::Failed, "claude: it ended with 137", 137);
    check("echo words", End::Failed, "claude: the program ended without an answer", 0);
    check(&format!("{YES}; exit 4"), End::Failed, "claude: it ended with 4", 4);
    let echo = "printf '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"%s\"}' \"$(head -c 300)\"; exit 1";
    check(echo, End::Failed, "claude: it ended with 1", 1);
    let said = r#"echo '{"type":"result","subtype":"success","is_error":true,"result":"no such model","usage":{"input_tokens":9}}'; exit 1"#;
    check(said, End::Failed, "claude: it ended with 1 (no such model)", 1);
    assert_eq!(failed(said).cost.map(|cost| cost.tokens), Some(9));
}

#[test]
fn a_program_that_may_do_more_than_answer_is_not_run() {
    let bench = Bench::new();
    let path = bench.program("codex", "touch ran");
    let failed = bench.ask(Which::Codex, "x", MINUTE, &Cancel::new()).unwrap_err();
    let error = format!("codex at {} has no --json: a newer version is needed", path.display());
    assert_eq!((failed.end, failed.error), (End::Rejected, error));
    let failed = bench.ask(Which::Gemini, "x", MINUTE, &Cancel::new()).unwrap_err();
    assert_eq!(failed.error, "gemini is not installed");
    // A newer one is asked again.
    bench.program("codex", "").metadata().unwrap();
    let help = "#!/bin/sh\nif [ \"$2\" = --help ]; then echo '--json --ephemeral --sandbox --skip-git-repo-check --config'; exit; fi\n\
                echo '{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"yes\"}}'\necho '{\"type\":\"turn.completed\"}'\n";
    fs::write(&path, help).unwrap();
    let ran = bench.ask(Which::Codex, "x", MINUTE, &Cancel::new()).unwrap();
    assert_eq!((ran.answer.text.as_str(), ran.answer.model.as_str()), ("yes", "codex"));
}

#[test]
fn an_answer_without_end_is_none() {
    let failed = failed("yes '{\"type\":\"assistant\"}'");
    assert_eq!((failed.end, failed.error.as_str()), (End::Failed, "claude: the answer is too long"));
    let one = self::failed("tr '\\0' x </dev/zero");
    assert_eq!((one.end, one.error.as_str()), (End::Failed, "claude: the answer is too long"));
    let told = self::failed("yes >&2");
    assert_eq!((told.end, told.error.as_str()), (End::Failed, "claude never stopped talking"));
}

#[test]
fn agt_04_a_program_that_goes_on_trying_at_a_wall_is_ended() {
    let failed = failed(
        "for n in 1 2 3; do echo \"Attempt $n failed with status 429. Retrying\" >&2; done; sleep 1000",
    );
    assert_eq!(failed.end, End::Quota(None));
}

#[test]
fn a_run_that_is_cancelled_is_nobodys_fault() {
    let bench = Bench::new();
    let began = bench.env.work().join("began");
    bench.program("claude", &format!("touch {}; sleep 1000", began.display()));
    let cancel = Cancel::new();
    let failed = std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.ask(Which::Claude, "x", MINUTE, &cancel).unwrap_err());
        crate::support::until(|| began.exists());
        cancel.cancel();
        run.join().unwrap()
    });
    assert_eq!((failed.end, failed.error.as_str()), (End::Cancelled, "claude was cancelled"));
    bench.is_clean();
}
