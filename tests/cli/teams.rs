//! Teams and clones on the command line: what is printed, what is done, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{json, machine};
use crate::support::http_git::GitServer;
use crate::support::{Ran, TestEnv};

/// Where the clone of a team is.
fn clone_of(env: &TestEnv, id: &str) -> PathBuf {
    env.data().join("sageox/local/teams").join(id)
}

/// A machine whose project has two teams on path remotes: `a`, and `b`, called "Team B".
fn with_teams() -> (TestEnv, PathBuf) {
    let (env, repo) = machine();
    for (id, name) in [("a", ""), ("b", "Team B")] {
        let bare = env.bare(&format!("{id}.git"));
        let word = format!("{id}={}", bare.display());
        env.ox_in(&repo, ["team", "add", &word, "--name", name]).ok();
    }
    assert_eq!(env.daemon_pid(), None, "none of that needs a daemon");
    (env, repo)
}

pub(super) fn config(repo: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(repo.join(".sageox/config.json")).unwrap()).unwrap()
}

fn statuses(document: &Value) -> Vec<String> {
    let teams = document["team_contexts"].as_array().unwrap_or_else(|| panic!("{document}")).iter();
    teams.map(|t| format!("{} {}", t["team_id"].as_str().unwrap(), t["status"].as_str().unwrap())).collect()
}

/// A commit to the remote from another machine.
fn push_elsewhere(env: &TestEnv, bare: &Path, name: &str) {
    let work = env.work().join(format!("other-{name}"));
    env.git(env.work(), ["clone", "-q", bare.to_str().unwrap(), work.to_str().unwrap()]);
    fs::write(work.join(name), "theirs\n").unwrap();
    env.git(&work, ["add", "."]);
    env.git(&work, ["commit", "-qm", "theirs"]);
    env.git(&work, ["push", "-q", "origin", "HEAD:main"]);
}

