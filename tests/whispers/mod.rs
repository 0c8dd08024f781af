//! Agents that hear of each other: murmurs out, whispers in, between real machines over real git remotes.

mod ends;
mod hostile;
pub mod machine;
mod secrets;
mod torture;
mod wire;

use std::collections::BTreeSet;
use std::fs;

use crate::support::{until, until_or};
use machine::Machine;

#[test]
fn a_murmur_is_heard_on_this_machine_and_on_another_that_nobody_asks_to_sync() {
    let a = Machine::first();
    let b = Machine::beside(&a);
    b.gets("OxBBBB");
    let said = a.ox([
        "murmur",
        "--agent-id",
        "OxAAAA",
        "--topic",
        "wip",
        "--files",
        "src/a.rs",
        "Splitting the parser",
    ]);
    assert!(said.ok().stdout.contains("sent: "));
    until(|| a.gets("OxCCCC") == ["Splitting the parser"]);
    // How long that takes is measured by `--bench whispers`.
    let heard = || b.gets("OxBBBB") == ["Splitting the parser"];
    until_or(heard, || format!("a:\n{}\nb:\n{}", a.log(), b.log()));
    let list = b.ox(["murmur", "list", "--json"]).ok().json();
    assert_eq!(list["murmurs"][0]["content"], "Splitting the parser", "{list}");
    assert_eq!(list["murmurs"][0]["principal_id"], "test-user");
    assert_eq!(a.gets("OxAAAA"), Vec::<String>::new(), "nobody hears itself");
    let unknown = b.ox(["agent", "OxDDDD", "whisper"]).fails(2);
    assert!(unknown.stderr.starts_with("error: unknown agent: OxDDDD"), "{unknown:?}");
    b.introduce("OxDDDD");
    let text = b.ox(["agent", "OxDDDD", "whisper"]).ok().stdout;
    assert!(
        text.contains("agent=\"OxAAAA\" from=\"test-user\" files=\"src/a.rs\">Splitting the parser</entry>"),
        "{text}"
    );
    assert_eq!(b.ox(["agent", "OxDDDD", "whisper"]).ok().stdout, "");
    let history = b.ox(["agent", "OxDDDD", "whisper", "history"]).ok().stdout;
    assert!(history.starts_with("given:\n") && history.contains("Splitting the parser"), "{history}");
    let all = b.ox(["whispers"]).ok().stdout;
    assert!(all.contains("OxAAAA") && all.contains("Splitting the parser"), "{all}");
}

#[test]
fn what_waits_comes_behind_the_output_of_an_agents_commands() {
    let mut a = Machine::first();
    a.introduce("OxBBBB");
    a.ox(["murmur", "--agent-id", "OxAAAA", "--importance", "critical", "The schema of main is broken"]).ok();
    until(|| {
        let heard = a.ox(["agent", "OxBBBB", "list"]).ok();
        heard.stdout.contains(">The schema of main is broken</entry>")
    });
    // In a document there is no room for it: it waits.
    a.ox(["murmur", "--agent-id", "OxCCCC", "second"]).ok();
    until(|| !a.ox(["whispers"]).ok().stdout.is_empty());
    a.ox(["agent", "OxBBBB", "list", "--json"]).ok().json();
    until(|| a.gets("OxBBBB") == ["second"]);
    // The prefix stands before every command, and the variable says the same.
    a.ox(["agent", "OxBBBB", "murmur", "from the second"]).ok();
    let list = a.ox(["murmur", "list", "--json"]).ok().json();
    assert_eq!(
        (&list["murmurs"][0]["agent_id"], list["murmurs"].as_array().unwrap().len()),
        (&"OxBBBB".into(), 3)
    );
    a.ox(["murmur", "--agent-id", "OxEEEE", "third"]).ok();
    until(|| a.ox(["agent", "OxBBBB", "status"]).ok().stdout.contains(">third</entry>"));
    a.ox(["murmur", "--agent-id", "OxDDDD", "fourth"]).ok();
    a.env.set("SAGEOX_AGENT_ID", "OxBBBB");
    until(|| a.ox(["status"]).ok().stdout.contains(">fourth</entry>"));
}

