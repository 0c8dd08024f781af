//! `ox murmur <content>`: has one published.

use std::io::Read as _;
use std::path::{Component, Path};
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ScopeName, importance, place};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::foreign;
use crate::cli::me::Me;
use crate::git::{GitError, Reader};
use crate::ipc::client::Client;
use crate::ipc::wire::{Message, Murmur as Payload};
use crate::kit::clock::wait_until;
use crate::kit::gotime::GoTime;
use crate::kit::id::new_id;
use crate::kit::text::cut;
use crate::project::{Logins, Project, is_agent_id, user_slug};
use crate::sync::Workspace;
use crate::whispers::limits::{GAP, METADATA_VALUE_MAX, SENT_MAX};
use crate::whispers::{FILE_CHANGES, Murmur, Outbox, topic};

/// Flags of `ox murmur`.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// The note, at most 500 bytes, or a JSON object with content, topic, importance and files; - reads it from stdin
    content: Option<String>,
    /// What it is about, such as wip, ci or architecture
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How much it matters: critical, normal or ambient
    #[arg(long, value_name = "IMPORTANCE", value_parser = importance)]
    importance: Option<String>,
    /// Who gets it
    #[arg(long, value_name = "SCOPE", default_value = "ledger")]
    scope: ScopeName,
    /// Agent to murmur as [default: the session's agent]
    #[arg(long, value_name = "AGENT_ID")]
    agent_id: Option<String>,
    /// Files of the repository it is about, separated by commas
    #[arg(long, value_name = "PATHS", value_hint = clap::ValueHint::AnyPath)]
    files: Option<String>,
}

/// How long the command waits for its murmur to be at the remote. A push over a network takes longer now and then; then it says so.
const SENT_WAIT: Duration = Duration::from_secs(1);

/// Words that people type for a sub-command, and the sub-command.
const COMMANDS: [(&str, &str); 12] = [
    ("list", "list"),
    ("ls", "list"),
    ("show", "list"),
    ("history", "list"),
    ("status", "status"),
    ("delete", "delete"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("pause", "pause"),
    ("resume", "resume"),
    ("send", "send"),
    ("publish", "send"),
];

impl Publish {
    /// One word that is, or nearly is, that of a sub-command is most likely no news: what is told cannot be taken back from everybody.
    ///
    /// # Errors
    /// It is such a word.
    pub(super) fn refuse_mistyped(&self) -> Outcome {
        let word = self.content.as_deref().unwrap_or_default().trim().to_lowercase();
        let is_near = |name: &str| strsim::damerau_levenshtein(&word, name) <= name.len() / 3;
        let Some((_, meant)) = COMMANDS.iter().find(|(name, _)| is_near(name)) else { return Ok(()) };
        let failure = Failure::new(Exit::Usage, "nothing was told: this looks like a command").on(&word);
        let anyway = format!("to tell it anyway: ox murmur send {word}");
        Err(failure.because_of(anyway).hint(format!("ox murmur {meant}")))
    }
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
    if let Some(named) = args.agent_id.as_ref().filter(|named| !is_agent_id(named)) {
        let failure = Failure::new(Exit::Usage, "unknown agent").on(named);
        return Err(failure
            .because_of("an agent's id is Ox and four letters or digits")
            .hint("ox agent prime"));
    }
    let said = Said { files: files_below(&project.root, &said.files)?, ..said };
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
    let client = cx.client(&project);
    let told = client.one_way(Message::Murmur, Some(&payload)).is_ok();
    if at.read_only {
        cx.ui.warn("nothing may be pushed to this clone: only the agents of this machine hear it");
    }
    if redacted {
        cx.ui.note("what looked like a secret or a private path was taken out");
    }
    let state = State::of(&client, &at, &murmur, told);
    if cx.ui.json() {
        let mut document = json!({ "success": true, "id": murmur.id, "status": state.word() });
        if let State::Queued(Some(reason)) | State::Foreign(reason) = &state {
            document["reason"] = json!(reason);
        }
        return cx.ui.document(&document);
    }
    match state {
        State::Sent => cx.ui.done(&format!("sent: {}", murmur.id)),
        State::Kept => cx.ui.done(&format!("kept on this machine: {}", murmur.id)),
        State::Queued(None) => cx.ui.done(&format!("queued, goes out within seconds: {}", murmur.id)),
        State::Queued(Some(reason)) => {
            cx.ui.done(&format!("queued: {}", murmur.id))?;
            cx.ui.note(&format!("it goes out as soon as it can: {reason}"));
            cx.ui.next_step(if told { "ox status" } else { "ox up" });
            Ok(())
        }
        State::Foreign(reason) => {
            cx.ui.done(&format!("queued: {}", murmur.id))?;
            cx.ui.note(&format!("it goes out with the next sync of a daemon that knows murmurs: {reason}"));
            cx.ui.next_step(foreign::WAY_OUT);
            Ok(())
        }
    }
}

/// What has become of a murmur that was just told.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The remote has it.
    Sent,
    /// It waits on this disk, and why where that is known.
    Queued(Option<String>),
    /// It waits on this disk while the project is served by another program's daemon, which this names.
    Foreign(String),
    /// Nothing of this clone goes out.
    Kept,
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            State::Sent => "sent",
            State::Queued(_) | State::Foreign(_) => "queued",
            State::Kept => "kept",
        }
    }

    /// Waits a moment for the push, which follows at once where all is well.
    fn of(client: &Client, at: &Workspace, murmur: &Murmur, told: bool) -> State {
        if at.read_only {
            return State::Kept;
        }
        if !told {
            return State::Queued(Some("the daemon is not running".into()));
        }
        let path = murmur.path();
        if wait_until(SENT_WAIT, || is_at_remote(&at.path, &path)) {
            return State::Sent;
        }
        let Ok(status) = client.status() else { return State::Queued(None) };
        // An older one of the Go program drops the message: then it goes out with our daemon.
        if let Some(who) = foreign::who_else(&status) {
            return State::Foreign(format!("another daemon serves this project, {who}"));
        }
        let mut clones = status.workspaces.into_values().flatten();
        let clone = clones.find(|clone| Path::new(&clone.path) == at.path);
        State::Queued(clone.map(|clone| clone.last_error).filter(|error| !error.is_empty()))
    }
}

