//! Settings of every form that people and programs write: put in and taken out, nothing else changes.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::change::Emptied;
use super::command;
use super::edit::*;
use super::json::Doc;
use crate::harness::hooks::{CLAUDE, CODEX, GEMINI, Hooks};
use crate::kit::rng::Rng;

fn wanted(hooks: &'static Hooks) -> Vec<Wanted> {
    let link = Path::new("/home/dana/.sageox/bin/ox");
    let of = |event: &crate::harness::hooks::Event| Wanted {
        event: event.name,
        matcher: event.matcher,
        timeout: event.timeout,
        command: command::text(link, hooks.word, event.name).unwrap(),
    };
    hooks.events.iter().map(of).collect()
}

fn installed(text: &str, hooks: &'static Hooks) -> Edited {
    let edited = install(text, hooks, &wanted(hooks)).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let again = install(&edited.text, hooks, &wanted(hooks)).unwrap();
    assert_eq!(again.text, edited.text, "a second run changes something");
    assert_eq!((again.installed, again.repaired, again.removed), (0, 0, 0));
    edited
}

/// Puts in, takes out, and has the same bytes.
fn round(text: &str, hooks: &'static Hooks) -> String {
    let edited = installed(text, hooks);
    let back = uninstall(&edited.text, hooks, &edited.emptied).unwrap();
    assert_eq!(back.text, text, "after\n{}", edited.text);
    assert_eq!(back.removed, hooks.events.len());
    edited.text
}

