//! The change of an agent's settings file, from its bytes to its bytes: our handlers in, repaired, or out; all else as it was. Pure.
//!
//! What is ours is told by the command alone. A handler of ours is put behind all others, because codex keeps trust by position: what is put
//! before a foreign handler would switch that one off. A group goes only when what was taken out of it was all it had.

use serde_json::{Value as Json, json};

use super::change::{Edit, Emptied, Layout, Style, append, applied, is_same_but_blanks, take_out};
use super::command;
use super::json::{Child, Doc, Inside, Node, Value};
use super::reject;
use crate::harness::hooks::Hooks;

/// A handler that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The program's name of the event.
    pub(super) event: &'static str,
    pub(super) matcher: Option<&'static str>,
    /// In the program's unit.
    pub(super) timeout: u32,
    pub(super) command: String,
}

/// Why a file is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its program makes nothing of it, so nothing in it runs.
    Rejected(String),
    /// It is not what such a file looks like.
    Unclear(String),
}

impl Refusal {
    /// Why, in words.
    pub fn why(&self) -> &str {
        match self {
            Refusal::Rejected(why) | Refusal::Unclear(why) => why,
        }
    }
}

/// A file as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edited {
    /// Its text.
    pub(super) text: String,
    /// Handlers that are new.
    pub(super) installed: usize,
    /// Handlers that were put right.
    pub(super) repaired: usize,
    /// Handlers that are gone.
    pub(super) removed: usize,
    /// What held nothing before something was put in.
    pub(super) emptied: Emptied,
    /// Events at which handlers of others stand elsewhere than before, by number.
    pub(super) shifted: Vec<String>,
}

/// Has the file of a program hold all that is wanted, once each, and nothing of ours besides.
///
/// # Errors
/// `Refusal`.
pub(super) fn install(text: &str, hooks: &Hooks, wanted: &[Wanted]) -> Result<Edited, Refusal> {
    if text.trim().is_empty() {
        return Ok(fresh(text, wanted));
    }
    let doc = read(text)?;
    if let Some(why) = reject::reason(&doc, hooks.form) {
        return Err(Refusal::Rejected(why));
    }
    shape(&doc, hooks)?;
    let (cleaned, mut edited) = clean(&doc, hooks.word, wanted, &Emptied::new());
    let doc = read(&cleaned)?;
    let missing = missing(&doc, hooks.word, wanted);
    edited.installed = missing.len();
    edited.text = put(&doc, &missing, &mut edited.emptied);
    proven(text, edited, hooks.word)
}

/// Takes all that is ours out of the file of a program; what was empty before comes back as it was.
///
/// # Errors
/// `Refusal`: it cannot be read.
pub(super) fn uninstall(text: &str, hooks: &Hooks, was: &Emptied) -> Result<Edited, Refusal> {
    let unchanged = || Edited { text: text.to_owned(), ..Edited::default() };
    if text.trim().is_empty() {
        return Ok(unchanged());
    }
    let doc = match read(text) {
        Ok(doc) => doc,
        // Nothing in it looks like ours: then its state is none of our business.
        Err(_) if !text.contains(&format!("hook {}", hooks.word)) => return Ok(unchanged()),
        Err(refusal) => return Err(refusal),
    };
    let (cleaned, mut edited) = clean(&doc, hooks.word, &[], was);
    edited.text = match was.get("").filter(|was| was.trim().is_empty()) {
        Some(was) if read(&cleaned)?.root.object().is_some_and(|root| root.children.is_empty()) => {
            was.clone()
        }
        _ => cleaned,
    };
    if edited.text.trim().is_empty() {
        return Ok(edited);
    }
    proven(text, edited, hooks.word)
}

fn read(text: &str) -> Result<Doc<'_>, Refusal> {
    Doc::read(text).map_err(Refusal::Rejected)
}

