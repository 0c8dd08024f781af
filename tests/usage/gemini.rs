//! Gemini CLI, as seen of 0.61.0, and the older layout of one object as the specification has it.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::world::{MODEL, World, text};

struct Session {
    id: String,
    root: String,
    path: PathBuf,
    messages: Vec<Value>,
    is_whole: bool,
}

impl Session {
    fn new(world: &mut World, parent: Option<&Session>, is_whole: bool) -> Session {
        let id = world.id();
        let chats = world.home.join(".gemini/tmp/p/chats");
        let path = match parent {
            Some(parent) => chats.join(&parent.id).join(format!("{id}.jsonl")),
            None => {
                chats.join(format!("session-2026-11-20T09-00-{id}.json{}", if is_whole { "" } else { "l" }))
            }
        };
        let root = parent.map_or_else(|| id.clone(), |parent| parent.root.clone());
        let session = Session { id, root, path, messages: Vec::new(), is_whole };
        if !is_whole {
            let kind = if parent.is_some() { "subagent" } else { "main" };
            session.begin(world, kind);
        }
        session
    }

    fn begin(&self, world: &mut World, kind: &str) {
        let time = world.time();
        let header = json!({ "sessionId": self.id, "projectHash": "0", "startTime": time, "lastUpdated": time, "kind": kind });
        world.append(&self.path, &header);
        let context = json!([{ "id": world.id(), "timestamp": time, "type": "user", "content": [{ "text": "<session_context>\nx" }] }]);
        world.append(&self.path, &json!({ "$set": { "messages": context, "lastUpdated": time } }));
    }

    fn put(&mut self, world: &mut World, message: Value) {
        if !self.is_whole {
            world.append(&self.path, &message);
            let time = world.time();
            world.append(&self.path, &json!({ "$set": { "lastUpdated": time } }));
        }
        match self.messages.iter_mut().find(|known| known["id"] == message["id"]) {
            Some(known) => *known = message,
            None => self.messages.push(message),
        }
    }

    fn turn(&mut self, world: &mut World) {
        let time = world.time();
        let prompt =
            json!({ "id": world.id(), "timestamp": time, "type": "user", "content": [{ "text": "Go on." }] });
        self.put(world, prompt);
        for _ in 0..1 + world.pick(3) {
            let root = self.root.clone();
            let served = world.serve(&root, false);
            let c = &served.counts;
            let mut message = json!({
                "id": world.id(), "timestamp": text(served.at), "type": "gemini", "content": "", "thoughts": [], "model": MODEL,
                "tokens": {
                    "input": served.given(), "output": c.output - c.reasoning, "cached": c.cached, "thoughts": c.reasoning,
                    "tool": 0, "total": served.total(),
                },
            });
            self.put(world, message.clone());
            // Written again with its calls when these have ended.
            message["toolCalls"] = json!([{ "id": format!("call_{}", served.n), "name": "run_shell_command", "args": {}, "status": "success" }]);
            self.put(world, message);
        }
        if self.is_whole {
            self.write(world);
        }
    }

    fn write(&self, world: &mut World) {
        let time = world.time();
        let whole = json!({ "sessionId": self.id, "startTime": time, "lastUpdated": time, "messages": self.messages });
        fs::create_dir_all(self.path.parent().unwrap()).unwrap();
        fs::write(&self.path, whole.to_string()).unwrap();
    }

    /// All messages are written again, and a second file is left that has the beginning alone.
    fn resume(&mut self, world: &mut World) {
        if self.is_whole {
            self.write(world);
            return;
        }
        world.append(&self.path, &json!({ "$set": { "sessionId": self.id } }));
        world.append(&self.path, &json!({ "$set": { "messages": self.messages } }));
        let name = format!("session-2026-11-21T09-{:02}-{}.jsonl", world.pick(60), self.id);
        let second = Session {
            path: self.path.with_file_name(name),
            id: self.id.clone(),
            root: String::new(),
            messages: Vec::new(),
            is_whole: false,
        };
        second.begin(world, "main");
    }

    fn compress(&mut self, world: &mut World) {
        if self.is_whole {
            // What the program writes over before anybody has looked is nowhere any more.
            world.look();
        }
        let time = world.time();
        let summary = json!({ "id": world.id(), "timestamp": time, "type": "user", "content": [{ "text": "<state_snapshot>x" }] });
        let said = json!({ "id": world.id(), "timestamp": time, "type": "user", "content": [{ "text": "It went on." }] });
        self.messages = vec![summary, said];
        if !self.is_whole {
            world.append(&self.path, &json!({ "$set": { "messages": self.messages } }));
        }
    }
}

/// A session and what comes of it.
pub fn tree(world: &mut World) {
    let is_whole = world.once_in(4);
    let mut session = Session::new(world, None, is_whole);
    let root_file = world.home.join(".gemini/tmp/p/.project_root");
    session.turn(world);
    fs::write(root_file, "/srv/p").unwrap();
    for _ in 0..2 + world.pick(6) {
        match world.pick(6) {
            0 if !is_whole => {
                let mut helper = Session::new(world, Some(&session), false);
                helper.turn(world);
                if world.once_in(2) {
                    helper.turn(world);
                }
            }
            1 => {
                session.resume(world);
                session.turn(world);
            }
            2 => session.compress(world),
            3 if world.once_in(4) => {
                world.vanish(&session.path);
                return;
            }
            _ => session.turn(world),
        }
    }
}
