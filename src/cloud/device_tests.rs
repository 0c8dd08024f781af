//! Every row of the tables of answers (relay and hooks, A.2; cloud and github, 4.2), by a clock that moves when it is told to.

use serde_json::json;

use super::*;

fn at(seconds: u64) -> Mono {
    Mono::ZERO + Duration::from_secs(seconds)
}

fn code(interval: Value, expires_in: Value) -> Value {
    json!({
        "device_code": "dc-canary", "user_code": "ABCD-EFGH", "verification_url": "https://relay.example/device",
        "interval": interval, "expires_in": expires_in,
    })
}

fn device(interval: u64) -> Device {
    Device::begin(Dialect::Relay, at(0), &code(json!(interval), json!(900))).unwrap()
}

/// What an answer leads to, ten seconds after the beginning.
fn handle(device: &mut Device, status: u16, body: &str, retry_after: Option<u64>) -> Next {
    let retry_after = retry_after.map(Duration::from_secs);
    device.handle(at(10), Answer::Reply { status, body: body.as_bytes(), retry_after })
}

/// How many seconds an answer makes wait.
fn waits(device: &mut Device, status: u16, body: &str, retry_after: Option<u64>) -> u64 {
    match handle(device, status, body, retry_after) {
        Next::Wait(until) => until.since(at(10)).as_secs(),
        other => panic!("{status} {body}: {other:?}"),
    }
}

const GRANTED: &str = r#"{"access_token":"at","refresh_token":"rt","expires_in":600,"user":{"id":"u1","email":"a@example.org"}}"#;

#[test]
fn a_code_is_read_in_all_its_forms() {
    let url = |answer: Value| {
        let mut all = json!({ "device_code": "d", "user_code": "U" });
        all.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        Device::begin(Dialect::Relay, at(0), &all).map(|d| (d.url, d.is_complete))
    };
    let (complete, plain, old) = ("https://h/c", "https://h/p", "https://h/o");
    let all =
        json!({ "verification_uri_complete": complete, "verification_uri": plain, "verification_url": old });
    assert_eq!(url(all), Ok((complete.to_owned(), true)));
    let empty =
        json!({ "verification_uri_complete": "", "verification_uri": plain, "verification_url": old });
    assert_eq!(url(empty), Ok((plain.to_owned(), false)));
    assert_eq!(url(json!({ "verification_url": old })), Ok((old.to_owned(), false)));
    assert!(url(json!({})).is_err());
    assert!(url(json!({ "verification_uri": 7 })).is_err());
    for missing in ["device_code", "user_code"] {
        let mut answer = code(json!(5), json!(900));
        answer.as_object_mut().unwrap().remove(missing);
        assert!(Device::begin(Dialect::Relay, at(0), &answer).is_err(), "{missing}");
    }
}

#[test]
fn what_is_shown_has_no_control_characters_and_the_code_of_the_device_is_a_secret() {
    let mut answer = code(json!(5), json!(900));
    answer["user_code"] = "AB\u{1b}[31mCD\u{7}".into();
    answer["verification_url"] = "https://h/\u{1b}]0;x\u{7}p\r\n".into();
    let device = Device::begin(Dialect::Relay, at(0), &answer).unwrap();
    assert_eq!((device.user_code.as_str(), device.url.as_str()), ("ABCD", "https://h/p"));
    assert!(!format!("{device:?}").contains("canary"));
}

#[test]
fn intervals_and_lives_are_bounded_whatever_a_server_says() {
    let check = |dialect, interval: Value, life: Value, expected: (u64, u64)| {
        let device = Device::begin(dialect, at(0), &code(interval.clone(), life.clone())).unwrap();
        let found = (device.interval.as_secs(), device.deadline.since(at(0)).as_secs());
        assert_eq!(found, expected, "{interval} {life}");
    };
    let (relay, vendor) = (Dialect::Relay, Dialect::Vendor);
    check(relay, json!(2), json!(600), (2, 600));
    check(vendor, json!(2), json!(600), (5, 600));
    check(vendor, json!(7), json!(600), (7, 600));
    for bad in [json!(0), json!(-1), json!("3"), json!(null), json!([]), json!(-0.5)] {
        check(relay, bad.clone(), bad, (5, 900));
    }
    check(relay, json!(0.2), json!(1), (1, 30));
    check(relay, json!(1e300), json!(1e300), (60, 3600));
    check(relay, json!(61), json!(3601), (60, 3600));
    let mut bare = code(json!(0), json!(0));
    bare.as_object_mut().unwrap().retain(|key, _| !["interval", "expires_in"].contains(&key.as_str()));
    let device = Device::begin(relay, at(0), &bare).unwrap();
    assert_eq!((device.interval.as_secs(), device.first()), (5, Next::Wait(at(5))));
    // A code with a short life is asked for at least once.
    let device = Device::begin(relay, at(0), &code(json!(60), json!(30))).unwrap();
    assert_eq!((device.first(), device.due(at(15))), (Next::Wait(at(15)), Next::Poll));
}

