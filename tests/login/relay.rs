//! Login at and logout from a relay server, on a clock that moves when somebody waits.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use ox::cloud::{CallError, LoginError, Prompt, relay_login, relay_logout};
use ox::kit::clock::Clock;
use ox::project::{Error, RelayLogin};
use serde_json::{Value, json};

use super::world::*;
use crate::support::http_script::{Act, Server, answer};
use crate::support::port::Port;

/// Logs in; what was shown comes with it.
fn login(w: &World, url: &str) -> (Result<RelayLogin, LoginError>, Vec<Prompt>) {
    let mut shown = Vec::new();
    let done = w.calls(|calls| relay_login(calls, &w.dirs, &server(url), &mut |p| shown.push(p.clone())));
    (done, shown)
}

#[test]
fn a_login_survives_whatever_comes_before_it_is_confirmed() {
    let (w, relay, elsewhere) = (World::new().hurried(), Scripted::relay(), Scripted::relay());
    let error = |status, code: &str| status_of(status, json!({ "error": code }));
    let location = format!("Location: {}\r\n", elsewhere.server.url(TOKEN));
    for acts in [
        json_of(json!({ "status": "pending" })),
        error(400, "authorization_pending"),
        error(400, "slow_down"),
        vec![answer(429, "Retry-After: 40\r\n", b"")],
        vec![answer(500, "", b"")],
        page(),
        vec![answer(307, &location, b"")],
        vec![Act::Wait],
        stalled(granted("nobody")),
        vec![Act::Say(b"nonsense\r\n\r\n".to_vec()), Act::Close],
        vec![Act::Reset],
        json_of(granted("u1")),
    ] {
        relay.next(TOKEN, acts);
    }
    let begin = w.clock.now().mono;
    let (done, shown) = login(&w, &relay.url());
    assert_eq!(done.unwrap().user_id, "u1");
    assert_eq!(relay.asked(TOKEN).len(), 12);
    assert!(elsewhere.server.requests().is_empty(), "no redirect is followed");
    // 1, 1, 1; slower 6; asked for 40; then 11 and 1, 2, 4, 8, 16, 30, 30 more.
    let waited: u64 =
        [1, 1, 1, 6, 40].iter().sum::<u64>() + [1, 2, 4, 8, 16, 30, 30].map(|s| s + 11).iter().sum::<u64>();
    assert_eq!(w.clock.now().mono.since(begin), Duration::from_secs(waited));
    assert!(w.pauses.lock().unwrap().iter().all(|by| *by <= Duration::from_millis(250)));
    let prompt = Prompt {
        url: "http://login.example/device".into(),
        user_code: "WDJB-MJHT".into(),
        is_complete: false,
    };
    assert_eq!(shown, [prompt]);
    let file: Value = serde_json::from_str(&w.file()).unwrap();
    let account = &file["accounts"][relay.url()];
    let now = w.now().as_second();
    assert_eq!(
        account,
        &json!({
            "access_token": ACCESS, "refresh_token": REFRESH_TOKEN, "expires_at": now + 3600,
            "user_email": "u1@example.org", "user_id": "u1", "server_url": relay.url(),
            "logged_in_at_ms": w.now().as_millisecond(),
        })
    );
    assert_eq!((&file["version"], &file["current"]), (&json!(1), &json!(relay.url())));
    let body = relay.asked(TOKEN).pop().unwrap();
    assert!(body.ends_with(&json!({ "device_code": DEVICE_CODE }).to_string()), "{body}");
    assert!(relay.asked(CODE)[0].ends_with("\r\n\r\n{}"));
}

#[test]
fn a_login_that_comes_to_nothing_writes_nothing_and_says_why() {
    let check = |acts: Vec<Act>, expected: &str| {
        let (w, relay) = (World::new(), Scripted::relay());
        relay.always(TOKEN, acts);
        let error = login(&w, &relay.url()).0.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!w.dirs.relay_auth().exists());
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    };
    check(status_of(400, json!({ "error": "access_denied" })), "was denied");
    check(status_of(400, json!({ "error": "expired_token" })), "has expired");
    check(status_of(422, json!({ "detail": "no such device" })), "no such device");
    check(vec![answer(403, "", b"<html>")], "status 403");
    check(json_of(json!({ "access_token": ACCESS })), "who logged in");
    // Nobody confirms it, or the server is gone for good.
    check(json_of(json!({ "status": "pending" })), "has expired");
    check(vec![answer(503, "", b"")], "has expired");
}

