//! What an event makes of its session and its agent. Any order is taken: a prompt before a start, two starts, no start, no end. Pure.

use super::super::happening::{Happening, Source};
use super::super::identity::is_end_of_tool;

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub repo_id: Option<String>,
    pub model: Option<String>,
    pub permission_mode: Option<String>,
    pub status: String,
    pub awaiting_since: Option<i64>,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    pub ended_ms: Option<i64>,
    pub changed_ms: i64,
    pub hook_seen_ms: Option<i64>,
    pub sources: i64,
}

/// What is known of an agent of a session: the main one, or a sub-agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub agent_type: Option<String>,
    pub parent_id: Option<String>,
    pub status: String,
    pub current_tool: Option<String>,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    pub changed_ms: i64,
}

impl Session {
    pub(super) fn new(at_ms: i64) -> Session {
        Session {
            repo_id: None,
            model: None,
            permission_mode: None,
            status: "active".to_owned(),
            awaiting_since: None,
            first_seen_ms: at_ms,
            last_seen_ms: at_ms,
            ended_ms: None,
            changed_ms: i64::MIN,
            hook_seen_ms: None,
            sources: 0,
        }
    }
}

impl Agent {
    pub(super) fn new(at_ms: i64) -> Agent {
        Agent {
            agent_type: None,
            parent_id: None,
            status: "working".to_owned(),
            current_tool: None,
            first_seen_ms: at_ms,
            last_seen_ms: at_ms,
            changed_ms: i64::MIN,
        }
    }
}

/// Where an event leaves who it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Working,
    Waiting,
    Completed,
    Failed,
    /// As it was.
    Same,
}

fn now(event: &str) -> Now {
    match event {
        "UserPromptSubmit" | "PreToolUse" | "SubagentStart" => Now::Working,
        "SessionStart" | "Stop" | "Interrupt" | "PermissionRequest" | "Notification" => Now::Waiting,
        "SessionEnd" | "SubagentStop" => Now::Completed,
        "StopFailure" => Now::Failed,
        _ => Now::Same,
    }
}

/// Whether an event shows that a session goes on which had ended.
fn revives(event: &str, status: &str) -> bool {
    match event {
        "SessionStart" | "UserPromptSubmit" => true,
        "PreToolUse" | "Stop" | "PermissionRequest" => status != "error",
        event => is_end_of_tool(event) && status != "error",
    }
}

/// What is known from whoever tells, whatever happened: gaps are filled, and what a session changes in its course is the newest.
pub(super) fn note(h: &Happening, session: &mut Session, agent: &mut Agent) {
    fill(&mut session.repo_id, &h.repo_id);
    fill(&mut agent.agent_type, &h.agent_type);
    fill(&mut agent.parent_id, &h.parent_id);
    // A sub-agent may run another model, and with other rights.
    if h.agent_id.is_empty() {
        let is_newest = h.at_ms >= session.last_seen_ms;
        for (known, told) in
            [(&mut session.model, &h.model), (&mut session.permission_mode, &h.permission_mode)]
        {
            if is_newest && !told.is_empty() {
                *known = Some(told.clone());
            }
            fill(known, told);
        }
    }
    session.first_seen_ms = session.first_seen_ms.min(h.at_ms);
    session.last_seen_ms = session.last_seen_ms.max(h.at_ms);
    agent.first_seen_ms = agent.first_seen_ms.min(h.at_ms);
    agent.last_seen_ms = agent.last_seen_ms.max(h.at_ms);
    session.sources |= h.source.bit();
    if h.source == Source::Hook {
        session.hook_seen_ms = session.hook_seen_ms.max(Some(h.at_ms));
    }
}

fn fill(known: &mut Option<String>, told: &str) {
    if known.is_none() && !told.is_empty() {
        *known = Some(told.to_owned());
    }
}

