//! opencode, as seen of 1.18.33.

use std::fs;

use rusqlite::{Connection, params};
use serde_json::json;

use super::world::{MODEL, World};

/// The tables as the program makes them.
fn schema() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/harness/transcripts/opencode-1.18.33-subagent.sql");
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("INSERT")).collect::<Vec<_>>().join("\n")
}

fn open(world: &World) -> Connection {
    let path = world.opencode();
    let is_there = path.exists();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let conn = Connection::open(path).unwrap();
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    if !is_there {
        conn.execute_batch(&schema()).unwrap();
        conn.execute("INSERT INTO project (id, worktree, time_created, time_updated, sandboxes) VALUES ('p', '/srv/p', 0, 0, '[]')", []).unwrap();
    }
    conn
}

#[derive(Clone)]
struct Session {
    id: String,
    root: String,
}

impl Session {
    fn new(world: &mut World, conn: &Connection, parent: Option<&Session>) -> Session {
        let id = format!("ses_{}", world.id());
        let at = world.tick();
        conn.execute(
            "INSERT INTO session (id, project_id, parent_id, slug, directory, title, version, time_created, time_updated)
             VALUES (?1, 'p', ?2, 's', '/srv/p', 't', '1.18.33', ?3, ?3)",
            params![id, parent.map(|parent| &parent.id), at],
        )
        .unwrap();
        let root = parent.map_or_else(|| id.clone(), |parent| parent.root.clone());
        Session { id, root }
    }

    fn message(&self, world: &mut World, conn: &Connection, created: i64, data: &str, parts: &[String]) {
        let (id, at) = (format!("msg_{}", world.id()), world.tick());
        conn.execute(
            "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, self.id, created, at, data],
        )
        .unwrap();
        for part in parts {
            let part_id = format!("prt_{}", world.id());
            conn.execute(
                "INSERT INTO part VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
                params![part_id, id, self.id, at, part],
            )
            .unwrap();
        }
    }

    fn turn(&self, world: &mut World, conn: &Connection) {
        let at = world.tick();
        // A turn says when it begins.
        conn.execute("UPDATE session SET time_updated = ?2 WHERE id = ?1", params![self.id, at]).unwrap();
        let said = json!({ "type": "text", "text": "Go on." }).to_string();
        self.message(
            world,
            conn,
            at,
            &json!({ "role": "user", "time": { "created": at } }).to_string(),
            &[said],
        );
        for _ in 0..1 + world.pick(3) {
            let served = world.serve(&self.root, true);
            let c = &served.counts;
            let tokens = json!({
                "total": served.total(), "input": c.input, "output": c.output - c.reasoning, "reasoning": c.reasoning,
                "cache": { "read": c.cached, "write": c.cache_written },
            });
            let data = json!({
                "role": "assistant", "path": { "cwd": "/srv/p", "root": "/srv/p" }, "tokens": tokens, "modelID": MODEL,
                "providerID": "local", "time": { "created": served.at, "completed": served.at + 1 }, "finish": "stop",
            });
            let parts = [
                json!({ "type": "step-start" }),
                json!({ "type": "step-finish", "reason": "stop", "tokens": tokens }),
            ];
            self.message(world, conn, served.at, &data.to_string(), &parts.map(|part| part.to_string()));
            if world.once_in(30) {
                world.look();
            }
        }
    }

    /// All messages under new ids, with the times at which they were made.
    fn fork(&self, world: &mut World, conn: &Connection) -> Session {
        let fork = Session::new(world, conn, None);
        let mut rows = conn
            .prepare(
                "SELECT id, time_created, data FROM message WHERE session_id = ?1 ORDER BY time_created, id",
            )
            .unwrap();
        let messages: Vec<(String, i64, String)> = rows
            .query_map([&self.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (id, created, data) in messages {
            let mut rows = conn.prepare("SELECT data FROM part WHERE message_id = ?1 ORDER BY id").unwrap();
            let parts: Vec<String> =
                rows.query_map([&id], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            fork.message(world, conn, created, &data, &parts);
        }
        fork
    }
}

/// A session and what comes of it.
pub fn tree(world: &mut World) {
    let conn = open(world);
    let mut sessions = vec![Session::new(world, &conn, None)];
    sessions[0].turn(world, &conn);
    for _ in 0..2 + world.pick(6) {
        let at = world.pick(sessions.len());
        let session = sessions[at].clone();
        match world.pick(5) {
            0 => sessions.push(session.fork(world, &conn)),
            1 => Session::new(world, &conn, Some(&session)).turn(world, &conn),
            2 if world.once_in(4) => {
                world.look();
                for table in ["part", "message"] {
                    conn.execute(&format!("DELETE FROM {table} WHERE session_id = ?1"), [&session.id])
                        .unwrap();
                }
                conn.execute("DELETE FROM session WHERE id = ?1", [&session.id]).unwrap();
                sessions.remove(at);
                if sessions.is_empty() {
                    return;
                }
            }
            _ => session.turn(world, &conn),
        }
    }
}
