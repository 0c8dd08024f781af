//! Codex.

use super::*;

fn facts(name: &str) -> Vec<Fact> {
    read::<Codex>(&fixture(&format!("codex-{name}.jsonl"))).1
}

fn thread(name: &str) -> ox::harness::transcript::Thread {
    read::<Codex>(&fixture(&format!("codex-{name}.jsonl"))).0.thread().clone()
}

/// Only what was said, with context left out, and how calls ended.
fn spoken(facts: &[Fact]) -> Vec<String> {
    told(facts)
        .into_iter()
        .filter(|line| !line.starts_with("spent ") && !line.starts_with("system: "))
        .collect()
}

#[test]
fn a_session_with_a_failure_and_a_resume() {
    let facts = facts("0.171.0-session");
    let expected = [
        "system: <environment_context>|  <cwd>/home/user/project</cwd>|  <shell>bash</shell>|  <current_dat",
        "user: Say hello with echo.",
        r#"call_1 exec_command {"cmd": "echo hello-from-agent"}"#,
        "spent 81+20+0 11/3",
        "call_1 returned Chunk ID: a26b5a|Wall time: 0.0000 seconds|Process exited with code 0|Original token count",
        "assistant: Done: listed the files.",
        "spent 82+20+0 12/3",
        "user: Now run what fails.",
        r#"call_101 exec_command {"cmd": "false"}"#,
        "spent 181+20+0 111/3",
        "call_101 failed Chunk ID: 080a82|Wall time: 0.0000 seconds|Process exited with code 1|Original token count",
        "assistant: Done: listed the files.",
        "spent 182+20+0 112/3",
    ];
    assert_eq!(told(&facts), expected);
    let thread = thread("0.171.0-session");
    assert_eq!(thread.id, "01a22baa-0fae-7633-bb88-519fb5533aa7");
    assert_eq!((&thread.session, &*thread.parent, &*thread.forked_from), (&thread.id, "", ""));
    assert_eq!((&*thread.cwd, &*thread.branch), ("/home/user/project", "main"));
    assert_eq!((&*thread.model, &*thread.version), ("fake", "0.171.0"));
}

#[test]
fn a_fork_goes_on_without_the_tokens_of_what_it_goes_on_from() {
    let fork = facts("0.171.0-fork");
    assert_eq!(spent(&[&fork]), ["281+20+0 211/3", "282+20+0 212/3"]);
    assert_eq!(spoken(&fork)[0], "user: Go on in a fork.");
    assert_eq!(thread("0.171.0-fork").forked_from, thread("0.171.0-session").id);
    let all = spent(&[&facts("0.171.0-session"), &fork]);
    assert_eq!(all.len(), 6);
}

#[test]
fn a_sub_agent_is_a_thread_of_its_roots_session() {
    let (parent, sub) = (facts("0.171.0-parent"), facts("0.171.0-subagent"));
    let thread = thread("0.171.0-subagent");
    assert_eq!(thread.id, "01a22baa-1902-7002-94ad-c05dfffbaf1c");
    assert_eq!(
        (&*thread.session, &*thread.parent),
        ("01a22baa-1889-75a2-b413-ece6ac7c8042", &*thread.session)
    );
    let expected = [
        r#"call_303 exec_command {"cmd": "echo hello-from-agent"}"#,
        "call_303 returned Chunk ID: e66b99|Wall time: 0.0000 seconds|Process exited with code 0|Original token count",
        "assistant: Done: listed the files.",
    ];
    assert_eq!(spoken(&sub), expected);
    assert!(told(&sub).contains(&"system: Count the files.".to_owned()));
    let of_person: Vec<_> = spoken(&parent).into_iter().filter(|line| line.starts_with("user: ")).collect();
    assert_eq!(of_person, ["user: Start a helper."]);
    let all = [
        "381+20+0 311/3",
        "382+20+0 312/3",
        "385+20+0 315/3",
        "386+20+0 316/3",
        "383+20+0 313/3",
        "384+20+0 314/3",
    ];
    assert_eq!(spent(&[&parent, &sub]), all);
}

