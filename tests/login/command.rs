//! `ox login`, `ox logout` and `ox whoami` as they are run, without a terminal.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ox::relay::account::account_key;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::world::*;
use crate::support::http_script::{Act, answer};
use crate::support::port::Port;
use crate::support::{OX, Ran, TestEnv, until};

/// Logs in at a relay server where that is confirmed at once.
fn logged_in(env: &TestEnv, relay: &Scripted, user: &str) -> Ran {
    relay.confirm(user);
    env.ox(["login", "--relay", &relay.url(), "--yes"]).ok()
}

/// No token and no code of a device in any of it.
fn without_canary(texts: &[&str]) {
    for text in texts {
        assert!(!text.contains("CANARY"), "{text}");
    }
}

/// Every file of the machine with a token in it.
fn files_with_canary(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with_canary(&path));
        } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("CANARY")) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn sec_06_in_and_out_again_without_a_token_anywhere_but_in_its_file() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    let ran = logged_in(&env, &relay, "u1");
    assert_eq!(ran.stdout, format!("logged in as u1@example.org at {}\n", relay.url()));
    // Page and code come on the other stream.
    assert!(
        ran.stderr.contains("http://login.example/device") && ran.stderr.contains("WDJB-MJHT"),
        "{ran:?}"
    );
    let said = env.ox(["whoami"]).ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "u1@example.org"));
    assert!(lines[1].contains(&relay.url()) && lines[2].contains("expires in 59 minutes"), "{said:?}");
    let document = env.ox(["whoami", "--json"]).ok();
    let relay_part = &document.json()["relay"];
    for (key, value) in [
        ("logged_in", json!(true)),
        ("email", json!("u1@example.org")),
        ("user_id", json!("u1")),
        ("server_url", json!(relay.url())),
        ("expired", json!(false)),
        ("needs_login", json!(false)),
    ] {
        assert_eq!(relay_part[key], value, "{key}");
    }
    assert!(relay_part["expires_at"].is_i64());
    assert_eq!(env.ox(["config", "get", "relay.enabled"]).ok().stdout, "true\n");
    assert_eq!(env.ox(["config", "get", "relay.url"]).ok().stdout, format!("{}\n", relay.url()));
    // The yes is one for this server and these kinds of data.
    let consent = fs::read_to_string(env.config().join("sageox/relay-consent.json")).unwrap();
    assert!(consent.contains(&relay.url()) && consent.contains("models"), "{consent}");
    let again = env.ox(["login", "--relay"]).ok();
    assert!(again.stdout.starts_with("already logged in as u1@example.org"), "{again:?}");
    assert_eq!(files_with_canary(env.root()), ["relay-auth.json"]);
    let out = env.ox(["logout", "--relay"]).ok();
    assert_eq!(out.stdout, format!("logged out of {}\n", relay.url()));
    assert_eq!(relay.asked(LOGOUT).len(), 1);
    let nobody = env.ox(["whoami"]).fails(1);
    assert!(
        nobody.stderr.starts_with("error: not logged in") && nobody.stderr.contains("hint: ox login"),
        "{nobody:?}"
    );
    assert_eq!(env.ox(["whoami", "--json"]).fails(1).json()["logged_in"], json!(false));
    let nothing = env.ox(["logout"]).ok();
    assert_eq!(nothing.stdout, "not logged in\n");
    assert!(files_with_canary(env.root()).is_empty());
    for ran in [ran, said, document, again, out, nobody, nothing] {
        without_canary(&[&ran.stdout, &ran.stderr]);
    }
}

#[test]
fn with_json_a_login_is_one_document_and_the_code_is_seen_anyway() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    relay.confirm("u1");
    let ran = env.ox(["login", "--relay", &relay.url(), "--json", "-q", "--no-browser"]).ok();
    let document = ran.json();
    assert_eq!(
        (&document["success"], &document["server_url"], &document["relay_enabled"]),
        (&json!(true), &json!(relay.url()), &json!(false))
    );
    assert!(ran.stderr.contains("WDJB-MJHT"), "{ran:?}");
    without_canary(&[&ran.stdout, &ran.stderr]);
    // Nobody said that events are sent: they are not, and the server is known all the same.
    assert_eq!(env.ox(["config", "get", "relay.enabled"]).ok().stdout, "false\n");
    assert!(!env.config().join("sageox/relay-consent.json").exists());
    let out = env.ox(["logout", "--relay", "--json"]).ok().json();
    assert_eq!(out["logged_out"][0]["revoked"], json!(true));
}

