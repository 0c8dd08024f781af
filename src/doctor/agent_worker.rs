//! Can the agent be used that is to work in the background?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::agents::usable::{self, Usable};
use crate::project::settings::Settings;

pub(super) const CHECK: Check = Check {
    slug: "agent-worker",
    name: "background work",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    // A file that cannot be read is another check's.
    let (settings, _) = Settings::load(&cx.env, &cx.dirs, cx.project.found());
    let (config, errors) = settings.agent_worker();
    let looked = usable::look(&config, &cx.env, &cx.site.http);
    let effective = usable::resolve(&config, &looked.all);
    let told = looked.all.iter().map(line).chain(errors.iter().map(ToString::to_string));
    match effective.agent {
        None => {
            let step =
                looked.all.iter().find(|found| found.is_usable()).map_or("claude", |found| found.agent);
            let step = format!("next step, if it is wanted: ox config set agent_worker.agent {step}");
            Outcome::passed(format!("off: {}", effective.why)).detail(told).detail([step])
        }
        Some(agent) if effective.usable => {
            Outcome::passed(format!("on: {agent}, {}", effective.why)).detail(told)
        }
        Some(agent) => {
            let step = looked.of(agent).map_or_else(String::new, |found| next(agent, found));
            Outcome::warning(format!("on, but nothing is done: {agent} is {}", effective.why))
                .detail(told)
                .remedy(Remedy::Person(step))
        }
    }
}

/// One agent in a line.
fn line(found: &Usable) -> String {
    let place = match (&found.program, found.installed) {
        (Some(path), _) => format!("installed at {}", path.display()),
        (None, true) => "configured".to_owned(),
        (None, false) if found.agent == "chat" => "not configured".to_owned(),
        (None, false) => "not installed".to_owned(),
    };
    format!("{}: {place}; {}", found.agent, found.detail)
}

/// What makes the agent usable.
fn next(agent: &str, found: &Usable) -> String {
    match agent {
        "chat" => "see agent_worker.chat_url and chat_key_env: ox config list".to_owned(),
        _ if !found.installed => {
            format!("install {agent}, or name another: ox config set agent_worker.agent")
        }
        "claude" => "log in: run claude, then /login".to_owned(),
        "codex" => "log in: codex login".to_owned(),
        _ => "log in: run gemini, or set GEMINI_API_KEY where the daemon is started".to_owned(),
    }
}