/// What an event that was not known changes. What happened before that which is known changes nothing.
pub(super) fn apply(h: &Happening, session: &mut Session, agent: &mut Agent) {
    let is_main = h.agent_id.is_empty();
    let now = now(&h.event);
    if h.at_ms >= agent.changed_ms && (now != Now::Same || is_end_of_tool(&h.event)) {
        agent.changed_ms = h.at_ms;
        agent.current_tool =
            (h.event == "PreToolUse").then(|| h.tool_name.clone()).filter(|tool| !tool.is_empty());
        let status = match now {
            Now::Working => "working",
            Now::Waiting => "waiting",
            Now::Completed => "completed",
            Now::Failed => "error",
            // It was allowed.
            Now::Same if agent.status == "waiting" => "working",
            Now::Same => &agent.status,
        };
        agent.status = status.to_owned();
    }
    // What a sub-agent does shows that its session goes on, and nothing else of it.
    if h.at_ms < session.changed_ms || !(is_main || revives(&h.event, &session.status)) {
        return;
    }
    if session.status != "active" && revives(&h.event, &session.status) {
        session.status = "active".to_owned();
        session.ended_ms = None;
        session.changed_ms = h.at_ms;
    }
    if !is_main {
        return;
    }
    match &*h.event {
        "SessionEnd" => {
            session.status = "completed".to_owned();
            session.ended_ms = Some(h.at_ms);
        }
        "StopFailure" => session.status = "error".to_owned(),
        _ => {}
    }
    session.awaiting_since = match now {
        Now::Waiting => Some(h.at_ms),
        Now::Working | Now::Completed | Now::Failed => None,
        Now::Same if is_end_of_tool(&h.event) => None,
        Now::Same => return,
    };
    session.changed_ms = h.at_ms;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seen {
        session: Session,
        main: Agent,
        sub: Agent,
    }

    fn after(events: &[(&str, &str, i64)]) -> Seen {
        let mut seen = Seen { session: Session::new(0), main: Agent::new(0), sub: Agent::new(0) };
        for (event, agent, at_ms) in events {
            let h = Happening {
                event: (*event).to_owned(),
                agent_id: (*agent).to_owned(),
                tool_name: "Bash".to_owned(),
                at_ms: *at_ms,
                ..Happening::default()
            };
            let who = if agent.is_empty() { &mut seen.main } else { &mut seen.sub };
            note(&h, &mut seen.session, who);
            apply(&h, &mut seen.session, who);
        }
        seen
    }

    #[test]
    fn rly_13_any_order_of_events_makes_a_state() {
        let check = |events: &[(&str, &str, i64)], status: &str, main: &str, awaiting: Option<i64>| {
            let seen = after(events);
            let found = (&*seen.session.status, &*seen.main.status, seen.session.awaiting_since);
            assert_eq!(found, (status, main, awaiting), "{events:?}");
        };
        // As codex has it: the prompt may come before the start.
        check(&[("UserPromptSubmit", "", 1), ("SessionStart", "", 0)], "active", "working", None);
        check(&[("SessionStart", "", 1), ("SessionStart", "", 2)], "active", "waiting", Some(2));
        // No start at all, and no end.
        check(&[("PreToolUse", "", 1)], "active", "working", None);
        check(&[("PreToolUse", "", 1), ("Stop", "", 2)], "active", "waiting", Some(2));
        // An end, what is told late of before it, and what goes on behind it.
        let ended = [("UserPromptSubmit", "", 1), ("SessionEnd", "", 5)];
        check(&ended, "completed", "completed", None);
        check(&[ended[0], ended[1], ("Stop", "", 4)], "completed", "completed", None);
        check(&[ended[0], ended[1], ("UserPromptSubmit", "", 6)], "active", "working", None);
        check(&[ended[0], ended[1], ("Notification", "", 6)], "completed", "waiting", Some(6));
        // One that failed is taken up by its user alone.
        let failed = ("StopFailure", "", 2);
        check(&[failed], "error", "error", None);
        check(&[failed, ("PostToolUse", "", 3)], "error", "error", None);
        check(&[failed, ("UserPromptSubmit", "", 3)], "active", "working", None);
        check(&[("PermissionRequest", "", 3), ("PostToolUse", "", 4)], "active", "working", None);
        check(&[("Interrupt", "", 3)], "active", "waiting", Some(3));
    }

    #[test]
    fn a_tool_runs_until_it_ends_and_a_sub_agent_is_one_of_its_own() {
        let seen = after(&[("PreToolUse", "", 1), ("PreToolUse", "a", 2)]);
        assert_eq!(
            (seen.main.current_tool.as_deref(), seen.sub.current_tool.as_deref()),
            (Some("Bash"), Some("Bash"))
        );
        let seen = after(&[("PreToolUse", "", 1), ("PreToolUse", "a", 2), ("PostToolUse", "", 3)]);
        assert_eq!((seen.main.current_tool, seen.sub.current_tool.as_deref()), (None, Some("Bash")));
        let seen = after(&[("Stop", "", 1), ("PreToolUse", "a", 2), ("SubagentStop", "a", 3)]);
        assert_eq!((&*seen.sub.status, seen.sub.current_tool), ("completed", None));
        assert_eq!((seen.session.awaiting_since, seen.session.last_seen_ms), (Some(1), 3));
        let seen = after(&[("SessionEnd", "", 1), ("PreToolUse", "a", 2)]);
        assert_eq!(&*seen.session.status, "active", "a sub-agent is still at work");
    }
}