#[test]
fn a_fresh_file_has_every_event_and_the_right_units() {
    let text = round("", &CODEX);
    let file: Json = serde_json::from_str(&text).unwrap();
    let events: Vec<&String> = file["hooks"].as_object().unwrap().keys().collect();
    assert_eq!(events, CODEX.events.iter().map(|e| e.name).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    let group = |event: &str| file["hooks"][event][0].clone();
    let handler = |event: &str, timeout: u32| {
        let command = format!(
            "[ -x \"/home/dana/.sageox/bin/ox\" ] && \"/home/dana/.sageox/bin/ox\" hook codex {event} || :"
        );
        json!({ "type": "command", "command": command, "timeout": timeout })
    };
    assert_eq!(group("Stop"), json!({ "hooks": [handler("Stop", 5)] }));
    assert_eq!(group("SessionEnd"), json!({ "hooks": [handler("SessionEnd", 3)] }));
    assert_eq!(group("PreToolUse"), json!({ "matcher": "*", "hooks": [handler("PreToolUse", 5)] }));
    assert_eq!(file.as_object().unwrap().len(), 1, "codex rejects a file with a key that it does not know");
    assert!(text.ends_with("}\n"));
    let gemini: Json = serde_json::from_str(&round(" \n", &GEMINI)).unwrap();
    assert_eq!(gemini["hooks"]["AfterAgent"][0]["hooks"][0]["timeout"], 5000);
    assert!(!text.contains("async"));
}

#[test]
fn rly_14_what_stands_there_stays_byte_for_byte() {
    let foreign = r#"{"matcher":"Bash","hooks":[{"type":"command","command":"lint \u0041","timeout":60}]}"#;
    let texts = [
        "{}".to_owned(),
        "{}\n".to_owned(),
        "{ }".to_owned(),
        "{\n}\n".to_owned(),
        "\n\n{\t}\n\n".to_owned(),
        "{\"hooks\":{}}".to_owned(),
        "{\"hooks\": {\n  }\n}".to_owned(),
        "{\n  \"hooks\": {\n    \"Stop\": []\n  }\n}\n".to_owned(),
        "{\n  \"hooks\": {\n    \"Stop\": [ ],\n    \"SessionStart\": [\n    ]\n  }\n}".to_owned(),
        "{\"hooks\":{\"Stop\":[],\"Other\":[]}}".to_owned(),
        format!("{{\"hooks\":{{\"Stop\":[{foreign}]}}}}"),
        format!("{{\n\t\"hooks\": {{\n\t\t\"Stop\": [\n\t\t\t{foreign}\n\t\t]\n\t}}\n}}\n"),
        format!("{{\r\n    \"hooks\": {{\r\n        \"Stop\": [ {foreign}, {foreign} ]\r\n    }}\r\n}}\r\n"),
        format!(
            "{{\"hooks\":{{\"PreToolUse\":[{foreign}],\"Unheard\":{{\"x\":[1]}}}},\"description\":\"x\"}}"
        ),
        "{\"description\": \"caf\\u00e9 \\/ \\ud83d\\ude00\"}".to_owned(),
        "{\"hooks\":{\"Stop\":[{}]}}".to_owned(),
        "{\"hooks\":{\"Stop\":[{\"hooks\":[]}]}}".to_owned(),
        "{\"hooks\":{\"Stop\":[{\"matcher\":null,\"hooks\":[{\"type\":\"prompt\",\"timeout\":null}]}]}}"
            .to_owned(),
    ];
    for text in &texts {
        round(text, &CODEX);
        round(text, &CLAUDE);
        round(text, &GEMINI);
    }
    for text in [
        "\u{feff}{\n  \"a\": 1\n}",
        "\u{feff}{}",
        "{\"a\": 1.50, \"model\": 1e5, \"a\": \"\\ud800\"}",
        "{\"hooks\": {\"Stop\": [{\"command\": \"old form\"}]}, \"env\": {\"A\": \"1\"}}",
        "{\"permissions\":{\"allow\":[\"Bash(ox hook claude)\"]},\"hooks\":{\"Stop\":[[1,2],3]}}",
    ] {
        round(text, &CLAUDE);
    }
    for text in [
        "// mine\n{\n  // empty\n}\n",
        "{ /* empty */ }",
        "{\n  \"a\": 1 // one\n}",
        "{\n  \"a\": 1, // one\n  /* two */ \"hooks\": { // three\n    // four\n  } // five\n}\n// six",
        "{\"hooks\":{\"SessionStart\":[ // none\n]}}",
        "{\"hooks\":{\"SessionStart\":[{\"hooks\":[]} /* last */]}}",
        "{\"hooks\":{ // c\r\n}}",
    ] {
        round(text, &GEMINI);
    }
}

#[test]
fn a_handler_of_another_tool_in_our_group_stays_both_ways() {
    let ours = json!({ "type": "command", "command": wanted(&CLAUDE)[9].command, "timeout": 5 });
    let theirs = json!({ "type": "command", "command": "theirs", "timeout": 9 });
    for (list, left) in [
        (json!([ours, theirs]), json!([theirs])),
        (json!([theirs, ours]), json!([theirs])),
        (json!([theirs, ours, theirs]), json!([theirs, theirs])),
        (json!([ours, theirs, ours, ours]), json!([theirs])),
    ] {
        let text = format!("{:#}", json!({ "hooks": { "Stop": [{ "hooks": list }] } }));
        let edited = installed(&text, &CLAUDE);
        let stop: Json = serde_json::from_str::<Json>(&edited.text).unwrap()["hooks"]["Stop"].clone();
        assert_eq!(stop.as_array().unwrap().len(), 1, "{stop}");
        let of_ours = stop[0]["hooks"].as_array().unwrap().iter().filter(|h| **h == ours).count();
        assert_eq!(of_ours, 1, "{stop}");
        let back = uninstall(&edited.text, &CLAUDE, &edited.emptied).unwrap();
        let now: Json = serde_json::from_str(&back.text).unwrap();
        assert_eq!(now, json!({ "hooks": { "Stop": [{ "hooks": left }] } }));
    }
}

#[test]
fn an_old_entry_is_put_right_where_it_stands() {
    let old = "{\n  \"hooks\": {\n    \"SessionEnd\": [\n      {\"hooks\": [{\"timeout\": 5, \"type\": \"command\", \
               \"statusMessage\": \"x\", \"command\": \"/old/ox hook codex SessionEnd\"}]},\n      \
               {\"hooks\": [{\"type\": \"command\", \"command\": \"theirs\"}]}\n    ]\n  }\n}";
    let edited = installed(old, &CODEX);
    assert_eq!((edited.installed, edited.repaired, edited.removed), (8, 1, 0));
    let ours = serde_json::to_string(&wanted(&CODEX)[1].command).unwrap();
    let expected =
        old.replace("\"timeout\": 5", "\"timeout\": 3").replace("\"/old/ox hook codex SessionEnd\"", &ours);
    assert!(edited.text.starts_with(expected.trim_end_matches("\n  }\n}")), "{}", edited.text);
    let bare = r#"{"hooks":{"Stop":[{"hooks":[{"command":"ox hook claude Stop"}]}]}}"#;
    let edited = installed(bare, &CLAUDE);
    let file: Json = serde_json::from_str(&edited.text).unwrap();
    let stop = &file["hooks"]["Stop"][0]["hooks"][0];
    assert_eq!((&stop["type"], &stop["timeout"]), (&json!("command"), &json!(5)), "{file}");
    let wrong =
        r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"ox hook claude","timeout":"5"}]}]}}"#;
    assert!(installed(wrong, &CLAUDE).text.contains("\"timeout\":5}"));
}

