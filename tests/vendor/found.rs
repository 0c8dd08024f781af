//! What a server names is found, cloned, linked and kept level.

use std::fs;

use serde_json::Value;

use crate::support::api::Answer;
use crate::support::api::detail_path;
use crate::vendor::world::{REPO, World, put};

fn link(world: &World, name: &str) -> std::path::PathBuf {
    fs::read_link(world.repo.join(".sageox").join(name)).unwrap_or_default()
}

#[test]
fn a_project_of_a_server_gets_its_ledger_and_teams() {
    let w = World::new();
    w.all_well();
    w.env.ox_in(&w.repo, ["config", "set", "daemon.sync_interval_read", "10s"]).ok();
    w.start();
    w.until_all_level();
    // Partial and sparse.
    for clone in [w.ledger(), w.team("own"), w.team("seen"), w.team("told")] {
        assert_eq!(w.env.git(&clone, ["config", "remote.origin.partialclonefilter"]), "blob:none");
        assert_eq!(w.env.git(&clone, ["status", "--porcelain"]), "", "{}", clone.display());
        let config = fs::read_to_string(clone.join(".git/config")).unwrap();
        assert!(config.contains("git-credential-helper") && !config.contains("CANARY"), "{config}");
    }
    assert!(w.ledger().join("sessions/a.md").exists());
    assert!(w.team("own").join("docs/d.md").exists() && !w.team("own").join("large").exists());
    // Linked.
    w.until("the links are there", || link(&w, "teams/team_told") == w.team("told"));
    assert_eq!(link(&w, "ledger"), w.ledger());
    assert_eq!(link(&w, "teams/primary"), w.team("own"));
    assert_eq!(link(&w, "teams/team_seen"), w.team("seen"));
    // Each with who named it.
    let sources = |team: &str| w.clone_of(team)["sources"].clone();
    assert_eq!(sources("team_seen"), Value::from(["credentials"].as_slice()));
    assert_eq!(sources("team_told"), Value::from(["api"].as_slice()));
    w.until("the own team is there by itself", || {
        sources("team_own") == Value::from(["config", "credentials"].as_slice())
    });
    assert_eq!(w.issues(), Vec::<String>::new());
    assert_eq!(w.env.ox_in(&w.repo, ["status", "--json"]).ok().json()["ledger"]["exists"], true);

    // A commit of another machine arrives, and one of ours leaves, by themselves.
    w.elsewhere("ledger.git", &|work| put(work, "sessions/b.md", "b"));
    w.until("their commit came", || w.ledger().join("sessions/b.md").exists());
    w.commit(&w.ledger(), "sessions/c.md", "c");
    w.until("our commit went", || w.listed("ledger.git").contains("sessions/c.md"));
    // And on demand.
    w.elsewhere("ledger.git", &|work| put(work, "sessions/d.md", "d"));
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.ledger().join("sessions/d.md").exists());
    w.elsewhere("told.git", &|work| put(work, "docs/e.md", "e"));
    w.commit(&w.team("seen"), "docs/f.md", "f");
    w.env.ox_in(&w.repo, ["sync", "--all-teams"]).ok();
    assert!(w.team("told").join("docs/e.md").exists());
    assert!(w.listed("seen.git").contains("docs/f.md"));

    // A look that finds nothing new starts no process.
    let looks =
        || w.git.log().iter().filter(|r| r.path.starts_with("/ledger.git/") && r.status == Some(200)).count();
    let (calls, before) = (w.git_calls().matches("CALL ").count(), looks());
    w.until("it has looked again", || looks() > before);
    assert_eq!(w.git_calls().matches("CALL ").count(), calls);
}

#[test]
fn what_a_viewer_commits_is_never_pushed() {
    let w = World::new();
    w.gives(&w.pat, &["own"]);
    w.names("ready", "viewer", &[]);
    w.start();
    w.until_level("ledger");
    w.commit(&w.ledger(), "sessions/mine.md", "mine");
    w.elsewhere("ledger.git", &|work| put(work, "sessions/theirs.md", "theirs"));
    let pushes = || w.git.log().iter().filter(|r| r.query.contains("receive-pack")).count();
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.ledger().join("sessions/theirs.md").exists());
    assert_eq!(w.clone_of("ledger")["read_only"], true);
    // Also while the server cannot be asked, after a restart.
    w.forget();
    w.api.answer(&detail_path(REPO), Answer::status(500));
    w.start();
    assert_eq!(w.clone_of("ledger")["read_only"], true);
    w.elsewhere("ledger.git", &|work| put(work, "sessions/later.md", "later"));
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.ledger().join("sessions/later.md").exists());
    assert_eq!(pushes(), 0);
    assert!(!w.listed("ledger.git").contains("mine.md"));
    assert!(w.ledger().join("sessions/mine.md").exists());
    // A member's are.
    w.forget();
    w.names("ready", "member", &[]);
    w.start();
    w.until("the server has said so", || w.clone_of("ledger")["read_only"].is_null());
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.listed("ledger.git").contains("mine.md"));
}

#[test]
fn a_ledger_that_is_still_being_made_is_no_failure() {
    let w = World::new();
    w.gives(&w.pat, &["own"]);
    w.names("pending", "member", &["told"]);
    w.start();
    w.until_level("team_told");
    w.until_level("team_own");
    assert_eq!(w.issues(), Vec::<String>::new());
    assert!(!w.ledger().exists());
    let errors = w.log().lines().filter(|l| l.contains("ERROR")).count();
    assert_eq!(errors, 0, "{}", w.log());
    // It is looked for every minute; with another login at once.
    w.names("ready", "member", &["told"]);
    w.api.require("another");
    w.login("another");
    w.env.ox_in(&w.repo, ["sync", "--all-teams"]).ok();
    w.until_level("ledger");
}
