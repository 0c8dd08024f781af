//! `ox murmur <content>`: has one published.

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ScopeName, importance, place};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::ipc::wire::{Message, Murmur as Payload};
use crate::kit::gotime::GoTime;
use crate::kit::id::new_id;
use crate::kit::text::cut;
use crate::project::{Logins, Project};
use crate::sync::Workspace;
use crate::whispers::limits::{GAP, METADATA_VALUE_MAX, NAME_MAX, SENT_MAX};
use crate::whispers::{FILE_CHANGES, Murmur, Outbox, topic};

/// Flags of `ox murmur`.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// What to tell: at most 500 bytes, or a JSON object with content and perhaps topic, importance, files
    content: Option<String>,
    /// What it is about, such as wip, ci, architecture
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How much it matters: critical, normal or ambient
    #[arg(long, value_name = "IMPORTANCE", value_parser = importance)]
    importance: Option<String>,
    /// Through which clone it goes
    #[arg(long, value_name = "SCOPE", default_value = "ledger")]
    scope: ScopeName,
    /// The agent that says it; without it that of SAGEOX_AGENT_ID
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// Files it is about, below the repository, with commas between
    #[arg(long, value_name = "PATHS")]
    files: Option<String>,
}

/// What is to be said, after all flags.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    content: String,
    topic: String,
    importance: String,
    files: String,
}

pub(super) fn run(cx: &Cx, args: &Publish) -> Outcome {
    let said = said(args)?;
    let project = cx.project()?;
    let at = place::find(cx, &project, args.scope)?;
    let me = Me::of(cx);
    let agent = args.agent_id.clone().unwrap_or_else(|| me.id.clone());
    check_name(&agent)?;
    check_gap(&at, &agent, cx.now())?;
    let redactor = cx.redactor(Some(&project));
    let mut murmur = Murmur {
        schema_version: "1".into(),
        id: new_id().to_string(),
        timestamp: GoTime::from(cx.now()),
        agent_id: agent,
        agent_type: me.kind,
        principal_id: principal(cx, &project),
        principal_type: "human".into(),
        topic: topic(&redactor.redact(&said.topic)),
        importance: said.importance,
        content: said.content,
        scope: match args.scope {
            ScopeName::Ledger => "ledger".into(),
            ScopeName::Team => "team".into(),
        },
        ..Murmur::default()
    };
    if !said.files.is_empty() {
        murmur.metadata.insert("files".into(), said.files);
    }
    let redacted = murmur.redact(&redactor, &cx.home().to_string_lossy());
    // Not before: half a secret has no shape any more.
    for value in murmur.metadata.values_mut() {
        value.truncate(cut(value, METADATA_VALUE_MAX).len());
    }
    // Before anybody is told: it goes out with the next sync whatever happens to the daemon.
    Outbox::of(&at.state).put(&murmur).map_err(|e| place::failure("the murmur cannot be kept", &e))?;
    let payload = Payload {
        target_dir: at.path.to_string_lossy().into_owned(),
        content: murmur.content.clone(),
        rel_path: murmur.path(),
        murmur_json: base64::engine::general_purpose::STANDARD.encode(murmur.to_json()),
    };
    let told = cx.client(&project).one_way(Message::Murmur, Some(&payload)).is_ok();
    if at.read_only {
        cx.ui.warn("nothing may be pushed to this clone: only the agents of this machine hear it");
    }
    if redacted {
        cx.ui.note("what looked like a secret or a private path was taken out");
    }
    if cx.ui.json() {
        let state = if told { "published" } else { "queued" };
        return cx.ui.document(&json!({ "success": true, "id": murmur.id, "status": state }));
    }
    match told {
        true => cx.ui.print(&format!("Murmur published: {}", murmur.id)),
        false => {
            cx.ui.print(&format!("Murmur queued: {}", murmur.id))?;
            cx.ui.note("no daemon runs; it goes out with the next sync");
            cx.ui.next_step("ox sync");
            Ok(())
        }
    }
}