/// A file that held nothing.
fn fresh(text: &str, wanted: &[Wanted]) -> Edited {
    let mut events = serde_json::Map::new();
    for one in wanted {
        events.insert(one.event.to_owned(), json!([group(one)]));
    }
    let text_now = format!("{:#}\n", json!({ "hooks": events }));
    let emptied = Emptied::from([(String::new(), text.to_owned())]);
    Edited { text: text_now, installed: wanted.len(), emptied, ..Edited::default() }
}

fn group(wanted: &Wanted) -> Json {
    let handler = json!({ "type": "command", "command": wanted.command, "timeout": wanted.timeout });
    match wanted.matcher {
        Some(matcher) => json!({ "matcher": matcher, "hooks": [handler] }),
        None => json!({ "hooks": [handler] }),
    }
}

/// Refuses what is not an object of objects of lists.
pub(super) fn shape(doc: &Doc<'_>, hooks: &Hooks) -> Result<(), Refusal> {
    let unclear = |what: String| Err(Refusal::Unclear(what));
    let Some(root) = doc.root.object() else { return unclear("it holds no object".to_owned()) };
    if root.children.iter().filter(|child| child.key == "hooks").count() > 1 {
        return unclear("the key hooks stands there twice".to_owned());
    }
    let Some(all) = doc.root.member("hooks") else { return Ok(()) };
    let Some(events) = all.node.object() else {
        return unclear(format!("hooks is no object (line {})", doc.line(all.start)));
    };
    if let Some(key) = events.doubled() {
        return unclear(format!("the key hooks.{key} stands there twice"));
    }
    for event in &events.children {
        let is_asked = hooks.events.iter().any(|wanted| wanted.name == event.key);
        if is_asked && event.node.array().is_none() && !is_flat_of_go(&event.node) {
            return unclear(format!("hooks.{} is no list (line {})", event.key, doc.line(event.start)));
        }
    }
    Ok(())
}

/// What version 0.3.0 of the Go program wrote: one handler without a list around it.
fn is_flat_of_go(node: &Node) -> bool {
    let command = node.member("command").and_then(|child| child.node.text());
    command.is_some_and(command::is_of_go)
}

/// Whether a handler, or an old entry that is one, is ours.
fn is_ours(node: &Node, word: &str) -> bool {
    node.member("command")
        .and_then(|child| child.node.text())
        .is_some_and(|text| command::is_ours(text, word))
}

/// The handlers of a group.
fn handlers(group: &Node) -> Option<&Inside> {
    group.member("hooks")?.node.array()
}

/// The events of a file, each a list of groups.
fn events<'d>(doc: &'d Doc<'_>) -> Vec<(&'d Child, &'d Inside)> {
    let hooks = doc.root.member("hooks").and_then(|hooks| hooks.node.object());
    let events = hooks.into_iter().flat_map(|hooks| &hooks.children);
    events.filter_map(|event| Some((event, event.node.array()?))).collect()
}

/// Where a handler of ours stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) event: String,
    pub(super) group: usize,
    pub(super) handler: usize,
    pub(super) command: String,
}

/// All of ours that stand where their program looks for them.
pub(super) fn found(doc: &Doc<'_>, word: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for (event, groups) in events(doc) {
        for (group, node) in groups.children.iter().enumerate() {
            let handlers =
                handlers(&node.node).into_iter().flat_map(|inside| inside.children.iter().enumerate());
            for (handler, child) in handlers.filter(|(_, child)| is_ours(&child.node, word)) {
                let command = child.node.member("command").and_then(|c| c.node.text()).unwrap_or_default();
                found.push(Found { event: event.key.clone(), group, handler, command: command.to_owned() });
            }
        }
    }
    found
}

