//! A server of chat completions.

use std::time::Duration;

use ox::agents::manager::End;
use ox::agents::runner::{ChatServer, Which};
use ox::agents::usable;
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::secret::Secret;
use serde_json::json;

use super::{Bench, long_prompt};
use crate::support::http_script::{Server, answer};

const MINUTE: Duration = Duration::from_secs(60);

fn server(url: String) -> ChatServer {
    ChatServer { url, model: "m".into(), key: Some(Secret::new("canary")) }
}

fn serves(status: u16, headers: &'static str, body: String) -> Server {
    Server::start(move |_, _| vec![answer(status, headers, body.as_bytes())])
}

#[test]
fn a_server_answers_and_is_told_who_asks() {
    let bench = Bench::new();
    let body = json!({
        "model": "m-1", "choices": [{ "message": { "role": "assistant", "content": "yes" } }],
        "usage": { "prompt_tokens": 40, "completion_tokens": 2 },
    });
    let served = serves(200, "", body.to_string());
    let which = Which::Chat(server(served.url("/v1/")));
    let ran = bench.ask(which.clone(), &long_prompt(), MINUTE, &Cancel::new()).unwrap();
    assert_eq!((ran.answer.text.as_str(), ran.answer.model.as_str()), ("yes", "m-1"));
    assert_eq!((ran.answer.input_tokens, ran.answer.output_tokens), (40, 2));
    let asked = served.requests().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer canary"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["model"], &body["stream"], &body["temperature"]),
        (&"m".into(), &false.into(), &0.into())
    );
    assert_eq!(body["messages"][0], json!({ "role": "user", "content": long_prompt() }));
    assert!(!format!("{which:?}").contains("canary"));
}

#[test]
fn agt_04_why_a_server_does_not_answer_is_told_by_its_status() {
    let bench = Bench::new();
    let check = |status: u16, headers: &'static str, body: &str, end: &dyn Fn(&End) -> bool, error: &str| {
        let served = serves(status, headers, body.to_owned());
        let failed = bench.ask(Which::Chat(server(served.url(""))), "x", MINUTE, &Cancel::new()).unwrap_err();
        assert!(end(&failed.end) && failed.error == error, "{status}: {failed:?}");
    };
    let failed = |end: &End| *end == End::Failed;
    check(401, "", "{}", &|end| *end == End::Auth, "chat: its key was refused (status 401)");
    check(429, "", "{}", &|end| *end == End::Quota(None), "chat: its quota is used up (status 429)");
    let later = |end: &End| matches!(end, End::Quota(Some(_)));
    check(429, "Retry-After: 60\r\n", "{}", &later, "chat: its quota is used up (status 429)");
    let said = r#"{"error":{"message":"loading"}}"#;
    check(503, "", said, &failed, "chat: it failed (status 503: loading)");
    check(
        404,
        "",
        said,
        &|end| *end == End::Rejected,
        "chat: it does not take the request (status 404: loading)",
    );
    check(200, "", said, &failed, "chat: loading");
    check(200, "", "words", &failed, "chat: the program ended without an answer");
    let failed = bench
        .ask(Which::Chat(server("http://192.168.1.1/v1".into())), "x", MINUTE, &Cancel::new())
        .unwrap_err();
    let why = "the chat server is asked by https only, or on this machine; see agent_worker.chat_url";
    assert_eq!((failed.end, failed.error.as_str()), (End::Rejected, why));
}

#[test]
fn a_server_is_usable_where_it_tells_what_it_serves() {
    let client = Client::new(std::sync::Arc::new(SystemClock));
    let look = |status: u16| {
        let served = serves(status, "", "{}".into());
        let found = usable::usable_chat(&Ok(server(served.url("/v1"))), &client);
        assert!(served.requests()[0].starts_with("GET /v1/models "), "{:?}", served.requests());
        (found.installed, found.authenticated, found.detail)
    };
    assert_eq!(look(200), (true, true, "answers".into()));
    assert_eq!(look(404), (true, true, "answers".into()));
    assert_eq!(look(401), (true, false, "its key was refused".into()));
    assert_eq!(look(500), (true, false, "answers with status 500".into()));
    let none = usable::usable_chat(&Err("agent_worker.chat_url is not set".into()), &client);
    assert!(!none.is_usable() && none.detail == "agent_worker.chat_url is not set");
    assert!(!usable::usable_chat(&Ok(server("http://example.com".into())), &client).is_usable());
}
