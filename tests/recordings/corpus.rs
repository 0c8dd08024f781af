//! Row sec-04 on recordings: secrets of every kind, planted in every form in what agents of three programs say, call and are told, are in no
//! file afterwards but in the agents' own transcripts; and ordinary code stays what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use ox::kit::rng::Rng;
use ox::redact::{Findings, Redactor};
use serde_json::{Value, json};

use super::secrets::{FORMS, Form, REPO_RULES, Secret, TEAM_RULES, USER_RULES, secrets};
use crate::support::transcript::{Call, Program, SESSION};
use crate::support::{TestEnv, seed, until_or};

/// An agent whose session is recorded, in a project with rules of its own.
struct Scene {
    env: TestEnv,
    repo: PathBuf,
    program: Program,
    transcript: PathBuf,
    dir: PathBuf,
    agent: String,
}

impl Scene {
    fn new(program: Program) -> Scene {
        let mut env = TestEnv::new();
        let repo = env.repo("r");
        env.ox_in(&repo, ["up"]).ok();
        let rules = |path: PathBuf, lines: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("# Ours\n\n```redact\n{lines}\n```\n")).unwrap();
        };
        let (team, writer) = (env.bare("team.git"), env.repo("writer"));
        rules(writer.join("docs/REDACT.md"), TEAM_RULES);
        env.git(&writer, ["add", "."]);
        env.git(&writer, ["commit", "-qm", "Rules"]);
        env.git(&writer, ["push", "-q", team.to_str().unwrap(), "HEAD:main"]);
        env.ox_in(&repo, ["team", "add", &format!("a={}", team.display())]).ok();
        let of_team = env.data().join("sageox/local/teams/a/docs/REDACT.md");
        until_or(|| of_team.exists(), || format!("no {}", of_team.display()));
        rules(repo.join(".sageox/REDACT.md"), REPO_RULES);
        rules(env.config().join("sageox/REDACT.md"), USER_RULES);

        let transcript = match program {
            Program::Claude => {
                env.set("CLAUDECODE", "1");
                env.set("CLAUDE_CODE_SESSION_ID", SESSION);
                env.home().join(format!(".claude/projects/-p/{SESSION}.jsonl"))
            }
            Program::Codex => {
                env.set("CODEX_SESSION_ID", SESSION);
                env.set("CODEX_THREAD_ID", SESSION);
                env.home()
                    .join(format!(".codex/sessions/2036/03/12/rollout-2036-03-12T09-01-00-{SESSION}.jsonl"))
            }
            Program::Gemini => {
                env.set("GEMINI_CLI", "1");
                let dir = env.home().join(".gemini/tmp/r");
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join(".project_root"), repo.to_str().unwrap()).unwrap();
                dir.join("chats/session-2036-03-12T09-01-11111111.jsonl")
            }
        };
        fs::create_dir_all(transcript.parent().unwrap()).unwrap();
        fs::write(&transcript, program.begin()).unwrap();
        let primed = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json();
        let agent = primed["agent_id"].as_str().unwrap().to_owned();
        let started = env.ox_in(&repo, ["agent", &agent, "session", "start", "--json"]).ok().json();
        assert_eq!(started["session_file"], transcript.to_str().unwrap(), "{started}");
        let dir = PathBuf::from(started["path"].as_str().unwrap());
        Scene { env, repo, program, transcript, dir, agent }
    }

    fn writes(&self, text: &[u8]) {
        let mut file = fs::OpenOptions::new().append(true).open(&self.transcript).unwrap();
        file.write_all(text).unwrap();
    }

    /// Writes these, the first half while the daemon follows, and stops. Answers what `stop` says.
    fn record(&self, lines: &[String], rng: &mut Rng) -> Value {
        let (first, rest) = lines.split_at(lines.len() / 2);
        let text = first.concat().into_bytes();
        // As it comes: in pieces that end anywhere.
        let mut from = 0;
        while from < text.len() {
            let to = text.len().min(from + 1 + usize::try_from(rng.below(200_000)).unwrap());
            self.writes(&text[from..to]);
            from = to;
        }
        let mark = first.iter().filter(|line| line.contains("marker-")).count();
        let raw = || fs::read_to_string(self.dir.join("raw.jsonl")).unwrap_or_default();
        until_or(|| raw().matches("marker-").count() >= mark, || format!("{mark} of {:?}", self.program));
        self.writes(rest.concat().as_bytes());
        self.env.ox_in(&self.repo, ["agent", &self.agent, "session", "stop", "--json"]).ok().json()
    }

    /// Every file but the transcript and the rules themselves, and what git keeps compressed.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let transcript = self.transcript.canonicalize().unwrap();
        let (mut all, mut todo) = (Vec::new(), vec![self.env.root().canonicalize().unwrap()]);
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                if kind.is_dir() {
                    if path.join("objects").is_dir() && path.join("HEAD").is_file() {
                        let out = self.env.git(&path, ["cat-file", "--batch", "--batch-all-objects"]);
                        all.push((path.join("objects"), out.replace(TEAM_RULES, "").into_bytes()));
                    }
                    todo.push(path);
                } else if kind.is_file() && path != transcript && !path.ends_with("REDACT.md") {
                    all.push((path.clone(), fs::read(&path).unwrap_or_default()));
                }
            }
        }
        all
    }
}