/// The text with what is wanted put right, and without what of ours is not: at other events, a second time, in an old form.
fn clean(doc: &Doc<'_>, word: &str, wanted: &[Wanted], was: &Emptied) -> (String, Edited) {
    let (mut edits, mut edited) = (Vec::new(), Edited::default());
    let Some(hooks) = doc.root.member("hooks").filter(|hooks| hooks.node.object().is_some()) else {
        return (doc.text.to_owned(), edited);
    };
    let all = hooks.node.object().map(|all| all.children.as_slice()).unwrap_or_default();
    // Which events go as a whole.
    let mut gone = Vec::new();
    for (n, event) in all.iter().enumerate() {
        let asked = wanted.iter().find(|one| one.event == event.key);
        let Some(groups) = event.node.array() else {
            if let Some(one) = asked.filter(|_| is_flat_of_go(&event.node)) {
                let style = Style::of(doc);
                let outer = Layout::of_file(doc, &style);
                let outer = Layout::of(doc, &style, &doc.root, &outer);
                let outer = Layout::of(doc, &style, &hooks.node, &outer);
                let text = style.render(&json!([group(one)]), &outer);
                edits.push(Edit { span: event.node.span.clone(), text });
                edited.repaired += 1;
            }
            continue;
        };
        let path = format!("hooks/{}", event.key);
        let mut kept = false;
        let mut whole = vec![false; groups.children.len()];
        let mut shifts = false;
        for (g, group) in groups.children.iter().enumerate() {
            if is_ours(&group.node, word) {
                (whole[g], edited.removed) = (true, edited.removed + 1);
                continue;
            }
            let Some(handlers) = handlers(&group.node) else { continue };
            let mut goes = vec![false; handlers.children.len()];
            for (h, handler) in handlers.children.iter().enumerate() {
                if !is_ours(&handler.node, word) {
                    continue;
                }
                match asked {
                    Some(one) if !kept => {
                        let repairs = repair(doc, &handler.node, one);
                        edited.repaired += usize::from(!repairs.is_empty());
                        edits.extend(repairs);
                        kept = true;
                    }
                    _ => (goes[h], edited.removed) = (true, edited.removed + 1),
                }
            }
            match goes.iter().all(|goes| *goes) && !goes.is_empty() {
                true => whole[g] = true,
                false => {
                    edits.extend(take_out(doc, handlers, &|h| goes[h]));
                    shifts |= is_shifted(&goes);
                }
            }
        }
        shifts |= is_shifted(&whole);
        if shifts {
            edited.shifted.push(event.key.clone());
        }
        if whole.is_empty() || whole.iter().any(|goes| !*goes) {
            edits.extend(take_out(doc, groups, &|g| whole[g]));
            continue;
        }
        match emptied(doc, &event.node, groups, &whole, was.get(&path)) {
            Some(back) => edits.extend(back),
            // A comment between the key and its list is nobody's of ours.
            None if doc.has_comment(&(event.start..event.node.span.start)) => {
                edits.extend(take_out(doc, groups, &|_| true));
            }
            None => gone.push(n),
        }
    }
    edits.extend(without_events(doc, hooks, all, &gone, was));
    (applied(doc.text, edits), edited)
}

/// Whether something that stays stands behind something that goes.
fn is_shifted(goes: &[bool]) -> bool {
    goes.iter().skip_while(|goes| !**goes).any(|goes| !*goes)
}

/// What a value that loses all its children becomes, if it is not to go with them: what it was, or what its comments leave of it.
fn emptied(
    doc: &Doc<'_>,
    node: &Node,
    inside: &Inside,
    goes: &[bool],
    was: Option<&String>,
) -> Option<Vec<Edit>> {
    let edits = take_out(doc, inside, &|n| goes[n]);
    let span = node.span.clone();
    let relative = edits.iter().map(|edit| Edit {
        span: edit.span.start - span.start..edit.span.end - span.start,
        text: edit.text.clone(),
    });
    let left = applied(&doc.text[span.clone()], relative.collect());
    if let Some(was) = was.filter(|was| is_same_but_blanks(&left, was)) {
        return Some(vec![Edit { span, text: was.clone() }]);
    }
    let holds_comments = left.len() > 2 && !left[1..left.len() - 1].trim().is_empty();
    holds_comments.then_some(edits)
}

