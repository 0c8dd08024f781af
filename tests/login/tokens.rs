//! New tokens for the relay: one process asks for all, a refusal is final, anything else is not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use ox::cloud::{
    AccessError, REFRESH_RETRIES, RelayAccess, RelayState, TOKEN_VAR, Want, relay_access, relay_access_with,
    relay_identity,
};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::secret::Secret;
use serde_json::json;

use super::world::*;
use crate::support::http_script::{Act, Server, answer};
use crate::support::port::Port;

fn access(w: &World, want: &Want) -> Result<RelayAccess, AccessError> {
    w.calls(|calls| relay_access_with(calls, &w.dirs, &w.env, want))
}

fn forced() -> Want {
    Want::Forced { not: Secret::new(ACCESS) }
}

#[test]
fn a_token_is_renewed_when_it_ends_within_five_minutes_or_was_refused() {
    let check = |seconds: i64, want: &Want, asked: usize| {
        let (w, relay) = (World::new(), Scripted::relay());
        w.logged_in(&relay.url(), "u1", seconds);
        let got = access(&w, want).unwrap();
        assert_eq!(relay.asked(REFRESH).len(), asked, "{seconds} {want:?}");
        assert_eq!(got.token.expose(), if asked == 0 { ACCESS } else { RENEWED });
        assert_eq!((got.user_id.as_str(), got.email.as_str()), ("u1", "u1@example.org"));
        assert_eq!((got.server_url.as_str(), got.refresh_error), (relay.url().as_str(), None));
    };
    check(301, &Want::Fresh, 0);
    check(300, &Want::Fresh, 1);
    check(0, &Want::Fresh, 1);
    check(-5000, &Want::Fresh, 1);
    check(3600, &forced(), 1);
    check(3600, &Want::Forced { not: Secret::new("another") }, 0);
}

