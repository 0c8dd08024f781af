//! Tokens of every kind are planted where they belong, and are nowhere else: not in receipts, logs, what is shown, command lines or the
//! environment of what `ox` starts.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ox::kit::clock::pause;
use serde_json::json;

use crate::rig::answers::model;
use crate::support::census::processes_of;
use crate::support::port::Port;
use crate::support::{OX, TestEnv};
use crate::vendor::canary::{files_with, forms_of, found};
use crate::vendor::world::{World, put};

const NAME: &str = "2026-03-12T11-09-dana-OxTndR";

/// What command lines hold, and the environment of whatever is not `ox` itself, which has what the user gave it.
fn look(env: &TestEnv, forms: &[String], hits: &mut BTreeSet<String>) -> usize {
    let all = processes_of(env.root());
    for process in &all {
        // In the middle of becoming another program it has no command line, and what it leaves may still be ours.
        let is_ours = process.command.starts_with(OX) || process.command.trim().is_empty();
        let files: &[&str] = if is_ours { &["cmdline"] } else { &["cmdline", "environ"] };
        for file in files {
            let bytes = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            hits.extend(found(&bytes, forms).map(|_| format!("{file} of {}", process.command)));
        }
    }
    all.len()
}

#[test]
fn sec_06_no_token_of_any_kind_is_in_receipts_logs_or_children() {
    let mut w = World::new();
    let unique = w.env.root().file_name().unwrap().to_string_lossy().replace('-', "");
    let tokens = [
        w.bearer.clone(),
        w.pat.clone(),
        format!("CANARYrelay{unique}"),
        format!("CANARYrefresh{unique}"),
        format!("sk-CANARYchat{unique}"),
        format!("CANARYotlp{unique}"),
    ];
    let [_, _, relay, refresh, chat, otlp] = &tokens;
    let forms: Vec<String> = tokens.iter().flat_map(|token| forms_of(token)).collect();
    w.env.set("CHAT_KEY", chat);
    w.env.set("OTLP_KEY", otlp);
    // Whoever is asked to take the login back does not answer.
    let nobody = Port::refusing();
    let place = format!("http://{}", nobody.address());
    let account = json!({
        "access_token": relay, "refresh_token": refresh, "user_id": "u", "user_email": "u@example.invalid",
        "expires_at": 4_000_000_000_u64, "server_url": place,
    });
    let accounts = json!({ "version": 1, "current": place, "accounts": { &place: account } });
    put(&w.env.config(), "sageox/relay-auth.json", &accounts.to_string());
    let server = model(401, "no such key");
    for (key, value) in [
        ("agent_worker.agent", "chat"),
        ("agent_worker.chat_url", &server.url("/v1")),
        ("agent_worker.chat_key_env", "CHAT_KEY"),
        ("relay.otlp_key_env", "OTLP_KEY"),
    ] {
        w.env.ox(["config", "set", key, value]).ok();
    }
    w.all_well();
    w.git.with_lfs();
    let (env, stop) = (&w.env, AtomicBool::new(false));
    let mut said = String::new();
    let (hits, most) = std::thread::scope(|s| {
        let watcher = s.spawn(|| {
            let (mut hits, mut most) = (BTreeSet::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                most = most.max(look(env, &forms, &mut hits));
                pause(Duration::from_millis(1));
            }
            (hits, most)
        });
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            w.start();
            w.until_all_level();
            let raw = "{\"type\":\"user\",\"content\":\"Split the parser\",\"seq\":0}\n".repeat(4);
            put(&w.ledger(), &format!(".sageox/cache/sessions/{NAME}/raw.jsonl"), &raw);
            // The key of the chat server is refused, in its own words.
            for args in [
                &["murmur", "Split the parser"][..],
                &["session", "finalize", NAME],
                &["sync"],
                &["sync", "--all-teams"],
                &["agents", "status"],
                &["agents", "status", "--json"],
                &["status", "--json"],
                &["doctor", "-v"],
                &["config", "list", "--json"],
                &["daemon", "logs", "-n", "1000"],
                &["net"],
                &["net", "-v"],
                &["net", "--json"],
                &["net", "list", "--limit", "100000"],
                &["net", "list", "--limit", "100000", "--json"],
                &["debug", "bundle"],
                &["whoami"],
                &["whoami", "--json"],
                &["logout", "--relay", "--json"],
                &["net", "list", "--limit", "100000"],
            ] {
                said += &format!("{:?}\n", w.env.ox_in(&w.repo, args));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let watched = watcher.join().unwrap();
        life.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        watched
    });
    assert!(most > 1, "no process was seen");
    assert_eq!(hits, BTreeSet::new());
    assert_eq!(found(said.as_bytes(), &forms), None);
    assert_eq!(files_with(w.env.root(), &forms), Vec::<String>::new());
    // All of them were used: the receipts tell of it.
    let kept = fs::read_to_string(w.dirs.receipts()).unwrap();
    for purpose in ["vendor api", "clone", "sync", "push", "chat", "login"] {
        assert!(kept.contains(&format!("\"purpose\":\"{purpose}\"")), "{purpose}: {kept}");
    }
    let asked = server.requests().join("\n");
    assert!(asked.contains(chat.as_str()), "the key was not used");
}