/// Takes whole events out; with the last one `hooks`, unless that was there before.
fn without_events(doc: &Doc<'_>, hooks: &Child, all: &[Child], gone: &[usize], was: &Emptied) -> Vec<Edit> {
    let Some(inside) = hooks.node.object().filter(|_| !gone.is_empty()) else { return Vec::new() };
    let goes: Vec<bool> = (0..all.len()).map(|n| gone.contains(&n)).collect();
    if !goes.iter().all(|goes| *goes) {
        return take_out(doc, inside, &|n| goes[n]);
    }
    match emptied(doc, &hooks.node, inside, &goes, was.get("hooks")) {
        Some(edits) => return edits,
        None if doc.has_comment(&(hooks.start..hooks.node.span.start)) => {
            return take_out(doc, inside, &|_| true);
        }
        None => {}
    }
    let Some(root) = doc.root.object() else { return Vec::new() };
    let goes: Vec<bool> = root.children.iter().map(|child| child.start == hooks.start).collect();
    if goes.iter().any(|goes| !*goes) {
        return take_out(doc, root, &|n| goes[n]);
    }
    let bare = || vec![Edit { span: doc.root.span.clone(), text: "{}".to_owned() }];
    emptied(doc, &doc.root, root, &goes, was.get("")).unwrap_or_else(bare)
}

/// What puts a handler of ours right. What else stands in it stays, and so does the matcher of its group.
fn repair(doc: &Doc<'_>, handler: &Node, wanted: &Wanted) -> Vec<Edit> {
    let (mut edits, mut missing) = (Vec::new(), Vec::new());
    let style = Style::of(doc);
    let values =
        [("type", json!("command")), ("command", json!(wanted.command)), ("timeout", json!(wanted.timeout))];
    for (key, value) in values {
        match handler.member(key) {
            Some(child) if is_value(doc, &child.node, &value) => {}
            Some(child) => edits.push(Edit { span: child.node.span.clone(), text: value.to_string() }),
            None => missing.push((key, value)),
        }
    }
    if !missing.is_empty() {
        let layout = Layout::of(doc, &style, handler, &Layout::Line);
        let texts: Vec<String> =
            missing.iter().map(|(key, value)| style.member(key, value, &layout)).collect();
        edits.extend(append(doc, &style, handler, &Layout::Line, &texts));
    }
    edits
}

fn is_value(doc: &Doc<'_>, node: &Node, value: &Json) -> bool {
    match &node.value {
        Value::Text(text) => value.as_str() == Some(text),
        _ => doc.text.get(node.span.clone()) == Some(value.to_string().as_str()),
    }
}

/// What is wanted and not there.
fn missing<'w>(doc: &Doc<'_>, word: &str, wanted: &'w [Wanted]) -> Vec<&'w Wanted> {
    let there = found(doc, word);
    wanted.iter().filter(|one| !there.iter().any(|found| found.event == one.event)).collect()
}

/// Puts groups behind all that is there, and says what was empty before.
fn put(doc: &Doc<'_>, missing: &[&Wanted], emptied: &mut Emptied) -> String {
    if missing.is_empty() {
        return doc.text.to_owned();
    }
    let style = Style::of(doc);
    let file = Layout::of_file(doc, &style);
    let outer = Layout::of(doc, &style, &doc.root, &file);
    let mut note = |path: String, node: &Node| {
        if node.inside().is_some_and(|inside| inside.children.is_empty()) {
            emptied.insert(path, doc.text[node.span.clone()].to_owned());
        }
    };
    let Some(hooks) = doc.root.member("hooks") else {
        note(String::new(), &doc.root);
        let mut all = serde_json::Map::new();
        for one in missing {
            all.insert(one.event.to_owned(), json!([group(one)]));
        }
        let text = style.member("hooks", &Json::Object(all), &outer);
        return applied(doc.text, append(doc, &style, &doc.root, &file, &[text]));
    };
    let layout = Layout::of(doc, &style, &hooks.node, &outer);
    let (mut edits, mut members) = (Vec::new(), Vec::new());
    for one in missing {
        match hooks.node.member(one.event) {
            Some(event) => {
                note(format!("hooks/{}", one.event), &event.node);
                let inner = Layout::of(doc, &style, &event.node, &layout);
                let text = style.render(&group(one), &inner);
                edits.extend(append(doc, &style, &event.node, &layout, &[text]));
            }
            None => members.push(style.member(one.event, &json!([group(one)]), &layout)),
        }
    }
    if !members.is_empty() {
        note("hooks".to_owned(), &hooks.node);
        edits.extend(append(doc, &style, &hooks.node, &outer, &members));
    }
    applied(doc.text, edits)
}