#[test]
fn what_is_no_longer_asked_for_goes_and_so_do_second_ones_and_old_forms() {
    let text = r#"{"hooks":{
        "MessageDisplay":[{"hooks":[{"type":"command","command":"ox hook claude MessageDisplay"}]}],
        "Stop":[{"command":"ox hook claude Stop"},{"hooks":[{"type":"command","command":"ox hook claude Stop"}]},
                {"hooks":[{"type":"command","command":"ox hook codex Stop"}]},
                {"hooks":[{"type":"command","command":"/b/ox hook claude Stop"}]}]}}"#;
    let edited = installed(text, &CLAUDE);
    assert_eq!((edited.installed, edited.repaired, edited.removed), (9, 1, 3));
    assert_eq!(edited.shifted, ["Stop"]);
    let file: Json = serde_json::from_str(&edited.text).unwrap();
    assert!(file["hooks"].get("MessageDisplay").is_none(), "{file}");
    assert_eq!(file["hooks"]["Stop"].as_array().unwrap().len(), 2, "{file}");
    let flat = r#"{"theme":"x","hooks":{"SessionStart":{"command":"AGENT_ENV=gemini ox agent prime","timeout":60}}}"#;
    let edited = installed(flat, &GEMINI);
    let file: Json = serde_json::from_str(&edited.text).unwrap();
    assert_eq!(file["hooks"]["SessionStart"][0]["hooks"][0]["timeout"], 5000, "{file}");
    assert!(!edited.text.contains("prime"));
    assert!(matches!(
        install(&flat.replace("ox agent prime", "x"), &GEMINI, &wanted(&GEMINI)),
        Err(Refusal::Unclear(_))
    ));
}