/// A browser that writes down with what it was started.
fn spying_browser(env: &mut TestEnv) -> std::path::PathBuf {
    let (bin, log) = (env.root().join("bin"), env.root().join("opened"));
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nsaid=$(printf '%s\\n' \"$#\" \"$@\"; env)\nprintf '%s\\n' \"$said\" > '{0}.part'\nmv '{0}.part' '{0}'\n",
        log.display()
    );
    fs::write(bin.join("xdg-open"), script).unwrap();
    fs::set_permissions(bin.join("xdg-open"), fs::Permissions::from_mode(0o755)).unwrap();
    env.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    log
}

#[test]
fn sec_06_a_browser_gets_the_page_and_no_token() {
    let (mut env, relay) = (TestEnv::new(), Scripted::relay());
    let log = spying_browser(&mut env);
    env.set("OX_RELAY_TOKEN", "CANARYstatic");
    env.set("DISPLAY", ":7");
    relay.always(CODE, json_of(code("https://login.example/d?user_code=WDJB&x=a b\"'$(id)`;")));
    let ran = logged_in(&env, &relay, "u1");
    until(|| log.exists());
    let opened = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = opened.lines().collect();
    assert_eq!(lines[..2], ["1", "https://login.example/d?user_code=WDJB&x=a%20b%22%27%24%28id%29%60%3B"]);
    assert!(opened.contains("DISPLAY=:7"), "{opened}");
    without_canary(&[&opened, &ran.stderr, &ran.stdout]);
    assert!(ran.stderr.contains("OX_RELAY_TOKEN is set"), "{ran:?}");
}

#[test]
fn without_a_screen_or_if_told_so_no_browser_is_started() {
    let (mut env, relay) = (TestEnv::new(), Scripted::relay());
    let log = spying_browser(&mut env);
    relay.confirm("u1");
    let login = |env: &TestEnv, more: &[&str]| {
        let url = relay.url();
        let args = [["login", "--relay", url.as_str(), "--yes"].as_slice(), more].concat();
        let ran = env.ox(args).ok();
        assert!(
            ran.stderr.contains("open the page in any browser") && ran.stderr.contains("WDJB"),
            "{ran:?}"
        );
        assert!(!log.exists());
    };
    login(&env, &[]);
    env.set("DISPLAY", ":7");
    login(&env, &["--no-browser"]);
    env.set("SSH_TTY", "/dev/pts/1");
    login(&env, &[]);
    env.unset("SSH_TTY");
    env.set("SKIP_BROWSER", "1");
    login(&env, &[]);
}

#[test]
fn sec_07_no_file_of_a_login_is_ever_readable_by_others() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    let dir = env.config().join("sageox");
    let ended = AtomicBool::new(false);
    std::thread::scope(|s| {
        let reader = s.spawn(|| {
            let (mut seen, mut open) = (0_u64, Vec::new());
            while !ended.load(Ordering::SeqCst) {
                for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let Ok(meta) = entry.metadata() else { continue };
                    seen += 1;
                    if name.contains("relay-auth") && meta.mode() & 0o077 != 0 {
                        open.push(format!("{name} {:o}", meta.mode()));
                    }
                }
            }
            (seen, open)
        });
        relay.confirm("u1");
        for _ in 0..3 {
            let url = relay.url();
            let script = format!("umask 000; exec {OX} login --relay {url} --yes");
            env.run_in(env.work(), "/bin/sh", ["-c", script.as_str()]).ok();
        }
        ended.store(true, Ordering::SeqCst);
        let (seen, open) = reader.join().unwrap();
        assert!(seen > 0 && open.is_empty(), "{open:?}");
    });
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("relay-auth.json"))), (0o700, 0o600));
}

#[test]
fn an_interrupt_ends_a_login_with_nothing_written() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (env, relay) = (TestEnv::new(), Scripted::relay());
        let mut login = env.start_ox(env.work(), ["login", "--relay", &relay.url()]);
        until(|| !relay.asked(TOKEN).is_empty());
        login.signal(signal);
        let status = login.ended();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert!(!env.config().join("sageox/relay-auth.json").exists());
    }
    // Also in the middle of a call.
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    relay.always(TOKEN, vec![Act::Wait]);
    let mut login = env.start_ox(env.work(), ["login", "--relay", &relay.url()]);
    until(|| !relay.asked(TOKEN).is_empty());
    login.signal(Signal::INT);
    assert_eq!(login.ended().code(), Some(130));
}

