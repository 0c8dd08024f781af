//! Claude Code.

use super::*;

fn facts(name: &str) -> Vec<Fact> {
    read::<Claude>(&fixture(&format!("claude-{name}.jsonl"))).1
}

#[test]
fn a_session_with_a_failure_a_resume_and_a_compaction() {
    let told = told(&facts("2.1.332-session"));
    let expected = [
        "user: Say hello with echo.",
        r#"toolu_1 Bash {"command":"echo hello-from-agent","description":"say hello"}"#,
        "spent 101+1001+7 11/0",
        "toolu_1 returned hello-from-agent",
        "assistant: Done: listed the files.",
        "spent 102+1002+7 12/0",
        "user: Now run what fails.",
        r#"toolu_101 Bash {"command":"false","description":"say hello"}"#,
        "spent 201+1101+7 111/0",
        "toolu_101 failed Exit code 1",
        "assistant: Done: listed the files.",
        "spent 202+1102+7 112/0",
        "compacted",
        "system: This session is being continued from a previous conversation that ran out of context. The ",
        "system: <local-command-caveat>The command below was run directly in Claude Code, not sent to you a",
        "system: <command-name>/compact</command-name>|            <command-message>compact</command-messag",
        "system: <local-command-stdout>Compacted </local-command-stdout>",
        "user: And after the compaction.",
        r#"toolu_601 Bash {"command":"echo hello-from-agent","description":"say hello"}"#,
        "spent 701+1601+7 611/0",
        "toolu_601 returned hello-from-agent",
        "assistant: Done: listed the files.",
        "spent 702+1602+7 612/0",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_thread_is_told_when_something_new_is_known_of_it() {
    let facts = facts("2.1.332-session");
    let threads: Vec<_> =
        facts.iter().filter_map(|f| if let What::Thread(t) = &f.what { Some(t) } else { None }).collect();
    assert_eq!(threads.len(), 2);
    assert_eq!((&*threads[0].model, &*threads[1].model), ("", "claude-opus-5-5"));
    let last = threads[1];
    assert_eq!(last.id, "480c51bb-1fb3-4273-a2e6-d30017c937f5");
    assert_eq!((&last.session, &*last.parent, &*last.forked_from), (&last.id, "", ""));
    assert_eq!((&*last.cwd, &*last.branch, &*last.version), ("/home/user/project", "main", "2.1.332"));
    assert_eq!(facts[1].time, Some("2026-11-30T08:50:17.990Z".parse().unwrap()));
}

#[test]
fn a_fork_repeats_facts_under_the_ids_that_they_had() {
    let (session, fork) = (facts("2.1.332-session"), facts("2.1.332-fork"));
    let known = |fact: &&Fact| !matches!(fact.what, What::Thread(_));
    let repeated = session.iter().filter(known).take_while(|fact| fact.what != What::Compacted);
    let (mut same, mut fork_facts) = (0, fork.iter().filter(known));
    for (one, other) in repeated.zip(&mut fork_facts) {
        assert_eq!(one, other);
        same += 1;
    }
    assert_eq!(same, 12);
    let own: Vec<Fact> = fork_facts.cloned().collect();
    assert_eq!(told(&own)[0], "user: Go on in a fork.");
    assert!(own.iter().all(|own| session.iter().all(|fact| fact.id != own.id)));
    // What the model served: two answers each to the first prompt, the resumed session, the fork, and behind the compaction.
    let all = [
        "101+1001+7 11/0",
        "102+1002+7 12/0",
        "201+1101+7 111/0",
        "202+1102+7 112/0",
        "701+1601+7 611/0",
        "702+1602+7 612/0",
        "301+1201+7 211/0",
        "302+1202+7 212/0",
    ];
    assert_eq!(spent(&[&session, &fork]), all);
}

#[test]
fn a_sub_agent_is_a_thread_of_its_parents_session() {
    let (parent, sub) = (facts("2.1.332-parent"), facts("2.1.332-subagent"));
    let What::Thread(thread) = &sub[0].what else { panic!("{sub:?}") };
    assert_eq!(
        (&*thread.id, &*thread.session),
        ("a341f0ff9e4e77461", "8c25c95e-cc19-45b8-be76-a7277db070f8")
    );
    assert_eq!(thread.parent, thread.session);
    let expected = [
        "system: Count the files.",
        r#"toolu_303 Bash {"command":"echo hello-from-agent","description":"say hello"}"#,
        "spent 403+1303+7 313/0",
        "toolu_303 returned hello-from-agent",
        "assistant: Done: listed the files.",
        "spent 404+1304+7 314/0",
    ];
    assert_eq!(told(&sub), expected);
    let told = told(&parent);
    let of_person: Vec<_> = told.iter().filter(|line| line.starts_with("user: ")).collect();
    assert_eq!(of_person, ["user: Start a helper."]);
    assert!(told.iter().any(|line| line.starts_with("system: <task-notification>")));
    let all = [
        "401+1301+7 311/0",
        "402+1302+7 312/0",
        "405+1305+7 315/0",
        "406+1306+7 316/0",
        "403+1303+7 313/0",
        "404+1304+7 314/0",
    ];
    assert_eq!(spent(&[&parent, &sub]), all);
}

#[test]
fn an_older_sub_agent_in_its_parents_file_costs_and_says_nothing() {
    let expected = [
        "user: Start a helper.",
        r#"toolu_3301 Task {"description":"count","prompt":"Count the files.","subagent_type":"general-purpose"}"#,
        "spent 3401+4301+7 3311/0",
        "spent 3404+4304+7 3314/0",
        "spent 3406+4306+7 3316/0",
        "toolu_3301 returned Done: listed the files.",
        "assistant: Done: listed the files.",
        "spent 3407+4307+7 3317/0",
    ];
    assert_eq!(told(&facts("1.0.128-parent")), expected);
}

#[test]
fn an_older_session() {
    let facts = facts("1.0.128-session");
    assert_eq!(told(&facts).len(), 12);
    assert!(told(&facts).contains(&"toolu_3103 failed Error".to_owned()));
    let all = ["3101+4001+7 3011/0", "3104+4004+7 3014/0", "3203+4103+7 3113/0", "3204+4104+7 3114/0"];
    assert_eq!(spent(&[&facts]), all);
}

#[test]
fn an_image_is_told_by_its_hash() {
    let facts = facts("2.1.332-image");
    let image = "[image image/png, 75 bytes, sha256:57cda64cead0869cd5f90dfebb024f4bd9a922aaea91d513de6fa3e949d88921]";
    let prompt = What::Said { role: Role::User, text: format!("What is in this image?\n{image}") };
    assert!(facts.iter().any(|fact| fact.what == prompt), "{facts:#?}");
    let result = What::Returned { call: "toolu_401".into(), output: image.into(), failed: false };
    assert!(facts.iter().any(|fact| fact.what == result));
}

#[test]
fn an_answer_of_several_records_counts_once_and_thoughts_are_not_told() {
    let facts = facts("2.1.332-pieces");
    let expected = [
        "user: Think, say and run.",
        "spent 801+1701+7 711/0",
        "assistant: I will run it 😀.",
        r#"toolu_701 Bash {"command":"sleep 4; printf out","description":"say hello"}"#,
        "toolu_701 returned out",
        // Said while the agent worked.
        "user: Another word while you work.",
        "assistant: Done: listed the files.",
        "spent 802+1702+7 712/0",
    ];
    assert_eq!(told(&facts), expected);
}