#[test]
fn a_file_that_is_not_understood_or_that_its_agent_rejects_says_why() {
    let unclear = |text: &str, hooks: &'static Hooks, expected: &str| {
        assert_eq!(
            install(text, hooks, &wanted(hooks)),
            Err(Refusal::Unclear(expected.to_owned())),
            "{text}"
        );
    };
    unclear("[]", &CLAUDE, "it holds no object");
    unclear("1", &CODEX, "it holds no object");
    unclear("{\"hooks\":[]}", &CLAUDE, "hooks is no object (line 1)");
    unclear("{\"hooks\":null}", &GEMINI, "hooks is no object (line 1)");
    unclear("{\n\"hooks\":{\n\"Stop\":{}}}", &CLAUDE, "hooks.Stop is no list (line 3)");
    unclear("{\"hooks\":{\"Stop\":[],\"Stop\":[]}}", &CLAUDE, "the key hooks.Stop stands there twice");
    unclear("{\"hooks\":{},\"hooks\":{}}", &CLAUDE, "the key hooks stands there twice");
    let rejected = |text: &str, hooks: &'static Hooks, expected: &str| {
        let refusal = Err(Refusal::Rejected(expected.to_owned()));
        assert_eq!(install(text, hooks, &wanted(hooks)), refusal, "{text}");
    };
    rejected("{ // x\n}", &CLAUDE, "it has a comment (line 1)");
    rejected("{\n/* x */}", &CODEX, "it has a comment (line 2)");
    rejected("{\"a\":1,}", &CLAUDE, "it is no JSON (line 1, column 8)");
    rejected("{\"a\":1,}", &GEMINI, "it is no JSON (line 1, column 8)");
    rejected("{\"hooks\":{", &CODEX, "it ends too early (line 1, column 10)");
    rejected("\u{feff}{}", &CODEX, "it begins with a byte order mark");
    rejected("{\"version\":1}", &CODEX, "it has the key \"version\" (line 1)");
    rejected("{\"hooks\":null}", &CODEX, "hooks is not an object (line 1)");
    rejected("{\"hooks\":{\"Stop\":{}}}", &CODEX, "Stop is not a list (line 1)");
    rejected("{\"description\":1}", &CODEX, "description is not a text (line 1)");
    let handler = |handler: &str| format!("{{\"hooks\":{{\"Stop\":[{{\"hooks\":[{handler}]}}]}}}}");
    let of_type = |rest: &str| handler(&format!("{{\"type\":\"command\",\"command\":\"x\",{rest}}}"));
    rejected(&of_type("\"timeout\":\"3\""), &CODEX, "timeout is not a whole number (line 1)");
    rejected(&of_type("\"timeout\":-1"), &CODEX, "timeout is not a whole number (line 1)");
    rejected(&of_type("\"async\":1"), &CODEX, "async is not true or false (line 1)");
    rejected(&handler("{\"type\":\"http\"}"), &CODEX, "it has a handler of type \"http\" (line 1)");
    rejected(&handler("{\"command\":\"x\"}"), &CODEX, "it has a handler without a type (line 1)");
    rejected(&handler("1"), &CODEX, "an entry is not an object (line 1)");
    rejected("{\"hooks\":{\"Stop\":[{\"matcher\":1}]}}", &CODEX, "matcher is not a text (line 1)");
    rejected("{\"hooks\":{\"Stop\":[{\"hooks\":{}}]}}", &CODEX, "hooks is not a list (line 1)");
    for text in [&of_type("\"timeout\":\"3\""), &handler("{\"type\":\"http\"}"), &handler("1")] {
        round(text, &CLAUDE);
    }
    round("{\"hooks\":{\"Unheard\":[{\"hooks\":[{\"type\":\"http\"}]}]}}", &CODEX);
}

#[test]
fn nothing_of_ours_is_nothing_to_take_out_whatever_the_state_of_the_file() {
    for text in
        ["", " ", "{", "{ // x\n}", "[]", "{\"hooks\":[]}", "{\"hooks\":{\"Stop\":[]}}", "{\"version\":1}"]
    {
        let back = uninstall(text, &CODEX, &Emptied::new()).unwrap();
        assert_eq!((back.text.as_str(), back.removed), (text, 0));
    }
    assert!(uninstall("{\"hooks\":{ ox hook codex ", &CODEX, &Emptied::new()).is_err());
    let voided = format!("{{\"version\":1,{}", &installed("", &CODEX).text[1..]);
    let back = uninstall(&voided, &CODEX, &Emptied::new()).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&back.text).unwrap(), json!({ "version": 1 }));
}

#[test]
fn agents_in_one_file_do_not_disturb_each_other() {
    let both = installed(&installed("", &CLAUDE).text, &CODEX);
    assert_eq!((both.installed, both.repaired, both.removed), (CODEX.events.len(), 0, 0));
    let one = uninstall(&both.text, &CODEX, &Emptied::new()).unwrap();
    assert_eq!(install(&one.text, &CLAUDE, &wanted(&CLAUDE)).unwrap().text, one.text);
}

/// A file of settings, made from a number.
struct Maker {
    rng: Rng,
    newline: &'static str,
    unit: &'static str,
    how: u64,
    comments: bool,
    ours: bool,
    word: &'static str,
}