#[test]
fn there_is_no_server_that_nobody_named() {
    let env = TestEnv::new();
    for args in [&["login"][..], &["login", "--relay"], &["login", "--yes"]] {
        let ran = env.ox(args).fails(2);
        assert!(
            ran.stderr.contains("there is none built in") && ran.stderr.contains("hint: ox login --"),
            "{ran:?}"
        );
    }
    for bad in
        ["http://relay.example.com", "relay.example.com", "ftp://x", "https://u:canary@x", "file:///etc"]
    {
        let ran = env.ox(["login", "--relay", bad]).fails(2);
        assert!(
            ran.stderr.contains("the address of the relay server") && !ran.stderr.contains("canary"),
            "{ran:?}"
        );
    }
    env.ox(["login", "--endpoint", "http://ox.example.com"]).fails(2);
    env.ox(["login", "--endpoint", "local"]).fails(2);
    env.ox(["login", "--endpoint", "https://x", "--relay", "https://y"]).fails(2);
    assert!(!env.config().join("sageox").exists(), "nothing is written for that");
}

#[test]
fn a_server_that_a_project_names_is_agreed_to_first() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    let config = repo.join(".sageox/config.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    value["relay_url"] = relay.url().into();
    fs::write(&config, value.to_string()).unwrap();
    relay.confirm("u1");
    let ran = env.ox_in(&repo, ["login", "--relay"]).fails(2);
    assert!(ran.stderr.contains("This project suggests the relay server"), "{ran:?}");
    assert!(relay.server.requests().is_empty());
    env.ox_in(&repo, ["login", "--relay", "--yes"]).ok();
    // One that was logged in to needs no yes any more.
    env.ox(["config", "unset", "relay.url"]).ok();
    let again = env.ox_in(&repo, ["login", "--relay"]).ok();
    assert!(again.stdout.starts_with("already logged in"), "{again:?}");
}

#[test]
fn a_login_that_is_denied_or_finds_nobody_says_so_by_its_exit_code() {
    let env = TestEnv::new();
    let check = |relay: &Scripted, code: i32, expected: &str| {
        let ran = env.ox(["login", "--relay", &relay.url()]).fails(code);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: ox login --relay"), "{ran:?}");
        without_canary(&[&ran.stdout, &ran.stderr]);
    };
    let denied = Scripted::relay();
    denied.always(TOKEN, status_of(400, json!({ "error": "access_denied" })));
    check(&denied, 1, "was denied");
    let expired = Scripted::relay();
    expired.always(TOKEN, status_of(400, json!({ "error": "expired_token" })));
    check(&expired, 1, "has expired");
    check(&Scripted::bare(), 1, "status 404");
    let gone = Port::refusing();
    let ran = env.ox(["login", "--relay", &format!("http://{}", gone.address())]).fails(7);
    assert!(ran.stderr.contains("connection refused"), "{ran:?}");
    assert!(!env.config().join("sageox/relay-auth.json").exists());
}

#[test]
fn a9_03_a_logout_ends_here_when_the_server_is_dead() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    logged_in(&env, &relay, "u1");
    let gone = relay.url();
    drop(relay);
    let ran = env.ox(["logout", "--relay"]).ok();
    assert_eq!(ran.stdout, format!("logged out of {gone}\n"));
    assert!(ran.stderr.contains("may live on"), "{ran:?}");
    without_canary(&[&ran.stderr, &fs::read_to_string(env.config().join("sageox/relay-auth.json")).unwrap()]);
    env.ox(["whoami"]).fails(1);
    // A file that nobody can read is left the same way.
    let file = env.config().join("sageox/relay-auth.json");
    fs::write(&file, "CANARY{").unwrap();
    let ran = env.ox(["whoami"]).fails(1);
    assert!(ran.stderr.contains("relay-auth.json cannot be used"), "{ran:?}");
    env.ox(["login", "--relay", "https://relay.example.com"]).fails(5);
    assert_eq!(fs::read_to_string(&file).unwrap(), "CANARY{");
    env.ox(["logout", "--relay"]).ok();
    assert!(!file.exists());
}