#[test]
fn ux_55_a_list_shows_ids_scopes_and_what_matters() {
    let a = Machine::first();
    let bare = a.env.bare("team.git");
    a.ox(["team", "add", &format!("plat={}", bare.display())]).ok();
    a.ox(["sync", "--all-teams"]).ok();
    a.ox(["murmur", "--importance", "critical", "the first"]).ok();
    a.ox(["murmur", "--scope", "team", "the second"]).ok();
    let list = a.ox(["murmur", "list"]).ok().stdout;
    assert!(
        list.contains("! the first") && list.contains("the second") && list.contains("test-user"),
        "{list}"
    );
    let json = a.ox(["murmur", "list", "--json"]).ok().json();
    assert_eq!(json["scope"], "all");
    let id = json["murmurs"][0]["id"].as_str().unwrap();
    let short = &id[id.len() - 8..];
    assert!(list.contains(short), "{list}");
    // What people say themselves counts as well.
    let status = a.ox(["murmur", "status"]).ok().stdout;
    assert!(status.contains("test-user"), "{status}");
    a.ox(["murmur", "list", "--since", "3d"]).fails(2);
    for files in ["/etc/passwd", "../x"] {
        let ran = a.ox(["murmur", "--files", files, "text"]).fails(2);
        assert!(ran.stderr.contains("not in this repository"), "{ran:?}");
    }
    let inside = a.repo.join("src/a.rs").to_string_lossy().into_owned();
    a.ox(["murmur", "--files", &inside, "third"]).ok();
    a.ox(["murmur", "delete", "zzzzzzzz"]).fails(2);
    a.ox(["murmur", "delete", short]).ok();
    assert!(!a.ox(["murmur", "list"]).ok().stdout.contains(short));
}

#[test]
fn ux_40_ux_41_whispers_are_those_of_others_and_as_many_as_asked_for() {
    let a = Machine::first();
    for n in 0..6 {
        a.ox(["murmur", &format!("number {n}")]).ok();
    }
    until(|| a.ox(["whispers"]).ok().stdout.matches("number ").count() == 6);
    let few = a.ox(["whispers", "--last", "4", "--json"]).ok().json();
    assert_eq!(few["entries"].as_array().unwrap().len(), 4);
    assert!(!a.ox(["whispers", "--json"]).ok().stdout.contains("auto-murmur"));
}

#[test]
fn without_a_daemon_a_murmur_waits_and_goes_out_with_the_next_sync() {
    let a = Machine::first();
    a.ox(["daemon", "stop", "--all"]).ok();
    let said = a.ox(["murmur", "--agent-id", "OxAAAA", "later"]).ok();
    assert!(said.stdout.contains("queued: ") && said.stderr.contains("ox up"), "{said:?}");
    assert!(a.ox(["murmur", "list"]).ok().stdout.contains("later"));
    assert!(!a.remote_log().contains("murmur: later"));
    a.ox(["sync"]).ok();
    until_or(|| a.remote_log().contains("murmur: later"), || a.log());
    until(|| a.gets("OxBBBB") == ["later"]);
    assert_eq!(fs::read_dir(a.state().join("outbox")).unwrap().count(), 0);
}

