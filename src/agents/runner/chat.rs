//! Asks a server of chat completions. It is one on this machine, or one that is reached by https: the prompt goes to nobody in between.

use jiff::SignedDuration;
use serde_json::json;

use super::{Ask, ChatServer, Failed, sanitise};
use crate::agents::answer::{Answer, Reader, Speech};
use crate::agents::limits::STDOUT_MAX;
use crate::agents::manager::End;
use crate::http::{Client, HttpError, Reply};
use crate::kit::contact::Purpose;
use crate::kit::text::cut;

/// The address of what it serves under that name.
pub(in crate::agents) fn url(server: &ChatServer, name: &str) -> String {
    format!("{}/{name}", server.url.trim_end_matches('/'))
}

pub(super) fn ask(client: &Client, server: &ChatServer, ask: &Ask<'_>) -> Result<Answer, Failed> {
    let url = url(server, "chat/completions");
    if !client.accepts(&url) {
        let why = "the chat server is asked by https only, or on this machine; see agent_worker.chat_url";
        return Err(Failed::new(End::Rejected, why));
    }
    let messages = json!([{ "role": "user", "content": ask.prompt }]);
    let mut body = json!({ "messages": messages, "stream": false, "temperature": 0 });
    let model = [ask.model, &server.model].into_iter().find(|model| !model.is_empty());
    if let Some(model) = model {
        body["model"] = model.into();
    }
    let mut request =
        client.meant_for(Purpose::Chat).post(&url, "application/json", body.to_string().into_bytes());
    if let Some(key) = &server.key {
        request = request.bearer(key);
    }
    let reply = request.deadline(ask.deadline).cap(STDOUT_MAX).cancel(ask.cancel).send();
    match reply {
        Ok(reply) if (200..300).contains(&reply.status) => answer(&reply),
        Ok(reply) => Err(refused(&reply, ask)),
        Err(e @ HttpError::Cancelled { .. }) => Err(Failed::new(End::Cancelled, format!("chat: {e}"))),
        Err(e) => Err(Failed::new(End::Failed, format!("chat: {e}"))),
    }
}

fn read(reply: &Reply) -> Result<Answer, String> {
    let mut reader = Reader::new(Speech::Chat);
    reader.line(&reply.body);
    reader.finish()
}

fn answer(reply: &Reply) -> Result<Answer, Failed> {
    match read(reply) {
        Ok(answer) if answer.error.is_empty() => Ok(answer),
        Ok(answer) => {
            let error = format!("chat: {}", sanitise(cut(&answer.error, super::SHOWN_MAX)));
            Err(Failed { cost: Some(answer.cost()), ..Failed::new(End::Failed, error) })
        }
        Err(why) => Err(Failed::new(End::Failed, format!("chat: {why}"))),
    }
}

/// By its status.
fn refused(reply: &Reply, ask: &Ask<'_>) -> Failed {
    let now = ask.clock.now().wall;
    let (end, why) = match reply.status {
        401 | 403 => (End::Auth, "its key was refused"),
        402 | 429 => {
            let wait = reply.retry_after(now).and_then(|wait| SignedDuration::try_from(wait).ok());
            (End::Quota(wait.and_then(|wait| now.checked_add(wait).ok())), "its quota is used up")
        }
        // It would refuse the same again.
        400 | 404 | 413 | 422 => (End::Rejected, "it does not take the request"),
        _ => (End::Failed, "it failed"),
    };
    let about = super::About { word: "chat", prompt: ask.prompt, tail: "", stray: "", now };
    let said = read(reply).ok().and_then(|answer| about.shown(&answer.error));
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    Failed::new(end, format!("chat: {why} (status {}{said})", reply.status))
}
