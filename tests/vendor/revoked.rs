//! Teams that the server names no longer.

use std::fs;
use std::path::PathBuf;

use crate::vendor::world::{World, put};

/// A world in which two teams are known by the server's word alone, and one by the credentials. The ledger is never ready, so that the
/// server is asked again with each new login.
fn world() -> World {
    let w = World::new();
    w.remote("extra.git", &[("SOUL.md", "extra"), (".sageox/sync.manifest", "version 1\n")]);
    w.gives(&w.pat, &["own", "seen"]);
    w.names("pending", "member", &["told", "extra", "seen"]);
    w.start();
    for team in ["team_own", "team_seen", "team_told", "team_extra"] {
        w.until_level(team);
    }
    w
}

/// The server is asked again, and says that the project has these teams.
fn now_names(w: &World, teams: &[&str]) {
    w.names("pending", "member", teams);
    let token = format!("{}{}", w.bearer, w.api.requests().len());
    w.api.require(&token);
    w.login(&token);
    let before = w.api.requests().len();
    w.until("the server was asked again", || {
        w.env.ox_in(&w.repo, ["sync", "--all-teams"]);
        w.api.requests()[before..].iter().filter(|r| r.authorized).count() >= 1
    });
}

/// Clones that were put away.
fn put_away(w: &World) -> Vec<PathBuf> {
    let all = fs::read_dir(w.team("own").parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.to_string_lossy().contains(".revoked.")).collect()
}

fn is_kept(w: &World, team: &str, why: &str) -> bool {
    let error = w.clone_of(team)["last_error"].to_string();
    error.contains("access was revoked") && error.contains(why)
}

#[test]
fn a_clean_clone_of_a_team_that_was_taken_away_is_put_aside() {
    let w = world();
    w.until("its link is there", || w.repo.join(".sageox/teams/team_told").exists());
    now_names(&w, &["extra"]);
    w.until("it is put aside", || !w.team("told").exists() && w.clone_of("team_told").is_null());
    assert_eq!(put_away(&w).len(), 1);
    assert!(put_away(&w)[0].join("SOUL.md").exists());
    w.until("its link is gone", || fs::symlink_metadata(w.repo.join(".sageox/teams/team_told")).is_err());
    // The credentials go on naming the other one, and the server the third.
    assert!(w.team("seen").exists() && w.team("extra").exists());
    assert_eq!(w.clone_of("team_seen")["sources"], serde_json::json!(["credentials"]));
    // It comes back as it went.
    now_names(&w, &["extra", "told"]);
    w.until_level("team_told");
}

#[test]
fn a_clone_with_anything_of_its_own_is_kept() {
    let w = world();
    put(&w.team("told"), "docs/draft.md", "mine");
    w.commit(&w.team("extra"), "SOUL.md", "mine");
    w.env.git(w.team("extra"), ["update-ref", "refs/heads/mine", "HEAD"]);
    w.env.git(w.team("extra"), ["reset", "-q", "--hard", "origin/main"]);
    now_names(&w, &["seen"]);
    w.until("one is kept for its file", || is_kept(&w, "team_told", "untracked"));
    w.until("the other is kept for its commit", || is_kept(&w, "team_extra", "not on the remote"));
    assert_eq!(fs::read_to_string(w.team("told").join("docs/draft.md")).unwrap(), "mine");
    // A stash is work, too.
    w.env.git(w.team("extra"), ["update-ref", "-d", "refs/heads/mine"]);
    put(&w.team("extra"), "SOUL.md", "stashed");
    w.env.git(w.team("extra"), ["stash", "-q"]);
    now_names(&w, &["seen"]);
    w.until("it is kept for its stash", || is_kept(&w, "team_extra", "stash"));
    assert_eq!(put_away(&w), Vec::<PathBuf>::new());
    // When nothing is left to lose they go.
    w.env.git(w.team("extra"), ["stash", "drop", "-q"]);
    fs::remove_file(w.team("told").join("docs/draft.md")).unwrap();
    now_names(&w, &["seen"]);
    w.until("both are gone", || put_away(&w).len() == 2);
}

#[test]
fn without_the_users_own_list_nothing_is_taken_away() {
    let w = world();
    let file = w.dirs.git_credentials(&w.endpoint.slug());
    fs::write(&file, "{\"token\": damaged").unwrap();
    now_names(&w, &[]);
    w.until("it is said why", || w.clone_of("team_told")["last_error"].to_string().contains("credentials"));
    w.env.ox_in(&w.repo, ["sync", "--all-teams"]);
    assert_eq!(put_away(&w), Vec::<PathBuf>::new());
    assert!(w.team("told").exists() && w.team("extra").exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"token\": damaged");
}