#[test]
fn a_server_that_gives_no_code_ends_it_at_once() {
    let check = |acts: Vec<Act>, expected: &str| {
        let (w, relay) = (World::new(), Scripted::relay());
        relay.always(CODE, acts);
        let (done, shown) = login(&w, &relay.url());
        let error = done.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(shown.is_empty() && relay.asked(TOKEN).is_empty() && !w.dirs.relay_auth().exists());
    };
    check(vec![answer(500, "", b"")], "status 500");
    check(page(), "no JSON object");
    check(status_of(400, json!({ "error": "x", "error_description": "not for you" })), "not for you");
    check(json_of(json!({ "user_code": "A" })), "device_code");
    check(vec![answer(302, "Location: http://127.0.0.1:1/\r\n", b"")], "status 302");
    let w = World::new();
    let gone = Port::refusing();
    let error = login(&w, &format!("http://{}", gone.address())).0.unwrap_err();
    assert_eq!(error.class(), Some(ox::kit::Class::Network), "{error}");
}

/// The limit is a parameter; the error names the call and the limit, and is one of its own.
#[test]
fn rly_09_a9_08_a_server_that_says_nothing_holds_nobody() {
    let silent = || vec![Act::Wait];
    for step in [WELL_KNOWN, CODE] {
        for acts in [silent(), stalled(code("http://login.example"))] {
            let (w, relay) = (World::new().hurried(), Scripted::relay());
            relay.always(step, acts);
            match login(&w, &relay.url()).0.unwrap_err() {
                LoginError::Call(e @ CallError::TimedOut { .. }) => {
                    let text = e.to_string();
                    let call =
                        if step == CODE { "asking for a code" } else { "asking for the server's paths" };
                    assert!(text.starts_with(call) && text.ends_with("did not answer within 1 s"), "{text}");
                }
                other => panic!("{step}: {other:?}"),
            }
        }
    }
    // What is asked again and again has an end, too.
    let (w, relay) = (World::new().hurried(), Scripted::relay());
    let mut short = code("http://login.example");
    short["expires_in"] = json!(30);
    relay.always(CODE, json_of(short));
    relay.always(TOKEN, silent());
    assert!(matches!(login(&w, &relay.url()).0, Err(LoginError::Expired(_))));
    assert!(relay.asked(TOKEN).len() > 1);
}

#[test]
fn an_interrupted_login_writes_nothing() {
    let (w, relay) = (World::new(), Scripted::relay());
    let cancel = w.cancel.clone();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(move |_, request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path == TOKEN {
            asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // It comes while the confirmation is on its way.
            cancel.cancel();
            return json_of(granted("u1"));
        }
        if path == CODE { json_of(code("http://login.example")) } else { vec![answer(404, "", b"")] }
    });
    assert!(matches!(login(&w, &server.url("")).0, Err(LoginError::Cancelled)));
    assert!(!w.dirs.relay_auth().exists());
    // Before anything is asked.
    assert!(matches!(login(&w, &relay.url()).0, Err(LoginError::Cancelled)));
    assert!(relay.asked(CODE).is_empty());
}

#[test]
fn a_file_that_cannot_be_understood_is_an_error_before_anybody_is_asked() {
    let (w, relay) = (World::new(), Scripted::relay());
    std::fs::create_dir_all(w.dirs.config()).unwrap();
    std::fs::write(w.dirs.relay_auth(), "{").unwrap();
    let error = login(&w, &relay.url()).0.unwrap_err();
    assert!(matches!(error, LoginError::Project(Error::DamagedSecret { .. })));
    assert!(relay.server.requests().is_empty() && w.file() == "{");
}

