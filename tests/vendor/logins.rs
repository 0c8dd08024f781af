//! Passwords that end, logins that are refused, and a server that does not answer: git goes on.

use std::fs;

use ox::kit::clock::{Clock, SystemClock};
use ox::kit::gotime::GoTime;
use ox::kit::secret::Secret;
use ox::project::{GitCredentials, Login, Logins};
use serde_json::json;

use crate::support::api::{Answer, REPOS, detail_path};
use crate::support::port::Port;
use crate::vendor::world::{REPO, World, put, script};

#[test]
fn a_password_that_is_refused_is_replaced_without_a_person() {
    let w = World::new();
    w.all_well();
    w.store("glpat-CANARYold", &["own", "seen"]);
    // The server is slow: git is refused first.
    w.api.answer(REPOS, w.repos(&w.pat, &["own", "seen"]).stalled());
    w.start();
    let refused = || w.git.log().iter().filter(|r| r.login && r.status == Some(401)).count() > 1;
    w.until("git was refused", refused);
    w.api.release();
    w.until_all_level();
    assert_eq!(w.issues(), Vec::<String>::new());
    // Once more, with clones that are there: nobody does anything but ask for a sync.
    w.forget();
    w.git.require_login("oauth2", "glpat-CANARYnext");
    w.gives("glpat-CANARYnext", &["own", "seen"]);
    w.elsewhere("ledger.git", &|work| put(work, "sessions/next.md", "n"));
    w.start();
    w.until("it has gone on", || w.ledger().join("sessions/next.md").exists());
    w.until_all_level();
}

#[test]
fn a_login_that_is_refused_is_said_until_there_is_a_new_one() {
    let w = World::new();
    w.all_well();
    w.store(&w.pat, &["own", "seen"]);
    w.api.require("another");
    w.start();
    w.until("it is an issue", || w.issues().contains(&"auth_expiring".to_string()));
    let said = w.env.ox_in(&w.repo, ["status"]);
    assert!(said.stdout.contains("ox login"), "{said:?}");
    let json = w.env.ox_in(&w.repo, ["daemon", "status", "--json"]).json();
    assert!(json.to_string().contains("auth_expiring"), "{json}");
    let asked = || w.api.requests().len();
    let before = asked();
    // What the credentials open is synced meanwhile.
    w.until_level("team_seen");
    assert_eq!(asked(), before, "a refused login is not tried again and again");
    let auth = w.env.ox_in(&w.repo, ["status", "--json"]).json()["auth"].take();
    assert_eq!((&auth["authenticated"], &auth["git_pat_valid"]), (&json!(true), &json!(true)), "{auth}");
    w.login("another");
    w.until("it is none any more", || w.issues().is_empty());
    w.until_all_level();
    GitCredentials::remove(&w.dirs, &w.endpoint.slug()).unwrap();
    let auth = w.env.ox_in(&w.repo, ["status", "--json"]).json()["auth"].take();
    assert_eq!(
        (&auth["git_pat_valid"], &auth["git_pat_reason"]),
        (&json!(false), &json!("missing")),
        "{auth}"
    );
}

#[test]
fn a_login_that_has_ended_or_is_refused_is_renewed_without_a_person() {
    const RENEW: &str = "/oauth2/token";
    let w = World::new();
    w.all_well();
    let renewable = |token: &str, seconds: i64| {
        let end = SystemClock.now().wall.as_second() + seconds;
        let login = Login {
            access_token: Secret::new(token),
            refresh_token: Secret::new("CANARYrenew"),
            expires_at: GoTime(jiff::Timestamp::from_second(end).ok()),
            ..Login::default()
        };
        Logins::set(&w.dirs, &w.endpoint, login).unwrap();
    };
    let gives = |token: &str| {
        let answer = json!({ "access_token": token, "refresh_token": "CANARYrenew2", "expires_in": 3600 });
        w.api.answer_once(RENEW, Answer::json(answer));
    };
    let renewals = || w.api.requests().iter().filter(|r| r.path == RENEW).count();
    renewable("CANARYended", -60);
    gives(&w.bearer);
    w.start();
    w.until_all_level();
    let first = w.api.requests().into_iter().find(|r| r.path == RENEW).unwrap();
    assert!(first.body.ends_with("refresh_token=CANARYrenew") && !first.bearer, "{first:?}");
    assert_eq!((renewals(), w.issues()), (1, Vec::new()));
    // It should be good for an hour, and the server thinks otherwise.
    w.forget();
    w.api.require("CANARYother");
    gives("CANARYother");
    GitCredentials::remove(&w.dirs, &w.endpoint.slug()).unwrap();
    w.start();
    w.until("git has a password again", || {
        GitCredentials::load(&w.dirs, &w.endpoint.slug()).unwrap().is_some()
    });
    assert_eq!((renewals(), w.issues()), (2, Vec::new()));
    assert!(!w.log().contains("CANARY"), "{}", w.log());
}

