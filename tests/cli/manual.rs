//! The manual, as `man` and its readers take it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use ox::cli::args;
use ox::cli::docs::{DOCUMENTS, Page, pages};
use ox::kit::cancel::Cancel;
use ox::kit::child;
use ox::kit::clock::{Clock as _, SystemClock};

use crate::support::TestEnv;

/// The text of a section, without the font changes.
fn section<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let heading = [format!(".SH {name}\n"), format!(".SH \"{name}\"\n")];
    let start = heading.iter().find_map(|h| page.find(h.as_str()).map(|at| at + h.len()))?;
    let text = &page[start..];
    Some(&text[..text.find("\n.SH ").unwrap_or(text.len())])
}

fn unescaped(text: &str) -> String {
    let fonts = ["\\fB", "\\fI", "\\fR"].iter().fold(text.to_owned(), |text, font| text.replace(font, ""));
    fonts.replace("\\-", "-").replace("\\(aq", "'").replace("\\(ti", "~")
}

/// `ox-sync(1)` and the like.
fn references(page: &str) -> BTreeSet<String> {
    let words = page.split(|c: char| !(c.is_alphanumeric() || "-()".contains(c)));
    words.filter(|w| w.starts_with("ox") && w.ends_with(')')).map(str::to_owned).collect()
}

