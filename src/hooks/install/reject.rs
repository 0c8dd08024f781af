//! What makes a program read nothing of a file of hooks, as seen when it was run (agents-observed, "Files"). Pure.

use super::json::{Child, Doc, Node, Value};
use crate::harness::hooks::Form;

/// Types of handlers that codex 0.171.0 knows; any other makes it reject the file.
const TYPES: &[&str] = &["command", "mcp_tool", "prompt", "agent"];

/// The events that it knows; what stands at another one is not read.
const EVENTS: &[&str] = &[
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PermissionRequest",
    "PreModelRequest",
    "PostModelRequest",
    "PreCompact",
    "PostCompact",
    "SubagentStart",
    "SubagentStop",
    "Stop",
    "Interrupt",
];

/// What a value has to be.
#[derive(Clone, Copy)]
enum Type {
    Text,
    /// Not below zero.
    Integer,
    Bool,
}

/// The keys of a handler whose values have to be of a type, or null.
const KEYS: &[(&str, Type)] = &[
    ("command", Type::Text),
    ("commandWindows", Type::Text),
    ("statusMessage", Type::Text),
    ("timeout", Type::Integer),
    ("additionalContextLimit", Type::Integer),
    ("async", Type::Bool),
];

/// Why the program reads nothing of the file; `None` if it does.
pub(super) fn reason(doc: &Doc<'_>, form: Form) -> Option<String> {
    let Form::Settings { only_keys, comments, strict_values } = form else { return None };
    if let Some(comment) = doc.comments.first().filter(|_| !comments) {
        return Some(format!("it has a comment (line {})", doc.line(comment.start)));
    }
    let root = doc.root.object()?;
    let is_known = |child: &&Child| child.key == "hooks" || only_keys.contains(&child.key.as_str());
    if let Some(other) = root.children.iter().find(|child| !only_keys.is_empty() && !is_known(child)) {
        return Some(format!("it has the key {:?} (line {})", other.key, doc.line(other.start)));
    }
    if !strict_values {
        return None;
    }
    for child in root.children.iter().filter(|child| child.key != "hooks") {
        if child.node.text().is_none() && !is_null(doc, &child.node) {
            return Some(wrong(doc, child, "a text"));
        }
    }
    let events = doc.root.member("hooks")?.node.object()?;
    events.children.iter().filter(|event| EVENTS.contains(&event.key.as_str())).find_map(|event| {
        let groups = event.node.array()?;
        groups.children.iter().find_map(|group| wrong_group(doc, group))
    })
}

fn wrong_group(doc: &Doc<'_>, group: &Child) -> Option<String> {
    if group.node.object().is_none() {
        return Some(wrong(doc, group, "an object"));
    }
    if let Some(matcher) = group.node.member("matcher")
        && matcher.node.text().is_none()
        && !is_null(doc, &matcher.node)
    {
        return Some(wrong(doc, matcher, "a text"));
    }
    let handlers = group.node.member("hooks")?;
    let Some(inside) = handlers.node.array() else { return Some(wrong(doc, handlers, "a list")) };
    inside.children.iter().find_map(|handler| wrong_handler(doc, handler))
}

fn wrong_handler(doc: &Doc<'_>, handler: &Child) -> Option<String> {
    if handler.node.object().is_none() {
        return Some(wrong(doc, handler, "an object"));
    }
    let kind = handler.node.member("type").and_then(|kind| kind.node.text());
    match kind {
        Some(kind) if TYPES.contains(&kind) => {}
        Some(kind) => {
            return Some(format!("it has a handler of type {kind:?} (line {})", doc.line(handler.start)));
        }
        None => return Some(format!("it has a handler without a type (line {})", doc.line(handler.start))),
    }
    if kind == Some("command") && handler.node.member("command").is_none() {
        return Some(format!("it has a handler without a command (line {})", doc.line(handler.start)));
    }
    KEYS.iter().find_map(|(key, kind)| {
        let child = handler.node.member(key)?;
        let text = &doc.text[child.node.span.clone()];
        let (is_right, name) = match kind {
            Type::Text => (child.node.text().is_some(), "a text"),
            Type::Integer => (text.parse::<u64>().is_ok(), "a whole number"),
            Type::Bool => (text == "true" || text == "false", "true or false"),
        };
        let may_be_null = *key != "command" && is_null(doc, &child.node);
        (!is_right && !may_be_null).then(|| wrong(doc, child, name))
    })
}

fn is_null(doc: &Doc<'_>, node: &Node) -> bool {
    node.value == Value::Word && &doc.text[node.span.clone()] == "null"
}

fn wrong(doc: &Doc<'_>, child: &Child, right: &str) -> String {
    let name = if child.key.is_empty() { "an entry" } else { child.key.as_str() };
    format!("{name} is not {right} (line {})", doc.line(child.start))
}
