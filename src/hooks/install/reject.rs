//! What makes a program read nothing of a file of hooks, as seen when it was run (agents-observed, "Files"). Pure.

use super::json::{BYTE_ORDER_MARK, Child, Doc, Node, Value};
use crate::harness::hooks::Form;

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
    Object,
}

/// A key of a handler.
struct Key {
    name: &'static str,
    value: Type,
    /// It has to be there.
    needed: bool,
    /// Null is taken for nothing.
    nullable: bool,
}

const fn needed(name: &'static str) -> Key {
    Key { name, value: Type::Text, needed: true, nullable: false }
}

const fn optional(name: &'static str, value: Type) -> Key {
    Key { name, value, needed: false, nullable: true }
}

/// The types of handlers that codex 0.171.0 knows, and those of their keys that it reads; any other type makes it reject the file.
const TYPES: &[(&str, &[Key])] = &[
    (
        "command",
        &[
            needed("command"),
            optional("commandWindows", Type::Text),
            optional("command_windows", Type::Text),
            optional("statusMessage", Type::Text),
            optional("timeout", Type::Integer),
            optional("additionalContextLimit", Type::Integer),
            Key { name: "async", value: Type::Bool, needed: false, nullable: false },
        ],
    ),
    (
        "mcp_tool",
        &[
            needed("server"),
            needed("tool"),
            optional("input", Type::Object),
            optional("statusMessage", Type::Text),
            optional("timeout", Type::Integer),
        ],
    ),
    ("prompt", &[]),
    ("agent", &[]),
];

/// Why the program reads nothing of the file; `None` if it does.
pub(super) fn reason(doc: &Doc<'_>, form: Form) -> Option<String> {
    let Form::Settings { only_keys, comments, strict_values } = form else { return None };
    if let Some(comment) = doc.comments.first().filter(|_| !comments) {
        return Some(format!("it has a comment (line {})", doc.line(comment.start)));
    }
    if strict_values && let Some(why) = wrong_text(doc) {
        return Some(why);
    }
    let root = doc.root.object()?;
    let is_known = |child: &&Child| child.key == "hooks" || only_keys.contains(&child.key.as_str());
    if let Some(other) = root.children.iter().find(|child| !only_keys.is_empty() && !is_known(child)) {
        return Some(format!("it has the key {:?} (line {})", other.key, doc.line(other.start)));
    }
    if !strict_values {
        return None;
    }
    if let Some(key) = root.doubled() {
        return Some(twice(key));
    }
    for child in root.children.iter().filter(|child| child.key != "hooks") {
        if child.node.text().is_none() && !is_null(doc, &child.node) {
            return Some(wrong(doc, child, "a text"));
        }
    }
    let hooks = doc.root.member("hooks")?;
    let Some(events) = hooks.node.object() else {
        // A list is read as no hooks at all.
        return hooks.node.array().is_none().then(|| wrong(doc, hooks, "an object"));
    };
    let is_known = |child: &&Child| EVENTS.contains(&child.key.as_str());
    let known: Vec<&Child> = events.children.iter().filter(is_known).collect();
    let doubled = |event: &&&Child| known.iter().filter(|other| other.key == event.key).count() > 1;
    if let Some(event) = known.iter().find(doubled) {
        return Some(twice(&format!("hooks.{}", event.key)));
    }
    known.iter().find_map(|event| match event.node.array() {
        Some(groups) => groups.children.iter().find_map(|group| wrong_group(doc, group)),
        None => Some(wrong(doc, event, "a list")),
    })
}

/// What the other programs read over.
fn wrong_text(doc: &Doc<'_>) -> Option<String> {
    if doc.text.starts_with(BYTE_ORDER_MARK) {
        return Some("it begins with a byte order mark".to_owned());
    }
    let is_text = serde_json::from_str::<serde_json::Value>(doc.text).is_ok();
    (!is_text).then(|| "a text in it is no Unicode".to_owned())
}

