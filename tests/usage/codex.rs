//! Codex, as seen of 0.171.0, and of 0.63.0 with what is told of how that forks.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::world::{MODEL, Served, World, text};

#[derive(Clone)]
struct Thread {
    id: String,
    /// The root's.
    session: String,
    path: PathBuf,
    /// Answers have records of their own.
    is_new: bool,
    lines: Vec<Value>,
    /// What was counted since the thread was opened last.
    counted: [u64; 5],
}

fn usage(counts: [u64; 5]) -> Value {
    let [input, cached, written, output, reasoning] = counts;
    json!({
        "input_tokens": input, "cached_input_tokens": cached, "cache_write_input_tokens": written, "output_tokens": output,
        "reasoning_output_tokens": reasoning, "total_tokens": input + output,
    })
}

impl Thread {
    fn new(world: &mut World, is_new: bool, session: Option<&str>) -> Thread {
        let id = world.id();
        let path =
            world.home.join(format!(".codex/sessions/2026/11/20/rollout-2026-11-20T09-00-00-{id}.jsonl"));
        let session = session.map_or_else(|| id.clone(), str::to_owned);
        Thread { id, session, path, is_new, lines: Vec::new(), counted: [0; 5] }
    }

    fn line(&mut self, world: &mut World, at: &str, kind: &str, payload: Value) {
        let mut line = json!({ "timestamp": at, "type": kind, "payload": payload });
        if self.is_new {
            line["ordinal"] = self.lines.len().into();
        }
        world.append(&self.path, &line);
        self.lines.push(line);
    }

    fn begin(&mut self, world: &mut World, more: Value) {
        let time = world.time();
        let mut meta = json!({ "id": self.id, "timestamp": time, "cwd": "/srv/p", "cli_version": "0.63.0", "git": { "branch": "main" } });
        if self.is_new {
            meta["session_id"] = self.session.as_str().into();
            meta["cli_version"] = "0.171.0".into();
        }
        meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.line(world, &time, "session_meta", meta);
    }

    fn turn(&mut self, world: &mut World) {
        let time = world.time();
        let words = |role: &str, text: &str| json!({ "type": "message", "role": role, "content": [{ "type": format!("{}_text", if role == "user" { "input" } else { "output" }), "text": text }] });
        let mut context = json!({ "cwd": "/srv/p", "model": MODEL });
        if self.is_new {
            context["turn_id"] = world.id().into();
        }
        self.line(world, &time, "turn_context", context);
        self.line(world, &time, "response_item", words("user", "Go on."));
        if !self.is_new {
            self.line(world, &time, "event_msg", json!({ "type": "token_count", "info": null }));
        }
        for _ in 0..1 + world.pick(3) {
            let session = self.session.clone();
            let served = world.serve(&session, self.is_new);
            self.answer(world, &served);
        }
        let time = world.time();
        self.line(world, &time, "response_item", words("assistant", "Done."));
    }

    fn answer(&mut self, world: &mut World, served: &Served) {
        let c = &served.counts;
        let last = [served.given(), c.cached, c.cache_written, c.output, c.reasoning];
        for (sum, n) in self.counted.iter_mut().zip(last) {
            *sum += n;
        }
        let at = text(served.at);
        let call = json!({ "type": "function_call", "name": "exec_command", "arguments": "{}", "call_id": format!("call_{}", served.n) });
        self.line(world, &at, "response_item", call);
        if self.is_new {
            let (thread, session) = (self.id.clone(), self.session.clone());
            let record = json!({ "thread_id": thread, "session_id": session, "response_id": format!("resp_{}", served.n), "usage": usage(last) });
            self.line(world, &at, "token_usage_record", record);
        }
        // Counters are written again when nothing has changed.
        for _ in 0..1 + world.pick(2) {
            let info = json!({ "total_token_usage": usage(self.counted), "last_token_usage": usage(last) });
            self.line(world, &at, "event_msg", json!({ "type": "token_count", "info": info }));
        }
        let result = json!({ "type": "function_call_output", "call_id": format!("call_{}", served.n), "output": "ok" });
        self.line(world, &at, "response_item", result);
    }

    fn resume(&mut self, world: &mut World) {
        // Counters of older versions begin anew.
        if !self.is_new {
            self.counted = [0; 5];
        }
        self.turn(world);
    }

    /// New versions go on without the old history; older ones write all of it again with new times, behind their own beginning.
    fn fork(&self, world: &mut World, helper_of: Option<&str>) -> Thread {
        let mut fork = Thread::new(world, self.is_new, helper_of.map(|_| self.session.as_str()));
        let mut more = json!({});
        match (self.is_new, helper_of) {
            (true, None) => {
                more["forked_from_id"] = self.id.as_str().into();
                more["history_base"] =
                    json!({ "thread_id": self.id, "end_ordinal_exclusive": self.lines.len() });
            }
            (true, Some(parent)) => more["parent_thread_id"] = parent.into(),
            (false, None) => {}
            (false, Some(parent)) => {
                more["source"] =
                    json!({ "subagent": { "thread_spawn": { "parent_thread_id": parent, "depth": 1 } } });
            }
        }
        fork.begin(world, more);
        if !self.is_new {
            let time = world.time();
            let mut repeated = self.lines.clone();
            repeated.iter_mut().for_each(|line| line["timestamp"] = time.as_str().into());
            world.append_all(&fork.path, &repeated);
            fork.lines.extend(repeated);
            fork.counted = self.counted;
        } else if helper_of.is_none() {
            // Totals of a fork are those of all that it goes on from.
            fork.counted = self.counted;
        }
        fork
    }
}

/// A thread and what comes of it.
pub fn tree(world: &mut World) {
    let is_new = !world.once_in(2);
    let mut first = Thread::new(world, is_new, None);
    first.begin(world, json!({}));
    let mut threads = vec![first];
    let mut gone = Vec::new();
    for _ in 0..3 + world.pick(6) {
        let at = world.pick(threads.len());
        let mut thread = threads[at].clone();
        let is_gone = gone.contains(&at);
        match world.pick(7) {
            0 => threads.push(thread.fork(world, None)),
            1 => {
                // Of one whose session is another's the root is known to be above it.
                let mut helper = thread.fork(world, Some(&thread.id.clone()));
                if !is_new {
                    helper.session.clone_from(&thread.id);
                }
                if thread.id == thread.session {
                    helper.turn(world);
                    if world.once_in(2) {
                        helper.resume(world);
                    }
                }
            }
            2 if !is_gone && world.once_in(3) => {
                world.vanish(&thread.path);
                gone.push(at);
            }
            3 if !is_gone && world.once_in(2) => {
                world.compress(&thread.path);
                gone.push(at);
            }
            _ if is_gone => {}
            _ => thread.resume(world),
        }
        threads[at] = thread;
    }
}