impl Maker {
    fn new(seed: u64, hooks: &Hooks, ours: bool) -> Maker {
        let mut rng = Rng::new(seed);
        let newline = if rng.chance(25) { "\r\n" } else { "\n" };
        let unit = ["  ", "\t", "    ", " "][pick(&mut rng, 4)];
        let comments = matches!(hooks.form, crate::harness::hooks::Form::Settings { comments: true, .. });
        Maker {
            how: rng.below(4),
            comments: comments && rng.chance(70),
            rng,
            newline,
            unit,
            ours,
            word: hooks.word,
        }
    }

    fn file(&mut self, hooks: &Hooks) -> String {
        let only = hooks.word == "codex";
        let mut root: Vec<(&str, Json)> = Vec::new();
        let others =
            if only { &["description"][..] } else { &["model", "a b", "x", "permissions", "env"][..] };
        for key in others {
            if self.rng.chance(40) {
                let value = if only { json!("it \"is\" // so") } else { self.any(0) };
                root.push((key, value));
            }
        }
        if self.rng.chance(80) {
            let at = pick(&mut self.rng, root.len() + 1);
            let events = self.events(hooks);
            root.insert(at, ("hooks", events));
        }
        let root: Map<String, Json> = root.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut out = self.gap(0, false);
        self.write(&Json::Object(root), 0, &mut out);
        out + &self.gap(0, false)
    }

    fn any(&mut self, depth: u32) -> Json {
        match self.rng.below(if depth > 2 { 4 } else { 7 }) {
            0 => json!(null),
            1 => json!(self.rng.below(100)),
            2 => json!("/* no */ // comment \u{1f402}"),
            3 => json!({}),
            4 => json!([]),
            5 => (0..self.rng.below(3)).map(|_| self.any(depth + 1)).collect(),
            _ => json!({ "k": self.any(depth + 1), "command": "ox hook claude Stop" }),
        }
    }

    fn events(&mut self, hooks: &Hooks) -> Json {
        let mut events = Map::new();
        for name in hooks.events.iter().map(|event| event.name).chain(["Unheard", "SubagentStart"]) {
            if self.rng.chance(40) {
                let groups = (0..self.rng.below(4)).map(|_| self.group(name)).collect();
                events.insert(name.to_owned(), groups);
            }
        }
        Json::Object(events)
    }

    fn group(&mut self, event: &str) -> Json {
        let handlers: Json = (0..self.rng.below(4)).map(|_| self.handler(event)).collect();
        match self.rng.below(3) {
            0 => json!({ "matcher": "Bash|x", "hooks": handlers }),
            1 => json!({ "hooks": handlers, "matcher": "" }),
            _ => json!({ "hooks": handlers }),
        }
    }

    fn handler(&mut self, event: &str) -> Json {
        let command = match self.ours && self.rng.chance(50) {
            true => format!("'/old place/ox' hook {} {event}", self.word),
            false => ["ox agent prime", "lint $FILE", "echo \"ox hook claude\"", "a\\b"]
                [pick(&mut self.rng, 4)]
            .to_owned(),
        };
        match self.rng.below(3) {
            0 => json!({ "type": "command", "command": command }),
            1 => json!({ "timeout": 60, "command": command, "type": "command" }),
            _ => json!({ "type": "command", "command": command, "timeout": 5, "extra": [1, { "a": 2 }] }),
        }
    }

    /// What stands between two tokens.
    fn gap(&mut self, depth: usize, breaks: bool) -> String {
        let mut gap = match self.how {
            0 => String::new(),
            1 => {
                if breaks {
                    format!("{}{}", self.newline, self.unit.repeat(depth))
                } else {
                    String::new()
                }
            }
            2 => {
                if breaks && depth < 3 {
                    format!("{}{}", self.newline, self.unit.repeat(depth))
                } else {
                    String::new()
                }
            }
            _ => ["", " ", "\t", self.newline, "  \n\n "][pick(&mut self.rng, 5)].to_owned(),
        };
        if self.comments && self.rng.chance(8) {
            gap.push_str(if self.rng.chance(50) { "/* {\"a\": */" } else { "// it's }" });
            gap.push_str(self.newline);
        }
        gap
    }