#[test]
fn a_server_that_is_down_stops_no_sync() {
    let w = World::new();
    w.all_well();
    w.start();
    w.until_all_level();
    let slow = w.repos(&w.pat, &["own"]).stalled();
    let faults = [
        Answer::status(500),
        Answer::status(503).with("Retry-After", "60"),
        Answer::status(426).with("X-SageOx-Min-Version", "99.0.0"),
        Answer::status(429).with("Retry-After", "60"),
        Answer::status(403),
        Answer::bytes("<html>"),
        slow,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        w.forget();
        w.api.answer(REPOS, fault.clone());
        w.api.answer(&detail_path(REPO), fault.clone());
        let file = format!("sessions/{n}.md");
        for name in ["ledger.git", "seen.git"] {
            w.elsewhere(name, &|work| put(work, &file, "x"));
        }
        let before = w.api.requests().len();
        w.start();
        w.until("it has asked", || w.api.requests().len() > before);
        w.env.ox_in(&w.repo, ["sync"]).ok();
        let said = w.env.ox_in(&w.repo, ["sync", "--all-teams", "--json"]);
        assert!(w.ledger().join(&file).exists(), "{fault:?}");
        assert_eq!(
            w.env.git(w.team("seen"), ["rev-list", "--count", "HEAD"]),
            (n + 2).to_string(),
            "{fault:?}: {said:?}\n{}",
            w.log()
        );
        assert_eq!(w.issues(), Vec::<String>::new(), "{fault:?}");
    }
    w.api.release();
    // Nobody listens at all.
    w.forget();
    let config = w.repo.join(".sageox/config.json");
    let gone = Port::refusing();
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(&w.api.url(), &format!("http://{}", gone.address()));
    fs::write(config, text).unwrap();
    w.elsewhere("ledger.git", &|work| put(work, "sessions/last.md", "x"));
    w.start();
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.ledger().join("sessions/last.md").exists());
}

#[test]
fn syn_08_nobody_is_asked_for_a_password() {
    let mut w = World::new();
    let (bin, log) = (w.env.root().join("bin"), w.env.root().join("asked"));
    for name in ["helper", "askpass"] {
        script(&bin.join(name), &format!("echo {name} \"$@\" >> '{}'\nexit 1", log.display()));
    }
    let config = w.env.home().join(".gitconfig");
    let text = format!(
        "{}[credential]\n\thelper = {helper}\n[core]\n\taskPass = {askpass}\n[credential \"http://{host}\"]\n\thelper = {helper}\n",
        fs::read_to_string(&config).unwrap(),
        helper = bin.join("helper").display(),
        askpass = bin.join("askpass").display(),
        host = w.git.address(),
    );
    fs::write(config, text).unwrap();
    for name in ["GIT_ASKPASS", "SSH_ASKPASS"] {
        w.env.set(name, bin.join("askpass"));
    }
    w.env.set("SSH_ASKPASS_REQUIRE", "force");
    w.all_well();
    w.start();
    w.until_all_level();
    // A user's own git asks: the trap works.
    let own = w.env.try_git(w.env.work(), ["ls-remote", &w.git.url("ledger.git")]);
    assert!(own.code != Some(0) && fs::read_to_string(&log).unwrap().contains("askpass"), "{own:?}");
    fs::remove_file(&log).unwrap();
    w.git.require_login("oauth2", "else");
    let refused = || w.git.log().iter().filter(|r| r.status == Some(401)).count();
    let before = refused();
    for _ in 0..50 {
        assert_ne!(w.env.ox_in(&w.repo, ["sync"]).code, Some(0));
    }
    assert!(refused() >= before + 50);
    // Also for a clone that is not there yet.
    fs::remove_dir_all(w.team("told")).unwrap();
    assert_ne!(w.env.ox_in(&w.repo, ["sync", "--all-teams"]).code, Some(0));
    assert_eq!(fs::read_to_string(&log).unwrap_or_default(), "");
}