#[test]
fn secrets_and_private_paths_never_leave_the_machine() {
    let a = Machine::first();
    let secret = format!("{}_{}", "ghp", "a1B2".repeat(9));
    let home = a.env.home();
    let text = format!("token {secret} of Project Falcon in {}/notes", home.display());
    let rules = "```redact\nliteral \"Project Falcon\" -> [CODENAME]\nno rule\n```\n";
    fs::write(a.repo.join(".sageox/REDACT.md"), rules).unwrap();
    let said = a
        .ox(["murmur", "--agent-id", "OxAAAA", "--files", "src/a.rs,.env.local,deploy/id_ed25519", &text])
        .ok();
    assert!(said.stderr.contains("taken out") && said.stderr.contains("REDACT.md:3: "), "{said:?}");
    until_or(|| a.remote_log().contains("murmur: "), || a.log());
    let list = a.ox(["murmur", "list", "--json"]).ok().json();
    assert_eq!(list["murmurs"][0]["content"], "token [REDACTED_GITHUB_TOKEN] of [CODENAME] in ~/notes");
    let tree = a.env.git(a.remote(), ["grep", "-h", "", "main", "--", "data/murmurs"]);
    assert!(tree.contains("\"files\":\"src/a.rs\"") && !tree.contains(&secret), "{tree}");
    assert!(!tree.contains(&home.display().to_string()) && !tree.contains("id_ed25519"), "{tree}");
    // Also one that did not come from our command.
    a.tells(&a.murmur("OxCCCC", "normal", &text));
    let mut heard = Vec::new();
    until(|| {
        heard.extend(a.gets("OxBBBB"));
        heard.len() == 2
    });
    assert_eq!(heard, ["token [REDACTED_GITHUB_TOKEN] of [CODENAME] in ~/notes"; 2]);
}

#[test]
fn a_murmur_is_committed_alone_whatever_else_is_staged() {
    let a = Machine::first();
    let ledger = a.ledger();
    fs::write(ledger.join("draft.md"), "mine").unwrap();
    a.env.git(&ledger, ["add", "draft.md"]);
    a.ox(["murmur", "--agent-id", "OxAAAA", "alone"]).ok();
    until_or(|| a.remote_log().contains("murmur: alone"), || a.log());
    let files = a.env.git(a.remote(), ["ls-tree", "-r", "--name-only", "main"]);
    assert!(files.contains("data/murmurs/") && !files.contains("draft.md"), "{files}");
    assert!(a.env.git(&ledger, ["status", "--porcelain"]).contains("A  draft.md"));
}

#[test]
fn a_murmur_can_be_taken_out_again() {
    let a = Machine::first();
    let b = Machine::beside(&a);
    let held = |machine: &Machine| {
        let known = machine.ox(["whispers", "--json"]).ok().json();
        known["entries"].as_array().map_or(0, Vec::len)
    };
    a.ox(["murmur", "--agent-id", "OxAAAA", "oops"]).ok();
    until_or(|| a.remote_log().contains("murmur: oops"), || a.log());
    b.ox(["sync"]).ok();
    for machine in [&a, &b] {
        until_or(|| held(machine) == 1, || machine.log());
    }
    let list = a.ox(["murmur", "list", "--json"]).ok().json();
    let id = list["murmurs"][0]["id"].as_str().unwrap().to_owned();
    assert!(a.ox(["murmur", "delete", &id]).ok().stdout.contains("deleted: "));
    assert!(a.ox(["murmur", "list"]).ok().stderr.contains("no murmurs"));
    a.ox(["murmur", "delete", &id]).fails(2);
    a.ox(["murmur", "delete", "../../etc/passwd"]).fails(2);
    a.ox(["sync"]).ok();
    assert!(a.remote_log().contains(&format!("murmur: delete {id}")));
    // Who has not heard it by now never does, here and elsewhere.
    b.ox(["sync"]).ok();
    for machine in [&a, &b] {
        until_or(|| held(machine) == 0, || machine.log());
        assert_eq!(machine.gets("OxCCCC"), Vec::<String>::new());
    }
}