/// What is planted: a secret in a form.
struct Planted<'a> {
    secret: &'a Secret,
    form: &'a Form,
    text: String,
}

/// Each secret in so many forms that take it; every form of every kind is used.
fn plant<'a>(all: &'a [Secret], each: usize, rng: &mut Rng) -> Vec<Planted<'a>> {
    let mut planted = Vec::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for secret in all {
        let mut forms: Vec<&Form> = FORMS.iter().filter(|form| form.of.contains(&secret.kind)).collect();
        forms.sort_by_cached_key(|form| (used.get(form.name).copied().unwrap_or(0), rng.next_u64()));
        for form in forms.into_iter().take(each) {
            *used.entry(form.name).or_default() += 1;
            planted.push(Planted { secret, form, text: form.text(&secret.text) });
        }
    }
    assert_eq!(used.len(), FORMS.len(), "forms that nothing takes");
    planted
}

/// A turn of the conversation with what is planted in it, at one of the places where text stands.
fn turn(program: Program, n: usize, text: &str) -> String {
    let call = |tool: &str, input: Value, output: &str| {
        program.called(n, &Call { tool, input, output, failed: true })
    };
    match n % 6 {
        0 => program.said(n, true, text),
        1 => program.said(n, false, text),
        2 => call("Bash", json!({ "command": text, "description": "try it" }), "Exit code 1"),
        3 => call("Write", json!({ "file_path": "/home/anna/project/a.txt", "content": text }), "denied"),
        4 => call("Bash", json!({ "command": "cat settings" }), &format!("Exit code 1\n{text}")),
        _ => call("mcp__h__call", json!({ "list": [{ "deep": { "body": text } }], "n": n }), "Exit code 1"),
    }
}

#[test]
fn sec_04_no_planted_secret_is_in_any_file_after_a_recording() {
    let test = "recordings::corpus::sec_04_no_planted_secret_is_in_any_file_after_a_recording";
    seed::with(test, seed::fresh(), planted);
}

fn planted(seed: u64) {
    let mut rng = Rng::new(seed);
    let all = secrets(&mut rng);
    let planted = plant(&all, seed::rounds(4, 100), &mut rng);
    assert!(all.len() >= 400 && FORMS.len() >= 60, "{} secrets, {} forms", all.len(), FORMS.len());
    all_rules_are_tried(&planted);
    let (mut hidden, mut missed) = (0, Vec::new());
    for program in Program::ALL {
        let scene = Scene::new(program);
        let mut lines = Vec::new();
        for (n, planted) in planted.iter().enumerate() {
            lines.push(turn(program, 2 * n, &planted.text));
            if n % 50 == 0 {
                lines.push(program.said(2 * n + 1, true, &format!("marker-{n}")));
            }
        }
        let stopped = scene.record(&lines, &mut rng);
        let entries = stopped["entry_count"].as_u64().unwrap();
        assert!(entries >= planted.len() as u64, "{stopped}");
        // By the same rules nothing is left, so that no push of it would be held back.
        scene.env.ox_in(&scene.repo, ["session", "redaction", "verify", "--all"]).ok();
        scene.env.stop_daemon();
        let files = scene.files();
        assert!(files.iter().any(|(path, _)| path.ends_with("raw.jsonl")));
        let found = leaks(&planted, &files);
        hidden += planted.len() - found.len();
        missed.extend(found.into_iter().map(|(n, what)| {
            let Planted { form, secret, .. } = &planted[n];
            format!("{program:?}, {}: {:?} in {what}", form.name, secret.text)
        }));
    }
    let total = planted.len() * Program::ALL.len();
    println!(
        "{} secrets in {} forms, {total} planted: recall {:.2} %",
        all.len(),
        FORMS.len(),
        100.0 * hidden as f64 / total as f64
    );
    missed.sort();
    assert!(
        missed.is_empty(),
        "{} of {total} missed:\n{}",
        missed.len(),
        missed[..missed.len().min(60)].join("\n")
    );
}

