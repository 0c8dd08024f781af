//! Files that the Go program writes anew, without what it does not know.

use super::*;
use crate::support::http_git::base64;

/// Writes a project's configuration as a program does that knows neither ledger nor teams of it.
fn forget(repo: &Path, keys: &[&str]) {
    let path = repo.join(".sageox/config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    keys.iter().for_each(|key| drop(config.as_object_mut().unwrap().remove(*key)));
    fs::write(path, config.to_string()).unwrap();
}

fn config(repo: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(repo.join(".sageox/config.json")).unwrap()).unwrap()
}

/// A project with a ledger and a team on remotes of its own, all up.
fn shared() -> (TestEnv, PathBuf, String) {
    let env = TestEnv::new();
    let (repo, bare, team) = (env.repo("p"), env.bare("ledger.git"), env.bare("team.git"));
    let url = bare.to_str().unwrap().to_owned();
    env.ox_in(&repo, ["up", "--ledger", &url, "--yes"]).ok();
    env.ox_in(&repo, ["team", "add", &format!("crew={}", team.display()), "--yes"]).ok();
    env.ox_in(&repo, ["up"]).ok();
    (env, repo, url)
}

const LOST: &str = ".sageox/config.json has lost ledger_url and teams";

#[test]
fn row_1_a_project_goes_on_whose_configuration_lost_its_ledger_and_teams() {
    let (env, repo, url) = shared();
    let before = config(&repo);
    forget(&repo, &["ledger_url", "teams"]);
    // Also a daemon that never saw the whole file.
    for again in [false, true] {
        if again {
            env.stop_daemon();
        }
        for command in [&["up"][..], &["sync"], &["sync", "--all-teams"], &["status"], &["team", "list"]] {
            let ran = env.ox_in(&repo, command).ok();
            if command != ["team", "list"] && command != ["sync", "--all-teams"] {
                assert_eq!(format!("{}{}", ran.stdout, ran.stderr).matches(LOST).count(), 1, "{ran:?}");
            }
        }
        let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
        assert_eq!(status["ledger"]["remote"], json!(url), "{status}");
        assert_eq!(status["team_contexts"][0]["team_id"], json!("crew"), "{status}");
    }
    let page = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(!page.contains("Healthy") && page.ends_with("next: ox doctor --fix\n"), "{page}");
    let told = env.ox_in(&repo, ["murmur", "still here"]).ok();
    assert!(told.stdout.starts_with("sent: "), "{told:?}");
    let found = env.ox_in(&repo, ["doctor"]);
    assert!(found.stdout.contains(LOST) && found.stdout.contains(&url), "{found:?}");
    assert_eq!(config(&repo).get("ledger_url"), None, "nothing is written unasked");
    env.ox_in(&repo, ["doctor", "--fix"]);
    assert_eq!(
        (&config(&repo)["ledger_url"], &config(&repo)["teams"]),
        (&before["ledger_url"], &before["teams"])
    );
    let page = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(page.contains("Healthy") && !page.contains("has lost"), "{page}");
    env.stop_daemon();
}

/// A machine that an older version set up remembers nothing; the clone still says where it comes from.
#[test]
fn row_1_the_clone_tells_where_the_ledger_is_when_nothing_is_remembered() {
    let (env, repo, url) = shared();
    env.stop_daemon();
    fs::remove_dir_all(repo.join(".git/ox")).unwrap();
    forget(&repo, &["ledger_url"]);
    env.ox_in(&repo, ["up"]).ok();
    let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
    assert_eq!(status["ledger"]["remote"], json!(url), "{status}");
    assert!(status["project"]["lost"].as_str().unwrap().contains("lost ledger_url"), "{status}");
    let healed = env.ox_in(&repo, ["ledger", "set-remote", &url]).ok();
    assert!(healed.stdout.contains("says so again"), "{healed:?}");
    assert_eq!(config(&repo)["ledger_url"], json!(url));
    env.stop_daemon();
}

/// What people take out themselves is not lost.
#[test]
fn row_1_a_team_that_was_taken_out_does_not_come_back() {
    let (env, repo, _) = shared();
    env.ox_in(&repo, ["sync", "--remove-team", "crew", "--yes"]).ok();
    let page = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(!page.contains("has lost") && !page.contains("crew"), "{page}");
    env.stop_daemon();
}

/// A newer client says more than we know: that reaches whoever knows it, by way of our daemon.
#[test]
fn row_5_what_we_do_not_know_of_a_murmur_is_written_on() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let ours = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json()[0].clone();
    let ledger = ledger(&env, &repo);
    let id = "0195f0c2-9a41-7c1e-b7d4-2f60c1a9e001";
    let now = jiff::Timestamp::now();
    let murmur = json!({
        "schema_version": "2", "id": id, "timestamp": now.to_string(), "agent_id": "OxAb12", "topic": "wip",
        "importance": "normal", "content": "from a newer one", "future_field": { "deep": [1, "two"] },
    });
    let path = format!("data/murmurs/{}/{id}.json", now.strftime("%Y-%m-%d/%H"));
    let message = json!({ "type": "murmur", "workspace_id": ours["workspace_id"], "payload": {
        "target_dir": ledger, "content": "from a newer one", "rel_path": path,
        "murmur_json": base64(murmur.to_string().as_bytes()),
    }});
    let mut stream = UnixStream::connect(ours["socket_path"].as_str().unwrap()).unwrap();
    stream.write_all(format!("{message}\n").as_bytes()).unwrap();
    until_or(|| ledger.join(&path).exists(), || format!("no {path}"));
    let text = fs::read_to_string(ledger.join(&path)).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["future_field"], murmur["future_field"], "{text}");
    env.stop_daemon();
}
