//! Nothing is left of a run: neither of one that does not want to end, nor when whoever ran it is killed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ox::agents::manager::End;
use ox::agents::runner::{self, Which};
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock as _, SystemClock};
use rustix::process::Signal;

use super::Bench;
use crate::support::{send, until, until_or};

/// Ignores all it can, forks, leaves its group and its session, twice, with an empty environment, and floods both pipes. `$BEGAN` says that
/// it has come to that.
const TORTURE: &str = r#"
trap '' TERM INT HUP
(trap '' TERM; while :; do sleep 1000; done) &
sh -c 'trap "" TERM HUP; sleep 1000 & sleep 1000' &
setsid sh -c 'trap "" TERM HUP; (while :; do sleep 1000; done) & setsid sleep 1000 & exit 0' >/dev/null 2>&1 </dev/null
((setsid sh -c 'trap "" TERM; (setsid sleep 1000 &) & sleep 1000' &) &)
(setsid env -i sh -c 'cd /; sleep 1000; : MARK' >/dev/null 2>&1 </dev/null &)
touch "$BEGAN"
(while :; do echo flood; echo flood >&2; sleep 0.01; done) &
while :; do sleep 1000; done
"#;

/// At a time.
const BESIDE: usize = 6;

fn torture(bench: &Bench) -> PathBuf {
    let began = bench.env.work().join("began");
    let mark = bench.env.root().display().to_string();
    let script = TORTURE.replace("$BEGAN", began.to_str().unwrap()).replace("MARK", &mark);
    bench.program("claude", &script);
    began
}

#[test]
fn agt_01_a_run_that_does_not_want_to_end_is_gone_with_all_it_has_started() {
    let rounds = crate::support::seed::rounds(20, 1000);
    let worst = each(rounds, |_| {
        let bench = Bench::new();
        let began = torture(&bench);
        let deadline = Duration::from_secs(1);
        let from = SystemClock.now().mono;
        let failed = bench.ask(Which::Claude, "x", deadline, &Cancel::new()).unwrap_err();
        let took = SystemClock.now().mono - from;
        assert_eq!((failed.end, failed.error.as_str()), (End::Failed, "claude timed out after 1s"));
        // It returns when nothing is left, at the latest when it has to.
        bench.is_clean();
        assert!(began.exists(), "a second was too short for it to begin");
        took.saturating_sub(deadline)
    });
    println!("{rounds} runs, gone at most {} ms after their deadline", worst.as_millis());
}

#[test]
fn agt_01_what_a_run_leaves_behind_when_it_ends_is_gone_too() {
    let bench = Bench::new();
    let script = format!(
        "(setsid sh -c 'trap \"\" TERM; sleep 1000' >/dev/null 2>&1 </dev/null &)\n(sleep 1000 &)\n\
         echo '{{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"yes\"}}'\n: {}",
        bench.env.root().display()
    );
    bench.program("claude", &script);
    let ran = bench.ask(Which::Claude, "x", Duration::from_secs(60), &Cancel::new()).unwrap();
    assert_eq!(ran.answer.text, "yes");
    bench.is_clean();
}

/// The machine of a process that runs an agent and is killed.
const INSIDE: &str = "OX_TEST_RUNS_AGENT";

/// That process: no test, unless it is told where.
#[test]
fn runs_until_it_is_killed() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let env = ox::project::Env::process();
    let private = ox::project::Dirs::from_env(&env).unwrap().agent_work();
    let ask = runner::Ask {
        prompt: "x",
        model: "",
        deadline: Duration::from_secs(600),
        cancel: &Cancel::new(),
        env: &env,
        private: &private,
        clock: &SystemClock,
    };
    panic!("{:?}", super::runner(Which::Claude).run(&ask));
}

#[test]
fn agt_01_nothing_is_left_when_whoever_ran_it_is_killed() {
    let rounds = crate::support::seed::rounds(20, 1000);
    let own = std::env::current_exe().unwrap();
    let worst = each(rounds, |_| {
        let mut bench = Bench::new();
        let began = torture(&bench);
        bench.env.set(INSIDE, "1");
        let args = ["agents::left::runs_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"];
        let mut helper = bench.env.start(own.to_str().unwrap(), bench.env.work(), args);
        until_or(|| began.exists(), || "it does not begin");
        send(helper.pid(), Signal::KILL);
        let from = SystemClock.now().mono;
        helper.ended();
        let others = || bench.env.processes();
        until_or(|| others().is_empty(), || format!("{:#?}", others()));
        let took = SystemClock.now().mono - from;
        // What it could not take away goes with the next sweep.
        runner::sweep(&bench.places(), &bench.seen());
        bench.is_clean();
        took
    });
    println!("{rounds} crashes, nothing left at most {} ms after", worst.as_millis());
}

#[test]
fn a_supervisor_that_is_called_by_a_person_says_so_and_ends() {
    let bench = Bench::new();
    for args in
        [&["supervise-child"][..], &["supervise-child", "3", "x", "sh"], &["supervise-child", "1", "9", "sh"]]
    {
        bench.env.ox(args).fails(64);
    }
    let closed = bench.env.ox(["supervise-child", "77", "1000", "/bin/true"]);
    closed.fails(64);
}

/// Does it so often, some beside each other; the longest that one took.
fn each(rounds: usize, one: impl Fn(usize) -> Duration + Sync) -> Duration {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut worst = Duration::ZERO;
        loop {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if n >= rounds {
                return worst;
            }
            worst = worst.max(one(n));
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..BESIDE).map(|_| scope.spawn(work)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

#[test]
fn a_supervisor_costs_little() {
    let bench = Bench::new();
    let began = bench.env.work().join("began");
    bench.program("claude", &format!("touch {}; sleep 1000", began.display()));
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        scope.spawn(|| bench.ask(Which::Claude, "x", Duration::from_secs(60), &cancel));
        until(|| began.exists());
        let all = bench.env.processes();
        let supervisor = all.iter().find(|process| process.command.contains("supervise-child")).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", supervisor.pid)).unwrap();
        let of = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let files = fs::read_dir(format!("/proc/{}/fd", supervisor.pid)).unwrap().count();
        // Nearly all of it is what the loader writes into the pages of a program that was built for tests.
        assert!(of("RssAnon:") < 4096 && of("Threads:") == 1, "{status}");
        // Three that lead nowhere, the lifeline, the agent's end, and the pair by which signals wake it.
        assert!(files <= 8, "{files}");
        cancel.cancel();
    });
}