/// Every built-in rule finds something of what is planted, and those of the three files do.
fn all_rules_are_tried(planted: &[Planted<'_>]) {
    let mut found = Findings::default();
    let redactor = Redactor::new();
    planted.iter().for_each(|planted| drop(redactor.redact_counting(&planted.text, &mut found)));
    let found: BTreeSet<&str> = found.rules().iter().map(|found| found.rule.as_str()).collect();
    let untried: Vec<&str> =
        redactor.rules().iter().map(|rule| rule.name()).filter(|name| !found.contains(name)).collect();
    assert!(untried.is_empty(), "rules that nothing planted is for: {untried:?}");
}

/// Which of what was planted is found in which file.
fn leaks(planted: &[Planted<'_>], files: &[(PathBuf, Vec<u8>)]) -> BTreeMap<usize, String> {
    let (mut needles, mut owner) = (Vec::new(), Vec::new());
    for (n, planted) in planted.iter().enumerate() {
        for needle in planted.secret.needles() {
            needles.push(needle);
            owner.push(n);
        }
    }
    let searcher = AhoCorasick::new(&needles).unwrap();
    let mut found = BTreeMap::new();
    for (path, bytes) in files {
        for hit in searcher.find_overlapping_iter(bytes) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let from = hit.start().saturating_sub(120);
            let near = String::from_utf8_lossy(&bytes[from..(hit.end() + 40).min(bytes.len())]).into_owned();
            found.entry(owner[hit.pattern().as_usize()]).or_insert(format!("{name}: …{near}…"));
        }
    }
    // The same secret in several forms: the one that stands in the text near the hit is meant; all of them are told.
    found
}

/// A MB of this program's own code, without the files that are about secrets and the lines that log in somewhere.
fn ordinary_code() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut todo, mut files) =
        (vec![root.join("src"), root.join("tests"), root.join("benches")], Vec::new());
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    let is_about_secrets = |path: &PathBuf, text: &str| {
        path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("redact"))
            || text.contains("[REDACTED_")
            || path.ends_with("secrets.rs")
            // They say what is a secret, by examples.
            || path.ends_with("scrub.rs")
            || path.ends_with("relay/facts.rs")
    };
    let is_login = |line: &&str| {
        !(line.contains("://") && line.contains('@') || line.to_lowercase().contains(": basic "))
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (!is_about_secrets(&path, &text))
            .then(|| text.lines().filter(is_login).collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().filter_map(read).collect()
}

#[test]
fn sec_04_a_megabyte_of_ordinary_code_stays_as_it_is() {
    let scene = Scene::new(Program::Claude);
    let (mut bytes, mut lines) = (0, Vec::new());
    for (n, text) in ordinary_code().into_iter().enumerate() {
        bytes += text.len();
        lines.push(turn(Program::Claude, 2 * n, &text));
    }
    lines.push(Program::Claude.said(1, true, "marker-end"));
    lines.insert(0, Program::Claude.said(3, true, "marker-begin"));
    let stopped = scene.record(&lines, &mut Rng::new(1));
    let raw = fs::read_to_string(scene.dir.join("raw.jsonl")).unwrap();
    scene.env.stop_daemon();
    assert!(bytes >= 1_000_000, "{bytes}");
    assert!(raw.len() >= bytes, "{} of {bytes}: {stopped}", raw.len());
    let places: Vec<&str> = raw
        .match_indices("[REDACTED_")
        .map(|(at, _)| &raw[at.saturating_sub(80)..(at + 60).min(raw.len())])
        .collect();
    println!(
        "{bytes} bytes of code: {} taken for secrets, {:.2} a MB",
        places.len(),
        places.len() as f64 * 1e6 / bytes as f64
    );
    let allowed = 3 * bytes / 1_000_000;
    assert!(places.len() <= allowed, "{} of {allowed}:\n{}", places.len(), places.join("\n"));
}
