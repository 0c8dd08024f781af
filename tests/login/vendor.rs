//! Login at a server of the vendor's API, its new tokens, and taking it back.

use std::sync::Barrier;
use std::time::Duration;

use ox::cloud::{AccessError, LoginError, Prompt, Want, vendor_access, vendor_login, vendor_revoke};
use ox::kit::clock::Clock;
use ox::kit::gotime::GoTime;
use ox::kit::secret::Secret;
use ox::project::{Endpoint, Login, Logins, UserInfo};
use serde_json::{Value, json};

use super::world::*;
use crate::support::http_script::{Act, answer};

const CODE: &str = "/api/auth/device/code";
const TOKEN: &str = "/api/auth/device/token";
const EXCHANGE: &str = "/api/v1/cli/auth/token";
const USER: &str = "/oauth2/userinfo";
const RENEW: &str = "/oauth2/token";
const REVOKE: &str = "/oauth2/revoke";

/// A server of the vendor's API that works, and where everything is confirmed.
fn vendor() -> Scripted {
    let api = Scripted::bare();
    let mut code = code("http://login.example/device");
    code["verification_uri_complete"] = json!("http://login.example/device?code=WDJB");
    code["interval"] = json!(2);
    api.always(CODE, json_of(code));
    api.always(TOKEN, json_of(opaque()));
    api.always(
        EXCHANGE,
        json_of(json!({ "access_token": "CANARYjwt", "token_type": "Bearer", "expires_in": 900 })),
    );
    api.always(USER, json_of(json!({ "user_id": "u1", "email": "a@example.org", "name": "A" })));
    api.always(
        RENEW,
        json_of(
            json!({ "access_token": "CANARYopaque2", "refresh_token": "CANARYrefresh2", "expires_in": 600 }),
        ),
    );
    api.always(REVOKE, json_of(json!({})));
    api
}

fn opaque() -> Value {
    json!({
        "access_token": "CANARYopaque", "refresh_token": REFRESH_TOKEN, "token_type": "Bearer", "expires_in": 600, "scope": "s",
    })
}

fn endpoint(api: &Scripted) -> Endpoint {
    Endpoint::parse(&api.url()).unwrap()
}

fn login(w: &World, api: &Scripted) -> (Result<Login, LoginError>, Vec<Prompt>) {
    let mut shown = Vec::new();
    let done = w.calls(|calls| vendor_login(calls, &w.dirs, &endpoint(api), &mut |p| shown.push(p.clone())));
    (done, shown)
}

fn stored(w: &World, api: &Scripted) -> Option<Login> {
    Logins::load(&w.dirs, &endpoint(api)).unwrap().get(&endpoint(api)).cloned()
}

/// Somebody is logged in, for so many seconds more.
fn logged_in(w: &World, api: &Scripted, seconds: i64) {
    let login = Login {
        access_token: Secret::new(ACCESS),
        refresh_token: Secret::new(REFRESH_TOKEN),
        expires_at: GoTime(jiff::Timestamp::from_second(w.now().as_second() + seconds).ok()),
        token_type: "Bearer".into(),
        scope: "s".into(),
        user_info: UserInfo { user_id: "u1".into(), email: "a@example.org".into(), name: "A".into() },
        ..Login::default()
    };
    Logins::replace(&w.dirs, &endpoint(api), login).unwrap();
}

fn access(w: &World, api: &Scripted, want: &Want) -> Result<Secret, AccessError> {
    w.calls(|calls| vendor_access(calls, &w.dirs, &endpoint(api), want))
}