fn wrong_group(doc: &Doc<'_>, group: &Child) -> Option<String> {
    if group.node.object().is_none() {
        // A list is read as a group of nothing.
        return group.node.array().is_none().then(|| wrong(doc, group, "an object"));
    }
    if let Some(key) = ["matcher", "hooks"].into_iter().find(|key| is_twice(&group.node, key)) {
        return Some(twice(key));
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
    let line = doc.line(handler.start);
    if handler.node.object().is_none() {
        return Some(wrong(doc, handler, "an object"));
    }
    let Some(kind) = handler.node.member("type") else {
        return Some(format!("it has a handler without a type (line {line})"));
    };
    let Some(kind) = kind.node.text() else { return Some(wrong(doc, kind, "a text")) };
    let Some((_, keys)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        return Some(format!("it has a handler of type {kind:?} (line {line})"));
    };
    if let Some(key) =
        ["type"].into_iter().chain(keys.iter().map(|key| key.name)).find(|key| is_twice(&handler.node, key))
    {
        return Some(twice(key));
    }
    keys.iter().find_map(|key| {
        let Some(child) = handler.node.member(key.name) else {
            return key.needed.then(|| format!("it has a handler without a {} (line {line})", key.name));
        };
        let text = &doc.text[child.node.span.clone()];
        let (is_right, name) = match key.value {
            Type::Text => (child.node.text().is_some(), "a text"),
            Type::Integer => (text.parse::<u64>().is_ok(), "a whole number"),
            Type::Bool => (text == "true" || text == "false", "true or false"),
            Type::Object => (child.node.object().is_some(), "an object"),
        };
        let may_be_null = key.nullable && is_null(doc, &child.node);
        (!is_right && !may_be_null).then(|| wrong(doc, child, name))
    })
}

fn is_twice(node: &Node, key: &str) -> bool {
    node.object().is_some_and(|inside| inside.children.iter().filter(|child| child.key == key).count() > 1)
}

fn twice(key: &str) -> String {
    format!("the key {key} stands there twice")
}

fn is_null(doc: &Doc<'_>, node: &Node) -> bool {
    node.value == Value::Word && &doc.text[node.span.clone()] == "null"
}

fn wrong(doc: &Doc<'_>, child: &Child, right: &str) -> String {
    let name = if child.key.is_empty() { "an entry" } else { child.key.as_str() };
    format!("{name} is not {right} (line {})", doc.line(child.start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::hooks::CODEX;

    /// What codex 0.171.0 says of each, asked by its app server (`hooks/list`).
    #[test]
    fn a_file_counts_as_rejected_where_codex_rejects_it_and_nowhere_else() {
        let handler = |handler: &str| format!("{{\"hooks\":{{\"Stop\":[{{\"hooks\":[{handler}]}}]}}}}");
        let command = |rest: &str| handler(&format!("{{\"type\":\"command\",\"command\":\"x\",{rest}}}"));
        let tool = |rest: &str| {
            handler(&format!("{{\"type\":\"mcp_tool\",\"server\":\"s\",\"tool\":\"t\",{rest}}}"))
        };
        let taken = [
            "{}".to_owned(),
            "{\"description\":null}".to_owned(),
            "{\"hooks\":{\"Stop\":[{}]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[[]]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"matcher\":null,\"hooks\":[]}]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"q\":1,\"q\":2,\"hooks\":[]}]}}".to_owned(),
            "{\"hooks\":{\"Foo\":1,\"Foo\":2}}".to_owned(),
            handler("{\"type\":\"prompt\",\"timeout\":\"3\"}"),
            handler("{\"type\":\"agent\"}"),
            command(
                "\"timeout\":null,\"statusMessage\":null,\"commandWindows\":null,\"additionalContextLimit\":null",
            ),
            command("\"zzz\":[1],\"z\":1,\"z\":2,\"timeoutSec\":\"1\",\"status_message\":1,\"timeout\":0"),
            tool("\"async\":3,\"command\":3"),
        ];
        for text in taken {
            assert_eq!(reason(&Doc::read(&text).unwrap(), CODEX.form), None, "{text}");
        }
        let rejected = [
            "{\"description\":1}".to_owned(),
            "{\"description\":\"a\",\"description\":\"b\"}".to_owned(),
            "{\"description\":\"\\ud800\"}".to_owned(),
            "\u{feff}{}".to_owned(),
            "{\"x\":1}".to_owned(),
            "{\"hooks\":null}".to_owned(),
            "{\"hooks\":1}".to_owned(),
            "{\"hooks\":{},\"hooks\":{}}".to_owned(),
            "{\"hooks\":{\"Stop\":{}}}".to_owned(),
            "{\"hooks\":{\"Stop\":null}}".to_owned(),
            "{\"hooks\":{\"Stop\":[],\"Stop\":[]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[1]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[null]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"matcher\":1,\"hooks\":[]}]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"matcher\":\"a\",\"matcher\":\"b\",\"hooks\":[]}]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"hooks\":{}}]}}".to_owned(),
            "{\"hooks\":{\"Stop\":[{\"hooks\":null}]}}".to_owned(),
            handler("1"),
            handler("null"),
            handler("{\"command\":\"x\"}"),
            handler("{\"type\":null}"),
            handler("{\"type\":\"http\",\"url\":\"x\"}"),
            handler("{\"type\":\"command\"}"),
            handler("{\"type\":\"command\",\"command\":null}"),
            handler("{\"type\":\"command\",\"type\":\"command\",\"command\":\"x\"}"),
            handler("{\"type\":\"mcp_tool\"}"),
            handler("{\"type\":\"mcp_tool\",\"server\":\"s\"}"),
            tool("\"input\":1"),
            tool("\"timeout\":\"3\""),
            tool("\"statusMessage\":3"),
            command("\"timeout\":\"3\""),
            command("\"timeout\":-1"),
            command("\"timeout\":5.0"),
            command("\"timeout\":1e1"),
            command("\"timeout\":99999999999999999999"),
            command("\"timeout\":1,\"timeout\":2"),
            command("\"async\":1"),
            command("\"async\":null"),
            command("\"statusMessage\":1"),
            command("\"commandWindows\":1"),
            command("\"command_windows\":1"),
            command("\"additionalContextLimit\":\"1\""),
            command("\"additionalContextLimit\":-1"),
            command("\"z\":\"\\ud800\""),
        ];
        for text in rejected {
            assert!(reason(&Doc::read(&text).unwrap(), CODEX.form).is_some(), "{text}");
        }
    }
}