#[test]
fn a_team_is_added_without_a_daemon_and_its_empty_remote_gets_its_first_files() {
    let (env, repo) = machine();
    let bare = env.bare("a.git");
    let word = format!("a={}", bare.display());
    let ran = env.ox_in(&repo, ["team", "add", &word]).ok();
    assert!(
        ran.stdout.starts_with("added team a\n") && ran.stdout.contains("  initialised the empty remote"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("next: git add .sageox && git commit -m 'Add team a'"), "{ran:?}");
    assert!(clone_of(&env, "a").join("TEAM.md").is_file());
    assert_eq!(env.git(&bare, ["log", "--oneline", "main"]).lines().count(), 1);
    assert_eq!(config(&repo)["teams"][0]["team_id"], "a");
    assert_eq!(fs::read_link(repo.join(".sageox/teams/a")).unwrap(), clone_of(&env, "a"));
    let again = json(&env.ox_in(&repo, ["team", "add", &word, "--name", "Ay", "--json"]).ok());
    let team = &again["team"];
    assert_eq!(
        (&team["already_named"], &team["seeded"], &team["team_name"]),
        (&true.into(), &false.into(), &"Ay".into())
    );
    // A name once given stays.
    env.ox_in(&repo, ["team", "add", &word]).ok();
    assert_eq!(config(&repo)["teams"][0]["name"], "Ay");
    let other = format!("a={}", env.bare("other.git").display());
    let ran = env.ox_in(&repo, ["team", "add", &other]).fails(2);
    assert!(ran.stderr.contains("a.git") && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(config(&repo)["teams"].as_array().unwrap().len(), 1);
    assert_eq!(env.daemon_pid(), None);
}

#[test]
fn init_adds_teams_too() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let word = |id: &str| format!("{id}={}", env.bare(&format!("{id}.git")).display());
    let (a, b) = (word("a"), word("b"));
    let document = json(&env.ox_in(&repo, ["init", "--team", &a, "--team", &b, "--json"]).ok());
    let ids: Vec<&str> =
        document["teams"].as_array().unwrap().iter().map(|t| t["team_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(config(&repo)["teams"].as_array().unwrap().len(), 2);
    // What is wrong with one is said before anything is made.
    let other = env.repo("q");
    env.ox_in(&other, ["init", "--team", "nonsense"]).fails(2);
    assert!(!other.join(".sageox").exists());
}

#[test]
fn cli_02_a_new_host_of_a_team_needs_one_yes() {
    let (env, repo) = machine();
    let word = "x=https://git.example.invalid/x.git";
    let ran = env.ox_in(&repo, ["team", "add", word]).fails(2);
    assert!(ran.stderr.contains("--yes") && ran.stderr.contains("git.example.invalid"), "{ran:?}");
    // Somebody else's commit names it.
    let mut value = config(&repo);
    let team = r#"[{"team_id":"x","name":"","url":"https://git.example.invalid/x.git"}]"#;
    value["teams"] = serde_json::from_str(team).unwrap();
    fs::write(repo.join(".sageox/config.json"), value.to_string()).unwrap();
    for args in [&["sync", "--all-teams"][..], &["sync", "--team", "x"]] {
        let ran = env.ox_in(&repo, args).fails(2);
        assert!(ran.stderr.contains("git.example.invalid"), "{ran:?}");
    }
    let status = env.ox_in(&repo, ["status"]).ok();
    assert!(status.stdout.contains("Waiting for trust"), "{status:?}");
    assert!(status.stdout.contains("next: ox up"), "{status:?}");
    assert_eq!(env.daemon_pid(), None);
}

#[test]
fn teams_are_listed_with_and_without_a_daemon() {
    let (env, repo) = with_teams();
    for running in [false, true] {
        if running {
            env.ox_in(&repo, ["sync", "--all-teams"]).ok();
        }
        let ran = env.ox_in(&repo, ["team", "list"]).ok();
        assert!(ran.stdout.contains("Team B") && ran.stdout.contains("config"), "{ran:?}");
        let document = json(&env.ox_in(&repo, ["team", "list", "--json"]).ok());
        assert_eq!(document["daemon"]["running"], running);
        for (n, id) in ["a", "b"].iter().enumerate() {
            let team = &document["teams"][n];
            assert_eq!((&team["id"], &team["status"]), (&(*id).into(), &"ok".into()), "{team}");
            assert_eq!(
                (&team["ahead"], &team["behind"], &team["stale"]),
                (&0.into(), &0.into(), &false.into())
            );
            assert!(team["last_sync"].is_string(), "{team}");
        }
    }
}

#[test]
fn workspaces_fit_into_80_columns_and_name_every_clone() {
    let (env, repo) = with_teams();
    let document = json(&env.ox_in(&repo, ["workspaces", "--json"]).ok());
    let rows = document["workspaces"].as_array().unwrap();
    let kinds: Vec<String> = rows.iter().map(|r| format!("{} {}", r["id"], r["status"])).collect();
    assert_eq!(kinds, [r#""ledger" "not_cloned""#, r#""a" "ok""#, r#""b" "ok""#]);
    assert!(rows[1]["size_bytes"].as_u64().unwrap() > 0 && rows[0].get("size_bytes").is_none());
    assert_eq!(rows[1]["branch"], "main");
    let ran = env.ox_in(&repo, ["workspaces"]).ok();
    assert!(ran.stdout.lines().all(|l| l.chars().count() <= 80), "{ran:?}");
    let ran = env.ox_in(&repo, ["workspaces", "-v"]).ok();
    assert!(ran.stdout.contains("main ") && ran.stdout.contains("named by  config"), "{ran:?}");
    env.ox_in(&repo, ["up"]).ok();
    let live = json(&env.ox_in(&repo, ["workspaces", "--json"]).ok());
    assert_eq!((&live["daemon"]["running"], &live["workspaces"][0]["status"]), (&true.into(), &"ok".into()));
    let next = live["workspaces"].as_array().unwrap().iter().all(|w| w["next_sync"].is_string());
    assert!(next, "{live}");
    // From outside of any project, and from another one.
    for dir in [env.work(), env.repo("q")] {
        let all = json(&env.ox_in(&dir, ["workspaces", "--all", "--json"]).ok());
        let all = all["workspaces"].as_array().unwrap();
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all.iter().all(|w| w["endpoint"] == "local" && w["exists"] == true), "{all:?}");
    }
}

#[test]
fn one_team_or_all_are_synced_and_the_ledger_is_not() {
    let (env, repo) = with_teams();
    push_elsewhere(&env, &env.work().join("a.git"), "one");
    push_elsewhere(&env, &env.work().join("b.git"), "two");
    let document = json(&env.ox_in(&repo, ["sync", "--team", "Team B", "--json"]).ok());
    assert_eq!((&document["success"], &document["mode"]), (&true.into(), &"daemon".into()));
    assert_eq!(statuses(&document), ["b synced"]);
    assert!(document.get("ledger").is_none());
    assert!(clone_of(&env, "b").join("two").is_file());
    let ran = env.ox_in(&repo, ["sync", "--all-teams"]).ok();
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    assert!(clone_of(&env, "a").join("one").is_file());
}

#[test]
fn some_failures_are_partly_done_and_only_failures_are_failed() {
    let (env, repo) = with_teams();
    fs::rename(env.work().join("b.git"), env.work().join("gone.git")).unwrap();
    let ran = env.ox_in(&repo, ["sync", "--all-teams"]).fails(6);
    assert!(ran.stdout.starts_with("synced a ") && ran.stdout.lines().count() == 1, "{ran:?}");
    assert!(ran.stderr.contains("1 of 2 team contexts") && ran.stderr.contains("cause: Team B: "), "{ran:?}");
    let document = json(&env.ox_in(&repo, ["sync", "--all-teams", "--json"]).fails(6));
    assert_eq!(statuses(&document), ["a synced", "b error"]);
    assert_eq!((&document["success"], &document["exit_code"]), (&false.into(), &6.into()));
    assert!(document["team_contexts"][1]["error"].is_string(), "{document}");
    let document = json(&env.ox_in(&repo, ["sync", "--team", "b", "--json"]).fails(1));
    assert_eq!(statuses(&document), ["b error"]);
}

/// `git init --bare` calls the first branch `master` where nobody has said otherwise.
#[test]
fn an_empty_remote_keeps_the_branch_that_it_has_chosen() {
    let (env, repo) = machine();
    let bare = env.work().join("old.git");
    env.git(env.work(), ["init", "-q", "--bare", "-b", "master", "old.git"]);
    let ran = env.ox_in(&repo, ["team", "add", &format!("old={}", bare.display())]).ok();
    assert!(ran.stdout.contains("initialised the empty remote"), "{ran:?}");
    assert!(env.git(&bare, ["show", "master:AGENTS.md"]).contains("Team context"));
    env.ox_in(&repo, ["up"]).ok();
    let status = json(&env.ox_in(&repo, ["status", "--json"]).ok());
    assert_eq!(
        (&status["team_contexts"][0]["branch"], &status["daemon"]["health"]),
        (&"master".into(), &"healthy".into())
    );
    env.stop_daemon();
}

#[test]
fn cli_11_unknown_and_ambiguous_names_are_refused_before_anything_starts() {
    let (env, repo) = with_teams();
    let bare = env.bare("c.git");
    env.ox_in(&repo, ["team", "add", &format!("c={}", bare.display()), "--name", "Team B"]).ok();
    for flag in ["--team", "--remove-team"] {
        let ran = env.ox_in(&repo, ["sync", flag, "nobody"]).fails(2);
        assert!(ran.stderr.contains("hint: ox team list"), "{ran:?}");
        let document = json(&env.ox_in(&repo, ["sync", flag, "nobody", "--json"]).fails(2));
        assert_eq!(statuses(&document), ["nobody unknown"]);
        let document = json(&env.ox_in(&repo, ["sync", flag, "Team B", "--json"]).fails(2));
        assert_eq!(statuses(&document), ["b ambiguous", "c ambiguous"]);
    }
    env.ox_in(&repo, ["team", "remove", "Team B"]).fails(2);
    assert_eq!(config(&repo)["teams"].as_array().unwrap().len(), 3);
    assert_eq!(env.daemon_pid(), None);
}

#[test]
fn a_team_that_is_removed_leaves_its_clone_until_somebody_says_otherwise() {
    let (env, repo) = with_teams();
    let ran = env.ox_in(&repo, ["team", "remove", "Team B"]).ok();
    assert!(ran.stdout.contains("ox team remove b --clone"), "{ran:?}");
    assert!(clone_of(&env, "b").is_dir());
    assert!(fs::symlink_metadata(repo.join(".sageox/teams/b")).is_err());
    assert_eq!(config(&repo)["teams"].as_array().unwrap().len(), 1);
    // Its own advice, for a team that no project names any more.
    let document = json(&env.ox_in(&repo, ["team", "remove", "b", "--clone", "--yes", "--json"]).ok());
    assert_eq!((&document["clone_removed"], &document["was_named"]), (&true.into(), &false.into()));
    assert!(!clone_of(&env, "b").exists());
    // Both at once, by the former name.
    let ran = env.ox_in(&repo, ["sync", "--remove-team", "a", "--yes"]).ok();
    assert!(ran.stderr.contains("next: git add .sageox"), "{ran:?}");
    assert!(!clone_of(&env, "a").exists() && config(&repo)["teams"] == serde_json::json!([]));
    assert_eq!(env.daemon_pid(), None);
    let ran = env.ox_in(&repo, ["sync", "--all-teams"]).ok();
    assert!(ran.stdout.is_empty() && ran.stderr.contains("has no teams"), "{ran:?}");
}

#[test]
fn syn_a_clone_with_work_that_is_nowhere_else_is_not_removed() {
    let (env, repo) = with_teams();
    let clone = clone_of(&env, "a");
    let git = |args: &[&str]| env.git(&clone, args);
    let stands = |ran: Ran, word: &str| {
        let ran = ran.fails(1);
        assert!(ran.stderr.contains(word) || ran.stdout.contains(word), "{word}: {ran:?}");
        assert!(clone.join("TEAM.md").is_file() && config(&repo)["teams"][0]["team_id"] == "a", "{ran:?}");
    };
    let refused = |word: &str| {
        stands(env.ox_in(&repo, ["sync", "--remove-team", "a", "--yes"]), word);
        stands(env.ox_in(&repo, ["sync", "--remove-team", "a", "--yes", "--json"]), word);
    };
    fs::write(clone.join("new.md"), "mine").unwrap();
    refused("untracked");
    git(&["add", "new.md"]);
    git(&["stash", "-q"]);
    refused("stash");
    git(&["stash", "drop", "-q"]);
    fs::write(clone.join("TEAM.md"), "changed").unwrap();
    git(&["commit", "-qam", "mine"]);
    refused("commits of main");
    // Without a yes nothing is removed, in neither form, whatever is forced.
    env.ox_in(&repo, ["sync", "--remove-team", "a", "--force"]).fails(2);
    env.ox_in(&repo, ["sync", "--remove-team", "a", "--force", "--json"]).fails(2);
    assert!(clone.is_dir());
    env.ox_in(&repo, ["sync", "--remove-team", "a", "--force", "--yes"]).ok();
    assert!(!clone.exists());
}

#[test]
fn a_daemon_that_runs_hears_of_teams_that_come_and_go() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let pid = env.daemon_pid();
    let word = format!("a={}", env.bare("a.git").display());
    env.ox_in(&repo, ["team", "add", &word, "--name", "Ay"]).ok();
    let known = || {
        let document = json(&env.ox_in(&repo, ["daemon", "status", "--json"]).ok());
        document["other_teams"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(known(), 1);
    let page = env.ox_in(&repo, ["daemon", "status"]).ok();
    assert!(page.stdout.contains("  team     Ay — synced"), "{page:?}");
    let status = json(&env.ox_in(&repo, ["status", "--json"]).ok());
    let team = &status["team_contexts"][0];
    assert_eq!((&team["team_name"], &team["status"]), (&"Ay".into(), &"synced".into()), "{status}");
    assert_eq!(
        (&team["exists"], &team["branch"], &team["stale"]),
        (&true.into(), &"main".into(), &false.into())
    );
    env.ox_in(&repo, ["sync", "--remove-team", "a", "--yes"]).ok();
    assert_eq!(known(), 0);
    assert!(!clone_of(&env, "a").exists());
    assert_eq!(env.daemon_pid(), pid);
}

#[test]
fn teams_over_http() {
    let (env, repo) = machine();
    let root = env.work().join("srv");
    fs::create_dir(&root).unwrap();
    for name in ["a.git", "b.git"] {
        env.git(&root, ["init", "-q", "--bare", "-b", "main", name]);
    }
    let server = GitServer::start(&env, &root);
    for id in ["a", "b"] {
        let word = format!("{id}={}", server.url(&format!("{id}.git")));
        env.ox_in(&repo, ["team", "add", &word, "--yes"]).ok();
    }
    push_elsewhere(&env, &root.join("a.git"), "TEAM.md");
    let document = json(&env.ox_in(&repo, ["sync", "--all-teams", "--json"]).ok());
    assert_eq!(statuses(&document), ["a synced", "b synced"]);
    assert_eq!(fs::read_to_string(clone_of(&env, "a").join("TEAM.md")).unwrap(), "theirs\n");
    // What a manifest does not name is not checked out, and doctor finds nothing wrong with that.
    let doctor = json(&env.ox_in(&repo, ["doctor", "--json"]));
    assert_eq!(
        (&doctor["summary"]["warnings"], &doctor["summary"]["failed"]),
        (&0.into(), &0.into()),
        "{doctor}"
    );
}

#[test]
fn cli_05_doctor_clones_what_is_missing_without_a_daemon() {
    let (env, repo) = with_teams();
    fs::remove_dir_all(clone_of(&env, "a")).unwrap();
    let ran = env.ox_in(&repo, ["doctor"]).fails(1);
    assert!(
        ran.stdout.contains("was there and is gone") && ran.stdout.contains("hint: ox doctor --fix"),
        "{ran:?}"
    );
    let ran = env.ox_in(&repo, ["doctor", "--fix"]).ok();
    assert!(ran.stdout.contains("fixed: cloned"), "{ran:?}");
    assert!(clone_of(&env, "a").join("TEAM.md").is_file());
    assert_eq!(env.daemon_pid(), None);
}

#[test]
fn doctor_mends_links_only_when_asked() {
    let (env, repo) = with_teams();
    let link = repo.join(".sageox/teams/a");
    fs::remove_file(&link).unwrap();
    let ran = env.ox_in(&repo, ["doctor"]).ok();
    assert!(ran.stdout.contains("hint: ox doctor --fix") && fs::symlink_metadata(&link).is_err(), "{ran:?}");
    let ran = env.ox_in(&repo, ["doctor", "--fix"]).ok();
    assert!(ran.stdout.contains("fixed: made the links"), "{ran:?}");
    assert_eq!(fs::read_link(&link).unwrap(), clone_of(&env, "a"));
}

#[test]
fn cli_08_clones_are_made_smaller_on_demand() {
    let (env, repo) = with_teams();
    env.ox_in(&repo, ["up"]).ok();
    let ran = env.ox_in(&repo, ["gc"]).ok();
    assert!(ran.stdout.contains("made 3 clones, the ledger among them, smaller"), "{ran:?}");
    assert_eq!(ran.stdout.matches(" before, ").count(), 3, "{ran:?}");
    let document = json(&env.ox_in(&repo, ["doctor", "--gc", "--json"]).ok());
    assert_eq!((&document["success"], &document["triggered"]), (&true.into(), &3.into()), "{document}");
    env.ox_in(&repo, ["doctor", "--gc", "--fix"]).fails(2);
}