#[test]
fn a_login_goes_its_whole_way() {
    let (w, api) = (World::new(), vendor());
    for error in ["authorization_pending", "slow_down", "slow_down"] {
        api.next(TOKEN, status_of(400, json!({ "error": error })));
    }
    api.next(TOKEN, vec![answer(500, "", b"")]);
    let begin = w.clock.now().mono;
    let (done, shown) = login(&w, &api);
    let login = done.unwrap();
    assert_eq!((login.access_token.expose(), login.refresh_token.expose()), ("CANARYjwt", REFRESH_TOKEN));
    assert_eq!((login.user_info.user_id.as_str(), login.scope.as_str()), ("u1", "s"));
    assert_eq!(login.expires_at.0.map(|end| end.as_second()), Some(w.now().as_second() + 900));
    assert_eq!(stored(&w, &api).unwrap().access_token, login.access_token);
    // No shorter than 5 s, twice 5 s more, and 1 s for the failure.
    assert_eq!(w.clock.now().mono.since(begin), Duration::from_secs(5 + 5 + 10 + 15 + 16));
    assert_eq!((shown[0].is_complete, shown[0].user_code.as_str()), (true, "WDJB-MJHT"));
    let body = |path: &str| {
        let request = api.asked(path).pop().unwrap();
        serde_json::from_str::<Value>(request.rsplit("\r\n\r\n").next().unwrap()).unwrap()
    };
    assert_eq!(body(CODE), json!({ "client_id": "ox", "scope": "user:profile sageox:write" }));
    assert_eq!(body(TOKEN)["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert!(api.asked(EXCHANGE)[0].contains("Bearer CANARYopaque\r\n"), "the opaque one is exchanged");
    assert!(api.asked(USER)[0].contains("Bearer CANARYjwt\r\n"), "the one that was got asks who it is");
}

#[test]
fn an_exchange_may_be_in_an_envelope_or_give_nothing() {
    let check = |acts: Vec<Act>, expected: &str| {
        let (w, api) = (World::new(), vendor());
        api.always(EXCHANGE, acts);
        let login = login(&w, &api).0.unwrap();
        assert_eq!(login.access_token.expose(), expected);
    };
    check(json_of(json!({ "data": { "access_token": "CANARYinner", "expires_in": 0 } })), "CANARYinner");
    check(json_of(json!({})), "CANARYopaque");
    check(json_of(json!({ "access_token": "" })), "CANARYopaque");
    check(vec![answer(404, "", b"")], "CANARYopaque");
}

#[test]
fn a_login_that_comes_to_nothing_writes_nothing() {
    let check = |path: &str, acts: Vec<Act>, expected: &str| {
        let (w, api) = (World::new(), vendor());
        api.always(path, acts);
        let error = login(&w, &api).0.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("CANARY"), "{path}: {error}");
        assert!(!w.dirs.auth_file().exists(), "{path}");
    };
    check(
        CODE,
        status_of(400, json!({ "error": "invalid_client", "error_description": "who are you" })),
        "who are you",
    );
    check(TOKEN, status_of(400, json!({ "error": "access_denied" })), "was denied");
    check(TOKEN, status_of(400, json!({ "error": "expired_token" })), "has expired");
    check(TOKEN, status_of(418, json!({})), "status 418");
    check(EXCHANGE, vec![answer(401, "", b"")], "status 401");
    check(USER, vec![answer(500, "", b"")], "status 500");
    check(USER, json_of(json!({ "email": "a" })), "names nobody");
    check(USER, vec![answer(302, "Location: /elsewhere\r\n", b"")], "status 302");
    let (w, api) = (World::new(), vendor());
    api.always(USER, json_of(json!({ "sub": "s1" })));
    assert_eq!(login(&w, &api).0.unwrap().user_info.user_id, "s1");
}

#[test]
fn rly_09_a_silent_server_holds_nobody() {
    for path in [CODE, EXCHANGE, USER] {
        let (w, api) = (World::new().hurried(), vendor());
        api.always(path, vec![Act::Wait]);
        let error = login(&w, &api).0.unwrap_err().to_string();
        assert!(error.ends_with("did not answer within 1 s"), "{error}");
    }
}

#[test]
fn a_token_is_renewed_and_exchanged() {
    let (w, api) = (World::new(), vendor());
    logged_in(&w, &api, 301);
    assert_eq!(access(&w, &api, &Want::Fresh).unwrap().expose(), ACCESS);
    assert!(api.server.requests().is_empty());
    logged_in(&w, &api, 300);
    assert_eq!(access(&w, &api, &Want::Fresh).unwrap().expose(), "CANARYjwt");
    let sent = api.asked(RENEW).pop().unwrap();
    assert!(
        sent.ends_with(&format!("grant_type=refresh_token&client_id=ox&refresh_token={REFRESH_TOKEN}")),
        "{sent}"
    );
    assert!(sent.contains("application/x-www-form-urlencoded"));
    let login = stored(&w, &api).unwrap();
    assert_eq!(
        (login.refresh_token.expose(), login.user_info.name.as_str(), login.scope.as_str()),
        ("CANARYrefresh2", "A", "s")
    );
    // One that was refused, and a server that neither exchanges nor gives another token to renew it with.
    api.always(EXCHANGE, vec![answer(500, "", b"")]);
    api.always(RENEW, json_of(json!({ "access_token": "CANARYthird" })));
    let refused = Want::Forced { not: Secret::new("CANARYjwt") };
    assert_eq!(access(&w, &api, &refused).unwrap().expose(), "CANARYthird");
    let login = stored(&w, &api).unwrap();
    assert_eq!(login.refresh_token.expose(), "CANARYrefresh2");
    assert_eq!(login.expires_at.0.map(|end| end.as_second()), Some(w.now().as_second() + 3600));
    // Somebody else has got another one meanwhile.
    let asked = api.asked(RENEW).len();
    assert_eq!(access(&w, &api, &refused).unwrap().expose(), "CANARYthird");
    assert_eq!(api.asked(RENEW).len(), asked);
}

#[test]
fn a_failure_loses_no_login() {
    let check = |acts: Vec<Act>, needs_login: bool| {
        let (w, api) = (World::new(), vendor());
        logged_in(&w, &api, -10);
        let before = std::fs::read(w.dirs.auth_file()).unwrap();
        api.always(RENEW, acts);
        let error = access(&w, &api, &Want::Fresh).unwrap_err();
        assert_eq!(matches!(error, AccessError::NeedsLogin { .. }), needs_login, "{error}");
        assert_eq!(api.asked(RENEW).len(), 1);
        assert_eq!(std::fs::read(w.dirs.auth_file()).unwrap(), before);
        // While it lasts the old one is used.
        logged_in(&w, &api, 100);
        assert_eq!(access(&w, &api, &Want::Fresh).unwrap().expose(), ACCESS);
    };
    check(status_of(400, json!({ "error": "invalid_grant" })), true);
    check(vec![answer(401, "", b"")], true);
    check(vec![answer(403, "", b"")], false);
    check(vec![answer(500, "", b"")], false);
    check(page(), false);
    check(vec![Act::Reset], false);
}

#[test]
fn without_anything_to_renew_it_with_nobody_is_asked() {
    let (w, api) = (World::new(), vendor());
    let login = Login { access_token: Secret::new(ACCESS), ..Login::default() };
    Logins::replace(&w.dirs, &endpoint(&api), login).unwrap();
    assert!(matches!(access(&w, &api, &Want::Fresh), Err(AccessError::NeedsLogin { .. })));
    assert!(api.server.requests().is_empty());
    assert_eq!(
        w.calls(|calls| vendor_access(calls, &w.dirs, &Endpoint::local(), &Want::Fresh)),
        Err(AccessError::NotLoggedIn)
    );
}

#[test]
fn sec_08_of_twenty_that_want_a_new_token_one_asks() {
    let (w, api) = (World::new(), vendor());
    logged_in(&w, &api, 60);
    let start = Barrier::new(20);
    std::thread::scope(|s| {
        for _ in 0..20 {
            s.spawn(|| {
                start.wait();
                assert_eq!(access(&w, &api, &Want::Fresh).unwrap().expose(), "CANARYjwt");
            });
        }
    });
    assert_eq!(api.asked(RENEW).len(), 1);
}

#[test]
fn only_a_plain_yes_takes_a_login_back() {
    let (w, api) = (World::new(), vendor());
    logged_in(&w, &api, 60);
    let revoke = |login: &Login| w.calls(|calls| vendor_revoke(calls, &endpoint(&api), login));
    let login = stored(&w, &api).unwrap();
    assert!(revoke(&login).is_ok());
    let sent = api.asked(REVOKE).pop().unwrap();
    assert!(
        sent.ends_with(&format!("token={REFRESH_TOKEN}&token_type_hint=refresh_token&client_id=ox")),
        "{sent}"
    );
    assert!(revoke(&Login { refresh_token: Secret::default(), ..login.clone() }).is_ok());
    let sent = api.asked(REVOKE).pop().unwrap();
    assert!(sent.ends_with(&format!("token={ACCESS}&token_type_hint=access_token&client_id=ox")), "{sent}");
    for status in [204, 302, 404, 500] {
        api.always(REVOKE, vec![answer(status, "", b"")]);
        assert!(revoke(&login).is_err(), "{status}");
    }
}
