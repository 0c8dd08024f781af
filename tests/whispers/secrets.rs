//! Secrets in murmurs: in no field, in no form, by no way do they reach a file, an object, a log or a bundle.

use std::fs;
use std::path::Path;

use ox::whispers::Murmur;

use crate::support::{seed, until_or};
use crate::whispers::machine::Machine;

/// Secrets in the forms in which they may be written: as they are, and hidden from who looks for bytes.
fn secrets() -> Vec<(String, String)> {
    let body =
        |n: usize| -> String { "aB3dE5gH7jK9mN1p".chars().cycle().skip(n % 16).take(40 + n / 16).collect() };
    let forms: [fn(&str) -> String; 6] = [
        str::to_owned,
        |s| format!("{}\u{ad}{}\u{200b}{}", &s[..3], &s[3..20], &s[20..]),
        |s| format!("{}\u{1b}[31m{}\u{1b}[0m", &s[..9], &s[9..]),
        |s| s.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
        |s| s.bytes().map(|b| format!("%{b:02X}")).collect(),
        |s| s.chars().map(|c| format!("{c}\u{fe0f}")).collect(),
    ];
    let heads = [["gh", "p_"], ["gl", "pat-"], ["np", "m_"], ["xo", "xb-"], ["sk", "-ant-"], ["hv", "s."]];
    let all = heads.iter().flat_map(|head| forms.iter().map(move |form| (head, form)));
    // In the long form more than 400.
    let all = std::iter::repeat_n(all, seed::rounds(1, 12)).flatten();
    all.enumerate()
        .map(|(n, (head, form))| {
            let secret = [head[0], head[1], &body(n)].concat();
            let written = form(&secret);
            (secret, written)
        })
        .collect()
}

/// Every file below `dir`, and the objects of every repository there, with the names of those that hold any of `secrets`.
fn holders(machine: &Machine, dir: &Path, secrets: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |name: String, bytes: &[u8]| {
        let holds = |text: &String| memchr::memmem::find(bytes, text.as_bytes()).is_some();
        if secrets.iter().any(|(bare, written)| holds(bare) || holds(written))
            || name.contains("aB3dE5gH7jK9")
        {
            found.push(name);
        }
    };
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        if dir.join("objects").is_dir() && dir.join("HEAD").is_file() {
            let objects = machine.env.git(&dir, ["cat-file", "--batch-all-objects", "--batch", "--buffer"]);
            look(format!("objects of {}", dir.display()), objects.as_bytes());
        }
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            let name = entry.path().to_string_lossy().into_owned();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                look(name, &fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    found
}

#[test]
fn sec_04_no_secret_of_a_murmur_lies_anywhere() {
    let a = Machine::first();
    let secrets = secrets();
    // By command, in all that it takes.
    for (n, (_, written)) in secrets.iter().take(seed::rounds(12, usize::MAX)).enumerate() {
        let agent = format!("Ox{n:04}");
        let text = format!("number {n} {written} of it");
        let topic = format!("t/{written}");
        let files = format!("src/{written}.rs");
        a.ox(["murmur", "--agent-id", &agent, "--topic", &topic, "--files", &files, &text]).ok();
    }
    for (secret, _) in secrets.iter().step_by(6) {
        a.ox(["murmur", "--agent-id", secret, "by one who is no agent"]).fails(2);
    }
    // By message, in every field.
    for (n, (_, written)) in secrets.iter().enumerate() {
        let said = |change: &dyn Fn(&mut Murmur)| {
            let mut murmur = a.murmur("OxAAAA", "normal", &format!("message {n}"));
            change(&mut murmur);
            a.tells(&murmur);
        };
        let s = || written.clone();
        // Each form in each field.
        match (n + n / 6) % 6 {
            0 => said(&|m| m.content = format!("it is {written}, keep it")),
            1 => said(&|m| m.topic = s()),
            2 => said(&|m| m.tags = vec!["fine".into(), s()]),
            3 => said(&|m| {
                m.metadata.insert("worktree".into(), s());
                m.metadata.insert(s(), "value".into());
                m.metadata.insert("password".into(), s());
            }),
            4 => said(&|m| {
                m.agent_id = s();
                m.agent_type = s();
                m.scope = s();
            }),
            _ => said(&|m| {
                m.principal_id = s();
                m.principal_type = s();
                m.schema_version = s();
            }),
        }
    }
    a.tells(&a.murmur("OxBBBB", "normal", "the last one"));
    let published = || a.env.git(a.remote(), ["log", "-p", "--format=", "main", "--", "data/murmurs"]);
    until_or(|| published().contains("the last one"), || a.log());
    let bundle = a.env.work().join("bundle.json");
    a.ox(["debug", "bundle", "--output", bundle.to_str().unwrap()]).ok();
    a.ox(["status"]).ok();
    assert!(bundle.is_file());
    let held = holders(&a, a.env.root(), &secrets);
    assert!(held.is_empty(), "{held:#?}\n{}", a.log());
    let cleaned = published().lines().filter(|line| line.contains("REDACTED")).count();
    assert!(cleaned >= 40, "{cleaned}: {}", published());
}