/// The edit, if what is not ours says the same as before.
fn proven(before: &str, edited: Edited, word: &str) -> Result<Edited, Refusal> {
    let others = |text: &str| Doc::read(text).map(|doc| (foreign(&doc, word), comments(&doc, word)));
    match (others(before), others(&edited.text)) {
        (Ok(before), Ok(after)) if before == after => Ok(edited),
        _ => Err(Refusal::Unclear("its layout does not allow the change".to_owned())),
    }
}

/// The comments of a file but those in what is ours.
fn comments(doc: &Doc<'_>, word: &str) -> Vec<String> {
    let mut ours = Vec::new();
    for group in events(doc).into_iter().flat_map(|(_, groups)| &groups.children) {
        if foreign_group(doc, &group.node, word).is_none() {
            ours.push(group.node.span.clone());
        }
        let handlers = handlers(&group.node).into_iter().flat_map(|handlers| &handlers.children);
        ours.extend(handlers.filter(|h| is_ours(&h.node, word)).map(|h| h.node.span.clone()));
    }
    let is_ours = |at: usize| ours.iter().any(|span| span.contains(&at));
    let others = doc.comments.iter().filter(|span| !is_ours(span.start));
    others.map(|span| doc.text[span.clone()].to_owned()).collect()
}

/// All tokens of a file but ours, in order; what holds nothing, or nothing else, does not count below `hooks`.
fn foreign(doc: &Doc<'_>, word: &str) -> String {
    let mut out = String::new();
    for child in doc.root.inside().into_iter().flat_map(|root| &root.children) {
        let key = &doc.text[child.start..child.node.span.start];
        match child.key.as_str() {
            "hooks" if child.node.object().is_some() => {
                let mut inner = String::new();
                for event in child.node.object().into_iter().flat_map(|events| &events.children) {
                    let groups = match event.node.array() {
                        Some(groups) => {
                            groups.children.iter().filter_map(|g| foreign_group(doc, &g.node, word))
                        }
                        None if is_flat_of_go(&event.node) => continue,
                        None => {
                            inner.push_str(&format!("{:?}{}", event.key, solid(doc, &event.node)));
                            continue;
                        }
                    };
                    let groups: String = groups.collect();
                    if !groups.is_empty() {
                        inner.push_str(&format!("{:?}{groups}", event.key));
                    }
                }
                out.push_str(&inner);
            }
            _ => out.push_str(&format!("{}{}", key.trim(), solid(doc, &child.node))),
        }
    }
    out
}

/// A group without ours; `None` if it has nothing else.
fn foreign_group(doc: &Doc<'_>, group: &Node, word: &str) -> Option<String> {
    if is_ours(group, word) {
        return None;
    }
    let Some(list) = handlers(group) else { return Some(solid(doc, group)) };
    let others: Vec<String> =
        list.children.iter().filter(|h| !is_ours(&h.node, word)).map(|h| solid(doc, &h.node)).collect();
    if others.is_empty() && !list.children.is_empty() {
        return None;
    }
    let members = group.object().into_iter().flat_map(|members| &members.children);
    let rest: String = members
        .filter(|member| member.key != "hooks")
        .map(|member| format!("{:?}{}", member.key, solid(doc, &member.node)))
        .collect();
    Some(format!("<{rest}{}>", others.join(",")))
}

/// A value's tokens.
fn solid(doc: &Doc<'_>, node: &Node) -> String {
    match node.inside() {
        None => doc.text[node.span.clone()].to_owned(),
        Some(inside) => {
            let children = inside.children.iter().map(|c| format!("{:?}{}", c.key, solid(doc, &c.node)));
            format!("[{}]", children.collect::<Vec<_>>().join(","))
        }
    }
}