#[test]
fn row_1_a_success_with_a_token_is_the_end() {
    let Next::Granted(grant) = handle(&mut device(5), 200, GRANTED, None) else { panic!() };
    assert_eq!((grant.access_token.expose(), grant.refresh_token.expose()), ("at", "rt"));
    assert_eq!((grant.user_id.as_str(), grant.email.as_str()), ("u1", "a@example.org"));
    assert!(matches!(handle(&mut device(5), 201, GRANTED, None), Next::Granted(_)));
    let counted = GRANTED.replace("\"u1\"", "17");
    let Next::Granted(grant) = handle(&mut device(5), 200, &counted, None) else { panic!() };
    assert_eq!(grant.user_id, "17");
}

#[test]
fn row_1_of_tokens_that_cannot_be_used_nothing_is_kept() {
    for body in [
        r#"{"access_token":"at","refresh_token":"rt"}"#,
        r#"{"access_token":"at","refresh_token":"rt","user":{"email":"a"}}"#,
        r#"{"access_token":"at","refresh_token":"rt","user":{"id":""}}"#,
        r#"{"access_token":"a t","refresh_token":"rt","user":{"id":"u"}}"#,
        r#"{"access_token":"a\r\nX: y","user":{"id":"u"}}"#,
        r#"{"access_token":"at","refresh_token":"r\nt","user":{"id":"u"}}"#,
    ] {
        assert!(matches!(handle(&mut device(5), 200, body, None), Next::Stop(Stop::BadAnswer(_))), "{body}");
    }
}

#[test]
fn row_2_a_success_without_a_token_is_asked_again() {
    for body in [
        "{}",
        r#"{"status":"pending"}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":7}"#,
    ] {
        assert_eq!(waits(&mut device(5), 200, body, None), 5, "{body}");
    }
}