#[test]
fn every_page_has_its_sections_and_no_reference_leads_nowhere() {
    let pages = pages();
    let known: BTreeSet<String> = pages.iter().map(|p| format!("{}({})", p.name, p.section)).collect();
    for page in &pages {
        let text = unescaped(&page.text);
        let at = |name: &str| {
            section(&text, name).unwrap_or_else(|| panic!("{} has no {name}:\n{text}", page.name));
            text.find(&format!(".SH {name}")).or(text.find(&format!(".SH \"{name}\""))).unwrap()
        };
        let order = match page.section {
            1 => {
                &["NAME", "SYNOPSIS", "DESCRIPTION", "GLOBAL OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
                    [..]
            }
            _ => &["NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"],
        };
        assert!(order.iter().map(|name| at(name)).is_sorted(), "{}", page.name);
        assert!(!text.contains("EXTRA") && !text.contains("ox-help"), "{}", page.name);
        let lost: Vec<String> = references(&text).difference(&known).cloned().collect();
        assert!(lost.is_empty(), "{} leads to {lost:?}", page.name);
    }
    let ox = unescaped(&pages[0].text);
    for name in ["COMMANDS", "CONCEPTS", "WHAT TO DO WHEN", "FILES", "ENVIRONMENT", "NOTES"] {
        assert!(section(&ox, name).is_some(), "ox(1) has no {name}");
    }
    let concepts = section(&ox, "CONCEPTS").unwrap();
    for word in ["project", "ledger", "team context", "murmur", "whisper", "clone", "trust", "rescue"] {
        assert!(concepts.contains(&format!(".TP\n{word}\n")), "{word}");
    }
}

#[test]
fn a_synopsis_names_options_values_and_commands() {
    let pages = pages();
    let synopsis = |name: &str| {
        let page = pages.iter().find(|p| p.name == name && p.section == 1).unwrap();
        unescaped(section(&page.text, "SYNOPSIS").unwrap()).trim().to_owned()
    };
    assert_eq!(synopsis("ox"), "ox [OPTIONS] <COMMAND>");
    assert_eq!(synopsis("ox-team"), "ox team [OPTIONS] <COMMAND>");
    assert_eq!(synopsis("ox-team-add"), "ox team add [OPTIONS] [--name <NAME>] [--yes] <ID=URL>");
    assert_eq!(synopsis("ox-agent"), "ox agent [OPTIONS] [AGENT_ID] <COMMAND>");
    assert_eq!(
        synopsis("ox-daemon-errors"),
        "ox daemon errors [OPTIONS] [--all] [--all-projects] [--mark [<ERROR>...]]"
    );
    for page in pages.iter().filter(|p| p.section == 1) {
        let text = synopsis(&page.name);
        assert!(
            text.lines().all(|line| line == ".br" || line.contains("[OPTIONS]")),
            "{}: {text}",
            page.name
        );
    }
}

/// What stands in bold and begins with `ox` is a command line.
#[test]
fn every_command_that_the_manual_advises_exists() {
    let mut checked = 0;
    for page in pages() {
        for part in page.text.split("\\fB").skip(1) {
            let line = unescaped(part.split("\\fR").next().unwrap_or_default());
            if !line.starts_with("ox ") {
                continue;
            }
            let argv: Vec<_> = line.split_whitespace().map(Into::into).collect();
            let wrong = args::parse(&argv).err().filter(|e| {
                use clap::error::ErrorKind::{MissingRequiredArgument, MissingSubcommand};
                !matches!(e.kind(), MissingRequiredArgument | MissingSubcommand)
                    && e.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            });
            assert!(wrong.is_none(), "{}: `{line}`", page.name);
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}

#[test]
fn docs_man_writes_where_man_looks_and_nothing_is_malformed() {
    let env = TestEnv::new();
    let dir = env.work().join("manual");
    let ran = env.ox(["docs", "man", dir.to_str().unwrap()]).ok();
    assert!(ran.stderr.starts_with("wrote "), "{ran:?}");
    assert!(dir.join("man1/ox.1").is_file() && dir.join("man1/ox-daemon-start.1").is_file());
    assert!(dir.join("man5/ox-config.5").is_file() && dir.join("man1/ox-config.1").is_file());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "man1 and man5");
    for page in pages() {
        check(&env, &dir, &page);
    }
}

/// With groff, where it is there: a warning names what it does not understand. Without: nothing that it would take for a request.
fn check(env: &TestEnv, dir: &Path, page: &Page) {
    const REQUESTS: [&str; 11] =
        [".TH", ".SH", ".SS", ".PP", ".TP", ".br", ".nf", ".fi", ".RS", ".RE", ".nh"];
    for line in page.text.lines().filter(|line| line.starts_with(['.', '\''])) {
        let request = line.split(' ').next().unwrap_or_default();
        assert!(REQUESTS.contains(&request) || line == ".ad l", "{}: {line}", page.name);
    }
    assert!(page.text.is_ascii() && !page.text.contains("\n\n"), "{}", page.name);
    let path = dir.join(page.path());
    let cmd = env.cmd("groff").args(["-man", "-Tutf8", "-ww", path.to_str().unwrap()]).dir(dir);
    match child::run(cmd, &Cancel::new()) {
        Ok(out) => assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{}", page.name),
        Err(child::ChildError::NotFound { .. }) => println!("skipped: there is no groff"),
        Err(e) => panic!("{}: {e}", page.name),
    }
}

/// Below `command`, the commands that do something by themselves, as they are typed.
fn runnable(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let named = |sub: &&clap::Command| sub.get_name() != "help" && !sub.is_hide_set();
    for sub in command.get_subcommands().filter(named) {
        let path = format!("{path} {}", sub.get_name());
        runnable(sub, &path, found);
        if !sub.is_subcommand_required_set() {
            found.push(path);
        }
    }
}

#[test]
fn every_command_has_its_document_in_the_manual() {
    let mut commands = Vec::new();
    runnable(&args::command(), "ox", &mut commands);
    assert!(commands.len() > 30, "{commands:?}");
    commands.retain(|command| !documents().iter().any(|(of, _)| of == command));
    assert_eq!(commands, [""; 0]);
}

/// The name of the directory in which Claude Code keeps the transcripts of a directory.
fn slug(dir: &Path) -> String {
    dir.to_str().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Each command that has a document, and its keys; also those that a note names.
fn documents() -> Vec<(&'static str, &'static [&'static str])> {
    let named = |(command, keys, note): &(&'static str, _, &'static str)| {
        let also = note.split_once("and of ").map(|(_, command)| command);
        [*command].into_iter().chain(also).map(|command| (command, *keys)).collect::<Vec<_>>()
    };
    DOCUMENTS.iter().flat_map(named).collect()
}

/// Every command of the section JSON runs, and its document has the keys that the manual promises.
#[test]
fn the_documents_hold_what_the_manual_promises() {
    let (env, repo) = super::machine();
    let remote = env.bare("ops").display().to_string();
    let moved = env.bare("moved").display().to_string();
    let copy = || {
        super::json(&env.ox_in(&repo, ["rescue", "list", "--json"]))["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let murmur = || {
        super::json(&env.ox_in(&repo, ["murmur", "list", "--json"]))["murmurs"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    env.ox_in(&repo, ["up"]).ok();
    env.ox_in(&repo, ["team", "add", &format!("ops={remote}")]).ok();
    let status = super::json(&env.ox_in(&repo, ["status", "--json"]));
    fs::write(
        Path::new(status["ledger"]["path"].as_str().unwrap()).join("a.md.conflict-box-1790000000"),
        "mine",
    )
    .unwrap();
    let sessions = repo.join("sessions/2026-03-12T11-09-dana-OxTndR");
    fs::create_dir_all(&sessions).unwrap();
    fs::write(sessions.join("raw.jsonl"), "{\"type\":\"user\",\"content\":\"x\"}\n").unwrap();
    // One that has ended, and that nobody has finished.
    let ended = |name: &str| {
        let dir = repo.join(".sageox/ledger/.sageox/cache/sessions").join(name);
        fs::create_dir_all(&dir).unwrap();
        let line = |n: usize| {
            let kind = if n.is_multiple_of(2) { "user" } else { "assistant" };
            format!("{{\"type\":\"{kind}\",\"content\":\"Split the parser, step {n}\",\"seq\":{n}}}\n")
        };
        fs::write(dir.join("raw.jsonl"), (0..6).map(line).collect::<String>()).unwrap();
        name.to_owned()
    };
    let mut agent = String::new();
    // What has to be in place for the next comes first; the table is in the order of the help.
    let last = ["ox team remove", "ox daemon stop", "ox daemon kill"];
    let rank = |command: &str| last.iter().position(|l| *l == command).map_or(0, |at| at + 1);
    let mut documents = documents();
    documents.sort_by_key(|(command, _)| rank(command));
    for (command, keys) in documents {
        let mut words: Vec<String> = command.split(' ').skip(1).map(str::to_owned).collect();
        match command {
            "ox team add" => words.push(format!("ops={remote}")),
            "ox team remove" => words.push("ops".into()),
            "ox murmur" | "ox murmur send" => words.push("Splitting the parser".into()),
            "ox murmur delete" => words.push(murmur()),
            "ox rescue show" | "ox rescue restore" => words.push(copy()),
            "ox ledger set-remote" => words.extend([moved.clone(), "--yes".into()]),
            "ox config get" | "ox config unset" => words.push("murmur_send".into()),
            "ox config set" => words.extend(["murmur_send".into(), "manual".into()]),
            "ox completions" => words.push("bash".into()),
            "ox docs man" => words.push(env.root().join("man").display().to_string()),
            "ox events show" => {
                let db = env.home().join(".local/share/sageox/events/events.db");
                let record = ox::hooks::record::Record {
                    event: "Stop".into(),
                    agent: "codex".into(),
                    ..Default::default()
                };
                ox::hooks::store::Store::open(&db).unwrap().store.take(&[record]).unwrap();
                words.push("1".into());
            }
            "ox session search" => words.push("parser".into()),
            "ox why" => {
                fs::write(repo.join("a.rs"), "one\n").unwrap();
                words.push("a.rs".into());
            }
            // Somebody who is logged in already; whoever comes next is, too.
            "ox login" => {
                let url = "http://127.0.0.1:1".to_owned();
                let account = serde_json::json!({
                    "access_token": "a", "refresh_token": "", "expires_at": 4_000_000_000_i64, "user_email": "a@example.org",
                    "user_id": "u1", "server_url": url,
                });
                let file = serde_json::json!({ "version": 1, "current": url, "accounts": { &url: account } });
                fs::write(env.config().join("sageox/relay-auth.json"), file.to_string()).unwrap();
                words.extend(["--relay".into(), url]);
            }
            // A collector needs no login, and nothing is there that would be sent to it.
            "ox relay start" => {
                env.ox(["config", "set", "relay.sink", "otlp"]).ok();
                env.ox(["config", "set", "relay.otlp_url", "http://127.0.0.1:1"]).ok();
                words.push("--yes".into());
            }
            "ox relay dead clear" => words.push("--yes".into()),
            "ox logout" => words.push("--relay".into()),
            "ox hooks test" => words.push("codex".into()),
            "ox hooks install" => words.extend(["--agent", "codex", "--force"].map(Into::into)),
            "ox session archive restore" => {
                let dir = env.home().join(".claude/projects").join(slug(&repo));
                fs::create_dir_all(&dir).unwrap();
                let line = serde_json::json!({
                    "type": "user", "uuid": "u", "sessionId": "s-1", "cwd": repo,
                    "message": { "role": "user", "content": "x" },
                });
                fs::write(dir.join("s-1.jsonl"), format!("{line}\n")).unwrap();
                env.ox_in(&repo, ["session", "archive", "run"]).ok();
                words.extend(["s-1".into(), "-o".into(), env.root().join("s-1.jsonl").display().to_string()]);
            }
            "ox session recover" => {
                let dir = repo.join(".sageox/ledger/.sageox/cache/sessions/2026-03-13T11-09-dana-OxTndR");
                fs::create_dir_all(&dir).unwrap();
                // So young that the daemon leaves it alone.
                let left = serde_json::json!({ "agent_id": "OxTndR", "started_at": SystemClock.now().wall });
                fs::write(dir.join(".recording.json"), left.to_string()).unwrap();
                words.push("2026-03-13T11-09-dana-OxTndR".into());
            }
            "ox session import" => {
                let prior = "{\"_meta\":{}}\n{\"type\":\"user\",\"content\":\"Before\"}\n";
                fs::write(repo.join("prior.jsonl"), prior).unwrap();
                words.push("prior.jsonl".into());
            }
            "ox session upload" => words.push("--all".into()),
            "ox session regenerate" => words.extend(["--all", "--dry-run"].map(Into::into)),
            "ox session finalize" => {
                let config = repo.join(".sageox/config.json");
                let mut all: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
                all["session_publishing"] = "auto".into();
                fs::write(&config, all.to_string()).unwrap();
                words.extend([ended("2026-03-14T11-09-dana-OxMMMM"), "--no-wait".into()]);
            }
            "ox session download" => words.push(ended("2026-03-14T11-10-dana-OxNNNN")),
            "ox session push-summary" => {
                words.push(ended("2026-03-14T11-11-dana-OxPPPP"));
                let summary = r#"{"title":"Parser split in two","summary":"The parser was split into a lexer and a tree, so that errors can name the token.","key_actions":["split","tested","removed the old one"],"outcome":"success","quality_score":0.2}"#;
                fs::write(repo.join("summary.json"), summary).unwrap();
                words.extend(["--file", "summary.json"].map(Into::into));
            }
            "ox session remove" => words.extend(["--all".into(), "--yes".into()]),
            "ox session start"
            | "ox session pause"
            | "ox session resume"
            | "ox session abort"
            | "ox session stop"
            | "ox session log"
            | "ox session plan"
            | "ox session remind"
            | "ox session subagent-complete" => {
                let own = |words: &[&str]| env.ox_in(&repo, [&["agent", &agent, "session"], words].concat());
                let say = ["log", "--role", "user", "--content", "x"];
                match command {
                    "ox session stop" => {
                        own(&["start"]).ok();
                        own(&say).ok();
                    }
                    "ox session log" => words.extend(say[1..].iter().map(|&word| word.into())),
                    "ox session plan" => words.push("First the lexer".into()),
                    "ox session subagent-complete" => words.extend(["--parent".into(), agent.clone()]),
                    "ox session abort" => words.push("--force".into()),
                    _ => {}
                }
                words.splice(0..0, ["agent".into(), agent.clone()]).for_each(drop);
            }
            "ox agent heartbeat"
            | "ox agent whisper"
            | "ox agent whisper history"
            | "ox murmur pause"
            | "ox murmur resume" => words.splice(0..0, ["agent".into(), agent.clone()]).for_each(drop),
            _ => {}
        }
        if words[0] == "agent" && words.get(2).is_some_and(|w| w == "agent") {
            words.remove(2);
        }
        words.push("--json".into());
        let ran = env.ox_in(&repo, &words);
        let document = super::json(&ran);
        if command == "ox agent prime" {
            agent = document["agent_id"].as_str().unwrap().to_owned();
        }
        for key in keys {
            assert!(document.get(key).is_some(), "{command} has no {key}: {ran:?}");
        }
        assert_eq!(document.is_array(), keys.is_empty(), "{command}: {document}");
    }
    let told: BTreeSet<&str> = DOCUMENTS.iter().map(|(command, ..)| *command).collect();
    assert_eq!(told.len(), DOCUMENTS.len(), "each command once");
    env.stop_daemon();
}
