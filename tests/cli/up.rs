//! `ox up` brings everything that the project names: the ledger, the teams, every host's trust, the links of this checkout.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::machine;
use super::teams::config;
use crate::support::TestEnv;

/// Adds a team as somebody else's commit would.
fn name_team(repo: &Path, id: &str, url: &str) {
    let mut value = config(repo);
    let mut teams = value["teams"].as_array().cloned().unwrap_or_default();
    teams.push(json!({ "team_id": id, "name": "", "url": url }));
    value["teams"] = teams.into();
    fs::write(repo.join(".sageox/config.json"), value.to_string()).unwrap();
}

fn with_team(env: &TestEnv, repo: &Path) {
    let bare = env.bare("plat.git");
    env.ox_in(repo, ["team", "add", &format!("plat={}", bare.display())]).ok();
}

#[test]
fn ux_05_it_brings_the_teams_and_lists_them() {
    let (env, repo) = machine();
    with_team(&env, &repo);
    let ran = env.ox_in(&repo, ["up"]).ok();
    assert!(ran.stdout.contains("team     plat — synced"), "{ran:?}");
    assert!(repo.join(".sageox/teams/plat/TEAM.md").is_file());
    let document = env.ox_in(&repo, ["up", "--json"]).ok().json();
    assert_eq!(document["teams"][0]["status"], "synced", "{document}");
    // One that cannot be had does not keep the rest away.
    fs::rename(env.work().join("plat.git"), env.work().join("gone.git")).unwrap();
    let ran = env.ox_in(&repo, ["up"]).fails(6);
    assert!(ran.stdout.contains("is up") && ran.stdout.contains("team     plat — not synced"), "{ran:?}");
    assert!(
        ran.stderr.contains("1 of 1") || ran.stderr.contains("the team context was not synced"),
        "{ran:?}"
    );
    let document = env.ox_in(&repo, ["up", "--json"]).fails(6).json();
    assert_eq!((&document["ledger"]["status"], &document["success"]), (&"synced".into(), &false.into()));
    env.stop_daemon();
}

#[test]
fn ux_22_ux_23_every_host_is_asked_for_and_a_yes_is_heard_by_all() {
    let (env, repo) = machine();
    name_team(&repo, "ops", "ssh://git@gitbox.invalid/ops.git");
    // Nobody can be asked: the rest comes up, and the way on is said.
    let ran = env.ox_in(&repo, ["up"]).ok();
    assert!(ran.stdout.contains("team     ops — waits until its host is trusted"), "{ran:?}");
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(
        status.contains("Waiting for trust") && status.contains("gitbox.invalid is not trusted yet"),
        "{status}"
    );
    assert!(status.ends_with("next: ox up\n"), "{status}");
    let errors = env.ox_in(&repo, ["daemon", "errors"]).ok();
    assert!(!errors.stdout.contains("trusted"), "waiting for trust is no error: {errors:?}");
    // Following the hint says yes once, for all that is there; nothing speaks of trust any more.
    let ran = env.ox_in(&repo, ["up", "--yes"]);
    assert!(ran.stderr.contains("gitbox.invalid is trusted from now on"), "{ran:?}");
    for args in [&["status"][..], &["doctor"], &["workspaces"]] {
        let said = env.ox_in(&repo, args).stdout;
        assert!(!said.contains("trust"), "{args:?}: {said}");
    }
    env.stop_daemon();
}

#[test]
fn ux_25_a_project_without_its_settings_file_is_set_up_again() {
    let (env, repo) = machine();
    let id = config(&repo)["repo_id"].clone();
    fs::remove_file(repo.join(".sageox/config.json")).unwrap();
    env.ox_in(&repo, ["up"]).ok();
    assert_eq!(config(&repo)["repo_id"], id);
    env.stop_daemon();
}

#[test]
fn ux_50_a_second_checkout_gets_its_links() {
    let (env, repo) = machine();
    with_team(&env, &repo);
    env.ox_in(&repo, ["up"]).ok();
    env.git(&repo, ["add", ".sageox"]);
    env.git(&repo, ["commit", "-q", "-m", "ox"]);
    env.git(&repo, ["worktree", "add", "-q", "../second"]);
    let second = env.work().join("second");
    env.ox_in(&second, ["up"]).ok();
    for link in ["ledger", "teams/plat"] {
        let [one, two] = [&repo, &second].map(|root| fs::read_link(root.join(".sageox").join(link)).unwrap());
        assert_eq!(one, two, "{link}");
    }
    env.stop_daemon();
}

#[test]
fn ux_52_actions_are_silent_with_q() {
    let (env, repo) = machine();
    with_team(&env, &repo);
    for args in [
        &["up", "-q"][..],
        &["sync", "-q"],
        &["sync", "--all-teams", "-q"],
        &["doctor", "-q"],
        &["config", "set", "murmur_send", "manual", "-q"],
        &["config", "unset", "murmur_send", "-q"],
        &["daemon", "restart", "-q"],
        &["daemon", "start", "-q"],
        &["daemon", "stop", "-q"],
    ] {
        let ran = env.ox_in(&repo, args).ok();
        assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    }
}

#[test]
fn ux_20_a_branch_without_our_files_shows_nothing_of_this_machine() {
    let (env, repo) = machine();
    env.git(&repo, ["checkout", "-q", "-b", "old"]);
    env.git(&repo, ["checkout", "-q", "-b", "new"]);
    env.ox_in(&repo, ["up"]).ok();
    env.git(&repo, ["add", ".sageox"]);
    env.git(&repo, ["commit", "-q", "-m", "ox"]);
    env.ox_in(&repo, ["agent", "prime"]).ok();
    env.git(&repo, ["checkout", "-q", "old"]);
    assert!(repo.join(".sageox/ledger").exists() && !repo.join(".sageox/.gitignore").exists());
    assert_eq!(env.git(&repo, ["status", "--porcelain"]), "");
    env.stop_daemon();
}