/// Whether the remote's branch has a file, as far as the clone knows.
fn is_at_remote(clone: &Path, path: &str) -> bool {
    let look = || {
        let reader = Reader::open(clone)?;
        let branch = reader.head()?.branch.unwrap_or_default();
        let name = branch.strip_prefix("refs/heads/").unwrap_or(&branch);
        match reader.target(&format!("refs/remotes/origin/{name}"))? {
            Some(commit) => reader.has_path(commit, path),
            None => Ok(false),
        }
    };
    look().unwrap_or_else(|e: GitError| {
        log::debug!("{}: {e}", clone.display());
        false
    })
}

/// Puts together what flags and a JSON text say; flags win.
fn said(args: &Publish) -> Outcome<Said> {
    let wrong = |what: &str| Failure::new(Exit::Usage, what).hint("ox murmur --help");
    let mut text = args.content.as_deref().unwrap_or_default().trim();
    let mut piped = String::new();
    if text == "-" {
        let room = u64::try_from(SENT_MAX + 1).unwrap_or(u64::MAX);
        std::io::stdin()
            .lock()
            .take(room)
            .read_to_string(&mut piped)
            .map_err(|e| wrong("the text cannot be read").because(&e))?;
        text = piped.trim();
    }
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
        return Err(wrong("the murmur is empty"));
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

/// The files as they are told: below the repository, whoever says them from where.
fn files_below(root: &Path, files: &str) -> Outcome<String> {
    let below = |word: &str| {
        let path = Path::new(word.trim());
        let path = if path.is_absolute() { path.strip_prefix(root).ok()? } else { path };
        let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        plain.then(|| path.to_string_lossy().into_owned())
    };
    let one = |word: &str| {
        below(word).ok_or_else(|| {
            let failure = Failure::new(Exit::Usage, "the file is not in this repository").on(word.trim());
            failure.hint("ox murmur --help")
        })
    };
    let all: Outcome<Vec<String>> =
        files.split(',').filter(|word| !word.trim().is_empty()).map(one).collect();
    Ok(all?.join(","))
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
                .because_of(format!("at most one murmur every {} s; try again in {seconds} s", GAP.as_secs()))
                .hint("ox murmur status"))
        }
    }
}

/// Short name of whom the command works for: of the login, else as git and the names of instances have it, else of the account.
fn principal(cx: &Cx, project: &Project) -> String {
    let logins = Logins::load(&cx.dirs, &project.endpoint).ok();
    let login = logins.as_ref().and_then(|all| all.get(&project.endpoint)).map(|login| &login.user_info);
    let named = login.map(|user| if user.email.is_empty() { user.name.clone() } else { user.email.clone() });
    let of_git = || Some(user_slug(&Reader::open(&project.root).ok()?.user_name()?));
    let name = named.filter(|n| !n.is_empty()).or_else(of_git);
    let name = name.or_else(|| cx.env.get("USER").map(str::to_owned));
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
        check("  ", "is empty");
        check("{}", "is empty");
        check("{\"content\":", "not valid JSON");
        check(r#"{"content":"x","importance":"huge"}"#, "is unknown");
        check(&"x".repeat(SENT_MAX + 1), "501 bytes, at most 500");
    }
}