#[test]
fn row_3_pending_is_asked_again() {
    let mut d = device(5);
    for _ in 0..3 {
        assert_eq!(waits(&mut d, 400, r#"{"error":"authorization_pending"}"#, None), 5);
    }
}

#[test]
fn row_4_slow_down_adds_up_and_stays() {
    let mut d = device(5);
    assert_eq!(waits(&mut d, 400, r#"{"error":"slow_down"}"#, None), 10);
    assert_eq!(waits(&mut d, 400, r#"{"error":"slow_down"}"#, None), 15);
    assert_eq!(waits(&mut d, 400, r#"{"error":"authorization_pending"}"#, None), 15);
    assert_eq!(waits(&mut d, 429, "", None), 20);
    assert_eq!(waits(&mut d, 429, "<html>", Some(3)), 25);
    assert_eq!(waits(&mut d, 429, "", Some(90)), 90);
    // The longer wait was for once, the five seconds are for ever.
    assert_eq!(waits(&mut d, 200, "{}", None), 30);
}

#[test]
fn rows_5_to_7_end_it() {
    let stop = |status, body| match handle(&mut device(5), status, body, None) {
        Next::Stop(stop) => stop,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(stop(400, r#"{"error":"access_denied"}"#), Stop::Denied);
    assert_eq!(stop(403, r#"{"error":"access_denied"}"#), Stop::Denied);
    assert_eq!(stop(400, r#"{"error":"expired_token"}"#), Stop::Expired);
    let refused = |status, detail: Option<&str>| Stop::Refused { status, detail: detail.map(str::to_owned) };
    let described = r#"{"error":"invalid_client","error_description":"no such client"}"#;
    assert_eq!(stop(401, described), refused(401, Some("no such client")));
    assert_eq!(stop(422, r#"{"detail":"nonsense"}"#), refused(422, Some("nonsense")));
    assert_eq!(stop(404, "<html>"), refused(404, None));
    assert_eq!(stop(400, r#"{"error":"invalid_grant"}"#), refused(400, Some("invalid_grant")));
    assert_eq!(stop(400, ""), refused(400, None));
}

#[test]
fn row_8_what_makes_no_sense_is_asked_again_later_and_later_until_an_answer_does() {
    let mut d = device(5);
    let nothing = |d: &mut Device| match d.handle(at(10), Answer::Nothing) {
        Next::Wait(until) => until.since(at(10)).as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(nothing(&mut d), 6);
    assert_eq!(waits(&mut d, 500, "", None), 7);
    assert_eq!(waits(&mut d, 200, "<html>", None), 9);
    assert_eq!(waits(&mut d, 200, "[]", None), 13);
    assert_eq!(waits(&mut d, 503, r#"{"error":"access_denied"}"#, None), 21);
    assert_eq!(waits(&mut d, 302, "", None), 35);
    assert_eq!(nothing(&mut d), 35);
    assert_eq!(waits(&mut d, 503, "", Some(70)), 70);
    assert_eq!(waits(&mut d, 400, r#"{"error":"authorization_pending"}"#, None), 5);
    assert_eq!(nothing(&mut d), 6);
}

#[test]
fn row_6_nothing_is_asked_after_the_code_has_expired() {
    let mut d = device(5);
    let late = d.handle(at(898), Answer::Reply { status: 200, body: b"{}", retry_after: None });
    assert_eq!(
        (late, d.due(at(899)), d.due(at(900))),
        (Next::Wait(at(900)), Next::Poll, Next::Stop(Stop::Expired))
    );
    // A token that comes late is one.
    let late = d.handle(at(901), Answer::Reply { status: 200, body: GRANTED.as_bytes(), retry_after: None });
    assert!(matches!(late, Next::Granted(_)));
    let asked = d.handle(
        at(10),
        Answer::Reply { status: 429, body: b"", retry_after: Some(Duration::from_secs(3600)) },
    );
    assert_eq!(asked, Next::Wait(at(900)));
}

#[test]
fn the_vendors_session_token_stands_in_for_a_missing_refresh_token() {
    let mut d = Device::begin(Dialect::Vendor, at(0), &code(json!(5), json!(900))).unwrap();
    let body = r#"{"access_token":"same","session_token":"same","token_type":"Bearer","expires_in":600,"scope":"s"}"#;
    let Next::Granted(grant) = handle(&mut d, 200, body, None) else { panic!() };
    assert_eq!((grant.refresh_token.expose(), grant.session_token.expose()), ("same", "same"));
    assert_eq!(
        (grant.token_type.as_str(), grant.scope.as_str(), grant.user_id.as_str()),
        ("Bearer", "s", "")
    );
    assert_eq!(waits(&mut d, 400, r#"{"error":"slow_down"}"#, None), 10);
    assert_eq!(waits(&mut d, 400, r#"{"error":"slow_down"}"#, None), 15);
    assert!(matches!(handle(&mut d, 400, r#"{"error":"access_denied"}"#, None), Next::Stop(Stop::Denied)));
    assert_eq!(waits(&mut d, 502, "", None), 16);
}

proptest::proptest! {
    /// Whatever comes, there is an end, and never two questions within a second.
    #[test]
    fn no_server_makes_it_ask_without_a_pause(answers in proptest::collection::vec((0u16..600, "\\PC{0,30}", proptest::option::of(0u64..9999)), 1..200)) {
        let (mut d, mut now) = (device(1), at(0));
        let mut next = d.first();
        for (status, body, retry) in answers.iter().cycle().take(4000) {
            match next {
                Next::Wait(until) => {
                    proptest::prop_assert!(until > now || until >= d.deadline);
                    now = until.max(now);
                    next = d.due(now);
                }
                Next::Poll => {
                    let answer = Answer::Reply { status: *status, body: body.as_bytes(), retry_after: retry.map(Duration::from_secs) };
                    next = d.handle(now, answer);
                    if let Next::Wait(until) = next {
                        proptest::prop_assert!(until.since(now) >= Duration::from_secs(1) || until == d.deadline);
                    }
                }
                Next::Granted(_) | Next::Stop(_) => return Ok(()),
            }
        }
        proptest::prop_assert!(false, "it never ends");
    }
}
