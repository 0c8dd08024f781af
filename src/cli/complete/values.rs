//! What the values of arguments may be, as the files of the project and of the machine say. Nothing is asked of anybody, nothing is written.

use crate::cli::commands::{daemon, events, murmur, rescue, session};
use crate::cli::context::Cx;
use crate::cli::global::Global;
use crate::cli::ui::{Options, Ui};
use crate::doctor::CHECKS;
use crate::harness::PROGRAMS;
use crate::project::Instance;
use crate::project::settings::{self, Kind, SETTINGS, Setting};
use crate::sync::{self, Site};
use crate::whispers::Importance;

/// Values, each with what it means in a line.
pub type Pairs = Vec<(String, String)>;
/// Lists the values of an argument.
pub type List = fn(&Cx) -> Pairs;

/// Topics that everybody may use, whether or not somebody has.
const TOPICS: [(&str, &str); 3] =
    [("wip", "what is being worked on"), ("ci", "builds and tests"), ("architecture", "a decision")];

/// Which command's argument has which values: its path below `ox`, the argument, the list. What has a row needs none in the command itself.
pub const VALUES: &[(&str, &str, List)] = &[
    ("sync", "team", teams),
    ("sync", "remove_team", teams),
    ("team remove", "team", teams),
    ("doctor", "fix_slug", slugs),
    ("config get", "key", all_settings),
    ("config set", "key", own_settings),
    ("config unset", "key", own_settings),
    ("rescue show", "id", rescue::ids),
    ("rescue restore", "id", rescue::ids),
    ("session view", "session", session::names),
    ("session export", "session", session::names),
    ("session remove", "session", session::names),
    ("session subagents", "session", session::names),
    ("session commits", "session", session::names),
    ("session archive restore", "transcript", session::archive::names),
    ("daemon errors", "mark", daemon::errors::codes),
    ("agent prime", "agent", agent_types),
    ("events list", "agent", events::programs),
    ("murmur", "agent_id", agents),
    ("murmur", "importance", importance),
    ("murmur", "topic", topics),
    ("murmur send", "agent_id", agents),
    ("murmur send", "importance", importance),
    ("murmur send", "topic", topics),
    ("murmur pause", "agent_id", agents),
    ("murmur resume", "agent_id", agents),
    ("murmur list", "agent_id", authors),
    ("murmur list", "only", topics),
    ("murmur list", "topic", topics),
    ("murmur delete", "id", murmurs),
];

/// What `list` has here; nothing where that cannot be told.
pub fn of(list: List) -> Pairs {
    let quiet = Options { quiet: true, no_interactive: true, ..Options::default() };
    Cx::new(Ui::new(quiet), &Global::default(), None).map_or_else(|_| Vec::new(), |cx| list(&cx))
}

/// The agents that have introduced themselves in the project, the newest first.
pub fn agents(cx: &Cx) -> Pairs {
    let Ok(project) = cx.project() else { return Vec::new() };
    let mut all: Vec<Instance> = Instance::all(&project.root).into_values().collect();
    all.sort_by_key(|agent| std::cmp::Reverse(agent.created_at.0));
    all.into_iter().map(|agent| (agent.agent_id, agent.agent_type)).collect()
}

/// The agents of the project, then the others that have murmured in the last hours.
fn authors(cx: &Cx) -> Pairs {
    let mut found = agents(cx);
    for murmur in murmur::recent(cx) {
        if !found.iter().any(|(id, _)| *id == murmur.agent_id) {
            found.push((murmur.agent_id, murmur.principal_id));
        }
    }
    found
}

/// The values that a setting may have, where it is one of a few.
pub fn of_setting(key: &str) -> Pairs {
    let words = match settings::find(key).map(|setting| setting.kind) {
        Ok(Kind::Bool) => &["true", "false"][..],
        Ok(Kind::Word(words)) => words,
        Ok(Kind::Duration { .. } | Kind::Number { .. } | Kind::Decimal { .. } | Kind::Text) | Err(_) => &[],
    };
    words.iter().map(|word| ((*word).to_owned(), String::new())).collect()
}

fn teams(cx: &Cx) -> Pairs {
    let Ok(project) = cx.project() else { return Vec::new() };
    let loaded = sync::load_local(&Site::new(cx.dirs.clone(), cx.env.clone()), &project);
    let teams = loaded.registry().teams();
    teams.iter().map(|team| (team.id.clone(), team.label().to_owned())).collect()
}

fn slugs(_: &Cx) -> Pairs {
    CHECKS.iter().map(|check| (check.slug.to_owned(), check.name.to_owned())).collect()
}

fn all_settings(_: &Cx) -> Pairs {
    SETTINGS.iter().map(setting).collect()
}

/// Those that `ox config set` changes.
fn own_settings(_: &Cx) -> Pairs {
    SETTINGS.iter().filter(|setting| setting.instead.is_none()).map(setting).collect()
}

fn setting(setting: &Setting) -> (String, String) {
    (setting.key.to_owned(), setting.doc.to_owned())
}

fn agent_types(_: &Cx) -> Pairs {
    PROGRAMS.iter().map(|program| (program.kind.to_owned(), String::new())).collect()
}

fn importance(_: &Cx) -> Pairs {
    Importance::ALL.iter().map(|importance| (importance.name().to_owned(), String::new())).collect()
}

fn murmurs(cx: &Cx) -> Pairs {
    let all = murmur::recent(cx).into_iter();
    all.map(|murmur| (murmur::short_id(&murmur.id).to_owned(), murmur.content)).collect()
}

/// The common topics, then those of the last hours.
fn topics(cx: &Cx) -> Pairs {
    let mut found: Pairs =
        TOPICS.iter().map(|(topic, doc)| ((*topic).to_owned(), (*doc).to_owned())).collect();
    for murmur in murmur::recent(cx) {
        if !found.iter().any(|(topic, _)| *topic == murmur.topic) {
            found.push((murmur.topic, String::new()));
        }
    }
    found
}