#[test]
fn a_compaction_costs_and_repeats_nothing() {
    let facts = facts("0.171.0-compaction");
    let all = ["581+20+0 511/3", "2582+20+0 512/3", "681+20+0 611/3", "682+20+0 612/3", "683+20+0 613/3"];
    assert_eq!(spent(&[&facts]), all);
    let told = told(&facts);
    let at = told.iter().position(|line| line == "compacted").unwrap();
    assert_eq!(told[at + 1], "user: And after the compaction.");
    assert_eq!(told.iter().filter(|line| line.starts_with("user: ")).count(), 2);
}

#[test]
fn an_image_is_told_by_its_hash() {
    let image = "[image image/png, 75 bytes, sha256:57cda64cead0869cd5f90dfebb024f4bd9a922aaea91d513de6fa3e949d88921]";
    let prompt = What::Said { role: Role::User, text: format!("{image}\nWhat is in this image?") };
    for name in ["0.171.0-image", "0.63.0-image"] {
        assert!(facts(name).iter().any(|fact| fact.what == prompt), "{name}");
    }
    assert!(spoken(&facts("0.171.0-image")).contains(
        &"call_401 apply_patch *** Begin Patch|*** Add File: new.txt|+hello|*** End Patch|".into()
    ));
}

const OLDER: [&str; 8] = [
    "user: Say hello with echo.",
    r#"call_1001 shell {"command": ["bash", "-lc", "echo hello-from-agent"]}"#,
    "call_1001 returned hello-from-agent|",
    "assistant: Done: listed the files.",
    "user: Now run what fails.",
    r#"call_1101 shell {"command": ["bash", "-lc", "false"]}"#,
    "call_1101 failed ",
    "assistant: Done: listed the files.",
];

/// Counters are written up to twice an answer, and began again when the session was resumed.
const OLDER_SPENT: [&str; 4] =
    ["1081+20+0 1011/3", "1082+20+0 1012/3", "1181+20+0 1111/3", "1182+20+0 1112/3"];

#[test]
fn an_older_session_with_counters() {
    let facts = facts("0.63.0-session");
    assert_eq!(spoken(&facts), OLDER);
    assert_eq!(spent(&[&facts]), OLDER_SPENT);
}

#[test]
fn an_older_fork_repeats_facts_under_the_ids_that_they_had() {
    let (session, fork) = (facts("0.63.0-session"), facts("made-fork"));
    let known: Vec<_> = session.iter().filter(|fact| !matches!(fact.what, What::Thread(_))).collect();
    let again = |fact: &Fact| known.iter().any(|known| known.id == fact.id && known.what == fact.what);
    assert_eq!(fork.iter().filter(|fact| again(fact)).count(), known.len());
    let own: Vec<Fact> = fork.iter().filter(|fact| !again(fact)).cloned().collect();
    // How the command ended is said by an event.
    let expected = [
        "user: Go on in a fork.",
        r#"call_9001 shell {"command":["false"]}"#,
        "call_9001 failed no code in here",
        "assistant: Done in the fork.",
    ];
    assert_eq!(spoken(&own), expected);
    assert_eq!(spent(&[&session, &fork]), [&OLDER_SPENT[..], &["980+20+0 50/3"]].concat());
    let thread = thread("made-fork");
    assert_eq!(thread.id, "01a22bff-0000-7000-8000-000000000001");
    assert_eq!(thread.forked_from, "01a22baa-40b6-7253-8c11-2e9089058683");
}

#[test]
fn the_oldest_sessions_are_bare_items_without_times_and_tokens() {
    let facts = facts("0.20.0-session");
    let expected = OLDER.map(|line| line.replace("call_1", "call_2"));
    assert_eq!(spoken(&facts), expected);
    assert_eq!(spent(&[&facts]), [""; 0]);
    assert_eq!(facts.iter().filter(|fact| fact.time.is_some()).count(), 1);
    let thread = thread("0.20.0-session");
    assert_eq!((&*thread.id, &*thread.branch), ("bdc4d15f-abde-4b00-a556-c1dc8353109a", "main"));
}