#[test]
fn what_waits_for_a_user_is_theirs_until_it_is_purged() {
    let (env, relay) = (TestEnv::new(), Scripted::relay());
    let queue = |user: &str| env.data().join("sageox/relay/queue").join(account_key(&relay.url(), user));
    for user in ["ann", "bob"] {
        logged_in(&env, &relay, user);
        fs::create_dir_all(queue(user)).unwrap();
        fs::write(queue(user).join("pending.jsonl"), "{}\n").unwrap();
    }
    assert_ne!(queue("ann"), queue("bob"));
    let who = env.ox(["whoami", "--json"]).ok().json();
    assert_eq!(who["relay"]["user_id"], json!("bob"));
    env.ox(["logout", "--relay"]).ok();
    assert!(queue("ann").exists() && queue("bob").exists());
    logged_in(&env, &relay, "bob");
    let ran = env.ox(["logout", "--relay", "--purge"]).ok();
    assert!(ran.stdout.contains("what waited for it is deleted"), "{ran:?}");
    assert!(queue("ann").exists() && !queue("bob").exists());
}

#[test]
fn sec_09_a_static_token_that_is_none_ends_a_command() {
    let (mut env, relay) = (TestEnv::new(), Scripted::relay());
    logged_in(&env, &relay, "u1");
    env.set("OX_RELAY_TOKEN", "CANARY two words");
    let ran = env.ox(["whoami"]).fails(5);
    assert!(ran.stderr.contains("OX_RELAY_TOKEN is set and is no token"), "{ran:?}");
    without_canary(&[&ran.stdout, &ran.stderr]);
    env.set("OX_RELAY_TOKEN", "CANARYstatic");
    let ran = env.ox(["whoami"]).ok();
    assert!(ran.stdout.contains("by OX_RELAY_TOKEN") && ran.stdout.contains("does not expire"), "{ran:?}");
    without_canary(&[&ran.stdout, &ran.stderr]);
}

#[test]
fn a_login_at_a_server_of_ledgers_brings_gits_credentials() {
    let (env, api) = (TestEnv::new(), Scripted::bare());
    api.always("/api/auth/device/code", json_of(code("http://login.example/device")));
    api.always(
        "/api/auth/device/token",
        json_of(json!({ "access_token": ACCESS, "session_token": "CANARYsession", "expires_in": 600 })),
    );
    api.always(
        "/api/v1/cli/auth/token",
        json_of(json!({ "data": { "access_token": "CANARYjwt", "expires_in": 900 } })),
    );
    api.always(
        "/oauth2/userinfo",
        json_of(json!({ "user_id": "u1", "email": "a@example.org", "name": "A" })),
    );
    api.always("/oauth2/revoke", json_of(json!({})));
    let repos = json!({ "token": "glpat-CANARY", "server_url": "https://git.example", "username": "oauth2", "expires_at": "2099-01-01T00:00:00Z", "repos": {}, "teams": [] });
    // It takes the server a moment to know its own token.
    api.next("/api/v1/cli/repos", vec![answer(401, "", b"")]);
    api.always("/api/v1/cli/repos", json_of(repos));
    let ran = env.ox(["login", "--endpoint", &api.url()]).ok();
    assert_eq!(ran.stdout, format!("logged in as a@example.org at {}\n", api.url()));
    assert_eq!(api.asked("/api/v1/cli/repos").len(), 2);
    let said = env.ox(["whoami"]).ok();
    assert!(
        said.stdout.starts_with("a@example.org\n") && said.stdout.contains("expires in 14 minutes"),
        "{said:?}"
    );
    assert_eq!(files_with_canary(env.root()), ["auth.json", "git-credentials-localhost.json"]);
    let again = env.ox(["login"]).ok();
    assert!(again.stdout.starts_with("already logged in as a@example.org"), "{again:?}");
    let out = env.ox(["logout", "--json"]).ok();
    assert_eq!(out.json()["logged_out"][0]["revoked"], json!(true));
    assert!(files_with_canary(env.root()).is_empty());
    for ran in [ran, said, again, out] {
        without_canary(&[&ran.stdout, &ran.stderr]);
    }
    // Two of both kinds: which one is meant has to be said.
    let relay = Scripted::relay();
    logged_in(&env, &relay, "u1");
    env.ox(["login", "--endpoint", &api.url()]).ok();
    let ran = env.ox(["logout"]).fails(2);
    assert!(ran.stderr.contains("several servers are logged in to"), "{ran:?}");
    api.always("/oauth2/revoke", vec![answer(500, "", b"")]);
    let ran = env.ox(["logout", "--all", "--force"]).ok();
    assert!(ran.stdout.lines().count() == 2 && ran.stderr.contains("may live on"), "{ran:?}");
    assert!(files_with_canary(env.root()).is_empty());
}