#[test]
fn changed_files_are_told_when_the_daemon_ends_if_not_before() {
    let a = Machine::first();
    fs::write(a.repo.join("tracked.rs"), "1").unwrap();
    fs::write(a.repo.join(".gitignore"), "target/\n").unwrap();
    a.env.git(&a.repo, ["add", "-A"]);
    a.env.git(&a.repo, ["commit", "-q", "-m", "code"]);
    a.ox(["agent", "OxAAAA", "heartbeat"]).ok();
    until_or(|| a.watches_tree(), || a.log());
    let status = || a.ox(["daemon", "status", "--json"]).ok().json();
    // What the very first look finds is what was there; what changes from then on is told.
    until_or(|| status()["watching"]["last_rescan"].is_string(), status);
    fs::write(a.repo.join("tracked.rs"), "22").unwrap();
    fs::create_dir(a.repo.join("target")).unwrap();
    fs::write(a.repo.join("target/out.o"), "x").unwrap();
    fs::write(a.repo.join(".env"), "SECRET=1").unwrap();
    // Told after ten minutes, or at the end: three seconds of quiet make them known.
    let settled = || status()["watching"]["pending"] == 1;
    until_or(settled, status);
    let status = status();
    assert_eq!(status["watching"]["mode"], "watching", "{status}");
    assert_eq!(status["watching"]["dirs_watched"], 1, "{status}");
    let text = a.ox(["daemon", "status", "--verbose"]).ok().stdout;
    assert!(
        text.contains("watching 1 directory, all looked at ") && text.contains("1 changed file to tell"),
        "{text}"
    );
    a.ox(["daemon", "stop", "--all"]).ok();
    a.ox(["sync"]).ok();
    until_or(|| a.remote_log().contains("murmur: file changes"), || a.log());
    let list = a.ox(["murmur", "list", "--show-file-changes", "--json"]).ok().json();
    let note = &list["murmurs"][0];
    assert_eq!(note["content"], "[main] mod tracked.rs", "{list}");
    assert_eq!((&note["agent_id"], &note["importance"]), (&"OxAAAA".into(), &"ambient".into()), "{list}");
    assert!(a.ox(["murmur", "list"]).ok().stderr.contains("no murmurs"));

    // What changes while no daemon runs is told by the next, and nothing twice.
    a.ox(["daemon", "stop", "--all"]).ok();
    fs::write(a.repo.join("meanwhile.rs"), "1").unwrap();
    a.ox(["daemon", "start"]).ok();
    for agent in ["OxAAAA", "OxBBBB", "OxCCCC"] {
        a.ox(["agent", agent, "heartbeat"]).ok();
    }
    until_or(|| a.watches_tree(), || a.log());
    until_or(settled, || a.log());
    a.ox(["daemon", "stop", "--all"]).ok();
    a.ox(["sync"]).ok();
    let list = || a.ox(["murmur", "list", "--show-file-changes", "--json"]).ok().json();
    until_or(|| list()["total"] == 2, || format!("{}\n{}", list(), a.log()));
    assert_eq!(list()["murmurs"][0]["content"], "[main] new meanwhile.rs", "{}", list());
    // The file names two, this machine knows all three: to none of them it is news.
    assert!(list()["murmurs"][0]["agent_id"].as_str().unwrap().ends_with(",..."), "{}", list());
    let known = a.ox(["whispers", "--json"]).ok().json();
    let authors = known["entries"][0]["agent_id"].as_str().unwrap().split(',').collect::<BTreeSet<_>>();
    assert_eq!(authors, BTreeSet::from(["OxAAAA", "OxBBBB", "OxCCCC"]), "{known}");
}

#[test]
fn an_agent_that_is_at_work_is_reminded_unless_it_wants_none() {
    if !crate::support::seed::is_long() {
        // Exactly, on a simulated clock: `--test all sim::whispers`.
        return println!("skipped: agents are looked at once a minute (OX_TEST_LONG)");
    }
    let a = Machine::first();
    a.ox(["config", "set", "murmur_send", "off"]).ok();
    assert_eq!(a.ox(["config", "get", "murmur_send"]).ok().stdout.trim(), "manual");
    a.ox(["config", "set", "murmur_send", "auto"]).ok();
    a.ox(["agent", "OxAAAA", "heartbeat"]).ok();
    a.ox(["agent", "OxBBBB", "heartbeat"]).ok();
    a.ox(["murmur", "pause", "--agent-id", "OxBBBB"]).ok();
    // Agents are looked at once a minute.
    let is_reminded = || a.gets("OxAAAA").iter().any(|t| t.contains("ox murmur --topic=wip"));
    until_or(is_reminded, || a.log());
    assert_eq!(a.gets("OxBBBB"), Vec::<String>::new());
    assert_eq!(a.gets("OxAAAA"), Vec::<String>::new());
}