#[test]
fn what_a_server_leaves_out_keeps_its_value_or_has_a_usual_one() {
    let (w, relay) = (World::new(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", 10);
    relay.always(REFRESH, json_of(json!({ "access_token": RENEWED })));
    access(&w, &Want::Fresh).unwrap();
    let login = w.login_at(&relay.url()).unwrap();
    assert_eq!((login.access_token.expose(), login.refresh_token.expose()), (RENEWED, REFRESH_TOKEN));
    assert_eq!(login.expires_at, w.now().as_second() + 3600);
    let sent = relay.asked(REFRESH).pop().unwrap();
    assert!(sent.ends_with(&json!({ "refresh_token": REFRESH_TOKEN }).to_string()), "{sent}");
    assert!(!sent.to_ascii_lowercase().contains("authorization"), "{sent}");
}

#[test]
fn a_refusal_is_kept_and_nobody_asks_again() {
    for status in [400, 401, 403] {
        let (w, relay) = (World::new(), Scripted::relay());
        // A token that is still good is no reason to use it on.
        w.logged_in(&relay.url(), "u1", 200);
        relay.always(REFRESH, status_of(status, json!({ "error": "invalid_grant" })));
        for _ in 0..3 {
            let needs = AccessError::NeedsLogin { server_url: relay.url() };
            assert_eq!(access(&w, &Want::Fresh).unwrap_err(), needs);
            assert_eq!(access(&w, &forced()).unwrap_err(), needs);
        }
        assert_eq!(relay.asked(REFRESH).len(), 1, "{status}");
        let login = w.login_at(&relay.url()).unwrap();
        assert!(
            login.needs_login && login.refresh_token.expose() == REFRESH_TOKEN,
            "it is marked, not deleted"
        );
        assert_eq!(relay_identity(&w.dirs, &w.env).state, RelayState::NeedsLogin);
        // A new login ends it.
        w.logged_in(&relay.url(), "u1", 3600);
        assert!(access(&w, &Want::Fresh).is_ok());
    }
}

#[test]
fn a9_08_another_failure_is_tried_again_a_few_times_and_told() {
    let faults: Vec<Vec<Act>> = vec![
        vec![answer(500, "", b"")],
        vec![answer(404, "", b"")],
        page(),
        json_of(json!({ "refresh_token": "x" })),
        json_of(json!({ "access_token": "a b" })),
        vec![answer(302, "Location: /elsewhere\r\n", b"")],
        vec![Act::Reset],
    ];
    for acts in faults {
        let (w, relay) = (World::new(), Scripted::relay());
        w.logged_in(&relay.url(), "u1", -1);
        let before = w.file();
        relay.always(REFRESH, acts.clone());
        let error = access(&w, &Want::Fresh).unwrap_err();
        assert!(
            matches!(&error, AccessError::Transient { reason, .. } if reason.starts_with("renewing the login: ")),
            "{acts:?}: {error}"
        );
        assert_eq!(relay.asked(REFRESH).len() as u32, 1 + REFRESH_RETRIES, "{acts:?}");
        assert_eq!(w.file(), before);
        // After 1, 2 and 4 s, give or take a fifth.
        let waited: Duration = w.pauses.lock().unwrap().iter().sum();
        assert!((5600..=8400).contains(&waited.as_millis()), "{waited:?}");
        assert!(w.pauses.lock().unwrap().iter().all(|by| *by <= Duration::from_millis(250)));
    }
}

#[test]
fn a_token_that_is_still_good_is_used_and_the_failure_told() {
    let (w, relay) = (World::new(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", 200);
    relay.always(REFRESH, vec![answer(503, "", b"")]);
    let got = access(&w, &Want::Fresh).unwrap();
    assert_eq!(got.token.expose(), ACCESS);
    assert!(got.refresh_error.unwrap().contains("status 503"));
    // Not one that the server has refused.
    assert!(matches!(access(&w, &forced()), Err(AccessError::Transient { .. })));
    // Nor one that has ended meanwhile.
    w.clock.advance(Duration::from_secs(200));
    assert!(matches!(access(&w, &Want::Fresh), Err(AccessError::Transient { .. })));
}

#[test]
fn a_server_that_asks_for_time_is_given_it() {
    let (w, relay) = (World::new(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", -1);
    relay.always(REFRESH, vec![answer(429, "Retry-After: 120\r\n", b"")]);
    let error = access(&w, &Want::Fresh).unwrap_err();
    let asked = Some(Duration::from_secs(120));
    assert!(matches!(error, AccessError::Transient { retry_after, .. } if retry_after == asked));
    assert_eq!(relay.asked(REFRESH).len(), 1);
}

#[test]
fn rly_09_a_silent_server_or_none_at_all_is_a_failure_of_this_time() {
    let (w, relay) = (World::new().hurried(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", -1);
    relay.always(REFRESH, vec![Act::Wait]);
    let error = access(&w, &Want::Fresh).unwrap_err();
    assert!(
        error.to_string().contains("renewing the login: ")
            && error.to_string().contains("did not answer within 1 s"),
        "{error}"
    );
    let gone = Port::refusing();
    let w = World::new();
    w.logged_in(&format!("http://{}", gone.address()), "u1", -1);
    let error = access(&w, &Want::Fresh).unwrap_err();
    assert!(!error.needs_person() && error.to_string().contains("refused"), "{error}");
}

#[test]
fn who_waits_for_a_new_token_can_be_cancelled() {
    let (w, relay) = (World::new(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", -1);
    w.cancel.cancel();
    assert!(matches!(access(&w, &Want::Fresh), Err(AccessError::Transient { .. })));
    assert!(relay.asked(REFRESH).is_empty());
}

/// Each has its own handle of the file and its lock, as processes have.
#[test]
fn sec_08_of_twenty_that_want_a_new_token_one_asks_and_all_get_it() {
    for want in [Want::Fresh, forced()] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let slow = Server::start(move |_, _| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            // The token that was used is void from now on; its life is short, so that nobody takes it for fresh by its end.
            let mut answer = renewed(&format!("CANARYnew{n}"), &format!("CANARYrefresh{n}"));
            answer["expires_in"] = json!(120);
            json_of(answer)
        });
        let w = World::new();
        w.logged_in(&slow.url(""), "u1", 60);
        let (start, http) = (Barrier::new(20), Client::new(Arc::new(SystemClock)));
        let tokens: Vec<String> = std::thread::scope(|s| {
            let one = || {
                start.wait();
                relay_access(&w.dirs, &w.env, &http, &want, &Cancel::new()).unwrap().token.expose().to_owned()
            };
            let threads: Vec<_> = (0..20).map(|_| s.spawn(one)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        // Those that come late look at a token with a short life and ask anew; those that came together do not.
        let asked = asked.load(Ordering::SeqCst);
        assert!(matches!(want, Want::Fresh) || asked == 1, "{asked}");
        let last = w.login_at(&slow.url("")).unwrap().access_token;
        assert!(tokens.iter().all(|t| t.starts_with("CANARYnew")), "{tokens:?}");
        assert!(tokens.iter().any(|t| t == last.expose()));
    }
}

#[test]
fn sec_08_of_twenty_that_want_a_token_with_a_usual_life_exactly_one_asks() {
    let (w, relay) = (World::new(), Scripted::relay());
    w.logged_in(&relay.url(), "u1", 60);
    let (start, http) = (Barrier::new(20), Client::new(Arc::new(SystemClock)));
    std::thread::scope(|s| {
        for _ in 0..20 {
            s.spawn(|| {
                start.wait();
                let got = relay_access(&w.dirs, &w.env, &http, &Want::Fresh, &Cancel::new()).unwrap();
                assert_eq!(got.token.expose(), RENEWED);
            });
        }
    });
    assert_eq!(relay.asked(REFRESH).len(), 1);
}

#[test]
fn nobody_is_logged_in_where_there_is_no_whole_login_for_that_server() {
    let (w, relay) = (World::new(), Scripted::relay());
    assert_eq!(access(&w, &Want::Fresh).unwrap_err(), AccessError::NotLoggedIn);
    // The settings name another server than the one that was logged in to.
    let other = World::with_vars(&[("OX_RELAY_URL", "https://other.example")]);
    other.logged_in(&relay.url(), "u1", 3600);
    assert_eq!(access(&other, &Want::Fresh).unwrap_err(), AccessError::NotLoggedIn);
    assert_eq!(relay_identity(&other.dirs, &other.env).state, RelayState::LoggedOut);
    // A damaged file is nobody's login, and stays as it is.
    std::fs::create_dir_all(w.dirs.config()).unwrap();
    std::fs::write(w.dirs.relay_auth(), "canary{").unwrap();
    let error = access(&w, &Want::Fresh).unwrap_err();
    assert!(
        error.needs_person()
            && error.to_string().contains("relay-auth.json")
            && !error.to_string().contains("canary")
    );
    assert_eq!(w.file(), "canary{");
    assert!(relay.server.requests().is_empty());
}

#[test]
fn a_static_token_is_used_as_it_is_and_never_kept() {
    let relay = Scripted::relay();
    let check = |value: &str, expected: &str| {
        let w = World::with_vars(&[(TOKEN_VAR, value), ("OX_RELAY_URL", &relay.url())]);
        w.logged_in(&relay.url(), "u1", 3600);
        let before = w.file();
        let got = access(&w, &Want::Fresh).unwrap();
        assert_eq!((got.token.expose(), got.expires_at, got.email.as_str()), (expected, None, ""));
        assert_eq!(w.file(), before);
        let refused = access(&w, &Want::Forced { not: Secret::new(expected) }).unwrap_err();
        assert!(
            refused.needs_person()
                && refused.to_string().contains(TOKEN_VAR)
                && !refused.to_string().contains("CANARY")
        );
        got.user_id
    };
    let one = check("CANARYstatic", "CANARYstatic");
    assert_eq!(check(" \"CANARYstatic\" ", "CANARYstatic"), one);
    assert_eq!(check("Bearer CANARYstatic", "CANARYstatic"), one);
    assert_ne!(check("CANARYother", "CANARYother"), one, "another token is another account");
    assert!(relay.server.requests().is_empty());
}

#[test]
fn sec_09_a_static_token_that_is_none_is_never_passed_over() {
    let relay = Scripted::relay();
    for value in ["   ", "\"\"", "Bearer ", "CANARY two", "CANARY\ntwo", "CANARYé", "CANARY\u{7f}x"] {
        let w = World::with_vars(&[(TOKEN_VAR, value), ("OX_RELAY_URL", &relay.url())]);
        w.logged_in(&relay.url(), "u1", 3600);
        let error = access(&w, &Want::Fresh).unwrap_err();
        assert!(matches!(error, AccessError::Unusable { .. }), "{value:?}");
        assert!(error.to_string().contains(TOKEN_VAR) && !error.to_string().contains("CANARY"), "{error}");
    }
    // For no server it is for none.
    let w = World::with_vars(&[(TOKEN_VAR, "CANARYstatic")]);
    assert!(matches!(access(&w, &Want::Fresh), Err(AccessError::Unusable { .. })));
}