/// Puts together what flags and a JSON text say; flags win.
fn said(args: &Publish) -> Outcome<Said> {
    let wrong = |what: &str| Failure::new(Exit::Usage, what).hint("ox murmur --help");
    let text = args.content.as_deref().unwrap_or_default().trim();
    let json = match text.starts_with('{') {
        true => match serde_json::from_str(text) {
            Ok(Value::Object(map)) => map,
            Ok(_) => return Err(wrong("the JSON is no object")),
            Err(e) => return Err(wrong("not valid JSON").because(&e)),
        },
        false => serde_json::Map::new(),
    };
    let of_json = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let content =
        if text.starts_with('{') { of_json("content").unwrap_or_default() } else { text.to_owned() };
    if content.trim().is_empty() {
        return Err(wrong("a murmur without content"));
    }
    if content.len() > SENT_MAX {
        let size = content.len();
        return Err(wrong("the murmur is too long").because_of(format!("{size} bytes, at most {SENT_MAX}")));
    }
    let level = of_json("importance").map(|name| importance(&name)).transpose();
    let level = level.map_err(|why| wrong("the importance is unknown").because_of(why))?;
    Ok(Said {
        content,
        topic: args.topic.clone().or_else(|| of_json("topic")).unwrap_or_default(),
        importance: args.importance.clone().or(level).unwrap_or_else(|| "normal".into()),
        files: args.files.clone().or_else(|| files_of(json.get("files"))).unwrap_or_default(),
    })
}

/// Files in JSON are a text or a list of texts.
fn files_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        _ => None,
    }
}

/// Nothing if a word can name an agent.
fn check_name(agent: &str) -> Outcome {
    let wrong = |why: String| {
        Err(Failure::new(Exit::Usage, "the id of the agent is none").because_of(why).hint("ox murmur --help"))
    };
    match agent.len() {
        size if size > NAME_MAX => wrong(format!("{size} bytes, at most {NAME_MAX}")),
        _ if agent.chars().any(char::is_control) => wrong("it has control characters".into()),
        _ => Ok(()),
    }
}

/// An agent murmurs at most every few seconds.
fn check_gap(at: &Workspace, agent: &str, now: Timestamp) -> Outcome {
    if agent.is_empty() {
        return Ok(());
    }
    let last =
        place::recent(at, now, 0)?.into_iter().find(|m| m.agent_id == agent && m.topic != FILE_CHANGES);
    let left = last.and_then(|m| super::list::wait_left(m.timestamp.0?, now));
    match left {
        None => Ok(()),
        Some(left) => {
            let seconds = left.as_secs().max(1);
            let failure = Failure::new(Exit::Failed, format!("{agent} has murmured just now"));
            Err(failure
                .because_of(format!("once in {} s; again in {seconds} s", GAP.as_secs()))
                .hint("ox murmur status"))
        }
    }
}

/// Short name of whom the command works for: of the login, else of the account.
fn principal(cx: &Cx, project: &Project) -> String {
    let logins = Logins::load(&cx.dirs, &project.endpoint).ok();
    let login = logins.as_ref().and_then(|all| all.get(&project.endpoint)).map(|login| &login.user_info);
    let named = login.map(|user| if user.email.is_empty() { user.name.clone() } else { user.email.clone() });
    let name = named.filter(|n| !n.is_empty()).or_else(|| cx.env.get("USER").map(str::to_owned));
    let name = name.unwrap_or_default();
    // Never a whole address.
    name.split('@').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(content: &str) -> Publish {
        Publish {
            content: Some(content.into()),
            topic: None,
            importance: None,
            scope: ScopeName::Ledger,
            agent_id: None,
            files: None,
        }
    }

    #[test]
    fn text_and_json_say_the_same_and_flags_win() {
        let check = |args: Publish, expected: [&str; 4]| {
            let said = said(&args).unwrap();
            assert_eq!([&said.content, &said.topic, &said.importance, &said.files], expected);
        };
        check(args(" hello "), ["hello", "", "normal", ""]);
        let json = r#"{"content":"hello","topic":"wip","importance":"critical","files":["a","b"]}"#;
        check(args(json), ["hello", "wip", "critical", "a,b"]);
        let flags = Publish {
            topic: Some("ci".into()),
            importance: Some("ambient".into()),
            files: Some("c".into()),
            ..args(json)
        };
        check(flags, ["hello", "ci", "ambient", "c"]);
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_the_reason() {
        let check = |content: &str, expected: &str| {
            let failure = said(&args(content)).unwrap_err();
            let text = format!("{} {failure:?}", failure.headline());
            assert!(text.contains(expected), "{text}");
        };
        check("  ", "without content");
        check("{}", "without content");
        check("{\"content\":", "not valid JSON");
        check(r#"{"content":"x","importance":"huge"}"#, "is unknown");
        check(&"x".repeat(SENT_MAX + 1), "501 bytes, at most 500");
    }
}
