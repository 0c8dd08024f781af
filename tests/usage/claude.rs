//! Claude Code, as seen of 2.1.332 and, where said, of 1.0.128.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::world::{MODEL, Served, World, text};

/// A session, or a sub-agent with a file of its own.
#[derive(Clone)]
struct Thread {
    /// The session's id.
    session: String,
    /// Forks of it say whose their records were.
    is_marked: bool,
    /// The sub-agent's.
    agent: Option<String>,
    path: PathBuf,
    records: Vec<Value>,
}

impl Thread {
    fn new(world: &mut World, is_marked: bool) -> Thread {
        let session = world.id();
        let path = world.home.join(format!(".claude/projects/-srv-p/{session}.jsonl"));
        Thread { session, is_marked, agent: None, path, records: Vec::new() }
    }

    fn record(&self, world: &mut World, kind: &str, at: &str, more: Value) -> Value {
        let mut record = json!({
            "parentUuid": null, "isSidechain": self.agent.is_some(), "type": kind, "uuid": world.id(), "timestamp": at,
            "userType": "external", "cwd": "/srv/p", "sessionId": self.session, "version": "2.1.332", "gitBranch": "main",
        });
        if let Some(agent) = &self.agent {
            record["agentId"] = agent.as_str().into();
        }
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    }

    fn push(&mut self, world: &mut World, record: Value) {
        world.append(&self.path, &record);
        self.records.push(record);
    }

    /// Records that tell nothing stand between the others.
    fn silent(&self, world: &mut World, kind: &str) {
        world.append(&self.path, &json!({ "type": kind, "sessionId": self.session, "lastPrompt": "x" }));
    }

    /// The session that what is served now is counted for; none where nothing tells it from what repeats it.
    fn owner(&self) -> &str {
        if self.is_marked { &self.session } else { "" }
    }

    fn turn(&mut self, world: &mut World) {
        let time = world.time();
        let prompt =
            self.record(world, "user", &time, json!({ "message": { "role": "user", "content": "Go on." } }));
        self.push(world, prompt);
        for _ in 0..1 + world.pick(3) {
            let served = world.serve(self.owner(), true);
            self.answer(world, &served);
        }
        self.silent(world, "last-prompt");
    }

    /// One answer comes in up to three records, a block in each; the first may have been written before the answer had ended.
    fn answer(&mut self, world: &mut World, served: &Served) {
        let pieces = 1 + world.pick(3);
        for piece in 0..pieces {
            let is_early = piece == 0 && pieces > 1 && world.once_in(2);
            let c = &served.counts;
            let block = if piece + 1 < pieces {
                json!({ "type": "text", "text": "I will." })
            } else {
                json!({ "type": "tool_use", "id": format!("toolu_{}", served.n), "name": "Bash", "input": { "command": "echo" } })
            };
            let message = json!({ "message": {
                "id": format!("msg_{}", served.n), "type": "message", "role": "assistant", "model": MODEL, "content": [block],
                "usage": {
                    "input_tokens": c.input, "cache_creation_input_tokens": c.cache_written, "cache_read_input_tokens": c.cached,
                    "output_tokens": if is_early { 1 } else { c.output },
                    "output_tokens_details": { "thinking_tokens": if is_early { 0 } else { c.reasoning } },
                },
            } });
            let record = self.record(world, "assistant", &text(served.at), message);
            self.push(world, record);
        }
        let result =
            json!([{ "type": "tool_result", "tool_use_id": format!("toolu_{}", served.n), "content": "ok" }]);
        let time = world.time();
        let result =
            self.record(world, "user", &time, json!({ "message": { "role": "user", "content": result } }));
        self.push(world, result);
    }

    /// A new file with a new session that repeats all records; what is newer says whose they were.
    fn fork(&self, world: &mut World) -> Thread {
        let mut fork = Thread::new(world, self.is_marked);
        let time = world.time();
        let queued = json!({ "type": "queue-operation", "operation": "enqueue", "timestamp": time, "sessionId": fork.session });
        world.append(&fork.path, &queued);
        for record in &self.records {
            let mut record = record.clone();
            if self.is_marked && record.get("requestSessionId").is_none() && record["type"] == "assistant" {
                record["requestSessionId"] = record["sessionId"].clone();
            }
            record["sessionId"] = fork.session.as_str().into();
            fork.records.push(record);
        }
        world.append_all(&fork.path, &fork.records);
        fork
    }

    /// As older versions resume: a new file that begins with the records of the old one, as they were.
    fn resumed(&self, world: &mut World) -> Thread {
        let mut resumed = Thread::new(world, self.is_marked);
        resumed.records.clone_from(&self.records);
        world.append_all(&resumed.path, &resumed.records);
        resumed
    }

    fn helper(&self, world: &mut World) -> Thread {
        let agent = format!("a{:x}", world.rng.below(1 << 60));
        let dir = self.path.with_extension("").join("subagents");
        let path = dir.join(format!("agent-{agent}.jsonl"));
        Thread {
            session: self.session.clone(),
            is_marked: self.is_marked,
            agent: Some(agent),
            path,
            records: Vec::new(),
        }
    }

    /// As older versions have it: the helper's records stand in the same file.
    fn helper_inside(&mut self, world: &mut World) {
        let served = world.serve(self.owner(), true);
        let mut helper = Thread { agent: None, records: Vec::new(), ..self.clone() };
        helper.answer(world, &served);
        self.records.extend(helper.records);
    }

    fn compact(&mut self, world: &mut World) {
        let time = world.time();
        let boundary = self.record(world, "system", &time, json!({ "subtype": "compact_boundary" }));
        self.push(world, boundary);
        let summary = json!({ "isCompactSummary": true, "message": { "role": "user", "content": "This session is being continued" } });
        let summary = self.record(world, "user", &time, summary);
        self.push(world, summary);
    }
}

/// A session and what comes of it.
pub fn tree(world: &mut World) {
    let is_marked = !world.once_in(4);
    let first = Thread::new(world, is_marked);
    let mut threads = vec![first];
    let mut gone = Vec::new();
    for _ in 0..3 + world.pick(6) {
        let at = world.pick(threads.len());
        let mut thread = threads[at].clone();
        match world.pick(9) {
            0 if !thread.records.is_empty() => threads.push(thread.fork(world)),
            1 if !thread.records.is_empty() && !is_marked => threads.push(thread.resumed(world)),
            2 => {
                let mut helper = thread.helper(world);
                helper.turn(world);
                if world.once_in(2) {
                    helper.turn(world);
                }
            }
            3 => thread.helper_inside(world),
            4 => thread.compact(world),
            5 if thread.path.exists() && world.once_in(3) => {
                world.vanish(&thread.path);
                gone.push(at);
            }
            _ if gone.contains(&at) => {}
            _ => {
                thread.silent(world, "mode");
                thread.turn(world);
            }
        }
        threads[at] = thread;
    }
}