    fn write(&mut self, value: &Json, depth: usize, out: &mut String) {
        let children: Vec<(Option<&String>, &Json)> = match value {
            Json::Object(map) => map.iter().map(|(key, value)| (Some(key), value)).collect(),
            Json::Array(list) => list.iter().map(|value| (None, value)).collect(),
            plain => return out.push_str(&plain.to_string()),
        };
        out.push(if value.is_object() { '{' } else { '[' });
        for (n, (key, child)) in children.iter().enumerate() {
            if n > 0 {
                out.push_str(&self.gap(depth, false));
                out.push(',');
            }
            out.push_str(&self.gap(depth + 1, true));
            if let Some(key) = key {
                out.push_str(&format!(
                    "{}{}:{}",
                    Json::from(key.as_str()),
                    self.gap(0, false),
                    self.gap(0, false)
                ));
                out.push_str(if self.how == 0 { "" } else { " " });
            }
            self.write(child, depth + 1, out);
        }
        out.push_str(&self.gap(depth, !children.is_empty()));
        out.push(if value.is_object() { '}' } else { ']' });
    }
}

fn pick(rng: &mut Rng, n: usize) -> usize {
    usize::try_from(rng.below(n as u64)).unwrap()
}

/// The groups of others, by event, each without ours: read by another parser than the one under test.
fn others(text: &str, word: &str) -> Vec<(String, Vec<String>)> {
    let doc = Doc::read(text).unwrap();
    let mut plain = text.to_owned();
    for span in &doc.comments {
        plain.replace_range(span.clone(), &" ".repeat(span.len()));
    }
    let file: Json = serde_json::from_str(&plain).unwrap();
    let is_ours = |h: &Json| h["command"].as_str().is_some_and(|c| c.contains(&format!("hook {word} ")));
    let events = file["hooks"].as_object().cloned().unwrap_or_default();
    let left = |(event, groups): (String, Json)| {
        let groups = groups.as_array().unwrap().iter().filter_map(|group| {
            let mut group = group.clone();
            let list = group["hooks"].as_array_mut().unwrap();
            let before = list.len();
            list.retain(|h| !is_ours(h));
            (before == 0 || !list.is_empty()).then(|| group.to_string())
        });
        (event, groups.collect::<Vec<_>>())
    };
    events.into_iter().map(left).filter(|(_, groups)| !groups.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, ..ProptestConfig::default() })]

    #[test]
    fn rly_14_in_and_out_again_is_the_same_bytes(seed in any::<u64>()) {
        for hooks in [&CLAUDE, &CODEX, &GEMINI] {
            let text = Maker::new(seed, hooks, false).file(hooks);
            let now = round(&text, hooks);
            for (event, groups) in others(&text, hooks.word) {
                let after = others(&now, hooks.word).into_iter().find(|(name, _)| *name == event).unwrap().1;
                prop_assert_eq!(after, groups);
            }
        }
    }

    #[test]
    fn rly_14_whatever_of_ours_is_there_one_of_each_is_left_and_no_other_moves(seed in any::<u64>()) {
        for hooks in [&CLAUDE, &CODEX, &GEMINI] {
            let text = Maker::new(seed, hooks, true).file(hooks);
            let edited = installed(&text, hooks);
            let doc = Doc::read(&edited.text).unwrap();
            let mut there: Vec<(String, String)> =
                found(&doc, hooks.word).into_iter().map(|f| (f.event, f.command)).collect();
            let mut asked: Vec<(String, String)> =
                wanted(hooks).into_iter().map(|w| (w.event.to_owned(), w.command)).collect();
            there.sort();
            asked.sort();
            prop_assert_eq!(there, asked);
            prop_assert_eq!(others(&edited.text, hooks.word), others(&text, hooks.word));
            let back = uninstall(&edited.text, hooks, &edited.emptied).unwrap();
            prop_assert!(found(&Doc::read(&back.text).unwrap(), hooks.word).is_empty());
            prop_assert_eq!(others(&back.text, hooks.word), others(&text, hooks.word));
        }
    }
}