#[test]
fn a_server_may_name_its_paths_and_none_that_leads_elsewhere_is_used() {
    let (w, relay, evil) = (World::new(), Scripted::relay(), Scripted::relay());
    let auth = json!({ "device_code": "/v9/code", "device_token": "v9/token", "refresh": "/v9/refresh", "logout": "/v9/out" });
    relay.always(WELL_KNOWN, json_of(json!({ "version": 1, "auth": auth, "limits": { "batch_events": 7 } })));
    relay.always("/v9/code", json_of(code("http://login.example")));
    relay.always("/v9/token", json_of(granted("u1")));
    relay.always("/v9/out", json_of(json!({})));
    let (done, _) = login(&w, &relay.url());
    let paths = done.unwrap().paths(&server(&relay.url()));
    assert_eq!((paths.refresh, paths.batch_events), (relay.server.url("/v9/refresh"), 7));
    // They are remembered.
    let kept = w.login_at(&relay.url()).unwrap();
    w.calls(|calls| relay_logout(calls, &w.dirs, &server(&relay.url()))).unwrap();
    assert_eq!(
        (relay.asked("/v9/out").len(), relay.asked(LOGOUT).len(), kept.user_id.as_str()),
        (1, 0, "u1")
    );
    for bad in [format!("{}/x", evil.url()), "//evil.example/x".into(), "/../x".into()] {
        relay.always(WELL_KNOWN, json_of(json!({ "version": 1, "auth": { "device_token": bad } })));
        let error = login(&w, &relay.url()).0.unwrap_err();
        assert!(error.to_string().contains("ox-relay"), "{error}");
    }
    assert!(evil.server.requests().is_empty() && w.login_at(&relay.url()).is_none());
    // Where every path is a page there is no such document.
    relay.always(WELL_KNOWN, page());
    relay.confirm("u2");
    assert_eq!(login(&w, &relay.url()).0.unwrap().user_id, "u2");
}

#[test]
fn a9_04_the_file_is_for_its_owner_alone_also_where_the_directory_was_open() {
    let (w, relay) = (World::new(), Scripted::relay());
    std::fs::create_dir_all(w.dirs.config()).unwrap();
    std::fs::set_permissions(w.dirs.config(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    relay.confirm("u1");
    login(&w, &relay.url()).0.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(w.dirs.config()), mode(&w.dirs.relay_auth())), (0o700, 0o600));
    let names: Vec<_> = std::fs::read_dir(w.dirs.config()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
}

#[test]
fn a9_03_a_logout_is_done_here_whatever_the_server_says() {
    let gone = Port::refusing();
    let cases: Vec<(Scripted, &str)> = vec![
        (Scripted::relay(), ""),
        (Scripted::bare(), "status 404"),
        (with_logout(vec![Act::Wait]), "did not answer within"),
        (with_logout(vec![answer(500, "", b"")]), "status 500"),
        (with_logout(vec![answer(302, "Location: /elsewhere\r\n", b"")]), "status 302"),
        (with_logout(vec![Act::Reset]), "reset"),
    ];
    for (relay, expected) in cases {
        let w = World::new().hurried();
        w.logged_in(&relay.url(), "u1", 3600);
        let out = w.calls(|calls| relay_logout(calls, &w.dirs, &server(&relay.url()))).unwrap();
        let why = out.not_revoked.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            out.removed && why.contains(expected) && why.is_empty() == expected.is_empty(),
            "{expected}: {why}"
        );
        assert!(!w.file().contains("CANARY"), "{}", w.file());
        let asked = relay.asked(LOGOUT);
        assert!(
            asked.len() == 1 && asked[0].ends_with(&json!({ "refresh_token": REFRESH_TOKEN }).to_string())
        );
    }
    let w = World::new();
    let url = format!("http://{}", gone.address());
    w.logged_in(&url, "u1", -5);
    let out = w.calls(|calls| relay_logout(calls, &w.dirs, &server(&url))).unwrap();
    assert!(out.removed && out.not_revoked.is_some() && w.login_at(&url).is_none());
    // Again: there is nothing left to do.
    let out = w.calls(|calls| relay_logout(calls, &w.dirs, &server(&url))).unwrap();
    assert!(!out.removed && out.not_revoked.is_none());
}

fn with_logout(acts: Vec<Act>) -> Scripted {
    let relay = Scripted::relay();
    relay.always(LOGOUT, acts);
    relay
}

#[test]
fn of_the_user_before_nothing_is_left_at_the_same_server() {
    let (w, relay) = (World::new(), Scripted::relay());
    for user in ["ann", "bob"] {
        relay.confirm(user);
        login(&w, &relay.url()).0.unwrap();
    }
    let file = w.file();
    assert!(file.contains("bob@example.org") && !file.contains("ann"), "{file}");
}
